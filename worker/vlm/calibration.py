"""Thresholds of soft verdicts by model, as `doctor --calibrate` measures them: some models lean to yes, some to no.

The file holds any number of models. It needs no client library.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from director.errors import DirectorError
from director.types import Kind, Share

_FEW = 8
"""Questions with each answer that a type of goal needs for a threshold of its own."""


class Answered(BaseModel):
    """One question whose right answer is known, and the probability that the model gave to yes."""

    model_config = ConfigDict(frozen=True)

    type: Kind
    score: Share
    met: bool


class Calibration(BaseModel):
    """`right` is the share of right answers, yes and no weighing alike, with 0.5 as the threshold and with these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: Share
    thresholds: Mapping[Kind, Share] = {}
    questions: Annotated[int, Field(ge=0)]
    right: tuple[Share, Share]


_FILE = TypeAdapter(dict[str, Calibration])


def fitted(answers: Sequence[Answered]) -> Calibration:
    """The thresholds that part yes from no best. Raises ValueError without questions of both kinds."""
    if not _both(answers, 1):
        raise ValueError("there are no questions of which the right answer is yes, or none of which it is no")
    threshold = _parting(answers)
    of_kind = {kind: [each for each in answers if each.type == kind] for kind in {each.type for each in answers}}
    thresholds = {kind: _parting(asked) for kind, asked in sorted(of_kind.items()) if _both(asked, _FEW)}
    return Calibration(
        threshold=threshold,
        thresholds=thresholds,
        questions=len(answers),
        right=(_right(answers, {}, 0.5), _right(answers, thresholds, threshold)),
    )


def _both(answers: Sequence[Answered], few: int) -> bool:
    yes = sum(each.met for each in answers)
    return min(yes, len(answers) - yes) >= few


def _parting(answers: Sequence[Answered]) -> float:
    """In the middle between two scores; of equally good places that nearest to one half."""
    scores = sorted({0.0, 1.0, *(each.score for each in answers)})
    places = [0.5, *((low + high) / 2 for low, high in pairwise(scores))]
    return round(max(places, key=lambda place: (_right(answers, {}, place), -abs(place - 0.5))), 4)


def _right(answers: Sequence[Answered], thresholds: Mapping[str, float], default: float) -> float:
    """The mean of the shares of right answers among those that should be yes and those that should be no."""
    right: dict[bool, list[bool]] = {True: [], False: []}
    for each in answers:
        right[each.met].append((each.score > thresholds.get(each.type, default)) is each.met)
    return round(sum(sum(own) / len(own) for own in right.values()) / 2, 4)


def write(path: Path, model: str, calibration: Calibration) -> None:
    """Into the file, beside the other models that it holds."""
    held = _read(path) if path.exists() else {}
    path.write_bytes(_FILE.dump_json({**held, model: calibration}, indent=1) + b"\n")


def read(path: Path, model: str) -> Calibration:
    """What was measured for a model. Raises DirectorError when nothing was."""
    held = _read(path) if path.exists() else {}
    if model not in held:
        known = f"it has {', '.join(held)}" if held else "there is none" if not path.exists() else "it is empty"
        raise DirectorError(
            f"{path} has no thresholds for {model}: {known}",
            f"run `visiondirector-worker doctor --profile … --calibrate {path}`, or drop the verifier's calibration",
        )
    return held[model]


def _read(path: Path) -> dict[str, Calibration]:
    try:
        return _FILE.validate_json(path.read_bytes())
    except ValidationError as error:
        raise DirectorError(
            f"{path} is no calibration: {error.errors()[0]['msg']}", "remove it and calibrate"
        ) from error
