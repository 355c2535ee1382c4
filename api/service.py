"""What the door does, free of HTTP: submit, show and cancel jobs, and read what they left.

A job is looked up in the ledger first. A job that only object storage knows (the ledger was wiped,
or a submit broke off half-way) is never called unknown.
"""

import struct
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from pydantic import TypeAdapter, ValidationError

from api.problems import Problem, invalid
from api.schemas import Envelope, GoalCount, JobError, Submission, Uploaded
from director import history
from director.errors import StoreError
from director.loop import begin
from director.types import Outcome, StopReason, Trajectory
from tasks.jobs import TERMINAL, Job, JobId, JobStatus
from tasks.ledger import CONTROL, Hint, Ledger, Record, Wiped
from tasks.steps import first, first_hint, new_entry, status_of
from tasks.store import Archive, Images, clean_upload

MAX_KEY = 200

_DOING = {
    "extract": "reading the brief",
    "plan": "planning",
    "render": "rendering",
    "select": "choosing a candidate",
    "verify": "checking the goals",
}
_ID: TypeAdapter[str] = TypeAdapter(JobId)


@dataclass(frozen=True)
class Found:
    """A job as the ledger knows it, or, after a wipe, as storage does (`record` is None, and it has ended)."""

    id: str
    title: str
    status: JobStatus
    stop: str
    step: int
    created: float
    snapshot: str  # key of the newest committed one; "" before the first
    record: Record | None = None

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL


class Service:
    """The machines behind the door. `send` tells workers that a step waits; a lost message is no harm."""

    def __init__(
        self,
        ledger: Ledger,
        archive: Archive,
        images: Images,
        send: Callable[[Hint], None],
        max_image_bytes: int,
        max_image_pixels: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.ledger = ledger
        self.archive = archive
        self.images = images
        self._send = send
        self._clock = clock
        # A committed snapshot never changes, and all readers of a job want the same ones.
        self.snapshot = lru_cache(maxsize=64)(archive.load_snapshot)
        self.max_image_bytes = max_image_bytes
        self._max_image_pixels = max_image_pixels
        # A decoded picture takes some hundred MB at its largest.
        self._decoding = threading.BoundedSemaphore(2)
        self._turns = tuple(threading.Lock() for _ in range(64))

    def submit(self, owner: str, body: bytes, key: str | None) -> tuple[Envelope, bool]:
        """The job that the body asks for, and whether it is new. The same key and body give the same job."""
        if key is not None and not 0 < len(key) <= MAX_KEY:
            raise invalid("Idempotency-Key", f"must have 1 to {MAX_KEY} characters")
        submission, sha = Submission.parse(body)
        job = submission.job(owner, key or str(uuid.uuid4()), round(self._clock(), 3), sha)
        # One at a time for each key: S3 alone can't tell which of two bodies came first.
        with self._turns[hash(job.id) % len(self._turns)]:
            stored = self.archive.find_job(job.id)
            if stored and stored.body_sha256 != sha:
                raise Problem(
                    409, "key-reused", "This Idempotency-Key stands for another request",
                    errors=[invalid("Idempotency-Key", "was used with another body", "send a new key").errors[0]],
                )  # fmt: skip
            if not stored:
                self._check_source(job)
                self.archive.save_job(job)
            # A submit may have broken off behind its job.json; a job that ran is not to start again.
            if not stored or not (self.ledger.get(job.id) or self.archive.latest(job.id)):
                self._enter(stored or job)
        return self.show(owner, job.id), stored is None

    def _check_source(self, job: Job) -> None:
        source = job.brief.source
        if source and not self.images.has(source):
            raise invalid("brief.source", "no picture with this hash is stored", "PUT it to /v1/images first")

    def _enter(self, job: Job) -> None:
        entry = new_entry(job, first(job))
        self.archive.mark_live(job.id)
        if self.ledger.create(entry):
            self._send(first_hint(entry))

    def show(self, owner: str, id: str) -> Envelope:
        return self.envelope(self.find(owner, id))

    def find(self, owner: str, id: str) -> Found:
        """Raises Problem 404 when neither ledger nor storage knows such a job of `owner`'s.

        StoreError when the ledger can't say how it stands, and storage does not hold its end either.
        """
        try:
            _ID.validate_python(id)
        except ValidationError:
            raise _unknown(id) from None
        wiped = Wiped("this job is stored, but the ledger does not know it yet")
        try:
            record = self.ledger.get(id)
        except Wiped as error:
            record, wiped = None, error
        if record:
            if record.owner != owner:
                raise _unknown(id)
            # A dead letter's trajectory has not stopped: requeue lets it go on.
            stop = record.stop or (StopReason.FAILED.value if record.status is JobStatus.FAILED else "")
            return Found(
                id, record.title, record.status, stop, record.step, record.created_ms / 1000, record.snapshot, record
            )
        job = self.archive.find_job(id)
        if not job or job.owner != owner:
            raise _unknown(id)
        key = self.archive.latest(id)
        snapshot = self.archive.load_snapshot(key) if key else None
        if not key or not snapshot or not snapshot.trajectory.stop:
            raise wiped
        stop = snapshot.trajectory.stop
        return Found(id, job.brief.name, status_of(stop), stop.reason.value, snapshot.n + 1, job.created, key)

    def cancel(self, owner: str, id: str) -> Envelope:
        found = self.find(owner, id)
        if not found.ended:
            self.archive.save_control(id, "cancel", uuid.uuid4().hex, {"by": owner, "at": round(self._clock(), 3)})
            if hint := self.ledger.cancel(id):
                self._send(hint)
        return self.show(owner, id)

    def upload(self, data: bytes) -> Uploaded:
        """Raises BriefError for what is no picture, or too large a one."""
        with self._decoding:
            png = clean_upload(data, self.max_image_bytes, self._max_image_pixels)
            image = self.images.put(png)
        width, height = struct.unpack_from(">II", png, 16)  # PNG's first chunk, IHDR
        return Uploaded(image=image, width=width, height=height)

    def trajectory(self, found: Found) -> Trajectory:
        """As of the newest snapshot; without events before the first."""
        if found.snapshot:
            return self.snapshot(found.snapshot).trajectory
        job = self.archive.load_job(found.id)
        return begin(job.brief, job.settings, job.seed)

    def picture(self, owner: str, id: str) -> str:
        """The hash of the best picture so far."""
        image = history.deliverable(self.trajectory(self.find(owner, id)))
        if not image:
            raise Problem(404, "no-picture-yet", "There is no picture yet", "The job has not drawn one so far.")
        return image

    def envelope(self, found: Found) -> Envelope:
        trajectory = self.trajectory(found)
        standing = [verdict.outcome for verdict in history.standing(trajectory).values()]
        usage = history.usage(trajectory)
        place = f"/v1/jobs/{found.id}"
        return Envelope(
            id=found.id,
            title=found.title,
            status=found.status,
            stop=found.stop,
            step=found.step,
            doing=self.doing(found),
            goals=GoalCount(
                met=standing.count(Outcome.MET),
                missed=standing.count(Outcome.MISSED),
                unsure=standing.count(Outcome.UNSURE),
                total=len(history.goals(trajectory)),
            ),
            rounds=usage.rounds,
            renders=usage.renders,
            error=_error(found, trajectory),
            created=found.created,
            links={"self": place, **{name: f"{place}/{name}" for name in ("events", "image", "trajectory", "cancel")}},
        )

    def doing(self, found: Found) -> str:
        """What an active job does now, or what it waits for; "" once it has ended."""
        record = found.record
        if found.ended or not record:
            return ""
        work = "cancelling" if record.cancel else _DOING.get(record.kind, record.kind)
        if record.status is JobStatus.RUNNING:
            return work
        if not self.ledger.served().get(record.queue):
            who = "no worker is up" if record.queue == CONTROL else f"no worker serves {record.queue}"
            return f"waiting: {who}"
        if record.not_before_ms > self._clock() * 1000:
            return f"{work}: waiting to try again"
        return f"{work}: waiting for {record.queue}"


def _unknown(id: str) -> Problem:
    return Problem(404, "unknown-job", "Unknown job", f"There is no job {id[:64]!r}.")


def _error(found: Found, trajectory: Trajectory) -> JobError | None:
    """The last recorded failure, while it still matters."""
    recorded = found.record.error if found.record else ""
    if found.status in {JobStatus.DONE, JobStatus.CANCELLED}:
        return None
    if not recorded:
        # A loop that ends in failure, rather than a step that could not be run.
        failed = trajectory.stop if found.status is JobStatus.FAILED else None
        return JobError(boundary="director", message=failed.why) if failed else None
    try:
        return JobError.model_validate_json(recorded)
    except ValidationError as error:
        raise StoreError("the ledger holds an error record that can't be read") from error
