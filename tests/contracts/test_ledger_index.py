"""Lists by label and status: the index gives what a look at every job gives. In process and on a server."""

import random
from collections.abc import Iterator
from typing import cast

import pytest

from director.errors import Actor
from tasks.jobs import ACTIVE, JobStatus
from tasks.ledger.totals import Totals, totals
from tasks.ledger.types import Claim, Cursor, Query
from tasks.summary import GoalSummary
from tests.support.ledgers import PLAN, RENDER, LedgerRig

OWNERS, LABELS = ("alice", "bob|x"), ("x", "y", "z.1")
STATUSES: tuple[frozenset[JobStatus], ...] = (
    frozenset(), frozenset({JobStatus.RUNNING}), frozenset({JobStatus.QUEUED}), frozenset({JobStatus.FAILED}),
    frozenset({JobStatus.DONE, JobStatus.CANCELLED}), frozenset({JobStatus.RUNNING, JobStatus.FAILED}),
)  # fmt: skip
STANDINGS = (ACTIVE, {JobStatus.DONE}, {JobStatus.CANCELLED}, {JobStatus.FAILED})


def indexed(rig: LedgerRig) -> None:
    cursor = rig.ledger.index()
    while cursor != "0":
        cursor = rig.ledger.index(cursor)
    assert rig.ledger.indexed()


def unindexed(rig: LedgerRig) -> None:
    rig.redis.delete(f"{rig.ledger.prefix}indexed")
    assert not rig.ledger.indexed()


def keys(rig: LedgerRig) -> list[str]:
    """The lists by label and standing that hold a job."""
    prefix, found = rig.ledger.prefix, list[str]()
    for what in ("label", "standing"):
        names = cast("Iterator[str]", rig.redis.scan_iter(f"{prefix}{what}:*", count=1000))
        found += [name.removeprefix(prefix) for name in names]
    return sorted(found)


def pages(rig: LedgerRig, query: Query, limit: int) -> list[str]:
    found: list[str] = []
    behind: Cursor | None = None
    while True:
        page = rig.ledger.jobs(query, limit, behind)
        assert len(page.records) <= limit
        found += [record.job for record in page.records]
        if (behind := page.following) is None:
            return found


def live(rig: LedgerRig, seed: int) -> None:
    """Jobs in every state, by every way there."""
    choose = random.Random(seed)
    for i in range(60):
        labels = tuple(choose.sample(LABELS, choose.randrange(3)))
        rig.submit(f"job-{i:02}", owner=choose.choice(OWNERS), created_ms=1000 + choose.randrange(20), labels=labels)
    for job in choose.sample([f"job-{i:02}" for i in range(60)], 80, counts=[2] * 60):
        move(rig, job, choose.randrange(9))


def move(rig: LedgerRig, job: str, way: int) -> None:
    ledger, record = rig.ledger, rig.ledger.get(job)
    if record is None:
        return
    claim = ledger.claim(job, record.step, "host-1")
    if not isinstance(claim, Claim):
        if record.status is JobStatus.FAILED and way % 2:
            ledger.requeue(job)
        elif record.ended and way == 0:
            ledger.remove(job)
            ledger.removed(job)
        return
    ends = {1: JobStatus.DONE, 2: JobStatus.CANCELLED, 3: JobStatus.FAILED}
    if end := ends.get(way):
        ledger.commit(job, claim.n, claim.nonce, "key", None, end, "budget")
    elif way in {4, 5}:
        for _ in range(3):  # until it is a dead letter
            ledger.fail(job, claim.n, claim.nonce, "{}", Actor.SEAT, "host-1", 0, 0)
            again = ledger.claim(job, claim.n, "host-1")
            claim = again if isinstance(again, Claim) else claim
    elif way == 6:
        ledger.rewind(job, claim.n, claim.nonce, 0, "", PLAN, GoalSummary(), "{}")
    elif way == 7:
        ledger.commit(job, claim.n, claim.nonce, "key", RENDER)


@pytest.mark.parametrize("seed", range(4))
def test_the_index_gives_what_a_look_at_every_job_gives(rig: LedgerRig, seed: int) -> None:
    live(rig, seed)
    choose = random.Random(seed)
    queries: list[tuple[Query, int]] = []
    for statuses in STATUSES:
        for _ in range(4):
            low, high = sorted(choose.sample(range(1000, 1021), 2))
            labels = tuple(choose.sample(LABELS, choose.choice([0, 0, 1, 2])))
            times = {"after_ms": low, "before_ms": high} if choose.random() < 0.5 else {}
            owner = choose.choice([*OWNERS, None])
            queries.append((Query(owner=owner, statuses=statuses, labels=labels, **times), choose.choice([1, 3, 50])))
    unindexed(rig)
    looked = [pages(rig, *query) for query in queries]
    assert totals(rig.ledger, None) is None
    indexed(rig)
    assert [pages(rig, *query) for query in queries] == looked
    assert any(looked)
    for owner in (*OWNERS, None):
        assert totals(rig.ledger, owner) == Totals(
            *(len(pages(rig, Query(owner=owner, statuses=frozenset(each)), 50)) for each in STANDINGS)
        )


def test_an_older_ledger_is_indexed(rig: LedgerRig) -> None:
    live(rig, 7)
    made = {key: rig.redis.zrange(rig.ledger.prefix + key, 0, -1) for key in keys(rig)}
    for key in made:
        rig.redis.delete(rig.ledger.prefix + key)
    rig.submit("stale", labels=("x",))
    rig.redis.zadd(f"{rig.ledger.prefix}standing:done|", {"stale": 1000})  # an older program did not move it
    indexed(rig)
    assert "stale" not in rig.redis.zrange(f"{rig.ledger.prefix}standing:done|", 0, -1)
    rig.ledger.drop("stale")
    assert {key: rig.redis.zrange(rig.ledger.prefix + key, 0, -1) for key in keys(rig)} == made


def test_what_goes_leaves_nothing(rig: LedgerRig) -> None:
    live(rig, 5)
    rig.advance(10_001)
    for record in rig.ledger.jobs().records:
        assert rig.ledger.drop(record.job)
    assert keys(rig) == []


def test_what_is_forgotten_leaves_nothing(rig: LedgerRig) -> None:
    rig.submit(labels=LABELS)
    assert len(keys(rig)) == 8
    rig.ledger.commit("job-1", 0, rig.claimed().nonce, "key", None, JobStatus.DONE, "satisfied")
    rig.advance(1_000)
    assert rig.ledger.forget(0) == 1
    assert keys(rig) == []


def test_a_record_that_is_lost_leaves_the_lists_where_it_is_met(rig: LedgerRig) -> None:
    rig.submit(labels=("x",))
    rig.submit("job-2")
    rig.submit("job-3")
    indexed(rig)
    rig.redis.delete(f"{rig.ledger.prefix}job:job-1")
    for query in (Query(labels=("x",)), Query(owner="alice", labels=("x",))):
        assert rig.ledger.jobs(query).records == []
    assert [key for key in keys(rig) if key.startswith("label")] == []


def test_many_wait_and_few_run(rig: LedgerRig) -> None:
    for i in range(1_500):
        rig.submit(f"job-{i:04}", created_ms=1000 + i // 7)
    indexed(rig)
    for i in (3, 700, 1_100):
        claim = rig.claimed(job=f"job-{i:04}")
        if i == 700:  # it waits between two steps
            rig.ledger.commit(claim.job, 0, claim.nonce, "key", RENDER)
    running = Query(owner="alice", statuses=frozenset({JobStatus.RUNNING}))
    page = rig.ledger.jobs(running, 50)
    assert ([record.job for record in page.records], page.following) == (["job-1100", "job-0700", "job-0003"], None)
    assert pages(rig, running, 2) == ["job-1100", "job-0700", "job-0003"]
