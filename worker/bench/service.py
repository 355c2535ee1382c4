"""`python -m worker.bench.service NAME …`: a benchmark whose cases are jobs of a service, under one label.

VISIONDIRECTOR_URL and VISIONDIRECTOR_TOKEN say which service. `visiondirector bench` starts this and passes on its
words; exit codes are those of `visiondirector`.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.client import ApiError, Client, Job, NotFound, Unavailable
from director.errors import BriefError, DirectorError
from director.transcript import plain
from director.types import Trajectory
from tasks.settings import Settings, load_settings
from worker.bench.cases import Delivery, Work, failed_run, run_of
from worker.bench.cli import OF_CASES, add_arguments, opened

FAILED, USAGE, UNAVAILABLE, INTERRUPTED = 1, 2, 3, 130


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m worker.bench.service", description=__doc__)
    add_arguments(parser, OF_CASES)
    args = parser.parse_args(words)
    try:
        with Client() as client:
            return run(args.name, args.rest, load_settings(), client)
    except ApiError as error:
        print(error if error.fields else plain(str(error), 2000), file=sys.stderr)
        return UNAVAILABLE if isinstance(error, Unavailable) else USAGE
    except (BriefError, OSError) as error:
        print(error, file=sys.stderr)
        return USAGE
    except DirectorError as error:
        print(f"the {error.boundary} failed: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted: what is finished is kept", file=sys.stderr)
        return INTERRUPTED


def run(name: str, words: Sequence[str], settings: Settings, client: Client) -> int:
    """Run one benchmark through the client's service, with the words of its command line. `settings` say who grades."""
    module, parser = opened(name)
    parser.prog = f"visiondirector bench {name}"
    parser.add_argument("--label", default=name, metavar="WORD", help=f"of all jobs (default: {name})")
    if name != "lgbench":
        # A judge wants weights or a key of its own: the command that judges is said.
        parser.set_defaults(no_grade=True)
        parser.epilog = "Pictures are collected; the last line says how to judge them."
    args = parser.parse_args(words)
    return module.run(args, settings, ServiceRunner(client, args.label))


@dataclass(frozen=True)
class ServiceRunner:
    """Runs cases as jobs under one label; the same work is the same job, whoever asks for it again."""

    client: Client
    label: str
    studio: str = "service"
    fixed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tells_each: bool = True

    def run(self, works: Sequence[Work]) -> Iterator[Delivery]:
        # All of them first, so that the service has them to spread over its workers.
        jobs = [(work, self._submit(work)) for work in works]
        for work, job in jobs:
            yield self._delivered(work, self.client.wait(job.id))

    def _submit(self, work: Work) -> Job:
        """The job of this work: the same again if it was asked for before, set going again if it had failed."""
        key = f"bench-{self.label}-{work.arm.name}-{work.case.digest()}-{work.seed}"
        settings: Mapping[str, Any] = work.arm.settings.model_dump(mode="json")
        brief = work.case.brief.model_dump(mode="json", exclude_defaults=True)
        job = self.client.submit(brief, settings, work.seed, key, work.case.source, labels=(self.label,))
        return self.client.requeue(job.id) if job.status == "failed" else job

    def _delivered(self, work: Work, job: Job) -> Delivery:
        if job.status != "done":
            return Delivery(failed_run(work, f"{job.error.boundary}: {job.error.message}" if job.error else job.status))
        trajectory = Trajectory.model_validate(self.client.trajectory(job.id))
        # From the ledger: the record of the last attempt may still be on its way to storage.
        cost = job.cost or self.client.attempts(job.id).cost
        names = ("denoising_steps", "prompt_tokens", "completion_tokens")
        counts = {name: value for name in names if (value := getattr(cost, name))}
        return Delivery(run_of(work, trajectory, counts, cost.seconds), self._picture(job))

    def _picture(self, job: Job) -> bytes | None:
        try:
            return self.client.image(job.id, metadata=False)
        except NotFound:
            return None


if __name__ == "__main__":
    sys.exit(main())
