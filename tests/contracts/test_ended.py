"""Jobs that end leave the ledger once storage lists them, in process and on a server."""

from pathlib import Path

import pytest

from director.types import StopReason
from tasks.jobs import JobStatus
from tasks.ledger.types import Query
from tasks.store import Archive, FolderStore
from tests.contracts.sites import Site
from tests.support import recorded_jobs
from tests.support.ledgers import LedgerRig, entry


@pytest.fixture
def site(wiped: LedgerRig, tmp_path: Path) -> Site:
    site = Site(wiped, Archive(FolderStore(tmp_path / "objects")))
    assert site.reconciler.once()
    return site


def end(site: Site, *jobs: str) -> None:
    for n, job in enumerate(jobs):
        site.rig.submit(job, created_ms=1000 + n)
        site.ledger.commit(job, 0, site.rig.claimed(job=job).nonce, "key", None, JobStatus.DONE, "budget")


def stored(site: Site) -> list[str]:
    return [record.job for record in site.archive.ended.page(Query(), 200, None).records]


def test_storage_lists_them_at_once_and_the_ledger_forgets_them_later(site: Site) -> None:
    end(site, "job-1", "job-2")
    before = site.ledger.get("job-2")
    site.rig.submit("active")
    site.reconciler.audit()
    assert stored(site) == ["job-2", "job-1"]
    assert site.archive.ended.page(Query(), 1, None).records == [before]
    assert len(site.ledger.jobs().records) == 3
    site.rig.advance(100_001)  # keep_ended_s
    site.reconciler.audit()
    assert [record.job for record in site.ledger.jobs().records] == ["active"]
    assert stored(site) == ["job-2", "job-1"]


def test_many_are_forgotten_in_one_audit(site: Site) -> None:
    end(site, *[f"job-{n:03}" for n in range(250)])
    site.rig.advance(100_001)
    site.reconciler.audit()
    assert site.ledger.jobs().records == []
    assert len(stored(site)) == 200
    assert len(site.archive.ended.page(Query(), 300, None).records) == 250


def test_no_more_than_so_many_are_kept(site: Site) -> None:
    end(site, "job-1")
    site.rig.advance(1_000)
    end(site, "job-2")
    site.rig.advance(1_000)
    end(site, "job-3")
    site.reconciler.settings = site.reconciler.settings.model_copy(update={"keep_ended": 1})
    site.reconciler.audit()
    assert [record.job for record in site.ledger.jobs().records] == ["job-3"]
    assert sorted(stored(site)) == ["job-1", "job-2", "job-3"]


def test_a_wipe_loses_nothing_of_the_lists(site: Site) -> None:
    end(site, "job-1")
    site.reconciler.audit()
    site.rig.wipe()
    assert site.reconciler.once()
    assert (site.ledger.jobs().records, stored(site)) == ([], ["job-1"])


def test_two_reconcilers_list_each_once(site: Site) -> None:
    end(site, "job-1")
    other = site.another()
    site.reconciler.list_ended()
    end(site, "job-2")
    other.list_ended()  # the first one has the lock
    assert stored(site) == ["job-1"]
    site.rig.redis.delete(f"{site.ledger.prefix}lock:ended")
    other.list_ended()
    assert stored(site) == ["job-2", "job-1"]


def test_a_job_that_went_on_again_is_listed_by_its_last_end(site: Site) -> None:
    job = recorded_jobs.job()
    recorded_jobs.run(site.archive, job, 2, stop=StopReason.SATISFIED)
    site.ledger.create(entry(job.id, next=None, status=JobStatus.CANCELLED, ended_ms=5))
    site.reconciler.list_ended()
    assert site.ledger.drop(job.id)
    site.ledger.create(entry(job.id, next=None, status=JobStatus.DONE, ended_ms=9))
    site.reconciler.list_ended()
    assert [record.status for record in site.archive.ended.page(Query(), 9, None).records] == [JobStatus.DONE]
