"""The lines of a batch in a temporary file, so that their hash is known before the first is sent."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

CHUNK = 65_536
BOM = b"\xef\xbb\xbf"


class Spool:
    """A context manager. `size` is in bytes; `sha256` is of all bytes."""

    def __init__(self, lines: Iterable[bytes | Mapping[str, Any]]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        digest, self.size = hashlib.sha256(), 0
        for line in lines:
            data = _as_line(line)
            digest.update(data)
            self.size += self._file.write(data)
        self.sha256 = digest.hexdigest()

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def chunks(self, offset: int) -> Iterator[bytes]:
        """The bytes from `offset` on."""
        self._file.seek(offset)
        while chunk := self._file.read(CHUNK):
            yield chunk

    def chain(self, size: int) -> str:
        """The hash of the lines in the first `size` bytes as the service chains them: each with the hash before it.

        Empty lines, white space at the ends of lines and a byte order mark do not count.
        """
        self._file.seek(0)
        link = b""
        while size > 0 and (line := self._file.readline(size)):
            if data := (line.removeprefix(BOM) if self._file.tell() == len(line) else line).strip():
                link = hashlib.sha256(link + data).digest()
            size -= len(line)
        return link.hex()


def _as_line(line: bytes | Mapping[str, Any]) -> bytes:
    if isinstance(line, bytes):
        return line if line.endswith(b"\n") else line + b"\n"
    return json.dumps(dict(line), separators=(",", ":")).encode() + b"\n"
