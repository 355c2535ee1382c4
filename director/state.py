"""What a trajectory says, read in one pass over its events. Nothing here decides anything."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from director.types import (
    ActionKind,
    Candidate,
    Chosen,
    Decided,
    Event,
    Extracted,
    Gated,
    Goal,
    GoalId,
    ImageHash,
    LoopSettings,
    Mode,
    Outcome,
    Planned,
    Preservation,
    Rendered,
    Selected,
    Stopped,
    Trajectory,
    Usage,
    Value,
    Verdict,
    Verified,
)

Standing = dict[GoalId, Verdict]
"""The verdicts on one picture, by goal."""


class Comparison(NamedTuple):
    """Candidates that the judge compared, and what it said."""

    asked: tuple[Candidate, ...]
    selected: Selected

    def score(self, image: ImageHash) -> float | None:
        if len(self.asked) != len(self.selected.scores):
            return None
        return next((s for c, s in zip(self.asked, self.selected.scores, strict=True) if c.image == image), None)


class Round(NamedTuple):
    """One instruction: what was rendered for it, what was picked, what was seen, what was decided."""

    number: int
    planned: Planned
    rendered: tuple[Rendered, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    verified: tuple[Verified, ...] = ()
    decided: Decided | None = None
    chosen: Chosen | None = None
    picked: ImageHash | None = None  # None while a judge still has to choose

    def after(self, event: Rendered | Selected | Verified | Decided) -> "Round":
        """The round with one more event."""
        match event:
            case Rendered():
                alone = not self.rendered and len(event.candidates) == 1
                picked = event.candidates[0].image if alone else None
                return self._replace(rendered=(*self.rendered, event), picked=picked)
            case Selected():
                compared = Comparison(tuple(self.contenders), event)
                return self._replace(comparisons=(*self.comparisons, compared), picked=event.image)
            case Verified():
                return self._replace(verified=(*self.verified, event))
            case Decided():
                return self._replace(decided=event)

    @property
    def gained(self) -> tuple[GoalId, ...]:
        """Goals that it brought to the best picture."""
        return self.decided.gained if self.decided and self.decided.accepted else ()

    @property
    def candidates(self) -> list[Candidate]:
        return [candidate for batch in self.rendered for candidate in batch.candidates]

    @property
    def contenders(self) -> list[Candidate]:
        """What the judge has to compare now: the newest batch, and the winner before it."""
        before = self.comparisons[-1].selected.image if self.comparisons else None
        if before is None and self.rendered[1:]:
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


class Anchor(NamedTuple):
    """The picture that the accepted edits build on, and how many of them are chained on it."""

    image: ImageHash | None
    chained: int


class GoalCounts(Value):
    """Goals by their standing on a picture. Those not looked at yet are in `total` only."""

    met: int = 0
    missed: int = 0
    unsure: int = 0
    total: int = 0


class State(NamedTuple):
    """A trajectory and what its events say. `goals` are empty before the extraction, `mode` is None before the gate.

    `standing` holds the verdicts on `best`, the last accepted picture, which can be delivered at any time. Goals
    that an accepted edit could not touch keep their verdicts. `chosen` is a choice that nothing followed yet.
    """

    trajectory: Trajectory
    goals: tuple[Goal, ...]
    anchor: Anchor
    standing: Standing
    mode: Mode | None = None
    rounds: tuple[Round, ...] = ()
    best: ImageHash | None = None
    chosen: Chosen | None = None
    planner_calls: int = 0

    @classmethod
    def of(cls, trajectory: Trajectory) -> "State":
        """The one pass."""
        brief = trajectory.brief
        state = cls(trajectory, (), Anchor(brief.source, 0), standing={})
        if brief.goals:
            state = state._wanting(brief.goals, ())
        if brief.continues:
            state = state._replace(best=brief.source)
        for event in trajectory.events:
            state = state._fold(event)
        return state

    def after(self, event: Event) -> "State":
        """The state of the trajectory with one more event."""
        return self._fold(event)._replace(trajectory=self.trajectory.with_events(event))

    def _fold(self, event: Event) -> "State":
        match event:
            case Extracted():
                state = self
                if not self.goals:
                    state = self._wanting(event.goals, {id for goal in event.goals for id in goal.conflicts})
                return state._replace(planner_calls=self.planner_calls + _by_planner(event))
            case Gated():
                return self._replace(mode=self.mode or event.mode)
            case Chosen():
                return self._replace(chosen=event, planner_calls=self.planner_calls + _by_planner(event))
            case Planned():
                rounds = (*self.rounds, Round(number=len(self.rounds) + 1, planned=event, chosen=self.chosen))
                return self._replace(rounds=rounds, chosen=None, planner_calls=self.planner_calls + _by_planner(event))
            case Rendered() | Selected() | Verified() | Decided():
                now = self.rounds[-1].after(event)
                state = self._replace(rounds=(*self.rounds[:-1], now))
                return state._accepted(now, event) if isinstance(event, Decided) and event.accepted else state
            case Stopped():
                return self

    def _wanting(self, wanted: tuple[Goal, ...], gone: Collection[GoalId]) -> "State":
        """Its goals are known. What a picture that it goes on from has stands as it did there, and what is wanted is
        missing; of the former those that are `gone` count no more."""
        continues = self.trajectory.brief.continues
        if not continues:
            return self._replace(goals=wanted)
        kept = tuple(goal for goal in continues.goals if goal.id not in gone)
        standing = {verdict.goal: verdict for verdict in continues.verdicts if verdict.goal not in gone}
        return self._replace(goals=(*kept, *wanted), standing=standing | {goal.id: _asked(goal) for goal in wanted})

    def _accepted(self, now: Round, decided: Decided) -> "State":
        """The picture of this round has become the best."""
        start, chained = self.anchor
        if now.planned.action.kind is ActionKind.GENERATE:
            anchor = Anchor(decided.image, 0)
        elif now.planned.base == start:
            anchor = Anchor(start, 1)
        else:
            anchor = Anchor(start, chained + 1)
        standing = {**self.standing, **now.standing(decided.image)}
        return self._replace(best=decided.image, standing=standing, anchor=anchor)

    @property
    def kept(self) -> set[GoalId]:
        """Goals of the picture that it goes on from."""
        continues = self.trajectory.brief.continues
        known = {goal.id for goal in continues.goals} if continues else set[GoalId]()
        return {goal.id for goal in self.goals if goal.id in known}

    @property
    def wanted(self) -> tuple[Goal, ...]:
        """Goals that are asked for: all but those kept."""
        kept = self.kept
        return tuple(goal for goal in self.goals if goal.id not in kept)

    @property
    def settings(self) -> LoopSettings:
        return self.trajectory.settings

    @property
    def stop(self) -> Stopped | None:
        """Why the loop ended, or None while it runs."""
        return self.trajectory.stop

    @property
    def open_round(self) -> Round | None:
        """The round that has no decision yet."""
        last = self.rounds[-1] if self.rounds else None
        return last if last and last.decided is None else None

    @property
    def candidates(self) -> list[Candidate]:
        """Everything that was drawn, in that order."""
        return [candidate for each in self.rounds for candidate in each.candidates]

    @property
    def deliverable(self) -> ImageHash | None:
        """The best picture, or the first of the newest batch while nothing is accepted yet."""
        newest = [each.rendered[-1].candidates[0].image for each in self.rounds if each.rendered][-1:]
        return self.best or next(iter(newest), None)

    def standing_on(self, image: ImageHash) -> Standing:
        """The verdicts on any of its pictures; empty for one that nobody looked at."""
        if image == self.best:
            return self.standing
        return {goal: verdict for each in self.rounds for goal, verdict in each.standing(image).items()}

    @property
    def pictures(self) -> list[ImageHash]:
        """Every picture that is named, each once: the source, then the candidates in the order they were drawn."""
        source = [self.trajectory.brief.source] if self.trajectory.brief.source else []
        return list(dict.fromkeys([*source, *(candidate.image for candidate in self.candidates)]))

    @property
    def counts(self) -> GoalCounts:
        """How the goals stand on the best picture."""
        return count_goals(self.standing.values(), len(self.goals))

    @property
    def met(self) -> set[GoalId]:
        """Goals that are met on the best picture."""
        return {goal for goal, verdict in self.standing.items() if verdict.outcome is Outcome.MET}

    @property
    def usage(self) -> Usage:
        """What the trajectory cost, in calls and pictures."""
        return Usage(
            rounds=len(self.rounds),
            renders=len(self.candidates),
            planner_calls=self.planner_calls,
            judge_calls=sum(len(each.comparisons) for each in self.rounds),
            verifier_calls=sum(len(each.verified) for each in self.rounds),
        )


def _asked(goal: Goal) -> Verdict:
    outcome = Outcome.MISSED
    return Verdict(goal=goal.id, outcome=outcome, score=0, confidence=0, evidence="asked for now", by="director")


def _by_planner(event: Extracted | Chosen | Planned) -> bool:
    return event.by != "director"


def count_goals(verdicts: Iterable[Verdict], total: int) -> GoalCounts:
    """Verdicts on one picture, of `total` goals."""
    outcomes = [verdict.outcome for verdict in verdicts]
    return GoalCounts(
        met=outcomes.count(Outcome.MET),
        missed=outcomes.count(Outcome.MISSED),
        unsure=outcomes.count(Outcome.UNSURE),
        total=total,
    )


def coverage(goals: Sequence[Goal], standing: Standing) -> float:
    """Share of the goals' weight that is met, in [0, 1]; unsure and unasked goals are not met."""
    total = sum(goal.weight for goal in goals)
    met = sum(g.weight for g in goals if g.id in standing and standing[g.id].outcome is Outcome.MET)
    return round(met / total, 4) if total else 0.0


def alignment(goals: Sequence[Goal], standing: Standing) -> float | None:
    """Share of the *judged* weight that is met; None when nothing could be judged.

    "Could not judge" is not zero: unsure goals leave both sides of the fraction.
    """
    judged = [g for g in goals if g.id in standing and standing[g.id].outcome is not Outcome.UNSURE]
    return coverage(judged, standing) if judged else None
