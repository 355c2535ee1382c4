"""What the API does with batches, without HTTP: take one in, tell how it stands, and pass orders on."""

import json
import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from api.auth import Caller
from api.barred import Bars, terms_shown
from api.batch_schemas import (
    BatchEnvelope,
    BatchFilter,
    BatchItem,
    BatchList,
    BatchSummary,
    Drawing,
    ItemFilter,
    ItemList,
    ItemResult,
    Received,
)
from api.doing import NO_QUEUES, Queues, held_words, not_served
from api.forecast_schemas import BatchEta
from api.forecasts import Forecasts, why_unknown
from api.problems import FieldError, Problem, invalid
from api.schemas import OLDER, Cost, GoalCount, JobFilter, JobList
from api.service import MAX_KEY, NEWEST, Service, read_cursor, write_cursor
from director.errors import Actor
from director.seats import Seat
from director.transcript import count
from tasks.batch.batches import Batches, result_of
from tasks.batch.ledger import ItemState
from tasks.batch.manifest import Errors, unpriced
from tasks.batch.shelf import shard_of
from tasks.batch.terms import TermsIn
from tasks.batch.types import (
    Batch,
    BatchId,
    BatchStatus,
    OrderKind,
    Result,
    Standing,
    batch_id,
    child_id,
)
from tasks.batch.upload import MAX_CAUTIONED, Recognition, Refused, State, Upload, state_of
from tasks.files import file_stem
from tasks.ledger.types import Cursor, Record, Wiped
from tasks.store import Corrupt, NotFound, Pick
from tasks.summary import NO_COST

LINKS = ("items", "results", "pause", "resume", "cancel", "retry")
"""The paths below that of a batch."""
MAX_DRAWING = 20
LOCK_MS = 45_000
"""After so long without a byte another upload of the same key may come."""
_KEEP_S = 10.0
_BUSY_S = 5
_LOOKS = 10  # calls for one page of few matches
_PAGE = 200
_SOME = 50
_EDITOR = "editor."
_TOLD = tuple(ItemResult.model_fields)
_NO_COST = Cost.of(NO_COST).model_dump()
_ID: TypeAdapter[str] = TypeAdapter(BatchId)
_THINKERS = (Seat.PLANNER.value, Seat.JUDGE.value, Seat.VERIFIER.value)


class BatchService:
    """Batches beside the jobs of `service`."""

    def __init__(
        self,
        service: Service,
        batches: Batches,
        bars: Bars,
        forecasts: Forecasts,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._forecasts = forecasts
        self._service = service
        self._batches = batches
        self._clock = clock
        self._bars = bars

    # --- a batch comes in -------------------------------------------------------------------------

    def begin(self, caller: Caller, key: str | None, offset: int) -> "Arrival":
        """Take in lines from `offset` on: those of an earlier upload that broke off, or all of them.

        Raises Problem 409 while another upload of this key runs, or when the offset is not where it broke off.
        """
        if key is not None and not 0 < len(key) <= MAX_KEY:
            raise invalid("Idempotency-Key", f"must have 1 to {MAX_KEY} characters")
        id = batch_id(caller.owner, key or str(uuid.uuid4()))
        lock = _Lock(self._batches, id)
        try:
            known = self._batches.find(id)
            state = None if known or not offset else state_of(self._batches.shelf, id)
            if offset != (state.bytes if state else 0):
                raise _elsewhere(state)
            return Arrival(self, caller, lock, known or self._upload(caller, id, state))
        except BaseException:
            lock.release()
            raise

    def _upload(self, caller: Caller, id: str, state: State | None) -> Upload:
        def owns(image: str) -> bool:
            return self._service.archive.owns(caller.owner, image)

        try:
            return Upload(self._batches.shelf, id, owns, caller.max_brief_bytes, state, self._bars.currency)
        except (NotFound, Corrupt):
            self._batches.shelf.forget_upload(id)
            raise _elsewhere(None) from None

    def start(self, caller: Caller, upload: Upload) -> BatchEnvelope:
        """All lines have come. Raises Problem 422 with what is wrong with them."""
        try:
            batch, warned = upload.finish(caller.owner, round(self._clock(), 3))
        except Refused as refused:
            raise _refused(refused.errors) from None
        self._batches.start(batch)
        lines = min(MAX_CAUTIONED, batch.lines)
        return self.envelope(batch).model_copy(update={"warnings": warned, "looked_at": lines})

    def again(self, batch: Batch) -> BatchEnvelope:
        """The same lines came again. Their batch goes on, if it broke off before the ledger knew it."""
        if not self._batches.ledger.standing(batch.id) and not self._batches.shelf.summary(batch.id):
            self._batches.shelf.mark_live(batch.id)
            self._batches.enter(batch)
        return self.envelope(batch)

    def received(self, caller: Caller, key: str) -> Received:
        """How far an upload came. Raises Problem 404."""
        id = batch_id(caller.owner, key)
        if batch := self._batches.find(id):
            return Received(bytes=0, lines=0, sha256=batch.body_sha256, batch=id)
        if state := state_of(self._batches.shelf, id):
            return Received(bytes=state.bytes, lines=state.lines, sha256=state.sha256, batch=None)
        raise Problem(404, "unknown-upload", "Unknown upload", "No lines were received under this key.")

    # --- how it stands ----------------------------------------------------------------------------

    def find(self, owner: str | None, id: str) -> Batch:
        """The batch of `owner` (None: of any owner). Raises Problem 404."""
        with suppress(ValidationError):
            if (found := self._batches.find(_ID.validate_python(id))) and owner in (None, found.owner):
                return found
        raise Problem(404, "unknown-batch", "Unknown batch", f"There is no batch {id[:64]!r}.")

    def show(self, owner: str | None, id: str) -> BatchEnvelope:
        return self.envelope(self.find(owner, id))

    def envelope(self, batch: Batch) -> BatchEnvelope:
        standing = self.standing(batch)
        queues = self._service.queues() if standing.status is not BatchStatus.ENDED else NO_QUEUES
        children = self._batches.ledger.children(batch.id, 0, MAX_DRAWING)[0] if standing.counts.running else []
        drawing = [self._drawing(child, queues) for child in children if not child.ended]
        eta = self._forecasts.etas([standing]).get(batch.id)
        return BatchEnvelope(**dict(self.summary(standing, queues, eta)), drawing=drawing)

    def standing(self, batch: Batch) -> Standing:
        if standing := self._batches.standing(batch.id):
            return standing
        raise Wiped("this batch was removed a moment ago")

    def _drawing(self, child: Record, queues: Queues) -> Drawing:
        counts = child.summary
        goals = GoalCount(met=counts.met, missed=counts.missed, unsure=counts.unsure, total=counts.total)
        return Drawing(custom_id=child.custom_id, job=child.job, doing=self._service.doing(child, queues), goals=goals)

    def summary(self, standing: Standing, queues: Queues, eta: BatchEta | None = None) -> BatchSummary:
        path, waits = f"/v1/batches/{standing.batch}", self._waits(standing, queues)
        return BatchSummary(
            id=standing.batch, owner=standing.owner, title=standing.title, labels=list(standing.labels),
            priority=standing.priority, status=standing.status, counts=standing.counts, total=standing.total,
            waits=waits, eta=eta, eta_unknown="" if waits else why_unknown(standing, eta), max_in_flight=standing.most,
            terms=terms_shown(standing, self._clock()), cost=Cost.of(standing.cost_so_far),
            created=standing.created, ended=standing.ended or None,
            links={"self": path, **{name: f"{path}/{name}" for name in LINKS}},
        )  # fmt: skip

    def _waits(self, standing: Standing, queues: Queues) -> str:
        if standing.status is BatchStatus.OPEN and (barred := self._bars.of_batch(standing)):
            return barred
        if not standing.counts.waiting or standing.status not in {BatchStatus.OPEN, BatchStatus.PAUSED}:
            return ""
        try:
            batch = self._batches.shelf.load_batch(standing.batch)
        except (Corrupt, NotFound) as lost:  # its items fail one after the other; the other batches are listed
            return f"lost: {lost.message}"
        if standing.status is BatchStatus.PAUSED:
            return "paused: resume it"
        models = dict.fromkeys(_EDITOR + span.model for span in batch.spans)
        if nobody := not_served(models, queues, standing.counts.running > 0):
            return f"waiting: no worker serves {nobody}"
        # One model that draws is enough; of the other seats each is needed.
        editors = [queues.held.get(model) for model in models]
        thinkers = (queues.held.get(seat) for seat in _THINKERS)
        hold = next((hold for hold in thinkers if hold), editors[0] if all(editors) else None)
        return held_words(hold) if hold else self._turn(standing, models)

    def _turn(self, standing: Standing, models: Iterable[str]) -> str:
        """Why none of it is at work, where something else is."""
        if standing.counts.running:
            return ""
        lanes = self._batches.ledger.lanes([model.removeprefix(_EDITOR) for model in models])
        before = sum(lane.flying for lane in lanes)
        return f"waits for its turn behind {count(before, 'item')} of other batches" if before else ""

    def standings(self, owner: str | None, wanted: BatchFilter) -> tuple[list[Standing], str | None]:
        """What `list` tells of, and where the list goes on. One call reads either ledger or storage, which may hang."""
        older, behind = read_cursor(wanted.cursor)
        where, found = OLDER if older else "", list[Standing]()
        for _ in range(_LOOKS):
            page, following = self._page(owner, older, wanted.limit, behind)
            for standing in page:
                behind = Cursor(round(standing.created * 1000), standing.batch)
                if _matches(standing, wanted):
                    found.append(standing)
                if len(found) == wanted.limit:
                    return found, write_cursor(where, behind)
            if following is None:
                return found, None if older else self._first_older(wanted)
            behind = following
        return found, write_cursor(where, behind)

    def _page(
        self, owner: str | None, older: bool, limit: int, behind: Cursor | None
    ) -> tuple[list[Standing], Cursor | None]:
        if older:
            return self._batches.forgotten(owner, limit, behind)
        page = self._batches.listed(owner, _PAGE, behind)
        last = page[-1] if len(page) == _PAGE else None
        return page, last and Cursor(round(last.created * 1000), last.batch)

    def _first_older(self, wanted: BatchFilter) -> str | None:
        """Where the list goes on when the ledger has no more."""
        may_go_on = not wanted.status or {BatchStatus.ENDED, BatchStatus.CANCELLED} & set(wanted.status)
        return write_cursor(OLDER, NEWEST) if may_go_on and self._batches.ledger.has_older() else None

    def summaries(self, found: Sequence[Standing]) -> list[BatchSummary]:
        queues = self._service.queues() if any(one.status is not BatchStatus.ENDED for one in found) else NO_QUEUES
        etas = self._forecasts.etas(found)
        return [self.summary(one, queues, etas.get(one.batch)) for one in found]

    def list(self, owner: str | None, wanted: BatchFilter) -> BatchList:
        """What the ledger knows, and from behind that on the ended batches that it has forgotten, from storage."""
        found, following = self.standings(owner, wanted)
        return BatchList(batches=self.summaries(found), next=following)

    # --- its items --------------------------------------------------------------------------------

    def items(self, batch: Batch, wanted: ItemFilter) -> ItemList:
        only = wanted.status[0] if len(wanted.status) == 1 else None
        first, found = int(wanted.cursor or 0), list[ItemState]()
        following: int | None = first
        for _ in range(_LOOKS):
            page, following = self._batches.items(batch, only, following, wanted.limit - len(found))
            found += [item for item in page if not wanted.status or item.status in wanted.status]
            if following is None or len(found) >= wanted.limit:
                break
        items = [self._item(batch, item) for item in found]
        return ItemList(items=items, next=None if following is None else str(following))

    def _item(self, batch: Batch, item: ItemState) -> BatchItem:
        job = item.job or (child_id(batch.id, item.index, item.generation) if item.drawn else None)
        name = self._batches.custom_id(batch, item.index)
        return BatchItem(custom_id=name, index=item.index, status=item.status, job=job, take=item.take)

    def results(self, batch: Batch, every: bool = False) -> Iterator[dict[str, Any]]:
        """The current result of each item that has ended, or `every` take's: the fields of an ItemResult each."""
        picks = self._service.archive.picks.of_batch(batch.id)
        return (_told(batch, found, picks.get(found.job or "")) for found in self._batches.results(batch, every))

    def first_pictures(self, id: str) -> Iterator[str]:
        """Pictures of some items of a batch that have ended, each once."""
        told = (result_of(record) for record in self._batches.unreported(id))
        some = islice(chain(self._batches.shelf.first_results(id), told), _SOME)
        known = set[str]()
        for found in some:
            if found.image and found.image not in known:
                known.add(found.image)
                yield found.image

    def jobs(self, owner: str | None, wanted: JobFilter) -> JobList:
        """The jobs of a batch's items that the ledger has, by index. Raises Problem 404."""
        batch = self.find(owner, wanted.batch or "")
        first = (wanted.cursor or "0").partition("-")[0]
        if not first.isdecimal():
            raise invalid("cursor", "must be `next` of the page before")
        records, following = self._batches.ledger.children(batch.id, int(first), wanted.limit)
        records = [record for record in records if _is_wanted(record, wanted)]
        queues = self._service.queues() if records else NO_QUEUES
        return JobList(
            jobs=[self._service.summary(record, queues) for record in records],
            next=None if following is None else f"{following}-{batch.id}",
            links={"items": f"/v1/batches/{batch.id}/items"},
        )

    # --- orders -----------------------------------------------------------------------------------

    def order(self, owner: str | None, id: str, kind: OrderKind, items: Sequence[str] = (), **what: object) -> Batch:
        """Raises Problem 404 and 422, and StoreError while another order is carried out."""
        batch = self.find(owner, id)
        self._batches.order(id, kind, items=self._indices(batch, items), **what)
        return batch

    def put_first(self, owner: str | None, id: str, items: Sequence[str]) -> Batch:
        """Let these items be the next of the batch. Raises Problem 409 where none of a few waits."""
        batch = self.find(owner, id)
        if len(items) <= MAX_DRAWING and not any(self._item_of(batch, n, items).waits for n in range(len(items))):
            raise Problem(
                409, "not-waiting", "None of these items waits",
                "Only an item that has not begun can be put first. The priority of one that runs is that of its job.",
            )  # fmt: skip
        return self.order(owner, id, "first", items)

    def _item_of(self, batch: Batch, n: int, items: Sequence[str]) -> ItemState:
        found, _ = self._batches.items(batch, None, self._index(batch, n, items[n]), 1)
        return found[0]

    def terms_of(self, given: TermsIn, where: str) -> dict[str, object]:
        """The terms that an order changes. Raises Problem 422."""
        if wrong := unpriced(given, self._bars.currency):
            raise invalid(where + wrong.field, wrong.message, wrong.fix)
        return given.changes(int(1000 * self._clock()))

    def _indices(self, batch: Batch, items: Sequence[str]) -> tuple[int, ...]:
        """Those whose names lie in one shard are looked up one after the other, so that it is read once."""

        def shard(n: int) -> int:
            line = items[n].rpartition("@")[0] if batch.combos[0].name else items[n]
            return shard_of(line, batch.lines)

        return tuple(sorted({self._index(batch, n, items[n]) for n in sorted(range(len(items)), key=shard)}))

    def _index(self, batch: Batch, n: int, custom_id: str) -> int:
        index = self._batches.index_of(batch, custom_id)
        if index is None:
            named = ", e.g. " + self._batches.custom_id(batch, 0)
            raise invalid(f"items.{n}", f"there is no item {custom_id[:64]!r} in this batch", f"name its items{named}")
        return index


class Arrival:
    """A batch that comes in: fed with bytes, then finished. `source` is where they go, or the batch that has this key.

    Not safe for threads, but for one after the other.
    """

    def __init__(self, service: BatchService, caller: Caller, lock: "_Lock", source: Upload | Batch) -> None:
        self._service, self._caller, self._lock, self._known = service, caller, lock, source
        self._source = Recognition(source) if isinstance(source, Batch) else source

    def feed(self, chunk: bytes) -> None:
        self._lock.keep()
        self._source.feed(chunk)

    def finish(self) -> tuple[BatchEnvelope, bool]:
        """The batch, and whether it is new."""
        self._lock.keep()
        if isinstance(self._source, Upload):
            return self._service.start(self._caller, self._source), True
        if not self._source.finish():
            raise Problem(
                409, "key-reused", "This Idempotency-Key stands for another batch",
                errors=invalid("Idempotency-Key", "was used with other briefs or options", "send a new key").errors,
            )  # fmt: skip
        assert isinstance(self._known, Batch)
        return self._service.again(self._known), False

    def break_off(self) -> None:
        """No more bytes come now: what has come is kept for the next upload."""
        self._lock.keep()
        if isinstance(self._source, Upload):
            self._source.checkpoint()

    def close(self) -> None:
        if isinstance(self._source, Upload):
            self._source.close()
        self._lock.release()


class _Lock:
    """One upload of a key at a time."""

    def __init__(self, batches: Batches, id: str) -> None:
        self._ledger, self._name, self._holder = batches.ledger, f"upload:{id}", secrets.token_hex(8)
        self._kept = time.monotonic()
        self._take()

    def keep(self) -> None:
        """Raises Problem 409 when it may have been lost."""
        waited = time.monotonic() - self._kept
        if waited * 1000 >= LOCK_MS:
            raise _busy()
        if waited > _KEEP_S:
            self._take()

    def _take(self) -> None:
        now = time.monotonic()
        if not self._ledger.lock(self._name, self._holder, LOCK_MS):
            raise _busy()
        self._kept = now

    def release(self) -> None:
        self._ledger.unlock(self._name, self._holder)


def _busy() -> Problem:
    return Problem(
        409, "upload-runs", "Another upload of this batch runs", "Send it again when that one has ended or broken off.",
        headers={"Retry-After": str(_BUSY_S)},
    )  # fmt: skip


def _elsewhere(state: State | None) -> Problem:
    received = state.bytes if state else 0
    at = invalid("Upload-Offset", f"must be {received}: so much was received", "GET /v1/batches/uploads/KEY tells it")
    title = "The upload goes on elsewhere"
    return Problem(409, "upload-offset", title, errors=at.errors, headers={"Retry-After": "1"})


def _refused(errors: Errors) -> Problem:
    told = [
        FieldError(
            line=wrong.line, custom_id=wrong.custom_id or None, field=wrong.field, message=wrong.message, fix=wrong.fix
        )
        for wrong in errors.told
    ]
    some = f"{errors.count} errors in {errors.lines} lines" if errors.count > 1 else f"One error in line {told[0].line}"
    rest = f"; the first {len(told)} are told" if errors.count > len(told) else ""
    return Problem(422, "manifest", "The batch can't be used", f"{some}{rest}. Nothing was started.", errors=told)


def _matches(standing: Standing, wanted: BatchFilter) -> bool:
    of_status = not wanted.status or standing.status in wanted.status
    return of_status and set(wanted.label) <= set(standing.labels)


def _is_wanted(record: Record, wanted: JobFilter) -> bool:
    return (
        (not wanted.status or record.shown in wanted.status)
        and set(wanted.label) <= set(record.labels)
        and (wanted.created_after is None or record.created_ms >= wanted.created_after * 1000)
        and (wanted.created_before is None or record.created_ms < wanted.created_before * 1000)
    )


_NO_BREAKS = {char.encode(): f"\\u{ord(char):04x}".encode() for char in "\u0085\u2028\u2029"}
"""JSON lets them stand, and many a reader of lines breaks a line there."""


def json_line(told: Mapping[str, Any]) -> bytes:
    """A result as a line of JSON that no reader breaks elsewhere."""
    line = to_json(told)
    for breaks, escaped in _NO_BREAKS.items():
        line = line.replace(breaks, escaped)
    return line + b"\n"


def _told(batch: Batch, found: Result, pick: Pick | None) -> dict[str, Any]:
    """An ItemResult. There may be a million: to make the model would take three times as long."""
    own = vars(found)
    told = {name: own[name] for name in _TOLD if name in own}
    told["status"] = found.status.value
    told["cost"] = _NO_COST if found.cost is NO_COST else Cost.of(found.cost).model_dump()
    told["created"], told["ended"] = found.created or None, found.ended or None
    told |= _said(found.error)
    told["picked"], told["changed"] = pick.name if pick else "", max(found.ended, pick.at if pick else 0.0) or None
    if pick and pick.image:
        told["image"] = pick.image
    if batch.alike:
        told["file"] = file_stem(found.custom_id, alike=True)
    return told


def _said(error: str) -> dict[str, str]:
    """A recorded failure in words, the fix and who has to act. It is JSON, or the words with which the loop ended."""
    if not error:
        return {"error": ""}
    with suppress(ValueError, KeyError, TypeError):
        record = json.loads(error)
        said = {"error": f"{record['boundary']}: {record['message']}"}
        return said | {name: str(record[name]) for name in ("fix", "actor") if record.get(name)}
    return {"error": error, "actor": Actor.USER.value}
