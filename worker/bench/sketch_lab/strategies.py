"""`docs/strategies.md` from the results beside it: `python -m worker.bench.sketch_lab.strategies docs/benchmarks`.

The folder holds strategies.json, as `bench loop --arms all,wide --equal wide --json` wrote it, and
strategies-lists.json, the same with `--lists --sweep`; strategies-rules.json has ours
and its `RULES`. `make strategies` runs all three and then this.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from worker.bench.sketch_lab.loop import BEST_OF_K, INSISTING
from worker.bench.tables import Column, Report, column_table, read_report

TRIED, AGAINST = "wide", "all"
LEAST, MOST, OVER_BEST_OF_K = -0.01, 0.5, 0.03
"""What is asked of `TRIED`: the lower end of what it meets less `AGAINST`, its share of renders and card-seconds, and
what it meets above best-of-k at as many renders."""

_COLUMNS = (
    Column("goal_completion", "goals met, %", 100, ".1f"),
    Column("tasks_80", "tasks ≥ 80 %", 100, ".0f"),
    Column("rounds", "rounds", 1, ".1f"),
    Column("renders", "pictures", 1, ".1f"),
    Column("questions", "VLM questions", 1, ".0f"),
    Column("prompt", "prompt tokens", 1, ",.0f"),
    Column("cached", "of them cached", 1, ",.0f"),
    Column("written", "written tokens", 1, ",.0f"),
    Column("card_seconds", "card-seconds", 1, ".0f"),
    Column("goals_an_hour", "goals met a card-hour", 1, ".0f"),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m worker.bench.sketch_lab.strategies", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    pixels, lists, rules = (json.loads((folder / f"{name}.json").read_text("utf-8")) for name in _FILES)
    notes = folder / "strategies-notes.md"
    parts = [
        _HEAD,
        _measured("In pixels (simulated)", read_report(pixels)),
        _asked(read_report(pixels)),
        _swept(read_report(lists), [(str(each["world"]), read_report(each)) for each in lists["sweep"]]),
        _ruled(read_report(rules)),
        *([notes.read_text("utf-8")] if notes.is_file() else []),
    ]
    page = folder.parent / "strategies.md"
    page.write_text("\n".join(parts), encoding="utf-8")
    print(page)
    return 0


_FILES = ("strategies", "strategies-lists", "strategies-rules")
_HEAD = f"""# Strategies: what `{TRIED}` saves and what it costs

Written by `make strategies`; do not edit. **Every number below is simulated**: the sketch studio draws, misses and
judges without weights. Card-seconds are reckoned, not measured. The words behind the tables are kept in
`docs/benchmarks/strategies-notes.md`.
"""


def _measured(title: str, found: Report) -> str:
    facts = [f"- {name}: {value}" for name, value in found.facts.items()]
    rows = ((f"`{row['strategy']}`", (each.written(row[each.name]) for each in _COLUMNS)) for row in found.rows)
    table = column_table("means a task", _COLUMNS, rows)
    tasks = found.rows[0]["tasks"]
    over = f"{tasks} tasks. Intervals are 95 %, by bootstrap over worlds and tasks, differences and ratios paired.\n"
    return "\n".join([f"## {title}\n", *facts, "", *table, "", over])


def _asked(found: Report) -> str:
    """Each of the numbers that are asked for, and whether it holds."""
    return "\n".join(["| asked | found (simulated) | holds |", "|---|---|---|", *_answers(found), ""])


def _answers(found: Report) -> Iterator[str]:
    if gap := _pair(found.differences, AGAINST):
        asked = f"points less `{AGAINST}`: at least {100 * LEAST:+.0f} at the lower end"
        yield _answer(asked, _points(gap), gap["difference_ci"][0] >= LEAST)
    for name in ("renders", "card_seconds"):
        if share := _pair(found.ratios, AGAINST, name):
            low, high = share["ratio_ci"]
            asked = f"{found.labels[name]}: at most {MOST:g} of `{AGAINST}`'s"
            yield _answer(asked, f"{share['ratio']:.2f} ({low:.2f} to {high:.2f})", share["ratio"] <= MOST)
    if gap := _pair(found.differences, BEST_OF_K):
        asked = f"points less `{BEST_OF_K}` at as many renders: at least {100 * OVER_BEST_OF_K:+.0f}"
        yield _answer(asked, _points(gap), gap["difference"] >= OVER_BEST_OF_K)


def _answer(asked: str, said: str, holds: bool) -> str:
    return f"| {asked} | {said} | {'yes' if holds else '**no**'} |"


def _pair(
    found: Sequence[Mapping[str, Any]], against: str, metric: str = "goal_completion"
) -> Mapping[str, Any] | None:
    named = (TRIED, against, metric)
    return next((each for each in found if (each["strategy"], each["against"], each["metric"]) == named), None)


def _swept(plain: Report, worlds: Sequence[tuple[str, Report]]) -> str:
    lines = [
        "## In other worlds (simulated, without pixels)\n",
        "A picture is the list of what came out right in it, worn as pixels wear it.",
        f"{plain.facts['tasks']}; {plain.facts.get('errors', 'nobody errs')}.",
        "`crowding-c`: an edit gets harder by c units of luck with each doubling of what it names.\n",
        f"| world | tasks | `{AGAINST}`, % | `{TRIED}` less it, points | of its renders | of its card-seconds |",
        "|---|---:|---:|---:|---:|---:|",
        *(_world(name, found) for name, found in (("as fitted", plain), *worlds)),
    ]
    lost = [
        name for name, found in worlds if (gap := _pair(found.differences, AGAINST)) and gap["difference_ci"][1] < 0
    ]
    return "\n".join([*lines, "", f"Worse than `{AGAINST}` by more than chance: {', '.join(lost) or 'nowhere'}.", ""])


def _world(name: str, found: Report) -> str:
    level = next(row for row in found.rows if row["strategy"] == AGAINST)
    gap = _pair(found.differences, AGAINST)
    shares = [_pair(found.ratios, AGAINST, metric) for metric in ("renders", "card_seconds")]
    assert gap
    cells = [f"{share['ratio']:.2f}" if share else "–" for share in shares]
    return (
        f"| {name} | {level['tasks']} | {100 * level['goal_completion']:.1f} | {_points(gap)} | {' | '.join(cells)} |"
    )


def _ruled(found: Report) -> str:
    """What a tie and a must-have do: levels, and points less `ours` of the same tasks."""
    gaps = {each["strategy"]: each for each in found.differences if each["against"] == "ours"}
    lines = [
        "## What a tie and a must-have do (simulated, without pixels)\n",
        f"{found.facts['tasks']}; {found.facts.get('errors', 'nobody errs')}.",
        "`ours-with-ties`: a picture of equal alignment replaces the best (`accept: alignment-or-tie`, the paper).",
        f"`ours` keeps the earlier one. `{INSISTING}`: the first lettering of each brief is its headline, which",
        "comes before the rest and is never given up. These briefs name none, so `ours` has no must-have in them.\n",
        "| rule | goals met, % | less `ours`, points | first lettering met, % | pictures | rounds |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in (row for row in found.rows if row["strategy"] != BEST_OF_K):
        low, high = row["first_lettering_ci"]
        lettering = f"{100 * row['first_lettering']:.1f} ({100 * low:.1f} to {100 * high:.1f})"
        gap = gaps.get(row["strategy"])
        said = _points(gap) if gap else "–"
        level = f"{100 * row['goal_completion']:.1f}"
        lines.append(
            f"| `{row['strategy']}` | {level} | {said} | {lettering} | {row['renders']:.1f} | {row['rounds']:.1f} |"
        )
    return "\n".join([*lines, ""])


def _points(gap: Mapping[str, Any]) -> str:
    low, high = gap["difference_ci"]
    return f"{100 * gap['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


if __name__ == "__main__":
    sys.exit(main())
