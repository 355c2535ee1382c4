"""Everything that can go wrong, classified once at the boundary where it went wrong, and who has to act then.

DirectorError
├── BriefError      the user's input; names the field and the fix
├── SeatError       a model, or what it needs, failed; its `actor` says whose matter that is
│   ├── PlannerError
│   ├── EditorError
│   ├── JudgeError
│   └── VerifierError
├── StoreError      object storage or the ledger is out of reach
└── Cancelled       not a fault: somebody asked the step to stop

Every error here survives pickling: its arguments and attributes are plain values.
"""

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Actor(StrEnum):
    """Who has to act before a failed step can succeed. `RULES` says what follows from each."""

    USER = "user"
    SEAT = "seat"
    OPERATOR = "operator"
    OUTAGE = "outage"


@dataclass(frozen=True)
class Rule:
    """What follows from a failure. `who` and `then` are words for people, without a full stop."""

    charged: bool  # it uses up one of the job's tries
    final: bool  # no other try is made, whoever asks for it
    holds: bool  # what failed is held, and the jobs that need it wait
    who: str
    then: str


RULES: Mapping[Actor, Rule] = MappingProxyType(
    {
        Actor.USER: Rule(
            charged=False, final=True, holds=False,
            who="whoever wrote the brief",
            then="the job ends as failed; change the brief or its settings and submit it again",
        ),
        Actor.SEAT: Rule(
            charged=True, final=False, holds=False,
            who="nobody yet; the operator, once the tries are used up",
            then="the step is tried again; after the last try the job is a dead letter, which requeue brings back",
        ),
        Actor.OPERATOR: Rule(
            charged=False, final=False, holds=True,
            who="the operator",
            then="jobs that need it wait, and one of them tries again now and then; all go on once it is mended",
        ),
        Actor.OUTAGE: Rule(
            charged=False, final=False, holds=True,
            who="nobody, unless it lasts; then the operator",
            then="jobs that need it wait, and one of them tries again now and then; all go on once it answers",
        ),
    }
)  # fmt: skip
"""The one table. docs/operations.md has the same rows under "Who has to act"."""


class DirectorError(Exception):
    """The root: something about this installation. `boundary` says where, `fix` what a person can do about it."""

    boundary = "director"
    actor = Actor.OPERATOR
    resource = ""  # what failed, if it is something that other jobs need too: a server, a checkpoint
    retry_after_s = 0.0  # the soonest that another try is welcome; 0: not said

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message, fix)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} ({self.fix})" if self.fix else self.message

    def __repr__(self) -> str:
        """What Flower shows of a failed step."""
        return f"{type(self).__name__}[{self.actor}]({str(self)!r})"


class BriefError(DirectorError):
    """The brief or its settings can't be used. `field` names what to mend."""

    boundary = "brief"
    actor = Actor.USER

    def __init__(self, message: str, fix: str = "", field: str = "brief") -> None:
        super().__init__(message, fix)
        self.args = (message, fix, field)
        self.field = field


class SeatError(DirectorError):
    """A model, the code that speaks to it, or what it runs on failed."""

    boundary = "seat"

    def __init__(
        self,
        message: str,
        fix: str = "",
        *,
        actor: Actor = Actor.SEAT,
        resource: str = "",
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(message, fix)
        self.actor = actor
        self.resource = resource
        self.retry_after_s = retry_after_s


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
    actor = Actor.OUTAGE


class Cancelled(DirectorError):
    """Raised by `context.check()` in a seat when its step was cancelled or taken away."""

    boundary = "cancel"
    actor = Actor.USER


@contextmanager
def boundary(kind: type[SeatError]) -> Generator[None]:
    """Attribute whatever a seat raises to that seat. Errors that already have a boundary pass.

    A seat that knows more says so on what it raises, by the attributes `actor`, `resource`, `retry_after_s` and `fix`.
    """
    try:
        yield
    except DirectorError:
        raise
    except Exception as error:  # the one broad except: this is the boundary (style rule 6)
        raise _attributed(kind, error) from error


def _attributed(kind: type[SeatError], error: Exception) -> SeatError:
    # Libraries have attributes of these names, too: only what is of the right kind counts.
    actor, after = getattr(error, "actor", None), getattr(error, "retry_after_s", None)
    resource, fix = getattr(error, "resource", None), getattr(error, "fix", None)
    return kind(
        f"{type(error).__name__}: {error}"[:2000],
        fix[:500] if isinstance(fix, str) else "",
        actor=actor if isinstance(actor, Actor) else Actor.SEAT,
        resource=resource[:500] if isinstance(resource, str) else "",
        retry_after_s=float(after) if isinstance(after, int | float) and math.isfinite(after) and after > 0 else 0.0,
    )
