"""`doctor --cost`: what a brief's job asks of each seat, in tokens, seconds and money, reckoned without any model.

The sketch studio plays the job, so that goals, rounds and misses are those of its miss model. For each of its requests
the prompts are made that the profile's VLM seats would send, and counted: words by `director.prompts.tokens`, pictures
as Qwen3-VL counts them. A prompt's beginning that a server has seen counts as cached.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from director.loop import advance, begin, next_step, perform
from director.prompts import decide, extract, label, plan, select, verify
from director.prompts.tokens import about
from director.prompts.vlm import Prompt
from director.seats import DecideRequest, ExtractRequest, PlanRequest, Request, SelectRequest, VerifyRequest
from director.types import (
    DRAFT,
    SIDE,
    Brief,
    Chosen,
    Extracted,
    LoopSettings,
    ModelName,
    Outcome,
    Planned,
    Region,
    Rendered,
    Reply,
    Seed,
    Verified,
)
from tasks.store import Images
from worker.local import LocalContext
from worker.profiles import Profile
from worker.sketch import model_names, sketch_studio
from worker.vlm.config import Server, VlmConfig

PIXELS_PER_TOKEN = 32 * 32
"""Of a picture, for Qwen3-VL."""
_SEEN = 25
"""Tokens of what is seen in place of one goal, in a few words."""
_CHOICE = 90
"""Of what is wrong, what to do about it, and the letter of an option."""
_VERDICT = 40
_SCORE = 4
_CHARS = 3
"""Of JSON, in one token."""


@dataclass
class Bill:
    """What one seat is asked. `seconds` and `money` are None where the profile does not say the rates."""

    seat: str
    questions: int = 0
    prompt: int = 0
    cached: int = 0
    written: int = 0
    pictures: int = 0
    seconds: float | None = None
    money: float | None = None


def reckon(profile: Profile, brief: Brief, settings: LoopSettings, seed: Seed, images: Images) -> list[Bill]:
    """The bill of each seat that a VLM fills, and of the editor."""
    config = profile.vlm or VlmConfig.model_construct()
    bills = {name: Bill(name) for name in (*config.seats, "editor")}
    meter = Meter(config, _area(profile, settings))
    sketch, context = sketch_studio(), LocalContext(images)
    trajectory, pictures = begin(brief, settings, seed), Counter[str]()
    while request := next_step(trajectory):
        drawn = request
        if request.kind == "render":
            pictures[request.model] += len(request.seeds)
            drawn = request.model_copy(update={"model": _drawn_by(settings)})
        reply = perform(drawn, sketch, context)
        trajectory = advance(trajectory, reply)
        if isinstance(reply, Rendered):
            bills["editor"].pictures += len(reply.candidates)
        elif request.seat in bills:
            meter.count(bills[request.seat], request, reply)
    for bill in bills.values():
        _price(bill, profile, pictures)
    return [*bills.values()]


def _drawn_by(settings: LoopSettings) -> str:
    """The sketch's model that misses as the editor does, if it has one."""
    name = settings.editor.removesuffix(DRAFT)
    return name if name in model_names() else model_names()[0]


def _area(profile: Profile, settings: LoopSettings) -> int:
    """Pixels of the job's pictures."""
    side = profile.editors.native(settings.editor) if profile.editors else SIDE
    return (settings.width or side) * (settings.height or side)


class Meter:
    """Counts prompts, each server with a cache of prefixes that forgets nothing."""

    def __init__(self, config: VlmConfig, area: int) -> None:
        self._config = config
        self._area = area
        self._known: dict[tuple[str, str], set[int]] = {}

    def count(self, bill: Bill, request: Request, reply: Reply) -> None:
        server = self._config.seats[bill.seat]
        known = self._known.setdefault((server.url, server.model), set())
        for prompt, written in asked(request, reply, self._config):
            bill.questions += 1
            bill.written += written
            prefix, new = 0, False
            for piece, tokens in self._pieces(prompt, server):
                prefix = hash((prefix, piece))
                new = new or prefix not in known
                known.add(prefix)
                bill.prompt += tokens
                bill.cached += 0 if new else tokens

    def _pieces(self, prompt: Prompt, server: Server) -> Iterator[tuple[str, int]]:
        """What a prompt is made of, in order, with the tokens of each piece."""
        yield from _words(f"{prompt.system}\n{prompt.lead}")
        for n, image in enumerate(prompt.images):
            yield from _words("".join(prompt.labels[n : n + 1]))
            yield image, min(self._area, server.pixels) // PIXELS_PER_TOKEN
        if prompt.detail:
            yield f"{prompt.images[-1]} {prompt.detail}", server.pixels // 4 // PIXELS_PER_TOKEN
        yield from _words(prompt.question)


def _words(text: str) -> Iterator[tuple[str, int]]:
    yield from ((word, _in_word(word)) for word in text.split())


@lru_cache(maxsize=1 << 15)
def _in_word(word: str) -> int:
    return about(word)


def asked(request: Request, reply: Reply, config: VlmConfig) -> Iterator[tuple[Prompt, int]]:
    """The prompts of a request as the VLM seats send them, each with the tokens of its reply."""
    match request, reply:
        case ExtractRequest(), Extracted():
            if config.planner and config.planner.extract == "clauses":
                yield from ((question, 1) for question in label.questions(request))
                return
            parts = extract.parts(request)
            written = sum(_form(_GOAL, goal.region) for goal in reply.goals) // len(parts)
            yield from ((extract.prompt(request, part), written) for part in parts)
        case DecideRequest(), Chosen():
            yield decide.prompt(request), _CHOICE
        case PlanRequest(), Planned():
            yield plan.prompt(request), about(reply.action.instruction) + _form(_PLAN, reply.action.region)
        case SelectRequest(), _:
            yield from _compared(request, config)
        case VerifyRequest(), Verified():
            yield from _verified(request, reply, config)
        case _:
            pass


def _compared(request: SelectRequest, config: VlmConfig) -> Iterator[tuple[Prompt, int]]:
    count = len(request.candidates)
    if config.judge and config.judge.select == "listwise":
        yield select.listwise(request), _SEEN + _SCORE * count
        return
    standing, answers = tuple(range(count)), dict[tuple[int, int], Mapping[str, float]]()
    while standing:  # who wins changes nothing about how many are asked
        pairs = select.pairs(standing)
        yield from ((select.pairwise(request, pair), 1) for pair in pairs)
        answers |= {pair: {select.FIRST: 0.5, select.SECOND: 0.5} for pair in pairs}
        standing = select.through(standing, answers)


def _verified(request: VerifyRequest, reply: Verified, config: VlmConfig) -> Iterator[tuple[Prompt, int]]:
    if config.verifier and config.verifier.verify == "structured":
        yield verify.structured(request), _VERDICT * len(request.goals)
        return
    yield from ((verify.soft(request.image, goal), 1) for goal in request.goals)
    missed = {verdict.goal for verdict in reply.verdicts if verdict.outcome is Outcome.MISSED}
    goals = tuple(goal for goal in request.goals if goal.id in missed)
    if goals and config.verifier and config.verifier.explain:
        yield verify.explain(request.image, goals), _SEEN * len(goals)


_GOAL = (
    '{"clauses":[1],"type":"add_object","string":null,"absent":false,"scope":"local","region":null,"count":null,'
    '"parents":[],"conflicts":[],"must_have":false,"feasibility":80}'
)
_PLAN = '{"instruction":"","region":null}'
_BOX = "[500,500,1000,1000]"


def _form(text: str, region: Region | None) -> int:
    """Tokens of a form as a model writes it, with a box where there is one."""
    return (len(text) + len(_BOX if region else "")) // _CHARS


def _price(bill: Bill, profile: Profile, pictures: Mapping[ModelName, int]) -> None:
    rates = profile.rates
    if bill.seat == "editor":
        known = pictures.keys() <= rates.picture_s.keys()
        bill.seconds = sum(count * rates.picture_s[model] for model, count in pictures.items()) if known else None
    elif profile.vlm and rates.prompt_tokens_per_s:
        server = profile.vlm.seats[bill.seat]
        bill.seconds = (bill.prompt - bill.cached) / rates.prompt_tokens_per_s + bill.written / server.tokens_per_s
    price = next((found for seat, found in rates.tokens.items() if seat == bill.seat), None)
    if price:
        tokens = (bill.prompt - bill.cached) * price.prompt + bill.cached * price.cached + bill.written * price.written
        bill.money = tokens / 1e6
    elif rates.card_hour is not None and bill.seconds is not None:
        bill.money = bill.seconds / 3600 * rates.card_hour


def table(bills: Sequence[Bill], currency: str) -> str:
    """A line for each seat, and the sums."""
    heads = ("seat", "questions", "prompt tokens", "cached", "written", "pictures", "seconds", currency)
    rows = [heads, *(_row(bill) for bill in [*bills, _sum(bills)])]
    widths = [max(len(row[n]) for row in rows) for n in range(len(heads))]
    lines = ([cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join([line[0].strip().ljust(widths[0]), *line[1:]]) for line in lines)


def _row(bill: Bill) -> tuple[str, ...]:
    counts = (bill.questions, bill.prompt, bill.cached, bill.written, bill.pictures)
    seconds = "-" if bill.seconds is None else f"{bill.seconds:,.0f}"
    money = "-" if bill.money is None else f"{bill.money:.4f}"
    return (bill.seat, *(f"{count:,}" if count else "-" for count in counts), seconds, money)


def _sum(bills: Sequence[Bill]) -> Bill:
    """What is not known of one seat is not known of the whole."""
    whole = Bill("in all", seconds=0, money=0)
    for bill in bills:
        for name in ("questions", "prompt", "cached", "written", "pictures"):
            setattr(whole, name, getattr(whole, name) + getattr(bill, name))
        whole.seconds = None if None in (whole.seconds, bill.seconds) else (whole.seconds or 0) + (bill.seconds or 0)
        whole.money = None if None in (whole.money, bill.money) else (whole.money or 0) + (bill.money or 0)
    return whole
