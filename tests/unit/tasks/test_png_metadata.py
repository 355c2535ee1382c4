"""What a result PNG says of itself, and what a stranger's PNG may not do."""

import io
import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from director.errors import BriefError
from director.state import State
from director.types import Goal, Trajectory
from tasks.png_metadata import KEY, MAX_BYTES, metadata_text, read_png_metadata, with_metadata
from tasks.store import image_hash
from tests.support.scripted_studio import play, run


def picture() -> bytes:
    output = io.BytesIO()
    Image.effect_noise((40, 30), 60).convert("RGB").save(output, "PNG")
    return output.getvalue()


def trajectory(text: str = "Ein Café bei Nacht, 夜の喫茶店 “Öffnet um 7”\n\tzwei Lampen \x01") -> Trajectory:
    ran = run(play({"a": "met"}, {"b": "met"}, {"c": "met"}))
    return ran.model_copy(update={"brief": ran.brief.model_copy(update={"text": text, "title": "Café"})})


def as_another_tool(png: bytes, text: str) -> bytes:
    """As another tool would write it."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt(KEY, text, zip=True)
    output = io.BytesIO()
    Image.open(io.BytesIO(png)).save(output, "PNG", pnginfo=info)
    return output.getvalue()


def test_what_is_written_is_read_and_the_pixels_stay():
    png, made = picture(), trajectory()
    image = image_hash(png)
    written = with_metadata(png, metadata_text(made, image))
    found = read_png_metadata(written)
    assert (found.brief, found.settings, found.seed, found.image) == (made.brief, made.settings, made.seed, image)
    assert (found.goals.met, found.goals.total) == (0, 3)  # nobody verified this one
    best = State.of(made).deliverable
    assert best
    assert read_png_metadata(with_metadata(png, metadata_text(made, best))).goals.met == 3
    assert image_hash(written) == image
    assert written.replace(written[33 : 33 + len(written) - len(png)], b"") == png
    Image.open(io.BytesIO(written)).verify()  # checks every chunk's checksum
    assert metadata_text(made, image) == metadata_text(made, image)


def test_who_drew_it_is_named():
    made = trajectory()
    drawn = next(e for e in made.events if e.kind == "rendered")
    assert (
        read_png_metadata(with_metadata(picture(), metadata_text(made, drawn.candidates[0].image))).software.editor
        == drawn.by
    )
    assert read_png_metadata(with_metadata(picture(), metadata_text(made, "0" * 64))).software.editor == ""


def test_another_tool_may_compress_it():
    assert (
        read_png_metadata(as_another_tool(picture(), metadata_text(trajectory(), "0" * 64))).brief == trajectory().brief
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"format":1', '"format":2'), "format: Input should be 1"),
        (('"seed":', '"extra":'), "seed: Field required"),
        (('"seed":', '"path":"/etc/passwd","seed":'), "path: Extra inputs are not permitted"),
        (('"rounds":', '"rounds":-'), "settings.rounds: Input should be greater"),
        (("{", "["), "Invalid JSON"),
        (("Café", "C" * 200), "brief.title: String should have at most 120"),
        (("Ein Café", "x" * 30_000), "shorten it"),
    ],
)
def test_a_text_that_was_tampered_with_is_named(change: tuple[str, str], message: str):
    text = metadata_text(trajectory(), "0" * 64).replace(*change)
    with pytest.raises(BriefError, match="its metadata can't be used") as raised:
        read_png_metadata(with_metadata(picture(), text))
    assert message in str(raised.value)


def test_what_is_no_result_is_refused():
    png = picture()
    for data, message in [
        (png, "no VisionDirector metadata"),
        (b"", "no PNG"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "no PNG"),
        (png[:20], "no PNG"),
        (with_metadata(png, "x" * (MAX_BYTES + 1)), "more than 1,000,000 bytes|no PNG"),
        (as_another_tool(png, "x" * 50_000_000), "no PNG"),  # unfolds to 50 MB
    ]:
        with pytest.raises(BriefError, match=message):
            read_png_metadata(data)


def test_a_broken_chunk_is_refused():
    body = b"iTXt" + KEY.encode() + b"\0\x01\0\0\0" + zlib.compress(b"{}")[:-3]
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    png = picture()
    with pytest.raises(BriefError):
        read_png_metadata(png[:33] + chunk + png[33:])


def test_explicit_goals_travel():
    made = trajectory()
    goals = (Goal(id="g1", text="a lamp", count=2),)
    made = made.model_copy(update={"brief": made.brief.model_copy(update={"goals": goals})})
    assert read_png_metadata(with_metadata(picture(), metadata_text(made, "0" * 64))).brief.goals == goals
