"""The strategy table on the sketch studio: the paper's arms, ours, and controls at equal renders.

Pictures and verdicts are simulated, by a miss model fitted to the paper's arms. All arms of a task run in one
process with a memory: what two arms ask alike is drawn and judged once, and each arm still pays for it. With
`--lists` nothing is drawn: a picture is the list of what came out right in it.
"""

import argparse
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from director.intake import assignments, loop_settings
from director.loop import advance, begin, candidate_seed, direct, next_step, perform
from director.seats import Context, ExtractRequest, RenderRequest, Studio
from director.state import State
from director.strategies import STRATEGIES
from director.types import ActionKind, Brief, Extracted, Goal, GoalType, LoopSettings, Outcome, Seed, Trajectory
from tasks.settings import Settings
from worker.bench.arms import mean_renders
from worker.bench.cases import Arm, Case, Key, Row, Work, row_of, run_of
from worker.bench.command import write_json
from worker.bench.lgbench.compose import RANGES, compose
from worker.bench.lgbench.pool import pool
from worker.bench.lgbench.records import case_of, read_cases
from worker.bench.lgbench.write import write
from worker.bench.local import Pictures, cores, one_thread
from worker.bench.run_log import Log, open_log
from worker.bench.sketch_lab.billing import DRAW_S, EDIT_S, READ_PER_S, WRITTEN_PER_S, card_bill
from worker.bench.sketch_lab.gate import gate_curve
from worker.bench.sketch_lab.memo import remembering
from worker.bench.sketch_lab.surrogate import Lists, met, right, surrogate
from worker.bench.sketch_lab.worlds import CROWDING, RESULTS, lucky
from worker.bench.statistics import Metric
from worker.bench.tables import Report, markdown, report
from worker.local import LocalContext
from worker.sketch.misses import MissModel, load_miss_model
from worker.sketch.planner import SketchPlanner

PAPER = ("one-shot", "reprompt", "best-of-4", "refinement", "all")
LOOPS = ("ours", "wide")
ABLATIONS: dict[str, dict[str, Any]] = {
    "ours-without-rollback": {"rollback": False},
    "ours-without-micro-grid": {"candidates": 1, "adaptive": False, "judge": False},
    "ours-without-gate": {"gate": "staged"},
    "ours-without-masks": {"masks": False},
    "ours-with-no-loss": {"accept": "no-loss"},
    "ours-without-adaptive-n": {"adaptive": False},
    "wide-of-any-reach": {**STRATEGIES["wide"], "edits": "wide"},
    "wide-with-two-for-an-edit": {**STRATEGIES["wide"], "edit_candidates": 2},
}
BEST_OF_K = "best-of-k"
INSISTING = "ours-with-a-must-have"
RULES: dict[str, dict[str, Any]] = {"ours-with-ties": {"accept": "alignment-or-tie"}, INSISTING: {}}
"""Ours with another rule. In a task of `INSISTING` the first lettering is a must-have; the composed tasks have none."""
_OURS: dict[str, dict[str, Any]] = {"ours": {}, **ABLATIONS, **RULES}
SWEEP: dict[str, dict[str, float]] = {
    "mask-low": {"mask": -2.0},
    "mask-high": {"mask": 2.0},
    "focus-low": {"focus": -1.0},
    "focus-high": {"focus": 1.0},
    "damage-low": {"damage": 0.0},
    "damage-high": {"damage": 0.4},
    **{f"crowding-{c:g}": {"edit_crowding": c} for c in CROWDING[1:]},
}
"""What the paper's arms don't identify, as changes to the profile, in units of luck but for the chance of damage."""
_COVERAGE = (
    Metric("goal_completion", "goals met, %"),
    Metric("tasks_80", "tasks ≥ 80 %"),
    Metric("unsure", "unsure, %"),
    Metric("edits", "edits", share=False),
)
_BY_TYPE = tuple(Metric(kind.value, kind.value) for kind in GoalType)
_ON_A_CARD = (
    Metric("questions", "VLM questions", share=False),
    Metric("prompt", "prompt tokens", share=False),
    Metric("cached", "of them cached", share=False),
    Metric("written", "written tokens", share=False),
    Metric("card_seconds", "card-seconds", share=False),
    Metric("goals_an_hour", "goals met a card-hour", share=False),
)
_RENDERS = Metric("renders", "renders", share=False)
METRICS = (*_COVERAGE, *_BY_TYPE, *_ON_A_CARD, Metric("first_lettering", "first lettering met, %"))
TABLES = {"": _COVERAGE, "By type of goal": _BY_TYPE, "On a card (reckoned, not measured)": _ON_A_CARD}
GRADER = "sketch-verifier on the annotated goals, the same as inside the loop; unsure counts as missed"
CARD = f"{DRAW_S:g} s a new picture, {EDIT_S:g} s an edit; {READ_PER_S} new tokens and {WRITTEN_PER_S} written a second"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", type=Path, help="a file or a folder of LGBench records (default: composed tasks)")
    parser.add_argument("--compose", type=int, default=100, metavar="N", help="tasks to compose, of 14 to 22 goals")
    parser.add_argument("--seed", type=int, default=2, help="of the composed tasks")
    parser.add_argument("--profile", default="flux-krea", help="profile of the sketch's editor")
    parser.add_argument(
        "--arms", default=",".join((*PAPER, *LOOPS)), help="strategies to run; best-of-k goes with --equal"
    )
    parser.add_argument("--against", default="all", metavar="ARM", help="the arm that others are compared with")
    parser.add_argument(
        "--equal", default="ours", metavar="ARM", help="best-of-k draws as many pictures as this arm on average"
    )
    parser.add_argument("--ablate", action="store_true", help="also ours without each of its parts")
    parser.add_argument(
        "--sweep", action="store_true", help="also --sweep-arms and best-of-k in worlds the paper leaves open"
    )
    parser.add_argument("--sweep-arms", default="all,ours", metavar="ARMS")
    parser.add_argument("--sweep-tasks", type=int, metavar="N", help="the first N tasks only, in each of those worlds")
    parser.add_argument(
        "--worlds",
        type=int,
        default=8,
        metavar="N",
        help="worlds that the tasks are dealt out to in turn (0: the fitted)",
    )
    parser.add_argument(
        "--errors", type=_share, default=0.0, metavar="P", help="chance that judge and verifier err on a goal"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of ours")
    parser.add_argument("--size", type=int, default=384, help="pixels a side")
    parser.add_argument("--lists", action="store_true", help="without pixels, and a hundred times faster")
    parser.add_argument("--processes", type=int, default=cores())
    parser.add_argument("-o", "--output", type=Path, help="folder that keeps what is finished: run again to go on")
    parser.add_argument("--json", type=Path, help="also write the result to this file")


def _share(text: str) -> float:
    if not 0 <= (share := float(text)) <= 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return share


def run(args: argparse.Namespace, settings: Settings) -> int:
    result, found = measured(args)
    write_json(args.json, result)
    print("\n".join(markdown(each, TABLES) for each in found))
    return 0


@dataclass(frozen=True)
class World:
    """One profile and the arms that run in it, over the first `tasks` (None: all).

    `name` is empty for the profile as it is fitted. `numbers` are the lucks that tasks are dealt out to in turn, none:
    that of the profile. `best_of` are the candidates of the arm best-of-k. `lists`: without pixels.
    """

    name: str
    habits: MissModel
    arms: tuple[Arm, ...]
    tasks: int | None = None
    errors: float = 0.0
    numbers: tuple[int, ...] = ()
    best_of: int = 0
    lists: bool = False

    def of_task(self, number: int) -> "World":
        """The world of one task, with the luck that is its own."""
        if not self.numbers:
            return self
        return replace(self, habits=lucky(self.habits, self.number_of(number)))

    def number_of(self, task: int) -> int:
        return self.numbers[task % len(self.numbers)]

    def keyed(self, arm: str) -> str:
        return f"{arm}.{self.name}" if self.name else arm


def measured(args: argparse.Namespace) -> tuple[dict[str, Any], list[Report]]:
    """Run what is not finished yet, and report on all of it. Raises BriefError for tasks that can't be used."""
    cases = _cases(args)
    worlds = _worlds(args)
    record = _record(args, len(cases))
    with ExitStack() as stack:
        # More tasks may join a folder: each says of itself what it is.
        made = {**record, "tasks": f"{args.tasks or args.seed} in {args.worlds} worlds"}
        made |= {"set": args.set, "profile": load_miss_model(args.profile).__dict__}
        log = stack.enter_context(open_log(args.output / "rows.jsonl", Row, made)) if args.output else None
        spread = stack.enter_context(_spread(args.processes))
        rows = list(_rows(spread, cases, worlds, log))
        own = [world for world in worlds if any(arm.name == args.equal for arm in world.arms)]
        equal = [_equal_renders(world, rows, args) for world in own]
        rows += _rows(spread, cases, equal, log)
    found = [_report(world, rows, record, cases, args.against) for world in worlds]
    gate = gate_curve(args.seed)
    result = {
        **found[0].model_dump(mode="json"),
        "gate": gate,
        "sweep": [{"world": w.name, **r.model_dump(mode="json")} for w, r in zip(worlds[1:], found[1:], strict=True)],
    }
    return result, found


def _record(args: argparse.Namespace, tasks: int) -> dict[str, str]:
    drawn = "lists of what came out right, without pixels" if args.lists else f"{args.size} px"
    record = {
        "editor": f"sketch/{args.profile} (simulated), {drawn}",
        "planner": "sketch-planner: goals are extracted from the brief, the annotated ones are the grader's alone",
        "grader": "what is in the list" if args.lists else GRADER,
        "tasks": f"{args.tasks}" if args.tasks else f"{args.compose} composed from seed {args.seed}, 14 to 22 goals",
        "card": CARD,
    }
    if args.worlds:
        record["tasks"] += f", dealt out to {min(args.worlds, tasks)} worlds"
        record["worlds"] = "each has a luck of its own, which nothing was chosen by"
    if args.errors:
        record["errors"] = f"judge and verifier err on {args.errors:.0%} of goals, the grader does not"
    return record


def _cases(args: argparse.Namespace) -> list[Case]:
    if args.tasks:
        return read_cases(args.tasks, "t2i")
    records = compose(pool(), args.compose, RANGES["t2i"], args.seed, "t2i", write)
    return [case_of(record, Path()) for record in records]


def _worlds(args: argparse.Namespace) -> list[World]:
    swept = _arms(args.sweep_arms.split(","), args)
    luck = tuple(range(RESULTS.start, RESULTS.start + args.worlds))
    plain = World("", load_miss_model(args.profile), (), errors=args.errors, numbers=luck, lists=args.lists)
    worlds = [replace(plain, arms=_arms([*args.arms.split(","), *(ABLATIONS if args.ablate else ())], args))]
    for name, change in SWEEP.items() if args.sweep else ():
        # Added to what the profile has, but for a chance, which is set.
        values = {n: v if n == "damage" else getattr(plain.habits, n) + v for n, v in change.items()}
        habits = replace(plain.habits, **values)
        worlds.append(replace(plain, name=name, habits=habits, arms=swept, tasks=args.sweep_tasks))
    return worlds


def _arms(names: Iterable[str], args: argparse.Namespace) -> tuple[Arm, ...]:
    """One of each name; what is ours takes the settings of `--set`."""
    fixed = {"editor": args.profile, "width": args.size, "height": args.size}
    own = {**fixed, **assignments(args.set)}
    return tuple(
        Arm(
            name=name,
            settings=loop_settings({**own, **_OURS[name]}, "ours") if name in _OURS else loop_settings(fixed, name),
        )
        for name in dict.fromkeys(names)
    )


def _equal_renders(world: World, rows: Sequence[Row], args: argparse.Namespace) -> World:
    """Best of as many as an arm rendered on average: the control that the paper lacks."""
    count = max(1, round(mean_renders((row.run for row in rows if not row.error), world.keyed(args.equal))))
    one_shot = {"editor": args.profile, "width": args.size, "height": args.size}
    # More tasks may have another mean: each K is filed under a name of its own.
    arm = Arm(name=f"{BEST_OF_K}-{count}", settings=loop_settings(one_shot, "best-of-4"))
    return replace(world, arms=(arm,), best_of=count)


# --- running ------------------------------------------------------------------------------------


@contextmanager
def _spread(processes: int) -> Generator["_Map"]:
    """`map` over processes; over one, in this process, which may know the studio's type and things already."""
    if processes == 1:
        yield map
        return
    with ProcessPoolExecutor(max_workers=processes, initializer=one_thread) as workers:
        yield workers.map


_Map = Callable[[Callable[[Case, World], list[Row]], Iterable[Case], Iterable[World]], Iterator[list[Row]]]


def _rows(spread: _Map, cases: Sequence[Case], worlds: Sequence[World], log: Log[Row] | None) -> Iterator[Row]:
    """The rows of all arms: those on file, and those still to run, filed as soon as a task is through."""
    todo: list[tuple[Case, World]] = []
    for world in worlds:
        for number, case in enumerate(cases[: world.tasks]):
            filed = _filed(log, case, world)
            yield from filed.values()
            if left := tuple(arm for arm in world.arms if arm.name not in filed):
                todo.append((case, replace(world, arms=left).of_task(number)))
    for done, found in enumerate(spread(_task, *zip(*todo, strict=True)) if todo else (), 1):
        for row in found:
            if log:
                log.add(row)
            yield row
        if done % 10 == 0 or done == len(todo):
            print(f"{done} of {len(todo)} tasks", file=sys.stderr, flush=True)


def _filed(log: Log[Row] | None, case: Case, world: World) -> dict[str, Row]:
    """What the log holds of a task, by arm."""
    if log is None:
        return {}
    found = {arm.name: log.get(Key(case.id, world.keyed(arm.name), 0), case.digest()) for arm in world.arms}
    return {name: row for name, row in found.items() if row}


def _task(case: Case, world: World) -> list[Row]:
    """All arms of one task; the same for whichever arms are asked, since seeds depend on the task alone."""
    studio, context, shows = _seats(world)
    rows: list[Row] = []
    for arm in world.arms:
        seed = int(case.digest(), 16) >> 1
        if world.best_of:
            done = best_of(world.best_of, case.brief, arm.settings, seed, studio, context)
        else:
            seats = replace(studio, planner=Insisting()) if arm.name == INSISTING else studio
            done = direct(case.brief, arm.settings, seed, seats, context)
        work = Work(case, arm.model_copy(update={"name": world.keyed(arm.name)}), 0)
        rows.append(row_of(run_of(work, done, {}, None), case, parts=_parts(case, done, shows)))
    return rows


def _seats(world: World) -> tuple[Studio, LocalContext, Callable[[str, Goal], Outcome]]:
    """Who plays a task of this world, and what a picture shows of a goal by who grades it."""
    if world.lists:
        lists = Lists()

        def listed(image: str, goal: Goal) -> Outcome:
            return Outcome.MET if met(right(lists.get(image)), goal) else Outcome.MISSED

        return surrogate(world.habits, errors=world.errors), LocalContext(lists), listed
    studio, look = remembering(world.habits, world.errors)
    context = LocalContext(Pictures())
    return studio, context, lambda image, goal: look.verdict(image, goal, context).outcome


class Insisting(SketchPlanner):
    """Takes the first lettering of a brief for its headline."""

    def extract(self, request: ExtractRequest, context: Context) -> Extracted:
        found = super().extract(request, context)
        first = first_lettering(found.goals)
        goals = tuple(goal.model_copy(update={"must_have": True}) if goal is first else goal for goal in found.goals)
        return found.model_copy(update={"goals": goals})


def first_lettering(goals: Iterable[Goal]) -> Goal | None:
    return next((goal for goal in goals if goal.type == GoalType.TEXT and not goal.absent), None)


def best_of(
    count: int, brief: Brief, settings: LoopSettings, seed: Seed, studio: Studio, context: Context
) -> Trajectory:
    """One shot, and the best of any number of candidates; a job's settings allow 16."""
    trajectory = begin(brief, settings, seed)
    while request := next_step(trajectory):
        if isinstance(request, RenderRequest):
            request = request.model_copy(update={"seeds": tuple(candidate_seed(seed, 1, i) for i in range(count))})
        trajectory = advance(trajectory, perform(request, studio, context))
    return trajectory


def _parts(case: Case, done: Trajectory, shows: Callable[[str, Goal], Outcome]) -> dict[str, tuple[float, float]]:
    state = State.of(done)
    verdicts = {goal.id: shows(state.deliverable or "", goal) for goal in case.goals}
    there = {name for name, outcome in verdicts.items() if outcome is Outcome.MET}
    edits = sum(each.planned.action.kind is ActionKind.EDIT for each in state.rounds)
    bill = card_bill(done)
    parts: dict[str, tuple[float, float]] = {
        "goal_completion": (len(there), len(case.goals)),
        "tasks_80": (float(len(there) >= 0.8 * len(case.goals)), 1),
        "unsure": (sum(outcome is Outcome.UNSURE for outcome in verdicts.values()), len(case.goals)),
        "edits": (edits, 1),
        **{name: (float(getattr(bill, name)), 1) for name in ("questions", "prompt", "cached", "written")},
        "card_seconds": (round(bill.seconds, 2), 1),
        "goals_an_hour": (len(there), round(bill.seconds / 3600, 6)),
    }
    if first := first_lettering(case.goals):
        parts["first_lettering"] = (float(first.id in there), 1)
    for kind in GoalType:
        own = [goal.id for goal in case.goals if goal.type == kind]
        parts[kind.value] = (len(there.intersection(own)), len(own))
    return parts


# --- reporting ----------------------------------------------------------------------------------


def _report(world: World, rows: Sequence[Row], record: dict[str, str], cases: Sequence[Case], against: str) -> Report:
    own = [row for row in rows if (row.arm.partition(".")[2]) == world.name]
    plain = [row.model_copy(update={"arm": _shown(row.arm)}) for row in own]
    order = [*dict.fromkeys((*PAPER, BEST_OF_K, *LOOPS, *ABLATIONS, *RULES, *STRATEGIES))]
    plain.sort(key=lambda row: (order.index(row.arm), row.case))
    lucks = {case.id: world.number_of(n) for n, case in enumerate(cases)} if world.numbers else None
    where = {"world": f"{world.name}: {SWEEP[world.name]}"} if world.name else {}
    return report(
        f"Strategies on the sketch studio{', ' + world.name if world.name else ''}",
        {**record, **where},
        plain,
        METRICS,
        controls=("one-shot", BEST_OF_K),
        against=against,
        notes=("Simulated: these numbers exercise the loop and judge no model.",),
        clusters=lucks,
        ratios=(_RENDERS, *(metric for metric in METRICS if metric.name == "card_seconds")),
    )


def _shown(keyed: str) -> str:
    """An arm's name without its world, and without the K of best-of-k."""
    name = keyed.partition(".")[0]
    return BEST_OF_K if name.startswith(BEST_OF_K) else name
