"""What a batch is made of, before it is sent: an entry for each brief, or a complaint that names file and line."""

import re
import sqlite3
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from director import intake
from director.errors import BriefError
from director.types import Brief

MAX_LINE = 262_144
"""Bytes of a line that the service takes."""
_CUSTOM_ID = re.compile(r"[^\x00-\x1f\x7f]{1,128}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Place:
    """A file, and a line of it; 0 stands for the whole file."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Entry:
    """`line` is what the service takes; `picture` is the file of its source, which is not uploaded yet."""

    place: Place
    line: Mapping[str, Any]
    picture: Path | None = None


@dataclass(frozen=True)
class Complaint:
    place: Place
    message: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" + (f" ({self.fix})" if self.fix else "")


def entry(place: Place, custom_id: str, brief: Mapping[str, Any], folder: Path, **more: Any) -> Entry | Complaint:
    """The entry of a brief as fields, whose source may be the name of a picture in `folder`.

    What of `more` is empty is left out.
    """
    if not _CUSTOM_ID.fullmatch(custom_id):
        wrong = "the custom_id must have 1 to 128 characters, and no control characters"
        return Complaint(place, wrong, "name it, or its file, otherwise")
    if "\0" in str(brief.get("text")):
        return Complaint(place, "the brief holds zero bytes, so it is no text", "save it as plain text, in UTF-8")
    fields, picture = dict(brief), None
    try:
        if (source := fields.get("source")) and not (isinstance(source, str) and _HASH.fullmatch(source)):
            picture = _picture(folder, source)
            del fields["source"]
        sent = intake.checked(Brief, fields, "brief").model_dump(mode="json", exclude_defaults=True)
    except BriefError as error:
        return Complaint(place, error.message, error.fix)
    kept = {name: value for name, value in more.items() if value not in (None, "", {}, [])}
    return Entry(place, {"custom_id": custom_id, "brief": sent, **kept}, picture)


def _picture(folder: Path, name: object) -> Path:
    """The picture `name` below `folder`. Raises BriefError."""
    fix = "name a picture beside the file, such as lamp.png"
    if not isinstance(name, str):
        raise BriefError("the source is no name of a picture", fix)
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):
        raise BriefError(f"the source {name[:80]!r} is no file name", fix) from None
    if not inside:
        raise BriefError(f"the source {name!r} is outside the folder of the file that names it", fix)
    return checked_picture(path, name)


def checked_picture(path: Path, name: str) -> Path:
    """The path, if a picture is there. Raises BriefError."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise BriefError(f"the picture {name!r} can't be read: {error.strerror}", "look at its name again") from None
    if not intake.is_picture(start):
        raise BriefError(f"{name!r} is no picture", "name a PNG, JPEG or WebP")
    return path


class Names:
    """The custom_ids so far, in a file that is gone with the object: there may be a million."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("")  # a temporary file
        self._db.execute("CREATE TABLE names (name TEXT PRIMARY KEY, place TEXT) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def double(self, found: Entry) -> Complaint | None:
        """The complaint about an entry whose custom_id was there before; else it is kept."""
        name = found.line["custom_id"]
        try:
            self._db.execute("INSERT INTO names VALUES (?, ?)", (name, str(found.place)))
        except sqlite3.IntegrityError:
            with closing(self._db.execute("SELECT place FROM names WHERE name = ?", (name,))) as rows:
                [first] = rows.fetchone()
            return Complaint(found.place, f"custom_id {name!r} is there already, at {first}", "give each its own")
        return None


class Places:
    """Where each entry came from, by its number: a few bytes for each line of a file."""

    def __init__(self) -> None:
        self._files: list[str] = []
        self._starts = array("Q")
        self._lines = array("Q")

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, place: Place) -> None:
        if not self._files or self._files[-1] != place.file:
            self._files.append(place.file)
            self._starts.append(len(self._lines))
        self._lines.append(place.line)

    def __getitem__(self, number: int) -> Place:
        line = self._lines[number]
        return Place(self._files[bisect_right(self._starts, number) - 1], line)
