"""A job as it could have been, six rounds of four, with pictures: for pages. Nothing in it was judged by anybody."""

import io
from collections.abc import Callable
from functools import cache

from PIL import Image, ImageDraw

from director.types import (
    Action,
    ActionKind,
    Brief,
    Candidate,
    Decided,
    Event,
    Extracted,
    Gated,
    Goal,
    LoopSettings,
    Mode,
    Outcome,
    Planned,
    Preservation,
    Region,
    Rendered,
    Selected,
    Stopped,
    StopReason,
    Trajectory,
    Verdict,
    Verified,
)

WIDTH, HEIGHT = 512, 640
TEXT = """A poster for the harbour regatta, quiet and bright.

A white lighthouse stands on the right, and three red boats lie in front of it. Fog lies over the water.
Set “HARBOUR DAYS” across the top, and “Races from noon” along the bottom edge. Keep the palette to navy and sand.
It should feel like the last warm evening of the year."""
GOALS = (
    Goal(id="g1", text="A white lighthouse stands on the right", must_have=True),
    Goal(id="g2", text="three red boats lie in front of it", count=3),
    Goal(id="g3", text="boats lie in front of it. Fog lies over the water", type="effect"),
    Goal(id="g4", text="Set “HARBOUR DAYS” across the top", type="text", string="HARBOUR DAYS"),
    Goal(id="g5", text="“Races from noon” along the bottom edge", type="text", string="Races from noon"),
    Goal(id="g6", text="Keep the palette to navy and sand", type="color"),
    Goal(id="g7", text="a dog that the brief does not name"),
)
_MET, _MISSED, _UNSURE = Outcome.MET, Outcome.MISSED, Outcome.UNSURE
_SEEN = (  # by round, the outcomes of g1 to g7
    (_MET, _MISSED, _MISSED, _MISSED, _MISSED, _MET, _MISSED),
    (_MET, _MET, _MISSED, _MISSED, _MISSED, _MET, _MISSED),
    (_MISSED, _MET, _MET, _MISSED, _MISSED, _MET, _MISSED),
    (_MET, _MET, _UNSURE, _MISSED, _MET, _MET, _MISSED),
    (_MET, _MET, _UNSURE, _MET, _MET, _MISSED, _MISSED),
    (_MET, _MET, _MET, _MISSED, _MET, _MET, _MISSED),
)
_ACCEPTED = (True, True, False, True, False, True)
_EVIDENCE = {
    "g4": "OCR reads 'HARRBOUR DAYS'; VLM: yes 0.71, no 0.20, unsure 0.09",
    "g5": "OCR reads nothing; VLM: no 0.8",
}


@cache
def png(label: str, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """A picture that tells itself apart: two slopes of colour and a few words."""
    tint = sum(label.encode()) % 360
    ground = Image.linear_gradient("L").resize((width, height))
    hue = Image.new("L", (width, height), tint * 255 // 360)
    picture = Image.merge("HSV", (hue, Image.new("L", (width, height), 120), ground)).convert("RGB")
    ImageDraw.Draw(picture).text((24, 24), label, fill="white", font_size=40)
    output = io.BytesIO()
    picture.save(output, "PNG")
    return output.getvalue()


def regatta(put: Callable[[bytes], str], rounds: int = 6, candidates: int = 4, stop: bool = True) -> Trajectory:
    """The job after so many rounds; `put` stores a picture and gives its hash."""
    best: str | None = None
    events: list[Event] = [Extracted(goals=GOALS, by="vlm"), Gated(mode=Mode.STAGED, why="7 goals")]
    for n in range(rounds):
        drawn = [put(png(f"round {n + 1}, {c + 1}")) for c in range(candidates)]
        picked = drawn[(n + 1) % candidates]
        events += _round(n, best, drawn, picked)
        best = picked if _ACCEPTED[n] else best
    if stop:
        events.append(Stopped(reason=StopReason.BUDGET, why=f"all {rounds} rounds are used"))
    settings = LoopSettings(candidates=candidates, rounds=6, width=WIDTH, height=HEIGHT)
    return Trajectory(brief=Brief(text=TEXT, title="Harbour Days"), settings=settings, seed=7, events=tuple(events))


def _round(n: int, best: str | None, drawn: list[str], picked: str) -> list[Event]:
    seen, before = _SEEN[n], _SEEN[max(i for i in range(n) if _ACCEPTED[i])] if n else (_MISSED,) * len(GOALS)
    gained = tuple(g.id for g, a, b in zip(GOALS, before, seen, strict=True) if b is _MET and a is not _MET)
    lost = tuple(g.id for g, a, b in zip(GOALS, before, seen, strict=True) if a is _MET and b is not _MET)
    first = best is None
    action = Action(
        kind=ActionKind.GENERATE if first else ActionKind.EDIT,
        instruction=TEXT if first else f"Change this in round {n + 1}: {GOALS[n].text}.",
        targets=tuple(g.id for g in GOALS) if first else (GOALS[n].id,),
        region=None if n % 2 == 0 else Region(x0=0.5, y0=0.1, x1=0.95, y1=0.8),
    )
    return [
        Planned(action=action, base=best, by="vlm"),
        Rendered(candidates=tuple(Candidate(image=image, seed=i) for i, image in enumerate(drawn)), by="diffusers:x"),
        Selected(
            image=picked,
            scores=tuple(0.9 if image == picked else 0.4 for image in drawn),
            why="it holds the boats apart",
            by="vlm",
        ),
        Verified(
            image=picked,
            verdicts=tuple(_verdict(goal, outcome) for goal, outcome in zip(GOALS, seen, strict=True)),
            preservation=None if first else Preservation(min_ssim=0.91, p999_delta_e=3.2, changed_share=0.004),
            by="vlm+ocr",
        ),
        Decided(
            accepted=_ACCEPTED[n],
            image=picked,
            gained=gained,
            lost=lost,
            why="the first picture"
            if first
            else f"gained {', '.join(gained)}, lost nothing"
            if _ACCEPTED[n]
            else f"rolled back: lost {', '.join(lost)}",
        ),
    ]


def _verdict(goal: Goal, outcome: Outcome) -> Verdict:
    score = {_MET: 0.93, _MISSED: 0.08, _UNSURE: 0.5}[outcome]
    said = (
        _EVIDENCE.get(goal.id)
        if outcome is _MISSED
        else f"OCR reads '{goal.string}'; VLM: yes 0.9"
        if goal.string
        else None
    )
    return Verdict(
        goal=goal.id,
        outcome=outcome,
        score=score,
        confidence=0.9,
        evidence=said or f"{goal.id} looks {outcome}",
        by="vlm",
    )
