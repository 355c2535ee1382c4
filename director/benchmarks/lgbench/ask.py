"""A brief written by a language model: what it is asked, and how its reply is held to the goals."""

from director.benchmarks.lgbench.compose import Draft, core, missing
from director.prompts.vlm import Form, Reply, ReplyError, form, parse
from director.types import MAX_BRIEF_BYTES

_KINDS = {"t2i": "a new picture", "i2i": "changes to a picture that is there"}


class _Written(Reply):
    brief: str


def prompt(draft: Draft) -> Form:
    """The opening and the goals; nothing else of a task is shown."""
    goals = "\n".join(core(goal) for goal in draft.goals)
    kind = _KINDS[draft.modality]
    return form("write", (), _Written.model_json_schema(), opening=draft.opening, goals=goals, kind=kind)


def brief(reply: str, draft: Draft) -> str:
    """The brief of a reply. Raises ReplyError that lists the goals which do not stand in it."""
    written = " ".join(parse(_Written, reply).brief.split())
    if lost := missing(written, draft.goals):
        listed = "; ".join(lost[:10])
        raise ReplyError(f"brief: {len(lost)} goals do not stand in it word for word: {listed}")
    if len(written.encode()) > MAX_BRIEF_BYTES:
        raise ReplyError(f"brief: it is longer than {MAX_BRIEF_BYTES} bytes: write less around the goals")
    return written
