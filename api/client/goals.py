"""How the goals of a job stand, read from its trajectory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .models import Goal


def goals_of(trajectory: Mapping[str, Any]) -> list[Goal]:
    """The goals in the brief's order, each with the newest verdict on the best picture.

    A verdict counts once its picture was accepted; later accepted pictures replace it goal by goal.
    """
    goals: list[Mapping[str, Any]] = list(trajectory.get("brief", {}).get("goals", ()))
    standing: dict[str, Mapping[str, Any]] = {}
    seen: list[Mapping[str, Any]] = []
    for event in trajectory.get("events", ()):
        kind = event.get("kind")
        if kind == "extracted":
            goals = goals or list(event["goals"])
        elif kind == "planned":
            seen = []
        elif kind == "verified":
            seen.append(event)
        elif kind == "decided" and event["accepted"]:
            about = (verdict for look in seen if look["image"] == event["image"] for verdict in look["verdicts"])
            standing.update({verdict["goal"]: verdict for verdict in about})
    return [_row(goal, standing.get(goal["id"], {})) for goal in goals]


def _row(goal: Mapping[str, Any], verdict: Mapping[str, Any]) -> Goal:
    # Values at their default may be left out of a brief.
    return Goal.model_validate(
        {
            "id": goal["id"],
            "type": goal.get("type", "add_object"),
            "text": goal["text"],
            "absent": goal.get("absent", False),
            **{name: verdict[name] for name in ("outcome", "score", "evidence") if name in verdict},
        }
    )
