"""Build `visiondirector-client`, the wheel of api/client: `python -m infra.client_wheel [FOLDER]` (default: dist).

Built from a copy, because a build leaves files beside its sources, and with the setuptools of this
environment, so that it needs no network.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from shutil import copy

from infra.servers import CHECKOUT

CLIENT = CHECKOUT / "api" / "client"


def main(arguments: Sequence[str] | None = None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    print(build(Path(words[0] if words else "dist")))
    return 0


def build(folder: Path) -> Path:
    """The wheel, in `folder`, made anew. Raises CalledProcessError when pip can't build it."""
    with tempfile.TemporaryDirectory() as copied, tempfile.TemporaryDirectory() as built:
        for path in (*CLIENT.glob("*.py"), *CLIENT.glob("*.toml"), *CLIENT.glob("*.md"), CLIENT / "py.typed"):
            copy(path, copied)
        copy(CHECKOUT / "LICENSE", copied)
        pip = [sys.executable, "-m", "pip", "wheel", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-w", built, copied], check=True)
        (wheel,) = Path(built).glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(copy(wheel, folder))


if __name__ == "__main__":
    sys.exit(main())
