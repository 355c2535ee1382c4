"""What the report of a job says beside its trajectory, from ledger and storage."""

from api.service import Service
from director.report import Attempt, Picked, RunInfo
from tasks.ledger.types import Record


def run_info(service: Service, record: Record) -> RunInfo:
    """For a page that needs no server: it has no links to others."""
    summary = service.summary(record)
    attempts = service.archive.read_attempts(record.job, Attempt.model_validate)
    pick = service.archive.picks.find(record.job, record.batch) if record.ended else None
    return RunInfo(
        job=record.job,
        doing=summary.doing,
        trouble=summary.error,
        created=summary.created,
        ended=summary.ended,
        attempts=tuple(attempts.records),
        unreadable=len(attempts.unreadable),
        picked=Picked(image=pick.image, goals=pick.goals) if pick and pick.image else None,
    )
