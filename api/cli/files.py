"""The files that are saved of a job, and their names."""

import json
import unicodedata
from pathlib import Path

from api.cli.console import Console
from api.client import Job, NotFound
from director.errors import BriefError
from tasks.files import own_part, write_whole


def save(console: Console, job: Job, folder: Path, metadata: bool = True) -> Path | None:
    """Save the trajectory as JSON and the picture beside it. Gives the picture's path, None while there is no picture.

    Raises BriefError when the folder can't be written.
    """
    path = folder / f"{stem(job)}.png"
    trajectory = json.dumps(console.client.trajectory(job.id), indent=1, ensure_ascii=False)
    write(path.with_suffix(".json"), (trajectory + "\n").encode())
    try:
        write(path, console.client.image(job.id, metadata))
    except NotFound:
        return None
    return path


def stem(job: Job) -> str:
    """The file name without its suffix: ASCII words of the title and the start of the id."""
    title = unicodedata.normalize("NFKD", job.title.lower()).encode("ascii", "ignore").decode()
    words = "".join(c if c.isalnum() else " " for c in title).split()
    return "-".join([*words[:8], job.id[:8]])[-120:]


def write(path: Path, data: bytes) -> None:
    """Replace the file as a whole: no reader sees half of it. Raises BriefError that names the path."""
    try:
        write_whole(path, data, own_part(path))
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError, option: str = "-o") -> BriefError:
    """What to tell a person who named `path`, or its folder, by `option`."""
    match error:
        case IsADirectoryError():
            told, fix = "it is a folder", "name a file"
        case FileExistsError() | NotADirectoryError():
            told, fix = "a file stands where a folder must be", "choose another"
        case _:
            told, fix = error.strerror or "it can't be written", "choose another place"
    return BriefError(f"{path}: {told}", f"{fix} with {option}", option)
