"""The twin says what Redis says: hypothesis makes up long runs of calls, and every answer is compared."""

import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from hypothesis.strategies import booleans, integers, sampled_from

from infra.servers import Running
from tasks.jobs import JobStatus
from tasks.ledger import CONTROL, Claim, Next, Record, Refusal
from tests.contracts.benches import LIMITS, PLAN, RENDER, Bench, entry, memory_bench, redis_bench

JOBS = sampled_from(["a", "b", "c"])
STEPS = integers(0, 3)
# No sum of these comes near a lease's life or a delay: the two clocks are read microseconds apart.
TIMES = sampled_from([1_300, 11_700])
DELAYS = sampled_from([0, 5_000])
AGE = 3_000


class Twins(RuleBasedStateMachine):
    """Two ledgers that are told the same. Nonces differ, so each claim is kept as a pair."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self._redis = redis_bench(self.url)
        self.benches: tuple[Bench, Bench] = (memory_bench(), self._redis.__enter__())
        self.claims: dict[str, tuple[str, str]] = {"": ("", "")}
        self.letters: dict[tuple[str, str], int] = {}

    def teardown(self) -> None:
        self._redis.__exit__(None, None, None)

    def both(self, method: str, *arguments: Any) -> Any:
        """Call both; nonces are given as the names of claims. The answers must be equal."""
        answers = [
            getattr(bench.ledger, method)(*(self.nonce(argument, i) for argument in arguments))
            for i, bench in enumerate(self.benches)
        ]
        plain = [self.comparable(answer) for answer in answers]
        assert plain[0] == plain[1], (method, arguments)
        return answers

    def nonce(self, argument: Any, side: int) -> Any:
        if isinstance(argument, str) and argument.startswith("claim "):
            return self.claims[argument][side]
        return argument

    def comparable(self, answer: Any) -> Any:
        if isinstance(answer, list):
            return sorted((self.comparable(one) for one in answer), key=str)
        if isinstance(answer, Claim):
            return answer.model_dump(exclude={"nonce"})
        if isinstance(answer, Record):
            facts = answer.model_dump(exclude={"hinted_ms", "not_before_ms", "letter", "error"})
            return {
                **facts,
                "hinted": answer.hinted_ms > 0,
                "delayed": answer.not_before_ms > 0,
                "letter": bool(answer.letter),
                "error": json.loads(answer.error) if answer.error else None,
            }
        return answer

    @initialize()
    def open(self) -> None:
        for bench in self.benches:
            bench.open()

    @rule(job=JOBS, following=sampled_from([PLAN, RENDER]))
    def create(self, job: str, following: Next) -> None:
        self.both("create", entry(job, next=following, created_ms=ord(job)))

    @rule(job=JOBS, n=STEPS)
    def claim(self, job: str, n: int) -> None:
        answers = self.both("claim", job, n, "host")
        if not isinstance(answers[0], Refusal):
            # The last two of a job: the holder, and a zombie.
            if old := self.claims.get(f"claim {job} now"):
                self.claims[f"claim {job} before"] = old
            self.claims[f"claim {job} now"] = (answers[0].nonce, answers[1].nonce)

    @rule(job=JOBS, n=STEPS, when=sampled_from(["now", "before"]))
    def renew(self, job: str, n: int, when: str) -> None:
        if (name := f"claim {job} {when}") in self.claims:
            self.both("renew", job, n, name)

    @rule(job=JOBS, n=STEPS, when=sampled_from(["now", "now", "before"]), cancelled=booleans(), last=booleans())
    def commit(self, job: str, n: int, when: str, cancelled: bool, last: bool) -> None:
        if (name := f"claim {job} {when}") not in self.claims:
            return
        end = (None, JobStatus.CANCELLED if cancelled else JobStatus.DONE, "stop", cancelled)
        self.both("commit", job, n, name, "key", *(end if last or cancelled else (RENDER,)))

    @rule(job=JOBS, n=STEPS, when=sampled_from(["now", "now", "before"]), counts=booleans(), delay=DELAYS)
    def fail(self, job: str, n: int, when: str, counts: bool, delay: int) -> None:
        if (name := f"claim {job} {when}") in self.claims:
            self.both("fail", job, n, name, '{"boundary":"seat"}', counts, delay)

    @rule(job=JOBS)
    def cancel(self, job: str) -> None:
        self.both("cancel", job)

    @rule(job=JOBS)
    def requeue(self, job: str) -> None:
        self.both("requeue", job)

    @rule()
    def reap(self) -> None:
        self.both("reap")

    @rule(queue=sampled_from([PLAN.queue, RENDER.queue, CONTROL]))
    def overdue(self, queue: str) -> None:
        self.both("overdue", queue, AGE, 10)

    @rule()
    def file_letters(self) -> None:
        self.both("dead_letters")
        for bench in self.benches:
            for record in bench.ledger.dead_letters():
                bench.ledger.file_letter(record.job, record.letter)

    @rule()
    def forget(self) -> None:
        self.both("forget", 20_000)

    @rule(ms=TIMES)
    def wait(self, ms: int) -> None:
        for bench in self.benches:
            bench.advance(ms)

    @rule()
    def wipe(self) -> None:
        for bench in self.benches:
            bench.wipe()
        self.both("lock_rebuild", "me", 60_000)
        self.both("restore", entry("a", step=1, snapshot="key", next=RENDER, cancel=True), "me")
        self.both("restore", entry("b", status=JobStatus.FAILED, letter="aa"), "me")
        for bench in self.benches:
            bench.ledger.open_epoch("me")

    @invariant()
    def they_know_the_same(self) -> None:
        for job in "abc":
            if self.benches[0].ledger.epoch():
                self.both("get", job)
        self.both("known", ["a", "b", "c"])
        for bench in self.benches:
            depths = bench.ledger.depths()
            assert all(min(depth.waiting, depth.leased, depth.delayed) >= 0 for depth in depths)
        # A wiped twin forgets its queues as Redis does: empty ones may differ in nothing else.
        self.both("depths")


def test_the_twins_agree(redis_running: Running) -> None:
    assert LIMITS.lease_ttl_ms == 10_000
    machine = type("TwinsHere", (Twins,), {"url": redis_running.url})
    run_state_machine_as_test(  # pyright: ignore[reportUnknownMemberType]
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
