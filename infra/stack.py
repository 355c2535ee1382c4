"""The local stack: Redis, S3, API, reconciler, workers and Flower under supervisord.

    python -m infra.stack up [--workers 4] [--no-flower]
    python -m infra.stack up --profile one-80gb
    python -m infra.stack status
    python -m infra.stack down
    python -m infra.stack run -- COMMAND …    with the stack's settings in its environment

As a library, `with Stack(folder) as stack:` gives a stack that ends with the block.
"""

import argparse
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL
from types import TracebackType
from typing import Self

import httpx
import psutil

from director.errors import DirectorError
from infra.programs import SERVERS, Program, box_programs, programs, prometheus_conf, supervisor_conf
from infra.servers import CHECKOUT, ServerError, redis_answers, redis_url, s3_environment, tail
from infra.state import State, load, log_path, prepare, write_private
from infra.supervision import Process, Supervisor, members_of, sweep
from tasks.settings import PREFIX, load_settings
from worker.profiles import Machine, Opened, load_profile

READY_SECONDS = 90.0
# Weights of 70 GB come from a slow disk at 100 MB/s.
MODEL_SECONDS = 1800.0
DEFAULT_WORKERS = 4
# A program that was started more often than this while the stack comes up will not run.
STARTS = 2


class StackError(ServerError):
    """The stack did not come up; the message carries the log of what failed."""


class Stack:
    """The stack over `var`. As a context manager it starts on entry, and all of it has ended on exit.

    `workers` counts worker processes (3 or more). `settings` are further VISIONDIRECTOR_* variables.
    With a `profile` it is what one box of it says, in place of `workers` sketch studios.
    """

    def __init__(
        self,
        var: Path,
        workers: int = DEFAULT_WORKERS,
        flower: bool = True,
        settings: Mapping[str, str] | None = None,
        profile: str | None = None,
        box: str | None = None,
    ) -> None:
        self.var = var.resolve()
        self._workers = workers
        self._flower = flower
        self._extra = dict(settings or {})
        self._opened: Opened | None = None
        self._box: Machine | None = None
        if profile:
            self._opened = load_profile(profile, load_settings())
            _, self._box = self._opened.profile.machine(box)
            for name, value in self._opened.settings(os.environ).items():
                self._extra[f"{PREFIX}{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
        self._supervisor = Supervisor(self.var)

    def __enter__(self) -> Self:
        if not self.up(bound=True):
            raise StackError(f"a stack runs over {self.var} already: end it with `make down`, or take another folder")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    @property
    def state(self) -> State:
        """Raises StackError before the first `up`."""
        state = load(self.var)
        if state is None:
            raise StackError(f"no stack was ever started over {self.var}")
        return state

    @property
    def settings(self) -> dict[str, str]:
        """The environment for a process that belongs to the stack or talks to it."""
        return self._own(self.state) | self._extra

    @property
    def api_url(self) -> str:
        return self._api_url(self.state)

    @property
    def token(self) -> str:
        return self.state.token

    def running(self) -> bool:
        return self._supervisor.pid() is not None

    def up(self, bound: bool = False) -> bool:
        """Start and wait until ready; False when it was up already. `bound`: it ends with this process."""
        with self._lock():
            if self.running():
                return False
            sweep(members_of(self.var))
            state = prepare(self.var)
            try:
                self._start(state, self._programs(state), bound)
            except BaseException:
                self._supervisor.shutdown(SERVERS)
                raise
        return True

    def down(self) -> bool:
        """End everything; False when nothing ran. What was stored stays."""
        with self._lock():
            ran = self.running() or any(True for _ in members_of(self.var))
            self._supervisor.shutdown(SERVERS)
        return ran

    def processes(self) -> list[Process]:
        return self._supervisor.processes()

    def pids(self, program: str) -> list[int]:
        """The program's process and then its descendants; empty while it is down."""
        main = self._supervisor.process(program).pid
        try:
            return [main, *(child.pid for child in psutil.Process(main).children(recursive=True))] if main else []
        except psutil.NoSuchProcess:
            return []

    def kill(self, program: str, signal: int = SIGKILL, group: bool = True) -> None:
        """Send a signal to the program's whole process group, as a lost machine would end, or to its parent only."""
        pid = self._supervisor.process(program).pid
        if not pid:
            raise ProcessLookupError(f"{program} does not run")
        (os.killpg if group else os.kill)(pid, signal)

    def stop(self, program: str) -> None:
        """End one program and keep it down."""
        self._supervisor.stop_program(program)

    def start(self, program: str) -> None:
        """Start one stopped program; it is spawned, but may not be ready yet."""
        self._supervisor.start_program(program, wait=False)

    def _start(self, state: State, listed: Sequence[Program], bound: bool) -> None:
        for folder in ("log", "run"):
            (self.var / folder).mkdir(parents=True, exist_ok=True)
        conf = self.var / "supervisord.conf"
        write_private(conf, supervisor_conf(state, listed))
        write_private(self.var / "prometheus.yml", prometheus_conf(state, listed))
        for beat in (self.var / "run").glob("*.alive"):
            beat.unlink(missing_ok=True)
        self._supervisor.start(conf, self._environment(state), bound)
        names = [program.name for program in listed]
        if "redis" in names:
            # Celery waits two seconds before it tries a broker again, so Redis must be there before the rest.
            self._await(lambda: redis_answers(redis_url(state.redis_port, state.redis_password)), names)
        # Models before workers: SGLang takes its share of what is free on a card.
        models = [program for program in listed if program.model]
        for program in models:
            self._supervisor.start_program(program.name, wait=False)
        self._await(lambda: all(_answers(program.model) for program in models), names, MODEL_SECONDS)
        for program in listed:
            if program.name not in SERVERS and not program.viewer and not program.model:
                self._supervisor.start_program(program.name, wait=False)
        workers = sum(program.worker for program in listed)
        # The API says "ready" when it reaches Redis and S3 itself.
        door = f"{self._api_url(state)}/readyz" if "api" in names else ""
        self._await(lambda: (not door or _answers(door)) and self._workers_consume(workers), names)
        # Flower asks the workers for their state once, at its start.
        for program in listed:
            if program.viewer:
                self._supervisor.start_program(program.name, wait=False)
                self._await(lambda: _answers(f"{state.flower_url}/healthcheck"), names)

    def _programs(self, state: State) -> list[Program]:
        if self._opened is None or self._box is None:
            return programs(state, self._workers, self._flower)
        settings = load_settings()
        self._opened.prepare(settings)
        return box_programs(state, self._opened.profile, self._box, settings, self._flower)

    def _own(self, state: State) -> dict[str, str]:
        """What the stack decides for its processes: all of it, or where it has no stores, its folder and its studio."""
        if self._box is None or self._box.stores:
            return state.settings()
        return {"VISIONDIRECTOR_RUN_DIR": str(self.var / "run")}

    def _api_url(self, state: State) -> str:
        if self._box is None or self._box.stores:
            return state.api_url
        return f"http://127.0.0.1:{load_settings().api_port}"

    def _environment(self, state: State) -> dict[str, str]:
        # One thread each: several processes share these cores, and sums must not depend on their number.
        threads = {name: os.environ.get(name, "1") for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        flower = {
            "FLOWER_PORT": str(state.flower_port),
            "FLOWER_BASIC_AUTH": f"{state.flower_user}:{state.flower_password}",
            "FLOWER_DB": str(self.var / "flower.db"),
        }
        return {
            **threads,
            **s3_environment(state.s3_key, state.s3_secret),
            **flower,
            "PYTHONUNBUFFERED": "1",
            **self._own(state),
            **self._extra,
        }

    def _workers_consume(self, workers: int) -> bool:
        # A worker touches its file once it is connected and consumes.
        return len(list((self.var / "run").glob("*.alive"))) >= workers

    def _await(self, ready: Callable[[], bool], names: Sequence[str], seconds: float = READY_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        starts: dict[str, set[int]] = {name: set() for name in names}
        while not ready():
            for process in self.processes():
                pids = starts.get(process.name, set())
                pids.add(process.pid)
                if process.state == "FATAL" or len(pids - {0}) > STARTS:
                    raise StackError(self._blame(process.name, "does not stay up"))
            if time.monotonic() > deadline:
                raise StackError(self._blame(names[0], f"is not ready after {seconds:.0f} s"))
            time.sleep(0.1)

    def _blame(self, program: str, what: str) -> str:
        log = log_path(self.var, program)
        return f"{program} {what}; its log {log} ends:\n{tail(log)}"

    @contextmanager
    def _lock(self) -> Generator[None]:
        """One `up` or `down` at a time over a folder."""
        self.var.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.var / "stack.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _answers(url: str) -> bool:
    try:
        # trust_env: a proxy of the environment has no business with loopback.
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.stack", description="The local stack.")
    parser.add_argument("command", choices=["up", "down", "status", "run"])
    parser.add_argument("words", nargs="*", help="run: a command that gets the stack's settings, behind --")
    parser.add_argument("--var", type=Path, default=CHECKOUT / "var", help="where data, logs and secrets are kept")
    parser.add_argument("--workers", type=int, default=DEFAULT_WORKERS, help="worker processes, 3 or more (default: 4)")
    parser.add_argument("--no-flower", action="store_true")
    parser.add_argument("--profile", help="what to run in place of sketch workers: a name, or a path to a .json")
    parser.add_argument("--box", help="which box of the profile this machine is, if it has several")
    args = parser.parse_args(argv)
    try:
        stack = Stack(args.var, args.workers, not args.no_flower, profile=args.profile, box=args.box)
        if args.command == "run":
            return subprocess.call(args.words, env={**os.environ, **stack.settings})
        return {"up": _up, "down": _down, "status": _status}[args.command](stack)
    except (ServerError, DirectorError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _up(stack: Stack) -> int:
    began = time.monotonic()
    if not stack.running():
        print(f"starting; logs go to {stack.var / 'log'}/", flush=True)
    print(f"up in {time.monotonic() - began:.1f} s" if stack.up() else "it is up already")
    return _status(stack)


def _down(stack: Stack) -> int:
    print(f"down; what it stored stays in {stack.var}" if stack.down() else "nothing runs")
    return 0


def _status(stack: Stack) -> int:
    if not stack.running():
        print("the stack is down: start it with `make up`")
        return 3
    state = stack.state
    rows = [
        ("api", stack.api_url),
        ("token", f"in {state.token_file}"),
        ("flower", f"{state.flower_url}  user {state.flower_user}, password: the token"),
        ("logs", f"{state.var / 'log'}/"),
        ("metrics", f"prometheus --config.file={state.var / 'prometheus.yml'}"),
    ]
    places = [f"{name:<12}{value}" for name, value in rows]
    standing = [f"{each.name:<12}{each.state.lower():<10}{each.description}" for each in stack.processes()]
    print("\n".join([*places, "", *standing]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
