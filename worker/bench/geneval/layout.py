"""GenEval's official folder: `<idx>/metadata.jsonl` and `<idx>/samples/0000.png`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from director.errors import BriefError
from tasks.files import write_whole
from worker.bench.geneval.scoring import SAMPLES, TAGS, Entry, read_metadata

_SAMPLE = re.compile(r"\d+\.png")


@dataclass(frozen=True)
class Sample:
    """One picture of a prompt; it may be missing."""

    entry: Entry
    name: str
    path: Path

    @property
    def case(self) -> str:
        """What its judgement is filed under."""
        return f"{self.entry.folder}-{Path(self.name).stem}"


def sample_path(entry: Entry, number: int) -> Path:
    """Where a picture of a prompt lies in the folder."""
    return Path(entry.folder, "samples", f"{number:04d}.png")


def limited(entries: Sequence[Entry], limit: int | None) -> list[Entry]:
    """The first prompts of each tag, in the order of the file."""
    of_tag = [[each for each in entries if each.prompt.tag == tag][:limit] for tag in TAGS]
    return sorted((each for some in of_tag for each in some), key=lambda each: each.index)


def write_metadata(folder: Path, entry: Entry) -> None:
    """The prompt's line beside its pictures. Raises BriefError when another prompt's line stands there."""
    path = folder / entry.folder / "metadata.jsonl"
    if path.is_file():
        if _entry(path, entry.index).prompt != entry.prompt:
            raise BriefError(f"{path} holds another prompt", "use another folder", "-o")
        return
    write_whole(path, f"{entry.record}\n".encode())


def read_layout(folder: Path) -> list[Entry]:
    """The prompts of a folder, from its own metadata, as the official script finds them."""
    if not folder.is_dir():
        raise BriefError(f"{folder} is no folder", "name one with 00000/metadata.jsonl and so on", "--images")
    found = [
        _entry(path / "metadata.jsonl", int(path.name))
        for path in sorted(folder.iterdir())
        if path.name.isdigit() and path.is_dir()
    ]
    if not found:
        raise BriefError(f"{folder} holds no prompt", "it must hold 00000/metadata.jsonl and so on", "--images")
    return found


def samples_of(folder: Path, entries: Sequence[Entry], count: int = SAMPLES) -> Iterator[Sample]:
    """Each prompt's pictures, by name; missing ones are named as they would be."""
    for entry in entries:
        place = folder / entry.folder / "samples"
        names = sorted(path.name for path in place.iterdir() if _SAMPLE.fullmatch(path.name)) if place.is_dir() else []
        if len(names) > count:
            raise BriefError(f"{place} holds {len(names)} pictures", f"a prompt has {count}: see --samples", "--images")
        free = (name for n in range(count) if (name := f"{n:04d}.png") not in names)
        names += [next(free) for _ in range(count - len(names))]
        for name in names:
            yield Sample(entry, name, place / name)


def _entry(path: Path, index: int) -> Entry:
    if not path.is_file():
        raise BriefError(f"there is no {path}", "each folder of pictures holds its prompt's line", "--images")
    entries = read_metadata(path.read_bytes(), str(path))
    if len(entries) != 1:
        raise BriefError(f"{path} holds {len(entries)} prompts", "each folder holds one", "--images")
    return Entry(index, entries[0].prompt, entries[0].record)
