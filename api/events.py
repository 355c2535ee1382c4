"""A job's event stream: each event of its trajectory once, in order, for any number of readers.

A trajectory only grows: the events of step n are those that its snapshot has beyond the snapshot before. Their ids
are `<step>.<digest>.<seq>`, the same for every reader. The digest covers the content of the step's events only: a step
that ran again with the same outcome, after a wipe or as an object was lost, is not sent twice, and one id never stands
for two contents. A `progress` event says what a quiet job does or waits for. It has no id and is not sent again to a
reader that resumes.
"""

import hashlib
import json
import logging
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
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
PROGRESS_SECONDS = 2.0
"""A `progress` event is sent after so long without another event."""
_EVENT_ID = re.compile(r"([0-9]{1,9})\.([^\W_]{1,64})\.([0-9]{1,9})")


class CommittedStep(NamedTuple):
    """A committed step: `events` of the trajectory after it, and the key of the snapshot before."""

    n: int
    digest: str
    events: int
    previous: str


@dataclass(frozen=True)
class EventId:
    """`seq` counts the events of a step from 0. The `end` of the job comes after the last event of its last step."""

    step: int
    digest: str
    seq: int

    def __str__(self) -> str:
        return f"{self.step}.{self.digest}.{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises Problem when `text` is not an event id."""
        if not (found := _EVENT_ID.fullmatch(text)):
            raise invalid("Last-Event-ID", "is no event id of this service", "send the last id received, or none", 400)
        return cls(int(found[1]), found[2], int(found[3]))


class EventStreams:
    """The event streams of a service. Blocking calls run in threads of their own."""

    def __init__(
        self,
        service: Service,
        poll: float = POLL_SECONDS,
        heartbeat: float = HEARTBEAT_SECONDS,
        progress_after: float = PROGRESS_SECONDS,
        threads: int = 8,
    ) -> None:
        self.service = service
        self.progress_after = progress_after
        self._poll = poll
        self._heartbeat = heartbeat
        # Streams must not use up the threads of other requests.
        self._threads = CapacityLimiter(threads)
        self._step = lru_cache(maxsize=4096)(self._load_step)

    def is_over(self, found: Record, after: EventId) -> bool:
        """True when nothing follows `after`: it is the `end` of a job that has not been requeued since."""
        return found.ended and str(after) == self._end_id(found.snapshot)

    async def read(self, owner: str | None, id: str, after: EventId | None) -> AsyncIterator[bytes]:
        """The stream as bytes, until `end`. While ledger or storage are out of reach, only heartbeats are sent."""
        reader = Reader(self, owner, id, after)
        last_event = last_sent = time.monotonic()
        yield b"retry: 1000\n\n"
        while not reader.over:
            try:
                pieces = await to_thread.run_sync(reader.poll, limiter=self._threads)
            except (Corrupt, NotFound) as error:
                log.error("event stream broken off: %s", error, extra=fields(job=id))
                return
            except StoreError:
                pieces = []
            except Problem:  # the job was deleted
                return
            for piece in pieces:
                yield piece
            now = time.monotonic()
            if pieces:
                last_event = last_sent = now
            elif now - last_sent >= self._heartbeat:
                yield b":\n\n"
                last_sent = now
            if not reader.over:
                # The pause grows with the step: an event is late by a twentieth of its step at most.
                await anyio.sleep(min(max(self._poll, (now - last_event) / 20), 5 * self._poll))

    def since(self, key: str, after: EventId | None) -> list[tuple[EventId, Event]]:
        """The events up to snapshot `key` that come after the event `after`.

        If the step of `after` ran again with another outcome, all events of that step are given.
        """
        steps, base = self._steps_since(key, after)
        events = self.service.snapshot(key).trajectory.events
        found: list[tuple[EventId, Event]] = []
        for step in steps:
            same = after is not None and (step.n, step.digest) == (after.step, after.digest)
            for seq, event in enumerate(events[base : step.events]):
                if not (same and after and seq <= after.seq):
                    found.append((EventId(step.n, step.digest, seq), event))
            base = step.events
        return found

    def told_before(self, id: str, after: EventId) -> dict[int, str]:
        """The digests of the steps before that of `after`, by number, if a try of that step is stored; else none."""
        for key in self.service.archive.snapshots_from(id, after.step):
            with suppress(Corrupt, NotFound):
                step = self._step(key)
                if (step.n, step.digest) == (after.step, after.digest):
                    return {told.n: told.digest for told in self._steps_since(step.previous, None)[0]}
        return {}

    def is_behind(self, key: str, after: EventId) -> bool:
        """True when the snapshot is of an earlier step than the event."""
        return self._step(key).n < after.step

    def _steps_since(self, key: str, after: EventId | None) -> tuple[list[CommittedStep], int]:
        """The steps from that of `after` on, oldest first, and the number of events before them."""
        steps: list[CommittedStep] = []
        while key:
            step = self._step(key)
            if after and step.n < after.step:
                return steps[::-1], step.events
            steps.append(step)
            key = step.previous
        return steps[::-1], 0

    def end_of(self, key: str) -> EventId:
        """The id after the last event of snapshot `key`."""
        step = self._step(key)
        before = self._step(step.previous).events if step.previous else 0
        return EventId(step.n, step.digest, step.events - before)

    def end_event(self, found: Record) -> bytes:
        """The last event: the summary of the ended job."""
        data = json.dumps(self.service.summary(found).model_dump(mode="json"))
        return format_sse_event(data_str=data, event="end", id=self._end_id(found.snapshot))

    def _end_id(self, key: str) -> str | None:
        return str(self.end_of(key)) if key else None

    def _load_step(self, key: str) -> CommittedStep:
        snapshot = self.service.snapshot(key)
        events = snapshot.trajectory.events
        base, previous = 0, snapshot.previous
        if previous:
            try:
                base = len(self.service.snapshot(previous).trajectory.events)
            except (Corrupt, NotFound) as hole:
                # What came before is told as of this step: the newest snapshot holds all of it.
                log.warning("told without the step before: %s", hole)
                previous = ""
        said = "\n".join(event.model_dump_json() for event in events[base:])
        digest = hashlib.sha256(said.encode()).hexdigest()[:16]
        return CommittedStep(snapshot.n, digest, len(events), previous)


class Reader:
    """The position of one reader in the stream of one job."""

    def __init__(self, streams: EventStreams, owner: str | None, id: str, after: EventId | None) -> None:
        self.over = False
        self._streams = streams
        self._owner = owner
        self._id = id
        self._after: EventId | None = after
        self._resumed = after
        self._rewound = ""  # the rewind that is taken care of
        self._snapshot: str = ""  # the one that was sent last
        self._sent: dict[int, str] = {}  # digests, by step
        self._doing = ""  # what was sent last
        self._next_progress = time.monotonic() + streams.progress_after

    def poll(self) -> list[bytes]:
        """What is new, encoded. Blocks on ledger and storage; raises StoreError when they don't answer."""
        found = self._streams.service.find(self._owner, self._id)
        pieces: list[bytes] = []
        events: list[tuple[EventId, Event]] = []
        if found.snapshot and found.snapshot != self._snapshot:
            self._recall(found)
            # A job that went back, over a lost object or with an older ledger, comes to steps again that were sent.
            new = self._streams.since(found.snapshot, self._after)
            events = [(id, event) for id, event in new if not self._knows(id)]
            pieces = [_encode(id, event) for id, event in events]
        after = self._streams.end_of(found.snapshot) if found.snapshot else self._after
        if found.ended:
            pieces.append(self._streams.end_event(found))
        # Set last: if anything above fails, the next poll gives all of it.
        self._after, self._snapshot = after, found.snapshot
        self._sent.update({id.step: id.digest for id, _ in events})
        self.over = found.ended
        if pieces:
            self._doing, self._next_progress = "", time.monotonic() + self._streams.progress_after
        return pieces or self._progress(found)

    def _recall(self, found: Record) -> None:
        """When the job went back: learn what an earlier reader told this client, from the snapshots that it told."""
        resumed = self._resumed
        if not resumed or (found.rewound == self._rewound and not self._streams.is_behind(found.snapshot, resumed)):
            return
        if told := self._streams.told_before(self._id, resumed):
            self._sent = told | self._sent
            self._after = None  # any step may have another outcome now
        self._rewound = found.rewound

    def _knows(self, id: EventId) -> bool:
        resumed = self._resumed
        if resumed and (id.step, id.digest) == (resumed.step, resumed.digest) and id.seq <= resumed.seq:
            return True
        return self._sent.get(id.step) == id.digest

    def _progress(self, found: Record) -> list[bytes]:
        now = time.monotonic()
        if now < self._next_progress:
            return []
        self._next_progress = now + self._streams.progress_after
        doing = self._streams.service.doing(found)
        if doing == self._doing:
            return []
        self._doing = doing
        return [format_sse_event(data_str=json.dumps({"doing": doing}), event="progress")]


def _encode(id: EventId, event: Event) -> bytes:
    # ASCII only, because some clients split lines at U+2028.
    data = json.dumps(event.model_dump(mode="json"), separators=(",", ":"))
    return format_sse_event(data_str=data, event=event.kind, id=str(id))
