"""What edits of pictures spoil, counted in pixels, for the surrogate that has no pixels.

`python -m worker.bench.sketch_lab.wear --tasks 120 --seed 31` writes `wear.json` beside this module. Each task is drawn
once and then edited from that picture, for 1, 2, 4 and all of its missing goals. A goal that says one thing, was met
and is not named in the edit is counted once for each drawable that the edit names: is it met still? What the
miss model drew right is counted once: does the verifier see it? What hangs on a thing that is not there (its colour, a
place beside it) is left out: that is no wear, and the surrogate knows it.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from director.loop import candidate_seed
from director.seats import PlanRequest, RenderRequest
from director.types import Action, Brief, Goal, ImageHash, Mode, Outcome
from tasks.files import write_whole
from worker.bench.lgbench.compose import RANGES, compose
from worker.bench.lgbench.pool import pool
from worker.bench.lgbench.records import Record
from worker.bench.lgbench.write import write
from worker.bench.local import Pictures, cores, one_thread
from worker.bench.sketch_lab.memo import RememberingLook
from worker.bench.sketch_lab.surrogate import EVENTS
from worker.local import LocalContext
from worker.sketch.editor import SketchEditor
from worker.sketch.language import Drawable, parse
from worker.sketch.misses import asked, load_miss_model
from worker.sketch.planner import SketchPlanner, extracted

_WIDTHS = (1, 2, 4, 64)
_HABITS = load_miss_model("flux-krea")


class Seen(NamedTuple):
    """One drawable after one rendering. `event` is a field of `Wear`; `times` it could have been `lost`."""

    event: str
    kind: str
    lost: bool
    times: int = 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m worker.bench.sketch_lab.wear", description=__doc__)
    parser.add_argument("--tasks", type=int, default=120)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--processes", type=int, default=cores())
    args = parser.parse_args()
    tasks = list(compose(pool(), args.tasks, RANGES["t2i"], args.seed, "t2i", write))
    with ProcessPoolExecutor(max_workers=args.processes, initializer=one_thread) as workers:
        seen = [each for found in workers.map(looked_at, tasks) for each in found]
    result = {"tasks": args.tasks, "seed": args.seed, **counted(seen)}
    text = json.dumps(result, indent=1) + "\n"
    write_whole(Path(__file__).parent / "wear.json", text.encode())
    print(text, end="")
    return 0


def counted(seen: Sequence[Seen]) -> dict[str, dict[str, list[int]]]:
    """By event and kind of drawable: how often it was lost, of how many times that it could have been."""
    found = {event: dict[str, list[int]]() for event in EVENTS}
    for each in sorted(seen):
        counts = found[each.event].setdefault(each.kind, [0, 0])
        counts[0] += each.lost
        counts[1] += each.times
    return found


def looked_at(task: Record) -> list[Seen]:
    """What is seen of one task: its first picture, and an edit of it for each width."""
    return list(_looked_at(task))


def _looked_at(task: Record) -> Iterator[Seen]:
    context, look = LocalContext(Pictures()), RememberingLook()
    brief = Brief(text=task.prompt)
    goals = extracted(brief)
    request = PlanRequest(brief=brief, mode=Mode.ONE_SHOT, whole=True, everything=True, targets=goals)
    first = SketchPlanner().plan(request, context).action
    base = _rendered(first, None, task.id, context)
    yield from _unseen(first, base, candidate_seed(task.id, 0, 0), goals, look, context)
    met = [g for g in goals if look.verdict(base, g, context).outcome is Outcome.MET]
    missing = [g for g in goals if g not in met]
    for width in _WIDTHS if missing else ():
        chosen = tuple(missing[:width])
        request = PlanRequest(brief=brief, mode=Mode.ONE_SHOT, whole=False, targets=chosen, base=base)
        action = SketchPlanner().plan(request, context).action
        image = _rendered(action, base, task.id, context)
        named = {d.latent for d in parse(action.instruction)}
        event = "masked" if action.region else "free"
        for goal in met:
            one = _single(goal)
            if one and one.latent not in named and _stands(one.anchor, image, look, context):
                lost = look.verdict(image, goal, context).outcome is not Outcome.MET
                yield Seen(event, one.kind, lost, len(named))
        yield from _unseen(action, image, candidate_seed(task.id, 0, 0), goals, look, context)


def _rendered(action: Action, base: ImageHash | None, task: int, context: LocalContext) -> ImageHash:
    request = RenderRequest(
        model="flux-krea", action=action, base=base, seeds=(candidate_seed(task, 0, 0),), width=384, height=384
    )
    return SketchEditor(_HABITS).render(request, context).candidates[0].image


def _unseen(
    action: Action, image: ImageHash, seed: int, goals: Sequence[Goal], look: RememberingLook, context: LocalContext
) -> Iterator[Seen]:
    """Of what was drawn as asked, what the verifier does not see."""
    wanted = parse(action.instruction)
    ask = asked(action.instruction, wanted, action.kind == "generate", action.region is not None)
    right = {d.latent for d in wanted if _HABITS.drawn(d, ask, seed)}
    for goal in goals:
        one = _single(goal)
        if one and one.latent in right and _stands(one.anchor, image, look, context):
            unseen = look.verdict(image, goal, context).outcome is not Outcome.MET
            yield Seen("unseen" if ask.scene else "unseen_edit", one.kind, unseen)


def _single(goal: Goal) -> Drawable | None:
    drawables = parse(goal.text)
    return drawables[0] if len(drawables) == 1 and not goal.absent else None


def _stands(anchor: str, image: ImageHash, look: RememberingLook, context: LocalContext) -> bool:
    """Whether what a drawable hangs on is seen there, whatever it looks like."""
    there = Goal(id="anchor", text=f"a {anchor.replace('_', ' ')}")
    return not anchor or look.verdict(image, there, context).outcome is Outcome.MET


if __name__ == "__main__":
    sys.exit(main())
