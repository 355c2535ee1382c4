"""The settings of the VLM seats: which servers they ask, and how. It needs no client library."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from director.prompts.verify import PAPER_CONFIDENCE
from director.types import Kind, Share

_OURS = frozenset({
    "model", "messages", "temperature", "seed", "max_tokens", "response_format", "regex", "logprobs", "top_logprobs",
    "n", "stream", "return_token_ids", "return_prompt_token_ids",
})  # fmt: skip
"""Fields of a request that the seats set themselves."""


class Server(BaseModel):
    """Where a model is served and how it is asked. Several seats may share one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, Field(pattern=r"^https?://", description="base URL of the API, with its /v1")] = (
        "http://127.0.0.1:30000/v1"
    )
    model: Annotated[str, Field(min_length=1, max_length=200, description="served name; base:adapter picks a LoRA")]
    api_key_env: Annotated[str, Field(description="environment variable with the API key; empty: none")] = ""
    pixels: Annotated[int, Field(ge=16_384, le=16_777_216, description="a larger picture is shrunk to this")] = (
        1_048_576
    )
    timeout_s: Annotated[
        float | None, Field(gt=0, description="for one answer; none: by the tokens that it may have")
    ] = None
    first_token_s: Annotated[float, Field(gt=0, description="for the prompt, and for what else the server does")] = 30.0
    tokens_per_s: Annotated[
        float, Field(gt=0, description="the slowest that the server writes one answer, with others beside it")
    ] = 60.0
    deadline_s: Annotated[float, Field(gt=0, description="for a whole step; keep it below max_step_s")] = 100.0
    retry_wait_s: Annotated[float, Field(ge=0, le=10, description="before the one retry")] = 0.5
    re_asks: Annotated[int, Field(ge=0, le=2, description="times that a malformed reply is asked for again")] = 2
    concurrency: Annotated[int, Field(ge=1, le=64, description="questions on the way at once")] = 8
    max_tokens: Annotated[int, Field(ge=16, le=32_768, description="longest JSON reply")] = 4096
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    warmer: Annotated[
        float, Field(ge=0, le=1, description="added to the temperature by each re-ask: at 0 a model repeats itself")
    ] = 0.4
    extra: Annotated[
        Mapping[str, Any],
        Field(description='further fields of a request, e.g. {"chat_template_kwargs": {"enable_thinking": false}}'),
    ] = {}
    constrain: Annotated[bool, Field(description="hold one-word answers to their words (SGLang's regex)")] = True
    token_ids: Annotated[bool, Field(description="keep the token ids of prompts and replies, for training")] = False

    @field_validator("url")
    @classmethod
    def _names_a_host(cls, url: str) -> str:
        parts = urlsplit(url)
        if not (host := parts.hostname):
            raise ValueError("it names no host")
        host.encode("idna")
        _ = parts.port  # raises for what is none
        return url

    @field_validator("extra")
    @classmethod
    def _is_further(cls, extra: Mapping[str, Any]) -> Mapping[str, Any]:
        if ours := sorted(extra.keys() & _OURS):
            raise ValueError(f"{ours[0]} is set by the seat itself: leave it out")
        return extra

    def answer_s(self, tokens: int) -> float:
        """Seconds that an answer of so many tokens may take."""
        return self.first_token_s + tokens / self.tokens_per_s if self.timeout_s is None else self.timeout_s


class PlannerConfig(Server):
    """`list` asks for the goals of a part of the brief at once, `clauses` what each clause is, for small models."""

    extract: Literal["list", "clauses"] = "list"


class JudgeConfig(Server):
    """`pairwise` asks about pairs in both orders: at most 2 N short questions in place of one long."""

    select: Literal["listwise", "pairwise"] = "pairwise"


class VerifierConfig(Server):
    """`soft` reads verdicts from token probabilities; `structured` asks for them, as the paper does."""

    verify: Literal["soft", "structured"] = "soft"
    threshold: Annotated[Share, Field(description="soft: a goal is met above this")] = 0.5
    thresholds: Annotated[Mapping[Kind, Share], Field(description="soft: by type of goal, in place of threshold")] = {}
    calibration: Annotated[
        Path | None, Field(description="file of `doctor --calibrate`: its thresholds stand where none is set here")
    ] = None
    unsure_band: Annotated[Share, Field(description="soft: nearer to its threshold than this, a goal is unsure")] = 0.15
    confident: Annotated[Share, Field(description="structured: below this, a verdict is unsure")] = PAPER_CONFIDENCE
    explain: Annotated[bool, Field(description="soft: ask what is there in place of missed goals")] = True
    ocr: Annotated[bool, Field(description="read the lettering of text goals with OCR too")] = True


class VlmConfig(BaseModel):
    """The seats that a VLM fills, one to three; the others stay what the profile has without them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    planner: PlannerConfig | None = None
    judge: JudgeConfig | None = None
    verifier: VerifierConfig | None = None

    @model_validator(mode="after")
    def _fills_a_seat(self) -> Self:
        if not self.seats:
            raise ValueError("it fills no seat: name a planner, a judge or a verifier, or leave vlm out")
        return self

    @property
    def seats(self) -> dict[str, Server]:
        """Those that are filled, by their names."""
        named = {"planner": self.planner, "judge": self.judge, "verifier": self.verifier}
        return {name: server for name, server in named.items() if server}
