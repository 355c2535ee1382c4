"""A stack: the programs of one machine of a profile under supervisord. Without a profile, the sketch studio's.

    python -m infra.stack up [--workers 4] [--no-flower]
    python -m infra.stack up --profile one-80gb [--box NAME]
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
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from signal import SIGKILL
from typing import Self

import httpx
import psutil

from director.errors import DirectorError
from infra.programs import SERVERS, Program, machine_programs, prometheus_conf, supervisor_conf
from infra.servers import CHECKOUT, ServerError, redis_answers, redis_url, replace_file, s3_environment, tail
from infra.state import State, load, log_path, prepare
from infra.supervision import Process, Supervisor, kill_remaining, stack_processes
from tasks.settings import PREFIX, load_settings
from worker.profiles import Machine, Opened, WorkerGroup, load_profile

READY_SECONDS = 90.0
# Weights of 70 GB come from a slow disk at 100 MB/s.
MODEL_SECONDS = 1800.0
DEFAULT_WORKERS = 4
# A program that is started more often than this before the stack is ready does not work.
STARTS = 2


class StackError(ServerError):
    """The stack did not come up; the message carries the log of what failed."""


class Stack:
    """The stack over the folder `var`. As a context manager it starts on entry, and all of it has ended on exit.

    `profile` and `box` name the machine whose programs it runs. Without a `profile` it is the sketch studio's machine
    with `workers` worker programs (3 or more), and VISIONDIRECTOR_STUDIO still says what fills the seats.
    `settings` are further VISIONDIRECTOR_* variables.
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
        self._settings = dict(settings or {})
        self._profile = profile
        self._box = box
        self._supervisor = Supervisor(self.var)

    def __enter__(self) -> Self:
        if not self.up(bound=True):
            raise StackError(f"a stack runs already in {self.var}: end it with `make down`, or choose another folder")
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    @property
    def state(self) -> State:
        """Raises StackError before the first `up`."""
        state = load(self.var)
        if state is None:
            raise StackError(f"no stack was ever started in {self.var}")
        return state

    @property
    def settings(self) -> dict[str, str]:
        """The environment of a process that belongs to the stack or uses it: without stores, only their folder."""
        own = self.state.settings() if self._machine.stores else {f"{PREFIX}RUN_DIR": str(self.var / "run")}
        return own | self._extra_settings

    @property
    def api_url(self) -> str:
        state = self.state
        return state.api_url if self._machine.stores else f"http://127.0.0.1:{load_settings().api_port}"

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
            machine = self._machine  # a profile that can't be read ends here, before anything is changed
            kill_remaining(stack_processes(self.var))
            state = prepare(self.var)
            try:
                settings = load_settings()
                self._opened.prepare(settings)
                programs = machine_programs(state, self._opened.profile, machine, settings, self._flower)
                self._start(state, programs, bound)
            except BaseException:
                self._supervisor.shutdown(SERVERS)
                raise
        return True

    def down(self) -> bool:
        """End every process; False when none ran. Stored data stays."""
        with self._lock():
            ran = self.running() or any(True for _ in stack_processes(self.var))
            self._supervisor.shutdown(SERVERS)
        return ran

    def processes(self) -> list[Process]:
        return self._supervisor.processes()

    def pids(self, program: str) -> list[int]:
        """The process of the program, then its descendants; empty while it is down."""
        main = self._supervisor.process(program).pid
        try:
            return [main, *(child.pid for child in psutil.Process(main).children(recursive=True))] if main else []
        except psutil.NoSuchProcess:
            return []

    def kill(self, program: str, signal: int = SIGKILL, group: bool = True) -> None:
        """Signal the process group of the program, as if its machine were lost; without `group` its parent only."""
        pid = self._supervisor.process(program).pid
        if not pid:
            raise ProcessLookupError(f"{program} does not run")
        (os.killpg if group else os.kill)(pid, signal)

    def stop(self, program: str) -> None:
        """End a program and keep it down."""
        self._supervisor.stop_program(program)

    def start(self, program: str) -> None:
        """Spawn a stopped program; it may not be ready yet."""
        self._supervisor.start_program(program)

    @cached_property
    def _opened(self) -> Opened:
        # Loaded when it is first needed: `down` works whatever the environment says.
        return load_profile(self._profile or "sketch", load_settings())

    @cached_property
    def _machine(self) -> Machine:
        _, machine = self._opened.profile.machine(self._box)
        return machine if self._profile else _resized(machine, self._workers)

    @cached_property
    def _extra_settings(self) -> dict[str, str]:
        """Those that were given, and those of a profile that was named."""
        of_profile = self._opened.settings(os.environ) if self._profile else {}
        written = {name: value if isinstance(value, str) else json.dumps(value) for name, value in of_profile.items()}
        return self._settings | {f"{PREFIX}{name.upper()}": value for name, value in written.items()}

    def _start(self, state: State, programs: Sequence[Program], bound: bool) -> None:
        """Start the programs group by group, each group when the one before is ready."""
        self._supervisor.start(self._configure(state, programs), self._environment(state), bound)
        names = [program.name for program in programs]
        if "redis" in names:
            # Celery waits two seconds before it tries a broker again, so Redis must be there before the rest.
            self._await(lambda: redis_answers(redis_url(state.redis_port, state.redis_password)), names)
        # Models before workers: SGLang takes its share of what is free on a card.
        models = [program for program in programs if program.model]
        self._spawn(models)
        self._await(lambda: all(_answers(program.model) for program in models), names, MODEL_SECONDS)
        viewers = [program for program in programs if program.viewer]
        self._spawn(each for each in programs if each.name not in SERVERS and each not in models + viewers)
        self._await(lambda: self._serves(programs), names)
        # Flower asks the workers for their state once, at its start.
        self._spawn(viewers)
        if viewers:
            self._await(lambda: _answers(f"{state.flower_url}/healthcheck"), names)

    def _configure(self, state: State, programs: Sequence[Program]) -> Path:
        """Write the files that the programs are started and watched with; gives supervisord's."""
        for folder in ("log", "run"):
            (self.var / folder).mkdir(parents=True, exist_ok=True)
        for alive in (self.var / "run").glob("*.alive"):
            alive.unlink(missing_ok=True)
        replace_file(self.var / "prometheus.yml", prometheus_conf(state, programs).encode())
        conf = self.var / "supervisord.conf"
        replace_file(conf, supervisor_conf(state, programs).encode())
        return conf

    def _spawn(self, programs: Iterable[Program]) -> None:
        for program in programs:
            self._supervisor.start_program(program.name)

    def _serves(self, programs: Sequence[Program]) -> bool:
        """True once the API is ready, which means that it reaches Redis and S3 itself, and every worker consumes."""
        if any(program.name == "api" for program in programs) and not _answers(f"{self.api_url}/readyz"):
            return False
        # A worker touches its file once it is connected and consumes.
        return len(list((self.var / "run").glob("*.alive"))) >= sum(program.worker for program in programs)

    def _environment(self, state: State) -> dict[str, str]:
        # One thread each: the processes share the cores, and sums must not depend on the number of threads.
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
            **self.settings,
        }

    def _await(self, ready: Callable[[], bool], names: Sequence[str], seconds: float = READY_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        starts: dict[str, set[int]] = {name: set() for name in names}
        while not ready():
            for process in self.processes():
                pids = starts.get(process.name, set())
                pids.add(process.pid)
                if process.state == "FATAL" or len(pids - {0}) > STARTS:
                    raise StackError(self._failure(process.name, "does not stay up"))
            if time.monotonic() > deadline:
                raise StackError(self._failure(names[0], f"is not ready after {seconds:.0f} s"))
            time.sleep(0.1)

    def _failure(self, program: str, what: str) -> str:
        log = log_path(self.var, program)
        return f"{program} {what}; its log {log} ends:\n{tail(log)}"

    @contextmanager
    def _lock(self) -> Generator[None]:
        """Only one `up` or `down` at a time in a folder."""
        self.var.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.var / "stack.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _resized(machine: Machine, workers: int) -> Machine:
    """The machine with `workers` worker programs: as many editors as its other workers leave."""
    others = [group for group in machine.workers if "editor" not in group.seats]
    editors = [WorkerGroup(name=f"editor-{index}", seats=("editor",)) for index in range(workers - len(others))]
    if not editors:
        raise ValueError("the stack needs at least 3 worker programs: a thinker, a control worker and an editor")
    return machine.model_copy(update={"workers": (*others, *editors)})


def _answers(url: str) -> bool:
    try:
        # trust_env: a proxy of the environment must not see requests to loopback.
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.stack", description="The local stack.")
    parser.add_argument("command", choices=["up", "down", "status", "run"])
    parser.add_argument("words", nargs="*", help="run: the command, after --, that gets the settings of the stack")
    parser.add_argument("--var", type=Path, default=CHECKOUT / "var", help="folder of data, logs and secrets")
    parser.add_argument("--workers", type=int, default=DEFAULT_WORKERS, help="worker processes, 3 or more (default: 4)")
    parser.add_argument("--no-flower", action="store_true")
    parser.add_argument("--profile", help="what to run in place of the sketch studio: a name, or a .json file")
    parser.add_argument("--box", help="name of this machine in the profile, if it has several")
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
    print(f"down; the data stays in {stack.var}" if stack.down() else "nothing runs")
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
