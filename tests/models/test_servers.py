"""The command lines of the profiles' model servers, against the real SGLang's own parser."""

import json
import subprocess
from pathlib import Path

import pytest

from tasks.settings import Settings
from worker.checks.preflight import of_machine
from worker.profiles import load_profile, names
from worker.profiles.servers import command

PARSE = """
import argparse, json, sys
from sglang.srt.server_args import ServerArgs
parser = argparse.ArgumentParser()
ServerArgs.add_cli_args(parser)
for words in json.loads(sys.argv[1]):
    parser.parse_args(words)
"""


def test_every_flag_is_one_that_sglang_knows(tmp_path: Path):
    """A CPU's command line has not the flags of a card's: these are only parsed."""
    settings = Settings(weights=tmp_path)
    lines = [
        (words := command(server, settings))[words.index("sglang.launch_server") + 1 :]
        for name in names()
        for machine in load_profile(name, settings).profile.boxes.values()
        for server in machine.servers
    ]
    assert len(lines) > 5
    if not settings.sglang_python.exists():
        pytest.fail(f"there is no {settings.sglang_python}: run `make setup-sglang`")
    run = ["env", "SGLANG_USE_CPU_ENGINE=1", settings.sglang_python, "-c", PARSE, json.dumps(lines)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1]


def test_the_sglang_of_a_cpu_is_not_taken_for_that_of_a_card():
    settings = Settings()
    for name, says in (("tiny", "has SGLang 0.5.23"), ("one-80gb", "has SGLang for a CPU")):
        opened = load_profile(name, settings)
        (machine,) = opened.profile.boxes.values()
        found = next(check for check in of_machine(opened, machine, settings) if check.name == "sglang")
        assert (found.ok, says in found.found) == (name == "tiny", True), found.found


def test_an_environment_for_gpus_is_not_broken_by_that_for_a_cpu(tmp_path: Path):
    (tmp_path / "lib" / "python3.11" / "site-packages" / "sglang_kernel-0.4.10.dist-info").mkdir(parents=True)
    script = Path(__file__).parents[2] / "infra" / "sglang" / "setup_cpu.sh"
    done = subprocess.run(["bash", script, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "VISIONDIRECTOR_SGLANG_PYTHON" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["lib"]
