"""The real OCR engine on lettering that is drawn here."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from director.seats import Raster
from director.types import Outcome, Verdict
from worker.vlm.ocr import RapidReader, joined, look_for

pytestmark = pytest.mark.models

FONT = Path(__file__).resolve().parents[2] / "worker" / "sketch" / "fonts" / "Inter-Medium.ttf"


@pytest.fixture(scope="module")
def reader() -> RapidReader:
    return RapidReader()


def lettered(*lines: str, size: int = 40, file: Path = FONT) -> Raster:
    picture = Image.new("RGB", (512, max(256, int(80 + 1.5 * size * len(lines)))), (190, 185, 170))
    draw, font = ImageDraw.Draw(picture), ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)
    for n, line in enumerate(lines):
        draw.text((30, 40 + 1.5 * size * n), line, font=font, fill=(30, 25, 60))
    return Raster("RGB", *picture.size, picture.tobytes())


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


@pytest.mark.parametrize(
    "string",
    [
        "£12.80",
        "1/12",
        "−8 °C",
        "9:15–10:45",
        "10 000 €",
        "1½ kg",
        "Größe",
        "Łódź",
        "Crème brûlée",
        "2 + 2 = 4",
        "#1 & +7%",
    ],
)
def test_marks_and_accents_are_read(reader: RapidReader, string: str):
    assert look_for(string, reader.read(lettered(string)), reader.characters).found


def test_a_lost_mark_is_seen(reader: RapidReader):
    for asked, drawn in (("£12.80", "£1280"), ("1/12", "11/2"), ("-8 °C", "8 °C"), ("Größe", "Grösse")):
        assert not look_for(asked, reader.read(lettered(drawn)), reader.characters).found


def test_a_string_over_six_lines_is_found(reader: RapidReader):
    lines = ["one two", "three four", "five six", "seven eight", "nine ten", "eleven twelve"]
    assert look_for(" ".join(lines), reader.read(lettered(*lines, size=30))).found


@pytest.mark.parametrize("string", ["ВЕСНА В ГОРОДЕ", "Καλημέρα", "Bánh mỳ Huế", "Кафе 24"])
def test_a_script_that_it_can_not_read_contradicts_nothing(reader: RapidReader, string: str):
    reader.read(lettered("OPEN"))
    assert len(reader.characters) > 10_000
    sure = Verdict(goal="a", outcome=Outcome.MET, score=0.97, confidence=0.97, evidence="yes", by="vlm")
    lines = reader.read(lettered(string))
    assert joined(sure, string, lines, reader.characters).outcome is Outcome.MET
    assert joined(sure, string, lines).outcome is Outcome.MET  # without its dictionary, by scripts
