"""The next instruction, from what is wanted, what is kept, what failed, and the picture."""

from director.prompts.typography import restored
from director.prompts.vlm import Box, Form, Reply, ReplyError, form, listed, parse, quoted, region_of
from director.seats import Failure, PlanRequest
from director.types import MAX_BRIEF_BYTES, Action, ActionKind

_ABSENT = {
    ActionKind.GENERATE: 'Of what is marked absent say "There is no …", and nothing else.',
    ActionKind.EDIT: 'Of what is marked absent say "Remove …", and nothing else.',
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
        brief=request.brief.text if request.everything else "nothing beyond the above",
        targets=listed(request.targets),
        kept=listed(request.kept),
        failures="\n".join(_tried(failure) for failure in request.failures[-_FAILURES:]) or "nothing",
        absent=f" {_ABSENT[request.action]}" if any(goal.absent for goal in request.targets) else "",
    )


def _tried(failure: Failure) -> str:
    return f"said: {failure.instruction} · seen then: {'; '.join(failure.evidence) or 'no gain'}"


class Reader:
    """Reads the replies to one request. An instruction that failed before is refused once; said again, it is taken."""

    def __init__(self, request: PlanRequest) -> None:
        self._request = request
        self._failed = {failure.instruction for failure in request.failures}

    def __call__(self, reply: str) -> Action:
        found = action(reply, self._request)
        if found.instruction in self._failed:
            self._failed = set[str]()
            raise ReplyError("this very instruction failed before: say it differently")
        return found


def action(reply: str, request: PlanRequest) -> Action:
    """The action of a reply. Every string to be set stands in it, letter for letter, or ReplyError is raised.

    What the model wrote with other marks, dashes, spaces or normal form is written as in the brief.
    """
    found = parse(_Plan, reply)
    instruction = found.instruction.strip()
    for string in (goal.string for goal in request.targets if goal.string and not goal.absent):
        instruction = _with_string(instruction, string)
    if not instruction or len(instruction) > MAX_BRIEF_BYTES:
        raise ReplyError(f"the instruction has {len(instruction)} characters: write 1 to {MAX_BRIEF_BYTES}")
    confined = request.masks and request.base is not None and not request.whole
    return Action(
        kind=request.action,
        instruction=instruction,
        targets=tuple(goal.id for goal in request.targets),
        region=region_of(found.region) if confined else None,
    )


def _with_string(instruction: str, string: str) -> str:
    instruction = instruction.replace(quoted(string), string)
    found = restored(instruction, string)
    if found is None:
        found = restored(instruction, quoted(string))
        found = found and found.replace(quoted(string), string)
    if found is None:
        raise ReplyError(f"the instruction must quote {string!r} exactly")
    return found
