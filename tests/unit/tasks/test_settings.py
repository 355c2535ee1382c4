"""Settings: from the environment, checked, and nothing secret shown."""

import re
import shlex
from pathlib import Path

import pytest

from infra.servers import CHECKOUT
from tasks.batch.terms import Budget
from tasks.ledger.types import Limits
from tasks.settings import MAX_STEP_S, PREFIX, BadSettings, Settings, load_settings
from tasks.tokens import Scope


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what the caller's shell has set."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)


def owners(settings: Settings) -> dict[str, str]:
    return {grant.token.get_secret_value(): grant.owner for grant in settings.grants()}


def test_the_defaults_are_those_of_the_design() -> None:
    settings = load_settings()
    assert settings.limits == Limits(lease_ttl_ms=10_000, seat_attempts=3, lease_deaths=10)
    assert settings.max_step_s == MAX_STEP_S
    assert settings.host
    assert settings.grants() == []


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "EDITORS": "flux-krea, qwen-edit", "MAX_STEP_S": '{"render": 900}', "API_PORT": "9999",
        "TOKENS": '{"alice": "s3cret"}', "RUN_DIR": "/run/visiondirector",
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    settings = load_settings(api_port=8000)
    assert settings.editors == ("flux-krea", "qwen-edit")
    assert settings.max_step_s == {**MAX_STEP_S, "render": 900}
    assert settings.api_port == 8000  # the caller's word goes before the environment's
    assert owners(settings) == {"s3cret": "alice"}
    assert settings.run_dir == Path("/run/visiondirector")


def test_terms_of_owners_and_models_are_read_as_the_docs_write_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The very lines of docs/operations.md."""
    page = (CHECKOUT / "docs" / "operations.md").read_text()
    lines = re.search(rf"( +{PREFIX}OWNERS=.*?)\n\n", page, re.S)
    assert lines
    for word in shlex.split(lines[1]):
        monkeypatch.setenv(*word.split("=", 1))
    settings = load_settings()
    alice, flux = settings.owners["alice"], settings.models["flux-krea"]
    assert (alice.windows, alice.at_close, alice.per) == (("22:00-07:00 Europe/Zurich",), "hold", "month")
    assert alice.budget == Budget(renders=4000, gpu_s=72_000, money=50, currency="eur")
    assert (flux.windows, flux.gpu_hour, flux.render) == (("mon,tue,wed,thu,fri 19:00-07:00 Europe/Zurich",), 2.5, 0)


def test_numbers_may_be_written_as_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}MODELS", '{"flux": {"gpu_hour": "2.5", "render": "0"}}')
    monkeypatch.setenv(f"{PREFIX}OWNERS", '{"alice": {"budget": {"gpu": "90", "renders": "40", "eur": "2.5"}}}')
    settings = load_settings()
    assert (settings.models["flux"].gpu_hour, settings.models["flux"].render) == (2.5, 0)
    assert settings.owners["alice"].budget == Budget(renders=40, gpu_s=90, money=2.5, currency="eur")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LEASE_TTL_S", "-1", "VISIONDIRECTOR_LEASE_TTL_S: Input should be greater than 0"),
        ("LEASE_TTL_S", "soon", "VISIONDIRECTOR_LEASE_TTL_S: Input should be a valid number"),
        ("RENEW_EVERY_S", "4", "renew_every_s must be at most a third of lease_ttl_s"),
        ("RETRY_BASE_S", "90", "retry_base_s must not be above retry_cap_s"),
        ("VISIBILITY_TIMEOUT_S", "300", "visibility_timeout_s must be above every max_step_s"),
        ("MAX_STEP_S", '{"rendr": 5}', "VISIONDIRECTOR_MAX_STEP_S: there is no step kind 'rendr'"),
        ("MAX_STEP_S", "600", "VISIONDIRECTOR_MAX_STEP_S"),
        ("MAX_STEP_S", "{render", '"max_step_s"'),
        ("TOKENS", "s3cret", '"tokens"'),
        ("EDITORS", "a b", "VISIONDIRECTOR_EDITORS (0)"),
        ("BROKER_URL", "amqp://user:s3cret@host", "VISIONDIRECTOR_BROKER_URL"),
        ("API_PORT", "70000", "VISIONDIRECTOR_API_PORT"),
        ("GC_AT", "04:30", "VISIONDIRECTOR_GC_AT: the zone is missing"),
        ("GC_AT", "daily", "VISIONDIRECTOR_GC_AT: 'daily' is no time: write 07:00 Europe/Zurich"),
        ("SMTP_URL", "mail.example.org:25", "VISIONDIRECTOR_SMTP_URL: must be smtp://, smtp+starttls:// or smtps://"),
        ("SMTP_URL", "smtps://ada:s3cret@mail.example.org:99999", "VISIONDIRECTOR_SMTP_URL: has a port that is none"),
        ("SMTP_URL", "smtps://ada:s3crét@mail.example.org", "VISIONDIRECTOR_SMTP_URL: has a user or a password with"),
        ("MAIL_FROM", "The night", "VISIONDIRECTOR_MAIL_FROM: is no e-mail address"),
        ("MAIL_FROM", "ada@x.org, eve@x.org", "VISIONDIRECTOR_MAIL_FROM: is no e-mail address"),
        ("PUBLIC_URL", "render.example.org", "VISIONDIRECTOR_PUBLIC_URL: must begin with https:// or http://"),
        ("GC_AT", "every 6", "VISIONDIRECTOR_GC_AT: 'every 6' is too often: write every 10m"),
        ("GC_AT", "every night", "'night' is no duration: write 2h, 90m or 45s"),
        ("OWNERS", '{"alice": {"window": []}}', "VISIONDIRECTOR_OWNERS (alice.window)"),
        ("OWNERS", '{"alice": {"windows": ["at night"]}}', "'at night' is no window: write 22:00-07:00 Europe/Zurich"),
        (
            "OWNERS",
            '{"alice": {"budget": {"gpus": 3}}}',
            "there is no unit 'gpus': write renders=400, gpu=2h or eur=20",
        ),
        ("OWNERS", '{"alice": {"budget": {"usd": 3}}}', "the budget of alice is not in eur, as the prices are"),
        ("OWNERS", '{"alice": {"zone": "Zurich"}}', "there is no time zone 'Zurich'"),
        ("MODELS", '{"flux": {"gpu_hour": -1}}', "VISIONDIRECTOR_MODELS (flux.gpu_hour): '-1' is no price"),
        ("MODELS", '{"flux": {"gpu_hour": "2,5"}}', "(flux.gpu_hour): '2,5' is no price: write a number from 0"),
        ("MODELS", '{"flux": {"render": true}}', "(flux.render): 'True' is no price"),
        ("MODELS", '{"flux": {"render": "nan"}}', "(flux.render): 'nan' is no price"),
        ("MODELS", '{"flux": {"gpu": "90"}}', "VISIONDIRECTOR_MODELS (flux.gpu): there is no such field"),
    ],
)
def test_what_can_not_be_used_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    monkeypatch.setenv(f"{PREFIX}{name}", value)
    with pytest.raises(BadSettings) as caught:
        load_settings()
    assert says in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("S3_ENDPIONT", "VISIONDIRECTOR_S3_ENDPIONT is no setting: did you mean VISIONDIRECTOR_S3_ENDPOINT?"),
        ("LEASE_TTL", "VISIONDIRECTOR_LEASE_TTL is no setting: did you mean VISIONDIRECTOR_LEASE_TTL_S?"),
        ("XYZZY", "VISIONDIRECTOR_XYZZY is no setting; infra/env.example has all settings"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_nearest_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, says: str
) -> None:
    for right in ("S3_REGION", "URL", "TOKEN"):
        monkeypatch.setenv(f"{PREFIX}{right}", "x")
    monkeypatch.setenv(f"{PREFIX}{name}", "s3cret")
    for _ in range(2):
        load_settings()
    assert [record.message for record in caplog.records] == [says]


def test_secrets_are_not_shown() -> None:
    settings = load_settings(
        s3_secret_key="s3cret",
        tokens={"alice": "s3cret"},
        ledger_url="redis://:s3cret@h/0",
        broker_url="redis://:s3cret@h",
    )
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in repr(settings.grants())


def test_a_token_may_have_scopes_and_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    value = '{"alice": "one", "robot": {"token": "two", "scopes": ["read"], "max_in_flight": 5}}'
    monkeypatch.setenv(f"{PREFIX}TOKENS", value)
    alice, robot = load_settings().grants()
    assert (alice.owner, alice.scopes, alice.max_in_flight) == ("alice", {Scope.READ, Scope.WRITE}, None)
    assert (robot.owner, robot.scopes, robot.max_in_flight) == ("robot", {Scope.READ}, 5)


@pytest.mark.parametrize(
    "tokens",
    [
        '{"alice": {"token": "s3cret", "scopes": ["all"]}}', '{"alice": {"token": "s3cret", "scope": ["read"]}}',
        '{"alice": {"token": ""}}', '{"alice": ""}', '{"alice": 7}',
        '{"alice": {"token": "s3cret", "max_in_flight": 0}}',
    ],
)  # fmt: skip
def test_rules_that_can_not_be_used_are_named(monkeypatch: pytest.MonkeyPatch, tokens: str) -> None:
    monkeypatch.setenv(f"{PREFIX}TOKENS", tokens)
    with pytest.raises(BadSettings, match=r"VISIONDIRECTOR_TOKENS \(alice") as caught:
        load_settings()
    assert "s3cret" not in str(caught.value)


def test_two_owners_with_one_token_are_refused() -> None:
    settings = load_settings(tokens={"alice": "s3cret", "bob": "s3cret"})
    with pytest.raises(BadSettings, match="alice and bob have the same token") as caught:
        settings.grants()
    assert "s3cret" not in str(caught.value)


class TestTokensFile:
    def test_each_line_is_an_owner_and_a_token(self, tmp_path: Path) -> None:
        path = tmp_path / "tokens"
        path.write_text("# who may call\nalice one\nalice two  # while the first is retired\n\nbob three\n")
        settings = load_settings(tokens_file=path, tokens={"carol": "four"})
        assert owners(settings) == {"one": "alice", "two": "alice", "three": "bob", "four": "carol"}

    def test_a_file_that_can_not_be_used_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(BadSettings, match=r"TOKENS_FILE: .*missing: No such file"):
            load_settings(tokens_file=tmp_path / "missing").grants()
        path = tmp_path / "tokens"
        path.write_text("alice one\nbob two read,operate\n")
        assert [grant.scopes for grant in load_settings(tokens_file=path).grants()] == [
            {Scope.READ, Scope.WRITE}, {Scope.READ, Scope.OPERATE},
        ]  # fmt: skip
        path.write_text("alice one\nbob two s3cret\n")
        with pytest.raises(BadSettings, match=r"line 2: .* scopes: read, write, operate") as caught:
            load_settings(tokens_file=path).grants()
        assert "s3cret" not in str(caught.value)
        path.write_text("alice one\ns3cret\n")
        with pytest.raises(BadSettings, match="line 2") as caught:
            load_settings(tokens_file=path).grants()
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["drawings", "/drawings/", "a//b/", ".hidden/", "../", "a b/"])
def test_a_prefix_of_keys_ends_with_a_slash_and_holds_words(prefix: str) -> None:
    with pytest.raises(BadSettings, match="S3_PREFIX"):
        load_settings(s3_prefix=prefix)
    assert load_settings(s3_prefix="art/drawings.v2/").s3_prefix == "art/drawings.v2/"
