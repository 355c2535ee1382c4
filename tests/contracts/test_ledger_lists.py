"""Lists, summaries, costs, and how many jobs an owner may have. Every test runs in process and on a server."""

import random
from itertools import chain

import pytest

from director.errors import Actor
from tasks.jobs import ACTIVE, JobStatus
from tasks.ledger.types import Cursor, OtherBody, Page, Query, Removing
from tasks.summary import NO_COST, Cost, GoalSummary
from tests.support.ledgers import PLAN, RENDER, LedgerRig, entry

SUMMARY = GoalSummary(met=3, missed=1, unsure=1, total=6, coverage=0.5, rounds=2, renders=8)
STEP = Cost(ms=1500, gpu_ms=1200, renders=4, denoising_steps=80, attempts=1)
ASKED = Cost(ms=300, vlm_calls=2, prompt_tokens=900, completion_tokens=40, attempts=1)
WASTED = Cost(wasted_attempts=1)


def listed(page: Page) -> list[str]:
    return [record.job for record in page.records]


def pages(rig: LedgerRig, query: Query, limit: int) -> list[list[str]]:
    """Page after page to the end."""
    found: list[list[str]] = []
    behind: Cursor | None = None
    while True:
        page = rig.ledger.jobs(query, limit, behind)
        found.append(listed(page))
        if page.following is None:
            return found
        behind = page.following


def all_of(pages: list[list[str]]) -> list[str]:
    return list(chain.from_iterable(pages))


def end(rig: LedgerRig, job: str, status: JobStatus = JobStatus.DONE) -> None:
    rig.ledger.commit(job, 0, rig.claimed(job=job).nonce, "key", None, status, "budget")


class TestList:
    def test_pages_follow_each_other_through_equal_times(self, rig: LedgerRig) -> None:
        for i in range(7):
            rig.submit(f"job-{i}", created_ms=1000 + i // 3)
        assert pages(rig, Query(), 2) == [["job-6", "job-5"], ["job-4", "job-3"], ["job-2", "job-1"], ["job-0"]]
        assert pages(rig, Query(), 7) == [[f"job-{i}" for i in range(6, -1, -1)]]

    def test_a_new_job_does_not_move_the_pages_behind_it(self, rig: LedgerRig) -> None:
        for i in range(4):
            rig.submit(f"job-{i}", created_ms=1000 + i)
        first = rig.ledger.jobs(limit=2)
        rig.submit("job-9", created_ms=2000)
        assert listed(rig.ledger.jobs(limit=2, behind=first.following)) == ["job-1", "job-0"]

    def test_it_filters_by_time(self, rig: LedgerRig) -> None:
        for i in range(5):
            rig.submit(f"job-{i}", created_ms=1000 + i)
        assert listed(rig.ledger.jobs(Query(after_ms=1001, before_ms=1003))) == ["job-2", "job-1"]
        assert pages(rig, Query(after_ms=1001, before_ms=1004), 2) == [["job-3", "job-2"], ["job-1"]]
        # The cursor of another list does not widen this one.
        assert listed(rig.ledger.jobs(Query(before_ms=1002), behind=Cursor(1004, "job-4"))) == ["job-1", "job-0"]

    def test_it_filters_by_status_as_it_is_shown(self, rig: LedgerRig) -> None:
        for i in range(4):
            rig.submit(f"job-{i}", created_ms=1000 + i)
        rig.claimed(job="job-0")
        end(rig, "job-1")
        end(rig, "job-2", JobStatus.FAILED)
        assert listed(rig.ledger.jobs(Query(statuses=frozenset({JobStatus.RUNNING})))) == ["job-0"]
        assert listed(rig.ledger.jobs(Query(statuses=ACTIVE))) == ["job-3", "job-0"]
        assert listed(rig.ledger.jobs(Query(statuses=frozenset(JobStatus)))) == ["job-3", "job-2", "job-1", "job-0"]
        rig.advance(10_001)
        queued = rig.ledger.jobs(Query(statuses=frozenset({JobStatus.QUEUED})))
        assert [(record.job, record.status) for record in queued.records] == [
            ("job-3", JobStatus.QUEUED), ("job-0", JobStatus.QUEUED),
        ]  # fmt: skip

    def test_it_filters_by_labels(self, rig: LedgerRig) -> None:
        for i, labels in enumerate([("night", "a.b"), ("night-2",), (), ("night",)]):
            rig.submit(f"job-{i}", created_ms=1000 + i, labels=labels)
        assert listed(rig.ledger.jobs(Query(labels=("night",)))) == ["job-3", "job-0"]
        assert listed(rig.ledger.jobs(Query(labels=("night", "a.b")))) == ["job-0"]
        assert listed(rig.ledger.jobs(Query(labels=("axb",)))) == []
        record = rig.ledger.get("job-0")
        assert record
        assert record.labels == ("night", "a.b")

    def test_few_matches_among_many_are_all_found(self, rig: LedgerRig) -> None:
        for i in range(1_200):
            rig.submit(f"job-{i:04}", created_ms=1000 + i // 5, labels=("rare",) if i % 500 == 7 else ())
        rare = Query(owner="alice", labels=("rare",))
        assert all_of(pages(rig, rare, 2)) == ["job-1007", "job-0507", "job-0007"]
        assert all_of(pages(rig, Query(), 250)) == [f"job-{i:04}" for i in range(1_199, -1, -1)]

    @pytest.mark.parametrize("seed", range(3))
    def test_pages_add_up_whatever_is_asked(self, rig: LedgerRig, seed: int) -> None:
        choose = random.Random(seed)
        jobs: dict[str, tuple[str, int, tuple[str, ...]]] = {}
        for i in range(40):
            owner, created = choose.choice(["alice", "bob"]), 1000 + choose.randrange(12)
            labels = tuple(choose.sample(["x", "y", "z"], choose.randrange(3)))
            jobs[f"job-{i:02}"] = owner, created, labels
            rig.submit(f"job-{i:02}", owner=owner, created_ms=created, labels=labels)
        for _ in range(10):
            low, high = sorted(choose.sample(range(1000, 1013), 2))
            query = Query(owner=choose.choice(["alice", None]), labels=("x",), after_ms=low, before_ms=high)
            wanted = [
                job
                for job, (owner, created, labels) in jobs.items()
                if query.owner in (None, owner) and low <= created < high and "x" in labels
            ]
            wanted.sort(key=lambda job: (jobs[job][1], job), reverse=True)
            assert all_of(pages(rig, query, choose.randint(1, 5))) == wanted


class TestFactsAndCost:
    def test_a_commit_tells_the_summary_and_adds_the_cost(self, rig: LedgerRig) -> None:
        rig.submit()
        rig.ledger.commit("job-1", 0, rig.claimed().nonce, "key", RENDER, cost=ASKED)
        rig.ledger.commit("job-1", 1, rig.claimed(1).nonce, "key", PLAN, summary=SUMMARY, cost=STEP)
        record = rig.ledger.get("job-1")
        assert record
        assert (record.summary, record.cost, record.ended_ms) == (SUMMARY, ASKED + STEP, 0)

    def test_a_repeated_commit_costs_once(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        for _ in range(3):
            rig.ledger.commit("job-1", 0, claim.nonce, "key", RENDER, cost=STEP)
        rig.ledger.fail("job-1", 0, claim.nonce, "{}", Actor.SEAT, "host-1", 0, 0, STEP)  # what broke after the commit
        record = rig.ledger.get("job-1")
        assert record
        assert record.cost == STEP

    def test_what_fails_is_wasted(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        for _ in range(2):
            rig.ledger.fail("job-1", 0, claim.nonce, "{}", Actor.SEAT, "host-1", 0, 0, ASKED)
        record = rig.ledger.get("job-1")
        assert record
        assert record.cost == ASKED + WASTED

    def test_what_is_refused_is_wasted(self, rig: LedgerRig) -> None:
        rig.submit()
        zombie = rig.claimed()
        rig.advance(10_001)
        claim = rig.claimed()
        for _ in range(2):
            rig.ledger.commit("job-1", 0, zombie.nonce, "key", RENDER, summary=SUMMARY, cost=STEP)
        rig.ledger.commit("job-1", 0, claim.nonce, "key", RENDER, cost=ASKED)
        record = rig.ledger.get("job-1")
        assert record
        assert record.cost == STEP + WASTED + ASKED
        assert record.summary == GoalSummary()

    def test_a_commit_that_met_a_cancel_costs_when_it_is_acknowledged(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        rig.ledger.cancel("job-1")
        rig.ledger.commit("job-1", 0, claim.nonce, "key", RENDER, cost=STEP)
        rig.ledger.commit(
            "job-1", 0, claim.nonce, "key", None, JobStatus.CANCELLED, "cancelled", True, cost=STEP
        )  # fmt: skip
        record = rig.ledger.get("job-1")
        assert record
        assert record.cost == STEP

    def test_a_lease_that_died_costs_nothing_that_is_known(self, rig: LedgerRig) -> None:
        rig.submit()
        rig.claimed()
        rig.advance(10_001)
        (record,) = rig.ledger.reap()
        assert record.cost == NO_COST

    def test_the_rebuild_brings_them_back(self, wiped: LedgerRig) -> None:
        wiped.ledger.lock_rebuild("me", 10_000)
        wiped.ledger.restore(entry(summary=SUMMARY, cost=STEP + WASTED, labels=("x",)), "me")
        wiped.ledger.restore(entry("job-2", next=None, status=JobStatus.DONE, ended_ms=5_000), "me")
        wiped.ledger.open_epoch("me")
        wiped.ledger.commit("job-1", 0, wiped.claimed().nonce, "key", RENDER, summary=SUMMARY, cost=ASKED)
        record, ended = wiped.ledger.get("job-1"), wiped.ledger.get("job-2")
        assert record
        assert ended
        assert (record.summary, record.cost, record.labels) == (SUMMARY, STEP + WASTED + ASKED, ("x",))
        assert ended.ended_ms == 5_000

    def test_when_it_ended(self, rig: LedgerRig) -> None:
        for i in range(3):
            rig.submit(f"job-{i}")
        end(rig, "job-0")
        for _ in range(3):
            rig.ledger.fail("job-1", 0, rig.claimed(job="job-1").nonce, "{}", Actor.SEAT, "host-1", 0, 0)
        records = {record.job: record.ended_ms for record in rig.ledger.jobs().records}
        assert abs(records["job-0"] - records["job-1"]) < 5_000
        assert records["job-0"] > 1_700_000_000_000
        assert records["job-2"] == 0
        rig.ledger.requeue("job-1")
        record = rig.ledger.get("job-1")
        assert record
        assert record.ended_ms == 0


class TestAdmit:
    def admitted(self, rig: LedgerRig, job: str, owner: str = "alice") -> bool:
        return rig.ledger.admit(owner, job, 2, 30_000)

    def test_no_more_than_so_many(self, rig: LedgerRig) -> None:
        assert [self.admitted(rig, f"job-{i}") for i in (1, 2, 3, 2)] == [True, True, False, True]
        assert self.admitted(rig, "job-3", "bob")

    def test_an_admission_that_led_to_nothing_runs_out(self, rig: LedgerRig) -> None:
        rig.submit("job-1")
        assert self.admitted(rig, "job-2")
        rig.advance(30_001)
        assert self.admitted(rig, "job-3")
        assert not self.admitted(rig, "job-2")

    def test_what_has_ended_makes_room_until_it_is_requeued(self, rig: LedgerRig) -> None:
        rig.submit("job-1")
        rig.submit("job-2")
        assert not self.admitted(rig, "job-3")
        for _ in range(3):
            rig.ledger.fail("job-1", 0, rig.claimed(job="job-1").nonce, "{}", Actor.SEAT, "host-1", 0, 0)
        assert self.admitted(rig, "job-3")
        rig.ledger.requeue("job-1")
        rig.submit("job-3")
        assert not self.admitted(rig, "job-4")
        end(rig, "job-2")
        end(rig, "job-3")
        assert self.admitted(rig, "job-4")

    def test_an_id_stands_for_the_body_that_was_admitted_under_it(self, rig: LedgerRig) -> None:
        def sent(job: str, body: str) -> bool:
            return rig.ledger.admit("alice", job, 2, 30_000, body)

        assert sent("job-1", "aa")
        assert sent("job-1", "aa")
        with pytest.raises(OtherBody):
            sent("job-1", "bb")
        rig.submit("job-1")
        with pytest.raises(OtherBody):
            sent("job-1", "bb")
        assert self.admitted(rig, "job-1")  # a requeue, which has no body
        assert sent("job-2", "bb")
        assert not sent("job-3", "aa")  # too many: it stands for nothing
        end(rig, "job-1")
        assert sent("job-3", "bb")
        assert rig.ledger.remove("job-1")
        rig.ledger.removed("job-1")
        assert not sent("job-1", "bb")  # too many again, and free

    def test_what_was_restored_counts(self, wiped: LedgerRig) -> None:
        wiped.ledger.lock_rebuild("me", 10_000)
        wiped.ledger.restore(entry("job-1"), "me")
        wiped.ledger.restore(entry("job-2", cancel=True), "me")
        wiped.ledger.restore(entry("job-3", status=JobStatus.FAILED, dead_letter="aa"), "me")
        wiped.ledger.open_epoch("me")
        assert not self.admitted(wiped, "job-4")


class TestRemove:
    def test_an_active_job_stays(self, rig: LedgerRig) -> None:
        rig.submit()
        assert not rig.ledger.remove("job-1")
        rig.claimed()
        assert not rig.ledger.remove("job-1")
        rig.advance(10_001)
        assert not rig.ledger.remove("job-1")
        assert rig.ledger.get("job-1")

    def test_an_ended_one_goes_and_its_id_is_free_once_its_objects_are_gone(self, rig: LedgerRig) -> None:
        rig.submit()
        end(rig, "job-1")
        assert rig.ledger.remove("job-1")
        assert rig.ledger.get("job-1") is None
        assert rig.ledger.jobs() == ([], None)
        assert rig.ledger.forget(0) == 0
        with pytest.raises(Removing):
            rig.ledger.create(entry())
        rig.ledger.removed("job-1")
        assert rig.ledger.create(entry())

    def test_a_dead_letter_goes_and_is_filed_no_more(self, rig: LedgerRig) -> None:
        rig.submit()
        for _ in range(3):
            rig.ledger.fail("job-1", 0, rig.claimed().nonce, "{}", Actor.SEAT, "host-1", 0, 0)
        assert rig.ledger.remove("job-1")
        assert rig.ledger.dead_letters() == []
        assert rig.ledger.requeue("job-1") is None

    def test_one_that_only_storage_knows_is_held_too(self, rig: LedgerRig) -> None:
        assert rig.ledger.remove("job-1")
        with pytest.raises(Removing):
            rig.ledger.create(entry())
