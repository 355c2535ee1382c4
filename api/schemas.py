"""What goes in and out of the door, beyond the nouns of `director.types`."""

import hashlib
import json
from typing import Annotated, Any, Self, cast

from pydantic import AfterValidator, BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_core import from_json

from api.problems import from_pydantic, invalid
from director.types import MAX_BRIEF_BYTES, STRATEGIES, Brief, Goal, LoopSettings, Region, Seed, Value
from tasks.jobs import Job, JobStatus, job_id


def _known_strategy(name: str) -> str:
    if name not in STRATEGIES:
        raise ValueError(f"there is no strategy {name[:64]!r}: choose one of {', '.join(STRATEGIES)}")
    return name


class BriefIn(Brief):
    """A brief as sent: an object, or just its text."""

    @model_validator(mode="before")
    @classmethod
    def _plain_text(cls, given: Any) -> Any:
        return {"text": given} if isinstance(given, str) else given

    @field_validator("text", mode="before")
    @classmethod
    def _usable_text(cls, text: Any) -> Any:
        # The same limits as Brief's own, checked at the field so that the error names it.
        if isinstance(text, str) and not text.strip():
            raise ValueError("the text of the brief is empty: write what the picture must show")
        if isinstance(text, str) and (size := len(text.encode())) > MAX_BRIEF_BYTES:
            raise ValueError(f"the text of the brief has {size} bytes; the most is {MAX_BRIEF_BYTES}: shorten it")
        return text


class SettingsIn(LoopSettings):
    """Settings as sent. `strategy` names a set of them; those given beside it go first."""

    strategy: Annotated[str, AfterValidator(_known_strategy)] = "ours"

    @model_validator(mode="before")
    @classmethod
    def _with_strategy(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        explicit = cast(dict[str, Any], given)
        strategy = explicit.get("strategy")
        return {**STRATEGIES.get(strategy, {}), **explicit} if isinstance(strategy, str) else explicit


class Submission(Value):
    """The body of POST /v1/jobs."""

    brief: BriefIn
    settings: SettingsIn = Field(default_factory=lambda: SettingsIn.model_validate({}))
    seed: Seed | None = None
    priority: Annotated[int, Field(ge=0, le=9, description="0 goes first")] = 6

    @classmethod
    def parse(cls, body: bytes) -> tuple[Self, str]:
        """The submission, and the sha256 that tells whether a repeated body is the same."""
        try:
            raw = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            try:
                body.decode()
            except UnicodeDecodeError as broken:
                where = f"the byte at {broken.start} breaks it"
                raise invalid("body", "is not valid UTF-8", f"{where}: send UTF-8", 400) from None
            raise invalid("body", f"is not valid JSON: {error}", "send one JSON object", 400) from None
        try:
            read = cls.model_validate(raw)
        except ValidationError as error:
            raise from_pydantic(error.errors(include_url=False), _PLACES) from None
        canonical = json.dumps(raw, sort_keys=True, separators=(",", ":"))
        return read, hashlib.sha256(canonical.encode()).hexdigest()

    def job(self, owner: str, key: str, created: float, body_sha256: str) -> Job:
        """The job that this asks for. Without a seed of its own it gets one that its id implies."""
        id_ = job_id(owner, key)
        # 53 bits: a number that JavaScript reads back unchanged.
        implied = int.from_bytes(hashlib.blake2b(id_.encode(), digest_size=8).digest()) >> 11
        return Job(
            id=id_,
            owner=owner,
            brief=Brief.model_validate(self.brief.model_dump()),
            settings=LoopSettings.model_validate(self.settings.model_dump(exclude={"strategy"})),
            seed=implied if self.seed is None else self.seed,
            priority=self.priority,
            created=created,
            body_sha256=body_sha256,
        )


_PLACES: dict[tuple[str, ...], type[BaseModel]] = {
    (): Submission,
    ("brief",): BriefIn,
    ("brief", "goals"): Goal,
    ("brief", "goals", "region"): Region,
    ("settings",): SettingsIn,
}


class GoalCount(BaseModel):
    """Goals by their standing on the best picture. Those not looked at yet are in `total` only."""

    met: int = 0
    missed: int = 0
    unsure: int = 0
    total: int = 0


class JobError(BaseModel):
    """Where it failed, what was said, and what a person can do."""

    boundary: str
    message: str
    fix: str = ""


class Envelope(BaseModel):
    """A job as its owner sees it. `doing` says what happens now, or what it waits for."""

    id: str
    title: str
    status: JobStatus
    stop: str
    step: int
    doing: str
    goals: GoalCount
    rounds: int
    renders: int
    error: JobError | None
    created: float
    links: dict[str, str]


class Uploaded(BaseModel):
    """A stored picture: its hash is what `brief.source` takes."""

    image: str
    width: int
    height: int
