"""The real OCR engine on lettering that is drawn here."""

import io
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from worker.vlm.ocr import RapidReader, look_for

pytestmark = pytest.mark.models

FONT = Path(__file__).resolve().parents[2] / "worker" / "sketch" / "fonts" / "Inter-Medium.ttf"


@pytest.fixture(scope="module")
def reader() -> RapidReader:
    return RapidReader()


def lettered(*lines: str, size: int = 40) -> bytes:
    picture = Image.new("RGB", (512, 256), (190, 185, 170))
    draw, font = ImageDraw.Draw(picture), ImageFont.truetype(FONT, size, layout_engine=ImageFont.Layout.BASIC)
    for n, line in enumerate(lines):
        draw.text((30, 40 + 1.5 * size * n), line, font=font, fill=(30, 25, 60))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("size", [18, 40, 56])
def test_lettering_is_read_as_it_is_drawn(reader: RapidReader, size: int):
    lines = reader.read(lettered("GRAND", "OPENING", size=size))
    assert look_for("GRAND OPENING", lines).found


def test_a_misspelling_is_not_corrected(reader: RapidReader):
    lines = reader.read(lettered("GRAND OPENNING"))
    reading = look_for("GRAND OPENING", lines)
    assert not reading.found
    assert "OPENNING" in reading.closest


def test_an_empty_picture_says_nothing(reader: RapidReader):
    assert reader.read(lettered()) == ()


def test_the_same_picture_reads_the_same_twice(reader: RapidReader):
    picture = lettered("OPEN DAILY 9-5")
    assert reader.read(picture) == reader.read(picture)
