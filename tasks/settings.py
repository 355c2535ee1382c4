"""Every setting of every process: read from VISIONDIRECTOR_* once in each main, and passed down.

A map (`max_step_s`, `tokens`) is written as JSON, a list with commas. Seconds end in `_s`.
"""

import difflib
import logging
import math
import os
import re
import socket
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from director.seats import STEP_KINDS
from director.types import MAX_BRIEF_BYTES, ModelName
from tasks.batch.terms import ModelTerms, OwnerTerms, turn_behind
from tasks.ledger.types import Limits
from tasks.notices.mail import check_server, parse_sender
from tasks.tokens import BadSettings, Grant, Rules, Secret, grants

PREFIX = "VISIONDIRECTOR_"
MAX_STEP_S = {kind.name: kind.max_seconds for kind in STEP_KINDS.values()}

_OF_OTHERS = frozenset({"URL", "TOKEN", "STACK"})
"""Variables with our prefix that are no setting: the client reads two, a stack marks its processes by the third."""
log = logging.getLogger(__name__)

Seconds = Annotated[float, Field(gt=0, le=30 * 86_400)]


class Settings(BaseSettings):
    """The defaults are those of the local stack; only keys, addresses and tokens differ elsewhere."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    broker_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        pattern=r"^rediss?://",
        repr=False,  # it may hold a password
        description="Redis that carries the Celery messages",
    )
    ledger_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        pattern=r"^(rediss?|unix)://",
        repr=False,
        description="Redis that keeps the ledger; run it with appendfsync always",
    )

    s3_endpoint: Annotated[str, Field(description="URL of the S3 service; empty: AWS")] = "http://127.0.0.1:9000"
    s3_bucket: Annotated[str, Field(min_length=3, max_length=63, description="bucket; made when missing")] = (
        "visiondirector"
    )
    s3_prefix: Annotated[
        str,
        Field(
            max_length=200,
            pattern=r"^([A-Za-z0-9_-][A-Za-z0-9_.-]*/)*$",
            description="start of all keys, e.g. drawings/: for a bucket that others use too",
        ),
    ] = ""
    s3_addressing: Annotated[
        Literal["auto", "path", "virtual"],
        Field(
            description="where the bucket stands: path: in the path; virtual: before the host's name; auto: as boto3"
        ),
    ] = "path"
    s3_access_key: Annotated[str, Field(description="access key; empty: the usual AWS places")] = ""
    s3_secret_key: Annotated[SecretStr, Field(description="secret key; empty: the usual AWS places")] = SecretStr("")
    s3_region: Annotated[str, Field(min_length=1, description="region name")] = "us-east-1"

    studio: Annotated[
        str, Field(min_length=1, description="profile that says what fills the seats: a name, or the path of a .json")
    ] = "sketch"
    editors: Annotated[
        tuple[ModelName, ...],
        NoDecode,
        Field(description="models that an editor worker serves, with commas; empty: all that the studio has"),
    ] = ()

    weights: Annotated[Path, Field(description="folder of the models' weights; ${WEIGHTS} in profiles")] = Path(
        "weights"
    ).absolute()
    vlm_host: Annotated[str, Field(min_length=1, description="machine of the VLM servers; ${VLM_HOST} in profiles")] = (
        "127.0.0.1"
    )
    model_cache: Annotated[Path, Field(description="folder of the tiny checkpoints that are made from code")] = (
        Path.home() / ".cache" / "visiondirector"
    )
    sglang_python: Annotated[Path, Field(description="interpreter that has SGLang")] = (
        Path(__file__).resolve().parent.parent / ".venv-sglang" / "bin" / "python"
    )

    lease_ttl_s: Annotated[Seconds, Field(description="a worker silent for this long has lost its step")] = 10.0
    renew_every_s: Annotated[
        Seconds, Field(description="how often a worker renews its lease and hears of a cancel")
    ] = 1.0
    max_step_s: Annotated[
        dict[str, Seconds],
        Field(description='longest time of a step by kind, as JSON, e.g. {"render": 900}; others keep their default'),
    ] = MAX_STEP_S
    seat_attempts: Annotated[int, Field(ge=1, le=100, description="tries of a step before its job fails")] = 3
    lease_deaths: Annotated[
        int, Field(ge=1, le=1000, description="workers that may die on a step before its job fails")
    ] = 10
    retry_base_s: Annotated[
        Seconds, Field(description="wait before the second try of a step, or of what is held; doubles with each")
    ] = 1.0
    retry_cap_s: Annotated[Seconds, Field(description="longest wait before another try")] = 60.0
    rest_s: Annotated[Seconds, Field(description="rest of an editor that failed, if others go on; doubles")] = 5.0
    canary_s: Annotated[
        Seconds, Field(description="a quarantined worker is tried after this, then after 5 and each 30 times this")
    ] = 60.0
    hold_s: Annotated[
        Seconds, Field(description="jobs that wait so long for what does not answer become dead letters")
    ] = 86_400.0

    swap_renders: Annotated[
        float,
        Field(ge=0, le=10_000, description="what a change of model costs an editor, in renders, until it is measured"),
    ] = 3.0
    model_wait_s: Annotated[
        Seconds,
        Field(description="an editor of several models lets none wait longer than this, if nobody draws it"),
    ] = 300.0

    reconcile_every_s: Annotated[Seconds, Field(description="pause between two passes of the reconciler")] = 1.0
    hint_age_s: Annotated[Seconds, Field(description="a message younger than this is not sent again")] = 3.0
    audit_every_s: Annotated[Seconds, Field(description="how often storage and ledger are compared")] = 60.0
    report_every_s: Annotated[
        Seconds, Field(description="how long the result of a batch's item may wait for others to be stored with")
    ] = 15.0
    keep_ended_s: Annotated[
        Seconds, Field(description="how long the ledger keeps a job after its end; S3 keeps it, and lists go on there")
    ] = 86_400.0
    keep_ended: Annotated[int, Field(ge=0, description="and how many such jobs at most, about 4 kB of Redis each")] = (
        10_000
    )
    keep_days: Annotated[
        float, Field(ge=0, le=36_500, description="`visiondirector gc` removes jobs that ended so long ago; 0: none")
    ] = 0
    grace_hours: Annotated[
        float, Field(ge=1, le=87_600, description="what nobody names yet is kept this long: uploads, running renders")
    ] = 24
    keep_notices_days: Annotated[
        float,
        Field(ge=0, le=36_500, description="and what hooks were told, or could not be told, so long ago; 0: none"),
    ] = 90
    gc_at: Annotated[
        str,
        Field(
            max_length=80,
            description="when the reconciler does what `visiondirector gc` does: a time of day, e.g. 04:30 "
            "Europe/Zurich, or every 6h; empty: never",
        ),
    ] = ""
    disks: Annotated[
        tuple[Path, ...],
        NoDecode,
        Field(
            description="folders, with commas, whose disks must not run full: those of the S3 server and of Redis, "
            "where the reconciler's machine has them"
        ),
    ] = ()
    s3_quota_gb: Annotated[
        float, Field(ge=0, description="what the bucket may hold, in GB; gc counts what it holds; 0: not known")
    ] = 0
    least_free: Annotated[
        float,
        Field(ge=0, lt=1, description="share of a disk, of Redis' maxmemory and of the quota that should be free"),
    ] = 0.1
    visibility_timeout_s: Annotated[
        int, Field(ge=60, description="Celery redelivers an unacknowledged message after this; keep it above any step")
    ] = 86_400  # fmt: skip

    api_host: Annotated[str, Field(min_length=1, description="address the API listens on")] = "127.0.0.1"
    api_port: Annotated[int, Field(ge=0, le=65_535, description="port the API listens on")] = 8100
    tokens: Annotated[
        dict[str, Secret | Rules],
        Field(
            description='bearer token of each owner, as JSON: {"alice": "…", "robot": {"token": "…", '
            '"scopes": ["read", "write"], "max_in_flight": 5}}; scopes are read, write and operate, '
            "the first two unless told; none: only this machine may call"
        ),
    ] = {}
    tokens_file: Annotated[
        Path | None,
        Field(description='file with more tokens: "owner token [scope,scope]" on each line, # starts a comment'),
    ] = None
    max_in_flight: Annotated[int, Field(ge=1, description="active jobs of one owner; more are refused with 429")] = 1000
    max_brief_bytes: Annotated[int, Field(ge=1, le=MAX_BRIEF_BYTES, description="longest text of a brief in bytes")] = (
        MAX_BRIEF_BYTES
    )
    max_image_bytes: Annotated[int, Field(ge=1024, description="largest upload in bytes")] = 20_000_000
    max_image_pixels: Annotated[int, Field(ge=4096, description="largest picture, width x height")] = 16_777_216

    owners: Annotated[
        dict[str, OwnerTerms],
        Field(
            description='windows and budget of an owner, as JSON: {"alice": {"windows": ["22:00-07:00 Europe/Zurich"], '
            '"at_close": "hold", "budget": {"renders": 4000, "gpu": "20h", "eur": 50}, "per": "month", "zone": '
            '"Europe/Zurich", "training": true}}; at_close is finish or hold, per is day or month; training: '
            "their jobs may train a policy"
        ),
    ] = {}
    models: Annotated[
        dict[ModelName, ModelTerms],
        Field(
            description="windows of an editor's model, and its price in `currency`, as JSON: "
            '{"flux-krea": {"windows": ["22:00-07:00 Europe/Zurich"], "gpu_hour": 2.5, "render": 0}}'
        ),
    ] = {}
    currency: Annotated[str, Field(pattern=r"^[a-z]{3}$", description="of the prices in `models`")] = "eur"

    image_metadata: Annotated[
        bool, Field(description="results say inside the PNG what made them: brief, settings, seed; false: never")
    ] = True

    private_hooks: Annotated[
        bool,
        Field(description="notices may go to private addresses and over http; false: public https only"),
    ] = False
    smtp_url: Annotated[
        SecretStr,
        Field(
            description="mail server for notices: smtp://, smtp+starttls:// or smtps://user:password@host:port; empty: "
            "no e-mail"
        ),
    ] = SecretStr("")
    mail_from: Annotated[
        str, Field(description="sender of notices by e-mail: name@example.org, or A name <name@example.org>")
    ] = "visiondirector@localhost"
    public_url: Annotated[
        str, Field(description="where people open the pages, for links in e-mail: https://…; empty: mails have none")
    ] = ""

    metrics_port: Annotated[
        int, Field(ge=0, le=65_535, description="port on which a worker or reconciler is scraped; 0: none")
    ] = 0
    metrics_host: Annotated[str, Field(min_length=1, description="address of that port; it asks for no token")] = (
        "127.0.0.1"
    )

    host: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=253,
        description="this machine's name in records and logs",
    )
    run_dir: Annotated[Path, Field(description="folder of the liveness files")] = Path("var/run")

    @field_validator("editors", "disks", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("gc_at")
    @classmethod
    def _time_of_day(cls, value: str) -> str:
        if value:
            turn_behind(value, 0)
        return value

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, value: SecretStr) -> SecretStr:
        if url := value.get_secret_value():
            check_server(url)
        return value

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, value: str) -> str:
        parse_sender(value)
        return value

    @field_validator("public_url")
    @classmethod
    def _pages(cls, value: str) -> str:
        if value and not re.match(r"https?://[^/\s]", value):
            raise ValueError("must begin with https:// or http://, and a host")
        return value.rstrip("/")

    @field_validator("max_step_s")
    @classmethod
    def _complete(cls, value: dict[str, float]) -> dict[str, float]:
        if unknown := sorted(value.keys() - MAX_STEP_S):
            raise ValueError(f"there is no step kind {unknown[0]!r}: the kinds are {', '.join(MAX_STEP_S)}")
        return MAX_STEP_S | value

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if 3 * self.renew_every_s > self.lease_ttl_s:
            raise ValueError("renew_every_s must be at most a third of lease_ttl_s: one lost renewal is normal")
        if self.retry_base_s > self.retry_cap_s:
            raise ValueError("retry_base_s must not be above retry_cap_s")
        for owner, terms in self.owners.items():
            if terms.budget.money and terms.budget.currency != self.currency:
                raise ValueError(f"owners: the budget of {owner[:64]} is not in {self.currency}, as the prices are")
        if max(self.max_step_s.values()) > self.visibility_timeout_s:
            raise ValueError("visibility_timeout_s must be above every max_step_s, or long steps are delivered twice")
        return self

    @property
    def limits(self) -> Limits:
        """What the ledger enforces."""
        return Limits(
            lease_ttl_ms=math.ceil(self.lease_ttl_s * 1000),
            seat_attempts=self.seat_attempts,
            lease_deaths=self.lease_deaths,
            rest_ms=math.ceil(self.rest_s * 1000),
            pause_ms=math.ceil(self.retry_base_s * 1000),
            pause_cap_ms=math.ceil(self.retry_cap_s * 1000),
            canary_ms=math.ceil(self.canary_s * 1000),
        )

    def grants(self) -> list[Grant]:
        """Every token, from `tokens` and `tokens_file`. Raises BadSettings when the file can't be used."""
        return grants(self.tokens, self.tokens_file, f"{PREFIX}TOKENS_FILE")


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process: `overrides`, then the environment, then defaults. Raises BadSettings.

    Variables with our prefix that are no setting are named in the log, once a process.
    """
    _name_unknown(tuple(sorted(_unknown(os.environ))))
    try:
        return Settings(**overrides)
    except SettingsError as error:  # a map that is no JSON; pydantic-settings names the field
        raise BadSettings(f"{error}", f"write it as JSON in {PREFIX}<FIELD>") from error
    except ValidationError as error:
        raise BadSettings("; ".join(_describe(problem) for problem in error.errors(include_input=False))) from error


def _unknown(names: Iterable[str]) -> set[str]:
    ours = {name.upper().removeprefix(PREFIX) for name in names if name.upper().startswith(PREFIX)}
    return ours - {field.upper() for field in Settings.model_fields} - _OF_OTHERS


@cache
def _name_unknown(names: tuple[str, ...]) -> None:
    for name in names:
        near = difflib.get_close_matches(name, [field.upper() for field in Settings.model_fields], 1)
        fix = f": did you mean {PREFIX}{near[0]}?" if near else "; infra/env.example has all settings"
        log.warning("%s%s is no setting%s", PREFIX, name, fix)


def _describe(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    field, _, inner = where.partition(".")
    name = f"{PREFIX}{field.upper()}{f' ({inner})' if inner else ''}: " if field else ""
    if problem["type"] == "extra_forbidden":
        return f"{name}there is no such field; infra/env.example shows those that there are"
    return f"{name}{str(problem['msg']).removeprefix('Value error, ')}"
