"""Starts, controls and ends supervisord, which restarts programs that die."""

import os
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
from supervisor.xmlrpc import SupervisorTransport

from infra.servers import CHECKOUT, ServerError, dies_with_parent, tail
from infra.state import MARK, log_path, socket_path

STOP_SECONDS = 60.0


@dataclass(frozen=True)
class Process:
    """A program. `state` is supervisord's: RUNNING, STARTING, BACKOFF, FATAL, STOPPED, …"""

    name: str
    state: str
    pid: int
    description: str


class Supervisor:
    """The supervisord of the stack over `var`. It may be down."""

    def __init__(self, var: Path) -> None:
        self._var = var
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self, conf: Path, environment: Mapping[str, str], bound: bool) -> None:
        """Start supervisord and wait until it answers. `bound`: it ends with the thread that starts it."""
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(conf)]
        log = log_path(self._var, "supervisord.out")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._daemon = daemon = subprocess.Popen(
                dies_with_parent(command) if bound else command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=CHECKOUT,
                env={**os.environ, **environment, MARK: str(self._var)},
                start_new_session=True,
                umask=0o077,
            )
        deadline = time.monotonic() + 15
        while not self.pid():
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"supervisord did not start; {log} ends:\n{tail(log)}")
            time.sleep(0.05)

    def pid(self) -> int | None:
        """The daemon's process id if it answers."""
        try:
            with self._calls() as supervisor:
                return int(supervisor.getPID())
        except (OSError, xmlrpc.client.Error):
            return None

    def processes(self) -> list[Process]:
        with self._calls() as supervisor:
            return [
                Process(info["name"], info["statename"], info["pid"], info["description"])
                for info in supervisor.getAllProcessInfo()
            ]

    def process(self, name: str) -> Process:
        for process in self.processes():
            if process.name == name:
                return process
        raise KeyError(f"the stack has no program {name!r}")

    def start_program(self, name: str) -> None:
        """Spawn it; it may not be ready yet."""
        with self._calls() as supervisor:
            supervisor.startProcess(name, False)

    def stop_program(self, name: str, wait: bool = True) -> None:
        with self._calls() as supervisor:
            supervisor.stopProcess(name, wait)

    def shutdown(self, last: Collection[str]) -> None:
        """End every program, those of `last` after all others, then supervisord. Kill the processes that remain."""
        processes = list(stack_processes(self._var))
        if pid := self.pid():
            # supervisord's own shutdown is slow: it checks one program a second, even if that has ended.
            names = [process.name for process in self.processes()]
            self._stop([name for name in names if name not in last])
            self._stop([name for name in names if name in last])
            with self._calls() as supervisor:
                supervisor.shutdown()
            wait_gone([pid], STOP_SECONDS)
        kill_remaining([*processes, *stack_processes(self._var)])
        if self._daemon:
            self._daemon.wait()
        # Only a killed supervisord leaves these files.
        socket_path(self._var).unlink(missing_ok=True)
        (self._var / "supervisord.pid").unlink(missing_ok=True)

    def _stop(self, names: Collection[str]) -> None:
        """Stop all of them, then wait: supervisord kills those that take too long."""
        pids = [process.pid for process in self.processes() if process.name in names and process.pid]
        for name in names:
            # It may have ended meanwhile.
            with suppress(xmlrpc.client.Fault):
                self.stop_program(name, wait=False)
        wait_gone(pids, STOP_SECONDS)

    @contextmanager
    def _calls(self) -> Generator[Any]:
        transport = cast("xmlrpc.client.Transport", SupervisorTransport(None, None, f"unix://{socket_path(self._var)}"))
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
            yield proxy.supervisor


def stack_processes(var: Path) -> Iterator[psutil.Process]:
    """This user's processes of the stack over `var`, found by MARK in their environment, whatever their parent."""
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == str(var):
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def wait_gone(pids: Collection[int], seconds: float) -> None:
    """Return when all have ended, or after `seconds`. A zombie has ended: its parent has not read its status."""
    deadline = time.monotonic() + seconds
    while any(_runs(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)


def kill_remaining(processes: Iterable[psutil.Process]) -> None:
    """Kill those that still run. `psutil` does not confuse a reused pid with the process that had it before."""
    left = [process for process in processes if process.is_running()]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=10)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
