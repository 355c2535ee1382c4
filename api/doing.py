"""What a job waits for, in words."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from tasks.ledger.types import CONTROL, Hold, Record, SickWorker


class Queues(NamedTuple):
    """Which workers serve each queue, why some queues are held, and which workers failed last."""

    served: Mapping[str, Sequence[str]]
    held: Mapping[str, Hold]
    sick: Mapping[str, SickWorker]


NO_QUEUES = Queues({}, {}, {})


def waits(record: Record, work: str, queues: Queues, now_ms: float) -> str:
    """What a job that is not paused waits for; `work` is what it will do then."""
    if not queues.served.get(record.queue):
        missing = "no worker is up" if record.queue == CONTROL else f"no worker serves {record.queue}"
        return f"waiting: {missing}"
    if hold := queues.held.get(record.queue):
        return held_words(hold)
    if record.queue != CONTROL and (out := _all_out(record.queue, queues, now_ms)):
        return out
    if record.not_before_ms > now_ms:
        return f"{work}: waiting to try again"
    return f"{work}: waiting for {record.queue}"


def not_served(queues_of: Collection[str], queues: Queues, at_work: bool) -> str:
    """One of these queues that nobody serves; "" where there is none, or where something of another is `at_work`."""
    nobody = set(queues_of) - queues.served.keys()
    return min(nobody) if nobody and not (at_work and len(nobody) < len(queues_of)) else ""


def held_words(hold: Hold) -> str:
    """Why a held queue's jobs wait, since when, and what mends it."""
    since = datetime.fromtimestamp(hold.since_ms / 1000, UTC)
    fix = f"; {hold.fix}" if hold.fix else ""
    return f"waiting: {hold.why[:300]} since {since:%H:%M} UTC{fix}"


def _all_out(queue: str, queues: Queues, now_ms: float) -> str:
    """Why a job waits if none of the queue's workers takes steps now; "" if one does."""
    workers = queues.served[queue]
    sick = [queues.sick[name] for name in workers if name in queues.sick]
    out = [one for one in sick if one.quarantined_ms or one.rest_until_ms > now_ms]
    if len(out) < len(workers):
        return ""
    who = f"the only worker of {queue}" if len(out) == 1 else f"each of the {len(out)} workers of {queue}"
    last = max(out, key=lambda one: one.quarantined_ms)
    why = f": {last.why[:300]}" if last.why else ""
    if not last.quarantined_ms:
        until = datetime.fromtimestamp(min(one.rest_until_ms for one in out) / 1000, UTC)
        return f"waiting: {who} rests after failures until {until:%H:%M:%S} UTC{why}"
    since = datetime.fromtimestamp(last.quarantined_ms / 1000, UTC)
    tries = "" if all(one.manual for one in out if one.quarantined_ms) else ", or a picture that it draws as a trial"
    fix = f"an operator mends it: `visiondirector holds`, then `restore`{tries}"
    return f"waiting: {who} takes no steps since {since:%H:%M} UTC{why}; {fix}"
