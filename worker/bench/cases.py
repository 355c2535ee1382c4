"""The nouns that every benchmark shares: a case, an arm, what a run left behind, and its scored row.

A case is run by a `Runner`: in this process, or through a service. Grading is a second step over what
the runs left in a folder, so both ways give the same table.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

from pydantic import Field

from director.state import State
from director.types import (
    Brief,
    Chosen,
    Extracted,
    Goal,
    LoopSettings,
    Planned,
    Rendered,
    Seed,
    Selected,
    Trajectory,
    Value,
    Verified,
)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""Safe as the name of a file."""


class Case(Value):
    """One task. The loop sees `text` and `source`; `goals` are the grader's alone.

    `group` is the benchmark's own division (category, tag). `source` is the path of a picture to edit.
    """

    id: Name
    text: str
    title: str = ""
    group: str = ""
    goals: tuple[Goal, ...] = ()
    source: Path | None = None

    @property
    def brief(self) -> Brief:
        """What the loop is given; the picture to edit is put in by who runs it."""
        return Brief(text=self.text, title=self.title)

    def digest(self) -> str:
        """A hash of the task and its picture. A result belongs to it."""
        said = self.model_dump_json(exclude={"source"}).encode()
        picture = self.source.read_bytes() if self.source else b""
        return hashlib.blake2b(said + picture, digest_size=8).hexdigest()


class Arm(Value):
    """One way to run every case: a strategy, or an ablation of it."""

    name: Name
    settings: LoopSettings


class Key(NamedTuple):
    """What a piece of work is filed under."""

    case: str
    arm: str
    seed: Seed


class Work(NamedTuple):
    """One case to be run one way with one seed."""

    case: Case
    arm: Arm
    seed: Seed

    @property
    def key(self) -> Key:
        return Key(self.case.id, self.arm.name, self.seed)


class Cost(Value):
    """What a run cost. None: not measured, as tokens are without a VLM and steps without diffusion."""

    rounds: float = 0
    renders: float = 0
    planner_calls: float = 0
    judge_calls: float = 0
    verifier_calls: float = 0
    denoising_steps: float | None = None
    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    seconds: float | None = None

    @property
    def vlm_calls(self) -> float:
        """Requests to planner, judge and verifier: what would be VLM calls on the sketch studio."""
        return self.planner_calls + self.judge_calls + self.verifier_calls


class Filed(Value):
    """A line of a run log. `task` is a hash of what was done; `error` marks what is to be tried again."""

    case: Name
    arm: Name
    seed: Seed
    task: str
    error: str = ""

    @property
    def key(self) -> Key:
        return Key(self.case, self.arm, self.seed)


class Run(Filed):
    """What is left of one piece of work: where its picture lies, how it ended, what it cost.

    `task` is the case's digest. `picture` is relative to the run's folder; None when there is none.
    `found` counts the goals that the planner found. `error` is set when a seat failed: then nothing
    is known of the case, which is not the same as zero.
    """

    picture: str | None = None
    mode: str = ""
    found: int = 0
    stop: str = ""
    by: tuple[str, ...] = ()
    cost: Cost = Cost()


class Row(Filed):
    """A run with its score. Each figure is a part of a whole, so that rates add up over tasks.

    `parts["goals"] == (12, 18)` says 12 of 18 goals; a whole of 0 says that there was nothing to score.
    `detail` is what was judged, for who wants to look: it enters no figure.
    """

    group: str = ""
    parts: dict[str, tuple[float, float]] = Field(default_factory=dict[str, tuple[float, float]])
    run: Run
    detail: tuple[dict[str, str | float | None], ...] = ()


class Delivery(NamedTuple):
    """A piece of work that has ended, and its picture; None when there is none. Whoever files it sets `run.picture`."""

    run: Run
    png: bytes | None = None


class Runner(Protocol):
    """A way to run pieces of work: in this process, or through a service."""

    @property
    def studio(self) -> str:
        """What fills the seats, as the run log and the reports name it."""
        ...

    @property
    def fixed(self) -> Mapping[str, Any]:
        """Settings of the loop that this way puts below those of the command line."""
        ...

    @property
    def tells_each(self) -> bool:
        """Whether each run that ends is reported, or only every twentieth part of them."""
        ...

    def run(self, works: Sequence[Work]) -> Iterator[Delivery]:
        """Each piece of work as soon as it has ended, in any order. A seat that fails is a Run with its error."""
        ...


def works(cases: Iterable[Case], arms: Sequence[Arm], seeds: Sequence[Seed]) -> list[Work]:
    """Everything there is to run: case by case, so that an interrupted run has whole cases."""
    return [Work(case, arm, seed) for case in cases for arm in arms for seed in seeds]


def run_of(work: Work, trajectory: Trajectory, counts: Mapping[str, int], seconds: float | None) -> Run:
    """A finished trajectory as a Run. `counts` is what the seats counted beside it (steps, tokens)."""
    state = State.of(trajectory)
    counted = {name: counts.get(name) for name in ("denoising_steps", "prompt_tokens", "completion_tokens")}
    took = None if seconds is None else round(seconds, 3)
    cost = Cost.model_validate({**state.usage.model_dump(), **counted, "seconds": took})
    return Run(
        case=work.case.id,
        arm=work.arm.name,
        seed=work.seed,
        task=work.case.digest(),
        mode=state.mode.value if state.mode else "",
        found=len(state.goals),
        stop=trajectory.stop.reason.value if trajectory.stop else "",
        by=seats(trajectory),
        cost=cost,
    )


def row_of(run: Run, case: Case, **scored: Any) -> Row:
    """The row of a run, with what was scored or why it could not be."""
    return Row(case=run.case, arm=run.arm, seed=run.seed, task=run.task, group=case.group, run=run, **scored)


def failed_run(work: Work, error: str) -> Run:
    """A piece of work that a seat or its service gave up."""
    return Run(case=work.case.id, arm=work.arm.name, seed=work.seed, task=work.case.digest(), error=error[:500])


def seats(trajectory: Trajectory) -> tuple[str, ...]:
    """Who filled the seats, as "seat=name", each once, in order."""
    found: set[str] = set()
    for event in trajectory.events:
        match event:
            case Extracted() | Chosen() | Planned() if event.by != "director":
                found.add(f"planner={event.by}")
            case Rendered():
                found.add(f"editor={event.by}")
            case Selected():
                found.add(f"judge={event.by}")
            case Verified():
                found.add(f"verifier={event.by}")
            case _:
                pass
    return tuple(sorted(found))
