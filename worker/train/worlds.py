"""Rollouts in the sketch's worlds: tasks become jobs, over lists (the surrogate) or over pixels, in four processes."""

import hashlib
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing import get_context
from typing import NamedTuple

from director.intake import loop_settings
from director.state import State
from director.types import Brief, LoopSettings, Outcome, Trajectory
from worker.bench.local import Pictures, one_thread, start_child
from worker.bench.sketch_lab.memo import remembering
from worker.bench.sketch_lab.surrogate import Lists, met, right, surrogate
from worker.bench.sketch_lab.worlds import Task
from worker.local import LocalContext
from worker.policy.network import Network
from worker.sketch.planner import extracted
from worker.train.rollouts import Answer, Job, Line, Price, likeliest, play, preferred, sampled

_SHARDS = 4
"""Jobs are always dealt out alike, whatever cores there are: a batch is part of what numbers come out."""


class Play(NamedTuple):
    """How jobs are run. `names`: options to prefer in place of a policy; `dice`: sampled, and empty: the likeliest."""

    settings: LoopSettings
    network: Network | None = None
    version: str = ""
    dice: str = ""
    names: tuple[str, ...] = ()


def policy_settings(**changes: object) -> LoopSettings:
    """What the small policy is trained under: N as it says at once, and nobody else stops before the rounds do."""
    return loop_settings({"decide": "planner", "adaptive": False, "patience": 6, **changes}, "paper")


class Field:
    """Processes that play. Use as a context manager: `with open_field() as field`."""

    def __init__(self, workers: ProcessPoolExecutor) -> None:
        self._workers = workers

    def play(self, tasks: Sequence[Task], how: Play, price: Price, repeats: int = 1) -> list[Line]:
        """Each task `repeats` times, one after the other, in the order of the tasks."""
        todo = [task for task in tasks for _ in range(repeats)]
        size = -(-len(todo) // _SHARDS)
        shards = [todo[n : n + size] for n in range(0, len(todo), size)]
        plays = [how._replace(dice=how.dice and f"{how.dice}/{n}") for n in range(len(shards))]
        lines = [line for found in self._workers.map(_played, shards, plays) for line in found]
        return _rewarded(lines, price)

    def paint(self, work: Sequence[tuple[Task, Sequence[Play]]], price: Price) -> Iterator[list[Line]]:
        """Each task in pixels in each of its ways; what several ways ask for alike is drawn and seen once."""
        for lines in self._workers.map(_painted, *zip(*work, strict=True)):
            yield _rewarded(lines, price)


def _rewarded(lines: Sequence[Line], price: Price) -> list[Line]:
    return [line.model_copy(update={"reward": price.reward(line.parts)}) for line in lines]


@contextmanager
def open_field() -> Generator[Field]:
    with ProcessPoolExecutor(_SHARDS, get_context("spawn"), _start, (os.getpid(),)) as workers:
        yield Field(workers)


def _start(parent: int) -> None:
    start_child(parent)
    one_thread()


def _played(tasks: Sequence[Task], how: Play) -> list[Line]:
    return play([job_of(task, how.settings) for task in tasks], _answer(how), how.version)


def _painted(task: Task, ways: Sequence[Play]) -> list[Line]:
    paint = _painter(task)
    return [line for how in ways for line in play([paint(how.settings)], _answer(how), how.version)]


def _answer(how: Play) -> Answer:
    if how.network is None:
        return preferred(*how.names)
    return sampled(how.network, how.dice) if how.dice else likeliest(how.network)


def job_of(task: Task, settings: LoopSettings, pixels: bool = False) -> Job:
    """A job in the task's world, graded on annotated goals: by what is there, in pixels by the sketch's verifier."""
    if pixels:
        return _painter(task)(settings)
    images, goals = Lists(), task.record.goal_values()

    def shown(done: Trajectory) -> tuple[int, int]:
        state = right(images.get(State.of(done).deliverable or ""))
        return sum(met(state, goal) for goal in goals), len(goals)

    brief, seed = _brief(task.record.prompt), _seed(task)
    return Job(
        task.name, brief, settings, seed, surrogate(task.habits, errors=task.errors), LocalContext(images), shown
    )


def _painter(task: Task) -> Callable[[LoopSettings], Job]:
    """Makes jobs in pixels that share one memory."""
    goals, context = task.record.goal_values(), LocalContext(Pictures())
    studio, look = remembering(task.habits)

    def seen(done: Trajectory) -> tuple[int, int]:
        image = State.of(done).deliverable or ""
        return sum(look.verdict(image, goal, context).outcome is Outcome.MET for goal in goals), len(goals)

    brief, seed = _brief(task.record.prompt), _seed(task)
    return lambda settings: Job(task.name, brief, settings, seed, studio, context, seen)


def _seed(task: Task) -> int:
    return int(hashlib.sha256(task.name.encode()).hexdigest()[:15], 16)


@cache
def _brief(prompt: str) -> Brief:
    """With the goals that the planner finds, so that they are found once and not for each rollout."""
    return Brief(text=prompt, goals=extracted(Brief(text=prompt)))
