"""The logs of every process: one line a record, in logfmt (key=value). `grep JOB var/log/*` shows all steps of a job.

    time=2026-03-01T12:00:00.123Z level=info pid=71 logger=tasks.steps job=… step=3 nonce=… kind=render msg="step began"

Job, step and nonce come from the work at hand (`working`), so they are on the lines of libraries too.
Whatever users wrote stands between quotes, with its line breaks escaped: it can't forge a line.
"""

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

_PLAIN = re.compile(r"[!#-<>-\[\]-~]+", re.ASCII)  # printable ASCII without space, quote, equals sign and backslash
_MOST = 20_000  # characters of a value: a line is for people

_work: ContextVar[Mapping[str, object] | None] = ContextVar("work", default=None)
_at_work: list[Mapping[str, object]] = []
_mutex = threading.Lock()


def setup(level: int = logging.INFO) -> None:
    """Send the records of this process to standard error, a line each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Logfmt())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Each step has a line of ours with its job; Celery's two for the same step know only a task id.
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("httpx", "httpcore", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def working(threads: bool = False, **log_fields: object) -> Generator[None]:
    """Until the block ends, every line of this thread carries `log_fields` (added to those of an outer block).

    `threads`: those of threads that libraries start meanwhile too, as long as this process does
    nothing else, as in a prefork child.
    """
    at_work = {**(_work.get() or {}), **log_fields}
    token = _work.set(at_work)
    with _mutex:
        _at_work.extend([at_work] if threads else [])
    try:
        yield
    finally:
        _work.reset(token)
        with _mutex:
            # By identity: two steps may have equal fields.
            _at_work[:] = [other for other in _at_work if other is not at_work]


def fields(**values: object) -> dict[str, Any]:
    """For `extra=` of a log call: words of this line alone. None is left out."""
    return {"log_fields": {name: value for name, value in values.items() if value is not None}}


class Logfmt(logging.Formatter):
    """A record as one line of key=value words."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        words: dict[str, object] = {
            "time": time,
            "level": record.levelname.lower(),
            "pid": record.process,
            "logger": record.name,
            **_at_hand(),
            **getattr(record, "log_fields", {}),
            **_of_celery(record),
            "msg": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1]:
            words["error"] = "".join(traceback.format_exception(record.exc_info[1])).rstrip()
        return " ".join(f"{name}={_value(value)}" for name, value in words.items())


def _at_hand() -> Mapping[str, object]:
    """The fields of this thread's work, or, in a thread that has none, of this process' only work."""
    own = _work.get()
    if own is not None:
        return own
    with _mutex:
        return _at_work[0] if len(_at_work) == 1 else {}


def _of_celery(record: logging.LogRecord) -> dict[str, object]:
    """Celery's own lines know the task's arguments, and so the job."""
    match getattr(record, "data", None):
        case {"args": str(arguments)}:
            return {"task": arguments}
        case _:
            return {}


def _value(value: object) -> str:
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    if _PLAIN.fullmatch(text):
        return text
    quoted = json.dumps(text[:_MOST], ensure_ascii=False)
    # Line separators and terminal controls beyond ASCII.
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in quoted)
