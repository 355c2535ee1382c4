"""A simulated night: real dispatcher, ledger and scripts on a real Redis, under a clock that jumps on.

Workers are simulated: they take hints as kombu gives them out, claim, work for a random time, and commit. They draw
nothing: the snapshots that they name are not stored, unless a `Work` stores some.
"""

import heapq
import time
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from director.errors import Actor
from tasks.jobs import PRIORITIES, JobStatus
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import Claim, CommitResult, FailResult, Hint, Limits, Next, Wiped
from tasks.summary import GoalSummary

if TYPE_CHECKING:
    from redis import Redis

KINDS = ("plan", "render", "select", "verify")
OTHERS = ("verifier", "judge", "planner")  # in the order in which a worker serves them
_SEAT = {"plan": "planner", "select": "judge", "verify": "verifier"}
_GONE = '{"boundary":"lease","message":"the machine is gone","fix":""}'
LIMITS = Limits(lease_ttl_ms=600_000)
"""Simulated workers don't renew."""


class Clock:
    """Simulated milliseconds, from the real present on."""

    def __init__(self) -> None:
        self.start = self.ms = 1000 * time.time()

    @property
    def s(self) -> float:
        """Since the night began."""
        return (self.ms - self.start) / 1000


class SimulatedLedger(Ledger):
    """Its clock is the simulated one."""

    def __init__(self, redis: "Redis", clock: Clock, limits: Limits = LIMITS) -> None:
        super().__init__(redis, limits)
        self._clock = clock

    def run(self, script: str, *arguments: str | int) -> Any:
        self.now_ms = int(self._clock.ms)
        return super().run(script, *arguments)


class Broker:
    """Lists as kombu keeps them: a first step waits at the tail, a following one is taken next."""

    def __init__(self) -> None:
        self._lists: defaultdict[tuple[str, int], deque[Hint]] = defaultdict(deque)

    def put(self, hint: Hint) -> None:
        waiting = self._lists[hint.queue, PRIORITIES[bisect_right(PRIORITIES, hint.priority) - 1]]
        if hint.n:
            waiting.append(hint)
        else:
            waiting.appendleft(hint)

    def take(self, queues: Sequence[str]) -> Hint | None:
        """The users' priority first, then the order of the queues."""
        for priority in PRIORITIES:
            for queue in queues:
                if waiting := self._lists.get((queue, priority)):
                    return waiting.pop()
        return None

    def length(self, queue: str) -> int:
        return sum(len(self._lists[queue, priority]) for priority in PRIORITIES)

    def lose_all(self) -> None:
        self._lists.clear()


class Work(Protocol):
    """What the steps of jobs are."""

    def seconds(self, claim: Claim) -> float: ...

    def commit(self, ledger: Ledger, claim: Claim) -> tuple[CommitResult, Hint | None]:
        """Move the job on; gives the hint of the following step."""
        ...


@dataclass
class Cycles:
    """Rounds of plan, render, select and verify, as many as `rounds` says of a job; or `last` steps in all."""

    seed: int
    model: str = "night"
    most_rounds: int = 6
    last: int = 0
    pace: float = 1.0  # times as long

    def rounds(self, job: str) -> int:
        return Random(f"{self.seed}/{job}").randint(1, self.most_rounds)

    def seconds(self, claim: Claim) -> float:
        return self.takes(claim.job, claim.n, claim.kind)

    def takes(self, job: str, n: int, kind: str) -> float:
        """A render takes 12 s, other steps 1 to 6 s; of fifty one takes four times as long."""
        dice = Random(f"{self.seed}/{job}/{n}")
        median, least, most = (12.0, 8.0, 24.0) if kind == "render" else (3.0, 1.0, 6.0)
        drawn = min(most, max(least, median * dice.lognormvariate(0, 0.3)))
        return self.pace * (drawn * 4 if dice.random() < 0.02 else drawn)

    def commit(self, ledger: Ledger, claim: Claim) -> tuple[CommitResult, Hint | None]:
        steps = self.last or len(KINDS) * self.rounds(claim.job)
        n = claim.n + 1
        following = None
        if n < steps and not claim.cancel:
            kind = KINDS[n % len(KINDS)]
            following = Next(queue=f"editor.{self.model}" if kind == "render" else _SEAT[kind], kind=kind)
        result = ledger.commit(
            claim.job, claim.n, claim.nonce, f"jobs/{claim.job}/steps/{claim.n:04d}-{claim.nonce}.json", following,
            JobStatus.QUEUED if following else JobStatus.CANCELLED if claim.cancel else JobStatus.DONE,
            "" if following else "cancelled" if claim.cancel else "satisfied",
            summary=GoalSummary(total=1, met=0 if following else 1), acknowledge_cancel=claim.cancel,
        )  # fmt: skip
        return result, following.hint(claim.job, n, "", claim.priority) if following else None


@dataclass
class Program:
    """A worker of so many processes. Each holds one message at a time: prefetch 1, acknowledged behind its step."""

    name: str
    queues: tuple[str, ...]
    processes: int
    at_work: int = 0
    away_until: float = 0.0  # its machine is gone until then
    in_hand: dict[str, tuple[Claim, Hint]] = field(default_factory=dict[str, tuple[Claim, Hint]])
    spans: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    def busy(self, first: float, last: float) -> float:
        """The share of its processes' time between these seconds."""
        used = sum(max(0.0, min(end, last) - max(begin, first)) for begin, end in self.spans)
        return used / (self.processes * (last - first))


@dataclass
class Night:
    """Events in order of time. `a_pass` is what the reconciler does, at every tick at which anything has changed."""

    clock: Clock
    ledger: Ledger
    broker: Broker
    programs: list[Program]
    work: Work
    seed: int
    a_pass: Callable[[], None] = lambda: None
    begun: Callable[[Claim], None] = lambda claim: None  # a step began
    done: Callable[[Claim, float], None] = lambda claim, seconds: None  # a step was committed
    ended: Callable[[Claim], None] = lambda claim: None  # a job ended
    idle_pass_s: float = 15.0
    tick_s: float = 1.0  # between two looks whether a pass is due
    keep_spans: bool = True
    announced_ms: int = 10**9
    refused: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])  # steps whose lease had died
    steps: int = 0
    _events: list[tuple[float, int, Callable[[], None]]] = field(
        default_factory=list[tuple[float, int, Callable[[], None]]]
    )
    _number: "count[int]" = field(default_factory=count)
    _changed: bool = True
    _last_pass: float = -1e9

    def __post_init__(self) -> None:
        self._dice = Random(self.seed)

    def at(self, s: float, act: Callable[[], None]) -> None:
        """Let this happen then, in seconds of the night."""
        heapq.heappush(self._events, (max(s, self.clock.s), next(self._number), act))

    def changed(self) -> None:
        """The next pass has something to do."""
        self._changed = True

    def run(self, over: Callable[[], bool], longest_s: float = 10 * 86_400) -> None:
        """Until `over` says so, which is asked once a pass."""
        self.announce()
        self.at(self.clock.s, self._pass)
        stopped = False

        def look() -> None:
            nonlocal stopped
            stopped = over()
            if not stopped:
                self.at(self.clock.s + self.tick_s, look)

        self.at(self.clock.s + self.tick_s, look)
        while self._events and not stopped:
            s, _, act = heapq.heappop(self._events)
            self.clock.ms = self.clock.start + 1000 * s
            assert s < longest_s, "the night does not end"
            act()
            self._serve()
        self._events.clear()

    def announce(self) -> None:
        """The workers that are there say which queues they serve."""
        for program in self.programs:
            if program.away_until <= self.clock.s:
                self.ledger.announce(program.name, list(program.queues), self.announced_ms, program.processes)

    def lose(self, program: Program, at: float, seconds: float) -> None:
        """Its machine is gone for so long; what it had in hand others begin anew."""

        def go() -> None:
            program.away_until = max(program.away_until, at + seconds)
            self.ledger.announce(program.name, list(program.queues), 0)
            for claim, hint in program.in_hand.values():
                result = self.ledger.fail(claim.job, claim.n, claim.nonce, _GONE, Actor.SEAT, program.name)
                if result is FailResult.DEAD:
                    self.ended(claim)
                else:
                    self.broker.put(hint)
            program.in_hand.clear()
            program.at_work = 0
            self._changed = True
            self.at(program.away_until + 0.001, come)

        def come() -> None:
            if program.away_until <= self.clock.s + 0.01:  # not away for longer by now
                self.ledger.announce(program.name, list(program.queues), self.announced_ms, program.processes)
                self._changed = True

        self.at(at, go)

    def _pass(self) -> None:
        if self._changed or self.clock.s - self._last_pass >= self.idle_pass_s:
            self._changed, self._last_pass = False, self.clock.s
            self.a_pass()
        self.at(self.clock.s + self.tick_s, self._pass)

    def _serve(self) -> None:
        """Give waiting hints to free processes, in no order of the programs."""
        free = [each for each in self.programs if each.at_work < each.processes and each.away_until < self.clock.s]
        self._dice.shuffle(free)
        while free:
            for program in tuple(free):
                hint = self.broker.take(program.queues)
                if hint is None:
                    free.remove(program)
                elif claim := self._claim(hint, program):
                    self._begin(program, claim, hint)
                    if program.at_work == program.processes:
                        free.remove(program)

    def _claim(self, hint: Hint, program: Program) -> Claim | None:
        try:
            claim = self.ledger.claim(hint.job, hint.n, program.name)
        except Wiped:
            return None
        return claim if isinstance(claim, Claim) else None

    def _begin(self, program: Program, claim: Claim, hint: Hint) -> None:
        program.at_work += 1
        program.in_hand[claim.nonce] = claim, hint
        begun, seconds = self.clock.s, self.work.seconds(claim)
        self.begun(claim)

        def finish() -> None:
            if program.in_hand.pop(claim.nonce, None) is None:
                return
            program.at_work -= 1
            self.steps += 1
            if self.keep_spans:
                program.spans.append((begun, self.clock.s))
            following: Hint | None
            try:
                result, following = self.work.commit(self.ledger, claim)
            except Wiped:
                result, following = CommitResult.REFUSED, None
            if result is not CommitResult.OK:
                self.refused.append((claim.job, claim.n))
                return
            self.done(claim, seconds)
            if following:
                self.broker.put(following)
            else:
                self._changed = True
                self.ended(claim)

        self.at(begun + seconds, finish)


def editors(number: int, model: str = "night") -> list[Program]:
    return [Program(f"editor-{n}@night", (f"editor.{model}",), 1) for n in range(number)]


def thinkers(processes: int) -> list[Program]:
    """One program that fills the other seats."""
    return [Program("vlm@night", OTHERS, processes)]
