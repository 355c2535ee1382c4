"""Simulated nights: `python -m tests.perf.night [PART …] [--seed N] [--items N | --million]`.

The real dispatcher, scripts and Redis; workers and the clock are simulated (tests/support/nights.py). Parts: whole (are
briefs finished one after the other?), shares (who draws how much), large (a million items), deaths (dispatchers die,
Redis is wiped). Prints a table and writes out/bench/night.json.
"""

import argparse
import json
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tasks.ledger.types import Claim
from tests.perf.night_deaths import deaths
from tests.perf.night_large import large
from tests.perf.stage import MODEL, stage
from tests.support.nights import Cycles

PARTS = ("whole", "shares", "large", "deaths")
OUT = Path("out/bench/night.json")


# --- are briefs finished one after the other? -------------------------------------------------------


def whole(seed: int, briefs: int, drawers: int, others: int) -> dict[str, Any]:
    """When briefs are whole, and how busy the seats are."""
    with stage(seed) as made:
        ends: list[float] = []
        flying: list[int] = []
        starts: dict[str, float] = {}
        in_hand: list[float] = []

        def begun(claim: Claim) -> None:
            starts.setdefault(claim.job, made.clock.s)

        def ended(claim: Claim) -> None:
            ends.append(made.clock.s)
            in_hand.append(made.clock.s - starts.pop(claim.job))

        night = made.night(drawers, others, Cycles(seed), begun=begun, ended=ended)
        made.start("night", briefs)

        def over() -> bool:
            lane = made.batches.ledger.lanes([MODEL])[0]
            flying.append(lane.flying)
            return len(ends) == briefs

        began = time.perf_counter()
        night.run(over)
        real = time.perf_counter() - began
    span = ends[-1]
    drawing, thinking = night.programs[:-1], night.programs[-1]

    def busy(first: float, last: float) -> tuple[float, float]:
        return sum(each.busy(first, last) for each in drawing) / len(drawing), thinking.busy(first, last)

    mid, all_night = busy(0.1 * span, 0.9 * span), busy(0, span)
    limiting = 0 if mid[0] > mid[1] else 1
    return {
        "makespan_h": span / 3600, "limiting": ("editors", "VLM")[limiting],
        "whole_at_half": sum(end <= 0.5 * span for end in ends) / briefs,
        "whole_at_90": sum(end <= 0.9 * span for end in ends) / briefs,
        "busy_mid": mid[limiting], "busy_all": all_night[limiting], "other_seat_busy": mid[1 - limiting],
        "in_flight_mean": sum(flying) / len(flying), "in_flight_most": max(flying),
        "brief_takes_p50_s": statistics.median(in_hand), "brief_takes_most_s": max(in_hand), "steps": night.steps,
        "real_s": real,
    }  # fmt: skip


# --- who draws how much? ----------------------------------------------------------------------------


def weighed(seed: int, briefs: int) -> dict[str, Any]:
    """Editors' time of owners of weight 1 and 3, while both wait."""
    with stage(seed) as made:
        used: dict[str, float] = {}
        light = made.start("light", briefs, "light", weight=1.0)
        heavy = made.start("heavy", 3 * briefs, "heavy", weight=3.0)
        both = True

        def done(claim: Claim, seconds: float) -> None:
            if both and claim.kind == "render":
                used[claim.batch] = used.get(claim.batch, 0) + seconds

        def over() -> bool:
            nonlocal both
            both = both and all(made.waiting(batch) for batch in (light, heavy))
            return not both

        made.night(8, 16, Cycles(seed), done=done, keep_spans=False).run(over)
    return {"light_gpu_s": used[light.id], "heavy_gpu_s": used[heavy.id], "ratio": used[heavy.id] / used[light.id]}


def many_owners(seed: int, owners: int, briefs: int) -> dict[str, Any]:
    """How long each of many owners waits for a brief to begin, and how far apart their shares are at half time."""
    with stage(seed) as made:
        last = {made.start("b", briefs, f"owner-{n}").id: 0.0 for n in range(owners)}
        first, gaps, used = dict[str, float](), list[float](), dict.fromkeys(last, 0.0)
        ends = 0
        at_half: list[float] = []

        def begun(claim: Claim) -> None:
            if claim.n == 0:
                gaps.append(made.clock.s - last[claim.batch])
                first.setdefault(claim.batch, made.clock.s)
                last[claim.batch] = made.clock.s

        def done(claim: Claim, seconds: float) -> None:
            used[claim.batch] += seconds if claim.kind == "render" else 0

        def ended(_: Claim) -> None:
            nonlocal ends
            ends += 1
            if ends == owners * briefs // 2:
                at_half.extend(used.values())

        night = made.night(8, 16, Cycles(seed), begun=begun, done=done, ended=ended, keep_spans=False)
        night.run(lambda: ends == owners * briefs)
        span = made.clock.s
    return {
        "owners": owners, "makespan_s": span, "longest_until_first_s": max(first.values()), "longest_gap_s": max(gaps),
        "gap_of_even_turns_s": span / briefs, "least_gpu_s_at_half": min(at_half), "most_gpu_s_at_half": max(at_half),
        "longest_brief_gpu_s": 6 * 12.7,
    }  # fmt: skip


def aging(seed: int) -> dict[str, Any]:
    """Inside an owner: a batch of priority 9 against ever more of priority 3; and an urgent one among them."""
    with stage(seed) as made:
        starts: dict[str, float] = {}
        most: list[int] = []
        made.start("low", 20, priority=9)
        id = made.batches_made[0].id
        urgent = 5_000.0

        def begun(claim: Claim) -> None:
            starts.setdefault(claim.batch, made.clock.s)

        night = made.night(8, 16, Cycles(seed, most_rounds=2, pace=10), begun=begun, keep_spans=False)
        for n in range(20):
            night.at(600 * n, lambda n=n: _and(made.start(f"high-{n}", 40, priority=3), night.changed))
        night.at(urgent, lambda: _and(made.start("urgent", 30, priority=0), night.changed))

        def over() -> bool:
            found = [batch for batch in made.batches_made if batch.priority == 0]
            if found:
                standing = made.batches.standing(found[0].id)
                most.append(standing.counts.running if standing else 0)
            return id in starts and bool(found) and made.waiting(found[0]) == 0

        night.run(over)
        fast = next(batch.id for batch in made.batches_made if batch.priority == 0)
    before = sum(at < starts[id] for batch, at in starts.items() if batch not in (id, fast))
    return {
        "low_begins_after_h": starts[id] / 3600, "batches_before_it": before,
        "urgent_begins_after_s": starts[fast] - urgent, "urgent_in_flight_most": max(most),
    }  # fmt: skip


def _and(_: object, then: Callable[[], None]) -> None:
    then()


def rows(part: str, seed: int, items: int, every: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line of the table, as soon as it is measured."""
    match part:
        case "whole":
            for others in (10, 4, 6):
                yield f"1,000 briefs, 8 editors, a VLM of {others}", whole(seed, 1000, 8, others)
        case "shares":
            yield "owners of weight 1 and 3", weighed(seed, 150)
            yield "50 owners", many_owners(seed, 50, 8)
            yield "one owner's batches of priority 9, 3 and 0", aging(seed)
        case "large":
            for batches in (1, 1000):
                name = f"{items:,} items, batches and owners: {batches:,}"
                yield name, large(seed, items, batches, items if every else 4_000)
        case _:
            for number in range(seed, seed + 5):
                yield f"dispatchers die and Redis is wiped, seed {number}", deaths(number, 100)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.perf.night", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--items", type=int, default=1_000_000, help="of `large`; 4,000 of them are drawn")
    parser.add_argument("--million", action="store_true", help="draw all of them")
    parsed = parser.parse_args()
    logging.disable(logging.WARNING)  # of deaths and rebuilds, which are meant
    result: dict[str, Any] = {"seed": parsed.seed}
    print(f"simulated nights, seed {parsed.seed}, {os.cpu_count()} cores")
    for part in parsed.parts or PARTS:
        for name, row in rows(part, parsed.seed, parsed.items, parsed.million):
            print(name)
            for key, value in row.items():
                print(f"    {key:<28}{f'{value:,.3f}' if isinstance(value, float) else value}", flush=True)
            result[name] = row
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
