"""The record of a run that official reports carry: who drew the pictures, how, and what it cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from director.intake import loop_settings
from worker.bench.cases import Arm, Cost, Run
from worker.bench.run_log import open_log
from worker.studio import SKETCH


def filed_record(folder: Path) -> dict[str, Any]:
    """Who drew the pictures of a folder that a runner filled; that it is not known of any other."""
    if not (folder / "runs.jsonl").is_file():
        return {"editor": "not known: pictures made elsewhere"}
    with open_log(folder / "runs.jsonl", Run, {}) as log:
        runs = log.values()
        arm = f"arms.{runs[0].arm}." if runs else ""
        values = {k.removeprefix(arm): v for k, v in log.settings.items() if arm and k.startswith(arm)}
        studio = str(log.settings.get("studio"))
    if not values:
        return {"editor": "not known: nothing is filed of these pictures"}
    return record_of(runs, studio, Arm(name=runs[0].arm, settings=loop_settings(values)))


def record_of(runs: Sequence[Run], studio: str, arm: Arm) -> dict[str, Any]:
    """Who drew, how, and what it cost. `studio` says what fills the seats."""
    seats = sorted({name for run in runs for name in run.by})
    drawn = any(name.startswith("editor=sketch-") for name in seats)
    simulated = " (simulated)" if drawn or studio == SKETCH else ""
    return {
        "editor": f"{studio}/{arm.settings.editor}{simulated}",
        "strategy": arm.name,
        "settings": arm.settings.model_dump(mode="json"),
        "seats": seats,
        "cost": {name: _total(runs, name) for name in Cost.model_fields},
        "pictures": sum(run.picture is not None for run in runs),
        "failed": sorted(f"{run.case} (seed {run.seed}): {run.error}" for run in runs if run.error),
    }


def _total(runs: Sequence[Run], name: str) -> float | None:
    known = [value for run in runs if (value := getattr(run.cost, name)) is not None]
    return round(sum(known), 3) if known else None


# --- as text ------------------------------------------------------------------------------------


def cost_lines(result: Mapping[str, Any]) -> list[str]:
    """Nothing for figures that come from a file."""
    if "cost" not in result:
        return []
    cost = counted(result["cost"])
    lines = [f"{result['pictures']} pictures by {result['strategy']} ({'; '.join(result['seats'])}): {cost}"]
    if result["failed"]:
        lines.append(
            f"{len(result['failed'])} could not be drawn; the same command tries them again: {result['failed'][0]}"
        )
    return lines


def counted(amounts: Mapping[str, float | None]) -> str:
    """Amounts with their names; what was not measured is left out."""
    return ", ".join(f"{value:g} {name.replace('_', ' ')}" for name, value in amounts.items() if value is not None)


def interval_text(ends: Sequence[float] | None, form: str) -> str:
    """The ends of an interval in a format such as ".1%"; a dash where one case gives none."""
    return f"{ends[0]:{form}} to {ends[1]:{form}}" if ends else "–"


def control_lines(result: Mapping[str, Any]) -> list[str]:
    """The difference to the control, or that there is none."""
    if not (control := result.get("control")):
        return ["control: none (--control FILE, such as the same editor with --strategy one-shot)"]
    interval = interval_text(control["ci"], "+.4f")
    return [
        f"less the control ({control['file']}): {control['difference']:+.4f}, "
        f"95 % interval {interval}, paired over {control['pairs']}"
    ]
