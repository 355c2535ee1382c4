"""Writes files that are either complete or absent."""

from pathlib import Path


def write_whole(path: Path, data: bytes, part: Path | None = None) -> None:
    """Write `path` in one move, its folders too: a reader sees the old bytes or the new ones, never half.

    What a crash leaves is `part`, by default `.NAME.part` beside it, which no script takes for a picture. Writers of
    one path at the same time name each a part of its own, on the same file system. Raises OSError.
    """
    part = part or path.with_name(f".{path.name}.part")
    for folder in {path.parent, part.parent}:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
