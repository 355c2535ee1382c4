"""Rounds on drafts, then one full edit of the best draft."""

from pathlib import Path

import pytest

from director.errors import BriefError
from director.intake import loop_settings
from director.loop import begin, direct, next_step
from director.report import report
from director.seats import RenderRequest
from director.state import State
from director.types import (
    ActionKind,
    Brief,
    Goal,
    LoopSettings,
    Outcome,
    Planned,
    Scope,
    Stopped,
    StopReason,
    Trajectory,
)
from tasks.store import FolderStore, Images
from tests.support.contexts import PlainContext
from tests.support.scripted_studio import ABC, ScriptedStudio, brief_of, play, run
from tests.unit.director.test_report import Named
from worker.local import run as run_here
from worker.sketch import sketch_studio

ALL = {"a": "met", "b": "met", "c": "met"}
DRAFTS = LoopSettings(candidates=1, draft_rounds=True)


def models(studio: ScriptedStudio) -> list[str]:
    return [call.model for call in studio.calls if isinstance(call, RenderRequest)]


def accepted(trajectory: Trajectory) -> list[bool]:
    return [each.decided.accepted for each in State.of(trajectory).rounds if each.decided]


def test_the_best_draft_is_drawn_in_full_at_the_end():
    studio = play({"a": "met"}, {"b": "met", "c": "met"}, {})
    done = run(studio, DRAFTS)
    assert models(studio) == ["flux-krea.draft", "flux-krea.draft", "flux-krea"]
    *_, draft, full = State.of(done).rounds
    assert draft.decided and full.decided
    assert (full.planned.final, full.planned.base, full.planned.action.kind) == (
        True, draft.decided.image, ActionKind.EDIT,
    )  # fmt: skip
    assert State.of(done).best == full.decided.image != draft.decided.image
    assert State.of(done).usage.planner_calls == 2
    assert done.stop and done.stop.reason is StopReason.SATISFIED


@pytest.mark.parametrize("rule", ["alignment", "no-loss"])
def test_the_full_picture_passes_the_accept_rule_and_a_tie_is_enough(rule: str):
    settings = LoopSettings.model_validate({"candidates": 1, "draft_rounds": True, "accept": rule})
    assert accepted(run(play(ALL, {}), settings)) == [True, True]
    spoilt = run(play(ALL, {"b": "missed"}), settings)
    assert accepted(spoilt) == [True, False]
    first, full = State.of(spoilt).rounds
    assert State.of(spoilt).best == full.planned.base == first.picked
    assert spoilt.stop and spoilt.stop.reason is StopReason.SATISFIED


def test_whatever_ends_the_rounds_is_still_the_reason():
    done = run(play({"a": "met"}, {"b": "met"}, {}), LoopSettings(candidates=1, draft_rounds=True, rounds=2, batch=1))
    assert len(State.of(done).rounds) == 3
    assert done.stop and (done.stop.reason, done.stop.why) == (StopReason.BUDGET, "all 2 rounds are used")
    stalled = run(play({}, {}, {}), LoopSettings(candidates=1, draft_rounds=True, patience=1))
    assert stalled.stop and stalled.stop.reason is StopReason.STALLED
    assert [each.planned.final for each in State.of(stalled).rounds][-1] is True


def test_nothing_is_drawn_after_the_full_edit():
    """Not even where it brought back something to be tried."""
    given_up = [{}] * 4
    done = run(
        play({"a": "met", "b": "met"}, *given_up, {"a": "met"}), LoopSettings(candidates=1, draft_rounds=True, batch=1)
    )
    assert State.of(done).rounds[-1].planned.final
    assert done.stop is not None


def test_the_full_edit_is_one_picture_and_stays_in_the_budget():
    studio = play({"a": "met"}, {"a": "met"}, {"b": "met"}, {"b": "met"}, {})
    done = run(studio, LoopSettings(candidates=4, draft_rounds=True, max_renders=5, batch=1, enough=1.0))
    assert len(State.of(done).candidates) == 5
    assert [len(each.candidates) for each in State.of(done).rounds][-1] == 1
    assert models(studio)[-1] == "flux-krea"
    single = run(play({"a": "met"}), LoopSettings(candidates=1, draft_rounds=True, max_renders=1))
    assert [each.planned.final for each in State.of(single).rounds] == [False]


def test_an_ordered_stop_draws_no_more():
    cancel = Stopped(reason=StopReason.CANCELLED, why="by its owner")
    studio = play(ALL)
    done = direct(
        brief_of(ABC), DRAFTS, 7, studio.studio(), PlainContext(),
        lambda t: cancel if any(e.kind == "rendered" for e in t.events) else None,
    )  # fmt: skip
    assert models(studio) == ["flux-krea.draft"]
    assert done.stop == cancel


def test_lettering_that_is_there_is_named():
    goals = (
        Goal(id="a", text="the sign says 'OPEN \"24h\"'", type="text", scope=Scope.TEXT, string='OPEN "24h"'),
        Goal(id="b", text="no 'SALE'", type="text", scope=Scope.TEXT, string="SALE", absent=True),
        Goal(id="c", text="the date '3 May'", type="text", scope=Scope.TEXT, string="3 May"),
    )
    done = run(
        play({"a": "met", "b": "met"}, *[{}] * 4),
        LoopSettings(candidates=1, draft_rounds=True, batch=1),
        brief_of(goals),
    )
    said = State.of(done).rounds[-1].planned.action.instruction
    assert "OPEN “24h”" in said
    assert "SALE" not in said and "3 May" not in said


def test_without_drafts_nothing_changes_and_nothing_is_stored_of_it():
    done = run(play(ALL), LoopSettings(candidates=1))
    (planned,) = [event for event in done.events if isinstance(event, Planned)]
    assert "final" not in planned.model_dump()
    assert Trajectory.model_validate_json(done.model_dump_json()) == done


@pytest.mark.parametrize("editor", ["flux-krea.draft", "x" * 60])
def test_an_editor_whose_draft_has_no_name_is_refused(editor: str):
    with pytest.raises(BriefError, match="draft"):
        loop_settings({"editor": editor, "draft_rounds": True})
    assert loop_settings({"editor": editor}).editor == editor


def test_a_report_says_what_the_last_round_was_for():
    done = run(play(ALL, {}), DRAFTS)
    page = report(done, Named())
    assert "the accepted draft, drawn in full" in page


def test_the_sketch_keeps_what_its_draft_shows(tmp_path: Path):
    text = "A red boat lies in the harbour. The sign reads 'QUAY 9'. A lighthouse stands on the left."
    settings = LoopSettings(editor="perfect", draft_rounds=True, width=384, height=384, candidates=2)
    images = Images(FolderStore(tmp_path))
    done = run_here(Brief(text=text), settings, 3, sketch_studio(), images)
    state = State.of(done)
    full = state.rounds[-1]
    assert full.planned.final and full.decided
    assert full.decided.accepted and not full.decided.lost
    assert {verdict.outcome for verdict in state.standing.values()} == {Outcome.MET}


def test_the_first_request_of_a_job_names_the_draft():
    request = next_step(begin(brief_of(ABC), DRAFTS, 1))
    assert request and request.kind == "plan"
    assert request.model == "flux-krea.draft"
