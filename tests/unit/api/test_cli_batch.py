"""`visiondirector batch`: what is sent, what is said, and what is saved."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.cli import transcript
from api.cli.batch.results import file_stem
from api.cli.batch.terms import local_zone
from api.cli.console import SATISFIED, SHORT, USAGE
from tests.support.scripted_service import JOB, Answer, Cli, problem
from tests.unit.api.test_cli import png

BATCH = "0b0b0b0b-0000-5000-8000-00000000000b"
OTHER = BATCH[:-1] + "c"
NOTHING = problem(404, "Unknown upload")
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
HASH = "ab" * 32


def batch(status: str = "open", id: str = BATCH, **counts: Any) -> dict[str, Any]:
    more = {
        name: counts.pop(name)
        for name in tuple(counts)
        if name not in {"waiting", "running", "done", "unmet", "failed"}
    }
    return {"id": id, "title": "night", "status": status, "counts": counts, "total": sum(counts.values()), **more}


def answer(status: str = "open", code: int = 200, **more: Any) -> httpx.Response:
    return httpx.Response(code, json=batch(status, **more))


def listed(*batches: dict[str, Any], following: str | None = None) -> httpx.Response:
    return httpx.Response(200, json={"batches": batches, "next": following})


def uploaded(image: str = HASH) -> httpx.Response:
    return httpx.Response(200, json={"image": image, "width": 1, "height": 1})


def folder(*names: str) -> None:
    Path("briefs").mkdir()
    for name in names:
        Path("briefs", name).write_bytes(PNG if name.endswith("png") else b"A lamp")


# --- submit -------------------------------------------------------------------------------------


def test_a_folder_is_sent_with_its_pictures_each_once(cli: Cli) -> None:
    folder("a.txt", "b.txt", "b.png", "c.txt", "c.png")
    warning = {
        "kind": "no-source",
        "message": "“Move it” changes a picture",
        "fix": "send it",
        "count": 3,
        "lines": [2, 3],
    }
    made = answer(code=202, waiting=6, title="briefs", warnings=[warning], waits="waiting: no worker serves editor.a")
    code, output, service = cli(
        "batch submit briefs --label autumn --set rounds=2 --matrix seed=1..2 --max-in-flight 4 --priority 3",
        uploaded(), NOTHING, made,
    )  # fmt: skip
    put, _, sent = service.asked
    assert (code, put.method, put.content) == (SATISFIED, "PUT", PNG)
    header, *lines = [json.loads(line) for line in sent.content.splitlines()]
    assert header == {
        "batch": {
            "title": "briefs", "labels": ["autumn"], "priority": 3, "settings": {"rounds": 2},
            "matrix": {"seed": [1, 2]}, "max_in_flight": 4,
        }
    }  # fmt: skip
    assert lines == [
        {"custom_id": "a", "brief": {"text": "A lamp", "title": "a"}},
        {"custom_id": "b", "brief": {"text": "A lamp", "title": "b", "source": HASH}},
        {"custom_id": "c", "brief": {"text": "A lamp", "title": "c", "source": HASH}},
    ]
    assert output.splitlines() == [
        f"submitted   {BATCH}  briefs: 6 pictures to draw",
        "warning     briefs/a.txt: “Move it” changes a picture, and 2 briefs more like it (send it)",
        "now         waiting: no worker serves editor.a",
    ]


def test_the_same_batch_is_told_to_be_the_same(cli: Cli) -> None:
    folder("a.txt")
    keys = set[str]()
    for _ in range(2):
        _, output, service = cli("batch submit briefs", NOTHING, answer(waiting=1))
        keys.add(service.asked[1].headers["Idempotency-Key"])
    assert len(keys) == 1
    assert output.startswith(f"sent before {BATCH}")
    _, _, service = cli("batch submit briefs --key again", NOTHING, answer(waiting=1))
    assert service.asked[1].headers["Idempotency-Key"] == "again"


@pytest.mark.parametrize("command", ["submit", "batch submit"])
def test_a_key_that_no_header_can_carry_is_refused(cli: Cli, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli(f"{command} a.txt --key ö")
    assert "a key is a word of letters, digits and signs of ASCII" in capsys.readouterr().err


def test_the_options_go_over_the_first_line_of_a_manifest(cli: Cli) -> None:
    header = {"title": "old", "labels": ["x"], "settings": {"rounds": 2, "candidates": 2}, "max_in_flight": 9, "new": 1}
    Path("list.jsonl").write_text(json.dumps({"batch": header}) + '\n{"brief": "A lamp"}\n')
    _, _, service = cli("batch submit list.jsonl --title new --set rounds=3", NOTHING, answer(waiting=1))
    assert json.loads(service.asked[1].content.splitlines()[0])["batch"] == {
        "title": "new", "labels": ["x"], "settings": {"rounds": 3, "candidates": 2}, "max_in_flight": 9, "new": 1,
    }  # fmt: skip


def test_nothing_is_sent_until_all_is_clean(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    Path("list.csv").write_text("custom_id,brief\na,A\na,B\nb,\nc,C\n")
    code, _, service = cli("batch submit list.csv")
    assert (code, service.asked) == (USAGE, [])
    assert capsys.readouterr().err.splitlines() == [
        "list.csv:3: custom_id 'a' is there already, at list.csv:2 (give each its own)",
        "list.csv:4: the brief is empty (write what the picture must show)",
        "2 errors: nothing was sent",
    ]
    Path("many.jsonl").write_text("{\n" * 250)
    assert cli("batch submit many.jsonl")[0] == USAGE
    told = capsys.readouterr().err.splitlines()
    assert told[99].startswith("many.jsonl:100: the JSON is broken")
    assert told[100:] == ["… and 150 more", "250 errors: nothing was sent"]
    Path("none.jsonl").write_text("\n\n")
    assert cli("batch submit none.jsonl")[0] == USAGE


def test_what_the_service_says_of_a_line_is_said_of_the_file(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    Path("list.csv").write_text("custom_id,brief,rouns\na,A,\nb,B,3\n")
    errors = [
        {
            "line": 3,
            "custom_id": "b",
            "field": "settings.rouns",
            "message": "is unknown",
            "fix": "did you mean rounds?",
        },
        {"line": 1, "custom_id": None, "field": "batch.settings.x", "message": "is unknown", "fix": ""},
    ]
    assert cli("batch submit list.csv", NOTHING, problem(422, "The batch can't be used", errors=errors))[0] == USAGE
    assert capsys.readouterr().err.splitlines()[-3:] == [
        "list.csv:3: settings.rouns: is unknown (did you mean rounds?)",
        "the options: batch.settings.x: is unknown",
        "2 errors: nothing was sent",
    ]


def test_a_picture_that_the_service_refuses_is_named(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    folder("a.txt", "a.png")
    errors = [{"field": "image", "message": "is no picture", "fix": "send a PNG"}]
    assert cli("batch submit briefs", problem(422, "no good", errors=errors))[0] == USAGE
    assert "briefs/a.txt: the picture a.png can't be used: is no picture (send a PNG)" in capsys.readouterr().err


# --- list, show, orders -------------------------------------------------------------------------


def test_a_batch_is_found_by_title_label_and_start_of_its_id(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    other = batch(id=OTHER, title="day", labels=["autumn"], done=1)
    both = listed(batch(done=1), other)
    for name, id in (("NIGHT", BATCH), ("autumn", OTHER), (OTHER, OTHER)):
        answers: list[Answer] = [answer("paused", id=id, done=1)]
        _, _, service = cli(f"batch pause {name}", *([] if name == OTHER else [both]), *answers)
        assert service.asked[-1].url.path == f"/v1/batches/{id}/pause"
    for name, message in ((BATCH[:8], "2 batches are called"), ("dawn", "there is no batch 'dawn'")):
        assert cli(f"batch pause {name}", both)[0] == USAGE
        assert message in capsys.readouterr().err


def test_a_list_says_what_it_leaves_out(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    three = listed(*[batch(labels=["a", "b"], done=2, waiting=1, created=1795392000.5)] * 3)
    _, output, service = cli("batch list -n 2 --status open --label a", three)
    assert output == f"{BATCH}\t2026-11-23T00:00:00+00:00\topen\t2\t3\ta,b\tnight\n" * 2
    assert service.asked[0].url.query == b"limit=200&status=open&label=a"
    assert "older batches are left out: --all" in capsys.readouterr().err
    assert len(cli("batch list --all --json", three)[1].splitlines()) == 3
    assert capsys.readouterr().err == ""


def test_show_counts_and_lists_items(cli: Cli) -> None:
    drawing = [{"custom_id": "a", "job": JOB, "doing": "rendering by flux-krea"}]
    cost = {"renders": 7, "gpu_seconds": 3.25}
    shown = answer(
        done=1, unmet=1, running=1, waiting=2, drawing=drawing, cost=cost, waits="paused by you", labels=["x"]
    )
    assert cli(f"batch show {BATCH}", shown)[1].splitlines() == [
        f"batch       {BATCH}  night",
        "status      open, 2 of 5 ended",
        "items       1 done, 1 unmet, 1 running, 2 waiting",
        "labels      x",
        "waits       paused by you",
        "now         a: rendering by flux-krea",
        "cost        7 renders, 3.25 s of GPU",
    ]
    items = [{"custom_id": "a", "index": 0, "status": "failed", "job": JOB, "take": 1}]
    page = httpx.Response(200, json={"items": items, "next": None})
    _, output, service = cli(f"batch show {BATCH} --status failed", shown, page)
    assert output.splitlines()[-1] == f"failed      a, take 2 {JOB}"
    assert service.asked[1].url.query == b"limit=200&status=failed"


def test_show_tells_why_items_failed_and_what_to_do(cli: Cli) -> None:
    items = [{"custom_id": name, "index": n, "status": "failed", "job": JOB} for n, name in enumerate("abc")]
    listed_items = httpx.Response(200, json={"items": items, "next": None})
    told = (
        result("a", 0, "failed", error="editor: the card\n is full", fix="use a smaller size", actor="seat"),
        result("b", 1, "failed", error="no goal " + "x" * 300, actor="user"),
        result("d", 3),
    )
    shown = answer("ended", failed=3, done=1)
    _, output, service = cli(f"batch show {BATCH} --items", shown, results(*told), listed_items)
    assert [request.url.path.rpartition("/")[2] for request in service.asked[1:]] == ["results", "items"]
    assert output.splitlines()[3:] == [
        f"failed      a {JOB}",
        "            editor: the card is full (use a smaller size)",
        f"failed      b {JOB}",
        "            " + ("no goal " + "x" * 300)[:199] + "…",
        f"failed      c {JOB}",
        f"then        visiondirector batch retry {BATCH[:8]} --failed: goes on with 1 item at the step that failed, "
        "once the cause is gone",
        "then        1 item failed by what the brief asks for: change it, and send it anew",
    ]
    assert len(cli(f"batch show {BATCH} --status done", answer(failed=3, done=1), listed_items)[2].asked) == 2


@pytest.mark.parametrize(
    ("line", "method", "name", "body"),
    [
        ("resume", "POST", "resume", None),
        ("cancel", "POST", "cancel", None),
        ("cancel --item a --item b", "POST", "cancel", {"items": ["a", "b"]}),
        ("retry", "POST", "retry", {"what": ["failed"]}),
        ("retry --unmet --rounds 3 --item a", "POST", "retry", {"what": ["unmet"], "items": ["a"], "rounds": 3}),
        ("retry --failed --cancelled", "POST", "retry", {"what": ["failed", "cancelled"]}),
        ("patch --front --max-in-flight 0", "PATCH", BATCH, {"front": True, "max_in_flight": 0}),
        ("patch --front --item a --item b", "PATCH", BATCH, {"front": True, "items": ["a", "b"]}),
        ("patch --priority 0 --title dawn", "PATCH", BATCH, {"priority": 0, "title": "dawn"}),
    ],
)
def test_orders(cli: Cli, line: str, method: str, name: str, body: object) -> None:
    order, _, rest = line.partition(" ")
    code, output, service = cli(f"batch {order} {BATCH} {rest}", answer("open", done=1, waiting=2))
    [sent] = service.asked
    assert (code, sent.method, sent.url.path.rpartition("/")[2]) == (SATISFIED, method, name)
    assert json.loads(sent.content or b"null") == body
    assert output == f"open        {BATCH[:8]}  night: 1 done, 2 waiting, 2 items left\n"


def test_terms_are_sent_and_taken_away(cli: Cli) -> None:
    options = "--window 22:00-07:00 --window 1:00-2:30 --at-close hold --by 07:00 --spread"
    folder("a.txt")
    _, _, service = cli(
        f"batch submit briefs {options} --budget renders=400 --budget gpu=2h", NOTHING, answer(waiting=1)
    )
    zone = local_zone()
    assert json.loads(service.asked[1].content.splitlines()[0])["batch"] == {
        "title": "briefs", "windows": [f"22:00-07:00 {zone}", f"1:00-2:30 {zone}"], "at_close": "hold",
        "by": f"07:00 {zone}", "spread": True, "budget": {"renders": 400.0, "gpu": "2h"},
    }  # fmt: skip
    for given, sent in (("2030-01-01T07:00", f"2030-01-01T07:00 {zone}"), ("2030-01-01T07:00-01:00",) * 2, ("",) * 2):
        _, _, service = cli(f"batch patch {BATCH} --deadline={given}", answer(waiting=1))
        assert json.loads(service.asked[0].content) == {"deadline": sent}
    gone = "--window none --deadline none --budget none --no-spread"
    _, _, service = cli(f"batch patch {BATCH} {gone}", answer(waiting=1))
    [sent] = service.asked
    assert json.loads(sent.content) == {"windows": [], "deadline": None, "budget": {}, "spread": False}


def test_terms_that_make_no_sense(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, told in (
        ("--budget 400", "'400' is no budget (write renders=400, gpu=2h or eur=20)"),
        ("--budget renders=4 --budget Renders=5", "renders has two budgets (give each unit once)"),
        ("--budget renders=many", "'many' is no number (write renders=400, gpu=2h or eur=20)"),
        ("--budget renders=1e999", "'1e999' is no number (write renders=400, gpu=2h or eur=20)"),
        ("--by 07:00 --deadline 08:00", "--by is a deadline, too (give one of the two)"),
    ):
        assert cli(f"batch patch {BATCH} {wrong}")[0] == USAGE
        assert told in capsys.readouterr().err


def test_a_deadline_that_is_over_is_told(cli: Cli) -> None:
    late = {"terms": {"deadline": 1577836800.0, "late": True}}
    folder("a.txt")
    over = "--deadline 2020-01-01T00:00Z"
    told = f"its deadline has passed (visiondirector batch patch {BATCH[:8]} --deadline 07:00)"
    assert told in cli(f"batch submit briefs {over}", NOTHING, answer(waiting=1, **late))[1]
    assert told in cli(f"batch patch {BATCH} {over}", answer(waiting=1, **late))[1]
    assert told not in cli(f"batch patch {BATCH} {over}", answer("ended", done=1, **late))[1]


def test_show_tells_terms(cli: Cli) -> None:
    budget = {"renders": 400, "spent_renders": 380, "gpu_seconds": 7200.0, "spent_gpu_seconds": 61.0, "share": 0.95}
    terms = {
        "windows": ["22:00-07:00 Europe/Zurich"], "at_close": "hold", "deadline": 1795500000.0, "late": True,
        "by": True, "spread": True, "budget": budget,
    }  # fmt: skip
    _, output, _ = cli(f"batch show {BATCH}", answer(waiting=1, terms=terms))
    assert "windows     22:00-07:00 Europe/Zurich, and is held when they close\n" in output
    assert "(late)\n" in output
    assert (
        f"budget      380 of 400 renders, {transcript.duration(61)} of {transcript.duration(7200)} of GPU\n" in output
    )


def test_show_says_that_it_will_be_late(cli: Cli) -> None:
    eta = {"p10": 1795500100.0, "p50": 1795500200.0, "p90": 1795500300.0, "late": "likely: fewer briefs help"}
    _, output, _ = cli(f"batch show {BATCH}", answer(waiting=1, eta=eta))
    assert "late        likely: fewer briefs help\n" in output
    _, output, _ = cli(f"batch show {BATCH}", answer(waiting=1, eta={**eta, "late": ""}))
    assert "late" not in output


def test_orders_that_make_no_sense(cli: Cli) -> None:
    assert cli(f"batch patch {BATCH}")[0] == USAGE
    assert cli(f"batch retry {BATCH} --failed --rounds 2")[0] == USAGE
    assert cli(f"batch results {BATCH} --images --all")[0] == USAGE


# --- results ------------------------------------------------------------------------------------


def result(custom_id: str, index: int, status: str = "done", **more: Any) -> dict[str, Any]:
    ended = {"job": JOB, "image": HASH, "ended": 1795392000.5, "met": 2, "total": 3}
    return {"custom_id": custom_id, "index": index, "status": status, **ended, **more}


def results(*told: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, content="".join(json.dumps(each) + "\n" for each in told).encode())


def test_results_as_lines_and_as_a_table(cli: Cli) -> None:
    told = result("a", 0, newer=1), result("b", 1, "cancelled", job=None, image=None, error='said "no"')
    read = [json.loads(line) for line in cli(f"batch results {BATCH}", results(*told))[1].splitlines()]
    assert [each["custom_id"] for each in read] == ["a", "b"]
    assert read[0]["newer"] == 1
    assert cli(f"batch results {BATCH} --csv -o out", results(*told))[0] == SATISFIED
    with Path("out/results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["custom_id"], row["met"], row["job"], row["error"]) for row in rows] == [
        ("a", "2", JOB, ""), ("b", "2", "", 'said "no"'),
    ]  # fmt: skip


def test_pictures_are_saved_once_and_later_takes_anew(cli: Cli) -> None:
    told = result("a", 0), result("../b", 1), result("c", 2, "failed", image=None)
    code, output, service = cli(f"batch results {BATCH} -o out --images --no-metadata", results(*told), png(), png())
    assert code == SHORT
    assert service.asked[1].url.path == f"/v1/jobs/{JOB}/image"
    assert service.asked[1].url.query == b"metadata=false"
    names = sorted(path.name for path in Path("out").iterdir())
    assert names == [f"{file_stem('../b')}.png", "a.png", "results.jsonl"]
    assert output.splitlines() == [
        "pictures    2 pictures saved in out", "no picture  of 1 item", "saved       out/results.jsonl",
    ]  # fmt: skip
    code, output, service = cli(f"batch results {BATCH} -o out --images", results(*told))
    assert "kept        2 pictures that were there" in output
    later = result("a", 0, take=1, ended=1795399999.0)
    code, _, service = cli(f"batch results {BATCH} -o out --images", results(later, told[1]), png())
    assert (code, len(service.asked)) == (SATISFIED, 2)


def test_a_fetch_that_broke_off_leaves_no_half_file(cli: Cli) -> None:
    broken = problem(500, "no good")
    assert cli(f"batch results {BATCH} -o out --images", results(result("a", 0), result("b", 1)), png(), broken)[0] != 0
    assert os.listdir("out") == ["a.png"]  # noqa: PTH208 - names are enough
    assert cli(f"batch results {BATCH} -o out --images", results(result("a", 0), result("b", 1)), png())[0] == SATISFIED


@pytest.mark.parametrize(
    ("custom_id", "stem"),
    [("poster-1", "poster-1"), ("a@seed=1,editor=b", "a@seed=1,editor=b"), ("Öl 3", "Öl 3"), ("夜", "夜")],
)
def test_a_custom_id_that_is_a_file_name_is_one(custom_id: str, stem: str) -> None:
    assert file_stem(custom_id) == stem


def test_a_custom_id_that_is_no_file_name_becomes_one() -> None:
    odd = [
        "../a",
        "..",
        ".",
        "a/b",
        "a\\b",
        "a:b",
        "con",
        "CON.x",
        ".hidden",
        "a.",
        " a",
        "夜" * 128,
        "a" * 128,
        "*",
        "?",
    ]
    stems = [file_stem(each) for each in odd]
    assert len(set(stems)) == len(odd)
    for stem in stems:
        assert len(stem.encode()) < 250
        assert not set(stem) & set('/\\:*?"<>|\0')
        assert not stem.startswith(".") and not stem.endswith((".", " "))
        assert Path("out", f"{stem}.png").parent == Path("out")
