"""The client: every call, synchronous."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from .batches import BatchCalls
from .errors import Conflict, NotFound, Unavailable, from_response
from .goals import goals_of
from .hooks import HookCalls
from .models import Attempts, Event, Goal, Job, JobPage, Machines, Uploaded
from .stream import lines, parse

END = "end"
PROGRESS = "progress"
LOST = "no answer from the service: trying again"
STREAM_RETRIES = 40
"""Of a stream that was open once: some minutes, so that a night's watch outlives a restart of the service."""
HEARTBEAT = 10.0
"""Seconds between the comments that a quiet event stream sends."""


class Client(BatchCalls, HookCalls):
    """Speaks to one service. A context manager; one thread at a time may use it.

    Without a `url`, VISIONDIRECTOR_URL and VISIONDIRECTOR_TOKEN say where the service is (else it is
    on this machine). The token of the environment goes nowhere but there.

    Connection errors and 503 are tried again, `RETRIES` times with growing pauses, and a stream that
    breaks off `STREAM_RETRIES` times: every call is safe to repeat, a submit through its key.
    `transport` replaces the network and `sleep` the clock's pause, for tests.
    """

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(
        self,
        brief: str | Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        seed: int | None = None,
        key: str | None = None,
        source: bytes | Path | str | None = None,
        priority: int | None = None,
        labels: Iterable[str] = (),
        continues: str | None = None,
    ) -> Job:
        """Start a job. `brief` is its text, or {text, title, source, goals}.

        `source` is a picture to start from (its bytes, or the path of a file); it is uploaded.
        The same `key` gives the same job again, `repeated`; Conflict if the body differs. `priority` goes
        from 0, first, to 9. `labels` are words of your own to find the job by. TooMany when as many jobs
        wait or run as the token may have: its `retry_after` says when to ask again. With `continues`, the id of a job
        that has ended, it starts from that one's picture: the brief is only what is to change, and the rest is kept.
        """
        sent: dict[str, Any] = {"text": brief} if isinstance(brief, str) else dict(brief)
        if source is not None:
            png = source if isinstance(source, bytes) else Path(source).read_bytes()
            sent["source"] = self.upload(png).image
        body: dict[str, Any] = {"brief": sent}
        optional = {
            "settings": dict(settings) if settings else None,
            "seed": seed,
            "priority": priority,
            "labels": list(labels) or None,
            "continues": continues,
        }
        body.update({name: value for name, value in optional.items() if value is not None})
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        answer = self._send("POST", "/v1/jobs", json=body, headers=headers)
        return Job.model_validate_json(answer.content).model_copy(update={"repeated": answer.status_code == 200})

    def job(self, id: str) -> Job:
        return Job.model_validate_json(self._send("GET", _path(id)).content)

    def jobs(
        self,
        status: str | Sequence[str] = (),
        label: str | Sequence[str] = (),
        created_after: float | datetime | None = None,
        created_before: float | datetime | None = None,
        page: int = 100,
    ) -> Iterator[Job]:
        """Your jobs, newest first; `page` of them (200 at most) are asked for at a time.

        Those of any such `status` that have every such `label`. Times are datetimes with a time zone,
        or seconds since the epoch.
        """
        for found in self.job_pages(status, label, created_after, created_before, page):
            yield from found.jobs

    def job_pages(
        self,
        status: str | Sequence[str] = (),
        label: str | Sequence[str] = (),
        created_after: float | datetime | None = None,
        created_before: float | datetime | None = None,
        page: int = 100,
    ) -> Iterator[JobPage]:
        """The same page by page, for those who stop early and want to know whether there is more."""
        asked: dict[str, Any] = {
            "status": status or None,
            "label": label or None,
            "created_after": _seconds(created_after),
            "created_before": _seconds(created_before),
            "limit": page,
        }
        params = {name: value for name, value in asked.items() if value is not None}
        while True:
            found = JobPage.model_validate_json(self._send("GET", "/v1/jobs", params=params).content)
            yield found
            if not found.next:
                return
            params["cursor"] = found.next

    def cancel(self, id: str) -> Job:
        """Ask the job to stop. A job that has ended stays as it is."""
        return Job.model_validate_json(self._send("POST", _path(id, "cancel")).content)

    def pause(self, id: str) -> Job:
        """Let the job wait, behind the step that runs now, until `resume`. Conflict when it has ended."""
        return Job.model_validate_json(self._send("POST", _path(id, "pause")).content)

    def resume(self, id: str) -> Job:
        """Let a paused job go on. Conflict when it has ended."""
        return Job.model_validate_json(self._send("POST", _path(id, "resume")).content)

    def prioritise(self, id: str, priority: int) -> Job:
        """Give the job another priority: 0 goes first, 9 last. Conflict when it has ended."""
        return Job.model_validate_json(self._send("PATCH", _path(id), json={"priority": priority}).content)

    def requeue(self, id: str) -> Job:
        """Let a failed job go on where it failed. Conflict when it has not failed."""
        try:
            return Job.model_validate_json(self._send("POST", _path(id, "requeue")).content)
        except Conflict as error:
            if error.tries > 1 and not (now := self.job(id)).ended:
                return now  # a try whose answer was lost had worked
            raise

    def delete(self, id: str) -> None:
        """Remove an ended job and what no other job uses. Conflict while it is active: cancel it first."""
        try:
            self._send("DELETE", _path(id))
        except NotFound as error:
            if error.tries == 1:
                raise  # else a try whose answer was lost had worked

    def image(self, id: str, metadata: bool = True) -> bytes:
        """What is delivered, as PNG: what was picked, or the best picture so far. NotFound when there is none yet.

        With `metadata` the file says inside what made it: brief, settings, seed, goals met.
        """
        params = None if metadata else {"metadata": "false"}
        return self._send("GET", _path(id, "image"), params=params).content

    def picture(self, id: str, image: str, width: int | None = None) -> bytes:
        """A picture of the job's trajectory by its hash, as PNG; with `width` a thumbnail, as WebP."""
        params = {"width": width} if width else None
        return self._send("GET", _path(id, "images", image), params=params).content

    def pick(self, id: str, round: int, candidate: int) -> Job:
        """Deliver that candidate from now on; both numbers as in the report, from 1. Conflict until the job ends."""
        body = {"round": round, "candidate": candidate}
        return Job.model_validate_json(self._send("PUT", _path(id, "pick"), json=body).content)

    def undo_pick(self, id: str) -> Job:
        """Deliver what the loop ended with."""
        return Job.model_validate_json(self._send("DELETE", _path(id, "pick")).content)

    def goals(self, id: str) -> list[Goal]:
        """Every goal of the job, and how it stands on the best picture."""
        return goals_of(self.trajectory(id))

    def trajectory(self, id: str) -> dict[str, Any]:
        """Everything that the loop did: brief, settings, seed and events."""
        return self._send("GET", _path(id, "trajectory")).json()

    def attempts(self, id: str) -> Attempts:
        """What each try of each step took, and their sum."""
        return Attempts.model_validate_json(self._send("GET", _path(id, "attempts")).content)

    def report(self, id: str) -> bytes:
        """The job as one HTML page that needs nothing beside it."""
        return self._send("GET", _path(id, "report"), params={"standalone": "true"}).content

    def upload(self, png: bytes) -> Uploaded:
        """Store a picture, to be named as a brief's source."""
        return Uploaded.model_validate_json(self._send("PUT", "/v1/images", content=png).content)

    def machines(self) -> Machines:
        """The workers, what is held and who is sick. For tokens with the scope `operate`, as the two below."""
        return Machines.model_validate_json(self._send("GET", "/v1/machines").content)

    def quarantine(self, worker: str, why: str = "") -> Machines:
        """Let a worker take no more steps. NotFound for one that does not serve."""
        path = f"/v1/machines/{quote(worker, safe='')}/quarantine"
        return Machines.model_validate_json(self._send("POST", path, params={"why": why} if why else None).content)

    def restore(self, worker: str) -> Machines:
        """Let a worker take steps again. NotFound for one that is not sick."""
        path = f"/v1/machines/{quote(worker, safe='')}/restore"
        return Machines.model_validate_json(self._send("POST", path).content)

    def events(self, id: str, after: str | None = None) -> Iterator[Event]:
        """The job's events, those after the id `after` only, until and including `end`.

        A lost connection is taken up again where it broke: each event comes once, in order.
        """
        return (event for event in self._follow(id, after, None) if event and event.kind != PROGRESS)

    def wait(
        self,
        id: str,
        timeout: float | None = None,
        on_event: Callable[[Event], None] | None = None,
        on_doing: Callable[[str], None] | None = None,
    ) -> Job:
        """Follow the job to its end. TimeoutError after `timeout` seconds; the job goes on then.

        `on_event` hears each event once, `end` included; `on_doing` what a quiet job does or waits for,
        or that the service does not answer.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        for event in self._follow(id, None, deadline):
            if event and event.kind == PROGRESS:
                if on_doing:
                    on_doing(str(event.data.get("doing", "")))
            elif event:
                if on_event:
                    on_event(event)
                if event.kind == END:
                    return Job.model_validate(event.data)
        return self.job(id)

    def _follow(self, id: str, after: str | None, deadline: float | None) -> Iterator[Event | None]:
        """Events, each once, and None for each heartbeat. Raises TimeoutError past the deadline."""
        told = set[str]()
        return (event for event in self._resumed(id, after, deadline) if not _comes_again(event, told))

    def _resumed(self, id: str, after: str | None, deadline: float | None) -> Iterator[Event | None]:
        """What the connections bring, one after the other."""
        tries = self._tries()
        while True:
            left = float("inf") if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"job {id} has not ended yet; it goes on")
            try:
                with closing(self._stream(id, after, left)) as stream:
                    for event in stream:
                        tries.reset(STREAM_RETRIES)
                        after = (event and event.id) or after
                        yield event
                        if event and event.kind == END:
                            return
                        if deadline and deadline - time.monotonic() < (0 if event else HEARTBEAT):
                            break  # ask again, with a read timeout that ends at the deadline
            except _Over:
                return
            except (httpx.TransportError, Unavailable) as error:
                if tries.made:  # one failure is a restart or a proxy's timeout, and no news
                    yield Event("", PROGRESS, {"doing": LOST})
                tries.failed(error)

    def _stream(self, id: str, after: str | None, left: float) -> Generator[Event | None]:
        """What one connection brings. Raises TransportError when it ends: a caller leaves at `end`."""
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
        timeout = httpx.Timeout(self._timeout, read=max(0.05, min(3 * HEARTBEAT, left)))
        with self._http.stream("GET", _path(id, "events"), headers=headers, timeout=timeout) as response:
            if response.is_error:
                response.read()
                raise from_response(response)
            if response.status_code == 204:
                raise _Over
            yield from parse(lines(response.iter_bytes()))
        raise httpx.RemoteProtocolError("the event stream ends before the job does")


class _Over(Exception):
    """Nothing follows the event that was asked after."""


def _comes_again(event: Event | None, told: set[str]) -> bool:
    """True for an event that was told: the job went back over a lost object, and did the step again."""
    if event is None or not event.id or event.kind == END:
        return False
    known = event.id in told
    told.add(event.id)
    return known


def _path(id: str, *rest: str) -> str:
    # A job id from a command line must not walk to another path.
    safe = "".join(c if c.isalnum() or c == "-" else "_" for c in id)
    return "/".join(["/v1/jobs", safe or "_", *rest])


def _seconds(time: float | datetime | None) -> float | None:
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise ValueError("a time needs a time zone: datetime.now(timezone.utc)")
        return time.timestamp()
    return time
