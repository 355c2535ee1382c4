"""Jobs that really ran become lessons: what the schedule or a policy chose in them, and what it brought.

Only of owners who gave leave (`owners` in the settings, `"training": true`). A line holds words of the policy's own
list: types of goals, counts and names of options, and nothing of a brief, a picture or a person. What was met is what
the loop's own verifier said; of jobs in the field there is no other judge.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping

from director.loop import advance, begin, next_step
from director.seats import DecideRequest, ExtractRequest, PlanRequest, RenderRequest, SelectRequest, VerifyRequest
from director.state import State
from director.types import (
    ActionKind,
    Chosen,
    Decided,
    Extracted,
    Gated,
    Move,
    Planned,
    Rendered,
    Reply,
    Selected,
    Stopped,
    Trajectory,
    Verified,
)
from tasks.batch.terms import OwnerTerms
from tasks.logs import fields
from tasks.store import Archive, Corrupt, NotFound, Store
from worker.policy import tokens
from worker.train.rollouts import Decision, Line, Parts, Price

log = logging.getLogger(__name__)

_ANSWERS: dict[type, type] = {
    ExtractRequest: Extracted,
    PlanRequest: Planned,
    RenderRequest: Rendered,
    SelectRequest: Selected,
    VerifyRequest: Verified,
}


def lessons(store: Store, owners: Mapping[str, OwnerTerms], price: Price) -> Iterator[Line]:
    """A line for each job that ended and whose owner gave leave. One that can't be read is logged and left out.

    Raises StoreError when storage is out of reach.
    """
    archive = Archive(store)
    for name in sorted(_jobs(store)):
        try:
            job = archive.load_job(name)
            if not (terms := owners.get(job.owner)) or not terms.training:
                continue
            found = archive.newest(name)
        except (Corrupt, NotFound) as broken:
            log.warning("left out: %s", broken, extra=fields(job=name))
            continue
        line = lesson(found.snapshot.trajectory) if found and found.snapshot.trajectory.stop else None
        if line and line.decisions:
            yield line.model_copy(update={"reward": price.reward(line.parts)})


def _jobs(store: Store) -> set[str]:
    keys = (item.key.split("/") for item in store.items("jobs/"))
    return {key[1] for key in keys if key[2:] == ["job.json"]}


def lesson(done: Trajectory) -> Line | None:
    """What was chosen at each place where a policy would have been asked; None for one that does not replay.

    The job runs once more with its recorded replies and a menu before each round. Where nobody chose, the schedule did,
    and what it does is the first option.
    """
    now = begin(done.brief, done.settings.model_copy(update={"decide": "planner"}), done.seed)
    replies = list(_replies(done))
    decisions: list[Decision] = []
    while request := next_step(now):
        if isinstance(request, DecideRequest):
            chosen = _chosen(request, replies)
            if chosen is None:
                break
            question, menu = tokens.question(request), tokens.menu(request)
            decisions.append(Decision(question=question, menu=menu, number=chosen.number, logprob=0.0))
            now = advance(now, chosen)
        elif not replies or not isinstance(replies[0], _ANSWERS[type(request)]):
            break
        else:
            now = advance(now, replies.pop(0))
    if replies or State.of(now).pictures != State.of(done).pictures:
        return None
    return _line(done, decisions)


def _replies(done: Trajectory) -> Iterator[Reply]:
    """What came from seats; what the loop itself adds follows anew."""
    for event in done.events:
        if not isinstance(event, Gated | Decided | Stopped) and not (
            isinstance(event, Planned) and event.by == "director"
        ):
            yield event


def _chosen(request: DecideRequest, replies: list[Reply]) -> Chosen | None:
    """What was chosen here, taken off the replies; None where an order from outside ended the job, or the menu of that
    day has gone."""
    if replies and isinstance(said := replies[0], Chosen):
        del replies[0]
        return (
            request.chosen(request.options.index(said.option), by=said.by) if said.option in request.options else None
        )
    if replies or request.options[0].move is Move.STOP:
        return request.chosen(0, by="director")
    return None


def _line(done: Trajectory, decisions: list[Decision]) -> Line:
    state = State.of(done)
    usage = state.usage
    parts = Parts(
        met=state.counts.met,
        goals=state.counts.total,
        renders=usage.renders,
        rounds=usage.rounds,
        edits=sum(each.planned.action.kind is ActionKind.EDIT for each in state.rounds),
        vlm_calls=usage.planner_calls + usage.judge_calls + usage.verifier_calls,
    )
    name = hashlib.sha256(done.model_dump_json().encode()).hexdigest()[:16]
    return Line(task="recorded", seed=done.seed, weights="", decisions=tuple(decisions), parts=parts, trajectory=name)
