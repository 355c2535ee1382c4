"""A folder in GenEval's layout: `<idx>/metadata.jsonl` and `<idx>/samples/0000.png`; made, looked through, judged."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from director.benchmarks.cases import Key, Name
from director.benchmarks.geneval import (
    SAMPLES,
    ColourClassifier,
    Detector,
    Entry,
    Row,
    judge,
    kept,
    read_metadata,
    row,
)
from director.benchmarks.record import open_log
from director.errors import BriefError
from director.types import Value
from tasks.store import image_hash

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


class Evaluated(Value):
    """One judged picture, or why it could not be. `task` is a hash of the picture and its prompt."""

    case: Name
    task: str
    row: Row | None = None
    error: str = ""

    @property
    def key(self) -> Key:
        return Key(self.case, "geneval", 0)


@dataclass(frozen=True)
class Evaluation:
    """Rows in the folder's order; `broken` are pictures that could not be opened, `missing` ones that are not there."""

    rows: tuple[Row, ...]
    broken: tuple[str, ...]
    missing: tuple[str, ...]


def sample_path(folder: Path, entry: Entry, number: int) -> Path:
    return folder / entry.folder / "samples" / f"{number:04d}.png"


def write_metadata(folder: Path, entry: Entry) -> None:
    """The prompt's line beside its pictures. Raises BriefError when another prompt's line stands there."""
    path = folder / entry.folder / "metadata.jsonl"
    if path.is_file():
        if _entry(path, entry.index).prompt != entry.prompt:
            raise BriefError(f"{path} holds another prompt", "use another folder", "-o")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(".metadata.part")
    part.write_text(entry.record + "\n", encoding="utf-8")
    part.replace(path)


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


def evaluate(
    samples: Sequence[Sample],
    output: Path,
    detector: Detector,
    colours: ColourClassifier,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Judge the pictures and file each in `output`, so that an interrupted evaluation goes on where it stopped.

    A picture that can't be opened is tried again by the next run. Raises BriefError when `output` holds the
    judgement of another picture under the same name, or of another detector.
    """
    judged: dict[str, Evaluated] = {}
    missing: list[str] = []
    with open_log(output / "judged.jsonl", Evaluated, {"detector": detector.name, "colours": colours.name}) as log:
        for number, sample in enumerate(samples):
            if not sample.path.is_file():
                missing.append(str(sample.path))
                continue
            png = sample.path.read_bytes()
            task = hashlib.sha256(sample.entry.record.encode() + b"\n" + png).hexdigest()[:16]
            key = Key(sample.case, "geneval", 0)
            found = None if log.failed(key) else log.get(key, task)
            if found is None:
                found = _judge(sample, png, task, detector, colours)
                log.add(found)
            judged[sample.case] = found
            tell(number + 1, len(samples))
    rows = tuple(each.row for each in judged.values() if each.row)
    broken = tuple(f"{each.case}: {each.error}" for each in judged.values() if each.error)
    return Evaluation(rows, broken, tuple(missing))


def write_results(path: Path, rows: Sequence[Row]) -> None:
    """The official `results.jsonl`, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text("".join(each.model_dump_json() + "\n" for each in rows), encoding="utf-8")
    part.replace(path)


def _judge(sample: Sample, png: bytes, task: str, detector: Detector, colours: ColourClassifier) -> Evaluated:
    try:
        image_hash(png)
    except BriefError as error:
        return Evaluated(case=sample.case, task=task, error=str(error))
    prompt = sample.entry.prompt
    classes = dict.fromkeys(each.name for each in (*prompt.include, *prompt.exclude))
    found = kept(detector.detect(png, tuple(classes)), prompt.tag)
    verdict = judge(prompt, found, lambda kind, objects: colours.colours(png, kind, objects))
    return Evaluated(case=sample.case, task=task, row=row(str(sample.path), sample.entry, found, verdict))


def _entry(path: Path, index: int) -> Entry:
    if not path.is_file():
        raise BriefError(f"there is no {path}", "each folder of pictures holds its prompt's line", "--images")
    entries = read_metadata(path.read_bytes(), str(path))
    if len(entries) != 1:
        raise BriefError(f"{path} holds {len(entries)} prompts", "each folder holds one", "--images")
    return Entry(index, entries[0].prompt, entries[0].record)
