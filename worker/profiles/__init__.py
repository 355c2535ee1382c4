"""Profiles: what fills the seats and what runs where, as JSON beside this file or anywhere.

`${WEIGHTS}`, `${VLM_HOST}` and `${TINY}/NAME` in a profile are replaced from the settings; the last is the folder of a
tiny checkpoint that is made from code.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from director.errors import BriefError
from tasks.settings import PREFIX, Settings
from worker.profiles import tiny
from worker.profiles.shape import Machine, ModelServer, Profile, WorkerGroup

__all__ = ["Machine", "ModelServer", "Opened", "Profile", "WorkerGroup", "load_profile", "names"]

_TINY = re.compile(r"\$\{TINY\}/([a-z0-9-]+)")
_PLACE = re.compile(r"\$\{([A-Z_]+)\}")


@dataclass(frozen=True)
class Opened:
    """A profile that was read. `word` names it in settings; `tiny` are the checkpoints that it has made from code."""

    word: str
    profile: Profile
    tiny: tuple[str, ...]

    def settings(self, environ: Mapping[str, str]) -> dict[str, Any]:
        """What it says of the settings of the processes that fill its seats; limits in `environ` go before its own."""
        limits = {} if f"{PREFIX}MAX_STEP_S" in environ else self.profile.max_step_s
        return {"studio": self.word, **({"max_step_s": limits} if limits else {})}

    def prepare(self, settings: Settings) -> None:
        """Make the tiny checkpoints that are not there yet."""
        for name in self.tiny:
            tiny.make(name, settings.model_cache, settings.sglang_python)


def names() -> tuple[str, ...]:
    """The profiles that come with the checkout."""
    return tuple(sorted(_shipped()))


def _shipped() -> Iterator[str]:
    for entry in files("worker.profiles").iterdir():
        if entry.name.endswith(".json"):
            yield entry.name.removesuffix(".json")


def load_profile(word: str, settings: Settings) -> Opened:
    """The profile of a name, or of a path that ends in .json. Raises BriefError that says what is wrong with it."""
    if word.endswith(".json"):
        path = Path(word).resolve()
        if not path.is_file():
            raise BriefError(f"there is no file {word}", "name a readable profile", "--profile")
        word, text = str(path), path.read_text(encoding="utf-8")
    elif word in names():
        text = (files("worker.profiles") / f"{word}.json").read_text(encoding="utf-8")
    else:
        fix = f"choose {', '.join(names())}, or a path that ends in .json"
        raise BriefError(f"there is no profile {word!r}", fix, "--profile")
    try:
        profile = Profile.model_validate_json(_expanded(text, settings))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        raise BriefError(f"profile {word}: {field}: {message}", field="--profile") from error
    if profile.vlm and find_spec("openai") is None:
        fix = "make setup-models, then .venv-models/bin/…"
        raise BriefError(f"profile {word}: openai is not installed", fix, "--profile")
    return Opened(word, profile, tuple(dict.fromkeys(_TINY.findall(text))))


def _expanded(text: str, settings: Settings) -> str:
    def checkpoint(match: re.Match[str]) -> str:
        try:
            return str(tiny.folder(match[1], settings.model_cache))
        except KeyError:
            raise BriefError(f"there is no tiny checkpoint {match[1]!r}", field="--profile") from None

    def place(match: re.Match[str]) -> str:
        if match[1] not in places:
            raise BriefError(f"{match[0]}: there are only {', '.join(places)} and TINY", field="--profile")
        return places[match[1]]

    places = {"WEIGHTS": str(settings.weights), "VLM_HOST": settings.vlm_host}
    return _PLACE.sub(place, _TINY.sub(checkpoint, text))
