"""`python -m infra.env` prints infra/env.example: every setting, its meaning and its default, from Settings itself."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from infra.servers import CHECKOUT
from tasks.settings import PREFIX, Settings

EXAMPLE = CHECKOUT / "infra" / "env.example"
_HEAD = """\
# Every setting of VisionDirector's processes, with its default. Written by `make env-example`; don't edit it here.
# Copy it to /etc/visiondirector.env (mode 600), and remove the # from the lines that you change.
# Lines are KEY=value without quotes, as systemd's EnvironmentFile= and docker's --env-file read them.
"""
_TAIL = """\
# --- of other programs ---

# Flower: its port, its login (user:password) and the file of its history.
#FLOWER_PORT=5555
#FLOWER_BASIC_AUTH=visiondirector:
#FLOWER_DB=var/flower.db

# The client and the command line: the address of the API, and the token to send.
#VISIONDIRECTOR_URL=http://127.0.0.1:8100
#VISIONDIRECTOR_TOKEN=
"""


def example() -> str:
    """The text of the file."""
    return "\n".join([_HEAD, *_settings(), _TAIL])


def _settings() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        about = field.description or name
        comment = "\n".join(f"# {line}" for line in wrap(f"{about[0].upper()}{about[1:]}.", 110))
        yield f"{comment}\n#{PREFIX}{name.upper()}={_default(field)}\n"


def _default(field: FieldInfo) -> str:
    """The default as the environment would hold it; empty where it depends on the machine."""
    if field.default_factory is not None or field.default is None:
        return ""
    value: Any = field.default
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return _portable(value)
    if isinstance(value, Mapping):
        return json.dumps(value)
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return str(value)


def _portable(path: Path) -> str:
    """A path without the folders of this machine: relative to the checkout, the current folder or the home folder."""
    for root, word in ((CHECKOUT, ""), (Path.cwd(), ""), (Path.home(), "~/")):
        if path.is_absolute() and path.is_relative_to(root):
            return f"{word}{path.relative_to(root)}"
    return str(path)


if __name__ == "__main__":
    print(example(), end="")
