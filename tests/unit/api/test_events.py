import json

import anyio
import httpx
import pytest

from api.app import Backends
from api.events import EventId, EventStreams, Reader
from api.service import Service
from director.errors import Actor, StoreError
from director.types import Event, StopReason
from tasks.entries import new_entry
from tasks.ledger.types import Claim, Next
from tasks.store import Archive, FolderStore
from tasks.summary import NO_GOALS
from tests.support.api import ALICE, House, browse, decided, opening, planned, rendered, sse, stopped

PICTURE = "ab" * 32


def submit(client: httpx.Client) -> str:
    return client.post("/v1/jobs", json={"brief": "A lamp and a chair"}).json()["id"]


def finish(house: House, id: str) -> None:
    """Three steps of 2, 3 and 1 events."""
    house.commit(id, *opening())
    house.commit(id, planned(), rendered(PICTURE), decided(PICTURE))
    house.commit(id, stopped())


def streams(house: House, look: float = 60) -> EventStreams:
    service = Service(house.ledger, house.archive, house.images, house.sent.append, 1)
    return EventStreams(service, poll=0.001, heartbeat=0.005, progress_after=look)


def test_a_job_that_ended_tells_everything_and_then_how_it_stands(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    finish(house, id)
    response = alice.get(f"/v1/jobs/{id}/events")
    assert response.headers["Content-Type"].startswith("text/event-stream")
    events = sse(response.text)
    ids = [EventId.parse(event["id"]) for event in events]
    assert [(id.step, id.seq, event["event"]) for id, event in zip(ids, events, strict=True)] == [
        (0, 0, "extracted"), (0, 1, "gated"),
        (1, 0, "planned"), (1, 1, "rendered"), (1, 2, "decided"),
        (2, 0, "stopped"), (2, 1, "end"),
    ]  # fmt: skip
    assert len({(id.step, id.digest) for id in ids}) == 3
    trajectory = alice.get(f"/v1/jobs/{id}/trajectory").json()
    assert [json.loads(event["data"]) for event in events[:-1]] == trajectory["events"]
    assert json.loads(events[-1]["data"]).items() <= alice.get(f"/v1/jobs/{id}").json().items()


def test_each_id_resumes_exactly_behind_itself(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    finish(house, id)
    whole = sse(alice.get(f"/v1/jobs/{id}/events").text)
    for place, event in enumerate(whole[:-1]):
        rest = alice.get(f"/v1/jobs/{id}/events", headers={"Last-Event-ID": event["id"]})
        assert sse(rest.text) == whole[place + 1 :]
    over = alice.get(f"/v1/jobs/{id}/events", headers={"Last-Event-ID": whole[-1]["id"]})
    assert (over.status_code, over.content) == (204, b"")


@pytest.mark.parametrize("id", ["x", "1", "1.2", "1.ab.x", "-1.ab.0", "1.a b.0", "1..0", "1.ab.0.0", "²." + "ab.0"])
def test_an_id_of_another_kind_is_named(house: House, alice: httpx.Client, id: str) -> None:
    job = submit(alice)
    response = alice.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": id.encode()})
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "Last-Event-ID"


def test_readers_see_each_event_once_while_the_job_runs(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    readers = [Reader(streams(house), "alice", id, None) for _ in range(3)]
    seen: list[list[bytes]] = [[] for _ in readers]

    def poll(which: slice) -> None:
        for reader, events in list(zip(readers, seen, strict=True))[which]:
            events.extend(reader.poll())

    poll(slice(None))
    house.commit(id, *opening())
    poll(slice(0, 2))
    poll(slice(0, 1))
    house.commit(id, planned(), rendered(PICTURE), decided(PICTURE))
    poll(slice(0, 1))
    house.commit(id, stopped())
    poll(slice(None))
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == 7
    assert all(reader.over for reader in readers)


def test_a_failed_read_loses_no_event(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    finish(house, id)
    reader = Reader(streams(house), "alice", id, None)
    house.wipe()
    parked = [path.rename(path.with_suffix(".away")) for path in house.folder.glob(f"jobs/{id}/steps/*.json")]
    with pytest.raises(StoreError):
        reader.poll()
    for path in parked:
        path.rename(path.with_suffix(".json"))
    assert len(reader.poll()) == 7


def test_a_step_that_was_redone_with_another_outcome_is_told_again(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    finish(house, id)
    path = f"/v1/jobs/{id}/events"
    whole = sse(alice.get(path).text)
    other = sse(alice.get(path, headers={"Last-Event-ID": f"1.{'f' * 16}.0"}).text)
    assert other == whole[2:]


def test_a_step_that_was_redone_with_the_same_outcome_is_not_told_again(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    first = house.commit(id, *opening())
    reader = Reader(streams(house), "alice", id, None)
    assert len(reader.poll()) == 2
    # A wipe, after which another try of step 0 counts.
    snapshot = house.archive.load_snapshot(first)
    other = house.archive.save_snapshot(id, 0, "0" * 32, "", snapshot.next, snapshot.trajectory)
    entry = new_entry(house.archive.load_job(id))
    house.wipe()
    assert house.ledger.lock_rebuild("test", 1000)
    house.ledger.restore(entry.model_copy(update={"step": 1, "snapshot": other, "next": snapshot.next}), "test")
    house.ledger.open_epoch("test")
    house.commit(id, stopped())
    assert [event["event"] for event in sse(b"".join(reader.poll()).decode())] == ["stopped", "end"]


def test_a_hole_behind_the_newest_snapshot_keeps_no_event_back(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    house.commit(id, *opening())
    lost = house.commit(id, planned(), rendered(PICTURE))
    house.commit(id, decided(PICTURE), stopped())
    (house.folder / lost).unlink()
    house.archive = Archive(FolderStore(house.folder))
    told = [event["event"] for event in sse(b"".join(Reader(streams(house), "alice", id, None).poll()).decode())]
    assert told[-5:] == ["planned", "rendered", "decided", "stopped", "end"]
    assert len(told) == 7


@pytest.mark.parametrize("step", [0, 1])
def test_a_job_that_went_back_tells_nothing_twice(house: House, alice: httpx.Client, step: int) -> None:
    id = submit(alice)
    reader = Reader(streams(house), "alice", id, None)
    told: list[bytes] = []
    steps: tuple[tuple[Event, ...], ...] = (opening(), (planned(), rendered(PICTURE), decided(PICTURE)), (stopped(),))
    keys = [""]
    for events in steps[:2]:
        keys.append(house.commit(id, *events))
        told += reader.poll()
    claim = house.ledger.claim(id, 2, "worker-1")
    assert isinstance(claim, Claim)
    render = Next(queue="editor.flux-krea", kind="render")
    house.ledger.rewind(id, 2, claim.nonce, step, keys[step], render, NO_GOALS, "{}")
    assert reader.poll() == []
    for events in steps[step:]:
        house.commit(id, *events)
        told += reader.poll()
    names = [event["event"] for event in sse(b"".join(told).decode())]
    assert names == ["extracted", "gated", "planned", "rendered", "decided", "stopped", "end"]


class Rewound:
    """A job that goes back from step 3 to step `to`, whose clients may come again at any time."""

    def __init__(self, house: House, id: str, to: int, again: str) -> None:
        self.house, self.id = house, id
        keys = [house.commit(id, *opening()), house.commit(id, planned()), house.commit(id, rendered(PICTURE))]
        self.before = self.polls(Reader(streams(house), "alice", id, None))
        claim = house.ledger.claim(id, 3, "worker-1")
        assert isinstance(claim, Claim)
        house.archive.save_control(id, "rewind", claim.nonce, {"void": keys[to:]})
        render = Next(queue="editor.flux-krea", kind="render")
        house.ledger.rewind(id, 3, claim.nonce, to, keys[to - 1], render, NO_GOALS, "{}")
        self.steps: list[tuple[Event, ...]] = [
            (planned(),), (rendered(again),), (decided(again),), (stopped(),),
        ][to - 1 :]  # fmt: skip

    def polls(self, reader: Reader) -> list[dict[str, str]]:
        return sse(b"".join(reader.poll()).decode())

    def redo(self) -> None:
        self.house.commit(self.id, *self.steps.pop(0))


@pytest.mark.parametrize("again", [PICTURE, "cd" * 32])
@pytest.mark.parametrize("redone", [0, 1, 2, 3])
@pytest.mark.parametrize("seen", [1, 2, 3, 4])
@pytest.mark.parametrize("lost", ["picture", "snapshot"])
def test_a_client_that_comes_again_after_a_rewind_is_told_what_is_new_to_it(
    house: House, alice: httpx.Client, seen: int, redone: int, again: str, lost: str
) -> None:
    """Once each, whether it comes before the steps are done again or after: one id never has two contents."""
    id = submit(alice)
    job = Rewound(house, id, 1 if lost == "picture" else 2, again)
    if lost == "snapshot":
        [newest] = house.folder.glob(f"jobs/{id}/steps/0002-*.json")
        newest.unlink()
        house.archive = Archive(FolderStore(house.folder))
    told = job.before[:seen]
    for _ in range(redone):
        job.redo()
    reader = Reader(streams(house), "alice", id, EventId.parse(told[-1]["id"]))
    told += job.polls(reader)
    while job.steps:
        job.redo()
        told += job.polls(reader)
    final = [event["data"] for event in sse(alice.get(f"/v1/jobs/{id}/events").text)]
    contents: dict[str, set[str]] = {}
    for event in told:
        contents.setdefault(event["id"], set()).add(event["data"])
    assert all(len(data) == 1 for data in contents.values())
    assert len(contents) == len(told)
    assert [event["data"] for event in told if event["data"] in final] == final


def test_a_client_that_comes_again_while_the_ledger_is_behind_is_told_nothing_twice(
    house: House, alice: httpx.Client
) -> None:
    """As when Redis was brought back from a copy, and the jobs are not compared with storage yet."""
    id = submit(alice)
    keys = [house.commit(id, *opening()), house.commit(id, planned()), house.commit(id, rendered(PICTURE))]
    last = sse(b"".join(Reader(streams(house), "alice", id, None).poll()).decode())[-1]
    render = Next(queue="editor.flux-krea", kind="render")
    entry = new_entry(house.archive.load_job(id)).model_copy(update={"next": render})
    house.wipe()
    assert house.ledger.lock_rebuild("test", 1000)
    house.ledger.restore(entry.model_copy(update={"step": 1, "snapshot": keys[0]}), "test")
    house.ledger.open_epoch("test")
    reader = Reader(streams(house), "alice", id, EventId.parse(last["id"]))
    assert reader.poll() == []
    assert house.ledger.replace(entry.model_copy(update={"step": 3, "snapshot": keys[2]}), 1)
    assert reader.poll() == []
    house.commit(id, stopped())
    assert [event["event"] for event in sse(b"".join(reader.poll()).decode())] == ["stopped", "end"]


def test_a_reader_ahead_of_a_rebuilt_chain_goes_on_from_its_end(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    house.commit(id, *opening())
    reader = Reader(streams(house), "alice", id, EventId(9, "ff", 3))
    assert reader.poll() == []
    house.commit(id, planned(), rendered(PICTURE), decided(PICTURE))
    assert len(reader.poll()) == 3


def test_a_dead_letter_ends_the_stream_and_a_requeue_goes_on_behind_it(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    house.commit(id, *opening())
    for _ in range(3):
        claim = house.ledger.claim(id, 1, "w1")
        assert isinstance(claim, Claim)
        house.ledger.fail(
            id, 1, claim.nonce, '{"boundary":"editor","message":"out of memory","fix":""}', Actor.SEAT, "host-1", 0, 0
        )
    events = sse(alice.get(f"/v1/jobs/{id}/events").text)
    assert [event["event"] for event in events] == ["extracted", "gated", "end"]
    assert json.loads(events[-1]["data"])["error"]["message"] == "out of memory"
    house.ledger.requeue(id)
    house.commit(id, planned(), rendered(PICTURE), decided(PICTURE), stopped())
    rest = sse(alice.get(f"/v1/jobs/{id}/events", headers={"Last-Event-ID": events[-1]["id"]}).text)
    assert [event["event"] for event in rest] == ["planned", "rendered", "decided", "stopped", "end"]


def test_a_job_that_fails_before_any_snapshot_ends_without_an_id(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    for _ in range(3):
        claim = house.ledger.claim(id, 0, "w1")
        assert isinstance(claim, Claim)
        house.ledger.fail(
            id, 0, claim.nonce, '{"boundary":"planner","message":"no","fix":""}', Actor.SEAT, "host-1", 0, 0
        )
    [end] = sse(alice.get(f"/v1/jobs/{id}/events").text)
    assert (end["event"], "id" in end) == ("end", False)


def test_a_quiet_stream_beats_through_an_outage_and_then_goes_on(house: House, alice: httpx.Client) -> None:
    id = submit(alice)

    async def read() -> list[bytes]:
        pieces: list[bytes] = []
        async for piece in streams(house).read("alice", id, None):
            pieces.append(piece)
            beats = pieces.count(b":\n\n")
            if beats == 1 and house.ledger.epoch():
                record = house.ledger.get(id)
                assert record
                house.commit(id, *opening(), stopped(StopReason.STALLED))
                house.wipe()
        return pieces

    pieces = anyio.run(read)
    assert pieces[0] == b"retry: 1000\n\n"
    assert [event["event"] for event in sse(b"".join(pieces).decode())] == ["extracted", "gated", "stopped", "end"]


def test_a_quiet_job_says_what_it_does_and_only_when_that_changes(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    reader = Reader(streams(house, look=0), "alice", id, None)

    def said() -> list[str]:
        events = sse(b"".join(reader.poll()).decode())
        assert not any("id" in event for event in events)
        return [json.loads(event["data"])["doing"] for event in events]

    assert said() == ["waiting: no worker serves planner"]
    assert said() == []
    house.ledger.announce("w1", ["planner"], 60_000)
    assert said() == ["reading the brief: waiting for planner"]
    house.ledger.claim(id, 0, "w1")
    assert said() == ["reading the brief"]


def test_walking_back_stops_at_what_is_known(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    reads: list[str] = []
    load = house.archive.load_snapshot

    class Counting:
        find_job = house.archive.find_job
        load_job = house.archive.load_job

        def load_snapshot(self, key: str, sha256: str = ""):
            reads.append(key)
            return load(key, sha256)

    machines = Backends(house.ledger, Counting(), house.shelf, house.images, house.sent.append, lambda: None)  # pyright: ignore[reportArgumentType]
    service = Service(machines.ledger, machines.archive, machines.images, machines.send, 1)
    reader = Reader(EventStreams(service), "alice", id, None)
    for _ in range(20):
        house.commit(id, planned())
    reader.poll()
    assert len(reads) == 20
    reader.poll()
    house.commit(id, planned())
    assert len(reader.poll()) == 1
    assert len(reads) == 21


def test_markup_in_events_stays_inside_its_line(house: House) -> None:
    with browse(house.app(), **ALICE) as client:
        brief = {"text": "x", "goals": [{"id": "g1", "text": "a\n\nevent: end\ndata: {}\u2028<b>"}]}
        id = client.post("/v1/jobs", json={"brief": brief}).json()["id"]
        house.commit(id, planned().model_copy(update={"by": "a\n\nevent: end\r\u2028"}), stopped())
        events = sse(client.get(f"/v1/jobs/{id}/events").text)
    assert [event["event"] for event in events][-3:] == ["planned", "stopped", "end"]
    assert json.loads(events[-3]["data"])["by"] == "a\n\nevent: end\r\u2028"
