"""Everything that can go wrong, classified once at the boundary where it went wrong.

DirectorError
├── BriefError      the user's input; final, never retried; names the field and the fix
├── SeatError       a model failed; retried by the queue, then dead-lettered
│   ├── PlannerError
│   ├── EditorError
│   ├── JudgeError
│   └── VerifierError
├── StoreError      object storage or the ledger is out of reach; costs no attempt
└── Cancelled       not a fault: somebody asked the step to stop

Every error here survives pickling: its arguments are plain strings.
"""

from collections.abc import Generator
from contextlib import contextmanager


class DirectorError(Exception):
    """The root. `boundary` says where it happened and `fix` what a person can do about it."""

    boundary = "director"

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message, fix)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} ({self.fix})" if self.fix else self.message


class BriefError(DirectorError):
    """The brief or its settings can't be used. `field` names what to mend."""

    boundary = "brief"

    def __init__(self, message: str, fix: str = "", field: str = "brief") -> None:
        super().__init__(message, fix)
        self.args = (message, fix, field)
        self.field = field


class SeatError(DirectorError):
    """A model or the code that speaks to it failed; another attempt may succeed, unless `final`."""

    boundary = "seat"
    final = False


class PlannerError(SeatError):
    boundary = "planner"


class EditorError(SeatError):
    boundary = "editor"


class JudgeError(SeatError):
    boundary = "judge"


class VerifierError(SeatError):
    boundary = "verifier"


class StoreError(DirectorError):
    """Storage or ledger unreachable. The step is repeated later and nothing is charged for it."""

    boundary = "store"


class Cancelled(DirectorError):
    """Raised by `context.check()` in a seat when its step was cancelled or taken away."""

    boundary = "cancel"


@contextmanager
def boundary(kind: type[SeatError]) -> Generator[None]:
    """Attribute whatever a seat raises to that seat. Errors that already have a boundary pass.

    An error with a true `final` stays final: its seat knows that no other attempt can succeed.
    """
    try:
        yield
    except DirectorError:
        raise
    except Exception as error:  # the one broad except: this is the boundary (style rule 6)
        failed = kind(f"{type(error).__name__}: {error}"[:2000])
        failed.final = getattr(error, "final", False) is True
        raise failed from error
