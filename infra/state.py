"""What a local stack keeps between one `up` and the next: its ports and secrets, in `var/stack.json`."""

import hashlib
import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.files import replace_file
from infra.servers import free_port, port_is_free, redis_url

# Every process of a stack carries it, so that `down` finds those whose supervisord was killed.
MARK = "VISIONDIRECTOR_STACK"
BUCKET = "visiondirector"
# Linux has 108 bytes for the path of a unix socket; supervisord appends a dot and its pid while it binds.
LONGEST_SOCKET = 107 - len(".4194304")
# Whoever starts a stack operates it.
_SCOPES = ("read", "write", "operate")
_PORTS = ("redis_port", "s3_port", "api_port", "flower_port")
_SECRETS = ("redis_password", "s3_secret", "token")


@dataclass(frozen=True)
class State:
    """The ports and secrets of the stack over the folder `var`."""

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
        """The token opens Flower too."""
        return self.token

    @property
    def token_file(self) -> Path:
        return self.var / "token"

    def settings(self) -> dict[str, str]:
        """The stack as the environment of any process that belongs to it or talks to it."""
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
            "VISIONDIRECTOR_URL": self.api_url,
            "VISIONDIRECTOR_TOKEN": self.token,
        }


def load(var: Path) -> State | None:
    """The state of an earlier `up`, if there was one that can be read."""
    try:
        kept: dict[str, Any] = json.loads((var / "stack.json").read_text())
        return State(var=var, **{name: kept[name] for name in (*_PORTS, *_SECRETS)})
    except (FileNotFoundError, ValueError, KeyError):
        return None


def prepare(var: Path) -> State:
    """The state to start with: kept secrets, kept ports as far as they are free; written for the owner only."""
    earlier = load(var)
    kept: dict[str, Any] = {} if earlier is None else vars(earlier)
    ports: dict[str, int] = {}
    for name in _PORTS:
        port: int = kept.get(name, 0)
        taken = frozenset(ports.values())
        ports[name] = port if port and port not in taken and port_is_free(port) else free_port(taken)
    made: dict[str, Any] = {name: kept.get(name) or secrets.token_urlsafe(24) for name in _SECRETS}
    state = State(var=var, **ports, **made)
    kept_next = json.dumps({"api_url": state.api_url, **ports, **made}, indent=2) + "\n"
    replace_file(var / "stack.json", kept_next.encode())
    replace_file(state.token_file, f"{state.token}\n".encode())
    return state


def log_path(var: Path, program: str) -> Path:
    return var / "log" / f"{program}.log"


def socket_path(var: Path) -> Path:
    """Where supervisord listens: in `var`, or in a short folder of this user's if that path is too long.

    Raises PermissionError when someone else has made that folder.
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
