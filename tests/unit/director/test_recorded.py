"""Trajectories that were stored before a planner could decide: they read, fold and replay as they did then."""

import json
from pathlib import Path
from typing import get_args

import pytest

from director.loop import advance, begin, next_step
from director.seats import STEP_KINDS
from director.types import Reply, Stopped, Trajectory

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))
_KIND_OF = {kind.reply: name for name, kind in STEP_KINDS.items()}


def events_of(stored: str) -> str:
    """The events alone: settings that came later may stand among the old ones."""
    return json.dumps(json.loads(stored)["events"])


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_trajectory_replays_to_the_same_bytes(path: Path):
    stored = path.read_text(encoding="utf-8")
    old = Trajectory.model_validate_json(stored)
    assert events_of(old.model_dump_json()) == events_of(stored)
    now = begin(old.brief, old.settings, old.seed)
    replies = [event for event in old.events if isinstance(event, get_args(Reply)) and not isinstance(event, Stopped)]
    for reply in replies:
        if getattr(reply, "by", "") == "director":
            continue  # followed of itself
        request = next_step(now)
        assert request and request.kind == _KIND_OF[reply.kind]
        now = advance(now, reply)
        assert now.events == old.events[: len(now.events)]
    assert next_step(now) is None
    assert events_of(now.model_dump_json()) == events_of(stored)


def test_there_are_recorded_trajectories_of_both_modes_and_of_every_end():
    assert {path.stem for path in RECORDED} == {"all", "ours", "ours-staged", "refinement"}
