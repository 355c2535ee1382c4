"""Is the forecast true? `python -m tests.perf.forecast [--nights N] [--seed N] [--keep FOLDER]`.

Nights of the real dispatcher under a simulated clock (tests/perf/forecast_nights.py says what they are drawn from).
Each is asked for the end of a batch when 5, 25 and 50 % of its briefs have ended. Prints, for each of these:

covered     share of nights whose end lay between p10 and p90; too_late: behind p90
off         |p50 - end| of the whole time from the batch's begin to its end; median of the nights
off_left    the same of what was left of it when it was asked
bias        p50 - end, of what was left; width: p90 - p10, of what was left; medians

Writes out/bench/forecast.json.
"""

import json
import logging
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.batch.forecast.eta import forecast
from tests.perf.forecast_nights import HOUR, SHARES, Moment, Told, arguments, kept

OUT = Path("out/bench/forecast.json")
_NEVER = 1e9


@dataclass
class Asked:
    """At `share` of the briefs: what was said, and what came; seconds since the batch began."""

    share: float
    at: float
    p10: float
    p50: float
    p90: float
    limits: str
    cpu_s: float
    end: float

    @property
    def covered(self) -> bool:
        return self.p10 <= self.end <= self.p90

    @property
    def off(self) -> float:
        return (self.p50 - self.end) / self.end

    @property
    def off_left(self) -> float:
        return (self.p50 - self.end) / (self.end - self.at)


def asked_of(told: Told) -> list[Asked]:
    return [ask(told, moment) for moment in told.moments]


def ask(told: Told, moment: Moment) -> Asked:
    began, at = time.process_time(), moment.at
    eta = forecast(moment.world, [told.batch], told.seed).get(told.batch)
    cpu_s = time.process_time() - began
    if eta is None:
        return Asked(moment.share, at, _NEVER, _NEVER, _NEVER, "", cpu_s, told.took_s)
    return Asked(moment.share, at, at + eta.p10, at + eta.p50, at + eta.p90, eta.limits, cpu_s, told.took_s)


def summed(nights: Sequence[Sequence[Asked]]) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    for n, share in enumerate(SHARES):
        asked = [one[n] for one in nights if len(one) > n]
        rows[f"{share:.0%}"] = {
            "covered": sum(each.covered for each in asked) / len(asked),
            "too_late": sum(each.end > each.p90 for each in asked) / len(asked),
            "off": statistics.median(abs(each.off) for each in asked),
            "off_left": statistics.median(abs(each.off_left) for each in asked),
            "bias": statistics.median(each.off_left for each in asked),
            "width": statistics.median((each.p90 - each.p10) / (each.end - each.at) for each in asked),
            "cpu_ms": 1000 * statistics.median(each.cpu_s for each in asked),
        }  # fmt: skip
    return rows


def table(rows: dict[str, dict[str, float]]) -> str:
    names = list(next(iter(rows.values())))
    lines = ["asked at" + "".join(f"{name:>10}" for name in names)]
    for share, row in rows.items():
        cells = (f"{value:>10.0f}" if name == "cpu_ms" else f"{value:>10.1%}" for name, value in row.items())
        lines.append(f"{share:<8}" + "".join(cells))
    return "\n".join(lines)


def main() -> int:
    parsed = arguments("forecast", "Is the forecast true?")
    logging.disable(logging.WARNING)
    nights, began = list[list[Asked]](), time.process_time()
    print(f"{parsed.nights} simulated nights from seed {parsed.seed}; load {os.getloadavg()[0]:.0f}")
    for seed in range(parsed.seed, parsed.seed + parsed.nights):
        nights.append(asked_of(kept(seed, parsed.keep)))
        told = "  ".join(f"{each.off:+.0%}{'' if each.covered else '!'}" for each in nights[-1])
        print(f"{seed}: {nights[-1][-1].end / HOUR:.1f} h, {told}  ({nights[-1][0].limits})", flush=True)
        if len(nights) % 20 == 0:
            print(table(summed(nights)), flush=True)
    result = summed(nights)
    print(f"{len(nights)} nights, {time.process_time() - began:.0f} s of CPU beside Redis\n{table(result)}")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    rows: list[list[dict[str, Any]]] = [[asdict(each) for each in one] for one in nights]
    report = {"seed": parsed.seed, "nights": parsed.nights, "asked": result, "rows": rows}
    OUT.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
