"""Build `visiondirector-client`, the wheel of api/client with the command: `python -m infra.client_wheel [FOLDER]`.

The default folder is dist. It needs pip and no other package. It is built from a copy, because a build leaves files
beside its sources.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from modulefinder import ModuleFinder
from pathlib import Path
from shutil import copy

CHECKOUT = Path(__file__).resolve().parent.parent
CLIENT = CHECKOUT / "api" / "client"
NOT_CARRIED = ("tasks.ledger", "tasks.retention", "tasks.settings", "tasks.store")
"""What only `visiondirector gc` imports, when it runs: it is for machines of the service, and says so elsewhere."""
OLDEST_SETUPTOOLS = 77


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
        for path in program():
            target = Path(copied, "program", path.relative_to(CHECKOUT))
            target.parent.mkdir(parents=True, exist_ok=True)
            copy(path, target)
        pip = [sys.executable, "-m", "pip", "wheel", "-qq", "--disable-pip-version-check"]
        # With the setuptools of this environment it needs no network; an older one can't read the project's file.
        here = ["--no-build-isolation"] if _setuptools() >= OLDEST_SETUPTOOLS else []
        subprocess.run([*pip, "--no-deps", *here, "-w", built, copied], check=True)
        (wheel,) = Path(built).glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(copy(wheel, folder))


def program() -> Iterator[Path]:
    """The modules that the command consists of: api.cli, and what it imports of the checkout."""
    # Packages of others are not found in this path, and so are not followed.
    finder = ModuleFinder([str(CHECKOUT)], excludes=NOT_CARRIED)
    finder.run_script(str(CHECKOUT / "api" / "cli" / "__main__.py"))
    files = (getattr(found, "__file__", None) for found in finder.modules.values())
    return (Path(name) for name in sorted(str(file) for file in files if file))


def _setuptools() -> int:
    try:
        return int(metadata.version("setuptools").partition(".")[0])
    except (metadata.PackageNotFoundError, ValueError):
        return 0


if __name__ == "__main__":
    sys.exit(main())
