"""Jobs that pause wherever the planner is asked, so that many share one batch of the policy.

Each runs the real `begin`, `next_step`, `perform` and `advance`. What comes out is a line a job: what was asked, what
was answered, what it brought by a judge that is not the loop's verifier, and what it cost.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from director.loop import advance, begin, next_step, perform
from director.seats import Context, DecideRequest, Studio
from director.state import State
from director.types import Brief, LoopSettings, Seed, Trajectory, Value
from worker.policy import tokens
from worker.policy.network import Network
from worker.sketch.misses import rng


class Decision(Value):
    """One question in the policy's words, the menu, and the place on it that was taken."""

    question: tuple[int, ...]
    menu: tuple[int, ...]
    number: int
    logprob: float

    @property
    def name(self) -> str:
        return tokens.NAMES[self.menu[self.number]]


class Parts(Value):
    """What a job brought, in goals, and what it cost."""

    met: int
    goals: int
    renders: int
    rounds: int
    edits: int
    vlm_calls: int

    @property
    def coverage(self) -> float:
        return self.met / self.goals


class Line(Value):
    """One rollout. `task` names the task and its world; `weights` is the version of the policy that played."""

    task: str
    seed: Seed
    weights: str
    decisions: tuple[Decision, ...]
    parts: Parts
    reward: float = 0.0
    trajectory: str

    @property
    def ids(self) -> tuple[int, ...]:
        """All words in their order; an answer is counted on behind the words of questions."""
        return tuple(i for d in self.decisions for i in (*d.question, len(tokens.WORDS) + d.menu[d.number]))

    @property
    def mask(self) -> tuple[int, ...]:
        """1 for each word that the policy chose, 0 for what the environment said."""
        return tuple(m for d in self.decisions for m in (*(0 for _ in d.question), 1))


class Price(Value):
    """What cost takes from a reward of 0 to 5, for each render and each round."""

    render: float = 0.02
    round: float = 0.0

    def of(self, share: float) -> "Price":
        """A share of the price."""
        return Price(render=share * self.render, round=share * self.round)

    def reward(self, parts: Parts) -> float:
        return round(5 * parts.coverage - self.render * parts.renders - self.round * parts.rounds, 6)


@dataclass
class Job:
    """A job that has not run yet. `grade` says what its delivered picture shows: goals met, of how many."""

    task: str
    brief: Brief
    settings: LoopSettings
    seed: Seed
    studio: Studio
    context: Context
    grade: Callable[[Trajectory], tuple[int, int]]


Answer = Callable[[Sequence[DecideRequest], Sequence[str]], Sequence[tuple[int, float]]]
"""Places on the menus, and their log-probabilities; the words beside a question name its job and its number there."""


def play(jobs: Sequence[Job], answer: Answer, weights: str) -> list[Line]:
    """Run jobs to their end, all questions of one turn answered together."""
    played = [Played(job) for job in jobs]
    while open_ones := [each for each in played if each.asked]:
        asked = [each.asked for each in open_ones if each.asked]
        keys = [f"{n}/{len(each.decisions)}" for n, each in enumerate(played) if each.asked]
        for each, (number, logprob) in zip(open_ones, answer(asked, keys), strict=True):
            each.take(number, logprob)
    return [each.line(weights) for each in played]


class Played:
    """One job on its way."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._trajectory = begin(job.brief, job.settings, job.seed)
        self.decisions: list[Decision] = []
        self.asked = self._until_asked()

    def take(self, number: int, logprob: float) -> None:
        asked = self.asked
        assert asked
        question, menu = tokens.question(asked), tokens.menu(asked)
        self.decisions.append(Decision(question=question, menu=menu, number=number, logprob=round(logprob, 6)))
        self._trajectory = advance(self._trajectory, asked.chosen(number, by="policy"))
        self.asked = self._until_asked()

    def _until_asked(self) -> DecideRequest | None:
        while request := next_step(self._trajectory):
            if isinstance(request, DecideRequest):
                return request
            self._trajectory = advance(self._trajectory, perform(request, self._job.studio, self._job.context))
        return None

    def line(self, weights: str) -> Line:
        state = State.of(self._trajectory)
        met, goals = self._job.grade(self._trajectory)
        usage = state.usage
        calls = usage.planner_calls + usage.judge_calls + usage.verifier_calls
        edits = sum(each.planned.action.kind == "edit" for each in state.rounds)
        return Line(
            task=self._job.task,
            seed=self._job.seed,
            weights=weights,
            decisions=tuple(self.decisions),
            parts=Parts(met=met, goals=goals, renders=usage.renders, rounds=usage.rounds, edits=edits, vlm_calls=calls),
            trajectory=hashlib.sha256(self._trajectory.model_dump_json().encode()).hexdigest()[:16],
        )


# --- who answers --------------------------------------------------------------------------------


def likeliest(network: Network) -> Answer:
    """As `PolicyDecider` answers."""

    def answer(asked: Sequence[DecideRequest], keys: Sequence[str]) -> list[tuple[int, float]]:
        scores = network.scores([tokens.question(a) for a in asked], [tokens.menu(a) for a in asked])
        return [(number := int(np.argmax(each.round(6))), float(each[number])) for each in scores]

    return answer


def sampled(network: Network, dice: str) -> Answer:
    """By chance, as likely as the policy says; what is thrown depends on `dice` and the key alone."""

    def answer(asked: Sequence[DecideRequest], keys: Sequence[str]) -> list[tuple[int, float]]:
        scores = network.scores([tokens.question(a) for a in asked], [tokens.menu(a) for a in asked])
        taken: list[tuple[int, float]] = []
        for each, key in zip(scores, keys, strict=True):
            place = int(np.searchsorted(np.exp(each).cumsum(), rng("sample", dice, key).random()))
            number = min(place, len(each) - 1)
            taken.append((number, float(each[number])))
        return taken

    return answer


def preferred(*names: str) -> Answer:
    """The first of `names` that is on the menu, else the schedule's own option."""

    def answer(asked: Sequence[DecideRequest], keys: Sequence[str]) -> list[tuple[int, float]]:
        return [(_place(each, names), 0.0) for each in asked]

    return answer


def _place(request: DecideRequest, names: Sequence[str]) -> int:
    menu = [option.name for option in request.options]
    return next((menu.index(name) for name in names if name in menu), 0)
