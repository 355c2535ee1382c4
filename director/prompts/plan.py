"""The next instruction, from what is wanted, what is kept, what failed, and the picture."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from director.prompts.tokens import PER_WORD, about
from director.prompts.typography import restored
from director.prompts.vlm import Box, Form, Reply, ReplyError, all_of, curly, form, listed, parse, quoted, region_of
from director.seats import Failure, PlanRequest
from director.types import MAX_BRIEF_BYTES, Action, ActionKind, Region

_ABSENT = {
    ActionKind.GENERATE: "Of what is marked absent say “There is no …”, and nothing else.",
    ActionKind.EDIT: "Of what is marked absent say “Remove …”, and nothing else.",
}

_FAILURES = 6
"""The latest are shown; a model can't say it in yet another way than ten."""


class _Plan(Reply):
    instruction: str
    region: Box | None


def prompt(request: PlanRequest) -> Form:
    """Goals, kept goals and failures, behind the picture that an edit starts from."""
    verb = {ActionKind.GENERATE: "draw a new picture", ActionKind.EDIT: "edit the picture above"}[request.action]
    if request.base and request.whole:
        verb = "edit the picture above, bringing everything wanted at once"
    return form(
        "plan",
        (request.base,) if request.base else (),
        _Plan.model_json_schema(),
        action=verb,
        brief=curly(request.brief.text) if request.everything else "nothing beyond the above",
        targets=listed(request.targets),
        kept=listed(request.kept),
        failures="\n".join(_said_before(request)) or "nothing",
        absent=f" {_ABSENT[request.action]}" if any(goal.absent for goal in request.targets) else "",
        limit=_limit(request),
    )


def _said_before(request: PlanRequest) -> Iterator[str]:
    yield from (_tried(failure) for failure in request.failures[-_FAILURES:])
    if request.advice:
        yield curly(f"advice for this instruction: {request.advice}")


def _tried(failure: Failure) -> str:
    return curly(f"said: {failure.instruction} · seen then: {'; '.join(failure.evidence) or 'no gain'}")


def _limit(request: PlanRequest) -> str:
    if request.most_tokens is None:
        return ""
    return f" The image model reads no more than {_words(request.most_tokens)} words: stay below that."


def _words(tokens: int) -> int:
    return int(tokens / PER_WORD)


class Reader:
    """Reads the replies to one request. An instruction that failed before is refused once; said again, it is taken.

    `repairs` counts what code mended in the reply that was taken.
    """

    def __init__(self, request: PlanRequest) -> None:
        self._request = request
        self._failed = {failure.instruction for failure in request.failures}
        self.repairs = Counter[str]()

    def __call__(self, reply: str) -> Action:
        mended = Counter[str]()
        found = action(reply, self._request, mended)
        if found.instruction in self._failed:
            self._failed = set[str]()
            raise ReplyError("this very instruction failed before: say it differently")
        self.repairs = mended
        return found

    def salvage(self, reply: str, cut: bool) -> Action:
        """What code makes of a reply that stayed wrong: whole sentences, as many as are read, and all strings."""
        mended = Counter[str]()
        found = salvaged(reply, cut, self._request, mended)
        self.repairs = mended
        return found


def action(reply: str, request: PlanRequest, repairs: Counter[str] | None = None) -> Action:
    """The action of a reply. Every string to be set stands in it, letter for letter, or ReplyError is raised.

    What the model wrote with other marks, dashes, spaces or normal form is written as in the brief. What else is
    mended is counted in `repairs`.
    """
    found = parse(_Plan, reply)
    instruction, missing = _with_strings(found.instruction.strip(), request)
    problems = [f"the instruction must quote {_named(missing)} exactly"] if missing else []
    if not instruction or len(instruction) > MAX_BRIEF_BYTES:
        problems.append(f"the instruction has {len(instruction)} characters: write 1 to {MAX_BRIEF_BYTES}")
    elif request.most_tokens is not None and about(instruction) > request.most_tokens:
        words = len(instruction.split())
        problems.append(f"the instruction has {words} words: write {_words(request.most_tokens)} or fewer")
    region = None
    try:
        # A place that nothing is confined to is no reason to refuse the words.
        region = region_of(found.region, Counter() if repairs is None else repairs) if _confined(request) else None
    except ReplyError as error:
        problems.append(str(error))
    if problems:
        raise ReplyError(all_of(problems))
    return _action(instruction, region, request)


def _confined(request: PlanRequest) -> bool:
    return request.masks and request.base is not None and not request.whole


def _action(instruction: str, region: Region | None, request: PlanRequest) -> Action:
    return Action(
        kind=request.action,
        instruction=instruction,
        targets=tuple(goal.id for goal in request.targets),
        region=region,
    )


def _wanted(request: PlanRequest) -> list[str]:
    """The strings to be set, each once."""
    return list(dict.fromkeys(goal.string for goal in request.targets if goal.string and not goal.absent))


def _with_strings(instruction: str, request: PlanRequest) -> tuple[str, list[str]]:
    """The instruction with each string as the brief writes it, and the strings that it has not."""
    missing: list[str] = []
    for string in _wanted(request):
        found = _with_string(instruction, string)
        if found is None:
            missing.append(string)
        else:
            instruction = found
    return instruction, missing


def _with_string(instruction: str, string: str) -> str | None:
    instruction = instruction.replace(quoted(string), string)
    found = restored(instruction, string)
    if found is None:
        found = restored(instruction, quoted(string))
        found = found and found.replace(quoted(string), string)
    return found


def _named(strings: Sequence[str]) -> str:
    return ", ".join(f"“{curly(string)}”" for string in strings)


# --- what is kept of a refused reply ------------------------------------------------------------

_SAID = re.compile(r'"instruction"\s*:\s*"((?:[^"\\]|\\.)*)', re.DOTALL)
_ENDS = re.compile(r"[.!?;。！？…][\"'”’»)\]]*$")
_SENTENCE = re.compile(r".+?(?:[.!?;。！？…]+[\"'”’»)\]]*(?=\s|$)|\n|$)", re.DOTALL)
_MARKS = (("“", "”"), ("«", "»"), ("「", "」"))


def salvaged(reply: str, cut: bool, request: PlanRequest, repairs: Counter[str]) -> Action:
    """The action of a refused reply, mended by code. Raises ReplyError when it says nothing."""
    sentences = _said(reply)
    if not sentences:
        raise ReplyError("the reply says nothing that can be used")
    missing = _with_strings(" ".join(sentences), request)[1]
    # A straight quotation mark ends the reply in the middle of a sentence, as a want of tokens does.
    if (cut or missing) and len(sentences) > 1 and not _ENDS.search(sentences[-1]):
        sentences.pop()
    instruction, missing = _with_strings(" ".join(sentences), request)
    room = request.most_tokens or MAX_BRIEF_BYTES
    added = " ".join(_setting(string) for string in missing)
    shorter = _shortened(instruction, room - about(added), _wanted(request))
    shorter, lost = _with_strings(shorter, request)
    repairs["shortened"] += shorter != instruction
    repairs["strings"] += len(lost)
    written = " ".join([shorter, *(_setting(string) for string in lost)]).strip()
    # The place is only advice, and here nobody can say whether it was meant.
    return _action(written[:MAX_BRIEF_BYTES], None, request)


def _said(reply: str) -> list[str]:
    """The sentences of the instruction, each once; of one that was cut off, too."""
    written = [*_SAID.finditer(reply)]
    if not written:
        return []
    try:
        text = str(json.loads(f'"{written[-1][1]}"', strict=False))
    except ValueError:  # cut off inside an escape
        text = written[-1][1].rpartition("\\")[0]
    return list(dict.fromkeys(_sentences(text)))


def _sentences(text: str) -> Iterator[str]:
    yield from (found for each in _SENTENCE.finditer(text) if (found := each[0].strip()))


def _shortened(instruction: str, room: int, strings: Sequence[str]) -> str:
    """`instruction` without as many of its last sentences as are too much; those that set a string go last."""
    sentences = [*_sentences(instruction)]
    if about(instruction) <= room:
        return instruction
    kept = [*enumerate(sentences)]
    kept.sort(key=lambda each: (not any(string in each[1] for string in strings), each[0]))
    chosen: list[int] = []
    for n, sentence in kept:
        room -= about(sentence)
        if room >= 0:
            chosen.append(n)
    return " ".join(sentences[n] for n in sorted(chosen))


def _setting(string: str) -> str:
    opens, closes = next(((a, b) for a, b in _MARKS if a not in string and b not in string), _MARKS[0])
    return f"Set the text {opens}{string}{closes}."
