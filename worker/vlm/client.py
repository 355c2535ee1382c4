"""One VLM server over its OpenAI-compatible API (SGLang): prompts out, parsed replies back, all of it recorded.

Every call of a seat is a `Session`. In it a form is filled, or many choices are made behind one picture prefix.
An outage is tried once more, what somebody has to mend first is not (`failures.py`). A malformed reply is asked for
again, warmer, with all that was wrong named and without the reply, which a model would only repeat; after the last
one, code keeps what it can. All of it inside one deadline. What was said goes to the host as one blob of JSON lines.
"""

import base64
import hashlib
import io
import json
import math
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import Annotated, Any, NamedTuple, TypeVar

from httpx2 import Response
from openai import OpenAI, OpenAIError
from PIL import Image
from pydantic import BaseModel, Field, ValidationError

from director.prompts.vlm import Choice, Form, Prompt, ReplyError, quoted, thoughts_end, weigh
from director.seats import Context, Images
from director.types import ImageHash, Region
from tasks.store import picture_of
from worker.vlm.config import Server
from worker.vlm.failures import VlmRefused, VlmUnavailable, failure, page_failure, resource_of, spoken_failure

_T = TypeVar("_T")
_ALTERNATIVES = 20  # most that the API gives for a token
_SHOWN = 1500  # characters of what is wrong that a re-ask names
_HOTTEST = 2.0  # that the API takes
_LARGEST = 4.0  # times that a detail is enlarged; more shows no more
_GRACE_S = 1.0  # past the deadline of a step: a server that sends a byte now and then is never timed out
_LOOK_S = 0.2  # how soon a cancel is heeded while a server thinks


# What is read of a reply. The SDK's own types are not validated; these are.


class _Alternative(BaseModel):
    token: str
    logprob: float | None


class _Token(_Alternative):
    top_logprobs: list[_Alternative] = []


class _Logprobs(BaseModel):
    content: list[_Token] | None = None


class _Message(BaseModel):
    content: str | None
    refusal: str | None = None


class _Answer(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Cached(BaseModel):
    cached_tokens: int | None = None


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Cached | None = None


class Completion(BaseModel):
    choices: Annotated[list[_Answer], Field(min_length=1)]
    usage: _Usage | None = None


@dataclass
class _Tally:
    """What the calls of a session cost and said. Threads only append; the seat's own thread reads."""

    calls: list[str] = field(default_factory=list[str])
    retries: list[str] = field(default_factory=list[str])
    re_asks: list[str] = field(default_factory=list[str])
    salvaged: list[str] = field(default_factory=list[str])
    usages: list[_Usage] = field(default_factory=list[_Usage])
    lines: list[str] = field(default_factory=list[str])

    def report(self, name: str, context: Context) -> None:
        cached = [usage.prompt_tokens_details for usage in self.usages]
        for what, amount in (
            ("vlm_calls", len(self.calls)),
            ("vlm_retries", len(self.retries)),
            ("vlm_re_asks", len(self.re_asks)),
            ("prompt_tokens", sum(usage.prompt_tokens for usage in self.usages)),
            ("completion_tokens", sum(usage.completion_tokens for usage in self.usages)),
            ("cached_tokens", sum(each.cached_tokens or 0 for each in cached if each)),
        ):
            context.count(what, amount)
        if self.salvaged:
            context.count("vlm_salvaged", len(self.salvaged))
        if self.lines:
            context.keep(name, "".join(f"{line}\n" for line in self.lines).encode())


class _Refused(NamedTuple):
    reply: str
    problem: ReplyError


class _Asked(NamedTuple):
    """A request; its pictures stand in the messages by hash."""

    body: dict[str, Any]
    messages: list[dict[str, Any]]


class Session:
    """The calls of one step. Used as a context manager; counts and keeps what happened, whatever ends it.

    `context` is only touched by the thread that opened the session.
    """

    def __init__(self, name: str, server: Server, api: OpenAI, pool: Executor, context: Context) -> None:
        self._name = name
        self._server = server
        self._api = api
        self._pool = pool
        self._context = context
        self._end = time.monotonic() + server.deadline_s
        self._over = threading.Event()
        self._tally = _Tally()
        self._urls: dict[tuple[ImageHash, Region | None], str] = {}

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._end = 0  # what is still on its way, after a failure or a cancel, makes no further call
        self._tally.report(self._name, self._context)

    def fill(self, form: Form, read: Callable[[str], _T], salvage: Callable[[str, bool], _T] | None = None) -> _T:
        """A form's reply as `read` makes it.

        When it is malformed to the last re-ask, `salvage` makes what it can of a refused reply and whether that was
        cut off. Raises ReplyError when it can't.
        """
        (filled,) = self._all([form], lambda _, completion: read(_text(completion)), salvage)
        return filled

    def choose(self, choices: Sequence[Choice]) -> list[Mapping[str, float]]:
        """The probability of each option, by choice.

        The first is asked alone: its answer leaves the pictures in the server's prefix cache for the rest.
        """
        read = partial(_weights, resource_of(self._server))
        first = self._all(choices[:1], read)
        return first + self._all(choices[1:], read, done=1)

    def _all(
        self,
        prompts: Sequence[Prompt],
        read: Callable[[Prompt, Completion], _T],
        salvage: Callable[[str, bool], _T] | None = None,
        done: int = 0,
    ) -> list[_T]:
        for image, detail in {picture for prompt in prompts for picture in _pictures(prompt)} - self._urls.keys():
            self._urls[image, detail] = data_url(self._context.images, image, self._server.pixels, detail)
        futures = [self._pool.submit(self._ask, prompt, read, salvage) for prompt in prompts]
        waiting: set[Future[_T]] = set(futures)
        try:
            while waiting:
                self._context.check()
                ended, waiting = wait(waiting, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
                for each in ended:
                    each.result()
                if ended:
                    self._context.progress(self._name, done + len(futures) - len(waiting), done + len(futures))
                elif time.monotonic() > self._end + _GRACE_S:
                    raise self._too_late()
        finally:
            for each in waiting:
                each.cancel()
        return [each.result() for each in futures]

    def _ask(
        self,
        prompt: Prompt,
        read: Callable[[Prompt, Completion], _T],
        salvage: Callable[[str, bool], _T] | None,
    ) -> _T:
        """One question until its reply can be read. Runs in the pool."""
        refused: list[_Refused] = []
        while len(refused) <= self._server.re_asks:
            if refused:
                self._tally.re_asks.append(prompt.name)
            request = _Asked(self._body(prompt, len(refused)), _messages(prompt, refused))
            try:
                raw = self._post(prompt, request)
            except VlmUnavailable:
                if refused and time.monotonic() >= self._end:
                    # It did answer: replies that can't be read used up the time. Nothing is salvaged by the clock,
                    # or the same step could end in two ways.
                    raise refused[-1].problem from None
                raise
            reply, problem = "", None
            try:
                completion = read_completion(raw)
                self._tally.usages.append(completion.usage or _Usage())
                reply = completion.choices[0].message.content or ""
                return read(prompt, completion)
            except ReplyError as error:
                problem = error
                refused.append(_Refused(reply, error))
            finally:
                self._tally.lines.append(self._line(prompt, request, raw, problem))
        return self._salvaged(prompt, refused, salvage)

    def _salvaged(self, prompt: Prompt, refused: Sequence[_Refused], salvage: Callable[[str, bool], _T] | None) -> _T:
        """What can be made of the refused replies, the last first. Raises the last one's ReplyError."""
        for reply, problem in reversed(refused):
            if salvage is None:
                break
            try:
                made = salvage(reply, problem.cut)
            except ReplyError:
                continue
            self._tally.salvaged.append(prompt.name)
            return made
        raise refused[-1].problem

    def _post(self, prompt: Prompt, request: _Asked) -> bytes:
        """The body of the server's answer, after one retry at most."""
        body = {**request.body, "messages": [self._shown(message) for message in request.messages]}
        for last in (False, True):
            remaining = self._end - time.monotonic()
            if remaining <= 0:
                raise self._too_late()
            self._tally.calls.append(prompt.name)
            try:
                return self._once(body, remaining)
            except VlmUnavailable as away:
                pause = max(self._server.retry_wait_s, away.retry_after_s)
                if last or pause >= self._end - time.monotonic():
                    raise
                self._tally.retries.append(str(away))
                self._over.wait(pause)
        raise AssertionError("the last round returns or raises")

    def _too_late(self) -> VlmUnavailable:
        where = resource_of(self._server)
        said = f"{where}: the {self._server.deadline_s:g} s of this step are used"
        return VlmUnavailable(said, where, "raise the seat's deadline_s, or give the server less to do")

    def _once(self, body: Mapping[str, Any], remaining: float) -> bytes:
        """The body of one answer. Raises VlmUnavailable and VlmRefused, and nothing else of the transport."""
        timeout = min(self._server.answer_s(body["max_tokens"]), remaining)
        try:
            answer = self._api.post("/chat/completions", body=body, cast_to=Response, options={"timeout": timeout})
        except (OpenAIError, UnicodeError) as error:  # the latter from a key or a url that no header can hold
            # Not `from error`: the transport's own words may hold the key, and all else is said.
            raise failure(error, self._server, body["max_tokens"]) from None
        raw = answer.content
        if failed := page_failure(raw, answer.headers, self._server) or spoken_failure(raw, self._server):
            raise failed
        return raw

    def _body(self, prompt: Prompt, re_asks: int) -> dict[str, Any]:
        server = self._server
        warmth = min(server.temperature + re_asks * server.warmer, _HOTTEST)
        body: dict[str, Any] = {
            **server.extra,
            "model": server.model,
            "temperature": round(warmth, 4),
            "max_tokens": server.max_tokens,
        }
        if warmth > 0:
            # Servers that heed it answer alike when the step is run again.
            body["seed"] = _seed(prompt.question, re_asks)
        if isinstance(prompt, Form):
            json_schema = {"name": prompt.name, "schema": prompt.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": json_schema}
        elif isinstance(prompt, Choice):
            body |= {"temperature": 0, "max_tokens": 1, "logprobs": True, "top_logprobs": _ALTERNATIVES}
            body.pop("seed", None)
            if server.constrain:
                words = dict.fromkeys(word for option in prompt.options for word in (option, option.capitalize()))
                body["regex"] = f"({'|'.join(words)})"
        if server.token_ids:
            body |= {"return_token_ids": True, "return_prompt_token_ids": True, "logprobs": True}
        return body

    def _shown(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """A message with its pictures as data: URLs. No other kind: a file: URL is read from the server's disk."""
        if isinstance(message["content"], str):
            return dict(message)
        parts = [
            {"type": "image_url", "image_url": {"url": self._urls[part["image"], _detail(part)]}}
            if part["type"] == "image"
            else part
            for part in message["content"]
        ]
        return {**message, "content": parts}

    def _line(self, prompt: Prompt, asked: _Asked, raw: bytes, problem: ReplyError | None) -> str:
        """One exchange as JSON, its pictures by hash."""
        try:
            response: Any = json.loads(raw)
        except ValueError:
            response = raw.decode(errors="replace")
        request = {**asked.body, "pixels": self._server.pixels, "messages": asked.messages}
        exchange = {
            "prompt": prompt.name,
            "request": request,
            "response": response,
            "problem": problem and str(problem),
        }
        return json.dumps(exchange, ensure_ascii=False)


def data_url(images: Images, image: ImageHash, pixels: int, detail: Region | None = None) -> str:
    """A stored picture as a data: URL of a PNG with at most `pixels` pixels, a detail enlarged to a quarter of it."""
    picture = picture_of(images.raster(image))
    shown = picture.crop(_pixel_box(detail, picture.size)) if detail else picture
    scale = math.sqrt((pixels / 4 if detail else pixels) / (shown.width * shown.height))
    if detail or scale < 1 or picture.mode != "RGB":
        plain = shown.convert("RGB")
        if detail or scale < 1:
            scale = min(scale, _LARGEST)
            size = (max(1, int(shown.width * scale)), max(1, int(shown.height * scale)))
            plain = plain.resize(size, Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        plain.save(buffer, "PNG", compress_level=1)
        png = buffer.getvalue()
    else:
        png = images.get(image)
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _pixel_box(region: Region, size: tuple[int, int]) -> tuple[int, int, int, int]:
    width, height = size
    return (
        math.floor(region.x0 * width),
        math.floor(region.y0 * height),
        math.ceil(region.x1 * width),
        math.ceil(region.y1 * height),
    )


def _pictures(prompt: Prompt) -> list[tuple[ImageHash, Region | None]]:
    """What is shown, in order."""
    pictures: list[tuple[ImageHash, Region | None]] = [(image, None) for image in prompt.images]
    return [*pictures, (prompt.images[-1], prompt.detail)] if prompt.detail else pictures


def _messages(prompt: Prompt, refused: Sequence[_Refused]) -> list[dict[str, Any]]:
    """Pictures behind what all questions share, and the question last, so that questions share a prefix."""
    pictures: list[dict[str, Any]] = [_words(prompt.lead)] if prompt.lead else []
    for label, (image, detail) in zip_longest(prompt.labels, _pictures(prompt)):
        pictures += [_words(label)] if label else []
        pictures.append({"type": "image", "image": image} | ({"detail": detail.model_dump()} if detail else {}))
    question = _words(prompt.question + _again(refused))
    return [_said("system", prompt.system), _said("user", [*pictures, question])]


def _words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _detail(part: Mapping[str, Any]) -> Region | None:
    return Region.model_validate(part["detail"]) if "detail" in part else None


def _said(role: str, content: str | list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": role, "content": content}


def _again(refused: Sequence[_Refused]) -> str:
    """All that was wrong so far; not the replies, which would be repeated."""
    if not refused:
        return ""
    problems = "; ".join(dict.fromkeys(str(each.problem) for each in refused))
    return f"\nAn earlier answer could not be used: {quoted(problems)[:_SHOWN]}.\nAnswer in the form asked for."


def _seed(question: str, re_asks: int) -> int:
    digest = hashlib.blake2b(f"{re_asks}/{question}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


def read_completion(raw: bytes) -> Completion:
    """A server's answer. Raises ReplyError when it is none."""
    try:
        return Completion.model_validate_json(raw)
    except ValidationError as error:
        raise ReplyError("the server's reply is no chat completion") from error


def _text(completion: Completion) -> str:
    answer = completion.choices[0]
    if answer.finish_reason == "length":
        thinking = _thinks(answer.message.content or "")
        raise ReplyError(f"the reply was cut off{' inside its thoughts' if thinking else ''}: be shorter", cut=True)
    if not answer.message.content:
        raise ReplyError("the reply was empty")
    return answer.message.content


def _thinks(text: str) -> bool:
    """It begins with thoughts that don't end."""
    return bool(_THINKS.match(text)) and not thoughts_end(text)


_THINKS = re.compile(r"\s*(?:<think(?:ing)?>|<thought>|\[THINK\]|◁think▷)", re.IGNORECASE)


def _weights(resource: str, prompt: Prompt, completion: Completion) -> Mapping[str, float]:
    """The first token's alternatives, weighed. Raises VlmRefused from a server that gives none."""
    logprobs = completion.choices[0].logprobs
    if logprobs is None or not logprobs.content:
        raise VlmRefused(
            f"{resource}: the server gives no token probabilities",
            resource,
            "choose verify=structured and select=listwise",
        )
    first = logprobs.content[0]
    if _thinks(first.token):
        fix = 'set the seat\'s extra to {"chat_template_kwargs": {"enable_thinking": false}}'
        raise VlmRefused(f"{resource}: the model thinks before it answers with one word", resource, fix)
    tokens = [(each.token, each.logprob) for each in first.top_logprobs or [first] if each.logprob is not None]
    assert isinstance(prompt, Choice)
    return weigh(tokens, prompt.options)
