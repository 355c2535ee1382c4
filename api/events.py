"""A job's event stream: each durable event once, in order, for any number of readers.

Events are functions of the committed snapshots. A trajectory only grows, so the events of step n
are those that its snapshot has beyond the one before; their ids are `<step>.<digest>.<seq>`, and
anybody who reads the chain gets the same ones. The digest is of what the step's events say, not of who
ran it: a step that was redone after a wipe with the same outcome is not told twice. A `progress` event
has no id: it says what a quiet job does or waits for, to whom it may concern now, and is never told again.
"""

import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Self

import anyio
from anyio import CapacityLimiter, to_thread
from fastapi.sse import format_sse_event

from api.problems import Problem, invalid
from api.service import Service
from director.errors import StoreError
from director.types import Event
from tasks.ledger.types import Record
from tasks.logs import fields
from tasks.store import Corrupt, NotFound

log = logging.getLogger("visiondirector.api")

POLL_SECONDS = 0.2
HEARTBEAT_SECONDS = 10.0
LOOK_SECONDS = 2.0
"""How long a job is quiet before its readers are told what it does."""


class Mark(NamedTuple):
    """One committed step: where its snapshot is, and how many events the trajectory has with it."""

    key: str
    step: int
    digest: str
    events: int
    previous: str


@dataclass(frozen=True)
class EventId:
    """`seq` counts a step's events from 0; one past the last is the `end` of a job that ended there."""

    step: int
    digest: str
    seq: int

    def __str__(self) -> str:
        return f"{self.step}.{self.digest}.{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises Problem for what is no event id."""
        step, _, rest = text.partition(".")
        digest, _, seq = rest.partition(".")
        if not (_is_number(step) and _is_number(seq) and digest.isalnum() and len(digest) <= 64):
            raise invalid("Last-Event-ID", "is no event id of this service", "send the last id received, or none", 400)
        return cls(int(step), digest, int(seq))


class EventStreams:
    """Opens event streams over a service. What blocks runs in threads of the streams' own."""

    def __init__(
        self,
        service: Service,
        poll: float = POLL_SECONDS,
        heartbeat: float = HEARTBEAT_SECONDS,
        look: float = LOOK_SECONDS,
        threads: int = 8,
    ) -> None:
        self.service = service
        self.look = look
        self._poll = poll
        self._heartbeat = heartbeat
        # Many streams must not take the threads that requests need.
        self._threads = CapacityLimiter(threads)
        self._mark = lru_cache(maxsize=4096)(self._load_mark)

    def is_over(self, found: Record, after: EventId) -> bool:
        """True when nothing follows `after`: it is the `end` of a job that is still ended."""
        return found.ended and str(after) == self._end_id(found.snapshot)

    async def read(self, owner: str | None, id: str, after: EventId | None) -> AsyncIterator[bytes]:
        """The stream as bytes, until `end`. While ledger or storage are out of reach it only beats."""
        reader = Reader(self, owner, id, after)
        news = spoke = time.monotonic()
        yield b"retry: 1000\n\n"
        while not reader.over:
            try:
                pieces = await to_thread.run_sync(reader.poll, limiter=self._threads)
            except (Corrupt, NotFound) as error:
                log.error("event stream broken off: %s", error, extra=fields(job=id))
                return
            except StoreError:
                pieces = []
            except Problem:  # the job is gone
                return
            for piece in pieces:
                yield piece
            now = time.monotonic()
            if pieces:
                news = spoke = now
            elif now - spoke >= self._heartbeat:
                yield b":\n\n"
                spoke = now
            if not reader.over:
                # A step that took long is told a twentieth of that late at most; the ledger is asked the less.
                await anyio.sleep(min(max(self._poll, (now - news) / 20), 5 * self._poll))

    def since(self, key: str, after: EventId | None) -> list[tuple[EventId, Event]]:
        """The events of the chain that ends with snapshot `key`, those behind `after` only.

        An `after` whose step was redone since, with another outcome, gives that step again.
        """
        marks, base = self._walk(key, after)
        events = self.service.snapshot(key).trajectory.events
        found: list[tuple[EventId, Event]] = []
        for mark in marks:
            same = after is not None and (mark.step, mark.digest) == (after.step, after.digest)
            for seq, event in enumerate(events[base : mark.events]):
                if not (same and after and seq <= after.seq):
                    found.append((EventId(mark.step, mark.digest, seq), event))
            base = mark.events
        return found

    def _walk(self, key: str, after: EventId | None) -> tuple[list[Mark], int]:
        """The marks from `after`'s step on, oldest first, and how many events came before them."""
        marks: list[Mark] = []
        while key:
            mark = self._mark(key)
            if after and mark.step < after.step:
                return marks[::-1], mark.events
            marks.append(mark)
            key = mark.previous
        return marks[::-1], 0

    def end_of(self, key: str) -> EventId:
        """The id behind the last event of snapshot `key`."""
        mark = self._mark(key)
        before = self._mark(mark.previous).events if mark.previous else 0
        return EventId(mark.step, mark.digest, mark.events - before)

    def end(self, found: Record) -> bytes:
        """The last event: how the job stands now that it has ended."""
        data = json.dumps(self.service.summary(found).model_dump(mode="json"))
        return format_sse_event(data_str=data, event="end", id=self._end_id(found.snapshot))

    def _end_id(self, key: str) -> str | None:
        return str(self.end_of(key)) if key else None

    def _load_mark(self, key: str) -> Mark:
        snapshot = self.service.snapshot(key)
        events = snapshot.trajectory.events
        base = len(self.service.snapshot(snapshot.previous).trajectory.events) if snapshot.previous else 0
        said = "\n".join(event.model_dump_json() for event in events[base:])
        digest = hashlib.sha256(said.encode()).hexdigest()[:16]
        return Mark(key, snapshot.n, digest, len(events), snapshot.previous)


class Reader:
    """One reader's place in the stream of one job."""

    def __init__(self, streams: EventStreams, owner: str | None, id: str, after: EventId | None) -> None:
        self.over = False
        self._streams = streams
        self._owner = owner
        self._id = id
        self._after: EventId | None = after
        self._read: str = ""  # the snapshot that was read last
        self._doing = ""  # what was told last
        self._look = time.monotonic() + streams.look

    def poll(self) -> list[bytes]:
        """What is new, encoded. Blocks on ledger and storage; raises StoreError when they don't answer."""
        found = self._streams.service.find(self._owner, self._id)
        pieces: list[bytes] = []
        place = self._after
        if found.snapshot != self._read:
            pieces = [_encode(id, event) for id, event in self._streams.since(found.snapshot, place)]
            place = self._streams.end_of(found.snapshot)
        if found.ended:
            pieces.append(self._streams.end(found))
        # Only now: had anything above failed, the next poll would have to give it all.
        self._after, self._read = place, found.snapshot
        self.over = found.ended
        if pieces:
            self._doing, self._look = "", time.monotonic() + self._streams.look
        return pieces or self._progress(found)

    def _progress(self, found: Record) -> list[bytes]:
        now = time.monotonic()
        if now < self._look:
            return []
        self._look = now + self._streams.look
        doing = self._streams.service.doing(found)
        if doing == self._doing:
            return []
        self._doing = doing
        return [format_sse_event(data_str=json.dumps({"doing": doing}), event="progress")]


def _encode(id: EventId, event: Event) -> bytes:
    # ASCII only: clients that split lines at U+2028 read it right, too.
    data = json.dumps(event.model_dump(mode="json"), separators=(",", ":"))
    return format_sse_event(data_str=data, event=event.kind, id=str(id))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9
