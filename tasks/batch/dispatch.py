"""Turns the items of batches into jobs when their turn comes, and stores how they ended. Part of the reconciler.

Any number of dispatchers may run. A pick is a lease: if its dispatcher dies, the item waits again. The job of an item
has the same id whoever makes it, and is entered once.
"""

import json
import logging
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby

from pydantic import ValidationError

from director.continuing import tried_again
from director.errors import Actor, DirectorError, StoreError
from director.state import State
from tasks.batch.batches import Batches, result_of
from tasks.batch.keeper import TermsKeeper
from tasks.batch.ledger import Lane, Pick
from tasks.batch.recall import cancelled_since, recall
from tasks.batch.types import Batch, Item, ItemStatus, Order, Result, child_id, job_of
from tasks.entries import new_entry
from tasks.jobs import Job, JobStatus, Place
from tasks.ledger.ledger import Ledger
from tasks.ledger.locks import Busy
from tasks.ledger.types import Entered, Entry, Hint, Record
from tasks.logs import fields
from tasks.notices.courier import Courier
from tasks.reconcile import entry_of
from tasks.settings import Settings
from tasks.store import Archive, Corrupt, NotFound

log = logging.getLogger(__name__)

LEASE_MS = 30_000
"""Of a pick: making a job takes three or four calls of storage."""
_EDITOR = "editor."
_URGENT = "!"
# Time with the other seats for each of an editor's: where nothing was measured, and at most.
_AWAY, _MOST_AWAY = 0.5, 7.0
_SPARE = 2
_MOST_REPORTED = 200  # results in one part, and one pass


def slots(editors: int, lane: Lane) -> int:
    """How many jobs more a model's editors take, so that they stay busy and what was begun ends soon; below 0: none.

    While an editor draws for one job, others are with the other seats: so many as the time there is longer, waits
    included, and some for chance. But where jobs queue up before the other seats these are the limit: a few that wait
    keep them busy, and more would only wait.
    """
    away = _AWAY * editors
    most_waiting = math.inf  # before the other seats
    if lane.step_ms and lane.other_ms is not None:
        away = min(lane.other_ms / lane.step_ms, _MOST_AWAY) * editors
        most_waiting = math.ceil(max(lane.thinking, editors) / 2) + _SPARE
    most = round(editors + away + math.sqrt(away)) + _SPARE
    return int(min(most - lane.flying - lane.picked, most_waiting - lane.queued))


def reserve(editors: int) -> int:
    """How many jobs more for urgent batches, beside those of `slots`."""
    return math.ceil(editors / 2)


class Dispatcher:
    """`send` tells workers that a step waits. Every part may break off anywhere; each raises StoreError."""

    def __init__(
        self,
        batches: Batches,
        ledger: Ledger,
        archive: Archive,
        settings: Settings,
        send: Callable[[Hint], None],
        notices: Courier | None = None,
    ) -> None:
        self.batches = batches
        self._notices = notices
        self._ledger = ledger
        self._archive = archive
        self._settings = settings
        self._send = send
        self._holder = secrets.token_hex(8)
        self._keeper = TermsKeeper(batches, batches.terms, settings)
        self._orders: dict[str, list[Order]] = {}  # by batch, of the last rebuild

    def parts(self) -> Sequence[Callable[[], None]]:
        """What a pass of the reconciler does for batches."""
        notices = (self._notices.collect, self._notices.deliver) if self._notices else ()
        parts = (*self._keeper.parts(), self.note_capacity, self.give_back, self.report, self.close, self.admit)
        return *parts, *notices

    def note_capacity(self) -> None:
        """Let the ledger note who serves what now: forecasts read it (tasks/batch/forecast)."""
        self._ledger.run("note_capacity")

    # --- turns ------------------------------------------------------------------------------------

    def give_back(self) -> None:
        """Picks of dispatchers that died wait again."""
        if lapsed := self.batches.ledger.give_back():
            log.warning("%d items wait again: their dispatcher is gone", lapsed)

    def admit(self) -> None:
        """Make jobs of the next items, as many as the editors that serve take."""
        editors = self._editors()
        self._keeper.pace(editors)
        lanes = [lane for model in editors for lane in (model + _URGENT, model)]
        made = 0  # since the lanes were looked at
        for lane, found in zip(lanes, self.batches.ledger.lanes(lanes), strict=True):
            model = lane.removesuffix(_URGENT)
            if not found.owners:
                continue
            now = self.batches.ledger.lanes([lane])[0] if made else found
            free = slots(editors[model], now) + (reserve(editors[model]) if lane != model else 0)
            for pick in self.batches.ledger.pick(lane, free, LEASE_MS):
                self.make(pick)
                made += 1

    def _editors(self) -> Mapping[str, int]:
        """Models, and how many workers serve each and may work."""
        sick = {worker.worker for worker in self._ledger.sick_workers() if worker.quarantined_ms}
        serving = {
            queue.removeprefix(_EDITOR): len(set(workers) - sick)
            for queue, workers in self._ledger.served().items()
            if queue.startswith(_EDITOR)
        }
        return {model: workers for model, workers in serving.items() if workers}

    def make(self, pick: Pick) -> None:
        """Make the job of a pick, however far somebody came with it before."""
        name = f"item {pick.index}"
        try:
            batch = self.batches.shelf.load_batch(pick.batch)
            item = self.batches.item(batch, pick.index)
            name = batch.custom_id(pick.index, item.custom_id)
            entry = self._prepare(batch, item, name, pick)
        except (Corrupt, NotFound, ValidationError) as lost:
            log.error("no job can be made: %s", lost, extra=fields(batch=pick.batch, item=pick.index))
            self._spoil(pick, name, lost)
            return
        self._enter(pick, entry)

    def _enter(self, pick: Pick, entry: Entry) -> None:
        entered = self._ledger.enter(entry)
        if entered is Entered.CREATED and entry.next and entry.status is JobStatus.QUEUED:
            self._send(entry.hint)
        elif entered is Entered.UNWANTED:  # cancelled meanwhile, or another dispatcher was faster by far
            self._archive.unmark_live(entry.job)
            self.batches.ledger.put_back(pick)
        elif entered is Entered.PRESENT:  # the take before this one is not reported yet
            self.batches.ledger.put_back(pick)

    def _prepare(self, batch: Batch, item: Item, custom_id: str, pick: Pick) -> Entry:
        """The job in storage, marked live, and what the ledger is told of it."""
        place = Place(
            batch=batch.id, index=pick.index, custom_id=custom_id, generation=pick.generation, take=pick.take,
            order=pick.order,
        )  # fmt: skip
        entry = self._brought_back(place) if pick.mode == "r" else self._as_stored(place)
        if entry:
            return entry
        now = round(time.time(), 3)
        if pick.mode == "s" or pick.generation == 0:
            job = job_of(batch, item, place, now)
        elif pick.mode == "r":  # what failed can't go on: it begins anew
            job = job_of(batch, item, place.model_copy(update={"generation": place.generation + 1}), now)
        else:
            job = self._going_on(batch, item, place, pick.rounds, now)
        job = self._priced(job, pick.price)
        self._archive.save_job(job)
        self._archive.mark_live(job.id)
        return new_entry(job)

    def _priced(self, job: Job, price: float | None) -> Job:
        """With the batch's price of a render, if it has one and the job's own is no higher.

        A job that somebody made before, and did not come to enter, keeps the price that it was given.
        """
        if price is None:
            return job
        before = self._archive.find_job(job.id)
        least = before.settings.price_of_render if before else price
        settings = {"price_of_render": max(job.settings.price_of_render, least)}
        return job.model_copy(update={"settings": job.settings.model_copy(update=settings)})

    def _as_stored(self, place: Place) -> Entry | None:
        """Where the job stands that was made of this item before: the ledger may have been brought back from a copy.

        None: nothing of it was run.
        """
        id = child_id(place.batch, place.index, place.generation)
        if not self._archive.latest(id):
            return None
        entry = entry_of(self._archive, id)
        if entry:
            self._archive.mark_live(id)
        return entry and entry.model_copy(update={"place": place})

    def _brought_back(self, place: Place) -> Entry | None:
        """The failed job, to go on where it failed. None: the loop itself ended it, or nothing is stored of it."""
        id = child_id(place.batch, place.index, place.generation)
        job, entry = self._archive.find_job(id), entry_of(self._archive, id)
        if job is None or entry is None or entry.stop:
            return None
        self._archive.save_job(job.model_copy(update={"batch": place}))
        self._archive.mark_live(id)
        if entry.dead_letter:
            self._archive.save_control(id, "requeue", entry.dead_letter, {"n": entry.step})
        again = {"status": JobStatus.QUEUED, "dead_letter": "", "error": "", "ended_ms": 0, "place": place}
        return entry.model_copy(update=again)

    def _going_on(self, batch: Batch, item: Item, place: Place, rounds: int, now: float) -> Job:
        """A job that starts from the picture that the generation before delivered, and knows what that meets."""
        job = job_of(batch, item, place, now)
        before = child_id(batch.id, place.index, place.generation - 1)
        key = self._archive.latest(before)
        if not key:
            return job
        state = State.of(self._archive.load_snapshot(key).trajectory)
        picked = self._archive.picks.find(before, batch.id)
        image = (picked and picked.image) or state.deliverable
        brief = tried_again(state, image) if image else None
        settings = {"rounds": min(rounds, 20)} if rounds else {}
        return job.model_copy(
            update={
                "brief": brief.model_copy(update={"title": job.brief.title}) if brief else job.brief,
                "settings": job.settings.model_copy(update=settings),
            }
        )

    def _spoil(self, pick: Pick, custom_id: str, lost: Exception) -> None:
        """The item has failed: nobody can read it. Its result says so."""
        fix = lost.fix if isinstance(lost, DirectorError) else ""
        error = {"boundary": "batch", "message": str(lost)[:500], "fix": fix, "actor": Actor.OPERATOR.value}
        result = Result(
            batch=pick.batch, index=pick.index, take=pick.take, generation=pick.generation,
            custom_id=custom_id, status=ItemStatus.FAILED, stop="failed",
            error=json.dumps(error), ended=round(time.time(), 3), order=pick.order,
        )  # fmt: skip
        self.batches.shelf.put_results(pick.batch, secrets.token_hex(8), [result])
        self.batches.ledger.spoil(pick)

    # --- after a wipe -----------------------------------------------------------------------------

    def restore(self, holder: str, keep: Callable[[], None]) -> None:
        """Enter the batches that have not ended, as storage has them; then their jobs can be restored.

        `keep` is called again and again: reading a million results takes longer than `holder` has the rebuild lock.
        """
        self._orders.clear()
        self._keeper.rule_now()
        if self._notices:
            self._notices.restore()
        for id in self.batches.shelf.live():
            keep()
            try:
                if batch := self.batches.find(id):
                    self._orders[id] = self.batches.shelf.orders(id)
                    self.batches.ledger.restore(batch, recall(self.batches.shelf, batch, keep), holder)
            except Corrupt as broken:
                log.error("a batch can't be restored: %s", broken, extra=fields(batch=id))

    def ordered(self, entry: Entry) -> Entry:
        """The entry of a child, with what was ordered of its batch since it was admitted."""
        place = entry.place
        if place and cancelled_since(self._orders.get(place.batch, ()), place.index, place.order):
            return entry.model_copy(update={"cancel": True})
        return entry

    def has_ended(self) -> bool:
        """Storage lists a batch that has ended."""
        return self.batches.shelf.ended.any()

    # --- ends -------------------------------------------------------------------------------------

    def report(self) -> None:
        """Store the results of children that have ended; then they leave the ledger."""
        ledger = self.batches.ledger
        if not ledger.lock("report", self._holder):
            return
        records = ledger.unreported(_MOST_REPORTED, int(1000 * self._settings.report_every_s))
        for batch, group in groupby(sorted(records, key=_by_batch), key=lambda record: record.batch):
            ended = list(group)
            self.batches.shelf.put_results(batch, secrets.token_hex(8), [result_of(record) for record in ended])
            self._collect()
            for job in ledger.reported(ended):
                self._archive.unmark_live(job)

    def close(self) -> None:
        """Store how batches ended, and forget those that ended long ago."""
        for id in self.batches.ledger.closing():
            with suppress(Busy), self.batches.alone(id, patience_s=0):  # else somebody orders something
                if standing := self.batches.ledger.close(id):
                    self.batches.shelf.put_summary(standing)
                    self._collect()
                    self.batches.shelf.unmark_live(id)
                    self.batches.ledger.closed(id)
                    log.info("a batch has ended: %s", standing.counts, extra=fields(batch=id))
        self.batches.ledger.forget(int(1000 * self._settings.keep_ended_s))

    def _collect(self) -> None:
        """Before a mark goes that lets a rebuild look: what happened is kept, and will be told."""
        if self._notices:
            self._notices.collect()

    def audit(self) -> None:
        """Enter batches that storage has and the ledger has not, and apply orders that broke off."""
        if self._notices:
            self._notices.audit()
        for id in self.batches.shelf.live():
            try:
                batch = self.batches.find(id)
                if batch is None:
                    continue  # it is being sent, or its upload broke off
                if self.batches.enter(batch):
                    log.warning("was in storage only and is now in the ledger", extra=fields(batch=id))
                with suppress(Busy), self.batches.alone(id, patience_s=0):
                    self.batches.catch_up(id)
            except (Corrupt, StoreError) as broken:
                log.error("the batch can't be compared: %s", broken, extra=fields(batch=id))


def _by_batch(record: Record) -> tuple[str, int, int]:
    return record.batch, record.ended_ms, record.item
