"""ImgEdit's folder, `<key>.png`, and what the loop is given for each edit."""

from collections.abc import Mapping
from pathlib import Path

from director.errors import BriefError
from worker.bench.cases import Case
from worker.bench.imgedit.scoring import TYPES, Edit


def edit_path(key: str) -> Path:
    """Where the picture of an edit lies in a run's folder."""
    return Path("images", f"{key}.png")


def limited_edits(edits: Mapping[str, Edit], limit: int | None) -> dict[str, Edit]:
    """The first edits of each type."""
    seen = dict.fromkeys(TYPES, 0)
    chosen: dict[str, Edit] = {}
    for key, edit in edits.items():
        seen[edit.edit_type] += 1
        if limit is None or seen[edit.edit_type] <= limit:
            chosen[key] = edit
    return chosen


def edit_cases(edits: Mapping[str, Edit], originals: Path) -> list[Case]:
    """What the loop is given for each edit. Raises BriefError when a source picture is not in `originals`."""
    if lost := [edit.id for edit in edits.values() if not (originals / edit.id).is_file()]:
        raise BriefError(
            f"{len(lost)} of the source pictures are not in {originals}, {lost[0]} among them",
            "unpack ImgEdit's singleturn pictures there, or shorten the edits",
            "--originals",
        )
    return [
        Case(id=key, text=edit.prompt, group=edit.edit_type, source=originals / edit.id) for key, edit in edits.items()
    ]
