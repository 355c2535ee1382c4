"""The whole API in this process: no socket, no server, and steps that a test commits by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from PIL import Image

from api.app import Backends, create_app
from director.errors import StoreError
from director.loop import begin
from director.types import (
    Action,
    ActionKind,
    Candidate,
    Decided,
    Event,
    Extracted,
    Gated,
    Goal,
    Mode,
    Outcome,
    Planned,
    Rendered,
    Stopped,
    StopReason,
    Verdict,
    Verified,
)
from tasks.batch.batches import Batches
from tasks.batch.dispatch import Dispatcher
from tasks.batch.keeper import TermsKeeper
from tasks.batch.shelf import Shelf
from tasks.entries import status_of
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import Claim, CommitResult, Hint, Next
from tasks.settings import Settings, load_settings
from tasks.store import Archive, FolderStore, Images
from tasks.summary import NO_COST, Cost, GoalSummary
from tests.support.ledgers import in_process

ALICE = {"Authorization": "Bearer alice-token"}
BOB = {"Authorization": "Bearer bob-token"}


@dataclass
class House:
    """The machines behind the API, and the hints that were sent."""

    folder: Path
    tokens: dict[str, Any] = field(default_factory=lambda: {"alice": "alice-token", "bob": "bob-token"})
    sent: list[Hint] = field(default_factory=list[Hint])
    broker_up: bool = True

    def __post_init__(self) -> None:
        store = FolderStore(self.folder)
        self._rig = in_process()
        self.ledger, self.redis = self._rig.ledger, self._rig.redis
        self.ledger.now_ms = 0  # the API reads the host's clock too: both run
        self.archive = Archive(store)
        self.shelf = Shelf(store)
        self.images = Images(store)
        self.rebuild()

    def rebuild(self) -> None:
        """Open the ledger's epoch, empty as it is."""
        self._rig.open()

    def wipe(self) -> None:
        """The ledger loses its memory."""
        self._rig.wipe()

    def settings(self, **more: Any) -> Settings:
        return load_settings(tokens=self.tokens, **more)

    def app(self, **settings: Any) -> FastAPI:
        machines = Backends(self.ledger, self.archive, self.shelf, self.images, self.sent.append, self._ping)
        return create_app(self.settings(**settings), machines, poll=0.001)

    def dispatcher(self, **settings: Any) -> Dispatcher:
        """What the reconciler does for batches."""
        batches = Batches(self.ledger, self.shelf, self.archive, self.sent.append)
        return Dispatcher(batches, self.ledger, self.archive, self.settings(**settings), self.sent.append)

    def batches_ruled(self, **settings: Any) -> None:
        """A reconciler with these settings tells the ledger of owners and models."""
        batches = Batches(self.ledger, self.shelf, self.archive, self.sent.append)
        TermsKeeper(batches, batches.terms, self.settings(**settings)).rule_now()

    def _ping(self) -> None:
        if not self.broker_up:
            raise StoreError("down")

    def commit(self, job: str, *events: Event, cost: Cost = NO_COST) -> str:
        return commit(self.ledger, self.archive, job, *events, cost=cost)


def commit(ledger: Ledger, archive: Archive, job: str, *events: Event, cost: Cost = NO_COST) -> str:
    """Run the job's next step as a worker would, with these events for an outcome; gives the snapshot's key."""
    record = ledger.get(job)
    assert record
    claim = ledger.claim(job, record.step, "worker-1")
    assert isinstance(claim, Claim)
    stored = archive.load_job(job)
    before = (
        archive.load_snapshot(claim.snapshot).trajectory
        if claim.snapshot
        else begin(stored.brief, stored.settings, stored.seed)
    )
    after = before.with_events(*events)
    stop = after.stop
    following = None if stop else Next(queue="editor.flux-krea", kind="render")
    key = archive.save_snapshot(job, claim.n, claim.nonce, claim.snapshot, following, after)
    result = ledger.commit(
        job, claim.n, claim.nonce, key, following,
        status=status_of(stop), stop=stop.reason.value if stop else "", summary=GoalSummary.of(after), cost=cost,
        sha256=archive.sha256_of(key),
    )  # fmt: skip
    assert result is CommitResult.OK
    return key


@contextmanager
def browse(app: FastAPI, host: str = "127.0.0.1", **headers: str) -> Iterator[httpx.Client]:
    """A client of the app, which runs in another thread. `host` is where it seems to come from."""
    with start_blocking_portal() as portal:
        transport = InProcess(portal, httpx.ASGITransport(app, raise_app_exceptions=False, client=(host, 1)))
        with httpx.Client(transport=transport, base_url="http://127.0.0.1:8100", headers=headers) as client:
            yield client


class InProcess(httpx.BaseTransport):
    """Sends a synchronous client's requests to an app; gives answers once they are complete."""

    def __init__(self, portal: BlockingPortal, transport: httpx.ASGITransport) -> None:
        self._portal = portal
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def answer() -> httpx.Response:
            # What a client streams is read here: the app wants an asynchronous stream.
            whole = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
            response = await self._transport.handle_async_request(whole)
            return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())

        return self._portal.call(answer)


def png(width: int = 8, height: int = 8, color: str = "red") -> bytes:
    output = BytesIO()
    Image.new("RGB", (width, height), color).save(output, "PNG")
    return output.getvalue()


def sse(text: str) -> list[dict[str, str]]:
    """The events of a stream, comments left out."""
    blocks = [block for block in text.split("\n\n") if "data: " in block]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


GOALS = (Goal(id="g1", text="a lamp"), Goal(id="g2", text="a chair"))


def opening() -> tuple[Event, ...]:
    return (Extracted(goals=GOALS, by="test"), Gated(mode=Mode.STAGED, why="two goals"))


def planned() -> Planned:
    return Planned(action=Action(kind=ActionKind.GENERATE, instruction="draw a lamp", targets=("g1",)), by="test")


def rendered(image: str) -> Rendered:
    return Rendered(candidates=(Candidate(image=image, seed=1),), by="flux-krea")


def verified(image: str, *outcomes: Outcome) -> Verified:
    verdicts = tuple(
        Verdict(goal=goal.id, outcome=outcome, score=0.9, confidence=0.9, by="test")
        for goal, outcome in zip(GOALS, outcomes, strict=True)
    )
    return Verified(image=image, verdicts=verdicts, by="test")


def decided(image: str, accepted: bool = True) -> Decided:
    return Decided(accepted=accepted, image=image, gained=("g1",) if accepted else (), why="better")


def stopped(reason: StopReason = StopReason.SATISFIED) -> Stopped:
    return Stopped(reason=reason, why="all is met")
