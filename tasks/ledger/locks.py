"""What one process does at a time, wherever it runs: the lock lies in the ledger."""

import secrets
import time
from collections.abc import Generator
from contextlib import contextmanager

from director.errors import StoreError
from tasks.ledger.ledger import Ledger

PATIENCE_S = 10.0
_LONGEST_MS = 30_000  # a process that died gives its lock back after that


class Busy(StoreError):
    """Somebody else holds the lock."""


@contextmanager
def alone(ledger: Ledger, name: str, patience_s: float = PATIENCE_S) -> Generator[None]:
    """Nobody else does what has this name meanwhile. Raises Busy when somebody has for so long."""
    holder = secrets.token_hex(8)
    end = time.monotonic() + patience_s
    while not ledger.run("lock", name, holder, _LONGEST_MS):
        if time.monotonic() >= end:
            raise Busy("somebody else is changing the same thing", "try again in a moment")
        time.sleep(0.05)
    try:
        yield
    finally:
        ledger.run("unlock", name, holder)
