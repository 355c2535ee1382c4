"""Worlds of the sketch: their luck, edits that crowd, wear as it was counted, and controls without a cap."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from director.intake import loop_settings
from director.seats import RenderRequest
from director.state import State
from director.types import Action, Brief, Goal
from worker.bench.lgbench.compose import compose
from worker.bench.lgbench.pool import pool
from worker.bench.lgbench.records import dumped
from worker.bench.lgbench.write import write
from worker.bench.sketch_lab import loop, wear
from worker.bench.sketch_lab.surrogate import EVENTS, Lists, measured_wear, met, right, surrogate
from worker.bench.sketch_lab.worlds import (
    CROWDING,
    POLICIES,
    RESULTS,
    TASK_SEEDS,
    TRAINING,
    VALIDATION,
    lucky,
    tasks_of,
)
from worker.bench.statistics import clustered_draws
from worker.cli import main
from worker.local import LocalContext
from worker.sketch.language import parse
from worker.sketch.misses import Ask, load_miss_model

KREA = load_miss_model("flux-krea")


def test_worlds_of_training_validation_and_results_share_nothing() -> None:
    assert not set(TRAINING) & set(VALIDATION)
    assert not set(RESULTS) & {*TRAINING, *VALIDATION}
    assert not set(POLICIES) & {*TRAINING, *VALIDATION, *RESULTS}
    prompts = [{task.record.prompt for task in tasks_of(p, 6, RESULTS)} for p in TASK_SEEDS]
    assert len(set[str]().union(*prompts)) == 6 * len(prompts)


def test_tasks_are_dealt_out_to_worlds_and_then_to_crowdings() -> None:
    tasks = tasks_of("results", 6, (1, 2), (0.0, 1.0))
    assert [task.world for task in tasks] == [1, 2, 1, 2, 1, 2]
    assert [task.habits.edit_crowding for task in tasks] == [0, 0, 1, 1, 0, 0]
    assert [task.habits.name for task in tasks[:2]] == ["flux-krea.1", "flux-krea.2"]
    tasks = tasks_of("results", 6, (1,), (0.0, 1.0), (0.0, 0.5))
    assert [task.errors for task in tasks] == [0, 0, 0.5, 0.5, 0, 0]


def test_another_world_misses_other_things_as_often() -> None:
    prompts = [task.record.prompt for task in tasks_of("results", 30, RESULTS)]
    drawables = [(d, Ask(12, scene=prompt)) for prompt in prompts for d in parse(prompt)]
    one, two = ([lucky(KREA, n).drawn(d, ask, 1) for d, ask in drawables] for n in (1, 2))
    assert sum(a != b for a, b in zip(one, two, strict=True)) > 0.2 * len(drawables)
    assert abs(sum(one) - sum(two)) < 0.15 * len(drawables)


def test_crowding_makes_wide_edits_harder_and_nothing_else() -> None:
    crowded = replace(KREA, edit_crowding=CROWDING[-1])
    drawables = [d for task in tasks_of("results", 20, RESULTS) for d in parse(task.record.prompt)]

    def drawn(habits: object, ask: Ask) -> list[bool]:
        assert isinstance(habits, type(KREA))
        return [habits.drawn(d, ask, 1) for d in drawables]

    assert drawn(crowded, Ask(1)) == drawn(KREA, Ask(1))
    assert drawn(crowded, Ask(16, scene="s")) == drawn(KREA, Ask(16, scene="s"))
    assert sum(drawn(crowded, Ask(16))) < 0.8 * sum(drawn(KREA, Ask(16)))


def test_wear_is_by_kind_grows_with_what_an_edit_names_and_spares_what_a_mask_keeps_out() -> None:
    found = measured_wear()
    text, layout = ("text|text|1", "layout|margins|1")
    assert found.spoils(1, False, layout) > found.spoils(1, False, text) > 0
    assert found.spoils(8, False, text) > 4 * found.spoils(1, False, text)
    assert found.spoils(1, True, layout) < found.spoils(1, False, layout)
    assert 0 < found.hides(False, text) < found.hides(True, text) < 1


@pytest.mark.parametrize(
    ("goal", "holder"),
    [
        ("A brown radio next to the bicycle", "bicycle"),
        ("The bicycle painted yellow", "bicycle"),
        ("A pool of light on the hourglass", "hourglass"),
        ("The flamingo in the left third of the picture", "flamingo"),
    ],
)
def test_what_hangs_on_a_thing_is_met_only_where_that_thing_is_there(goal: str, holder: str) -> None:
    (wanted,) = parse(goal)
    (thing,) = parse(f"A green {holder}")
    asked = Goal(id="g", text=goal)
    assert not met(frozenset({wanted.latent}), asked)
    assert not met(frozenset({thing.latent}), asked)
    assert met(frozenset({wanted.latent, thing.latent}), asked)
    assert met(frozenset({wanted.latent, f"thing|{holder}|wrong"}), asked)


def test_a_thing_of_another_colour_is_there_but_not_as_asked() -> None:
    things = [f"A red {noun}" for noun in ("kite", "cup", "lamp", "bell", "clock", "chair", "globe", "radio")]
    habits = replace(KREA, base=-99.0)
    images = Lists()
    action = Action(kind="generate", instruction=". ".join(things), targets=())
    request = RenderRequest(model="m", action=action, seeds=(1,), width=64, height=64)
    found = right(images.get(surrogate(habits).editor.render(request, LocalContext(images)).candidates[0].image))
    assert 0 < len(found) < len(things)
    assert all(one.endswith("|wrong") for one in found)


def test_wear_is_counted_from_pictures() -> None:
    (task,) = compose(pool(), 1, (14, 14), 31, "t2i", write)
    seen = wear.looked_at(task)
    counts = wear.counted(seen)
    assert set(counts) == set(EVENTS)
    assert sum(n for _, n in counts["unseen"].values()) > 3
    assert sum(n for _, n in counts["free"].values()) > 10
    assert all(lost <= n for kinds in counts.values() for lost, n in kinds.values())


def test_a_look_that_errs_is_wrong_of_some_goals_and_always_alike() -> None:
    task = tasks_of("results", 1, RESULTS)[0]
    settings = loop_settings({"candidates": 1, "judge": False, "adaptive": False, "rounds": 1}, "one-shot")

    def standing(errors: float) -> dict[str, str]:
        context = LocalContext(Lists())
        brief, studio = Brief(text=task.record.prompt), surrogate(task.habits, errors=errors)
        done = loop.best_of(1, brief, settings, 1, studio, context)
        return {goal: verdict.outcome.value for goal, verdict in State.of(done).standing.items()}

    assert standing(0.5) == standing(0.5)
    different = [goal for goal, outcome in standing(0.5).items() if standing(0.0)[goal] != outcome]
    assert 0.2 < len(different) / len(standing(0.0)) < 0.8


def test_best_of_any_number_is_one_round_and_its_pick_is_the_judges() -> None:
    task = tasks_of("results", 1, RESULTS)[0]
    settings = loop_settings({}, "best-of-4")
    done = loop.best_of(23, Brief(text=task.record.prompt), settings, 1, surrogate(task.habits), LocalContext(Lists()))
    state = State.of(done)
    assert state.usage.renders == 23
    assert state.usage.rounds == 1
    (compared,) = state.rounds[0].comparisons
    assert compared.selected.scores.index(max(compared.selected.scores)) == [c.image for c in compared.asked].index(
        compared.selected.image
    )


def test_draws_of_clusters_take_whole_worlds_and_their_tasks() -> None:
    groups = [7, 7, 7, 9, 9, 9, 9]
    drawn = clustered_draws(groups, 200)
    taken = [[int(i) for i in draw(range(len(groups)))] for draw in drawn]
    assert {len(each) for each in taken} == {6, 7, 8}
    assert any(all(groups[i] == 7 for i in each) for each in taken)
    assert taken == [[int(i) for i in draw(range(len(groups)))] for draw in clustered_draws(groups, 200)]


def test_the_strategy_table_says_how_many_worlds_and_how_its_intervals_are_drawn(tmp_path: Path) -> None:
    few = tmp_path / "tasks.json"
    few.write_text(dumped(compose(pool(), 2, (2, 3), 1, "t2i", write)), encoding="utf-8")
    asked = ["bench", "loop", "--tasks", str(few), "--arms", "one-shot", "--size", "96", "--processes", "1"]
    assert main([*asked, "--worlds", "20", "--json", str(tmp_path / "two.json")]) == 0
    assert main([*asked, "--worlds", "0", "--json", str(tmp_path / "one.json")]) == 0
    two, one = (json.loads((tmp_path / name).read_text()) for name in ("two.json", "one.json"))
    assert "dealt out to 2 worlds" in two["facts"]["tasks"]  # of the 20: each of its two tasks has its own
    assert "worlds" not in one["facts"]
