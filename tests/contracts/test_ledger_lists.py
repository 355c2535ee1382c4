"""Lists, facts, costs, and how many jobs an owner may have. Every test runs on Redis and on the twin."""

import random
from itertools import chain

import pytest

from tasks.jobs import ACTIVE, JobStatus
from tasks.ledger.types import Cursor, Page, Query, Removing
from tasks.summary import NO_COST, Cost, GoalSummary
from tests.contracts.benches import PLAN, RENDER, Bench, entry

FACTS = GoalSummary(met=3, missed=1, unsure=1, total=6, coverage=0.5, rounds=2, renders=8)
STEP = Cost(ms=1500, gpu_ms=1200, renders=4, denoising_steps=80, attempts=1)
ASKED = Cost(ms=300, vlm_calls=2, prompt_tokens=900, completion_tokens=40, attempts=1)
WASTED = Cost(wasted_attempts=1)


def listed(page: Page) -> list[str]:
    return [record.job for record in page.records]


def pages(bench: Bench, query: Query, limit: int) -> list[list[str]]:
    """Page after page to the end."""
    found: list[list[str]] = []
    behind: Cursor | None = None
    while True:
        page = bench.ledger.jobs(query, limit, behind)
        found.append(listed(page))
        if page.following is None:
            return found
        behind = page.following


def all_of(pages: list[list[str]]) -> list[str]:
    return list(chain.from_iterable(pages))


def end(bench: Bench, job: str, status: JobStatus = JobStatus.DONE) -> None:
    bench.ledger.commit(job, 0, bench.claimed(job=job).nonce, "key", None, status, "budget")


class TestList:
    def test_pages_follow_each_other_through_equal_times(self, bench: Bench) -> None:
        for i in range(7):
            bench.submit(f"job-{i}", created_ms=1000 + i // 3)
        assert pages(bench, Query(), 2) == [["job-6", "job-5"], ["job-4", "job-3"], ["job-2", "job-1"], ["job-0"]]
        assert pages(bench, Query(), 7) == [[f"job-{i}" for i in range(6, -1, -1)]]

    def test_a_new_job_does_not_move_the_pages_behind_it(self, bench: Bench) -> None:
        for i in range(4):
            bench.submit(f"job-{i}", created_ms=1000 + i)
        first = bench.ledger.jobs(limit=2)
        bench.submit("job-9", created_ms=2000)
        assert listed(bench.ledger.jobs(limit=2, behind=first.following)) == ["job-1", "job-0"]

    def test_it_filters_by_time(self, bench: Bench) -> None:
        for i in range(5):
            bench.submit(f"job-{i}", created_ms=1000 + i)
        assert listed(bench.ledger.jobs(Query(after_ms=1001, before_ms=1003))) == ["job-2", "job-1"]
        assert pages(bench, Query(after_ms=1001, before_ms=1004), 2) == [["job-3", "job-2"], ["job-1"]]
        # The cursor of another list does not widen this one.
        assert listed(bench.ledger.jobs(Query(before_ms=1002), behind=Cursor(1004, "job-4"))) == ["job-1", "job-0"]

    def test_it_filters_by_status_as_it_is_shown(self, bench: Bench) -> None:
        for i in range(4):
            bench.submit(f"job-{i}", created_ms=1000 + i)
        bench.claimed(job="job-0")
        end(bench, "job-1")
        end(bench, "job-2", JobStatus.FAILED)
        assert listed(bench.ledger.jobs(Query(statuses=frozenset({JobStatus.RUNNING})))) == ["job-0"]
        assert listed(bench.ledger.jobs(Query(statuses=ACTIVE))) == ["job-3", "job-0"]
        assert listed(bench.ledger.jobs(Query(statuses=frozenset(JobStatus)))) == ["job-3", "job-2", "job-1", "job-0"]
        bench.advance(10_001)
        queued = bench.ledger.jobs(Query(statuses=frozenset({JobStatus.QUEUED})))
        assert [(record.job, record.status) for record in queued.records] == [
            ("job-3", JobStatus.QUEUED), ("job-0", JobStatus.QUEUED),
        ]  # fmt: skip

    def test_it_filters_by_labels(self, bench: Bench) -> None:
        for i, labels in enumerate([("night", "a.b"), ("night-2",), (), ("night",)]):
            bench.submit(f"job-{i}", created_ms=1000 + i, labels=labels)
        assert listed(bench.ledger.jobs(Query(labels=("night",)))) == ["job-3", "job-0"]
        assert listed(bench.ledger.jobs(Query(labels=("night", "a.b")))) == ["job-0"]
        assert listed(bench.ledger.jobs(Query(labels=("axb",)))) == []
        record = bench.ledger.get("job-0")
        assert record
        assert record.labels == ("night", "a.b")

    def test_few_matches_among_many_are_all_found(self, bench: Bench) -> None:
        for i in range(1_200):
            bench.submit(f"job-{i:04}", created_ms=1000 + i // 5, labels=("rare",) if i % 500 == 7 else ())
        rare = Query(owner="alice", labels=("rare",))
        assert all_of(pages(bench, rare, 2)) == ["job-1007", "job-0507", "job-0007"]
        assert all_of(pages(bench, Query(), 250)) == [f"job-{i:04}" for i in range(1_199, -1, -1)]

    @pytest.mark.parametrize("seed", range(3))
    def test_pages_add_up_whatever_is_asked(self, bench: Bench, seed: int) -> None:
        choose = random.Random(seed)
        jobs: dict[str, tuple[str, int, tuple[str, ...]]] = {}
        for i in range(40):
            owner, created = choose.choice(["alice", "bob"]), 1000 + choose.randrange(12)
            labels = tuple(choose.sample(["x", "y", "z"], choose.randrange(3)))
            jobs[f"job-{i:02}"] = owner, created, labels
            bench.submit(f"job-{i:02}", owner=owner, created_ms=created, labels=labels)
        for _ in range(10):
            low, high = sorted(choose.sample(range(1000, 1013), 2))
            query = Query(owner=choose.choice(["alice", None]), labels=("x",), after_ms=low, before_ms=high)
            wanted = [
                job
                for job, (owner, created, labels) in jobs.items()
                if query.owner in (None, owner) and low <= created < high and "x" in labels
            ]
            wanted.sort(key=lambda job: (jobs[job][1], job), reverse=True)
            assert all_of(pages(bench, query, choose.randint(1, 5))) == wanted


class TestFactsAndCost:
    def test_a_commit_tells_the_facts_and_adds_the_cost(self, bench: Bench) -> None:
        bench.submit()
        bench.ledger.commit("job-1", 0, bench.claimed().nonce, "key", RENDER, cost=ASKED)
        bench.ledger.commit("job-1", 1, bench.claimed(1).nonce, "key", PLAN, facts=FACTS, cost=STEP)
        record = bench.ledger.get("job-1")
        assert record
        assert (record.facts, record.cost, record.ended_ms) == (FACTS, ASKED + STEP, 0)

    def test_a_repeated_commit_costs_once(self, bench: Bench) -> None:
        bench.submit()
        claim = bench.claimed()
        for _ in range(3):
            bench.ledger.commit("job-1", 0, claim.nonce, "key", RENDER, cost=STEP)
        bench.ledger.fail("job-1", 0, claim.nonce, "{}", True, 0, STEP)  # what broke after the commit
        record = bench.ledger.get("job-1")
        assert record
        assert record.cost == STEP

    def test_what_fails_is_wasted(self, bench: Bench) -> None:
        bench.submit()
        claim = bench.claimed()
        for _ in range(2):
            bench.ledger.fail("job-1", 0, claim.nonce, "{}", True, 0, ASKED)
        record = bench.ledger.get("job-1")
        assert record
        assert record.cost == ASKED + WASTED

    def test_what_is_refused_is_wasted(self, bench: Bench) -> None:
        bench.submit()
        zombie = bench.claimed()
        bench.advance(10_001)
        claim = bench.claimed()
        for _ in range(2):
            bench.ledger.commit("job-1", 0, zombie.nonce, "key", RENDER, facts=FACTS, cost=STEP)
        bench.ledger.commit("job-1", 0, claim.nonce, "key", RENDER, cost=ASKED)
        record = bench.ledger.get("job-1")
        assert record
        assert record.cost == STEP + WASTED + ASKED
        assert record.facts == GoalSummary()

    def test_a_commit_that_met_a_cancel_costs_when_it_is_acknowledged(self, bench: Bench) -> None:
        bench.submit()
        claim = bench.claimed()
        bench.ledger.cancel("job-1")
        bench.ledger.commit("job-1", 0, claim.nonce, "key", RENDER, cost=STEP)
        bench.ledger.commit(
            "job-1", 0, claim.nonce, "key", None, JobStatus.CANCELLED, "cancelled", True, cost=STEP
        )  # fmt: skip
        record = bench.ledger.get("job-1")
        assert record
        assert record.cost == STEP

    def test_a_lease_that_died_costs_nothing_that_is_known(self, bench: Bench) -> None:
        bench.submit()
        bench.claimed()
        bench.advance(10_001)
        (record,) = bench.ledger.reap()
        assert record.cost == NO_COST

    def test_the_rebuild_brings_them_back(self, wiped: Bench) -> None:
        wiped.ledger.lock_rebuild("me", 10_000)
        wiped.ledger.restore(entry(facts=FACTS, cost=STEP + WASTED, labels=("x",)), "me")
        wiped.ledger.restore(entry("job-2", next=None, status=JobStatus.DONE, ended_ms=5_000), "me")
        wiped.ledger.open_epoch("me")
        wiped.ledger.commit("job-1", 0, wiped.claimed().nonce, "key", RENDER, facts=FACTS, cost=ASKED)
        record, ended = wiped.ledger.get("job-1"), wiped.ledger.get("job-2")
        assert record
        assert ended
        assert (record.facts, record.cost, record.labels) == (FACTS, STEP + WASTED + ASKED, ("x",))
        assert ended.ended_ms == 5_000

    def test_when_it_ended(self, bench: Bench) -> None:
        for i in range(3):
            bench.submit(f"job-{i}")
        end(bench, "job-0")
        for _ in range(3):
            bench.ledger.fail("job-1", 0, bench.claimed(job="job-1").nonce, "{}", True, 0)
        records = {record.job: record.ended_ms for record in bench.ledger.jobs().records}
        assert abs(records["job-0"] - records["job-1"]) < 5_000
        assert records["job-0"] > 1_700_000_000_000
        assert records["job-2"] == 0
        bench.ledger.requeue("job-1")
        record = bench.ledger.get("job-1")
        assert record
        assert record.ended_ms == 0


class TestAdmit:
    def admitted(self, bench: Bench, job: str, owner: str = "alice") -> bool:
        return bench.ledger.admit(owner, job, 2, 30_000)

    def test_no_more_than_so_many(self, bench: Bench) -> None:
        assert [self.admitted(bench, f"job-{i}") for i in (1, 2, 3, 2)] == [True, True, False, True]
        assert self.admitted(bench, "job-3", "bob")

    def test_an_admission_that_led_to_nothing_runs_out(self, bench: Bench) -> None:
        bench.submit("job-1")
        assert self.admitted(bench, "job-2")
        bench.advance(30_001)
        assert self.admitted(bench, "job-3")
        assert not self.admitted(bench, "job-2")

    def test_what_has_ended_makes_room_until_it_is_requeued(self, bench: Bench) -> None:
        bench.submit("job-1")
        bench.submit("job-2")
        assert not self.admitted(bench, "job-3")
        for _ in range(3):
            bench.ledger.fail("job-1", 0, bench.claimed(job="job-1").nonce, "{}", True, 0)
        assert self.admitted(bench, "job-3")
        bench.ledger.requeue("job-1")
        bench.submit("job-3")
        assert not self.admitted(bench, "job-4")
        end(bench, "job-2")
        end(bench, "job-3")
        assert self.admitted(bench, "job-4")

    def test_what_was_restored_counts(self, wiped: Bench) -> None:
        wiped.ledger.lock_rebuild("me", 10_000)
        wiped.ledger.restore(entry("job-1"), "me")
        wiped.ledger.restore(entry("job-2", cancel=True), "me")
        wiped.ledger.restore(entry("job-3", status=JobStatus.FAILED, letter="aa"), "me")
        wiped.ledger.open_epoch("me")
        assert not self.admitted(wiped, "job-4")


class TestRemove:
    def test_an_active_job_stays(self, bench: Bench) -> None:
        bench.submit()
        assert not bench.ledger.remove("job-1")
        bench.claimed()
        assert not bench.ledger.remove("job-1")
        bench.advance(10_001)
        assert not bench.ledger.remove("job-1")
        assert bench.ledger.get("job-1")

    def test_an_ended_one_goes_and_its_id_is_free_once_its_objects_are_gone(self, bench: Bench) -> None:
        bench.submit()
        end(bench, "job-1")
        assert bench.ledger.remove("job-1")
        assert bench.ledger.get("job-1") is None
        assert bench.ledger.jobs() == ([], None)
        assert bench.ledger.forget(0) == 0
        with pytest.raises(Removing):
            bench.ledger.create(entry())
        bench.ledger.removed("job-1")
        assert bench.ledger.create(entry())

    def test_a_dead_letter_goes_and_is_filed_no_more(self, bench: Bench) -> None:
        bench.submit()
        for _ in range(3):
            bench.ledger.fail("job-1", 0, bench.claimed().nonce, "{}", True, 0)
        assert bench.ledger.remove("job-1")
        assert bench.ledger.dead_letters() == []
        assert bench.ledger.requeue("job-1") is None

    def test_one_that_only_storage_knows_is_held_too(self, bench: Bench) -> None:
        assert bench.ledger.remove("job-1")
        with pytest.raises(Removing):
            bench.ledger.create(entry())
