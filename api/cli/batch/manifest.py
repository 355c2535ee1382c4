"""Files and folders as the entries of a batch.

A folder holds briefs (.txt, .md, .json), each with its picture of the same name beside it; a CSV file has a brief in
each row, a JSONL file in each line. All are read twice: once to find every mistake, and once to send them.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from api.cli.batch.entries import MAX_LINE, Complaint, Entry, Place, checked_picture, entry
from director import intake
from director.errors import BriefError
from tasks.files import read_named

if TYPE_CHECKING:
    from _csv import Reader as Rows

Found = Iterator[Entry | Complaint]
BRIEFS = (".txt", ".md", ".json")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".avif")
_MAX_BRIEF_FILE = 2_000_000
_MAX_TITLE = 120
_FIELDS = ("custom_id", "brief", "settings", "seed", "labels")


@dataclass
class Manifest:
    """What the user named. `header` is what the first line of a JSONL file says of all, known when it was read."""

    paths: Sequence[Path]
    with_goals: bool = False
    header: dict[str, Any] = field(default_factory=dict[str, Any])

    def entries(self) -> Found:
        """All of them, in order, each time anew. Raises BriefError for a path that is nothing."""
        for path in self.paths:
            if path.is_dir():
                yield from self._folder(path)
                continue
            match path.suffix.lower():
                case ".csv" | ".tsv":
                    yield from self._opened(path, self._csv)
                case ".jsonl" | ".ndjson":
                    yield from self._opened(path, self._jsonl)
                case _:
                    yield self._brief(path, path.parent, ())

    def _opened(self, path: Path, read: Any) -> Found:
        try:
            with path.open("rb") as file:
                yield from read(path, file)
        except OSError:
            read_named(path)  # says what to name instead
            raise

    # --- a folder ---------------------------------------------------------------------------------

    def _folder(self, folder: Path) -> Found:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        briefs = [name for name in names if name.lower().endswith(BRIEFS)]
        if not briefs:
            others = " (there are .csv or .jsonl files: name them)" if any(map(_is_list, names)) else ""
            raise BriefError(
                f"{folder}: no brief is in this folder{others}", "briefs end in .txt, .md or .json", "FILE"
            )
        pictures: dict[str, list[str]] = {}
        for name in names:
            if name.lower().endswith(PICTURES):
                pictures.setdefault(Path(name).stem, []).append(name)
        for name in briefs:
            path = folder / name
            if not (path.is_file() or path.is_dir()):  # a pipe would be waited for
                yield Complaint(Place(str(path)), "it is no file, or a link to none", "take it out of the folder")
            elif _broken(name):
                yield Complaint(Place(str(path)), "its name is not UTF-8", "rename it")
            else:
                yield self._brief(path, folder, pictures.get(path.stem, ()))

    def _brief(self, path: Path, folder: Path, pictures: Sequence[str]) -> Entry | Complaint:
        place = Place(str(path))
        try:
            data, named_json = read_named(path, "FILE", _MAX_BRIEF_FILE), path.suffix.lower() == ".json"
            read = intake.read_brief(data, self.with_goals, named_json)
            if len(pictures) > 1:
                raise BriefError(f"{' and '.join(pictures)} are both beside it", "leave one, which it starts from")
            picture = checked_picture(folder / pictures[0], pictures[0]) if pictures else None
        except BriefError as error:
            return Complaint(place, error.message.removeprefix(f"{path}: "), error.fix)
        titled = {
            **read.model_dump(mode="json", exclude_defaults=True),
            "title": (read.title or path.stem)[:_MAX_TITLE],
        }
        found = entry(place, path.stem, titled, folder)
        return Entry(place, found.line, picture) if isinstance(found, Entry) else found

    # --- JSONL ------------------------------------------------------------------------------------

    def _jsonl(self, path: Path, file: BinaryIO) -> Found:
        number, fresh = 0, True
        while line := file.readline(MAX_LINE + 2):
            number += 1
            place = Place(str(path), number)
            if len(line) > MAX_LINE and not line.endswith(b"\n"):
                _skip_line(file)
                yield Complaint(place, f"the line has more than {MAX_LINE:,} bytes", "shorten the brief")
                continue
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            read = _json_object(place, line)
            if fresh and isinstance(read, dict) and set(read) == {"batch"} and isinstance(read["batch"], dict):
                self.header = cast(dict[str, Any], read["batch"])
            else:
                yield read if isinstance(read, Complaint) else self._of_object(place, path, read)
            fresh = False

    def _of_object(self, place: Place, path: Path, read: dict[str, Any]) -> Entry | Complaint:
        for name in read:
            if name not in _FIELDS:
                return Complaint(place, f"there is no field {name!r}", f"a line has {', '.join(_FIELDS)}")
        brief: Any = read.get("brief")
        if isinstance(brief, str):
            brief = {"text": brief}
        if not isinstance(brief, dict):
            return Complaint(place, "brief is missing", 'write {"custom_id": "a", "brief": "what the picture shows"}')
        named = read.get("custom_id", self._implied(path, place.line))
        if isinstance(named, bool) or not isinstance(named, str | int):
            return Complaint(place, "custom_id must be a word", 'write "custom_id": "poster-1"')
        more = {name: read.get(name) for name in ("settings", "seed", "labels")}
        return entry(place, str(named), cast(dict[str, Any], brief), path.parent, **more)

    def _implied(self, path: Path, line: int) -> str:
        """The custom_id of a line that has none."""
        return str(line) if len(self.paths) == 1 else f"{path.stem}-{line}"

    # --- CSV --------------------------------------------------------------------------------------

    def _csv(self, path: Path, file: BinaryIO) -> Found:
        csv.field_size_limit(MAX_LINE)
        # A byte that is no UTF-8 becomes a surrogate, so that the row which has it can be named.
        with io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="") as text:
            first = text.readline(MAX_LINE)
            rows = csv.reader(chain([first], text), delimiter=_delimiter(path, first), strict=True)
            yield from self._rows(path, _numbered(path, rows))

    def _rows(self, path: Path, rows: Iterator[tuple[Place, list[str]] | Complaint]) -> Found:
        head: list[str] | None = None
        for found in rows:
            if isinstance(found, Complaint):
                yield found
            elif head is None:
                place, cells = found
                head = [name.strip() for name in cells]
                if problem := _broken_text(place, head) or _head_problem(place, head):
                    yield problem
                    return
            else:
                yield self._of_row(found[0], path, head, found[1])
        if head is None:
            yield Complaint(Place(str(path)), "it is empty", "write a first row with the names of the columns")

    def _of_row(self, place: Place, path: Path, head: Sequence[str], row: Sequence[str]) -> Entry | Complaint:
        if problem := _broken_text(place, row):
            return problem
        if any(cell.strip() for cell in row[len(head) :]):
            quote = "put a brief that has commas between quotation marks"
            return Complaint(place, f"the row has {len(row)} cells, but there are {len(head)} columns", quote)
        cells = {name: cell.strip() for name, cell in zip(head, row, strict=False) if name and cell.strip()}
        brief = {"text": cells.pop("brief", "") or cells.pop("text", "")}
        brief.update({name: cells.pop(name) for name in ("title", "source") if name in cells})
        if not brief["text"]:
            return Complaint(place, "the brief is empty", "write what the picture must show")
        named = cells.pop("custom_id", self._implied(path, place.line))
        labels = cells.pop("labels", "").replace(",", " ").split()
        values = intake.assignments(f"{name}={cell}" for name, cell in cells.items())
        return entry(place, named, brief, path.parent, seed=values.pop("seed", None), labels=labels, settings=values)


def _is_list(name: str) -> bool:
    return name.lower().endswith((".csv", ".tsv", ".jsonl", ".ndjson"))


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
        pass


def _json_object(place: Place, line: bytes) -> dict[str, Any] | Complaint:
    try:
        read = intake.read_json(line.decode())
    except UnicodeDecodeError as error:
        return Complaint(place, f"byte {error.start} is not UTF-8", "save the file as UTF-8")
    except (ValueError, RecursionError) as error:
        return Complaint(place, f"the JSON is broken: {error}", "write one JSON object in each line")
    if not isinstance(read, dict):
        return Complaint(place, "it is no JSON object", "write one JSON object in each line")
    return cast(dict[str, Any], read)


def _numbered(path: Path, rows: "Rows") -> Iterator[tuple[Place, list[str]] | Complaint]:
    """The rows that are not empty, each with the line where it begins; then what ends a broken table."""
    line = 1
    try:
        for row in rows:
            place, line = Place(str(path), line), rows.line_num + 1
            if any(cell.strip() for cell in row):
                yield place, row
    except csv.Error as error:
        yield Complaint(Place(str(path), line), f"the row can't be read: {error}", "look at its quotation marks")


def _delimiter(path: Path, head: str) -> str:
    """What stands between the columns: Excel writes semicolons where commas are decimal signs."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max((",", ";", "\t"), key=head.count)


def _broken(text: str) -> bool:
    """Whether it was made of bytes that are no UTF-8."""
    return any("\udc80" <= char <= "\udcff" for char in text)


def _broken_text(place: Place, cells: Sequence[str]) -> Complaint | None:
    if any(map(_broken, cells)):
        return Complaint(place, "a character is not UTF-8", "save the table as CSV UTF-8")
    return None


def _head_problem(place: Place, head: Sequence[str]) -> Complaint | None:
    names = [name for name in head if name]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        return Complaint(place, f"two columns are called {doubled!r}", "give each its own name")
    if not {"brief", "text"} & set(names):
        return Complaint(place, "no column is called brief", "write the columns' names into the first row")
    if {"brief", "text"} <= set(names):
        return Complaint(place, "there are a column brief and a column text", "leave one: they mean the same")
    return None
