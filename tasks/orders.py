"""Orders to a single job: pause, resume, another priority. Stored first, then applied, so that they outlive a wipe.

Each has a number in its name (as hexadecimal digits): of two that contradict each other the later one holds, in
whichever order they are applied.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tasks.ledger.ledger import Ledger
from tasks.ledger.types import Entry, Hint, Record
from tasks.store import Archive, Control

OrderKind = Literal["pause", "resume", "priority"]


def order(ledger: Ledger, archive: Archive, job: str, kind: OrderKind, about: Mapping[str, Any]) -> Hint | None:
    """Give an order to an active job, for good; gives the hint to send. `about` is stored; a priority stands in it."""
    number = ledger.order_number(job)
    if not number:
        return None
    archive.save_control(job, kind, f"{number:012x}", about)
    return ledger.order(job, number, kind, about.get("priority", 0))


def ordered(entry: Entry, controls: Sequence[Control]) -> Entry:
    """The entry with what the stored orders say."""
    pauses = [control for control in controls if control.kind in {"pause", "resume"}]
    # The name alone pauses; of an order that can't be read nobody knows the priority.
    priorities = [control for control in controls if control.kind == "priority" and _priority(control) is not None]
    told: dict[str, Any] = {}
    if pauses:
        last = max(pauses, key=_number)
        told |= {"paused": last.kind == "pause", "pause_order": _number(last)}
    if priorities:
        last = max(priorities, key=_number)
        told |= {"priority": _priority(last), "priority_order": _number(last)}
    return entry.model_copy(update=told)


def order_again(ledger: Ledger, entry: Entry, record: Record) -> list[Hint]:
    """Apply what storage knows of and the ledger has forgotten; gives the hints to send."""
    hints: list[Hint | None] = []
    if entry.pause_order > record.pause_order:
        hints.append(ledger.order(entry.job, entry.pause_order, "pause" if entry.paused else "resume"))
    if entry.priority_order > record.priority_order:
        hints.append(ledger.order(entry.job, entry.priority_order, "priority", entry.priority))
    return [hint for hint in hints if hint]


def _number(control: Control) -> int:
    return int(control.nonce, 16)


def _priority(control: Control) -> int | None:
    found = control.record.get("priority")
    return found if isinstance(found, int) and 0 <= found <= 9 else None
