"""The SGLang servers of a profile: their command lines, and a context that starts those that do not answer."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx

from director.errors import DirectorError
from tasks.settings import Settings
from worker.profiles import Machine, ModelServer, load_profile
from worker.profiles.budget import PICTURES_MIB, memory_fraction

START_SECONDS = 1800.0
"""Weights of 70 GB come from a slow disk at 100 MB/s."""

_ON_CPU = {
    "SGLANG_USE_CPU_ENGINE": "1",
    # With more, or with waiting that spins, 16 requests took 26 s in place of 0.9 s on two cores.
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


class ServerFailed(DirectorError):
    """A model server ended, or did not answer in time; the message carries the end of its log."""

    boundary = "model server"


@contextmanager
def servers_running(settings: Settings, logs: Path) -> Generator[None]:
    """What the profile needs for a run in this process: tiny checkpoints, and its model servers until the block ends.

    Servers of a profile with several machines run elsewhere.
    """
    opened = load_profile(settings.studio, settings)
    print(f"studio {opened.word}: {opened.profile.about}", file=sys.stderr)
    machines = list(opened.profile.boxes.values())
    servers = machines[0].servers if len(machines) == 1 else ()
    opened.prepare(settings)
    if not servers:
        yield
        return
    print(f"model servers: {', '.join(server.name for server in servers)}; logs go to {logs}/", file=sys.stderr)
    with running(machines[0], settings, logs):
        yield


def command(server: ModelServer, settings: Settings) -> list[str]:
    """What runs the server in the foreground, with its environment in front."""
    # With its environment's programs in reach: kernels that SGLang compiles at its start are built by ninja.
    path = f"{settings.sglang_python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    variables = {"HF_HUB_OFFLINE": "1", **(_gpu_environment(server) if server.gpus else _ON_CPU), "PATH": path}
    variables |= server.environment
    return [
        "env", *(f"{name}={value}" for name, value in variables.items()),
        str(settings.sglang_python), "-m", "sglang.launch_server",
        "--model-path", server.model, "--served-model-name", server.served,
        "--host", server.host, "--port", str(server.port),
        "--context-length", str(server.context), "--max-total-tokens", str(server.tokens),
        "--max-running-requests", str(server.running), "--chunked-prefill-size", str(server.prefill),
        # Else white space in a JSON reply can run to the last token, and nobody learns what the prefix cache saved.
        "--constrained-json-disable-any-whitespace", "--enable-cache-report",
        *(_on_gpus(server) if server.gpus else _on_cpu()),
        *server.arguments,
    ]  # fmt: skip


def _gpu_environment(server: ModelServer) -> Mapping[str, str]:
    return {
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, server.gpus)),
        # On Hopper SGLang keeps no picture's embedding unless told to, and holds a GiB for its transport instead. Here
        # the same pictures are asked about again and again, at other places of a prompt.
        "SGLANG_VLM_CACHE_SIZE_MB": str(PICTURES_MIB),
    }


def _on_gpus(server: ModelServer) -> Sequence[str]:
    return (
        "--tp-size", str(len(server.gpus)), "--mem-fraction-static", f"{memory_fraction(server):.3f}",
        "--cuda-graph-max-bs-decode", str(server.running),
    )  # fmt: skip


def _on_cpu() -> Sequence[str]:
    return ("--device", "cpu", "--attention-backend", "torch_native", "--sleep-on-idle")


def address(server: ModelServer) -> str:
    """The base URL of the server's API, as this machine reaches it."""
    host = "127.0.0.1" if server.host == "0.0.0.0" else server.host
    return f"http://{host}:{server.port}/v1"


def models_url(server: ModelServer) -> str:
    """What answers once the server is ready, with the names that it serves."""
    return f"{address(server)}/models"


def answers(server: ModelServer) -> bool:
    """True once the server lists its models."""
    try:
        # trust_env: a proxy of the environment has no business with the machine's own servers.
        return httpx.get(models_url(server), timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


@contextmanager
def running(machine: Machine, settings: Settings, logs: Path) -> Generator[tuple[str, ...]]:
    """Gives the names of the servers that had to be started; they end with the block. Raises ServerFailed."""
    missing = [server for server in machine.servers if not answers(server)]
    if missing:
        logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as resources:
        started = [(server, resources.enter_context(_started(server, settings, logs))) for server in missing]
        for server, process in started:
            _await(server, process, logs / f"{server.name}.log")
        yield tuple(server.name for server in missing)


@contextmanager
def _started(server: ModelServer, settings: Settings, logs: Path) -> Generator[subprocess.Popen[bytes]]:
    if not settings.sglang_python.exists():
        raise ServerFailed(
            f"there is no {settings.sglang_python}", "make setup-sglang, or set VISIONDIRECTOR_SGLANG_PYTHON"
        )
    arguments = command(server, settings)
    if setpriv := shutil.which("setpriv"):
        # Else a server would outlive a killed run.
        arguments = [setpriv, "--pdeathsig", "TERM", "--", *arguments]
    with (logs / f"{server.name}.log").open("wb") as log:
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Politely, then by force; its children are in its process group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(15)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _await(server: ModelServer, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not answers(server):
        if process.poll() is not None or time.monotonic() > end:
            problem = "ended" if process.poll() is not None else f"did not answer in {START_SECONDS:.0f} s"
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise ServerFailed(f"the model server {server.name} {problem}; its log {log} ends:\n{tail}")
        time.sleep(0.5)
