"""The state of a stack between two `up`: its ports and secrets, in `var/stack.json`."""

import hashlib
import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.servers import free_port, port_is_free, redis_url, replace_file

# In the environment of every process of a stack, so that `down` finds those whose supervisord was killed.
MARK = "VISIONDIRECTOR_STACK"
BUCKET = "visiondirector"
# Linux has 108 bytes for the path of a unix socket; supervisord appends a dot and its pid while it binds.
LONGEST_SOCKET = 107 - len(".4194304")
# The user who starts a stack operates it.
_SCOPES = ("read", "write", "operate")
_PORTS = ("redis_port", "s3_port", "api_port", "flower_port")
_SECRETS = ("redis_password", "s3_secret", "token")


@dataclass(frozen=True)
class State:
    """The ports and secrets of the stack in the folder `var`."""

    var: Path
    redis_port: int
    s3_port: int
    api_port: int
    flower_port: int
    redis_password: str
    s3_secret: str
    token: str
    s3_key: str = "visiondirector"
    flower_user: str = "visiondirector"

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def flower_url(self) -> str:
        return f"http://127.0.0.1:{self.flower_port}"

    @property
    def flower_password(self) -> str:
        """The token is also the password of Flower."""
        return self.token

    @property
    def token_file(self) -> Path:
        return self.var / "token"

    def settings(self) -> dict[str, str]:
        """The environment of a process that belongs to the stack or uses it."""
        return {
            "VISIONDIRECTOR_BROKER_URL": redis_url(self.redis_port, self.redis_password, 0),
            "VISIONDIRECTOR_LEDGER_URL": redis_url(self.redis_port, self.redis_password, 1),
            "VISIONDIRECTOR_S3_ENDPOINT": f"http://127.0.0.1:{self.s3_port}",
            "VISIONDIRECTOR_S3_BUCKET": BUCKET,
            "VISIONDIRECTOR_S3_ACCESS_KEY": self.s3_key,
            "VISIONDIRECTOR_S3_SECRET_KEY": self.s3_secret,
            "VISIONDIRECTOR_API_HOST": "127.0.0.1",
            "VISIONDIRECTOR_API_PORT": str(self.api_port),
            "VISIONDIRECTOR_TOKENS": json.dumps({"local": {"token": self.token, "scopes": _SCOPES}}),
            "VISIONDIRECTOR_RUN_DIR": str(self.var / "run"),
            "VISIONDIRECTOR_DISKS": str(self.var),
            "VISIONDIRECTOR_URL": self.api_url,
            "VISIONDIRECTOR_TOKEN": self.token,
        }


def load(var: Path) -> State | None:
    """The state of an earlier `up`, if its file can be read."""
    try:
        kept: dict[str, Any] = json.loads((var / "stack.json").read_text())
        return State(var=var, **{name: kept[name] for name in (*_PORTS, *_SECRETS)})
    except (FileNotFoundError, ValueError, KeyError):
        return None


def prepare(var: Path) -> State:
    """The state for an `up`: the secrets of the last one, and its ports where they are free. It is stored."""
    earlier = load(var)
    kept: dict[str, Any] = {} if earlier is None else vars(earlier)
    ports: dict[str, int] = {}
    for name in _PORTS:
        port: int = kept.get(name, 0)
        taken = frozenset(ports.values())
        ports[name] = port if port and port not in taken and port_is_free(port) else free_port(taken)
    made: dict[str, Any] = {name: kept.get(name) or secrets.token_urlsafe(24) for name in _SECRETS}
    state = State(var=var, **ports, **made)
    text = json.dumps({"api_url": state.api_url, **ports, **made}, indent=2) + "\n"
    replace_file(var / "stack.json", text.encode())
    replace_file(state.token_file, f"{state.token}\n".encode())
    return state


def log_path(var: Path, program: str) -> Path:
    return var / "log" / f"{program}.log"


def socket_path(var: Path) -> Path:
    """The socket of supervisord: in `var`, or in a folder with a short path if that path is too long.

    Raises PermissionError when another user owns that folder, or can read it.
    """
    near = var / "supervisor.sock"
    if len(os.fsencode(near)) <= LONGEST_SOCKET:
        return near
    folder = Path(tempfile.gettempdir()) / f"visiondirector-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    about = folder.lstat()
    if about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise PermissionError(f"{folder} belongs to another user or is open to others: remove it")
    return folder / f"{hashlib.blake2b(os.fsencode(var), digest_size=8).hexdigest()}.sock"
