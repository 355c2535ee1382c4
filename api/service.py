"""What the API does, without HTTP: submit, show and cancel jobs, and read their results.

A job is looked up in the ledger first. A job that only storage knows (the ledger was wiped, or a submit
broke off half-way) is never called unknown.
"""

import difflib
import struct
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache

from pydantic import TypeAdapter, ValidationError

from api.auth import Caller
from api.doing import NO_QUEUES, Queues, waits
from api.problems import Problem, invalid, unavailable
from api.schemas import (
    OLDER,
    Attempt,
    Attempts,
    BatchPlace,
    BriefOut,
    Cost,
    Envelope,
    GoalCount,
    JobError,
    JobList,
    JobSummary,
    Picked,
    Submission,
    Uploaded,
)
from director.cautions import Caution, cautions
from director.errors import Actor, StoreError
from director.loop import begin
from director.reading import Unread, unread
from director.seats import STEP_KINDS
from director.state import State
from director.types import Goal, ImageHash, LoopSettings, StopReason, Trajectory
from tasks.entries import ended_record, new_entry
from tasks.jobs import TERMINAL, Job, JobId, JobStatus, job_id
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import (
    NO_MESSAGE,
    Cursor,
    Hint,
    HintMessage,
    OtherBody,
    Page,
    Query,
    Record,
    Wiped,
)
from tasks.orders import OrderKind, order
from tasks.png_metadata import metadata_text
from tasks.reconcile import entry_of, requeue
from tasks.store import Archive, Corrupt, Images, NotFound, Snapshot, clean_upload
from tasks.store.recent import Recent
from tasks.store.records import packed
from tasks.summary import Cost as Counted

MAX_KEY = 200
LINKS = ("events", "image", "trajectory", "attempts", "report", "cancel", "pause", "resume", "requeue")
"""The paths below that of a job."""
_ADMISSION_MS = 60_000  # a submit that takes longer has failed
_RETRY_FULL_S = 10
_EDITOR_QUEUE = "editor."
NEWEST = Cursor(10**14, str(uuid.UUID(int=2**128 - 1)))  # before every job

_ID: TypeAdapter[str] = TypeAdapter(JobId)
GoingOn = Callable[["Service", Caller, Submission, str], Submission]


class Service:
    """Jobs in ledger and storage. `send` tells workers that a step waits; a lost message is sent again later.

    `message` gives what the ledger writes in place of that when it enters a job, if it can.
    """

    def __init__(
        self,
        ledger: Ledger,
        archive: Archive,
        images: Images,
        send: Callable[[Hint], None],
        max_image_pixels: int,
        clock: Callable[[], float] = time.time,
        message: Callable[[Hint], HintMessage] = lambda hint: NO_MESSAGE,
        parked: Callable[[Record], str] = lambda record: "paused with its batch",
    ) -> None:
        self.ledger = ledger
        self.archive = archive
        self.images = images
        self._send = send
        self._message = message
        self._parked = parked
        self._clock = clock
        # By the bytes that are stored, a fifth of what it takes in memory.
        self._snapshots = Recent[Snapshot](2 * 2**20, lambda snapshot: len(packed(snapshot)))
        self._read_of = lru_cache(maxsize=256)(self._find_read_of)
        # Neither does a job whose loop ended and that the ledger has forgotten. If it is submitted again, it has
        # another time.
        self._ended = Recent[Record](256)
        self._max_image_pixels = max_image_pixels
        self._key_locks = tuple(threading.Lock() for _ in range(64))

    def submit(
        self, caller: Caller, body: bytes, key: str | None, going_on: GoingOn | None = None
    ) -> tuple[Envelope, bool]:
        """The job that the body asks for, and whether it is new. The same key and body give the same job.

        `going_on` makes the brief of a job that continues another one.
        """
        if key is not None and not 0 < len(key) <= MAX_KEY:
            raise invalid("Idempotency-Key", f"must have 1 to {MAX_KEY} characters")
        submission, sha = Submission.parse(body)
        if (size := len(submission.brief.text.encode())) > (most := caller.max_brief_bytes):
            raise invalid("brief.text", f"the text has {size} bytes; the most for this token is {most}", "shorten it")
        key = key or str(uuid.uuid4())
        # A repeated submit needs nothing of the job that it continued, which may be gone.
        if submission.continues and going_on and not self.archive.find_job(job_id(caller.owner, key)):
            submission = going_on(self, caller, submission, submission.continues)
        job = submission.job(caller.owner, key, round(self._clock(), 3), sha)
        try:
            return self._submitted(caller, job)
        except StoreError as error:
            raise _repeat_with(key, error) from error

    def _submitted(self, caller: Caller, job: Job) -> tuple[Envelope, bool]:
        # One at a time for each key: S3 can't tell which of two bodies came first. Of two APIs the ledger lets in one.
        with self._key_locks[hash(job.id) % len(self._key_locks)]:
            stored = self.archive.find_job(job.id)
            if stored and stored.body_sha256 != job.body_sha256:
                raise _key_reused()
            # A submit may have broken off after it wrote job.json. A job that ran must not start again.
            if not stored or not (self.ledger.get(job.id) or self._has_run(job.id)):
                self._create(caller, stored or job, fresh=stored is None)
        return self.show(caller.owner, job.id), stored is None

    def _has_run(self, id: str) -> bool:
        """True when storage knows more of the job than its submit; a dead letter may have no snapshot."""
        return bool(self.archive.latest(id) or self.archive.controls(id, "dead-"))

    def _create(self, caller: Caller, job: Job, fresh: bool) -> None:
        self._check_source(job)
        self._admit(caller, job.id, job.body_sha256)
        if fresh:
            self.archive.save_job(job)
        try:
            # Checked again: a sweep could have removed it before the job was stored, but not after.
            self._check_source(job)
        except Problem:
            self.archive.forget(job.id)
            raise
        entry = new_entry(job)
        self.archive.mark_live(job.id)
        message = self._message(entry.hint)
        if self.ledger.create(entry, message) and not message:
            self._send(entry.hint)

    def _check_source(self, job: Job) -> None:
        source = job.brief.source
        if source and not self.archive.owns(job.owner, source):
            raise invalid("brief.source", "you have no picture with this hash", "PUT it to /v1/images first")

    def _admit(self, caller: Caller, id: str, body_sha256: str = "") -> None:
        most = caller.max_in_flight
        try:
            admitted = self.ledger.admit(caller.owner, id, most, _ADMISSION_MS, body_sha256)
        except OtherBody as error:
            raise _key_reused() from error
        if not admitted:
            raise Problem(
                429, "too-many-jobs", "Too many jobs in flight",
                f"{most} of your jobs are waiting or running: send this again when one of them has ended.",
                headers={"Retry-After": str(_RETRY_FULL_S)},
            )  # fmt: skip

    def show(self, owner: str | None, id: str) -> Envelope:
        return self.envelope(self.find(owner, id))

    def envelope(self, record: Record) -> Envelope:
        job = self._asked(record.job, record.created_ms, record.snapshot)
        brief = BriefOut(text=job.brief.text, title=job.brief.title, source=job.brief.source)
        queues = NO_QUEUES if record.ended else self.queues()
        picked = self.archive.picks.find(record.job, record.batch) if record.ended else None
        unread, told = self._read_of(record.job, record.created_ms, record.snapshot)
        waits = [] if record.ended else _unserved(job.settings, queues.served)
        return Envelope(
            **dict(self.summary(record, queues)), brief=brief, settings=job.settings, seed=job.seed,
            unread=list(unread), warnings=[*told, *waits], picked=Picked.of(picked),
        )  # fmt: skip

    def _asked(self, id: str, created_ms: int, snapshot: str) -> Job | Trajectory:
        """What was submitted: brief, settings, seed. Where job.json is lost, a snapshot holds the same."""
        try:
            return self.archive.load_job(id, created_ms)
        except (NotFound, Corrupt):
            if not snapshot:
                raise
            return self.snapshot(snapshot).trajectory

    def _find_read_of(self, id: str, created_ms: int, snapshot: str) -> tuple[Sequence[Unread], Sequence[Caution]]:
        """What was not read of the brief, and what its sender is told; the first snapshot brings the goals."""
        brief, goals = self._asked(id, created_ms, snapshot).brief, tuple[Goal, ...]()
        with suppress(StoreError, NotFound, Corrupt):  # a snapshot that is gone must not hide the job
            goals = State.of(self.snapshot(snapshot).trajectory).goals if snapshot else brief.goals
        return unread(brief, goals), cautions(brief, goals)

    def snapshot(self, key: str, sha256: str = "") -> Snapshot:
        """As the archive loads it, or from memory: a committed one never changes, and all readers want the same."""
        known = f"{key} {sha256}"
        found = self._snapshots.get(known)
        if found is None:
            found = self.archive.load_snapshot(key, sha256)
            self._snapshots.put(known, found)
        return found

    def list(self, query: Query, limit: int, cursor: str | None) -> JobList:
        """What the ledger knows, and from behind that on the ended jobs that it has forgotten, from storage. Of batches
        the ledger's children only: their batch lists them all."""
        forgotten, behind = read_cursor(cursor)
        if forgotten:
            page = self._list_forgotten(query, limit, behind)
            following = write_cursor(OLDER, page.following)
        else:
            page = self.ledger.jobs(query, limit, behind)
            following = write_cursor("", page.following)
            may_go_on = page.following is None and (not query.statuses or query.statuses & TERMINAL)
            if may_go_on and self.ledger.has_older():  # a page reads either ledger or storage, which may hang
                following = write_cursor(OLDER, NEWEST)
        active = any(not record.ended for record in page.records)
        state = self.queues() if active else NO_QUEUES
        return JobList(jobs=[self.summary(record, state) for record in page.records], next=following)

    def _list_forgotten(self, query: Query, limit: int, behind: Cursor | None) -> Page:
        page = self.archive.ended.page(query, limit, behind)
        known = self.ledger.known([record.job for record in page.records])
        return Page([record for record in page.records if record.job not in known], page.following)

    def find(self, owner: str | None, id: str) -> Record:
        """The job of `owner` (None: of any owner), from the ledger or, once that has forgotten it, from storage.

        Raises Problem 404 when neither knows the job, and StoreError when the ledger can't answer and storage does not
        hold the end of the job.
        """
        try:
            _ID.validate_python(id)
        except ValidationError:
            raise _unknown(id) from None
        with suppress(Wiped):
            if record := self.ledger.get(id):
                if owner not in (None, record.owner):
                    raise _unknown(id)
                return record
        job = self.archive.find_job(id)
        if not job or owner not in (None, job.owner):
            raise _unknown(id)
        return self._find_ended(job)

    def _find_ended(self, job: Job) -> Record:
        """The record of a job that has left the ledger: its loop has ended, or it is a dead letter."""
        about = f"{job.id} {job.created}"
        if known := self._ended.get(about):
            return known
        entry = entry_of(self.archive, job.id)
        if not entry or entry.status not in TERMINAL:
            raise Wiped("this job is stored, but the ledger does not know it yet")
        found = ended_record(entry)
        if found.stop:  # a dead letter may be requeued, and die again
            self._ended.put(about, found)
        return found

    def cancel(self, caller: Caller, id: str) -> Envelope:
        record = self.find(caller.reach, id)
        if not record.ended:
            order = {"by": caller.owner, "at": round(self._clock(), 3)}
            self.archive.save_control(id, "cancel", uuid.uuid4().hex, order)
            if hint := self.ledger.cancel(id):
                self._send(hint)
        return self.show(caller.reach, id)

    def order(self, caller: Caller, id: str, kind: OrderKind, **more: int) -> Envelope:
        """Pause or resume the job, or give it a `priority`. Raises Problem 409 for one that has ended."""
        record = self.find(caller.reach, id)
        if record.ended:
            raise Problem(
                409, "ended", "This job has ended", "Only a job that waits or runs takes this order. See its status.",
            )  # fmt: skip
        about = {"by": caller.owner, "at": round(self._clock(), 3), **more}
        if hint := order(self.ledger, self.archive, id, kind, about):
            self._send(hint)
        return self.show(caller.reach, id)

    def requeue(self, caller: Caller, id: str) -> Envelope:
        """Raises Problem 409 for a job that is not a dead letter."""
        record = self.find(caller.reach, id)
        if record.status is JobStatus.FAILED and not record.stop:
            if record.owner == caller.owner:
                self._admit(caller, id)
            if record.batch and not self.ledger.get(id):
                raise Problem(
                    409, "of-a-batch", "This job belongs to a batch",
                    f"Its result is stored. Try the item {record.custom_id!r} of batch {record.batch} again instead.",
                )  # fmt: skip
            if hint := requeue(self.ledger, self.archive, record):
                self._send(hint)
                return self.show(caller.reach, id)
        raise Problem(
            409, "not-a-dead-letter", "This job can't be requeued",
            "Only a job whose step failed too often can be requeued. A job that ended has no step left.",
        )  # fmt: skip

    def delete(self, caller: Caller, id: str) -> None:
        """The next sweep removes the pictures (tasks/retention.py). Raises Problem 409 while the job is active."""
        record = self.find(caller.owner, id)
        if not record.ended or not self.ledger.remove(id):
            soon = "Its result is being stored: delete it in a moment."
            fix = soon if record.ended else "Cancel it first, and delete it when it has ended."
            raise Problem(409, "active", "This job is active", fix)
        try:
            self.archive.remove(id)
            self.archive.ended.drop(record.owner, record.created_ms, id)
        finally:
            self.ledger.removed(id)

    def upload(self, caller: Caller, data: bytes) -> Uploaded:
        """Store a picture. Raises BriefError for other data, or a picture that is too large."""
        png = clean_upload(data, caller.max_image_bytes, self._max_image_pixels)
        image = self.images.put(png)
        self.archive.own(caller.owner, image)
        width, height = struct.unpack_from(">II", png, 16)  # PNG's first chunk, IHDR
        return Uploaded(image=image, width=width, height=height)

    def trajectory(self, record: Record) -> Trajectory:
        """The trajectory of the newest snapshot; without events before the first snapshot."""
        if record.snapshot:
            return self.snapshot(record.snapshot, record.snapshot_sha256).trajectory
        job = self.archive.load_job(record.job, record.created_ms)
        return begin(job.brief, job.settings, job.seed)

    def picture(self, owner: str | None, id: str) -> tuple[str, str]:
        """The hash of the picture that is delivered, and the metadata text for its PNG."""
        record = self.find(owner, id)
        trajectory = self.trajectory(record)
        image = self.delivered(record, State.of(trajectory))
        if not image:
            raise Problem(404, "no-picture-yet", "There is no picture yet", "The job has not drawn a picture so far.")
        return image, metadata_text(trajectory, image)

    def delivered(self, record: Record, state: State) -> ImageHash | None:
        """What somebody picked, or the best picture so far."""
        picked = self.archive.picks.find(record.job, record.batch) if record.ended else None
        return (picked and picked.image) or state.deliverable

    def queues(self) -> Queues:
        """What the ledger knows of the queues now."""
        held = {hold.queue: hold for hold in self.ledger.holds()}
        return Queues(self.ledger.served(), held, {sick.worker: sick for sick in self.ledger.sick_workers()})

    def summary(self, record: Record, queues: Queues | None = None) -> JobSummary:
        """`queues` saves two calls to the ledger, if they were made already."""
        path, goals = f"/v1/jobs/{record.job}", record.summary
        # A dead letter's trajectory has not stopped: requeue lets it go on.
        stop = record.stop or (StopReason.FAILED.value if record.status is JobStatus.FAILED else "")
        return JobSummary(
            id=record.job,
            owner=record.owner,
            title=record.title,
            status=record.shown,
            stop=stop,
            step=record.step,
            doing=self.doing(record, queues),
            labels=list(record.labels),
            priority=record.priority,
            paused=record.paused,
            batch=BatchPlace(id=record.batch, custom_id=record.custom_id) if record.batch else None,
            goals=GoalCount(met=goals.met, missed=goals.missed, unsure=goals.unsure, total=goals.total),
            coverage=goals.coverage,
            rounds=goals.rounds,
            renders=goals.renders,
            cost=Cost.of(record.cost),
            error=_error(record),
            created=record.created_ms / 1000,
            ended=record.ended_ms / 1000 or None,
            links={"self": path, **{name: f"{path}/{name}" for name in LINKS}},
        )

    def doing(self, record: Record, queues: Queues | None = None) -> str:
        """What an active job does or waits for; "" when it has ended."""
        if record.ended:
            return ""
        kind = STEP_KINDS.get(record.kind)
        work = "cancelling" if record.cancel else kind.doing if kind else record.kind
        if record.status is JobStatus.RUNNING:
            return f"{work}: pauses behind this step" if record.paused and not record.cancel else work
        if record.parked:
            return "paused: resume it to go on" if record.paused else self._parked(record)
        if record.deferred:
            return "waits until each item of its batch has a picture"
        return waits(record, work, queues or self.queues(), 1000 * self._clock())

    def attempts(self, owner: str | None, id: str) -> Attempts:
        """The attempts in storage. The running one is not stored yet."""
        self.find(owner, id)
        found = self.archive.read_attempts(id, lambda record: (Attempt.model_validate(record), Counted.of(record)))
        return Attempts(
            attempts=[attempt for attempt, _ in found.records],
            unreadable=found.unreadable,
            cost=Cost.of(sum((cost for _, cost in found.records), Counted())),
        )


def _key_reused() -> Problem:
    return Problem(
        409, "key-reused", "This Idempotency-Key stands for another request",
        errors=[invalid("Idempotency-Key", "was used with another body", "send a new key").errors[0]],
    )  # fmt: skip


def _repeat_with(key: str, error: StoreError) -> Problem:
    """The problem of a submit that broke off. It may be stored already: under another key it would be a second job."""
    problem = unavailable(error)
    if problem.status == 503:
        problem.headers["Idempotency-Key"] = key
        problem.detail = f"{problem.detail} Send it with the header Idempotency-Key: {key}, or it may run twice."
    return problem


def _unknown(id: str) -> Problem:
    return Problem(404, "unknown-job", "Unknown job", f"There is no job {id[:64]!r}.")


def _unserved(settings: LoopSettings, served: Mapping[str, object]) -> list[Caution]:
    """A word to the sender about an editor that no worker serves now. Workers may come: nothing is refused."""
    names = [queue.removeprefix(_EDITOR_QUEUE) for queue in sorted(served) if queue.startswith(_EDITOR_QUEUE)]
    editor = next((each for each in (settings.round_editor, settings.editor) if each not in names), None)
    if editor is None:
        return []
    others = f"; there are {', '.join(names)}" if names else ", nor any other"
    near = difflib.get_close_matches(editor, names, 1)
    fix = f"did you mean {near[0]}? " if near else ""
    return [
        Caution(
            kind="editor-not-served",
            message=f"no worker serves the editor {editor} now{others}",
            fix=f"{fix}the job waits until one does; cancel it to send another",
        )
    ]


def parse_cursor(cursor: str) -> Cursor:
    created_ms, _, job = cursor.partition("-")
    return Cursor(int(created_ms), job)


def read_cursor(cursor: str | None) -> tuple[bool, Cursor | None]:
    """Whether it is a place among the jobs that the ledger has forgotten, and the place."""
    if not cursor:
        return False, None
    word = cursor.removeprefix(OLDER)
    return word != cursor, parse_cursor(word)


def write_cursor(where: str, place: Cursor | None) -> str | None:
    """What `parse_cursor` reads, behind the word `where`."""
    return f"{where}{place.created_ms}-{place.job}" if place else None


def _error(record: Record) -> JobError | None:
    """The last recorded failure of a job that is active or failed."""
    if record.status in {JobStatus.DONE, JobStatus.CANCELLED}:
        return None
    if not record.error:
        # The loop itself ended in failure; no step failed to run.
        said = record.summary.failed
        return JobError(boundary="director", message=said, actor=Actor.USER) if said else None
    try:
        return JobError.model_validate_json(record.error)
    except ValidationError as error:
        raise StoreError("the ledger holds an error record that can't be read") from error
