"""`bench lgbench`: long briefs with annotated goals, which the loop never sees; a grader looks at what it delivered."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from director.errors import BriefError, SeatError
from director.intake import assignments
from director.loop import perform
from director.seats import Studio, VerifyRequest
from director.strategies import STRATEGIES
from director.types import Verified
from tasks.settings import Settings
from worker.bench import command, run_log
from worker.bench.arms import MOST, arms, equal_renders, mean_renders
from worker.bench.cases import Arm, Case, Row, Run, Runner, works
from worker.bench.lgbench import score
from worker.bench.lgbench.compose_command import goal_range, write_tasks
from worker.bench.lgbench.records import read_cases
from worker.bench.local import Pictures, resolve_studio, spread
from worker.bench.run_log import open_log
from worker.bench.tables import Report, markdown, report
from worker.local import LocalContext
from worker.profiles.servers import servers_running


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tasks", nargs="?", type=Path, help="LGBench file, or a folder of them")
    parser.add_argument("--compose", type=int, metavar="N", help="N tasks from the built-in pool, in place of files")
    parser.add_argument("--goals", metavar="LOW-HIGH", help="goals of a composed task")
    parser.add_argument("--modality", choices=["t2i", "i2i"], help="only these tasks")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N tasks only")
    parser.add_argument(
        "--strategy", action="append", help=f"repeat for several of {', '.join(STRATEGIES)} (default: ours)"
    )
    parser.add_argument("--no-controls", action="store_true", help="leave out one shot, best of 4 and best of K")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of every arm")
    parser.add_argument("--seed", type=int, default=1, help="of the runs, and of composed tasks")
    parser.add_argument("--grader", help="profile whose verifier grades (default: the studio's own)")
    parser.add_argument("--pictures", action="store_true", help="grade what the folder holds; run nothing")
    command.add_run_arguments(parser)
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    parser.add_argument("--no-plots", action="store_true")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder of the run; the same one goes on with it"
    )


def run(args: argparse.Namespace, settings: Settings, runner: Runner) -> int:
    """Run what is missing, grade it, print the table. 1 when a run failed or could not be graded."""
    command.check_options(args, "compose")
    bench = Bench(args, settings, runner, tasks_of(args))
    if not args.pictures:
        failed = bench.run_all()
        if args.no_grade:
            tell_how(args)
            return int(failed)
    todo = bench.finished()
    rows = bench.grade(todo)
    found = bench.report(rows)
    for path in (args.output / "report.json", args.json):
        command.write_json(path, found.model_dump(mode="json"))
    (args.output / "report.md").write_text(markdown(found, score.TABLES), encoding="utf-8")
    if not args.no_plots:
        from worker.bench.plots import draw_all

        draw_all(args.output / "plots", found, rows)
    print(markdown(found, score.TABLES))
    return 1 if any(row.error for row in rows) else 0


def tasks_of(args: argparse.Namespace) -> list[Case]:
    """The tasks that the arguments name. Composed ones are left in the folder of the run."""
    if (args.tasks is None) == (args.compose is None):
        raise BriefError("name tasks or --compose N, and not both", "bench lgbench TASKS -o DIR", "TASKS")
    path, modality = args.tasks, args.modality or "t2i"
    if path is None:
        goals = goal_range(args.goals, modality)
        path, _ = write_tasks(args.output / "tasks", args.compose, goals, args.seed, modality)
    return read_cases(path, args.modality)[: args.limit]


def tell_how(args: argparse.Namespace) -> None:
    """The command that grades what was collected."""
    named = [str(args.tasks.absolute())] if args.tasks else ["--compose", str(args.compose)]
    words = [*named, "--pictures", "-o", str(args.output.absolute()), "--seed", str(args.seed)]
    for name in ("goals", "modality", "grader"):
        if value := getattr(args, name):
            words += [f"--{name}", str(value)]
    command.tell_how("grade the pictures", "lgbench", words, args.limit)


@dataclass
class Bench:
    """`settings` say who grades when no other grader is named."""

    args: argparse.Namespace
    settings: Settings
    runner: Runner
    cases: Sequence[Case]

    def run_all(self) -> bool:
        """All arms; best of K last, because K is what ours took. True when a run failed."""
        controls, values = not self.args.no_controls, {**self.runner.fixed, **assignments(self.args.set)}
        failed = self._run(arms(self.args.strategy or ["ours"], controls, values))
        if controls and (last := equal_renders((run for _, run in self.finished()), values)):
            failed = self._run([last]) or failed
        return failed

    def _run(self, arms: Sequence[Arm]) -> bool:
        args, todo, failed = self.args, works(self.cases, arms, (self.args.seed,)), False
        for run in command.collect(todo, args.output, run_log.place_of, self.runner, args.seed, "runs"):
            failed = failed or bool(run.error)
            if run.error and not self.runner.tells_each:
                print(f"{run.case} ({run.arm}) failed: {run.error}", file=sys.stderr)
        return failed

    def finished(self) -> list[tuple[Case, Run]]:
        """The runs that the folder holds of these tasks, arm by arm."""
        return run_log.finished(self.args.output, self.cases)

    def grade(self, todo: Sequence[tuple[Case, Run]]) -> list[Row]:
        """A row for each run, in their order; what is graded already is read from the folder."""
        settings, _ = resolve_studio(self.args.grader, self.settings)
        name = "".join(c if c.isalnum() else "-" for c in Path(settings.studio).stem)
        with open_log(self.args.output / f"graded-{name}.jsonl", Row, {"grader": settings.studio}) as log:
            new = [(case, run) for case, run in todo if not (row := log.get(run.key, run.task)) or row.run != run]
            told = command.Teller("graded", len(new))
            with servers_running(settings, self.args.output / "log") if new else nullcontext():
                looks = ((case, run, self.args.output) for case, run in new)
                for done, row in enumerate(spread(look, list(looks), settings, self.args.workers), 1):
                    log.add(row)
                    told(done)
            return [row for _, run in todo if (row := log.get(run.key, run.task) or log.failed(run.key))]

    def report(self, rows: Sequence[Row]) -> Report:
        grader = self.args.grader or self.settings.studio
        seats, notes = record_of(rows, grader, self.settings.studio)
        record = {"tasks": f"{len(self.cases)} ({self._where()})", **seats, "seed": str(self.args.seed)}
        if (mean := mean_renders(run for _, run in self.finished())) > MOST:
            notes.append(f"best of K stops at {MOST} candidates; ours rendered {mean:.1f} a task")
        controls = [row.arm for row in rows if row.arm != "ours" and row.arm.startswith(("one-shot", "best-of-"))]
        metrics = (*score.METRICS, *score.TYPES)
        return report("LGBench", record, rows, metrics, tuple(dict.fromkeys(controls)), notes=notes)

    def _where(self) -> str:
        return f"composed, seed {self.args.seed}" if self.args.compose else str(self.args.tasks)


def look(item: tuple[Case, Run, Path], settings: Settings, studio: Studio) -> Row:
    """The row of a run whose picture lies in a folder, by the studio's verifier. Runs in any process."""
    case, run, folder = item
    if run.error or run.picture is None:
        return score.failed(case, run, run.error or f"no picture: {run.stop}")
    images = Pictures()
    request = VerifyRequest(image=images.put(run_log.picture(folder, run)), goals=case.goals)
    try:
        verified = perform(request, studio, LocalContext(images))
    except SeatError as error:
        return score.failed(case, run, f"grader: {error}"[:500])
    assert isinstance(verified, Verified), "a VerifyRequest is answered by a Verified"
    return score.row(case, run, verified.verdicts)


def record_of(rows: Iterable[Row], grader: str, studio: str) -> tuple[dict[str, str], list[str]]:
    """Who filled the seats and who graded, and what a reader must know of that."""
    seats: dict[str, set[str]] = {}
    for row in rows:
        for each in row.run.by:
            seat, _, name = each.partition("=")
            seats.setdefault(seat, set()).add(name)
    record = {seat: ", ".join(sorted(seats.get(seat, {"none"}))) for seat in ("editor", "planner", "judge", "verifier")}
    record["grader"] = f"the verifier of {grader}"
    notes: list[str] = []
    if grader == studio:
        notes.append("the grader is the verifier inside the loop: it shares its blind spots (--grader names another)")
    if any("sketch" in name for name in seats.get("editor", set())):
        record["editor"] += " (simulated)"
        notes.append("pictures of the sketch studio are simulations: these numbers say nothing about a model")
    return record, notes
