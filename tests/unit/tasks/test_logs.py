"""One line a record, that `grep JOB` finds, and that no user can forge."""

import logging
import re
import shlex
import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from director.errors import EditorError
from director.seats import Context, RenderRequest
from director.types import LoopSettings, Rendered
from tasks.logs import Logfmt, fields, working
from tasks.steps import run_step
from tests.support.scripted_studio import ScriptedStudio, brief_of, goals_of
from tests.support.step_rig import make_step_rig


class Lines:
    """A logger of its own, and what it wrote."""

    def __init__(self) -> None:
        self._stream = StringIO()
        handler = logging.StreamHandler(self._stream)
        handler.setFormatter(Logfmt())
        self.logger = logging.Logger("a.library")
        self.logger.addHandler(handler)

    def last(self) -> dict[str, str]:
        """The words of the only line since the last call."""
        text = self._stream.getvalue()
        self._stream.seek(0)
        self._stream.truncate()
        assert text.count("\n") == 1, text
        return dict(word.split("=", 1) for word in shlex.split(text))


@pytest.fixture
def lines() -> Iterator[Lines]:
    return Lines()


def test_a_line_has_its_time_place_and_words(lines: Lines) -> None:
    lines.logger.warning("lost %d of them", 3, extra=fields(job="j-1", step=2, seconds=1.5, nothing=None))
    words = lines.last()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", words.pop("time"))
    assert words.pop("pid").isdigit()
    assert words == {
        "level": "warning", "logger": "a.library", "job": "j-1", "step": "2", "seconds": "1.5000",
        "msg": "lost 3 of them",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "a\nlevel=error msg=forged",
        'a" job=other msg="b',
        "a\r\x1b[31mred\x85\u2028b",
        "\x00",
        "job=other",
        "",
        "ein Käfer",
    ],
)
def test_what_a_user_writes_stays_one_value_of_one_line(lines: Lines, text: str) -> None:
    with working(job="mine"):
        lines.logger.info("%s", text)
    written = lines._stream.getvalue()
    assert len(written.splitlines()) == 1
    assert written[:-1].isprintable()
    words = lines.last()
    assert (words["job"], words["level"]) == ("mine", "info")
    assert "forged" not in words["level"]


def test_lines_of_libraries_carry_the_work_at_hand(lines: Lines) -> None:
    with working(job="j", step=1):
        with working(nonce="n"):
            lines.logger.info("inner")
            assert {"job": "j", "step": "1", "nonce": "n"}.items() <= lines.last().items()
        lines.logger.info("outer")
        assert "nonce" not in lines.last()
    lines.logger.info("after")
    assert "job" not in lines.last()


def in_thread(lines: Lines) -> dict[str, str]:
    thread = threading.Thread(target=lines.logger.info, args=("from a thread",))
    thread.start()
    thread.join()
    return lines.last()


def test_so_do_those_of_threads_while_there_is_one_step_only(lines: Lines) -> None:
    with working(job="not for threads"):
        assert "job" not in in_thread(lines)
        with working(threads=True, job="j", nonce="n"):
            assert in_thread(lines)["nonce"] == "n"
            with working(threads=True, job="another"):
                assert "job" not in in_thread(lines)  # whose it is can't be told
    assert "job" not in in_thread(lines)


def test_an_error_is_told_on_the_same_line(lines: Lines) -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        lines.logger.exception("it broke")
    words = lines.last()
    assert words["msg"] == "it broke"
    assert words["error"].startswith("Traceback") and "ValueError: two" in words["error"]


def test_celerys_lines_tell_the_task(lines: Lines) -> None:
    lines.logger.error("lost", extra={"data": {"args": "planner, step 3 of 'x', job j"}})
    assert lines.last()["task"] == "planner, step 3 of 'x', job j"
    lines.logger.error("lost", extra={"data": None})
    assert "task" not in lines.last()


class Chatty(ScriptedStudio):
    """Its editor logs as libraries do, from its own thread and from another, and then fails."""

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        library = logging.getLogger("a.library")
        library.warning("loading weights")
        thread = threading.Thread(target=library.warning, args=("from a thread",))
        thread.start()
        thread.join()
        raise RuntimeError("out of\nmemory")


def test_every_line_of_a_step_names_it(tmp_path: Path) -> None:
    rig = make_step_rig(tmp_path, retry_base_s=0.000_001, retry_cap_s=0.000_001)
    job = rig.submit(brief_of(goals_of("a", "b")), LoopSettings(candidates=1))
    host = rig.host(Chatty(script=iter(())).studio())
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Logfmt())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        run_step(host, job, 0)
        for _ in range(3):
            with pytest.raises(EditorError):
                run_step(host, job, 1)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    lines = [dict(word.split("=", 1) for word in shlex.split(line)) for line in stream.getvalue().splitlines()]
    assert all(line["job"] == job and len(line["nonce"]) == 32 for line in lines), lines
    tries = [line for line in lines if line["step"] == "1"]
    assert len({line["nonce"] for line in tries}) == 3
    told = [line["msg"].partition(":")[0] for line in tries]
    assert told == ["step began", "loading weights", "from a thread", "step failed"] * 3
    assert [(line["boundary"], line["actor"], line["then"]) for line in tries if "then" in line] == [
        ("editor", "seat", "retry"), ("editor", "seat", "retry"), ("editor", "seat", "dead"),
    ]  # fmt: skip
    assert "Traceback" in tries[3]["error"] and float(tries[3]["seconds"]) >= 0
