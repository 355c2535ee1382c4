"""What a run of training keeps in its folder: policies, rollouts, and a checkpoint that it can go on from.

sft.policy, sft.jsonl       the supervised start, and the rollouts that it was taught by
checkpoint.pt               weights, optimizer, step and curves after the last step
best.policy                 what did best on the validation set so far
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from director.errors import BriefError
from director.intake import loop_settings
from director.types import LoopSettings, Value
from tasks.files import write_whole
from worker.policy.network import Array, Network, dumped, load_network
from worker.train import libraries
from worker.train.libraries import Weights
from worker.train.model import as_tensors
from worker.train.rollouts import Line


@dataclass
class Held:
    """A run on its way."""

    weights: Weights
    optimizer: Any
    step: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    validated: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def teacher() -> LoopSettings:
    """The paper's `all`."""
    return loop_settings({}, "all")


def taught_by() -> LoopSettings:
    """The teacher with a menu, whose first option is what it would do anyway: so its choices have names."""
    return loop_settings({"decide": "planner"}, "all")


def begun(weights: Mapping[str, Array], how: Any) -> Held:
    torch = libraries.torch()

    tensors = as_tensors(weights, learn=True)
    return Held(tensors, torch.optim.AdamW(list(tensors.values()), how.rate))


def resumed(folder: Path, how: Value) -> Held | None:
    """The run that the folder holds; None when there is none. Raises BriefError for one with other settings."""
    torch = libraries.torch()

    path = folder / "checkpoint.pt"
    if not path.is_file():
        return None
    found = cast(dict[str, Any], torch.load(path, weights_only=True))
    made = cast(dict[str, Any], json.loads(found["settings"]))
    asked = how.model_dump(mode="json")
    if other := [name for name in asked if name != "steps" and made.get(name) != asked[name]]:
        raise BriefError(
            f"{path} was made with {other[0]} = {made.get(other[0])}; now it is {asked[other[0]]}",
            "use another folder, or the setting that it was made with",
            "-o",
        )
    weights: Weights = {name: w.requires_grad_() for name, w in found["weights"].items()}
    held = Held(weights, torch.optim.AdamW(list(weights.values()), asked["rate"]))
    held.optimizer.load_state_dict(found["optimizer"])
    held.step, held.curve, held.validated = found["step"], json.loads(found["curve"]), json.loads(found["validated"])
    return held


def save(folder: Path, held: Held, how: Value) -> None:
    """Whole or not at all: a run may be killed at any time."""
    torch = libraries.torch()

    file = io.BytesIO()
    told = {"settings": how.model_dump_json(), "curve": json.dumps(held.curve), "validated": json.dumps(held.validated)}
    weights = {name: w.detach() for name, w in held.weights.items()}
    torch.save({"weights": weights, "optimizer": held.optimizer.state_dict(), "step": held.step, **told}, file)
    write_whole(folder / "checkpoint.pt", file.getvalue())


def keep_best(folder: Path, policy: Network, how: Value) -> None:
    write_policy(folder / "best.policy", policy.weights, {"trained": "grpo", **how.model_dump(mode="json")})


def write_policy(path: Path, weights: Mapping[str, Array], about: Mapping[str, Any]) -> None:
    write_whole(path, dumped(weights, about))


def read_policy(path: Path) -> Network:
    """Raises DirectorError that names the file and what writes it."""
    return load_network(path)


def write_lines(path: Path, lines: Sequence[Line]) -> None:
    """A line a rollout: with `ids` and `mask`, as a trainer of language models reads them."""
    told = ({**line.model_dump(mode="json"), "ids": line.ids, "mask": line.mask} for line in lines)
    write_whole(path, "".join(json.dumps(each) + "\n" for each in told).encode())


def read_lines(path: Path) -> list[Line]:
    """What `write_lines` wrote. Raises BriefError that names the line."""
    lines: list[Line] = []
    for number, told in enumerate(path.read_text().splitlines(), 1):
        try:
            found = cast(dict[str, Any], json.loads(told))
            lines.append(Line.model_validate({name: found[name] for name in Line.model_fields if name in found}))
        except (ValueError, TypeError) as wrong:
            raise BriefError(
                f"{path}, line {number} is no rollout", "write it with: train record", "--recorded"
            ) from wrong
    return lines
