"""Bearer tokens: the owner, the scopes and the limits of each."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from director.errors import DirectorError
from director.types import MAX_BRIEF_BYTES


class BadSettings(DirectorError):
    """An environment variable can't be used; the message names it."""

    boundary = "settings"


class Scope(StrEnum):
    """`operate` is for those who run the service: they see, cancel and requeue the jobs of every owner."""

    READ = "read"
    WRITE = "write"
    OPERATE = "operate"


DEFAULT_SCOPES = frozenset({Scope.READ, Scope.WRITE})
Secret = Annotated[SecretStr, Field(min_length=1)]


class Rules(BaseModel):
    """A token with its scopes and, where they differ from everybody's, its limits."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    token: Secret
    scopes: frozenset[Scope] = DEFAULT_SCOPES
    max_in_flight: Annotated[int, Field(ge=1)] | None = None
    max_brief_bytes: Annotated[int, Field(ge=1, le=MAX_BRIEF_BYTES)] | None = None
    max_image_bytes: Annotated[int, Field(ge=1024)] | None = None


class Grant(Rules):
    """Rules with the owner whose token it is."""

    owner: str


def grants(tokens: Mapping[str, SecretStr | Rules], file: Path | None, name: str) -> list[Grant]:
    """All tokens of the settings and of the file (`name` is that setting's). Raises BadSettings."""
    rules = {owner: given if isinstance(given, Rules) else Rules(token=given) for owner, given in tokens.items()}
    found = [Grant(owner=owner, **dict(given)) for owner, given in rules.items()]
    if file:
        found += _read(file, name)
    _check_distinct(found)
    return found


def _read(path: Path, name: str) -> list[Grant]:
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise BadSettings(f"{name}: {path}: {error.strerror}") from error
    found: list[Grant] = []
    for number, line in enumerate(lines, 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if len(words) not in (2, 3):
            raise BadSettings(f"{name}: {path}, line {number}: write an owner and a token, and scopes if you like")
        scopes = words[2].split(",") if words[2:] else DEFAULT_SCOPES
        if set(scopes) - set(Scope):  # not shown: it may be a part of a secret
            raise BadSettings(f"{name}: {path}, line {number}: the third word is for scopes: {', '.join(Scope)}")
        found.append(Grant(owner=words[0], token=SecretStr(words[1]), scopes=frozenset(Scope(s) for s in scopes)))
    return found


def _check_distinct(found: Iterable[Grant]) -> None:
    seen: dict[str, str] = {}
    for grant in found:
        if other := seen.get(token := grant.token.get_secret_value()):
            raise BadSettings(f"{other} and {grant.owner} have the same token", "give each its own")
        seen[token] = grant.owner
