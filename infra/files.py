"""Files that are replaced as a whole."""

import os
from pathlib import Path


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write `data` beside `path` and rename it: no process ever sees half a file, or one with wider rights."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)  # the umask may have taken rights away, and an old file may have more
    part.replace(path)
