"""`visiondirector-worker`: run the workers, run a brief here and now, look at what is missing."""

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from director.cautions import cautions
from director.errors import RULES, BriefError, DirectorError, PlannerError, StoreError, boundary
from director.intake import assignments, loop_settings, read_brief
from director.reading import unread
from director.strategies import STRATEGIES
from director.transcript import Line, Transcript, unread_line, warning_line
from director.types import Brief, Goal, Trajectory
from tasks.files import read_named
from tasks.logs import fields
from tasks.logs import setup as setup_logging
from tasks.settings import Settings, load_settings
from worker.bench import cli as bench
from worker.bench.lgbench import compose_command as compose
from worker.train import command as train

if TYPE_CHECKING:
    from tasks.attempt import Attempt
    from worker.checks.doctor import Check
    from worker.profiles import Machine, Opened

log = logging.getLogger(__name__)
CHECKOUT = Path(__file__).resolve().parent.parent
USAGE, FAILED = 2, 1
SEATS = ("planner", "judge", "verifier", "editor", "control")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 well, 1 the job or a check failed, 2 usage or an unusable brief."""
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.run(parsed)
    except BriefError as error:
        print(f"visiondirector-worker: {error.field}: {error}", file=sys.stderr)
        return USAGE
    except DirectorError as error:
        who = RULES[error.actor].who
        print(f"visiondirector-worker: the {error.boundary} failed: {error}\n  who has to act: {who}", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"visiondirector-worker: {error}", file=sys.stderr)
        return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="visiondirector-worker", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, add_arguments, about in (
        ("start", _start, _start_arguments, "Serve the queues of some seats until stopped."),
        (
            "reconcile", _reconcile, _metrics_argument,
            "Re-send lost hints, free dead leases, rebuild the ledger after a wipe.",
        ),
        ("direct", _direct, _direct_arguments, "Run a brief in this process, without any server."),
        ("goals", _goals, _goals_arguments, "Print the goals that the planner finds in a brief."),
        ("doctor", _doctor, _doctor_arguments, "Check each thing that a worker depends on, a line for each."),
        ("compose", compose.run, compose.add_arguments, "Write LGBench-like tasks."),
        ("bench", bench.run, bench.add_arguments, "Measure the loop on the studio of this machine."),
        ("train", train.run, train.add_arguments, "Train the policy that chooses what a round does."),
    ):  # fmt: skip
        command = commands.add_parser(name, help=about, description=about)
        command.set_defaults(run=run)
        add_arguments(command)
    return parser


def _start_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seats", help=f"comma-separated: {', '.join(SEATS)}")
    parser.add_argument("--concurrency", type=_positive, default=1, help="processes (an editor always has one a GPU)")
    parser.add_argument("--gpu", help="index of the GPU that an editor owns (sets CUDA_VISIBLE_DEVICES)")
    parser.add_argument(
        "--editor", action="append", help="model to serve, may be repeated (default: all of the studio)"
    )
    parser.add_argument("--name", help="name of the worker (default: from its seats)")
    _metrics_argument(parser)
    _profile_argument(
        parser, "with --seats: what fills them; without: start all that the box needs (make down ends it)"
    )
    _box_argument(parser)


def _direct_arguments(parser: argparse.ArgumentParser) -> None:
    _brief_arguments(parser)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder for final.png, trajectory.json and report.html"
    )
    parser.add_argument("--source", type=Path, help="picture to start from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strategy", default="ours", help=f"one of {', '.join(STRATEGIES)}")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the loop")
    _profile_argument(parser, "what fills the seats; its model servers run for the time of the brief")
    parser.add_argument("--no-metadata", action="store_true", help="leave brief and settings out of final.png")
    parser.add_argument("--annotated", action="store_true", help="take the goals of a JSON task as they are given")


def _goals_arguments(parser: argparse.ArgumentParser) -> None:
    _brief_arguments(parser)
    _profile_argument(parser, "what fills the planner's seat")
    parser.add_argument("--json", action="store_true", help="as a JSON list of {text, type, ...}")


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true")
    _profile_argument(parser, "check that all of this profile is there")
    _box_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="look at the profile only: no GPU, weights or servers")
    parser.add_argument(
        "--cost", type=Path, metavar="BRIEF", help="print tokens, seconds and money of a job by seat, and ask no model"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="with --cost: a setting of the loop"
    )
    parser.add_argument(
        "--calibrate", type=Path, metavar="FILE", help="measure how the verifier's model says yes, and write thresholds"
    )


def _brief_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("brief", type=Path, help="a .txt of prose or an LGBench-style .json")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep what models are asked and answer, also when a seat fails"
    )


def _metrics_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--metrics-port",
        type=int,
        help="where Prometheus scrapes it (default: VISIONDIRECTOR_METRICS_PORT; 0: nowhere)",
    )


def _profile_argument(parser: argparse.ArgumentParser, about: str) -> None:
    parser.add_argument("--profile", help=f"a name or a path that ends in .json: {about}")


def _box_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--box", help="which box of a profile that has several this machine is")


def _settings(parsed: argparse.Namespace) -> Settings:
    """The settings, with what the command line says. Raises BriefError for a profile that can't be used."""
    port = getattr(parsed, "metrics_port", None)
    chosen: dict[str, Any] = {} if port is None else {"metrics_port": port}
    if not getattr(parsed, "profile", None):
        return load_settings(**chosen)
    from worker.profiles import load_profile

    return load_settings(**load_profile(parsed.profile, load_settings()).settings(os.environ), **chosen)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


# --- serving ----------------------------------------------------------------------------------


def _start(parsed: argparse.Namespace) -> int:
    if parsed.seats is None:
        return _start_machine(parsed)
    seats = _seats(parsed)
    if parsed.gpu is not None:
        # Before anything that could import torch: later it has no effect.
        os.environ["CUDA_VISIBLE_DEVICES"] = parsed.gpu
    settings = _settings(parsed)
    name = parsed.name or "-".join(seats) + (f"-gpu{parsed.gpu}" if parsed.gpu is not None else "")
    observe = _meter(settings, name)
    from tasks.app import make_app
    from tasks.entries import serving_order
    from worker.sketch import sketch_studio
    from worker.studio import editor_models, open_studio

    setup_logging()
    _check_ledger(settings)
    sketch_studio()  # every studio has one beside: loaded before the fork, it is shared by the children
    models = parsed.editor or editor_models(settings)
    queues = serving_order(seat for seat in seats if seat != "editor")
    queues += [f"editor.{model}" for model in models if "editor" in seats]
    app = make_app(settings, open_studio, observe)
    log.info("serving", extra=fields(worker=name, queues=",".join(queues), processes=parsed.concurrency))
    app.worker_main(
        [
            # Quiet: its banner is no log line.
            "--quiet", "worker", "--pool", "prefork", "--concurrency", str(parsed.concurrency),
            "--queues", ",".join(queues), "--hostname", f"{name}@%h",
            "--loglevel", "INFO", "--without-gossip", "--without-mingle", "--task-events",
        ]
    )  # fmt: skip
    return 0


def _check_ledger(settings: Settings) -> None:
    """Raises DirectorError when the ledger's server may drop jobs. One that is away is waited for."""
    from tasks.ledger.ledger import Ledger, connect
    from worker.checks.doctor import refuse_eviction

    with Ledger(connect(settings.ledger_url), settings.limits) as ledger:
        try:
            keeping = ledger.keeping()
        except StoreError as away:
            log.warning("the ledger was not checked: %s", away)
            return
    refuse_eviction(keeping)
    if keeping.warning:
        log.warning("the ledger's Redis: %s", keeping.warning)


def _seats(parsed: argparse.Namespace) -> list[str]:
    seats = [seat.strip() for seat in parsed.seats.split(",") if seat.strip()]
    if unknown := sorted(set(seats) - set(SEATS)):
        raise BriefError(f"there is no seat {unknown[0]!r}", f"choose from {', '.join(SEATS)}", "--seats")
    if "editor" in seats and parsed.concurrency > 1:
        raise BriefError("an editor has one process a GPU", "start one worker for each GPU", "--concurrency")
    return seats


def _meter(settings: Settings, name: str) -> "Callable[[Attempt], None]":
    """What counts the worker's steps, and is scraped at the settings' port if there is one."""
    if not settings.metrics_port:
        return lambda attempt: None
    folder = settings.run_dir / "metrics" / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.db"):
        old.unlink()
    # Before anything imports prometheus_client (Celery does, through Flower): later it has no effect.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    from prometheus_client import CollectorRegistry, disable_created_metrics

    from tasks.metrics import StepMeter, serve_children

    disable_created_metrics()
    serve_children(str(folder), settings, settings.metrics_port)
    return StepMeter(CollectorRegistry(), settings.max_step_s).observe


def _start_machine(parsed: argparse.Namespace) -> int:
    """All programs of this machine in the profile, under the supervisor of the local stack."""
    if not parsed.profile:
        raise BriefError("nothing says what to start", "give --seats, --profile or both", "--seats")
    from worker.checks.preflight import of_machine, on_paper
    from worker.profiles import load_profile

    settings = load_settings()
    opened = load_profile(parsed.profile, settings)
    name, machine = _machine(opened, parsed.box)
    checks = [*on_paper(opened), *of_machine(opened, machine, settings)]
    if failed := [check for check in checks if not check.ok]:
        _print(failed)
        print("nothing was started: the machine lacks what stands above", file=sys.stderr)
        return FAILED
    # The supervisor is in infra, which this package may not import: so it is another process.
    command = [sys.executable, "-m", "infra.stack", "up", "--profile", opened.word, "--box", name]
    return subprocess.run(command, cwd=CHECKOUT, check=False).returncode


def _machine(opened: "Opened", name: str | None) -> tuple[str, "Machine"]:
    try:
        return opened.profile.machine(name)
    except ValueError as error:
        raise BriefError(str(error), field="--box") from error


def _reconcile(parsed: argparse.Namespace) -> int:
    from prometheus_client import CollectorRegistry, disable_created_metrics

    from tasks.app import open_reconciler
    from tasks.metrics import ReconcilerMeter, serve

    settings = _settings(parsed)
    setup_logging()
    disable_created_metrics()
    registry = CollectorRegistry()
    meter = ReconcilerMeter(registry)
    if settings.metrics_port:
        serve(registry, settings, settings.metrics_port)
    stop = threading.Event()

    def end(number: int, frame: object) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with open_reconciler(settings, meter) as reconciler:
        reconciler.run(stop)
    return 0


# --- one brief, here and now ------------------------------------------------------------------


def _direct(parsed: argparse.Namespace) -> int:
    from worker.local import direct_to
    from worker.profiles.servers import servers_running

    brief = _brief(parsed.brief, parsed.annotated)
    settings = loop_settings(assignments(parsed.set), parsed.strategy)
    source = read_named(parsed.source, "--source") if parsed.source else None
    if not source:
        _print_lines(sys.stderr, _warnings(brief))
    transcript, events_told = Transcript(brief.goals, brief.continues), 0

    def tell(trajectory: Trajectory) -> None:
        nonlocal events_told
        for event in trajectory.events[events_told:]:
            print(transcript.line(event), flush=True)
        events_told = len(trajectory.events)

    process = _settings(parsed)
    if parsed.no_metadata:
        process = process.model_copy(update={"image_metadata": False})
    with servers_running(process, parsed.output / "log"):
        direct_to(parsed.output, brief, settings, parsed.seed, process, source, tell, parsed.keep)
    for name in ("final.png", "trajectory.json", "report.html"):
        print(parsed.output / name)
    return 0


def _goals(parsed: argparse.Namespace) -> int:
    from director.seats import ExtractRequest
    from tasks.store import FolderStore, Images
    from worker.local import LocalContext
    from worker.profiles.servers import servers_running
    from worker.studio import open_studio

    brief = _brief(parsed.brief)
    process = _settings(parsed)
    with tempfile.TemporaryDirectory() as logs, ExitStack() as resources:
        resources.enter_context(servers_running(process, Path(logs)))
        studio = open_studio(process, resources)
        context = LocalContext(Images(FolderStore(Path(os.devnull))), parsed.keep)
        with boundary(PlannerError):
            goals = studio.planner.extract(ExtractRequest(brief=brief), context).goals
    if parsed.json:
        print(
            json.dumps(
                [goal.model_dump(mode="json", exclude_none=True) for goal in goals], ensure_ascii=False, indent=1
            )
        )
    else:
        for goal in goals:
            print(f"{goal.id}  {goal.type:<12} {goal.scope.value:<7} {goal.wish}")
    # With --json standard output is for the goals alone.
    lines = [unread_line(each.text, each.reason) for each in unread(brief, goals)]
    _print_lines(sys.stderr if parsed.json else sys.stdout, [*_warnings(brief, goals, edits=False), *lines])
    return 0


def _brief(path: Path, annotated: bool = False) -> Brief:
    """The brief of a file. Raises BriefError that names the file."""
    data = read_named(path, "BRIEF")
    try:
        return read_brief(data, annotated, path.suffix.lower() == ".json")
    except BriefError as error:
        raise BriefError(f"{path}: {error.message}", error.fix, error.field) from error


def _warnings(brief: Brief, goals: Sequence[Goal] = (), edits: bool = True) -> list[Line]:
    """What the brief gives rise to; without `edits` nothing about a picture that is not there."""
    told = [each for each in cautions(brief, goals) if edits or each.kind != "no-source"]
    return [warning_line(each.message, each.fix) for each in told]


def _print_lines(file: TextIO, lines: Iterable[Line]) -> None:
    for line in lines:
        print(line, file=file)


def _doctor(parsed: argparse.Namespace) -> int:
    if parsed.cost or parsed.calibrate:
        return _cost(parsed) if parsed.cost else _calibrate(parsed)
    from worker.checks.doctor import examine

    checks = _examine_profile(parsed) if parsed.profile else examine(load_settings())
    if parsed.json:
        print(json.dumps([check.__dict__ for check in checks], indent=1))
    else:
        _print(checks)
    return 0 if all(check.ok for check in checks) else FAILED


def _cost(parsed: argparse.Namespace) -> int:
    from tasks.store import FolderStore, Images
    from worker.checks.cost import reckon, table

    brief, profile = _brief(parsed.cost), _opened(parsed, "--cost").profile
    settings = loop_settings(assignments(parsed.set))
    with tempfile.TemporaryDirectory() as folder:
        bills = reckon(profile, brief, settings, 0, Images(FolderStore(Path(folder))))
    if parsed.json:
        print(json.dumps([bill.__dict__ for bill in bills], indent=1))
    else:
        print(table(bills, profile.rates.currency))
    return 0


def _calibrate(parsed: argparse.Namespace) -> int:
    from worker.checks.calibrate import calibrate
    from worker.profiles.servers import servers_running

    opened = _opened(parsed, "--calibrate")
    with tempfile.TemporaryDirectory() as logs, servers_running(load_settings(studio=opened.word), Path(logs)):
        found = calibrate(opened.profile, parsed.calibrate, lambda line: print(line, file=sys.stderr))
    own = "".join(f", {kind} {value:g}" for kind, value in found.thresholds.items())
    before, after = found.right
    print(f"{parsed.calibrate}: a goal is met above {found.threshold:g}{own}")
    print(f"of {found.questions} questions with known answers {before:.0%} are right at 0.5, {after:.0%} at these")
    return 0


def _opened(parsed: argparse.Namespace, option: str) -> "Opened":
    from worker.profiles import load_profile

    if not parsed.profile:
        raise BriefError("nothing says which models", "give --profile too", option)
    return load_profile(parsed.profile, load_settings())


def _examine_profile(parsed: argparse.Namespace) -> "list[Check]":
    from worker.checks import preflight
    from worker.checks.doctor import examine
    from worker.profiles import load_profile

    settings = load_settings()
    opened = load_profile(parsed.profile, settings)
    if parsed.dry_run:
        machines = [_machine(opened, parsed.box)[1]] if parsed.box else list(opened.profile.boxes.values())
        announced = [line for machine in machines for line in preflight.announced(opened, machine)]
        return [*preflight.on_paper(opened), *announced]
    _, machine = _machine(opened, parsed.box)
    settings = load_settings(studio=opened.word)
    checks = [*preflight.on_paper(opened), *preflight.of_machine(opened, machine, settings)]
    return [*checks, *preflight.of_running(opened, settings), *examine(settings)]


def _print(checks: "Sequence[Check]") -> None:
    for check in checks:
        finding = check.found.replace("\n", "\n" + " " * 20)
        print(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<12} {finding}")


if __name__ == "__main__":
    sys.exit(main())
