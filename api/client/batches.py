"""The calls about batches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote

import httpx

from .batch_models import Batch, BatchItem, BatchPage, BatchResult, ItemPage, Me, Plan, Received
from .connection import Connection
from .errors import Conflict, NotFound, TooMany, Unavailable, from_response
from .spool import Spool

UPLOAD_RETRIES = 40
UPLOAD_TIMEOUT = 600.0
"""Seconds: the service reads all lines before it answers."""
_PAGE = 200
_OLDER = "ended-"  # how `next` begins where only storage goes on


class BatchCalls(Connection):
    """What `Client` can do with batches."""

    def submit_batch(
        self,
        lines: Iterable[bytes | Mapping[str, Any]],
        header: Mapping[str, Any] | None = None,
        key: str | None = None,
        on_pause: Callable[[str], None] | None = None,
    ) -> Batch:
        """Send many briefs as one batch. Raises BadRequest that names lines and fields; then nothing starts.

        A line is {"custom_id", "brief", "settings", "seed", "labels"}, where `brief` is a text or {text, title, source,
        goals}; or it is such an object as JSON. `header` holds what is true of all: {"title", "labels", "priority",
        "settings", "matrix", "max_in_flight", "windows", "at_close", "deadline", "by", "spread", "budget"}. A line's
        number in errors counts the header, if there is one, as line 1.

        Without a `key` one is derived from header and lines: the same batch sent again is the same batch, `repeated`.
        The lines wait in a temporary file, so any number takes little memory, and an upload that breaks off goes on
        where it broke. `on_pause` hears why the upload pauses.
        """
        first = [{"batch": dict(header)}] if header else []
        with Spool(each for part in (first, lines) for each in part) as spool:
            return self._upload(spool, key or spool.sha256, on_pause)

    def batch(self, id: str) -> Batch:
        return Batch.model_validate_json(self._send("GET", _path(id)).content)

    def me(self) -> Me:
        """Who the token is, and how the owner's windows and budget stand."""
        return Me.model_validate_json(self._send("GET", "/v1/me").content)

    def plan(self, briefs: int, by: float, **about: Any) -> Plan:
        """How many cards it takes until `by`, in seconds since the epoch.

        `about`: goals, cards, editor, width, height, candidates, rounds.
        """
        return Plan.model_validate_json(
            self._send("GET", "/v1/plan", params={"briefs": briefs, "by": by, **about}).content
        )

    def batches(self, status: str | Sequence[str] = (), label: str | Sequence[str] = ()) -> Iterator[Batch]:
        """Your batches, newest first: those of any such `status` that have every such `label`."""
        asked: dict[str, Any] = {"status": status or None, "label": label or None}
        for page in self._pages("/v1/batches", asked):
            yield from BatchPage.model_validate_json(page).batches

    def batch_ages(self) -> Iterator[list[Batch]]:
        """Your batches in lists, newest first: all that have not ended long ago, then some at a time."""
        found = list[Batch]()
        for answer in self._pages("/v1/batches", {}):
            page = BatchPage.model_validate_json(answer)
            found += page.batches
            if not page.next or page.next.startswith(_OLDER):
                yield found
                found = []

    def batch_items(self, id: str, status: str | Sequence[str] = ()) -> Iterator[BatchItem]:
        """The items in their order, those of any such `status`."""
        for page in self._pages(_path(id, "items"), {"status": status or None}):
            yield from ItemPage.model_validate_json(page).items

    def batch_results(self, id: str, all: bool = False) -> Iterator[BatchResult]:
        """The current result of each item that has ended, as a stream; `all` takes are told with it.

        A connection that breaks is taken up again, and each result comes once.
        """
        told, tries = _Told(), self._tries()
        while True:
            try:
                with closing(self._result_lines(id, all)) as lines:
                    for line in lines:
                        tries.reset(UPLOAD_RETRIES)
                        result = BatchResult.model_validate_json(line)
                        if told.is_new(result, all):
                            yield result
                return
            except (httpx.TransportError, Unavailable) as error:
                tries.failed(error)

    def batch_gallery(self, id: str, pictures: str = "png", reports: bool = False) -> bytes:
        """The page that shows a folder of results: `<item>.png` (or jpg, pdf), `thumbs/<item>.webp` and, if wanted,
        `reports/<item>.html`."""
        params = {"pictures": pictures, "reports": str(reports).lower()}
        return self._send("GET", _path(id, "gallery"), params=params).content

    def batch_archive(self, id: str, reports: bool = True) -> Generator[bytes]:
        """Pictures, reports, tables and gallery as one ZIP file, piece by piece; it can't be taken up again where it
        breaks off, with TransportError."""
        params = {"reports": str(reports).lower()}
        timeout = httpx.Timeout(self._timeout, read=UPLOAD_TIMEOUT)
        with self._http.stream("GET", _path(id, "archive.zip"), params=params, timeout=timeout) as response:
            if response.is_error:
                response.read()
                raise from_response(response)
            yield from response.iter_bytes()

    def pause_batch(self, id: str) -> Batch:
        """Start no more items, and let running ones wait after their present step."""
        return self._order(id, "pause")

    def resume_batch(self, id: str) -> Batch:
        return self._order(id, "resume")

    def cancel_batch(self, id: str, items: Iterable[str] | None = None) -> Batch:
        """Cancel the items with these custom_ids; with None, all that have not ended."""
        return self._order(id, "cancel", items=_named(items))

    def retry_batch(
        self,
        id: str,
        what: Iterable[str] = ("failed",),
        items: Iterable[str] | None = None,
        rounds: int | None = None,
    ) -> Batch:
        """Let items go on: `what` are failed (at the step that failed), unmet (from the final picture, with `rounds`
        more) and cancelled. `items` are custom_ids; None: all of them.
        """
        return self._order(id, "retry", what=list(what), items=_named(items), rounds=rounds)

    def patch_batch(
        self,
        id: str,
        priority: int | None = None,
        front: bool = False,
        max_in_flight: int | None = None,
        title: str | None = None,
        **terms: Any,
    ) -> Batch:
        """Change the order in which batches are drawn, the cap (0: none) or the title.

        `terms` say when and how much: `windows=["22:00-07:00 Europe/Zurich"]`, `at_close="hold"`, `deadline` or `by`
        ("07:00 Europe/Zurich"), `spread=True`, `budget={"renders": 400, "gpu": "2h", "eur": 20}`. None takes one away.
        """
        given = {"priority": priority, "front": front or None, "max_in_flight": max_in_flight, "title": title}
        body = {name: value for name, value in given.items() if value is not None} | terms
        return Batch.model_validate_json(self._send("PATCH", _path(id), json=body).content)

    def put_first(self, id: str, items: Iterable[str]) -> Batch:
        """Let these items be the next of their batch. Raises Conflict where none of them waits."""
        body = {"front": True, "items": list(items)}
        return Batch.model_validate_json(self._send("PATCH", _path(id), json=body).content)

    def _order(self, id: str, name: str, **given: Any) -> Batch:
        body = {name: value for name, value in given.items() if value is not None}
        return Batch.model_validate_json(self._send("POST", _path(id, name), json=body or None).content)

    def _pages(self, path: str, asked: Mapping[str, Any]) -> Iterator[bytes]:
        params = {"limit": _PAGE, **{name: value for name, value in asked.items() if value is not None}}
        while True:
            answer = self._send("GET", path, params=params)
            yield answer.content
            if not (cursor := answer.json().get("next")):
                return
            params["cursor"] = cursor

    def _result_lines(self, id: str, all: bool) -> Generator[bytes]:
        """What one connection brings: whole lines, as they come."""
        params = {"all": "true"} if all else None
        with self._http.stream("GET", _path(id, "results"), params=params) as response:
            if response.is_error:
                response.read()
                raise from_response(response)
            rest = b""
            for chunk in response.iter_bytes():
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line for line in whole if line.strip())
            if rest.strip():
                yield rest

    # --- the upload -------------------------------------------------------------------------------

    def _upload(self, spool: Spool, key: str, on_pause: Callable[[str], None] | None) -> Batch:
        tries, offset, lost = self._tries(), self._received(key, spool), False
        tries.reset(UPLOAD_RETRIES)
        while True:
            try:
                if lost:
                    before, offset = offset, self._received(key, spool)
                    if offset > before:
                        tries.reset(UPLOAD_RETRIES)  # it gets on: the pauses begin anew
                return self._send_from(offset, spool, key)
            except (httpx.TransportError, Unavailable, TooMany, Conflict) as error:
                if isinstance(error, Conflict) and error.retry_after is None:
                    raise  # else the service still reads the connection that was lost
                if on_pause:
                    on_pause(str(error) or type(error).__name__)
                tries.failed(error)
                lost = True

    def _received(self, key: str, spool: Spool) -> int:
        """How many bytes the service has of these very lines."""
        try:
            answer = self._send("GET", f"/v1/batches/uploads/{quote(key, safe='')}")
        except NotFound:
            return 0
        found = Received.model_validate_json(answer.content)
        return found.bytes if 0 < found.bytes <= spool.size and spool.chain(found.bytes) == found.sha256 else 0

    def _send_from(self, offset: int, spool: Spool, key: str) -> Batch:
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": key}
        if offset:
            headers["Upload-Offset"] = str(offset)
        timeout = httpx.Timeout(self._timeout, read=UPLOAD_TIMEOUT)
        answer = self._http.post("/v1/batches", content=spool.chunks(offset), headers=headers, timeout=timeout)
        if answer.is_error:
            raise from_response(answer)
        return Batch.model_validate_json(answer.content).model_copy(update={"repeated": answer.status_code == 200})


class _Told:
    """Which results were told: a bit for each item, as there may be a million."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self._takes = set[tuple[int, int, int]]()

    def is_new(self, result: BatchResult, all: bool) -> bool:
        if all:
            seen = (result.index, result.take, result.generation)
            known = seen in self._takes
            self._takes.add(seen)
            return not known
        byte, bit = divmod(result.index, 8)
        if byte >= len(self._bits):
            self._bits.extend(bytes(byte + 4096 - len(self._bits)))
        known = bool(self._bits[byte] >> bit & 1)
        self._bits[byte] |= 1 << bit
        return not known


def _named(items: Iterable[str] | None) -> list[str] | None:
    # None at all means every item; an empty list must not.
    return None if items is None else list(items)


def _path(id: str, *rest: str) -> str:
    # An id from a command line must not walk to another path.
    safe = "".join(c if c.isalnum() or c == "-" else "_" for c in id)
    return "/".join(["/v1/batches", safe or "_", *rest])
