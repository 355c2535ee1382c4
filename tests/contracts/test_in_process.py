"""In process the scripts say what they say on a server: long random walks over every call, each answer compared."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from director.errors import Actor
from infra.servers import Running
from tasks.jobs import JobStatus
from tasks.ledger.types import (
    CONTROL,
    Claim,
    Page,
    Query,
    Record,
    Refusal,
)  # fmt: skip
from tasks.summary import Cost, GoalSummary
from tests.support.ledgers import PLAN, RENDER, LedgerRig, entry, in_process, on_server

JOBS = ("a", "b", "c")
WORKERS = ("w1", "w2", "w3")
QUEUES = (PLAN.queue, RENDER.queue, CONTROL)
SHORT_MS, LONG_MS, DELAY_MS, AGE_MS = 1_300, 11_700, 5_000, 3_000


class Pair:
    """Two ledgers that are asked the same. Nonces differ, so each claim is kept as a pair."""

    def __init__(self, rigs: tuple[LedgerRig, LedgerRig], choose: random.Random) -> None:
        self.rigs = rigs
        self.choose = choose
        self.claims: dict[str, list[tuple[str, str]]] = {job: [] for job in JOBS}
        self.history: list[str] = []
        self.actions: dict[Callable[[], None], int] = {
            self.create: 3, self.claim: 12, self.renew: 4, self.commit: 8, self.fail: 8, self.cancel: 2,
            self.requeue: 3, self.reap: 3, self.overdue: 3, self.file_dead_letters: 1, self.forget: 1,
            self.wait: 8, self.wipe: 1, self.list: 3, self.admit: 3, self.remove: 1, self.rewind: 2,
            self.announce: 3, self.expire_held: 1, self.quarantine: 1, self.canary: 2,
        }  # fmt: skip

    def walk(self, steps: int) -> None:
        for action in self.choose.choices(list(self.actions), list(self.actions.values()), k=steps):
            action()
            self.both("known", list(JOBS))
            self.both("depths")
            self.both("tallies")
            self.both("holds")
            self.both("sick_workers")
            self.both("jobs")

    def both(self, method: str, *arguments: Any, **named: Any) -> list[Any]:
        """Call both, with each one's own nonce where a pair is given. The answers must be equal."""
        answers = [
            getattr(rig.ledger, method)(*(one[side] if isinstance(one, tuple) else one for one in arguments), **named)
            for side, rig in enumerate(self.rigs)
        ]
        local, remote = (_comparable(answer) for answer in answers)
        if method not in {"known", "depths", "tallies", "holds", "sick_workers", "jobs", "get"}:
            self.history.append(f"{method}{arguments} -> {local}")
        assert local == remote, "\n".join([*self.history[-30:], f"{method}{arguments}"])
        return answers

    def job(self) -> str:
        return self.choose.choice(JOBS)

    def step(self, job: str) -> int:
        """Mostly the step at which the job stands."""
        record = self.rigs[0].ledger.get(job)
        return (record.step if record else 0) + self.choose.choice([0] * 8 + [-1, 1])

    def held(self, job: str) -> tuple[str, str]:
        """Mostly the last claim of the job, sometimes a zombie's."""
        claims = self.claims[job][-1:] if self.choose.random() < 0.8 else self.claims[job][-3:]
        return self.choose.choice(claims or [("", "")])

    def create(self) -> None:
        job = self.job()
        self.both("removed", job)
        labels = self.choose.choice([(), ("x",), ("x", "y")])
        self.both("create", entry(job, next=self.choose.choice([PLAN, RENDER]), created_ms=ord(job), labels=labels))

    def claim(self) -> None:
        job = self.job()
        answers = self.both("claim", job, self.step(job), self.choose.choice(WORKERS))
        if not isinstance(answers[0], Refusal):
            self.claims[job].append((answers[0].nonce, answers[1].nonce))

    def renew(self) -> None:
        job = self.job()
        self.both("renew", job, self.step(job), self.held(job))

    def commit(self) -> None:
        job = self.job()
        ends = {
            "go on": (RENDER,),
            "done": (None, JobStatus.DONE, "budget"),
            "cancelled": (None, JobStatus.CANCELLED, "cancelled", True),
            "failed": (None, JobStatus.FAILED, "failed"),
        }
        end = ends[self.choose.choices(list(ends), [12, 1, 2, 1])[0]]
        call = (job, self.step(job), self.held(job), "key")
        told = {"summary": GoalSummary(met=self.choose.randrange(9)), "cost": self.cost()}
        for _ in range(2):  # again, as if the first answer had been lost
            self.both("commit", *call, *end, **told)

    def fail(self) -> None:
        job = self.job()
        actor, delay = self.choose.choice(list(Actor)), self.choose.choice([0, DELAY_MS])
        held = json.dumps({"boundary": "editor", "message": 'ü / "x"', "resource": "gpu"})
        error = self.choose.choice(['{"boundary":"seat"}', held])
        call = (job, self.step(job), self.held(job), error, actor, self.choose.choice(WORKERS))
        self.both("fail", *call, self.choose.choice([0, 0, DELAY_MS]), delay, self.cost())

    def announce(self) -> None:
        worker = self.choose.choice(WORKERS)
        self.both("announce", worker, [*QUEUES], LONG_MS)
        self.both("standing", worker)

    def expire_held(self) -> None:
        self.both("expire_held", SHORT_MS)

    def quarantine(self) -> None:
        worker = self.choose.choice(WORKERS)
        self.both("quarantine", worker, "by hand")
        self.both("restore_worker", worker)

    def canary(self) -> None:
        self.both("canaries_due")
        self.both("canary", self.choose.choice(WORKERS), self.choose.random() < 0.3, "?")

    def cost(self) -> Cost:
        return Cost(ms=self.choose.randrange(1000), vlm_calls=self.choose.randrange(3), attempts=1)

    def list(self) -> None:
        statuses = frozenset(self.choose.sample(list(JobStatus), self.choose.randrange(3)))
        labels = self.choose.choice([(), ("x",), ("y",)])
        query = Query(owner=self.choose.choice([None, "alice"]), statuses=statuses, labels=labels)
        self.both("jobs", query, self.choose.randint(1, 3))
        self.both("get", self.job())

    def rewind(self) -> None:
        job = self.job()
        back = self.choose.choice([(0, "", PLAN), (None, "", None)])
        call = (job, self.step(job), self.held(job), *back, GoalSummary(met=1), '{"boundary":"store"}', self.cost())
        for _ in range(2):
            self.both("rewind", *call)

    def admit(self) -> None:
        self.both("admit", "alice", self.choose.choice([*JOBS, "d"]), self.choose.randint(1, 3), DELAY_MS)

    def remove(self) -> None:
        self.both("remove", self.job())

    def cancel(self) -> None:
        self.both("cancel", self.job())

    def requeue(self) -> None:
        self.both("requeue", self.job())

    def reap(self) -> None:
        self.both("reap")

    def overdue(self) -> None:
        self.both("overdue", self.choose.choice(QUEUES), AGE_MS, 10)

    def file_dead_letters(self) -> None:
        dead_letters = self.both("dead_letters")
        for rig, records in zip(self.rigs, dead_letters, strict=True):
            for record in records:
                rig.ledger.file_dead_letter(record.job, record.dead_letter)

    def forget(self) -> None:
        self.both("forget", 20_000)

    def wait(self) -> None:
        ms = self.choose.choice([SHORT_MS, LONG_MS])
        self.history.append(f"wait {ms}")
        for rig in self.rigs:
            rig.advance(ms)

    def wipe(self) -> None:
        self.history.append("wipe")
        for rig in self.rigs:
            rig.wipe()
        self.both("lock_rebuild", "me", 60_000)
        restored = entry("a", step=1, snapshot="key", next=RENDER, cancel=self.choose.random() < 0.3, cost=self.cost())
        self.both("restore", restored, "me")
        self.both("restore", entry("b", status=JobStatus.FAILED, dead_letter="aa"), "me")
        for rig in self.rigs:
            rig.ledger.open_epoch("me")


def _comparable(answer: Any) -> Any:
    """The answer without nonces, in one order."""
    if isinstance(answer, Page):
        return [_comparable(record) for record in answer.records], answer.following
    if isinstance(answer, list):
        return sorted((_comparable(one) for one in answer), key=str)
    if isinstance(answer, Claim):
        return answer.model_dump(exclude={"nonce"})
    if isinstance(answer, Record):
        known = {"dead_letter": bool(answer.dead_letter), "rewound": bool(answer.rewound)}
        return {**answer.model_dump(), **known, "error": json.loads(answer.error) if answer.error else None}
    return answer


@pytest.mark.parametrize("seed", range(2))
def test_both_agree(redis_running: Running, seed: int) -> None:
    with on_server(redis_running.url) as remote:
        rigs = (in_process(), remote)
        for rig in rigs:
            rig.ledger.now_ms = remote.ledger.now_ms
            rig.open()
        Pair(rigs, random.Random(seed)).walk(500)
