"""Jobs go back to a step: dead letters that are requeued, and lost objects that are made again."""

import pytest

from director.errors import Actor
from tasks.jobs import JobStatus
from tasks.ledger.types import CONTROL, Claim, CommitResult, RewindResult
from tasks.summary import Cost, GoalSummary
from tests.contracts.test_ledger import SKY, TTL
from tests.support.ledgers import PLAN, RENDER, LedgerRig


class TestRequeue:
    def test_a_dead_letter_comes_back_where_it_died(self, rig: LedgerRig) -> None:
        rig.submit(step=4, next=PLAN)
        for _ in range(3):
            rig.ledger.fail("job-1", 4, rig.claimed(4).nonce, SKY, Actor.SEAT, "host-1", 0, 0)
        hint = rig.ledger.requeue("job-1")
        assert hint
        assert (hint.n, hint.queue) == (4, "planner")
        record = rig.ledger.get("job-1")
        assert record
        assert (record.status, record.seat_failures, record.error, record.dead_letter) == (JobStatus.QUEUED, 0, "", "")
        assert rig.ledger.dead_letters() == []
        assert rig.claimed(4).attempt == 1

    def test_nothing_else_can_be_requeued(self, rig: LedgerRig) -> None:
        assert rig.ledger.requeue("nobody") is None
        rig.submit()
        assert rig.ledger.requeue("job-1") is None
        claim = rig.claimed()
        assert rig.ledger.requeue("job-1") is None
        rig.ledger.commit("job-1", 0, claim.nonce, "key", None, JobStatus.FAILED, "failed")
        assert rig.ledger.requeue("job-1") is None  # its trajectory ended: there is no step to run


class TestRewind:
    """An object is lost: the job goes back to the step that makes it, once, and nobody is charged."""

    ERROR = '{"boundary":"store","message":"there is no images/aa.png","fix":"bring it back"}'
    COST = Cost(ms=500, attempts=1)

    def back(self, rig: LedgerRig, claim: Claim, to: int | None = 1) -> RewindResult:
        following = None if to is None else RENDER
        return rig.ledger.rewind(
            "job-1", claim.n, claim.nonce, to, "key-0", following, GoalSummary(met=1), self.ERROR, self.COST
        )

    def test_the_job_waits_at_the_earlier_step(self, rig: LedgerRig) -> None:
        rig.submit(step=4, snapshot="key-3", next=PLAN)
        claim = rig.claimed(4)
        assert self.back(rig, claim) is RewindResult.REWOUND
        record = rig.ledger.get("job-1")
        assert record
        assert (record.status, record.step, record.snapshot, record.queue, record.kind) == (
            JobStatus.QUEUED, 1, "key-0", RENDER.queue, RENDER.kind,
        )  # fmt: skip
        assert (record.seat_failures, record.lease_deaths, record.summary.met) == (0, 0, 1)
        assert (record.cost.ms, record.cost.wasted_attempts) == (500, 1)
        assert rig.claimed(1).snapshot == "key-0"

    def test_the_answer_may_be_lost(self, rig: LedgerRig) -> None:
        rig.submit(step=4)
        claim = rig.claimed(4)
        assert [self.back(rig, claim) for _ in range(2)] == [RewindResult.REWOUND] * 2
        record = rig.ledger.get("job-1")
        assert record and record.cost.ms == 500

    def test_only_the_holder_may(self, rig: LedgerRig) -> None:
        rig.submit(step=4)
        old = rig.claimed(4)
        rig.advance(TTL + 1)
        new = rig.claimed(4)
        assert self.back(rig, old) is RewindResult.REFUSED
        assert self.back(rig, new) is RewindResult.REWOUND
        assert rig.ledger.commit("job-1", 4, old.nonce, "key-4", PLAN) is CommitResult.REFUSED
        assert rig.ledger.commit("job-1", 4, new.nonce, "key-4", PLAN) is CommitResult.REFUSED

    @pytest.mark.parametrize("restored", [False, True])
    def test_a_second_time_it_is_a_dead_letter(self, rig: LedgerRig, restored: bool) -> None:
        rig.submit(step=4, rewound="aa" if restored else "")
        claim = rig.claimed(4)
        if not restored:
            assert self.back(rig, claim) is RewindResult.REWOUND
            claim = rig.claimed(1)
        assert self.back(rig, claim, 0) is RewindResult.DEAD
        record = rig.ledger.get("job-1")
        assert record
        assert (record.status, record.dead_letter, record.error) == (JobStatus.FAILED, claim.nonce, self.ERROR)
        assert rig.ledger.dead_letters() == [record]

    def test_without_a_way_back_it_is_a_dead_letter_at_once(self, rig: LedgerRig) -> None:
        rig.submit(step=4)
        assert self.back(rig, rig.claimed(4), None) is RewindResult.DEAD
        assert rig.ledger.requeue("job-1")
        assert self.back(rig, rig.claimed(4)) is RewindResult.REWOUND

    def test_a_cancel_comes_first(self, rig: LedgerRig) -> None:
        rig.submit(step=4)
        claim = rig.claimed(4)
        rig.ledger.cancel("job-1")
        assert self.back(rig, claim) is RewindResult.CANCEL
        record = rig.ledger.get("job-1")
        assert record
        assert (record.step, record.queue) == (4, CONTROL)
