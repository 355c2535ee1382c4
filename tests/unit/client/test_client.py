import json
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import httpx
import pytest

from api import client as package
from api.client import ApiError, BadRequest, Client, Conflict, NotFound, Unauthorized, Unavailable
from api.client.client import LOST, STREAM_RETRIES
from api.client.connection import LONGEST_PAUSE, RETRIES
from api.client.goals import goals_of
from director.state import State
from director.types import AcceptRule, LoopSettings
from tests.support.scripted_service import JOB, Scripted, event, job, problem, scripted, stream
from tests.support.scripted_studio import play, run


def test_the_surface() -> None:
    assert sorted(package.__all__) == [
        "ApiError", "Attempt", "Attempts", "BadRequest", "Batch", "BatchItem", "BatchResult", "BatchWarning",
        "BriefSent", "CardsChance", "Client", "Conflict", "Cost",
        "Drawing", "Eta", "Event", "FieldError", "Goal", "GoalCount", "HeldQueue",
        "Hook", "HookTest", "ItemCounts", "Job", "JobError", "Machines", "Me", "NotFound",
        "OwnerBudget", "Plan", "SickWorker", "TooMany",
        "Unauthorized", "Unavailable", "Unread", "Uploaded", "Warned",
    ]  # fmt: skip


def test_operators_ask_for_machines_and_take_one_out() -> None:
    answer = {"workers": {"a@b": ["planner"]}, "sick": [{"worker": "a@b", "quarantined": 5.0}], "new": 1}
    service = scripted(*[httpx.Response(200, json=answer)] * 3)
    with service.client() as client:
        found = [client.machines(), client.quarantine("a@b/..", "fan"), client.restore("a@b")]
    assert [one.sick[0].worker for one in found] == ["a@b"] * 3
    assert [(request.method, request.url.raw_path.decode()) for request in service.asked] == [
        ("GET", "/v1/machines"),
        ("POST", "/v1/machines/a%40b%2F../quarantine?why=fan"),
        ("POST", "/v1/machines/a%40b/restore"),
    ]


def test_submit_sends_a_brief_with_its_own_key() -> None:
    service = scripted(httpx.Response(202, json=job()))
    with service.client("secret") as client:
        made = client.submit("a lamp", settings={"candidates": 2}, seed=7, priority=0, labels=["autumn", "poster"])
    [request] = service.asked
    assert json.loads(request.content) == {
        "brief": {"text": "a lamp"}, "settings": {"candidates": 2}, "seed": 7, "priority": 0,
        "labels": ["autumn", "poster"],
    }  # fmt: skip
    assert len(request.headers["Idempotency-Key"]) == 36
    assert request.headers["Authorization"] == "Bearer secret"
    assert made.id == JOB
    assert not made.ended


def test_a_submit_that_is_tried_again_keeps_its_key() -> None:
    service = scripted(
        httpx.ConnectError("refused"), problem(503, "busy"), httpx.ReadError("reset"), httpx.Response(200, json=job())
    )
    with service.client() as client:
        client.submit("a lamp")
    assert len({request.headers["Idempotency-Key"] for request in service.asked}) == 1
    assert service.slept == [0.25, 0.5, 1.0]


def test_the_service_says_how_long_to_pause() -> None:
    service = scripted(
        problem(503, "busy", headers={"Retry-After": "2"}),
        problem(503, "busy", headers={"Retry-After": "3600"}),
        httpx.Response(200, json=job()),
    )
    with service.client() as client:
        client.job(JOB)
    assert service.slept == [2.0, LONGEST_PAUSE]


def test_retries_are_bounded() -> None:
    service = scripted(*[httpx.ConnectError("refused")] * (RETRIES + 1))
    with service.client() as client, pytest.raises(Unavailable, match=r"no answer from http://service\.test: refused"):
        client.job(JOB)
    assert len(service.slept) == RETRIES


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest), (401, Unauthorized), (403, Unauthorized), (404, NotFound), (409, Conflict),
        (413, BadRequest), (422, BadRequest), (500, Unavailable), (502, Unavailable),
    ],
)  # fmt: skip
def test_errors_are_told_apart_and_not_tried_again(status: int, kind: type[ApiError]) -> None:
    service = scripted(problem(status, "no", errors=[{"field": "brief.text", "message": "is empty", "fix": "write"}]))
    with service.client() as client, pytest.raises(kind) as raised:
        client.job(JOB)
    assert raised.value.status == status
    assert str(raised.value) == "no\n  brief.text: is empty (write)"
    assert service.slept == []


def test_an_error_page_of_a_proxy_is_no_crash() -> None:
    service = scripted(httpx.Response(404, text="<html>nginx</html>"))
    with service.client() as client, pytest.raises(NotFound, match="HTTP 404"):
        client.job(JOB)


def test_a_source_is_uploaded_first(tmp_path: Path) -> None:
    uploaded = {"image": "ab" * 32, "width": 4, "height": 4}
    service = scripted(
        httpx.Response(200, json=uploaded), httpx.Response(202, json=job()),
        httpx.Response(200, json=uploaded), httpx.Response(202, json=job()),
    )  # fmt: skip
    (tmp_path / "a.png").write_bytes(b"png")
    with service.client() as client:
        client.submit("a lamp", source=b"png")
        client.submit({"text": "a lamp", "title": "lamp"}, source=tmp_path / "a.png")
    assert [request.content for request in service.asked[::2]] == [b"png", b"png"]
    assert json.loads(service.asked[3].content)["brief"] == {
        "text": "a lamp", "title": "lamp", "source": "ab" * 32,
    }  # fmt: skip


def test_an_id_can_not_walk_to_another_path() -> None:
    service = scripted(problem(404, "unknown"), problem(404, "unknown"))
    with service.client() as client:
        for id in ("../../healthz", ""):
            with pytest.raises(NotFound):
                client.job(id)
    assert [request.url.path for request in service.asked] == ["/v1/jobs/______healthz", "/v1/jobs/_"]


def test_events_resume_where_the_connection_broke() -> None:
    first = event("0.a.0", "extracted", {"goals": []})
    second = event("1.b.0", "planned", {"by": "x"})
    end = event("1.b.1", "end", job("done", "satisfied"))
    service = scripted(
        stream(b": beat\n\n", first, second[:9], httpx.ReadError("reset")),
        problem(503, "restarting"),
        stream(second),
        stream(end),
    )
    with service.client() as client:
        seen = [(e.id, e.kind) for e in client.events(JOB)]
    assert seen == [("0.a.0", "extracted"), ("1.b.0", "planned"), ("1.b.1", "end")]
    assert [r.headers.get("Last-Event-ID") for r in service.asked] == [None, "0.a.0", "0.a.0", "1.b.0"]


def test_events_after_the_end_are_none() -> None:
    service = scripted(httpx.Response(204))
    with service.client() as client:
        assert list(client.events(JOB, after="1.b.1")) == []
    assert service.asked[0].headers["Last-Event-ID"] == "1.b.1"


def test_events_give_up_on_a_stream_that_brings_nothing() -> None:
    service = scripted(*[stream() for _ in range(RETRIES + 1)])
    with service.client() as client, pytest.raises(Unavailable, match="ends before the job does"):
        list(client.events(JOB))


def test_a_stream_that_was_open_outlives_a_long_outage() -> None:
    away = [httpx.ConnectError("refused"), httpx.Response(503)] * (STREAM_RETRIES // 2)
    start, end = event("0.a.0", "gated", {}), event("0.a.1", "end", job("done"))
    with scripted(stream(start), *away[1:], stream(end)).client() as client:
        assert [e.kind for e in client.events(JOB)] == ["gated", "end"]
    with scripted(stream(start), *away).client() as client, pytest.raises(Unavailable):
        list(client.events(JOB))


def test_a_heartbeat_counts_as_progress() -> None:
    service = scripted(*[stream(b":\n\n") for _ in range(2 * RETRIES)], stream(event("0.a.0", "end", job("done"))))
    with service.client() as client:
        assert [e.kind for e in client.events(JOB)] == ["end"]


def test_odd_line_ends_inside_data() -> None:
    data = json.dumps({"text": "one\u2028two\x85three"}, ensure_ascii=False)
    raw = f"id: 0.a.0\r\nevent: planned\r\ndata: {data}\r\n\r\n".encode()
    pieces = [raw[i : i + 3] for i in range(0, len(raw), 3)]
    service = scripted(stream(*pieces, event("0.a.1", "end", job("done"))))
    with service.client() as client:
        assert next(client.events(JOB)).data == {"text": "one\u2028two\x85three"}


def test_wait_tells_each_event_and_gives_the_end() -> None:
    told: list[str] = []
    service = scripted(stream(event("0.a.0", "gated", {}), event("0.a.1", "end", job("done", "satisfied"))))
    with service.client() as client:
        done = client.wait(JOB, on_event=lambda e: told.append(e.kind))
    assert told == ["gated", "end"]
    assert done.satisfied


def test_progress_is_told_apart_and_does_not_move_the_place() -> None:
    said: list[str] = []
    progress = b'event: progress\ndata: {"doing": "rendering"}\n\n'
    service = scripted(
        stream(event("0.a.0", "gated", {}), progress, httpx.ReadError("reset")),
        stream(event("0.a.1", "end", job("done"))),
    )
    with service.client() as client:
        told: list[str] = []
        client.wait(JOB, on_event=lambda e: told.append(e.id), on_doing=said.append)
    assert (told, said) == (["0.a.0", "0.a.1"], ["rendering"])
    assert service.asked[1].headers["Last-Event-ID"] == "0.a.0"
    with scripted(stream(progress, event("0.a.1", "end", job("done")))).client() as client:
        assert [e.kind for e in client.events(JOB)] == ["end"]


def test_wait_says_that_the_service_does_not_answer() -> None:
    said: list[str] = []
    refused = httpx.ConnectError("refused")
    first, end = event("0.a.0", "gated", {}), event("0.a.1", "end", job("done"))
    service = scripted(stream(first, httpx.ReadError("reset")), stream(end))
    with service.client() as client:
        client.wait(JOB, on_doing=said.append)
    assert said == []
    service = scripted(stream(first, httpx.ReadError("reset")), refused, problem(503, "busy"), stream(end))
    with service.client() as client:
        client.wait(JOB, on_doing=said.append)
    assert said == [LOST, LOST]


def test_wait_ends_at_its_timeout() -> None:
    service = Scripted(stream(b":\n\n") for _ in count())
    with service.client() as client, pytest.raises(TimeoutError, match="it goes on"):
        client.wait(JOB, timeout=0.01)


def test_cancel_image_and_trajectory() -> None:
    service = scripted(
        httpx.Response(202, json=job("running", doing="cancelling")),
        httpx.Response(200, content=b"png"),
        httpx.Response(200, json={"events": []}),
    )
    with service.client() as client:
        assert client.cancel(JOB).doing == "cancelling"
        assert client.image(JOB) == b"png"
        assert client.trajectory(JOB) == {"events": []}
    assert [(r.method, r.url.path.removeprefix(f"/v1/jobs/{JOB}")) for r in service.asked] == [
        ("POST", "/cancel"), ("GET", "/image"), ("GET", "/trajectory"),
    ]  # fmt: skip


def test_pause_resume_and_priority() -> None:
    service = scripted(*(httpx.Response(202, json=job("running", paused=True)) for _ in range(3)))
    with service.client() as client:
        assert client.pause(JOB).paused
        client.resume(JOB)
        client.prioritise(JOB, 0)
    assert [(r.method, r.url.path.removeprefix(f"/v1/jobs/{JOB}"), r.content) for r in service.asked] == [
        ("POST", "/pause", b""), ("POST", "/resume", b""), ("PATCH", "", b'{"priority":0}'),
    ]  # fmt: skip


def test_the_environment_says_where_and_its_token_goes_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONDIRECTOR_URL", "http://render.test")
    monkeypatch.setenv("VISIONDIRECTOR_TOKEN", "secret")
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=job())

    for url in (None, "http://elsewhere.test"):
        with Client(url, transport=httpx.MockTransport(answer)) as client:
            client.job(JOB)
    assert [(r.url.host, r.headers.get("Authorization")) for r in asked] == [
        ("render.test", "Bearer secret"), ("elsewhere.test", None),
    ]  # fmt: skip


def test_a_list_goes_through_all_pages() -> None:
    second = {**job("done", "satisfied"), "id": "b", "labels": ["x"], "ended": 9.5, "cost": {"renders": 4, "new": 1}}
    service = scripted(
        httpx.Response(200, json={"jobs": [job()], "next": "c1"}),
        httpx.Response(200, json={"jobs": [second], "next": None}),
    )
    after = datetime(2026, 11, 23, tzinfo=UTC)
    with service.client() as client:
        first, last = client.jobs(status="done", label="x", created_after=after, page=1)
    assert [dict(r.url.params) for r in service.asked] == [
        {"status": "done", "label": "x", "created_after": "1795392000.0", "limit": "1"},
        {"status": "done", "label": "x", "created_after": "1795392000.0", "limit": "1", "cursor": "c1"},
    ]
    assert (first.cost, first.ended, first.ended_at) == (None, False, None)
    assert (last.cost and last.cost.renders, last.ended, last.ended_at, last.labels) == (4, True, 9.5, ("x",))
    with pytest.raises(ValueError, match="time zone"):
        next(client.jobs(created_after=datetime(2026, 11, 23)))  # noqa: DTZ001


def test_a_lost_answer_does_not_make_a_delete_or_a_requeue_fail() -> None:
    lost = httpx.ReadError("reset")
    conflict = problem(409, "not a dead letter")
    with scripted(lost, problem(404, "Unknown job")).client() as client:
        client.delete(JOB)
    with scripted(problem(404, "Unknown job")).client() as client, pytest.raises(NotFound):
        client.delete(JOB)
    with scripted(lost, conflict, httpx.Response(200, json=job())).client() as client:
        assert client.requeue(JOB).status == "queued"
    with scripted(conflict).client() as client, pytest.raises(Conflict):
        client.requeue(JOB)
    with (
        scripted(lost, conflict, httpx.Response(200, json=job("done"))).client() as client,
        pytest.raises(Conflict),
    ):
        client.requeue(JOB)


def test_attempts_and_report() -> None:
    tried = {"n": 3, "nonce": "x", "kind": "render", "seconds": 1.5, "committed": True, "counts": {"vlm": 2}}
    service = scripted(
        httpx.Response(200, json={"attempts": [tried], "cost": {"seconds": 1.5, "wasted_attempts": 0}}),
        httpx.Response(200, content=b"<!doctype html>"),
        httpx.Response(200, content=b"png"),
    )
    with service.client() as client:
        found = client.attempts(JOB)
        assert (found.attempts[0].kind, found.cost.seconds) == ("render", 1.5)
        assert client.report(JOB) == b"<!doctype html>"
        client.image(JOB, metadata=False)
    assert service.asked[-1].url.query == b"metadata=false"


@pytest.mark.parametrize(
    "script",
    [
        [{"a": "met"}, {"a": "missed", "b": "met", "c": "met"}, {"b": "met"}, {"c": "met"}],
        [{"a": "met", "b": "unsure"}, {"b": "unsure"}, {"c": "met"}],
        [{}, {}, {}, {}, {}, {}],
    ],
)
def test_goals_stand_as_the_director_says(script: list[dict[str, str]]) -> None:
    trajectory = run(play(*script), LoopSettings(candidates=1, accept=AcceptRule.NO_LOSS))
    rows = goals_of(trajectory.model_dump(mode="json"))
    standing = State.of(trajectory).standing
    assert [(row.id, row.type, row.text) for row in rows] == [
        (goal.id, goal.type, goal.text) for goal in State.of(trajectory).goals
    ]
    for row in rows:
        verdict = standing.get(row.id)
        assert (row.outcome, row.score) == ((verdict.outcome, verdict.score) if verdict else ("", None))
    assert any(row.outcome for row in rows)


def test_a_goal_of_absence_says_so() -> None:
    goals = [{"id": "a", "text": "a dog", "absent": True}, {"id": "b", "text": "a cat"}]
    assert [row.wish for row in goals_of({"brief": {"goals": goals}})] == ["absent: a dog", "a cat"]


def test_goals_of_a_job_that_has_none_yet() -> None:
    with scripted(httpx.Response(200, json={"brief": {"text": "a lamp"}, "events": []})).client() as client:
        assert client.goals(JOB) == []
