"""What a profile needs, and whether it is there.

A dry run looks at the profile alone. The machine's part (cards, memory, libraries, weights) can be checked before
anything runs, the rest once it does.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import util
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
from redis import Redis

from director.seats import STEP_KINDS
from tasks.settings import MAX_STEP_S, Settings
from worker.checks.doctor import Check, checked
from worker.checks.weights import lora_on_disk, on_disk
from worker.diffusion.config import PipelineConfig
from worker.diffusion.fp8 import CAPABILITY
from worker.profiles import Machine, ModelServer, Opened, Profile
from worker.profiles.budget import GIB, budgets
from worker.profiles.counts import Checkpoint, Unknown, checkpoint
from worker.profiles.servers import address, answers

SKEW_SECONDS = 5.0
"""Leases run on Redis' time; S3 refuses signatures that are a quarter of an hour off."""

SGLANG = "0.5.23"
"""The version whose flags `worker.profiles.servers` writes; others name some of them differently."""

DRIVER = 580
"""The first of NVIDIA's drivers that runs CUDA 13."""

Lines = Iterator[Check]


def on_paper(opened: Opened) -> Lines:
    """The profile itself: it needs no GPU, no weights and no server."""
    profile = opened.profile
    yield Check("profile", True, f"{opened.word}: {profile.about}")
    yield checked("queues", lambda: _queues(profile))
    yield checked("endpoints", lambda: _endpoints(profile))
    try:
        for budget in budgets(profile):
            yield Check("memory", budget.fits, budget.table())
    except (Unknown, ValueError) as error:
        yield Check("memory", False, str(error))


def announced(opened: Opened, machine: Machine) -> Lines:
    """What a real run will look for, said without looking."""
    for path, known in _weights(opened.profile):
        source = f"weights of {known.repository}" if known.repository else "made from code at the first start"
        yield Check("weights", True, f"will look for {path} ({source})")
    yield from _licences(opened.profile)
    if machine.gpus:
        cards = ", ".join(f"{size:g}" for size in machine.gpus)
        yield Check("gpus", True, f"will look for {len(machine.gpus)} with {cards} GiB or more")
    for server in machine.servers:
        yield Check("servers", True, f"will ask {address(server)} for {server.served}")
    stores = "of the box itself" if machine.stores else "that the settings name"
    yield Check("stores", True, f"will ask the Redis and the S3 {stores} for ledger, bucket and clock")


def of_machine(opened: Opened, machine: Machine, settings: Settings) -> Lines:
    """Cards, memory, libraries and weights: all that must be there before a start."""
    yield checked("memory", lambda: _machine_memory(machine))
    if machine.gpus:
        yield checked("gpus", lambda: _gpus(opened.profile, machine))
    on_gpus = any(server.gpus for server in machine.servers)
    if machine.servers:
        yield checked("sglang", lambda: _sglang(settings, on_gpus))
    if on_gpus:
        yield checked("nvcc", lambda: _nvcc(os.environ))
    if opened.profile.editors and any("editor" in group.seats for group in machine.workers):
        yield checked("libraries", _libraries)
        if machine.gpus:
            yield checked("cuda", _cuda)
        if any(config.compile for config in _pipelines(opened.profile)):
            yield checked("compiler", _compiler)
    yield from _files(opened.profile)
    for server in machine.servers:
        yield checked("port", lambda server=server: _port(server))


def _files(profile: Profile) -> Lines:
    """Weights and LoRAs on the disk, and what their licences say."""
    for path, known in _weights(profile):
        if not Path(path).name.startswith("tiny-"):
            stored = _stored(profile, path)
            yield checked(
                "weights", lambda path=path, stored=stored, r=known.repository: on_disk(Path(path), r, stored)
            )
    for path in _loras(profile):
        yield checked("lora", lambda path=path: lora_on_disk(path))
    if path := profile.policy:
        yield checked("policy", lambda path=path: _policy(path))
    yield from _licences(profile)


def of_running(opened: Opened, settings: Settings) -> Lines:
    """Servers with the names that the seats ask for, and clocks; the stores are the plain doctor's."""
    if config := opened.profile.vlm:
        from worker.vlm.seats import examine

        seats = {(seat.url, seat.model): seat for seat in config.seats.values()}
        for seat in seats.values():
            yield checked("server", lambda seat=seat: examine(seat))
    yield checked("clock", lambda: _clock(settings))


def _policy(path: str) -> str:
    from worker.policy.network import load_network

    return f"{path}: {load_network(Path(path)).about.get('trained', 'of unknown origin')}"


# --- on paper -----------------------------------------------------------------------------------


def _queues(profile: Profile) -> str:
    """Every seat and every editor model has a worker in some machine."""
    served = {seat for machine in profile.boxes.values() for group in machine.workers for seat in group.seats}
    if missing := sorted({"planner", "judge", "verifier", "editor", "control"} - served):
        raise ValueError(f"no worker serves {', '.join(missing)}")
    groups = [group for machine in profile.boxes.values() for group in machine.workers if "editor" in group.seats]
    models = {model for group in groups for model in profile.models(group)}
    if profile.editors:
        for group in groups:
            profile.pipelines(profile.models(group))
        if idle := sorted(set(profile.editors.models()) - models):
            raise ValueError(f"no worker serves editor.{idle[0]}")
    editors = ", ".join(f"editor.{model}" for model in sorted(models)) or "the sketch studio's editors"
    return f"planner, judge, verifier, control, {editors}"


def _endpoints(profile: Profile) -> str:
    """Every seat asks a server of the profile, by the name that it serves."""
    config = profile.vlm
    if config is None:
        return "no model server is asked"
    servers = {server.port: server for machine in profile.boxes.values() for server in machine.servers}
    for seat, endpoint in config.seats.items():
        port = urlsplit(endpoint.url).port or 0
        base = endpoint.model.split(":", 1)[0]
        if servers and port not in servers:
            raise ValueError(f"{seat} asks {endpoint.url}: the profile's servers have {', '.join(map(str, servers))}")
        if servers and servers[port].served != base:
            raise ValueError(f"{seat} asks for {base!r}, and {servers[port].name} serves {servers[port].served!r}")
        if servers and endpoint.max_tokens >= servers[port].context:
            raise ValueError(f"{seat}: a reply of {endpoint.max_tokens} tokens leaves no context for the prompt")
        if (longest := endpoint.answer_s(endpoint.max_tokens)) > endpoint.deadline_s:
            raise ValueError(
                f"{seat}: a reply of {endpoint.max_tokens} tokens takes up to {longest:.0f} s, and its deadline_s is "
                f"{endpoint.deadline_s:g}: raise that, or lower max_tokens"
            )
        limit = _shortest(profile, seat)
        if endpoint.deadline_s >= limit:
            raise ValueError(f"{seat}: its deadline_s, {endpoint.deadline_s:g}, must be below max_step_s, {limit:g}")
    return ", ".join(f"{server.name} serves {server.served} on {port}" for port, server in servers.items())


def _shortest(profile: Profile, seat: str) -> float:
    """Seconds after which the first of the seat's steps counts as hung."""
    limits = MAX_STEP_S | profile.max_step_s
    return min(limits[kind.name] for kind in STEP_KINDS.values() if kind.seat == seat)


def _weights(profile: Profile) -> list[tuple[str, Checkpoint]]:
    """Each folder of weights with the checkpoint that it holds; one without a repository is made from code."""
    paths = [server.model for machine in profile.boxes.values() for server in machine.servers]
    found: dict[str, Checkpoint] = {}
    for path in [*paths, *(config.path for config in _pipelines(profile))]:
        try:
            found[path] = checkpoint(path)
        except Unknown:
            found[path] = Checkpoint(f"{Path(path).name}, which this checkout does not know", {})
    return list(found.items())


def _licences(profile: Profile) -> Lines:
    """A line for each licence, with the weights under it; those that nobody here has read are left out."""
    under: dict[str, list[str]] = {}
    for path, known in _weights(profile):
        if known.licence:
            under.setdefault(known.licence, []).append(Path(path).name)
    for licence, weights in under.items():
        yield Check("licence", True, f"{', '.join(weights)}: {licence}")


def _stored(profile: Profile, path: str) -> str:
    """How the blocks of the weights in a folder have to be stored."""
    servers = [server for machine in profile.boxes.values() for server in machine.servers if server.model == path]
    return "fp8" if any(server.weights == "fp8" for server in servers) else "wide"


def _pipelines(profile: Profile) -> list[PipelineConfig]:
    return list(profile.editors.pipelines.values()) if profile.editors else []


def _loras(profile: Profile) -> list[Path]:
    return list(dict.fromkeys(path for config in _pipelines(profile) for path in config.loras.values()))


# --- the machine --------------------------------------------------------------------------------


def _machine_memory(machine: Machine) -> str:
    memory = psutil.virtual_memory().total / GIB
    if memory < 0.95 * machine.memory:
        raise ValueError(f"the machine has {memory:.1f} GiB, the profile needs {machine.memory:g}")
    return f"{memory:.1f} GiB, {machine.memory:g} needed"


def _gpus(profile: Profile, machine: Machine) -> str:
    cards = cards_suffice(machine.gpus, _listed("name,memory.total,memory.used"))
    editing = [group.gpu for group in machine.workers if "editor" in group.seats and group.gpu is not None]
    rows = any(config.quantize == "fp8-row" for config in _pipelines(profile))
    driver = driver_suffices(_listed("driver_version,compute_cap"), editing if rows else [])
    return f"{cards}, {driver}"


def _listed(fields: str) -> str:
    """nvidia-smi's CSV, a line for each card."""
    program = shutil.which("nvidia-smi")
    if program is None:
        raise ValueError("there is no nvidia-smi: install the driver, or choose another profile")
    query = [program, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    result = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    if result.returncode:
        raise ValueError(f"nvidia-smi failed: {(result.stderr or result.stdout).strip()[:300]}")
    return result.stdout


def cards_suffice(wanted: Sequence[float], listed: str) -> str:
    """From nvidia-smi's CSV of name and MiB in all and in use; ValueError names the first card that is too small."""
    rows = [line.rsplit(",", 2) for line in listed.strip().splitlines()]
    if len(rows) < len(wanted):
        raise ValueError(f"the profile wants {len(wanted)} GPUs, and there are {len(rows)}")
    cards: list[str] = []
    for number, (size, (name, total, used)) in enumerate(zip(wanted, rows, strict=False)):
        if float(total) / 1024 < size:
            raise ValueError(f"GPU {number}, {name}, has {float(total) / 1024:.1f} GiB: the profile wants {size:g}")
        cards.append(f"{name} with {float(total) / 1024:.1f} GiB, {float(used) / 1024:.1f} in use")
    return ", ".join(cards)


def driver_suffices(listed: str, fp8: Sequence[int]) -> str:
    """From nvidia-smi's CSV of driver and compute capability. The cards numbered in `fp8` must multiply FP8."""
    rows = [[field.strip() for field in line.split(",")] for line in listed.strip().splitlines()]
    driver = rows[0][0]
    if int(driver.split(".")[0]) < DRIVER:
        raise ValueError(f"the driver {driver} is too old for CUDA 13: install {DRIVER} or newer")
    for number in fp8:
        major, minor = map(int, rows[number][1].split("."))
        if (major, minor) < CAPABILITY:
            raise ValueError(
                f"GPU {number} has compute capability {major}.{minor}, and `quantize: fp8-row` needs "
                f"{CAPABILITY[0]}.{CAPABILITY[1]}: set `quantize` to none or fp8"
            )
    return f"driver {driver}"


def _sglang(settings: Settings, on_gpus: bool) -> str:
    if not settings.sglang_python.exists():
        raise ValueError(f"there is no {settings.sglang_python}: install SGLang, or set VISIONDIRECTOR_SGLANG_PYTHON")
    # The kernels are no package where `make setup-sglang` put stand-ins for a CPU.
    package = "sglang-kernel" if on_gpus else "sglang"
    code = f"from importlib.metadata import version as v; print(v('sglang')); v('{package}')"
    result = subprocess.run(
        [settings.sglang_python, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    version = result.stdout.strip()
    if version != SGLANG:
        found = f"SGLang {version}" if version else "no SGLang"
        raise ValueError(f"{settings.sglang_python} has {found}: its flags are those of {SGLANG}, install that")
    if result.returncode:
        raise ValueError(f"{settings.sglang_python} has SGLang for a CPU: pip install sglang=={SGLANG} elsewhere")
    return f"{settings.sglang_python} has SGLang {SGLANG}"


def _nvcc(environ: Mapping[str, str]) -> str:
    """CUDA's compiler, looked for where SGLang looks: FlashInfer compiles attention at the first start."""
    home = environ.get("CUDA_HOME") or environ.get("CUDA_PATH")
    places = [f"{home}/bin/nvcc"] if home else ["nvcc", "/usr/local/cuda/bin/nvcc"]
    compiler = next((path for place in places if (path := shutil.which(place, path=environ.get("PATH")))), None)
    if compiler is None:
        raise ValueError("there is no nvcc: install the CUDA 13 toolkit, and set CUDA_HOME to its folder")
    return compiler


def _libraries() -> str:
    libraries = ("torch", "diffusers", "transformers", "openai", "rapidocr")
    if missing := [name for name in libraries if util.find_spec(name) is None]:
        raise ValueError(f"{', '.join(missing)} can't be imported here: make setup-models, then use .venv-models/bin")
    return ", ".join(libraries)


def _cuda() -> str:
    """Whether torch can use a card: asked in a process of its own, because CUDA does not survive a fork."""
    code = "import torch; torch.ones(1, device='cuda'); print('torch', torch.__version__, 'CUDA', torch.version.cuda)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    if result.returncode:
        why = (result.stderr.strip().splitlines() or ["no word why"])[-1][:300]
        raise ValueError(f"torch can't use the cards: {why} (install a torch with CUDA, or a newer driver)")
    return result.stdout.strip()


def _compiler() -> str:
    """Triton compiles the launchers of its kernels when the editor starts."""
    compiler = shutil.which(os.environ.get("CC", "")) or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise ValueError("`compile` needs a C compiler: install gcc, or name one in CC")
    return compiler


def _port(server: ModelServer) -> str:
    if answers(server):
        return f"{server.port}: {server.name} answers already"
    listeners = [
        c for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr and c.laddr[1] == server.port
    ]
    if listeners:
        raise ValueError(f"{server.port} is taken by a process that is no model server")
    return f"{server.port} is free for {server.name}"


# --- while it runs ------------------------------------------------------------------------------


def _clock(settings: Settings) -> str:
    """How far this clock is from those of Redis and S3."""
    with Redis.from_url(settings.ledger_url, socket_timeout=3) as redis:  # pyright: ignore[reportUnknownMemberType]
        before = time.time()
        seconds, microseconds = redis.time()  # pyright: ignore
        skews = {"Redis": seconds + microseconds / 1e6 - (before + time.time()) / 2}
    if settings.s3_endpoint:
        answer = httpx.get(settings.s3_endpoint, timeout=5, trust_env=False)
        if said := answer.headers.get("date"):
            skews["S3"] = (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds()
    words = ", ".join(f"{name} {skew:+.1f} s" for name, skew in skews.items())
    if any(abs(skew) > SKEW_SECONDS for skew in skews.values()):
        raise ValueError(f"this machine's clock is off: {words} (run a time service)")
    return words
