"""The command `visiondirector`, as the wheel brings it: a program beside the library, which imports nothing of it.

`infra/client_wheel.py` puts the program's modules into the folder `program`. They keep the names that they have in a
checkout, so the folder is a place to import from in this process only: `api` and `director` are no names for what all
programs of an environment share.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

OLDEST = (3, 11)


def main() -> None:
    if sys.version_info < OLDEST:
        sys.exit("the command visiondirector needs Python 3.11 or newer; the library visiondirector_client works here")
    sys.path.insert(0, str(Path(__file__).resolve().parent / "program"))
    runpy.run_module("api.cli", run_name="__main__", alter_sys=True)
