"""`make storm`: jobs run while what they run on is killed, wiped, stopped, set back and spoiled.

The jobs are sent to a real stack, whose planner, judge and verifier ask a VLM server that this process plays. Fifty
clients follow their event streams, one of which reads slowly, and twenty more leave after each event and come again.
Every two seconds a random worker process dies of kill -9, and between the kills come the faults of
tests/acceptance/weather.py. Beside the jobs a batch is drawn (tests/acceptance/night.py). Then: every job has ended,
its snapshots are one unbroken chain (but where one was deleted, which its attempt records tell), every client saw every
event of its job once and in order, nobody is a dead letter but the one that was planted, no step was charged twice,
each item of the batch has one current result, and every final trajectory and picture is byte for byte that of an
undisturbed run.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from api.client import Client
from director.state import State
from director.types import Brief
from infra.servers import free_port
from infra.stack import Stack
from tasks.ledger.ledger import Ledger, connect
from tasks.settings import PREFIX, Settings
from tasks.store import Archive, FolderStore, Images, S3Store
from tests.acceptance.aftermath import Final, Harm, Leaver, Readiness, Report, Watcher, examine, until_ended
from tests.acceptance.night import BRIEFS, SETTINGS, Night, Task, items_of
from tests.acceptance.weather import THINKER, Times, VlmServer, Weather
from worker.local import run
from worker.studio import open_studio

KILLS = 8
CLIENTS = 50
LEAVERS = 20
SLOW_SECONDS = 0.3  # what the slow client does with each event
LONGEST_SECONDS = 600.0
READY_SECONDS = 20.0
EDITORS = 2
_BREAKS = 4  # of the ledger: wiped, killed, set back by some seconds, and out of the editors' reach
TIMES = {True: Times(), False: Times(s3_away=3, s3_full=3, vlm_away=6)}  # by whether the storm is long
_PRIVATE = {f"{PREFIX}PRIVATE_HOOKS": "true"}  # who is told of the batch listens on this machine
LIMITS = {
    True: {**_PRIVATE, f"{PREFIX}REST_S": "1", f"{PREFIX}CANARY_S": "5", f"{PREFIX}REPORT_EVERY_S": "2"},
    False: {**_PRIVATE, f"{PREFIX}RETRY_CAP_S": "2", f"{PREFIX}RETRY_BASE_S": "0.5", f"{PREFIX}REPORT_EVERY_S": "2"},
}
TEXTS = {True: 3 * BRIEFS, False: BRIEFS[:3]}  # of the batch


def storm(var: Path, seed: int, jobs: int, long: bool, tell: Callable[[str], None] = print) -> Report:
    """Run one storm over a stack in `var`; `faults` in the report is empty when all held."""
    report = Report(jobs=jobs)
    with ExitStack() as resources:
        vlm = VlmServer(free_port())
        vlm.start()
        resources.callback(vlm.stop)
        profile = _write_profile(var, vlm.port)
        started = time.monotonic()
        items = items_of(TEXTS[long])
        finals = undisturbed(
            [*((Brief(text=text), SETTINGS, n) for n, text in _briefs(jobs)), *items.values()], profile
        )
        tell(f"undisturbed: {jobs} jobs and {len(items)} items in {time.monotonic() - started:.0f} s")
        stack = resources.enter_context(Stack(var / "stack", flower=False, settings=LIMITS[long], profile=profile))
        client = resources.enter_context(Client(stack.api_url, stack.token))

        def plant() -> str:
            return client.submit({"text": BRIEFS[0]}, settings=_chosen(), seed=jobs).id

        weather = _weather(stack, resources, vlm, random.Random(seed), report, TIMES[long], tell, plant)
        night = Night(weather, client, TEXTS[long])
        night.listen()
        night.second_dispatcher()
        resources.callback(night.stop)
        started = time.monotonic()
        ids = [client.submit({"text": text}, settings=_chosen(), seed=n).id for n, text in _briefs(jobs)]
        tell(f"{jobs} jobs submitted")
        night.submit()
        watchers = [Watcher(stack, ids[n % jobs], SLOW_SECONDS if n == 0 else 0.0) for n in range(max(CLIENTS, jobs))]
        watchers += [Leaver(stack, job, 0.0) for job in ids[:LEAVERS]]
        end = time.monotonic() + LONGEST_SECONDS
        weather.rage(_faults(weather, night, long), KILLS)
        records = until_ended(weather.ledger, [*ids, weather.planted], end, report)
        night.until_ended(end)
        for watcher in watchers:
            watcher.join(max(0.0, end - time.monotonic()) + 5)
        report.seconds = time.monotonic() - started
        weather.readiness.stop()
        report.asked, report.refused = weather.readiness.asked, len(weather.readiness.refused)
        if not weather.readiness.comes(READY_SECONDS):
            report.complain(Harm.WRONG, "-", "the API is not ready in the end")
        wanted = dict(zip(ids, finals, strict=False))
        examine(weather.archive, weather.images, records, wanted, weather.planted, weather.holed, watchers, report)
        night.examine(dict(zip(items, finals[jobs:], strict=True)), EDITORS * _BREAKS)
        report.night = night.told()
    return report


def undisturbed(tasks: Sequence[Task], profile: str) -> list[Final]:
    """The same jobs in this machine's processes, without a queue."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        return list(pool.map(partial(_one, profile), tasks))


def _briefs(jobs: int) -> list[tuple[int, str]]:
    return [(n, BRIEFS[n % len(BRIEFS)]) for n in range(jobs)]


def _one(profile: str, task: Task) -> Final:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as resources:
        images = Images(FolderStore(Path(folder)))
        done = run(*task, open_studio(Settings(studio=profile), resources), images)
        final = State.of(done).deliverable
        return done.model_dump_json(), images.get(final) if final else b""


def _chosen() -> dict[str, object]:
    return SETTINGS.model_dump(mode="json", exclude_defaults=True)


def _write_profile(var: Path, port: int) -> str:
    """Sketch editors, and a VLM server that is given up early: a storm has no ten minutes."""
    seat = {"url": f"http://127.0.0.1:{port}/v1", "model": "m", "timeout_s": 3, "deadline_s": 6, "retry_wait_s": 0.2}
    vlm = {
        "planner": seat,
        "judge": {**seat, "select": "listwise"},
        "verifier": {**seat, "ocr": False, "verify": "structured"},
    }
    workers = [
        {"name": THINKER, "seats": ["planner", "judge", "verifier"], "concurrency": 2},
        {"name": "control", "seats": ["control"]},
        *({"name": f"editor-{n}", "seats": ["editor"]} for n in range(EDITORS)),
    ]
    boxes = {"here": {"memory": 4, "workers": workers}}
    path = var / "storm.json"
    path.write_text(json.dumps({"about": "a VLM server that is away now and then", "vlm": vlm, "boxes": boxes}))
    return str(path)


def _weather(
    stack: Stack, resources: ExitStack, vlm: VlmServer, source: random.Random, report: Report, times: Times,
    tell: Callable[[str], None], plant: Callable[[], str],
) -> Weather:  # fmt: skip
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} - {f"{PREFIX}TOKENS"}
    environment = {key.removeprefix(PREFIX).lower(): value for key, value in stack.settings.items() if key in known}
    settings = Settings.model_validate(environment)
    ledger = resources.enter_context(Ledger(connect(settings.ledger_url), settings.limits))
    store = S3Store(settings)
    readiness = Readiness(stack)
    resources.callback(readiness.stop)
    return Weather(
        stack, settings, ledger, Archive(store), store, vlm, readiness, source, report, times, tell, resources, plant
    )


def _faults(weather: Weather, night: Night, long: bool) -> list[Callable[[], None]]:
    """Those that come between the kills. Objects are spoiled while many jobs are under way."""
    short = [
        night.pause_and_wipe, weather.spoil, night.resume, night.kill_dispatchers, weather.vlm_away,
        weather.older_redis, weather.full_s3, weather.kill_redis, night.kill_dispatchers, weather.kill_api,
        weather.stop_s3,
    ]  # fmt: skip
    return [*short[:2], weather.sick_editor, *short[2:]] if long else short


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Kill everything while jobs run, and see that nothing is lost.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--short", action="store_true", help="the storm of `make test`: shorter faults, no sick editor")
    parsed = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="vd-storm-") as var:
        began = time.monotonic()

        def tell(line: str) -> None:
            print(f"{time.monotonic() - began:>5.0f} s  {line}", flush=True)

        report = storm(Path(var), parsed.seed, parsed.jobs, not parsed.short, tell)
    print("\n".join(["", *report.table(), ""]))
    for fault in report.faults:
        print(f"FAULT  {fault}")
    print(
        f"{report.jobs} jobs, {report.steps} steps committed, {report.kills} workers killed, {report.repeats} tries "
        f"repeated, {report.rewinds} jobs rewound, not ready {report.refused} of {report.asked} times, "
        f"{report.night}; {report.seconds:.0f} s: {'FAILED' if report.faults else 'all held'}"
    )
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
