"""The metadata of a result PNG: brief, settings, seed and editor, so that the job can be run again.

Stored pictures have none; it is added when a picture is sent or saved. It holds no time, host or job id, so that
the same job gives the same bytes. Metadata that is read back is untrusted, and is checked.
"""

import struct
import zlib
from functools import cache
from importlib import metadata
from typing import Literal

from pydantic import ValidationError

from director.errors import BriefError
from director.state import GoalCounts, State, count_goals
from director.types import Brief, ImageHash, LoopSettings, Rendered, Seed, Trajectory, Value

KEY = "visiondirector"
MAX_BYTES = 1_000_000
"""Longest text; a submission may not be longer either."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_IHDR_END = 33  # the signature's 8 bytes, then length, name, 13 bytes and checksum of the first chunk


class Software(Value):
    """`editor` is who drew the picture, as the trajectory names it."""

    visiondirector: str
    editor: str


class PngMetadata(Value):
    """`image` is the hash of the picture; settings are complete, defaults included."""

    format: Literal[1] = 1
    image: ImageHash
    brief: Brief
    settings: LoopSettings
    seed: Seed
    goals: GoalCounts
    software: Software


def metadata_text(trajectory: Trajectory, image: str) -> str:
    """The metadata of picture `image` of the trajectory, as JSON."""
    state = State.of(trajectory)
    drawn = (e for e in trajectory.events if isinstance(e, Rendered) and image in {c.image for c in e.candidates})
    imprint = PngMetadata(
        image=image,
        brief=trajectory.brief,
        settings=trajectory.settings,
        seed=trajectory.seed,
        goals=count_goals(state.standing_on(image).values(), len(state.goals)),
        software=Software(visiondirector=_version(), editor=next((e.by for e in drawn), "")),
    )
    return imprint.model_dump_json(exclude_none=True)


def with_metadata(png: bytes, text: str) -> bytes:
    """The PNG with `text` as an iTXt chunk; every other byte stays as it is."""
    # Keyword, end of it, not compressed (2 bytes), no language, no translated keyword (PNG, 11.3.3.4).
    body = b"iTXt" + KEY.encode() + b"\0\0\0\0\0" + text.encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:_IHDR_END] + chunk + png[_IHDR_END:]


def read_png_metadata(png: bytes) -> PngMetadata:
    """The metadata of a PNG. Raises BriefError when it has none, or metadata that can't be used."""
    try:
        text = _text(png)
    except (ValueError, struct.error, zlib.error) as error:
        raise BriefError("it is no PNG that can be read", "name a result of VisionDirector") from error
    if text is None:
        raise BriefError(
            "it has no VisionDirector metadata", "name a PNG as it was saved: editors and chats often drop metadata"
        )
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise BriefError(f"its metadata has more than {MAX_BYTES:,} bytes", "name a result of VisionDirector")
    try:
        return PngMetadata.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = str(first["msg"]).removeprefix("Value error, ")
        raise BriefError(
            f"its metadata can't be used: {where + ': ' if where else ''}{said}",
            "it was changed, or written by another version",
        ) from error


def _text(png: bytes) -> str | None:
    """The text under our keyword, of the chunks before the pixels. Raises ValueError, struct.error and zlib.error.

    Read without Pillow, because the client's `submit --from` does without it.
    """
    if not png.startswith(_SIGNATURE):
        raise ValueError("it does not begin as a PNG")
    at = len(_SIGNATURE)
    while True:
        length, kind = struct.unpack_from(">I4s", png, at)
        body = png[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", png, at + 8 + length)
        if zlib.crc32(kind + body) != checksum:
            raise ValueError("a chunk is broken")
        if kind in (b"IDAT", b"IEND"):
            return None
        keyword, _, rest = body.partition(b"\0")
        if keyword == KEY.encode() and kind in (b"iTXt", b"tEXt", b"zTXt"):
            return _value(kind, rest)
        at += 12 + length


def _value(kind: bytes, rest: bytes) -> str:
    """What stands behind the keyword (PNG, 11.3.3)."""
    if kind == b"tEXt":
        return rest.decode("latin-1")
    if kind == b"zTXt":
        return _unfolded(rest[1:]).decode("latin-1")
    _language, _, behind = rest[2:].partition(b"\0")
    _translated, _, text = behind.partition(b"\0")
    return (_unfolded(text) if rest[:1] == b"\1" else text).decode()


def _unfolded(data: bytes) -> bytes:
    unpack = zlib.decompressobj()
    text = unpack.decompress(data, MAX_BYTES + 1)
    if not unpack.eof:
        raise ValueError("the text is cut off, or too long")
    return text


@cache
def _version() -> str:
    try:
        return metadata.version("visiondirector")
    except metadata.PackageNotFoundError:
        return "unknown"
