"""A result is submitted again from its picture, over a scripted service."""

import json
from io import BytesIO, StringIO
from pathlib import Path

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from rich.console import Console as RichConsole

from api.cli import run
from api.cli.console import SATISFIED, USAGE, Console, Screen
from api.cli.parser import parser
from api.client import Client
from api.schemas import Submission
from tasks.png_metadata import PngMetadata, metadata_text, read_png_metadata, with_metadata
from tasks.store import image_hash
from tests.support import api as house
from tests.support.scripted_service import Cli, problem
from tests.support.scripted_studio import play
from tests.support.scripted_studio import run as run_loop
from tests.unit.api.test_cli import accepted


def result(name: str = "final.png", source: str | None = None) -> PngMetadata:
    """A result PNG in the current folder."""
    made = run_loop(play({"a": "met"}, {"b": "met"}, {"c": "met"}))
    brief = made.brief.model_copy(update={"title": "Lamp", "source": source})
    plain = house.png()
    Path(name).write_bytes(
        with_metadata(plain, metadata_text(made.model_copy(update={"brief": brief}), image_hash(plain)))
    )
    return read_png_metadata(Path(name).read_bytes())


def test_a_result_is_submitted_again_as_it_was(cli: Cli) -> None:
    said = result()
    code, _, service = cli("submit --from final.png --label again", accepted())
    assert code == SATISFIED
    sent = json.loads(service.asked[0].content)
    submission, _ = Submission.parse(service.asked[0].content)
    assert sent["labels"] == ["again"]
    job = submission.job("alice", "k", 0.0, "")
    assert (job.brief, job.settings, job.seed) == (said.brief, said.settings, said.seed)


def test_a_result_is_submitted_again_with_a_change(cli: Cli) -> None:
    said = result()
    _, _, service = cli("submit --from final.png --set candidates=7 --seed 3 --title Other", accepted())
    sent = json.loads(service.asked[0].content)
    assert (sent["settings"]["candidates"], sent["settings"]["rounds"]) == (7, said.settings.rounds)
    assert (sent["seed"], sent["brief"]["title"]) == (3, "Other")


def test_a_source_that_the_service_does_not_have_is_asked_for(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    result(source="ab" * 32)
    refused = problem(
        422, "The request can't be used", errors=[{"field": "brief.source", "message": "no picture with this hash"}]
    )
    assert cli("submit --from final.png", refused)[0] == USAGE
    told = capsys.readouterr().err
    assert "final.png was made from picture abababababab" in told
    assert "give that picture with --source" in told
    Path("before.png").write_bytes(b"png")
    uploaded = httpx.Response(200, json={"image": "cd" * 32, "width": 1, "height": 1})
    code, _, service = cli("submit --from final.png --source before.png", uploaded, accepted())
    assert (code, json.loads(service.asked[1].content)["brief"]["source"]) == (0, "cd" * 32)
    assert "another picture than final.png was made from" in capsys.readouterr().err


def test_a_source_of_another_owner_is_no_way_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with start_blocking_portal() as portal:
        door = house.InProcess(portal, httpx.ASGITransport(house.House(tmp_path / "house").app()))
        source = Client(token="alice-token", transport=door).upload(house.png(color="blue")).image
        result(str(tmp_path / "final.png"), source=source)
        args = parser().parse_args(["submit", "--from", str(tmp_path / "final.png"), "--json"])
        for token, code in (("alice-token", SATISFIED), ("bob-token", USAGE)):
            screen = Screen(RichConsole(file=StringIO()), True, RichConsole(stderr=True))
            console = Console(Client(token=token, transport=door), screen, BytesIO())
            assert run(args, console) == code
    assert "which the service does not have, or not for this token" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("submit --from plain.png", "plain.png: it has no VisionDirector metadata"),
        ("submit --from brief.txt", "brief.txt: it is no PNG"),
        ("submit --from nothing.png", "nothing.png: there is no such file"),
        ("submit --from .", ".: it is a folder"),
        ("submit --from final.png brief.txt", "come from the picture"),
        ("submit --from final.png --strategy all", "come from the picture"),
        ("submit", "there is no brief"),
    ],
)
def test_a_picture_that_can_not_be_made_again(
    cli: Cli, line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result()
    Path("plain.png").write_bytes(house.png())
    Path("brief.txt").write_text("A lamp")
    code, _, service = cli(line)
    assert (code, service.asked) == (USAGE, [])
    assert message in capsys.readouterr().err
