"""What a trajectory says: pure views over its events. Nothing here decides anything."""

from dataclasses import dataclass, field

from director.types import (
    ActionKind,
    Candidate,
    Decided,
    Extracted,
    Gated,
    Goal,
    GoalId,
    ImageHash,
    Mode,
    Outcome,
    Planned,
    Preservation,
    Rendered,
    Selected,
    Trajectory,
    Usage,
    Verdict,
    Verified,
)

Standing = dict[GoalId, Verdict]
"""The verdicts on one picture, by goal."""


@dataclass
class Round:
    """One instruction: what was rendered for it, what was picked, what was seen, what was decided."""

    number: int
    planned: Planned
    rendered: list[Rendered] = field(default_factory=list[Rendered])
    selected: list[Selected] = field(default_factory=list[Selected])
    verified: list[Verified] = field(default_factory=list[Verified])
    decided: Decided | None = None
    picked: ImageHash | None = None  # None while a judge still has to choose

    @property
    def candidates(self) -> list[Candidate]:
        return [candidate for batch in self.rendered for candidate in batch.candidates]

    @property
    def contenders(self) -> list[Candidate]:
        """Whom the judge has to compare now: the newest batch and who won before it."""
        before = self.selected[-1].image if self.selected else None
        if before is None and len(self.rendered) > 1:
            before = self.rendered[0].candidates[0].image
        earlier = [c for c in self.candidates if c.image == before][:1]
        return [*earlier, *(c for c in self.rendered[-1].candidates if c not in earlier)]

    def standing(self, image: ImageHash) -> Standing:
        """Verdicts of this round on `image`; a second look replaces the first."""
        return {v.goal: v for seen in self.verified if seen.image == image for v in seen.verdicts}

    def preservation(self, image: ImageHash) -> Preservation | None:
        """What was measured of an edit outside its region, if it was."""
        return next((seen.preservation for seen in self.verified if seen.image == image and seen.preservation), None)

    def looked_again(self, image: ImageHash) -> bool:
        return any(seen.again for seen in self.verified if seen.image == image)


def goals(trajectory: Trajectory) -> tuple[Goal, ...]:
    """The goals of the brief: as given, or as extracted; empty before the extraction."""
    if trajectory.brief.goals:
        return trajectory.brief.goals
    return next((e.goals for e in trajectory.events if isinstance(e, Extracted)), ())


def mode(trajectory: Trajectory) -> Mode | None:
    """What the gate decided, or None before it."""
    return next((e.mode for e in trajectory.events if isinstance(e, Gated)), None)


def rounds(trajectory: Trajectory) -> list[Round]:
    """The rounds so far, the open one included."""
    found: list[Round] = []
    for event in trajectory.events:
        match event:
            case Planned():
                found.append(Round(number=len(found) + 1, planned=event))
            case Rendered():
                now = found[-1]
                now.rendered.append(event)
                alone = len(now.rendered) == 1 and len(event.candidates) == 1
                now.picked = event.candidates[0].image if alone else None
            case Selected():
                found[-1].selected.append(event)
                found[-1].picked = event.image
            case Verified():
                found[-1].verified.append(event)
            case Decided():
                found[-1].decided = event
            case _:
                pass
    return found


def open_round(trajectory: Trajectory) -> Round | None:
    """The round that has no decision yet."""
    last = rounds(trajectory)[-1:]
    return last[0] if last and last[0].decided is None else None


def best(trajectory: Trajectory) -> ImageHash | None:
    """The last accepted picture. It can be delivered at any time."""
    accepted = [e.image for e in trajectory.events if isinstance(e, Decided) and e.accepted]
    return accepted[-1] if accepted else None


def deliverable(trajectory: Trajectory) -> ImageHash | None:
    """The best picture, or the newest one rendered while nothing is accepted yet."""
    drawn = [e.candidates[0].image for e in trajectory.events if isinstance(e, Rendered)]
    return best(trajectory) or (drawn[-1] if drawn else None)


def pictures(trajectory: Trajectory) -> list[ImageHash]:
    """Every picture that it names, each once: the source, then the candidates in the order they were drawn."""
    source = [trajectory.brief.source] if trajectory.brief.source else []
    drawn = [c.image for e in trajectory.events if isinstance(e, Rendered) for c in e.candidates]
    return list(dict.fromkeys([*source, *drawn]))


def standing(trajectory: Trajectory) -> Standing:
    """The verdicts on the best picture. Goals that an accepted edit could not touch keep theirs."""
    now: Standing = {}
    for each in rounds(trajectory):
        if each.decided and each.decided.accepted:
            now = {**now, **each.standing(each.decided.image)}
    return now


def count(trajectory: Trajectory, outcome: Outcome) -> int:
    """How many goals stand at `outcome` on the best picture."""
    return sum(verdict.outcome == outcome for verdict in standing(trajectory).values())


def anchor(trajectory: Trajectory) -> tuple[ImageHash | None, int]:
    """The picture that the accepted edits build on, and how many of them are chained on it."""
    start, chained = trajectory.brief.source, 0
    for each in rounds(trajectory):
        if not (each.decided and each.decided.accepted):
            continue
        if each.planned.action.kind is ActionKind.GENERATE:
            start, chained = each.decided.image, 0
        elif each.planned.base == start:
            chained = 1
        else:
            chained += 1
    return start, chained


def usage(trajectory: Trajectory) -> Usage:
    """What the trajectory cost, in calls and pictures."""
    events = trajectory.events
    return Usage(
        rounds=sum(isinstance(e, Planned) for e in events),
        renders=sum(len(e.candidates) for e in events if isinstance(e, Rendered)),
        planner_calls=sum(isinstance(e, Extracted | Planned) and e.by != "director" for e in events),
        judge_calls=sum(isinstance(e, Selected) for e in events),
        verifier_calls=sum(isinstance(e, Verified) for e in events),
    )
