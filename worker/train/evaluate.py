"""A policy beside its teacher and the schedule, on tasks and worlds that nothing was chosen by."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from director.intake import loop_settings
from director.types import LoopSettings
from worker.bench.sketch_lab.worlds import CROWDING, POLICIES, Task, tasks_of
from worker.bench.statistics import Metric, Parts, clustered_draws, difference, ends, estimate
from worker.policy.network import Network, dumped
from worker.train.rollouts import Line, Price
from worker.train.worlds import Field, Play, policy_settings

_PIXELS = {"width": 384, "height": 384}
_TOLD = 20  # times, how far it is
_METRICS = (
    Metric("coverage", "goals met, %"),
    Metric("tasks_80", "tasks ≥ 80 %"),
    Metric("renders", "renders", share=False),
    Metric("rounds", "rounds", share=False),
    Metric("edits", "edits", share=False),
    Metric("vlm_calls", "VLM calls", share=False),
)
TEACHER, OPTION_0, TRAINED = "all", "ours", "GRPO"
IN_PIXELS = (TEACHER, OPTION_0, TRAINED)
"""The arms that the question needs; the schedules beside each other in pixels are in docs/strategies.md."""


class Arm(NamedTuple):
    """One way to choose. Without a network and without names the schedule chooses."""

    name: str
    settings: LoopSettings
    network: Network | None = None
    names: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """Tells a policy from another of the same name."""
        return hashlib.sha256(dumped(self.network.weights, {})).hexdigest()[:12] if self.network else ""


def arms(policies: Mapping[str, Network]) -> list[Arm]:
    """The teacher, the schedule that jobs have by default, the wide one, one option always, and the policies."""
    fixed = Arm("widest, N = 2", policy_settings(), names=("one-shot-n2", "staged-n2", "edit-all-n2"))
    schedules = [Arm(name, loop_settings({}, name)) for name in (TEACHER, OPTION_0, "wide")]
    return [*schedules, fixed, *(Arm(name, policy_settings(), network) for name, network in policies.items())]


def measured(
    field: Field, chosen: Sequence[Arm], tasks: Sequence[Task], pixels: bool, filed: Path, tell: Callable[[str], None]
) -> dict[str, list[Line]]:
    """Lines of every arm, task by task. What the file `filed` holds already is not run again."""
    known = _read(filed)
    open_ones = [(task, left) for task in tasks if (left := [arm for arm in chosen if _key(arm, task) not in known])]
    jobs = sum(len(left) for _, left in open_ones)
    for done, (arm, task, line) in enumerate((_painted if pixels else _listed)(field, open_ones), 1):
        known[_key(arm, task)] = line
        with filed.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"arm": arm.name, **line.model_dump(mode="json")}) + "\n")
        if done % max(1, jobs // _TOLD) == 0:
            tell(f"{filed.name}: {done} of {jobs} jobs")
    return {arm.name: [known[_key(arm, task)] for task in tasks] for arm in chosen}


def _key(arm: Arm, task: Task) -> tuple[str, str, str]:
    return arm.name, arm.version, task.name


_Open = Sequence[tuple[Task, Sequence[Arm]]]
"""Tasks, and the arms that have not run them."""


def _listed(field: Field, work: _Open) -> Iterator[tuple[Arm, Task, Line]]:
    for arm in {arm.name: arm for _, arms in work for arm in arms}.values():
        todo = [task for task, arms in work if arm in arms]
        for task, line in zip(todo, field.play(todo, _play(arm), Price()), strict=True):
            yield arm, task, line


def _painted(field: Field, work: _Open) -> Iterator[tuple[Arm, Task, Line]]:
    ways = [(task, [_play(arm, **_PIXELS) for arm in arms]) for task, arms in work]
    for (task, arms), lines in zip(work, field.paint(ways, Price()), strict=True):
        yield from ((arm, task, line) for arm, line in zip(arms, lines, strict=True))


def _play(arm: Arm, **size: int) -> Play:
    return Play(arm.settings.model_copy(update=size), arm.network, arm.version, names=arm.names)


def _read(path: Path) -> dict[tuple[str, str, str], Line]:
    """By arm, version and task; a line that was torn off is left out."""
    if not path.is_file():
        return {}
    text = path.read_bytes()
    if not text.endswith(b"\n"):
        path.write_bytes(text[: text.rfind(b"\n") + 1])
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    return {(row.pop("arm"), row["weights"], row["task"]): Line.model_validate(row) for row in rows}


def table(found: Mapping[str, Sequence[Line]], tasks: Sequence[Task]) -> dict[str, Any]:
    """Estimates of each arm, and its differences from the teacher and the schedule; intervals over worlds and tasks."""
    drawn = clustered_draws([task.world for task in tasks])
    parts = {name: [_parts(line) for line in lines] for name, lines in found.items()}
    rows: list[dict[str, Any]] = []
    for name, own in parts.items():
        row: dict[str, Any] = {"arm": name, "tasks": len(own)}
        for metric in _METRICS:
            if each := estimate(own, metric, drawn):
                row[metric.name] = [each.value, *(ends(each) or [])]
        for other in (TEACHER, OPTION_0):
            if name != other and (gap := difference(own, parts[other], _METRICS[0], drawn)):
                row[f"less {other}"] = [gap.value, *(ends(gap) or [])]
        row["rounds of the teacher's"] = round(row["rounds"][0] / rows[0]["rounds"][0], 3) if rows else 1.0
        rows.append(row)
    return {"rows": rows, "worlds": len({task.world for task in tasks}), "tasks": len(tasks)}


def _parts(line: Line) -> Parts:
    p = line.parts
    costs = {"renders": p.renders, "rounds": p.rounds, "edits": p.edits, "vlm_calls": p.vlm_calls}
    return {
        "coverage": (p.met, p.goals),
        "tasks_80": (float(p.met >= 0.8 * p.goals), 1.0),
        **{name: (float(value), 1.0) for name, value in costs.items()},
    }


def swept(
    field: Field, chosen: Sequence[Arm], count: int, folder: Path, tell: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """The table for each crowding of edits, on lists."""
    for crowding in CROWDING:
        tasks = tasks_of("policies", count, POLICIES, (crowding,))
        lines = measured(field, chosen, tasks, False, folder / f"lists-{crowding:g}.jsonl", tell)
        yield {"crowding": crowding, **table(lines, tasks)}
