"""`visiondirector bench NAME`: a benchmark's tasks as jobs of a service, under one label; their pictures in a folder.

What grades them lives in the worker (the studio's verifier, a detector, a judge). So the worker's command grades the
folder as it grades one that it drew itself, and both ways give the same table. LGBench's is run at once, as a process,
because `api` never imports `worker`; the others want weights or a key, and their command is said.
"""

import argparse
import importlib.util
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from api.client import Client, Job, NotFound
from director.intake import assignments, loop_settings
from director.types import Trajectory
from tasks.files import write_whole
from worker.bench.arms import arms, equal_renders
from worker.bench.cases import Arm, Run, Work, run_of, works
from worker.bench.folder import described, finished, place_of
from worker.bench.geneval.scoring import read_metadata
from worker.bench.imgedit.scoring import read_edits
from worker.bench.layout import (
    edit_cases,
    edit_path,
    limited,
    limited_edits,
    sample_path,
    write_metadata,
)
from worker.bench.lgbench.records import read_cases
from worker.bench.run_log import open_log

CHECKOUT = Path(__file__).resolve().parents[2]
Tell = Callable[[str], None]
Place = Callable[[Work], str]
"""Where a picture goes, below the folder."""


def lgbench(args: argparse.Namespace, client: Client, tell: Tell) -> int:
    """Submit what is missing, wait for it, keep it, grade it. 1 when a job failed. `tell` takes a line for people."""
    cases = read_cases(args.tasks, args.modality)[: args.limit]
    controls, values = not args.no_controls, assignments(args.set)
    todo = works(cases, arms(args.strategy or ["ours"], controls, values), (args.seed,))
    failed = _all(client, args, todo, place_of, tell)
    # Best of K comes last, because K is what ours took.
    if controls and (last := equal_renders((run for _, run in finished(args.output, cases)), values)):
        failed += _all(client, args, works(cases, [last], (args.seed,)), place_of, tell)
    return max(_grade(args, tell), int(failed > 0))


def geneval(args: argparse.Namespace, client: Client, tell: Tell) -> int:
    """GenEval's prompts, `--samples` pictures of each, in its official layout. 1 when a job failed."""
    entries = {e.folder: e for e in limited(read_metadata(args.metadata.read_bytes(), str(args.metadata)), args.limit)}
    todo = works([entry.case for entry in entries.values()], [_arm(args)], range(args.seed, args.seed + args.samples))

    def place(work: Work) -> str:
        write_metadata(args.output, entries[work.case.id])
        return str(sample_path(entries[work.case.id], work.seed - args.seed))

    failed = _all(client, args, todo, place, tell)
    metadata, output = args.metadata.absolute(), args.output.absolute()
    words = ["--metadata", str(metadata), "--images", str(output), "-o", str(output), "--samples", str(args.samples)]
    _say_how("geneval", words, args, tell)
    return int(failed > 0)


def imgedit(args: argparse.Namespace, client: Client, tell: Tell) -> int:
    """ImgEdit's edits of their source pictures, as `images/<key>.png`. 1 when a job failed."""
    edits = limited_edits(read_edits(args.edits.read_bytes(), str(args.edits)), args.limit)
    todo = works(edit_cases(edits, args.originals), [_arm(args)], (args.seed,))
    failed = _all(client, args, todo, lambda work: str(edit_path(work.case.id)), tell)
    output = args.output.absolute()
    words = ["--edits", str(args.edits.absolute()), "--originals", str(args.originals.absolute())]
    words += ["--images", str(output / "images"), "-o", str(output), "--prompts", "…", "--judge-url", "…"]
    _say_how("imgedit", words, args, tell)
    return int(failed > 0)


def _arm(args: argparse.Namespace) -> Arm:
    return Arm(name=args.strategy, settings=loop_settings(assignments(args.set), args.strategy))


def _say_how(name: str, words: Sequence[str], args: argparse.Namespace, tell: Tell) -> None:
    limit = ["--limit", str(args.limit)] if args.limit else []
    tell(f"judge them where a worker is installed: visiondirector-worker bench {name} {shlex.join([*words, *limit])}")


def _all(client: Client, args: argparse.Namespace, todo: Sequence[Work], place: Place, tell: Tell) -> int:
    """How many failed."""
    failed = 0
    for done, run in enumerate(collect(client, args, todo, place), 1):
        failed += bool(run.error)
        tell(f"{done} of {len(todo)}  {run.case} ({run.arm}) {run.error or run.stop}")
    return failed


def collect(client: Client, args: argparse.Namespace, todo: Sequence[Work], place: Place) -> Iterator[Run]:
    """Each piece of work as a Run with its picture in its place; what is filed there is not asked for again."""
    folder: Path = args.output
    with open_log(folder / "runs.jsonl", Run, described(todo, "service", args.seed)) as log:
        filed = {work.key: log.get(work.key, work.case.digest()) for work in todo}
        # All of them first, so that the service has them to spread over its workers.
        jobs = {work.key: _submit(client, work, args.label) for work in todo if not filed[work.key]}
        for work in todo:
            if found := filed[work.key]:
                yield found
                continue
            run = _result(client, client.wait(jobs[work.key].id), work, folder, place)
            log.add(run)
            yield run


def _submit(client: Client, work: Work, label: str) -> Job:
    """The job of this work: the same again if it was asked for before, set going again if it had failed."""
    key = f"bench-{label}-{work.arm.name}-{work.case.digest()}-{work.seed}"
    settings: Mapping[str, Any] = work.arm.settings.model_dump(mode="json")
    brief = work.case.brief.model_dump(mode="json", exclude_defaults=True)
    job = client.submit(brief, settings, work.seed, key, work.case.source, labels=(label,))
    return client.requeue(job.id) if job.status == "failed" else job


def _result(client: Client, job: Job, work: Work, folder: Path, place: Place) -> Run:
    case = work.case
    if job.status != "done":
        said = f"{job.error.boundary}: {job.error.message}" if job.error else job.status
        return Run(case=case.id, arm=work.arm.name, seed=work.seed, task=case.digest(), error=said[:500])
    trajectory = Trajectory.model_validate(client.trajectory(job.id))
    cost = client.attempts(job.id).cost
    names = ("denoising_steps", "prompt_tokens", "completion_tokens")
    counts = {name: value for name in names if (value := getattr(cost, name))}
    return run_of(work, trajectory, _picture(client, job, folder, lambda: place(work)), counts, cost.seconds)


def _picture(client: Client, job: Job, folder: Path, place: Callable[[], str]) -> str | None:
    try:
        png = client.image(job.id, metadata=False)
    except NotFound:
        return None
    name = place()
    write_whole(folder / name, png)
    return name


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
