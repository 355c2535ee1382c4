"""Judges the pictures of a folder in GenEval's layout, and files each judgement."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from director.errors import BriefError
from director.types import Seed
from tasks.files import write_whole
from tasks.store import image_hash
from worker.bench.cases import Filed, Key, Name
from worker.bench.geneval.layout import Sample
from worker.bench.geneval.scoring import ColourClassifier, Detector, Row, judge, kept, row
from worker.bench.run_log import open_log


class Evaluated(Filed):
    """One judged picture, or why it could not be. `task` is a hash of the picture and its prompt."""

    arm: Name = "geneval"
    seed: Seed = 0
    row: Row | None = None


@dataclass(frozen=True)
class Evaluation:
    """Rows in the folder's order; `broken` are pictures that could not be opened, `missing` ones that are not there."""

    rows: tuple[Row, ...]
    broken: tuple[str, ...]
    missing: tuple[str, ...]


def evaluate(
    samples: Sequence[Sample],
    output: Path,
    detector: Detector,
    colours: ColourClassifier,
    tell: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Judge the pictures and file each in `output`, so that an interrupted evaluation goes on where it stopped.

    A picture that can't be opened is tried again by the next run. Raises BriefError when `output` holds the
    judgement of another picture under the same name, or of another detector.
    """
    judged: dict[str, Evaluated] = {}
    missing: list[str] = []
    with open_log(output / "judged.jsonl", Evaluated, {"detector": detector.name, "colours": colours.name}) as log:
        for number, sample in enumerate(samples, 1):
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
            tell(number)
    rows = tuple(each.row for each in judged.values() if each.row)
    broken = tuple(f"{each.case}: {each.error}" for each in judged.values() if each.error)
    return Evaluation(rows, broken, tuple(missing))


def write_results(path: Path, rows: Sequence[Row]) -> None:
    """The official `results.jsonl`, whole or not at all."""
    write_whole(path, "".join(f"{each.model_dump_json()}\n" for each in rows).encode())


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
