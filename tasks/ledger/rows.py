"""What the scripts take and give, as flat lists of words, and the values that stand for it in Python."""

from typing import Any, TypeVar

from director.types import Value
from tasks.jobs import Place
from tasks.ledger.types import Entry, Hint, Record
from tasks.summary import NO_COST, Cost, GoalSummary

V = TypeVar("V", bound=Value)
_PLAIN_FIELDS = frozenset(Record.model_fields) - {"dead_letter", "labels", "summary", "cost"}
_COST = "cost_"  # before the names of a cost in a job's hash


def entry_arguments(entry: Entry) -> tuple[str | int, ...]:
    queue, kind = (entry.next.queue, entry.next.kind) if entry.next else ("", "")
    return (
        entry.job, entry.owner, entry.title, entry.created_ms, entry.priority, entry.step, entry.snapshot,
        queue, kind, entry.status.value, entry.stop, int(entry.cancel), entry.error, entry.dead_letter,
        ",".join(entry.labels), entry.summary.model_dump_json(), cost_argument(entry.cost), entry.ended_ms,
        entry.rewound, entry.snapshot_sha256, int(entry.cost_later), entry.model, int(entry.paused),
        *_place_arguments(entry.place), entry.pause_order, entry.priority_order, entry.size,
    )  # fmt: skip


def _place_arguments(place: Place | None) -> tuple[str | int, ...]:
    return (place.batch, place.index, place.take, place.generation, place.custom_id) if place else ("", 0, 0, 0, "")


def cost_argument(cost: Cost) -> str:
    """Only what is to be added; most steps count little."""
    return cost.model_dump_json(exclude_defaults=True) if cost != NO_COST else ""


def or_empty(value: int | None) -> int | str:
    return "" if value is None else value


def _row(flat: list[str]) -> dict[str, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def value_of(kind: type[V], flat: list[str], more: dict[str, Any]) -> V:
    """A value of what a hash says and `more`; the hash says other things too."""
    row = _row(flat) | more
    return kind.model_validate({name: row[name] for name in kind.model_fields if name in row})


def record_of(flat: list[str]) -> Record:
    # Of a name that comes twice the later value holds: what a script shows in place of what is stored.
    row = _row(flat)
    values: dict[str, Any] = {name: value for name, value in row.items() if name in _PLAIN_FIELDS}
    values["dead_letter"] = row["letter"]
    if labels := row.get("labels"):
        values["labels"] = labels.split(",")
    if summary := row.get("facts"):
        values["summary"] = GoalSummary.model_validate_json(summary)
    values["cost"] = {name.removeprefix(_COST): value for name, value in row.items() if name.startswith(_COST)}
    return Record.model_validate(values)


def hint_of(flat: list[str]) -> Hint:
    return Hint.model_validate(dict(zip(Hint.model_fields, flat, strict=True)))
