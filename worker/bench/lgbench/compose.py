"""Construction of LGBench-like tasks: goals sampled from the pool to the paper's type mix, then one brief.

A seed and a number name a task: the same whatever else is composed. A *writer* words the brief; the
goals stand in it as `core` gives them, which `missing` checks.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from director.errors import BriefError
from director.types import MAX_GOALS
from worker.bench.lgbench.pool import Pool
from worker.bench.lgbench.records import GoalRecord, Modality, Record
from worker.bench.lgbench.sample import LEADS, Sampler

RANGES: dict[Modality, tuple[int, int]] = {"t2i": (14, 22), "i2i": (8, 14)}
"""Goals a task when nobody says: their means are the paper's 18 and 11."""


class Draft(NamedTuple):
    """What a writer gets: the opening sentence, the goals in any order, and the task's random generator."""

    opening: str
    goals: Sequence[GoalRecord]
    modality: Modality
    dice: random.Random


Writer = Callable[[Draft], str]
"""Words one flowing brief in which the core of every goal stands verbatim."""


def compose(
    pool: Pool, tasks: int, goals: tuple[int, int], seed: int, modality: Modality, writer: Writer
) -> Iterator[Record]:
    """`tasks` records with numbers from 0. Each subcategory comes up equally often.

    Raises BriefError for a range that can't be composed, and when the writer leaves out a goal.
    """
    low, high = goals
    if not 1 <= low <= high <= MAX_GOALS:
        raise BriefError(f"{low}-{high} goals", f"write LOW-HIGH, from 1 to {MAX_GOALS}", "--goals")
    themes = [(category, name) for category, inner in pool.themes.items() for name in inner]
    random.Random(f"{seed}/{modality}").shuffle(themes)
    for number in range(tasks):
        category, name = themes[number % len(themes)]
        dice = random.Random(f"{seed}/{modality}/{number}")
        theme = pool.themes[category][name]
        task = Sampler(pool, theme, modality, dice).task(dice.randint(low, high))
        prompt = writer(Draft(theme.opening, task.goals, modality, dice))
        if lost := missing(prompt, task.goals):
            raise BriefError(
                f"the writer left {len(lost)} of {len(task.goals)} goals out of task {number}: {lost[0]!r}",
                "try again, or another writer",
                "--writer",
            )
        yield Record(
            id=number,
            modality=modality,
            category=category,
            subcategory=name,
            prompt=prompt,
            goals=tuple(task.goals),
            source=task.source or None,
        )


def core(goal: GoalRecord) -> str:
    """The part of a goal's description that stands in the brief: without "Add" or "Include the text"."""
    return goal.description.removeprefix(LEADS.get(goal.type, ""))


def missing(prompt: str, goals: Sequence[GoalRecord]) -> list[str]:
    """The cores that don't stand in the brief: word for word, but for white space and a first capital."""
    said = _plain(prompt)
    return [core(goal) for goal in goals if _plain(core(goal)) not in said]


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().casefold()
