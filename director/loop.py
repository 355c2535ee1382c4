"""The closed loop: three functions, and `direct`, which runs them in one process.

    request    = next_step(trajectory)             what has to happen now, or None when it is over
    reply      = perform(request, studio, context)  the one place that touches a model
    trajectory = advance(trajectory, reply)         fold the reply in; accept, roll back, stop

`next_step` and `advance` are pure. A round goes plan, render, select, verify, decide; with adaptive
N it renders, selects and verifies once more before it decides.
"""

import hashlib
from collections.abc import Callable, Sequence

from director import decide, menu, schedule
from director.continuing import change_of
from director.errors import EditorError, JudgeError, PlannerError, SeatError, VerifierError, boundary
from director.finish import full_edit
from director.gate import gate
from director.prompts.verbatim import mask_region, verbatim
from director.schedule import Opening
from director.seats import (
    Context,
    DecideRequest,
    ExtractRequest,
    Failure,
    PlanRequest,
    RenderRequest,
    Request,
    SelectRequest,
    Studio,
    VerifyRequest,
)
from director.state import Round, Standing, State
from director.types import (
    Brief,
    Chosen,
    Decided,
    Event,
    Goal,
    GoalId,
    GoalType,
    ImageHash,
    LoopSettings,
    Mode,
    Outcome,
    Planned,
    Region,
    Reply,
    Scope,
    Seed,
    Stopped,
    StopReason,
    Trajectory,
)

_FIRST_LOOK = 2  # candidates that adaptive N renders before it judges


def direct(
    brief: Brief,
    settings: LoopSettings,
    seed: Seed,
    studio: Studio,
    context: Context,
    between: Callable[[Trajectory], Stopped | None] = lambda _: None,
) -> Trajectory:
    """Run the whole loop here and now. `between` sees the trajectory after each step and may end it.

    Raises BriefError for an unusable brief, SeatError when a seat fails, Cancelled from the context.
    """
    trajectory = begin(brief, settings, seed)
    while request := next_step(trajectory):
        trajectory = advance(trajectory, perform(request, studio, context))
        if order := between(trajectory):
            trajectory = advance(trajectory, order)
    return trajectory


def begin(brief: Brief, settings: LoopSettings, seed: Seed) -> Trajectory:
    """The trajectory of a job that has not run yet."""
    return _settle(State.of(Trajectory(brief=brief, settings=settings, seed=seed))).trajectory


def next_step(trajectory: Trajectory) -> Request | None:
    """What has to happen now; None when the trajectory has stopped."""
    state = State.of(trajectory)
    if state.stop:
        return None
    if not state.goals:
        return ExtractRequest(brief=trajectory.brief)
    now = state.open_round
    if now is None:
        return menu.question(state) or _plan_request(state, _opening(state))
    if not now.rendered:
        return _render_request(state, now)
    if now.picked is None:
        return _select_request(state, now)
    if ask := _unasked(state, now, now.picked):
        return ask
    return _render_request(state, now)  # adaptive N: the rest of the micro-grid


def perform(request: Request, studio: Studio, context: Context) -> Reply:
    """Ask the seat that the request names. Whatever it raises is attributed to it (SeatError)."""
    match request:
        case ExtractRequest():
            with boundary(PlannerError):
                extracted = studio.planner.extract(request, context)
                _expect(PlannerError, bool(extracted.goals), "the planner found no goal in the brief")
                if continues := request.brief.continues:
                    change = change_of(extracted.goals, continues)
                    return extracted.model_copy(update={"goals": change})
                return extracted
        case DecideRequest():
            with boundary(PlannerError):
                return _choice(request, studio, context)
        case PlanRequest():
            with boundary(PlannerError):
                planned = studio.planner.plan(_limited(request, studio), context)
                wanted = {goal.id for goal in request.targets}
                _expect(PlannerError, {*planned.action.targets} == wanted, "the plan is not for the goals asked")
                _expect(PlannerError, planned.base == request.base, "the plan starts from another picture")
                return planned
        case RenderRequest():
            with boundary(EditorError):
                rendered = studio.editor.render(request, context)
                seeds = tuple(candidate.seed for candidate in rendered.candidates)
                _expect(EditorError, seeds == request.seeds, "the editor did not render the seeds asked for")
                return rendered
        case SelectRequest():
            with boundary(JudgeError):
                selected = studio.judge.select(request, context)
                known = selected.image in {candidate.image for candidate in request.candidates}
                _expect(JudgeError, known, "the judge picked a picture that is no candidate")
                return selected
        case VerifyRequest():
            with boundary(VerifierError):
                verified = studio.verifier.verify(request, context)
                asked = [goal.id for goal in request.goals]
                given = [verdict.goal for verdict in verified.verdicts]
                _expect(VerifierError, given == asked, "the verdicts are not those of the goals asked")
                about = (verified.image, verified.again) == (request.image, request.again)
                _expect(VerifierError, about, "the verdicts are of another picture")
                return verified


def _choice(request: DecideRequest, studio: Studio, context: Context) -> Chosen:
    if studio.decider is None:
        return request.chosen(0, by="director")
    chosen = studio.decider.decide(request, context)
    known = chosen.number < len(request.options) and chosen.option == request.options[chosen.number]
    _expect(PlannerError, known, "the planner chose what is not on the menu")
    return chosen


def _limited(request: PlanRequest, studio: Studio) -> PlanRequest:
    """With what the image model reads of an instruction: the loop itself knows models by their names only."""
    most = studio.limits.get((request.model, request.action)) if request.model else None
    return request.model_copy(update={"most_tokens": most})


def _expect(kind: type[SeatError], holds: bool, message: str) -> None:
    if not holds:
        raise kind(message)


def advance(trajectory: Trajectory, reply: Reply) -> Trajectory:
    """Fold a reply in, and all that follows from it without a model: gate, decision, stop.

    A reply to a trajectory that has stopped changes nothing.
    """
    return trajectory if trajectory.stop else _settle(State.of(trajectory).after(reply)).trajectory


def priced_out(trajectory: Trajectory, price: float) -> Planned | Stopped | None:
    """What ends a job whose next round promises less than this price of a render; None: it goes on.

    The price that the job's settings name is heeded by `advance`. This one moves while the job runs, as clocks do.
    """
    if trajectory.stop or price <= trajectory.settings.price_of_render:
        return None  # every step asks, and most jobs have no such price: nothing is folded for them
    state = State.of(trajectory)
    if state.open_round:
        return None
    found = schedule.opening(state)
    if found is None or schedule.pays(state, found, price):
        return None
    return full_edit(state) or _too_dear(price)


def _settle(state: State) -> State:
    while event := _consequence(state):
        state = state.after(event)
    return state


def _consequence(state: State) -> Event | None:
    """The next event that needs no model, or None when one does."""
    if state.stop or not state.goals:
        return None
    if state.mode is None and state.chosen:
        return menu.gated(state.chosen)
    asked = menu.question(state) is not None
    if state.mode is None:
        return None if asked else gate(state.trajectory.brief, state.wanted, state.settings)
    if now := state.open_round:
        return _decision(state, now)
    if stop := _stop(state):
        return full_edit(state) or stop
    if not state.settings.reprompt and not asked:
        request = _plan_request(state, _opening(state))
        return Planned(action=verbatim(request), base=request.base, by="director")
    return None


# --- opening a round --------------------------------------------------------------------------


def _stop(state: State) -> Stopped | None:
    """Between two rounds: is it over?"""
    settings = state.settings
    past = [each for each in state.rounds if not each.planned.final]
    if past and (found := decide.goal_stop(state.goals, state.standing, settings)):
        return Stopped(reason=found[0], why=found[1])
    if len(past) >= settings.rounds:
        return Stopped(reason=StopReason.BUDGET, why=f"all {settings.rounds} rounds are used")
    if settings.round_renders is not None and len(state.candidates) >= settings.round_renders:
        return Stopped(reason=StopReason.BUDGET, why=f"all {settings.max_renders} renders are used")
    if past and len(past) - _last_gain(past) >= settings.patience:
        return Stopped(reason=StopReason.STALLED, why=f"{settings.patience} rounds without a gain")
    if len(past) < len(state.rounds):
        return Stopped(reason=StopReason.STALLED, why="the full edit of the best draft is the last")
    if state.chosen:
        return menu.stopped(state.chosen)
    found = schedule.opening(state)
    if found is None:
        return Stopped(reason=StopReason.STALLED, why="what is missing was tried and did not come")
    if not schedule.pays(state, found, settings.price_of_render) and menu.question(state) is None:
        return _too_dear(settings.price_of_render)
    return None


def _too_dear(price: float) -> Stopped:
    return Stopped(reason=StopReason.STALLED, why=f"another round promises less than {price:g} goals a render")


def _last_gain(past: Sequence[Round]) -> int:
    """The number of the last round that gained a goal; 0 without one."""
    gains = [each.number for each in past if each.gained]
    return max(gains, default=0)


def _opening(state: State) -> Opening:
    found = menu.opening_of(state, state.chosen) if state.chosen else schedule.opening(state)
    assert found, "a trajectory without an opening is stopped by _settle"
    return found


def _plan_request(state: State, found: Opening) -> PlanRequest:
    aimed = {goal.id for goal in found.targets}
    kept = state.met - aimed
    return PlanRequest(
        brief=state.trajectory.brief,
        mode=state.mode or Mode.ONE_SHOT,
        whole=found.whole,
        everything=found.everything,
        targets=found.targets,
        kept=() if found.everything else tuple(goal for goal in state.goals if goal.id in kept),
        base=found.base,
        masks=state.settings.masks,
        failures=() if found.whole else _failures(state.rounds, aimed),
        advice=state.chosen.revise if state.chosen else "",
        model=state.settings.round_editor,
    )


def _failures(past: Sequence[Round], aimed: set[GoalId]) -> tuple[Failure, ...]:
    """What was said for these goals before, and what was then seen in the picture."""
    found: list[Failure] = []
    for each in past:
        tried = aimed.intersection(each.planned.action.targets)
        if not (each.decided and tried):
            continue
        seen = each.standing(each.decided.image)
        evidence = tuple(seen[g].evidence for g in sorted(tried) if g in seen and seen[g].outcome is not Outcome.MET)
        worked = each.decided.accepted and not evidence
        if not worked:
            instruction = each.planned.action.instruction
            found.append(Failure(instruction=instruction, goals=tuple(sorted(tried)), evidence=evidence))
    return tuple(found)


# --- inside a round ---------------------------------------------------------------------------


def _render_request(state: State, now: Round) -> RenderRequest:
    settings, seed = state.settings, state.trajectory.seed
    done = len(now.candidates)
    count = _still_to_render(state, now)
    if settings.adaptive and done == 0:
        count = min(count, _FIRST_LOOK)
    return RenderRequest(
        model=settings.editor if now.planned.final else settings.round_editor,
        action=now.planned.action,
        base=now.planned.base,
        seeds=tuple(candidate_seed(seed, now.number, done + i) for i in range(count)),
        width=settings.width,
        height=settings.height,
    )


def _still_to_render(state: State, now: Round) -> int:
    settings = state.settings
    if now.planned.final:
        return 0 if now.candidates else 1
    wanted = now.chosen.option.candidates if now.chosen else schedule.grid(state, now.planned.base)
    left = wanted - len(now.candidates)
    if settings.round_renders is not None:
        left = min(left, settings.round_renders - len(state.candidates))
    return max(0, left)


def candidate_seed(seed: Seed, round_number: int, index: int) -> Seed:
    """The seed of one candidate: 63 bits of blake2b over the job's seed, the round and the index."""
    digest = hashlib.blake2b(f"{seed}/{round_number}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _select_request(state: State, now: Round) -> SelectRequest:
    return SelectRequest(
        candidates=tuple(now.contenders),
        instruction=now.planned.action.instruction,
        goals=_weighed(state, now),
        base=now.planned.base,
    )


def _weighed(state: State, now: Round) -> tuple[Goal, ...]:
    """The goals that a candidate is picked by: those aimed at and, with `weigh_kept`, those that an edit could lose."""
    aimed = now.planned.action.targets
    weighs_kept = state.settings.weigh_kept and now.planned.base is not None
    kept = state.met - _carried(state, now).keys() if weighs_kept else set[GoalId]()
    return tuple(goal for goal in state.goals if goal.id in aimed or goal.id in kept)


def _unasked(state: State, now: Round, image: ImageHash) -> VerifyRequest | None:
    """The verdicts still wanted on the picked picture: all that could have changed, then the doubtful again."""
    seen, carried = now.standing(image), _carried(state, now)
    unseen = [goal for goal in state.goals if goal.id not in carried and goal.id not in seen]
    wanted = _in_turn(now, unseen, seen) if _targets_first(state, now) else unseen
    again = not unseen
    if again and not now.looked_again(image):
        doubtful = decide.doubtful(state.standing, seen, state.settings.margin)
        wanted = [goal for goal in state.goals if goal.id in doubtful]
    if not wanted:
        return None
    # Without a mask, what was asked lies where its goals are said to be, if they all say so.
    region = now.planned.action.region or mask_region(_targets(state, now))
    return VerifyRequest(image=image, goals=tuple(wanted), again=again, base=now.planned.base, region=region)


def _targets_first(state: State, now: Round) -> bool:
    """Where it was chosen, or set for edits of the best picture that can be rolled back."""
    if now.chosen and now.chosen.option.targets_first:
        return True
    settings, planned = state.settings, now.planned
    set_so = settings.targets_first and settings.rollback and not planned.final
    return set_so and state.best is not None and planned.base == state.best


def _in_turn(now: Round, unseen: list[Goal], seen: Standing) -> list[Goal]:
    """What to look at now of goals not looked at yet: the targets, then the rest only if one of them came."""
    targets = now.planned.action.targets
    came = any(seen[goal].outcome is Outcome.MET for goal in targets if goal in seen)
    return [goal for goal in unseen if goal.id in targets] or (unseen if came else [])


def _targets(state: State, now: Round) -> tuple[Goal, ...]:
    aimed = now.planned.action.targets
    return tuple(goal for goal in state.goals if goal.id in aimed)


def _carried(state: State, now: Round) -> Standing:
    """Verdicts that a masked edit of the best picture could not change."""
    region = now.planned.action.region
    if region is None or now.planned.base is None or now.planned.base != state.best:
        return {}
    goals = {goal.id: goal for goal in state.goals}
    return {g: verdict for g, verdict in state.standing.items() if _out_of_reach(goals[g], region)}


def _out_of_reach(goal: Goal, region: Region) -> bool:
    """Only a local thing with a stated place elsewhere; counts, palette, light and layout reach everywhere."""
    everywhere = goal.type in (GoalType.COLOR, GoalType.LIGHTING, GoalType.COMPOSITION)
    local = goal.scope in (Scope.LOCAL, Scope.TEXT) and not everywhere and goal.count is None
    return local and goal.region is not None and goal.region.disjoint(region)


def _decision(state: State, now: Round) -> Decided | None:
    """Close the round when nothing more has to be asked or rendered for it."""
    image = now.picked
    if image is None or _unasked(state, now, image):
        return None
    after = {**_carried(state, now), **now.standing(image)}
    before = state.standing if state.best else None
    if len(after) < len(state.goals):
        found = decide.Judgement(False, (), (), "rolled back: nothing came of what was asked")
    else:
        ties = now.planned.final
        found = decide.judge(state.goals, before, after, state.settings, now.preservation(image), ties=ties)
    good = found.accepted and decide.enough(_targets(state, now), after, state.settings)
    if state.settings.adaptive and not good and _still_to_render(state, now):
        return None
    return Decided(accepted=found.accepted, image=image, gained=found.gained, lost=found.lost, why=found.why)
