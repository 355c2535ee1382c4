from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path

import httpx
import pytest
from rich.console import Console as RichConsole

from api.cli import run
from api.cli.console import Console, Screen
from api.cli.parser import parser
from tests.support.api import ALICE, House, browse
from tests.support.scripted_service import Answer, Cli, Scripted, scripted


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def alice(house: House) -> Iterator[httpx.Client]:
    """Alice as a client of the API."""
    with browse(house.app(), **ALICE) as client:
        yield client


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command line against a scripted service; gives exit code, output and service."""
    monkeypatch.chdir(tmp_path)

    def call(line: str, *answers: Answer, stdin: bytes = b"") -> tuple[int, str, Scripted]:
        args = parser().parse_args(line.split())
        service, output = scripted(*answers), StringIO()
        screen = Screen(RichConsole(file=output, highlight=False), args.json, RichConsole(stderr=True))
        with service.client() as client:
            code = run(args, Console(client, screen, BytesIO(stdin), service.slept.append))
        return code, output.getvalue(), service

    return call
