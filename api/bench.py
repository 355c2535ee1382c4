"""`visiondirector bench lgbench`: the tasks as jobs of a service, under one label; their results into a run's folder.

The grader needs the studio's verifier, which lives in the worker: the worker's command grades the folder as it grades
a run of its own, so both ways give the same table. It runs as a process, because `api` never imports `worker`.
"""

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from api.client import Client, Job, NotFound
from director.benchmarks.arms import arms, equal_renders
from director.benchmarks.cases import Run, Work, run_of, works
from director.benchmarks.folder import described, finished, place_of
from director.benchmarks.lgbench.records import read_cases
from director.benchmarks.record import open_log
from director.intake import assignments
from director.types import Trajectory

CHECKOUT = Path(__file__).resolve().parents[1]
Tell = Callable[[str], None]


def run(args: argparse.Namespace, client: Client, tell: Tell) -> int:
    """Submit what is missing, wait for it, keep it, grade it. 1 when a job failed. `tell` takes a line for people."""
    cases = read_cases(args.tasks, args.modality)[: args.limit]
    controls, values = not args.no_controls, assignments(args.set)
    failed = _all(client, args, works(cases, arms(args.strategy or ["ours"], controls, values), (args.seed,)), tell)
    # Best of K comes last, because K is what ours took.
    if controls and (last := equal_renders((run for _, run in finished(args.output, cases)), values)):
        failed += _all(client, args, works(cases, [last], (args.seed,)), tell)
    return max(_grade(args, tell), int(failed > 0))


def _all(client: Client, args: argparse.Namespace, todo: Sequence[Work], tell: Tell) -> int:
    """How many failed."""
    failed = 0
    for done, run in enumerate(collect(client, args, todo), 1):
        failed += bool(run.error)
        tell(f"{done} of {len(todo)}  {run.case} ({run.arm}) {run.error or run.stop}")
    return failed


def collect(client: Client, args: argparse.Namespace, todo: Sequence[Work]) -> Iterator[Run]:
    """Each piece of work as a Run with its picture in the folder; what is filed there is not asked for again."""
    folder: Path = args.output
    with open_log(folder / "runs.jsonl", Run, described(todo, "service", args.seed)) as log:
        filed = {work.key: log.get(work.key, work.case.digest()) for work in todo}
        # All of them first, so that the service has them to spread over its workers.
        jobs = {work.key: _submit(client, work, args.label) for work in todo if not filed[work.key]}
        for work in todo:
            if found := filed[work.key]:
                yield found
                continue
            run = _result(client, client.wait(jobs[work.key].id), work, folder)
            log.add(run)
            yield run


def _submit(client: Client, work: Work, label: str) -> Job:
    """The job of this work: the same again if it was asked for before, set going again if it had failed."""
    key = f"bench-{label}-{work.arm.name}-{work.case.digest()}-{work.seed}"
    settings: Mapping[str, Any] = work.arm.settings.model_dump(mode="json")
    brief = work.case.brief.model_dump(mode="json", exclude_defaults=True)
    job = client.submit(brief, settings, work.seed, key, work.case.source, labels=(label,))
    return client.requeue(job.id) if job.status == "failed" else job


def _result(client: Client, job: Job, work: Work, folder: Path) -> Run:
    case = work.case
    if job.status != "done":
        said = f"{job.error.boundary}: {job.error.message}" if job.error else job.status
        return Run(case=case.id, arm=work.arm.name, seed=work.seed, task=case.digest(), error=said[:500])
    trajectory = Trajectory.model_validate(client.trajectory(job.id))
    cost = client.attempts(job.id).cost
    names = ("denoising_steps", "prompt_tokens", "completion_tokens")
    counts = {name: value for name in names if (value := getattr(cost, name))}
    return run_of(work, trajectory, _picture(client, job, work, folder), counts, cost.seconds)


def _picture(client: Client, job: Job, work: Work, folder: Path) -> str | None:
    try:
        png = client.image(job.id, metadata=False)
    except NotFound:
        return None
    path = folder / place_of(work)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png)
    return place_of(work)


def _grade(args: argparse.Namespace, tell: Tell) -> int:
    words = ["bench", "lgbench", str(args.tasks.absolute()), "--pictures", "-o", str(args.output.absolute())]
    words += ["--seed", str(args.seed)]
    for name in ("modality", "limit", "grader"):
        if value := getattr(args, name):
            words += [f"--{name}", str(value)]
    if args.no_grade or importlib.util.find_spec("worker") is None:
        tell(f"grade the pictures where a worker is installed: visiondirector-worker {' '.join(words)}")
        return 0
    return subprocess.run([sys.executable, "-m", "worker.cli", *words], cwd=CHECKOUT, check=False).returncode
