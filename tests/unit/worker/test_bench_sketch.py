"""The benchmarks of the sketch world: its verifier, the strategy table, and the surrogate that fits profiles."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from director.intake import loop_settings
from director.types import Brief, Goal, LoopSettings, Outcome
from tests.support.contexts import MemoryImages
from worker.bench.lgbench.compose import compose
from worker.bench.lgbench.pool import pool
from worker.bench.lgbench.records import dumped
from worker.bench.lgbench.write import write
from worker.bench.sketch_lab import document, fit, loop, strategies, verifier
from worker.bench.sketch_lab.billing import card_bill
from worker.bench.sketch_lab.gate import gate_curve
from worker.bench.sketch_lab.memo import remembering
from worker.bench.sketch_lab.surrogate import Lists, Wear, met, right, surrogate
from worker.bench.sketch_lab.verifier import Seen
from worker.cli import main
from worker.local import LocalContext, run
from worker.sketch.misses import load_miss_model

TASKS = list(compose(pool(), 6, (5, 8), 1, "t2i", write))


def test_rates_count_unsure_as_missed() -> None:
    rows = [
        Seen(0, "text", "a", True, Outcome.MET, ""),
        Seen(0, "text", "b", True, Outcome.UNSURE, ""),
        Seen(0, "text", "c", False, Outcome.MET, ""),
        Seen(0, "text", "d", False, Outcome.MISSED, ""),
    ]
    assert verifier.rates(rows) == {"goals": 4, "there": 2, "precision": 0.5, "recall": 0.5, "unsure": 0.25}
    assert verifier.rates([])["precision"] is None


def test_a_scene_holds_what_is_drawn_and_what_is_not() -> None:
    rows = [row for task in TASKS for row in verifier.seen(task, 1, 256)]
    assert {row.there for row in rows} == {True, False}
    assert sum((row.outcome is Outcome.MET) == row.there for row in rows) > 0.8 * len(rows)
    assert rows == [row for task in TASKS for row in verifier.seen(task, 1, 256)]


def test_a_perfect_surrogate_meets_everything_and_wear_takes_it_away() -> None:
    def share(habits: str, wear: Wear) -> float:
        images = Lists()
        task = TASKS[0]
        settings = LoopSettings(candidates=1, judge=False, adaptive=False)
        done = run(Brief(text=task.prompt), settings, 1, surrogate(load_miss_model(habits), wear), images)
        state = right(images.get(next(e.image for e in reversed(done.events) if e.kind == "decided")))
        return sum(met(state, goal) for goal in task.goal_values()) / len(task.goals)

    assert share("perfect", Wear(0.0001, 0.0001, 0.0001)) == 1
    assert share("perfect", Wear(0.5, 0.5, 0.5)) < 1


def test_fitting_moves_a_parameter_to_its_figure() -> None:
    start = replace(load_miss_model("flux-krea"), base=0.0)
    moved = fit._bisected(TASKS, start, "base", 20.0, lambda t, h: fit.measured(t, "one-shot", h).goals, 0.7)
    assert abs(fit.measured(TASKS, "one-shot", moved).goals - 0.7) < 0.15
    assert moved.base > 0


def test_what_two_arms_ask_alike_is_drawn_once() -> None:
    studio, look = remembering(load_miss_model("flux-krea"))
    context = LocalContext(MemoryImages())
    brief = Brief(text="A red kite on the left. A blue car on the right.")
    plain = LoopSettings(rounds=1, candidates=1, judge=False, adaptive=False, width=128, height=128)
    first = run(brief, plain, 1, studio, context.images)
    seen = dict(look.seen)
    assert run(brief, plain, 1, studio, context.images) == first
    assert look.seen == seen
    verdict = look.verdict(
        next(e.image for e in first.events if e.kind == "decided"), Goal(id="x", text="A red kite"), context
    )
    assert verdict.goal == "x"


def test_a_look_that_errs_errs_alike_and_the_grader_does_not() -> None:
    context = LocalContext(MemoryImages())
    brief = Brief(text="A red kite on the left. A blue car on the right. A green cup in the middle.")
    plain = LoopSettings(rounds=1, candidates=1, judge=False, adaptive=False, width=128, height=128)
    studio, look = remembering(load_miss_model("perfect"), errors=1.0)
    done = run(brief, plain, 1, studio, context.images)
    picture = next(event.image for event in done.events if event.kind == "decided")
    told = next(event for event in done.events if event.kind == "verified")
    goals = {goal.id: goal for goal in next(event for event in done.events if event.kind == "extracted").goals}
    assert len(told.verdicts) == 3
    for verdict in told.verdicts:
        true = look.verdict(picture, goals[verdict.goal], context)
        assert {verdict.outcome, true.outcome} == {Outcome.MET, Outcome.MISSED}

    half, _ = remembering(load_miss_model("perfect"), errors=0.5)
    assert run(brief, plain, 1, half, context.images) == run(brief, plain, 1, half, context.images)


def test_the_gate_falls_with_the_number_of_goals() -> None:
    points = gate_curve(1)
    assert [point["goals"] for point in points] == [1, 5, 10, 15, 18, 22, 26, 30]
    assert points[0]["one_shot"] > 0.9
    assert points[-1]["one_shot"] < 0.1


def test_the_table_is_resumed_and_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few, folder, one, two = (tmp_path / name for name in ("tasks.json", "run", "one.json", "two.json"))
    few.write_text(dumped(compose(pool(), 2, (2, 3), 1, "t2i", write)), encoding="utf-8")
    asked = ["bench", "loop", "--tasks", str(few), "--ablate", "--arms", "one-shot,ours", "--size", "96"]
    asked += ["--processes", "1", "--set", "rounds=1", "--set", "candidates=2", "-o", str(folder), "--json"]
    assert main([*asked, str(one)]) == 0
    filed = (folder / "rows.jsonl").read_bytes()
    assert main([*asked, str(two)]) == 0
    assert (folder / "rows.jsonl").read_bytes() == filed
    assert one.read_text() == two.read_text()
    found = json.loads(one.read_text())
    assert [row["strategy"] for row in found["rows"]] == ["one-shot", "best-of-k", "ours", *loop.ABLATIONS]
    assert {"goal_completion", "goal_completion_ci", "tasks_80", "renders", "edits"} <= found["rows"][0].keys()
    assert "simulated" in found["facts"]["editor"]
    assert "errors" not in found["facts"]
    assert "simulated" in capsys.readouterr().out


def test_another_setting_needs_another_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        "bench",
        "loop",
        "--compose",
        "1",
        "--arms",
        "one-shot",
        "--size",
        "64",
        "--processes",
        "1",
        "-o",
        str(tmp_path),
    ]
    assert main(asked) == 0
    assert main([*asked, "--seed", "9"]) == 2
    assert "another folder" in capsys.readouterr().err


def test_the_sweep_asks_the_same_in_other_worlds_and_the_document_says_what_flips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, folder = tmp_path / "tasks.json", tmp_path / "benchmarks"
    folder.mkdir()
    few.write_text(dumped(compose(pool(), 2, (2, 3), 1, "t2i", write)), encoding="utf-8")
    asked = ["bench", "loop", "--tasks", str(few), "--sweep", "--sweep-tasks", "1", "--arms", "one-shot,all,ours"]
    asked += ["--size", "96", "--processes", "1", "--json", str(folder / "loop.json")]
    assert main(asked) == 0
    found = json.loads((folder / "loop.json").read_text())
    assert [world["world"] for world in found["sweep"]] == list(loop.SWEEP)
    assert all([row["strategy"] for row in world["rows"]] == ["all", "best-of-k", "ours"] for world in found["sweep"])
    assert {row["tasks"] for row in found["rows"]} == {2}
    assert {row["tasks"] for world in found["sweep"] for row in world["rows"]} == {1}

    assert main(["bench", "verifier", "--scenes", "2", "--size", "96", "--json", str(folder / "verifier.json")]) == 0
    monkeypatch.setattr("sys.argv", ["document", str(folder)])
    assert document.main() == 0
    text = (tmp_path / "benchmarks.md").read_text()
    assert "Every number below is simulated" in text
    assert all(name in text for name in (*loop.SWEEP, "as fitted"))
    assert {path.name for path in folder.glob("*.svg")} == {
        "goals-by-type.svg", "completion-against-renders.svg", "gate.svg",
    }  # fmt: skip


def test_the_strategy_page_says_what_was_asked_and_whether_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    asked = ["bench", "loop", "--lists", "--arms", "all,wide", "--equal", "wide", "--compose", "4", "--processes", "1"]
    assert main([*asked, "--json", str(folder / "strategies.json")]) == 0
    found = json.loads((folder / "strategies.json").read_text())
    swept = {**found, "sweep": [{**found, "world": name} for name in ("crowding-1", "crowding-2")]}
    (folder / "strategies-lists.json").write_text(json.dumps(swept))
    assert [row["strategy"] for row in found["rows"]] == ["all", "best-of-k", "wide"]
    rows = {row["strategy"]: row for row in found["rows"]}
    assert rows["best-of-k"]["renders"] == round(rows["wide"]["renders"])
    shares = {(each["strategy"], each["metric"]): each["ratio"] for each in found["ratios"]}
    assert shares["wide", "renders"] == pytest.approx(rows["wide"]["renders"] / rows["all"]["renders"], abs=1e-3)
    assert shares["wide", "card_seconds"] < 1

    rules = ["--arms", "ours,ours-with-ties,ours-with-a-must-have", "--against", "ours"]
    again = [*asked, *rules, "--equal", "ours", "--json", str(folder / "strategies-rules.json")]
    assert main(again) == 0
    (folder / "strategies-notes.md").write_text("## Said by people\n")
    monkeypatch.setattr("sys.argv", ["strategies", str(folder)])
    assert strategies.main() == 0
    text = (tmp_path / "strategies.md").read_text()
    assert "Every number below is simulated" in text
    assert "## Said by people" in text
    assert f"| renders: at most 0.5 of `all`'s | {shares['wide', 'renders']:.2f} (" in text
    assert all(f"| {name} | 4 |" in text for name in ("as fitted", "crowding-1", "crowding-2"))
    ruled = text.partition("## What a tie and a must-have do")[2].partition("\n## ")[0]
    assert [line.split("`")[1] for line in ruled.splitlines() if line.startswith("| `")] == ["ours", *loop.RULES]
    [plain] = [line for line in ruled.splitlines() if line.startswith("| `ours` |")]
    assert plain.split("|")[3].strip() == "–"


def test_more_tasks_join_a_folder_and_only_they_are_run(tmp_path: Path) -> None:
    asked = ["bench", "loop", "--lists", "--arms", "all", "--equal", "all", "--processes", "1", "-o", str(tmp_path)]
    assert main([*asked, "--seed", "5", "--compose", "1"]) == 0
    filed = (tmp_path / "rows.jsonl").read_bytes()
    assert main([*asked, "--seed", "5", "--compose", "2", "--json", str(tmp_path / "two.json")]) == 0
    added = (tmp_path / "rows.jsonl").read_bytes().removeprefix(filed)
    done = [
        [json.loads(line)["done"]["arm"] for line in lines.splitlines() if b"done" in line] for lines in (filed, added)
    ]
    # All drew 24 pictures for the first task and 16 for the second, 20 on average: best of so many is run for both.
    assert done == [["all", "best-of-k-24"], ["all", "best-of-k-20", "best-of-k-20"]]
    rows = json.loads((tmp_path / "two.json").read_text())["rows"]
    assert [(row["strategy"], row["tasks"], row["renders"]) for row in rows] == [("all", 2, 20), ("best-of-k", 2, 20)]


def test_a_card_bill_counts_what_the_trajectory_holds() -> None:
    settings = loop_settings({"rounds": 2}, "all")
    studio = surrogate(load_miss_model("flux-krea"), Wear(0.5, 0.5, 0.5))
    done = run(Brief(text=TASKS[0].prompt), settings, 1, studio, Lists())
    bill = card_bill(done)
    assert (bill.drawn, bill.edited) == (4, 4)
    assert 0 < bill.cached < bill.prompt
    read = (bill.prompt - bill.cached) / 8000
    assert bill.seconds == pytest.approx(4 * 9 + 4 * 17 + read + bill.written / 60)
