"""What runs it elsewhere: checked as far as it can be without a Docker engine, a systemd or a GPU.

Each file is given to the checkers of its kind, and held against the code that it starts.
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.env import EXAMPLE, example
from infra.servers import CHECKOUT
from tasks.settings import PREFIX, Settings, load_settings
from worker.checks.preflight import on_paper
from worker.cli import _parser
from worker.profiles import load_profile
from worker.profiles.servers import command

INFRA = CHECKOUT / "infra"
COMPOSE = INFRA / "compose" / "compose.yaml"
DOCKERFILE = INFRA / "docker" / "Dockerfile"
UNITS = sorted((INFRA / "systemd").iterdir())
SECRETS = {"REDIS_PASSWORD": "redis-secret", "S3_SECRET": "s3-secret", "API_TOKEN": "api-token"}


def run(*words: object, **options: Any) -> str:
    """Its output. Fails with it when the command does."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=110, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def beside_python(name: str) -> Path:
    return Path(sys.executable).with_name(name)


# --- env.example ----------------------------------------------------------------------------------


def test_env_example_is_what_the_settings_say() -> None:
    assert EXAMPLE.read_text() == example(), "run `make env-example`"


def test_its_defaults_are_those_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = re.findall(rf"^#{PREFIX}(\w+)=(.+)$", EXAMPLE.read_text(), re.M)
    for name, value in lines:
        if name.lower() in Settings.model_fields:
            monkeypatch.setenv(PREFIX + name, value)
    found, wanted = load_settings(), Settings.model_construct()
    paths = {"weights", "model_cache", "sglang_python"}  # written for people: relative, or from home
    for name in set(Settings.model_fields) - paths - {"host"}:
        assert getattr(found, name) == getattr(wanted, name), name


# --- Docker ---------------------------------------------------------------------------------------


def test_hadolint_has_nothing_to_say() -> None:
    assert run(beside_python("hadolint"), DOCKERFILE) == ""


def test_the_images_are_made_of_what_is_there() -> None:
    text = DOCKERFILE.read_text()
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M):
        for source in line.split():
            assert (CHECKOUT / source).exists(), source
    kept = {line[1:] for line in (INFRA / "docker" / "Dockerfile.dockerignore").read_text().split() if line[0] == "!"}
    copied = {source for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M) for source in line.split()}
    assert kept == copied
    makefile = (CHECKOUT / "Makefile").read_text()
    for pin in re.findall(r"torch\w*==[\d.]+", text):
        assert pin in makefile, f"the Makefile has another {pin}"


def test_only_the_image_for_models_has_torch() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE.read_text(), flags=re.M)[1:]
    by_name = {stage.split()[2]: stage for stage in stages}
    assert by_name["door"].startswith("python:") and "--from=build " in by_name["door"]
    assert "torch" not in by_name["build"] + by_name["door"]
    assert "--from=build-models " in by_name["models"]


# --- Compose --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())["services"]


def test_the_compose_schema_agrees() -> None:
    run(beside_python("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_docker_compose_resolves_it(tmp_path: Path) -> None:
    client = shutil.which("docker-compose")
    if not client:
        pytest.skip("docker-compose is not installed: apt install docker-compose")
    env = tmp_path / ".env"
    env.write_text("".join(f"{name}={value}\n" for name, value in SECRETS.items()))
    profiles = [word for name in ("sketch", "gpu", "watch") for word in ("--profile", name)]
    resolved = yaml.safe_load(run(client, "--env-file", env, "-f", COMPOSE, *profiles, "config"))
    assert set(resolved["services"]) == set(yaml.safe_load(COMPOSE.read_text())["services"])
    api = resolved["services"]["api"]["environment"]
    assert api[f"{PREFIX}BROKER_URL"] == "redis://:redis-secret@redis:6379/0"
    bare = subprocess.run(
        [client, "-f", str(COMPOSE), "config"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert bare.returncode != 0 and "set it in .env" in bare.stderr


def test_what_compose_starts_can_be_started(services: dict[str, Any]) -> None:
    ours = {name: each for name, each in services.items() if each["image"].startswith("visiondirector")}
    assert len(ours) == 8
    for name, service in ours.items():
        words = service.get("command", ["python", "-m", "api.app"])
        if words[0] == "visiondirector-worker":
            _parser().parse_args(words[1:])
        else:
            assert words[:2] == ["python", "-m"], name
        settings = {key for key in service["environment"] if key.startswith(PREFIX)}
        assert {key.removeprefix(PREFIX).lower() for key in settings} <= set(Settings.model_fields), name
    served = {
        seat
        for service in (services["thinker-sketch"], services["editor-sketch"], services["control"])
        for seat in _parser().parse_args(service["command"][1:]).seats.split(",")
    }
    assert served == {"planner", "judge", "verifier", "editor", "control"}


def test_tokens_of_compose_are_tokens(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = services["api"]["environment"][f"{PREFIX}TOKENS"]
    monkeypatch.setenv(f"{PREFIX}TOKENS", re.sub(r"\$\{API_TOKEN.*?\}", "t", tokens))
    [grant] = load_settings().grants()
    assert {scope.value for scope in grant.scopes} == {"read", "write", "operate"}


def test_nothing_of_compose_is_open_to_other_machines(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published and all(port.startswith("127.0.0.1:") for port in published)


def test_its_prometheus_asks_who_is_there(services: dict[str, Any]) -> None:
    conf = yaml.safe_load((INFRA / "prometheus" / "prometheus.yml").read_text())
    for job in conf["scrape_configs"]:
        for name in job["dns_sd_configs"][0]["names"]:
            assert name in services
    workers = {name for name, each in services.items() if "start" in each.get("command", ())} | {"reconciler"}
    asked = {name for job in conf["scrape_configs"] for name in job["dns_sd_configs"][0]["names"]}
    assert workers <= asked, "a worker of compose.yaml is not scraped"


def test_its_vlm_is_what_the_profile_says(services: dict[str, Any]) -> None:
    settings = load_settings(weights="/weights", vlm_host="vlm", sglang_python="/usr/bin/python3")
    opened = load_profile(str(INFRA / "compose" / "profile.json"), settings)
    assert [check.found for check in on_paper(opened) if not check.ok] == []
    box = opened.profile.boxes["here"]
    wanted, environment = served_by(command(box.servers[0], settings), "/usr/bin/python3")
    assert shlex.split(services["vlm"]["command"])[1:] == wanted[1:]
    # The image has its own PATH, and sees its card alone.
    assert services["vlm"]["environment"].items() == {
        (name, value) for name, value in environment.items() if name not in {"PATH", "CUDA_VISIBLE_DEVICES"}
    }
    assert services["editor-0"]["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] == ["1"]


def served_by(words: list[str], python: str) -> tuple[list[str], dict[str, str]]:
    """A model server's command line, and what stands before it in its environment."""
    start = words.index(python)
    return words[start:], dict(word.split("=", 1) for word in words[1:start])


def test_redis_keeps_what_it_answered() -> None:
    conf = dict(
        line.split(" ", 1) for line in (INFRA / "redis" / "redis.conf").read_text().splitlines() if line[0] != "#"
    )
    assert (conf["appendonly"], conf["appendfsync"], conf["maxmemory-policy"]) == ("yes", "always", "noeviction")


# --- systemd --------------------------------------------------------------------------------------


def exec_start(unit: Path) -> list[str]:
    text = unit.read_text().replace("\\\n", " ")
    return shlex.split(re.findall(r"^ExecStart=(.+)$", text, re.M)[0])


def test_systemd_verifies_the_units(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for unit in UNITS:
        # The programs are not installed here, and the user is not known.
        text = re.sub(r"/opt/visiondirector/\S+/bin/\S+", "/bin/true", unit.read_text())
        text = text.replace("User=visiondirector", "User=root").replace("/opt/visiondirector", "/")
        (tmp_path / unit.name).write_text(text)
    names = [unit.name.replace("@.", "@3.") for unit in UNITS]
    said = run("systemd-analyze", "verify", "--man=no", *(tmp_path / name for name in names), cwd=tmp_path)
    assert "visiondirector" not in said, said


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name)
def test_a_unit_has_descriptors_for_many_connections(unit: Path) -> None:
    assert "\nLimitNOFILE=65536\n" in unit.read_text()


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name)
def test_what_a_unit_starts_can_be_started(unit: Path) -> None:
    program, *words = exec_start(unit)
    if program.endswith("visiondirector-worker"):
        parsed = _parser().parse_args([word.replace("%i", "3") for word in words])
        assert parsed.metrics_port > 0
    elif unit.name == "visiondirector-vlm.service":
        settings = load_settings(weights="/data/weights", sglang_python=program)
        box = load_profile("one-80gb", settings).profile.boxes["here"]
        wanted, environment = served_by(command(box.servers[0], settings), program)
        assert [program, *words] == wanted, "the profile says another command"
        told = " ".join(re.findall(r"^Environment=(.+)$", unit.read_text(), re.M)).split()
        assert {f"{name}={value}" for name, value in environment.items() if name != "PATH"} <= set(told)
    else:
        assert words[0] == "-m" and words[1] in {"api.app", "infra.flower"}


def test_each_unit_is_scraped_on_a_port_of_its_own() -> None:
    ports = [
        word for unit in UNITS if unit.suffix == ".service" for word in re.findall(r"port (9\S+)", unit.read_text())
    ]
    expanded = [port.replace("%i", str(card)) for port in ports for card in (range(8) if "%i" in port else [0])]
    assert len(expanded) == len(set(expanded)) == 8 + 3
