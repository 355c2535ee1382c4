"""The list of jobs that the ledger has forgotten."""

import random
from pathlib import Path
from typing import Any

import pytest

from tasks.jobs import JobStatus
from tasks.ledger.types import Cursor, Query, Record
from tasks.store import FolderStore
from tasks.store.ended import EndedJobs

HOUR_MS = 3_600_000
NOW_MS = 1_790_000_000_000


def record(n: int, **more: Any) -> Record:
    told = {
        "job": f"{n:08}-0000-5000-8000-000000000000", "owner": "alice", "title": f"job {n}", "created_ms": NOW_MS - n,
        "priority": 6, "status": JobStatus.DONE, "step": 3, "queue": "", "kind": "", "snapshot": "key", "cancel": False,
        "stop": "budget", "error": "", "seat_failures": 0, "lease_deaths": 0, "not_before_ms": 0, "hinted_ms": 0,
        "holder": "", "dead_letter": "", "ended_ms": NOW_MS,
    }  # fmt: skip
    return Record.model_validate({**told, **more})


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def pages(ended: EndedJobs, query: Query, limit: int) -> list[Record]:
    found: list[Record] = []
    behind: Cursor | None = None
    while True:
        page = ended.page(query, limit, behind)
        assert len(page.records) <= limit
        found += page.records
        if (behind := page.following) is None:
            return found


@pytest.mark.parametrize("seed", range(4))
def test_pages_add_up_whatever_is_asked(store: FolderStore, seed: int) -> None:
    choose, ended = random.Random(seed), EndedJobs(store)
    records = [
        record(
            n, owner=choose.choice(["alice", "bob"]), created_ms=NOW_MS - HOUR_MS * choose.randrange(30) // 3,
            status=choose.choice([JobStatus.DONE, JobStatus.CANCELLED]), labels=choose.choice([(), ("x",), ("x", "y")]),
        )
        for n in range(200)
    ]  # fmt: skip
    rest = list(records)
    choose.shuffle(rest)
    while rest:
        some = choose.randrange(1, 12)
        ended.add(rest[:some])
        rest = rest[some:]
    for _ in range(20):
        low, high = sorted(NOW_MS - HOUR_MS * choose.randrange(12) + choose.randrange(2) for _ in range(2))
        query = Query(
            owner=choose.choice(["alice", "bob", None]), labels=choose.choice([(), ("x",), ("x", "y")]),
            statuses=choose.choice([frozenset[JobStatus](), frozenset({JobStatus.CANCELLED})]),
            after_ms=choose.choice([None, low]), before_ms=choose.choice([None, high]),
        )  # fmt: skip
        wanted = [
            found
            for found in records
            if query.owner in (None, found.owner)
            and set(query.labels) <= set(found.labels)
            and (not query.statuses or found.status in query.statuses)
            and (query.after_ms is None or found.created_ms >= query.after_ms)
            and (query.before_ms is None or found.created_ms < query.before_ms)
        ]
        wanted.sort(key=lambda found: (found.created_ms, found.job), reverse=True)
        assert pages(ended, query, choose.choice([1, 7, 300])) == wanted


def test_many_parts_of_an_hour_become_one(store: FolderStore) -> None:
    ended = EndedJobs(store)
    for n in range(50):
        ended.add([record(n)])
    assert len(store.list("ended/")) <= 9
    assert [found.title for found in EndedJobs(store).page(Query(), 50, None).records] == [
        f"job {n}" for n in range(50)
    ]


def test_a_page_reads_so_much_and_says_where_it_goes_on(store: FolderStore) -> None:
    ended = EndedJobs(store)
    ended.add(record(n, created_ms=NOW_MS - n * HOUR_MS) for n in range(100))
    page = ended.page(Query(labels=("none",)), 10, None)
    assert (page.records, page.following) != ([], None)
    assert page.following
    assert 30 < (NOW_MS - page.following.created_ms) / HOUR_MS < 34
    assert pages(ended, Query(labels=("none",)), 10) == []


def test_the_line_of_the_later_end_counts(store: FolderStore) -> None:
    ended = EndedJobs(store)
    ended.add([record(1, status=JobStatus.CANCELLED, ended_ms=NOW_MS + 5)])
    ended.add([record(1, ended_ms=NOW_MS), record(2)])
    assert [(found.title, found.status) for found in ended.page(Query(), 9, None).records] == [
        ("job 1", JobStatus.CANCELLED), ("job 2", JobStatus.DONE),
    ]  # fmt: skip


def test_what_is_dropped_leaves_no_word(store: FolderStore) -> None:
    ended = EndedJobs(store)
    ended.add([record(1), record(2, title="secret")])
    ended.add([record(3, title="secret", created_ms=NOW_MS - 5 * HOUR_MS)])
    for n, created_ms in ((2, NOW_MS - 2), (3, NOW_MS - 5 * HOUR_MS)):
        ended.drop("alice", created_ms, record(n).job)
        ended.drop("bob", created_ms, record(n).job)
    assert [found.title for found in ended.page(Query(), 9, None).records] == ["job 1"]
    assert not any(b"secret" in store.get(key) for key in store.list(""))


def test_a_line_that_can_not_be_read_hides_no_other(store: FolderStore) -> None:
    ended = EndedJobs(store)
    ended.add([record(1), record(2)])
    (key,) = store.list("ended/")
    first, second = store.get(key).splitlines()
    store.put(key, first[:-9] + b"\n" + second + b"\n")
    store.put("ended/notes.txt", b"?")
    assert [found.title for found in EndedJobs(store).page(Query(), 9, None).records] == ["job 2"]
