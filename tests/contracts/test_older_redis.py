"""A Redis that is brought back from a copy some time old: every job stands where storage has it, and nobody stops."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from director.errors import Actor
from director.types import StopReason
from infra.servers import redis_server
from tasks.entries import new_entry
from tasks.jobs import Job, JobStatus
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import Claim, CommitResult, Record
from tasks.reconcile import requeue
from tasks.store import Archive, FolderStore
from tests.contracts.sites import Site
from tests.support import recorded_jobs
from tests.support.ledgers import LIMITS, PLAN, LedgerRig, patient


class Machine:
    """A Redis whose folder can be copied and brought back, with storage and a reconciler."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.copied = folder / "redis", folder / "copy"
        self.archive = Archive(FolderStore(folder / "objects"))

    @contextmanager
    def running(self) -> Iterator[Site]:
        with redis_server(self.folder, fsync="no") as server, Ledger(patient(server.url), LIMITS) as ledger:
            yield Site(LedgerRig(ledger, patient(server.url)), self.archive)

    def copy(self) -> None:
        shutil.copytree(self.folder, self.copied)

    def bring_back(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.copied, self.folder)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def found(site: Site, job: Job) -> Record:
    record = site.ledger.get(job.id)
    assert record
    return record


def enter(site: Site, job: Job) -> None:
    recorded_jobs.submitted(site.archive, job)
    assert site.ledger.create(new_entry(job))


def advance(site: Site, job: Job, stop: StopReason | None = None) -> None:
    """Do the job's next step, as a worker does."""
    record = found(site, job)
    claim = site.ledger.claim(job.id, record.step, "worker")
    assert isinstance(claim, Claim)
    key = recorded_jobs.save_step(site.archive, job, claim.n, claim.snapshot, claim.nonce, stop)
    ends = {None: JobStatus.QUEUED, StopReason.CANCELLED: JobStatus.CANCELLED, StopReason.BUDGET: JobStatus.DONE}
    end = (None if stop else PLAN, ends[stop], stop or "", stop is StopReason.CANCELLED)
    assert site.ledger.commit(job.id, claim.n, claim.nonce, key, *end) is CommitResult.OK
    if stop:
        site.archive.unmark_live(job.id)


def die(site: Site, job: Job) -> None:
    for _ in range(LIMITS.seat_attempts):
        claim = site.ledger.claim(job.id, found(site, job).step, "worker")
        assert isinstance(claim, Claim)
        site.ledger.fail(job.id, claim.n, claim.nonce, "{}", Actor.SEAT, "worker", 0, 0)
    site.reconciler.file_dead_letters()


NAMES = (
    "same",
    "further",
    "ended",
    "cancelling",
    "cancelled",
    "deleted",
    "dead",
    "back",
    "still dead",
    "young",
    "leased",
)


def test_every_job_stands_where_storage_has_it(machine: Machine) -> None:
    jobs = {name: recorded_jobs.job(name) for name in NAMES}
    with machine.running() as site:
        assert site.reconciler.once()
        for name in NAMES:
            if name != "young":
                enter(site, jobs[name])
                advance(site, jobs[name])
        for name in ("back", "still dead"):
            die(site, jobs[name])
        advance(site, jobs["deleted"], StopReason.BUDGET)
    machine.copy()
    with machine.running() as site:
        assert site.reconciler.once()
        for name in ("further", "further", "ended", "leased"):
            advance(site, jobs[name])
        advance(site, jobs["ended"], StopReason.BUDGET)
        for name in ("cancelling", "cancelled"):
            site.archive.save_control(jobs[name].id, "cancel", "aa", {})
            site.ledger.cancel(jobs[name].id)
        advance(site, jobs["cancelled"], StopReason.CANCELLED)
        assert site.ledger.remove(jobs["deleted"].id)
        site.archive.remove(jobs["deleted"].id)
        die(site, jobs["dead"])
        assert requeue(site.ledger, site.archive, found(site, jobs["back"]))
        enter(site, jobs["young"])
        wanted = {name: site.ledger.get(jobs[name].id) for name in NAMES}
    machine.bring_back()
    with machine.running() as site:
        held = site.ledger.claim(jobs["leased"].id, 1, "worker")
        assert isinstance(held, Claim)  # it runs on
        assert site.reconciler.once()
        for name in NAMES:
            record, before = site.ledger.get(jobs[name].id), wanted[name]
            if name == "leased":
                assert record and record.status is JobStatus.RUNNING
            elif before is None:
                assert record is None, name
            else:
                assert record, name
                assert (record.status, record.step, record.snapshot, record.stop, record.queue) == (
                    before.status, before.step, before.snapshot, before.stop, before.queue,
                ), name  # fmt: skip
                assert record.ended or record.cancel == before.cancel
        assert site.ledger.unsettled()
        site.rig.advance(LIMITS.lease_ttl_ms + 1)
        assert site.reconciler.once()
        assert found(site, jobs["leased"]).step == 2
        assert site.ledger.unsettled() is None
        assert found(site, jobs["further"]).cost == wanted["further"].cost  # pyright: ignore[reportOptionalMemberAccess]


def test_a_rewind_that_the_copy_does_not_know_holds(machine: Machine) -> None:
    job = recorded_jobs.job()
    with machine.running() as site:
        assert site.reconciler.once()
        enter(site, job)
        for _ in range(3):
            advance(site, job)
    machine.copy()
    keys = machine.archive.snapshots_from(job.id, 1)
    machine.archive.save_control(job.id, "rewind", "aa", {"from": 3, "to": 1, "void": keys})
    with machine.running() as site:
        assert site.reconciler.once()
        assert (found(site, job).step, found(site, job).rewound) == (1, "aa")


def test_a_start_without_a_loss_changes_nothing(machine: Machine) -> None:
    job = recorded_jobs.job()
    with machine.running() as site:
        assert site.reconciler.once()
        enter(site, job)
        advance(site, job)
        before = found(site, job)
        assert site.ledger.unsettled() is None
    with machine.running() as site:
        assert site.ledger.unsettled()
        assert site.reconciler.once()
        assert found(site, job).model_dump(exclude={"hinted_ms"}) == before.model_dump(exclude={"hinted_ms"})
        assert site.ledger.unsettled() is None


def test_a_step_whose_commit_was_lost_with_the_server_is_not_done_again(machine: Machine) -> None:
    """The PUT comes before the commit: storage is one step ahead."""
    job = recorded_jobs.job()
    with machine.running() as site:
        assert site.reconciler.once()
        enter(site, job)
        claim = site.ledger.claim(job.id, 0, "worker")
        assert isinstance(claim, Claim)
        key = recorded_jobs.save_step(site.archive, job, 0, "", claim.nonce)
    with machine.running() as site:
        assert site.reconciler.once()
        assert found(site, job).status is JobStatus.RUNNING  # its worker may still commit
        site.rig.advance(LIMITS.lease_ttl_ms + 1)
        assert site.reconciler.once()
        assert (found(site, job).step, found(site, job).snapshot) == (1, key)
        assert site.ledger.commit(job.id, 0, claim.nonce, key, PLAN) is CommitResult.REFUSED
