"""ImgEdit's judge: any OpenAI-compatible server that sees pictures. One call an edit, as the public script makes it."""

import base64
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from openai import AuthenticationError, NotFoundError, OpenAI, OpenAIError, PermissionDeniedError

from director.errors import DirectorError
from director.prompts.vlm import ReplyError
from director.types import Seed
from worker.bench.cases import Filed, Name
from worker.vlm.client import read_completion

_IN_A_ROW = 10  # calls a judge may fail one after the other before the rest is left for another run
_KINDS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


class JudgeGone(DirectorError):
    """The judge does not answer, or answers no request: what it said so far is kept."""

    boundary = "judge"


class Said(Filed):
    """One reply, or why there is none. `task` is a hash of what was asked, of whom, about which pictures."""

    arm: Name = "judge"
    seed: Seed = 0
    reply: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0


@dataclass(frozen=True)
class Question:
    """What is asked about one edit: the text, the original, the edited picture, in this order."""

    case: str
    task: str
    text: str
    original: bytes
    edited: bytes


@dataclass(frozen=True)
class JudgeServer:
    """`temperature` and `max_tokens` are left to the server where they are None, as the public script does."""

    url: str
    model: str
    api_key: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    timeout_s: float = 120.0
    concurrency: int = 8
    retries: int = 2
    """Of a call that broke, timed out, or found the server too busy."""


class Judge:
    """`open_judge` makes it. Safe for threads."""

    def __init__(self, server: JudgeServer, api: OpenAI) -> None:
        self._server = server
        self._api = api

    def ask_all(self, questions: Iterable[Question]) -> Iterator[Said]:
        """Each reply as it comes. Raises JudgeGone when the judge refuses all there is, or does not answer.

        Questions are taken from the iterable no faster than they are asked, so pictures need not all be in memory.
        """
        waiting: set[Future[Said]] = set()
        failed, why = 0, ""
        with ThreadPoolExecutor(self._server.concurrency, thread_name_prefix="judge") as pool:
            try:
                source = iter(questions)
                while True:
                    room = self._server.concurrency - len(waiting)
                    waiting |= {pool.submit(self._ask, question) for question in islice(source, room)}
                    if not waiting:
                        return
                    ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for each in ended:
                        said = each.result()
                        failed, why = (failed + 1, said.error) if said.error else (0, "")
                        yield said
                    if failed >= _IN_A_ROW:
                        raise self._gone(f"the last {failed} calls failed; the last with {why}")
            finally:
                for each in waiting:
                    each.cancel()

    def _ask(self, question: Question) -> Said:
        start = time.monotonic()
        filed_under: dict[str, Any] = {"case": question.case, "task": question.task}
        try:
            raw = self._api.post("/chat/completions", body=self._body(question), cast_to=bytes)
            answer = read_completion(raw)
        except (AuthenticationError, PermissionDeniedError, NotFoundError) as error:
            raise self._gone(str(error)) from error
        except OpenAIError as error:
            return Said(**filed_under, error=f"{type(error).__name__}: {error}"[:500], seconds=_since(start))
        except ReplyError:
            return Said(**filed_under, error="the answer is no chat completion", seconds=_since(start))
        message, usage = answer.choices[0].message, answer.usage
        reply = message.content or message.refusal or ""
        return Said(
            **filed_under,
            reply=reply,
            error="" if reply else "the judge said nothing",
            prompt_tokens=usage.prompt_tokens if usage else 0,
            completion_tokens=usage.completion_tokens if usage else 0,
            seconds=_since(start),
        )

    def _body(self, question: Question) -> dict[str, Any]:
        server = self._server
        parts = [
            {"type": "image_url", "image_url": {"url": _url(each)}} for each in (question.original, question.edited)
        ]
        content = [{"type": "text", "text": question.text}, *parts]
        more = {"temperature": server.temperature, "max_tokens": server.max_tokens}
        return {
            "model": server.model,
            "messages": [{"role": "user", "content": content}],
            **{name: value for name, value in more.items() if value is not None},
        }

    def _gone(self, why: str) -> JudgeGone:
        return JudgeGone(
            f"{self._server.url} ({self._server.model}): {why[:500]}",
            "mend it and run the same command again: nothing that was judged is asked again",
        )


@contextmanager
def open_judge(server: JudgeServer) -> Generator[Judge]:
    """The judge with its connections. It need not answer yet."""
    with OpenAI(
        base_url=server.url, api_key=server.api_key or "none", max_retries=server.retries, timeout=server.timeout_s
    ) as api:
        yield Judge(server, api)


def official(said: Mapping[str, Said]) -> dict[str, str | dict[str, str]]:
    """Replies by key as the public script files them in `result.json`."""
    return {key: {"error": each.error} if each.error else each.reply for key, each in said.items()}


def _url(picture: bytes) -> str:
    kind = next((kind for start, kind in _KINDS.items() if picture.startswith(start)), "image/png")
    return f"data:{kind};base64,{base64.b64encode(picture).decode()}"


def _since(start: float) -> float:
    return round(time.monotonic() - start, 3)
