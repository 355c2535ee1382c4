"""Worlds of the sketch: the same habits, another luck. A level in one world says 3 points more or less of luck.

All of a world's luck hangs on its name, so a number makes a world. An editor may also find edits harder the more they
name: `crowding`, which keeps the luck, so that a sweep over it is paired.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from worker.bench.lgbench.compose import RANGES, compose
from worker.bench.lgbench.pool import pool
from worker.bench.lgbench.records import Record
from worker.bench.lgbench.write import write
from worker.sketch.misses import MissModel, load_miss_model

TRAINING, VALIDATION, RESULTS = range(1, 33), range(101, 109), range(201, 209)
"""World numbers. Nothing is chosen by what is seen in the last, nor in those beyond them."""
POLICIES = range(901, 1205)
"""For the results of trained policies, a world for each task: few worlds would say more about their luck than about
the policy. Present ones were seen in RESULTS and in 801 to 808 before this was fixed."""
TASK_SEEDS = {"training": 950, "validation": 960, "results": 970, "policies": 990}
"""Seeds of the composed tasks that go with them."""
ERRORS = 0.03
"""Chance that the loop's verifier errs on a goal of a list; who grades does not."""
CROWDING = (0.0, 0.5, 1.0, 2.0, 3.5)
"""How much harder an edit may get with each doubling of what it names, in units of luck."""


class Task(NamedTuple):
    """A composed task and the world that it is drawn in."""

    record: Record
    world: int
    habits: MissModel
    errors: float = ERRORS

    @property
    def name(self) -> str:
        return f"{self.record.id}@{self.world}"


def world(profile: str, number: int, crowding: float = 0.0) -> MissModel:
    """The habits of `profile` with the luck of one world."""
    return lucky(replace(load_miss_model(profile), edit_crowding=crowding), number)


def lucky(habits: MissModel, number: int) -> MissModel:
    """The same habits with the luck of one world."""
    return replace(habits, name=f"{habits.name}.{number}")


def tasks_of(
    purpose: str,
    count: int,
    worlds: Sequence[int],
    crowding: Sequence[float] = (0.0,),
    errors: Sequence[float] = (ERRORS,),
) -> list[Task]:
    """Tasks for one purpose of `TASK_SEEDS`, dealt out to worlds in turn, slower to crowdings, and slower to errors."""
    records = compose(pool(), count, RANGES["t2i"], TASK_SEEDS[purpose], "t2i", write)
    tasks: list[Task] = []
    for n, record in enumerate(records):
        turn, number = divmod(n, len(worlds))
        slower, place = divmod(turn, len(crowding))
        habits = world("flux-krea", worlds[number], crowding[place])
        tasks.append(Task(record, worlds[number], habits, errors[slower % len(errors)]))
    return tasks
