"""Files: those that people name, and those that are either complete or absent."""

import difflib
import os
import re
import unicodedata
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

from director.errors import BriefError

_LONGEST = 120  # characters of a name made of words
_PART = re.compile(r"\..+\.(\d{1,10})\.part")


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
    except BaseException:  # Ctrl-C leaves nothing either
        drop(part)
        raise


def own_part(path: Path) -> Path:
    """What this process writes before it becomes `path`. First goes what killed processes left in that folder."""
    _clear(path.parent)
    return path.with_name(f".{path.name}.{os.getpid()}.part")


@cache
def _clear(folder: Path) -> None:
    with suppress(OSError):  # the folder may not be there yet
        for path in folder.iterdir():
            if (found := _PART.fullmatch(path.name)) and not _runs(int(found[1])):
                drop(path)


def _runs(process: int) -> bool:
    if os.name != "posix":  # elsewhere nobody can be asked without harm
        return True
    try:
        with suppress(PermissionError):  # somebody else's
            os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    return True


def drop(part: Path) -> None:
    """Remove what was written of a file, if there is anything."""
    with suppress(FileNotFoundError, NotADirectoryError):
        part.unlink()


def read_named(path: Path, option: str = "", most: int | None = None) -> bytes:
    """The bytes of a file that a person named, by `option`. Raises BriefError that says what to name instead."""
    try:
        if most is not None and path.stat().st_size > most:
            raise BriefError(f"{path}: it has more than {most:,} bytes", "name a smaller file", option)
        return path.read_bytes()
    except IsADirectoryError as error:
        raise BriefError(f"{path}: it is a folder", f"name files, such as {path / '*.txt'}", option) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BriefError(f"{path}: there is no such file", _meant(path), option) from error
    except PermissionError as error:
        raise BriefError(f"{path}: you may not read it", f"let `chmod u+r {path}` allow it", option) from error
    except OSError as error:
        raise BriefError(f"{path}: {error.strerror}", "name a readable file", option) from error


def _meant(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent} either"
    others = (other.name for other in path.parent.iterdir() if other != path)  # it may be a link to nothing
    near = difflib.get_close_matches(path.name, others, 1, 0.75)
    return f"did you mean {path.with_name(near[0])}?" if near else "look at its name again"


def folded(name: str) -> str:
    """The same for two names that some disks take for one: they differ by case, or by how an accent is written."""
    return unicodedata.normalize("NFC", name).casefold()


def file_stem(custom_id: str, alike: bool = False) -> str:
    """The custom_id as a file name; one that has to be changed gets a hash, so that no two become the same.

    `alike`: beside it are names that differ by case only, so one in any other than small letters is changed, too.
    """
    safe = re.sub(r"[^\w.@=,+ -]", "_", custom_id).strip(" .")[:_LONGEST]
    reserved = re.fullmatch(r"(?i:con|prn|aux|nul|com\d|lpt\d)", safe.partition(".")[0])
    own = not alike or custom_id == folded(custom_id)
    if safe == custom_id and own and not reserved and len(safe.encode()) < 200:
        return safe
    safe = safe.encode("ascii", "ignore").decode() if len(safe.encode()) >= 200 else safe
    return f"{safe or 'item'}-{sha256(custom_id.encode()).hexdigest()[:8]}"
