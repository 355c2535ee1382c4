"""Server-sent events: from lines to events (WHATWG HTML, section 9.2.6)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from .models import Event


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines that end in LF or CR LF.

    Not `str.splitlines`: it breaks at U+2028 and other characters that JSON strings may hold.
    """
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode(errors="replace")


def parse(lines: Iterable[str]) -> Iterator[Event | None]:
    """Events as they complete. None stands for a comment: the connection is alive.

    An event that the end of the stream cuts off is dropped, as the standard asks. Unlike there, an
    event without an id of its own has the id "", so that the caller can tell.
    """
    id_, kind, data = "", "message", list[str]()
    for line in lines:
        if not line:
            if data:
                yield Event(id_, kind, json.loads("\n".join(data)))
            id_, kind, data = "", "message", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "":
            yield None
        elif name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id":
            id_ = value
