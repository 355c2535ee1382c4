"""`batch fetch` against the real API in process: what it saves, and what a break-off leaves."""

import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from PIL import Image, PdfParser
from rich.console import Console as RichConsole

from api.cli import run
from api.cli.batch.prints import jpeg, mirrored, pdf
from api.cli.console import SATISFIED, SERVICE, SHORT, USAGE, Console, Screen
from api.cli.parser import parser
from api.client import Client
from tasks.files import file_stem
from tests.support.api import House, InProcess, png
from tests.support.mornings import Morning, drawn

NAMES = ("a", "b", "c/d", "夜")


class Line(httpx.BaseTransport):
    """The way to the service; it breaks after so many answers, and stays broken until it is mended."""

    def __init__(self, way: httpx.BaseTransport) -> None:
        self._way, self.left, self.asked = way, 10**9, list[str]()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.left -= 1
        if self.left < 0:
            raise httpx.ConnectError("the line is cut")
        self.asked.append(request.url.path)
        return self._way.handle_request(request)


@pytest.fixture
def line(house: House) -> Iterator[Line]:
    with start_blocking_portal() as portal:
        app = httpx.ASGITransport(house.app(), raise_app_exceptions=False, client=("127.0.0.1", 1))
        yield Line(InProcess(portal, app))


@pytest.fixture
def morning(alice: httpx.Client, house: House) -> Morning:
    return drawn(house, alice, *NAMES)


def fetch(line: Line, words: str) -> tuple[int, str]:
    output = io.StringIO()
    plain = RichConsole(file=output, width=200)
    client = Client("http://127.0.0.1:8100", "alice-token", transport=line, sleep=lambda _: None)
    console = Console(client, Screen(plain, False, RichConsole(file=io.StringIO())), io.BytesIO(), lambda _: None)
    code = run(parser().parse_args(["batch", "fetch", *words.split()]), console)
    return code, output.getvalue()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_fetch_that_is_broken_off_twice_ends_complete(line: Line, morning: Morning, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", {f"{file_stem(name)}.png" for name in NAMES}
    for answers in (2, 3):  # the results and some pictures
        line.left = answers
        assert fetch(line, f"{morning.batch} {out}")[0] == SERVICE
        assert files(out) < whole
        for path in out.glob("*.png"):
            Image.open(path).load()
    line.left = 10**9
    line.asked.clear()
    code, said = fetch(line, f"{morning.batch} {out}")
    assert (code, files(out)) == (SATISFIED, whole | {"results.csv", "results.jsonl"})
    assert "3 pictures that were there" in said
    assert len([path for path in line.asked if path.endswith("/image")]) == 1


def test_half_a_night_is_no_whole_one(line: Line, alice: httpx.Client, morning: Morning, tmp_path: Path) -> None:
    answer = alice.post(f"/v1/batches/{morning.batch}/retry", json={"what": ["unmet"], "items": ["b"]})
    assert answer.json()["counts"]["waiting"] == 1
    for words in (f"{morning.batch} {tmp_path}/out", f"{morning.batch} --zip {tmp_path}/night.zip"):
        code, said = fetch(line, words)
        assert (code, "left        1 of 4 items have not ended" in said) == (SHORT, True)


def test_a_picked_candidate_is_fetched_anew(line: Line, alice: httpx.Client, morning: Morning, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fetch(line, f"{morning.batch} {out}")
    first = (out / "b.png").read_bytes()
    alice.put(f"/v1/jobs/{morning.jobs['b']}/pick", json={"round": 2, "candidate": 1})
    assert "1 picture saved" in fetch(line, f"{morning.batch} {out}")[1]
    assert (out / "b.png").read_bytes() != first


def test_a_gallery_lies_beside_its_pictures(line: Line, morning: Morning, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert fetch(line, f"{morning.batch} {out} --jpeg --gallery --report")[0] == SATISFIED
    stems = [file_stem(name) for name in NAMES]
    assert files(out) == {
        "index.html", "results.csv", "results.jsonl",
        *(f"{stem}.jpg" for stem in stems), *(f"thumbs/{stem}.webp" for stem in stems),
        *(f"reports/{stem}.html" for stem in stems),
    }  # fmt: skip
    line.asked.clear()
    fetch(line, f"{morning.batch} {out} --jpeg --gallery --report")
    assert [path.rpartition("/")[2] for path in line.asked] == ["results", "gallery", morning.batch]


def test_names_that_differ_by_case_are_two_files_everywhere(
    line: Line, alice: httpx.Client, house: House, tmp_path: Path
) -> None:
    out, batch = tmp_path / "out", drawn(house, alice, "item", "Item", "Other").batch
    assert fetch(line, f"{batch} {out} --gallery")[0] == SATISFIED
    stems = {path.stem for path in out.glob("*.png")}
    assert stems == {"item", *(file_stem(name, alike=True) for name in ("Item", "Other"))}
    assert len({stem.casefold() for stem in stems}) == 3
    page = (out / "index.html").read_text()
    assert all(f'"{stem}.png"' in page for stem in stems)
    assert fetch(line, f"{batch} --zip {tmp_path}/night.zip")[0] == SATISFIED
    with zipfile.ZipFile(tmp_path / "night.zip") as found:
        assert {Path(name).stem for name in found.namelist() if name.endswith(".png")} == stems


def test_what_a_killed_fetch_left_is_gone_after_the_next(line: Line, morning: Morning, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in (".results.csv", ".a.png", "thumbs/.a.webp"):
        left = tmp_path / "out" / f"{name}.{ended.pid}.part"
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_bytes(b"half of it")
    assert fetch(line, f"{morning.batch} {tmp_path}/out --gallery")[0] == SATISFIED
    assert not list((tmp_path / "out").rglob(".*"))


def test_no_picture_comes_beside_a_brief(
    line: Line, morning: Morning, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b.md").write_text("A lamp")
    (tmp_path / "b.png").write_bytes(b"what b.md starts from")
    assert fetch(line, f"{morning.batch} {tmp_path}")[0] == USAGE
    assert "b.png: a picture beside b.md is what this brief starts from" in capsys.readouterr().err
    assert (tmp_path / "b.png").read_bytes() == b"what b.md starts from"


def test_a_file_where_a_folder_must_be_is_told(
    line: Line, morning: Morning, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").touch()
    for words in (f"{tmp_path}/out", f"{tmp_path}/out/below", f"--zip {tmp_path}/out/night.zip"):
        assert fetch(line, f"{morning.batch} {words}")[0] == USAGE
        assert "a file stands where a folder must be" in capsys.readouterr().err


def test_an_archive_is_one_file_or_none(line: Line, morning: Morning, tmp_path: Path) -> None:
    path = tmp_path / "night.zip"
    line.left = 0
    assert fetch(line, f"{morning.batch} --zip {path}")[0] == SERVICE
    assert not list(tmp_path.glob("*.zip*")) and not list(tmp_path.glob(".night*"))
    line.left = 10**9
    assert fetch(line, f"{morning.batch} --zip {path}")[0] == SATISFIED
    with zipfile.ZipFile(path) as found:
        assert found.testzip() is None
        assert len([name for name in found.namelist() if name.endswith(".png")]) == 4


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--jpeg --pdf", "one form"),
        ("--bleed 3", "--bleed and --dpi are for --pdf"),
        ("--pdf --bleed 90", "90 mm is no bleed"),
        ("--pdf --dpi 3", "can't be printed"),
        ("--zip x.zip --gallery", "an archive is one file"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_is_asked(
    line: Line, capsys: pytest.CaptureFixture[str], words: str, complaint: str
) -> None:
    assert fetch(line, f"night out {words}")[0] == USAGE
    assert complaint in capsys.readouterr().err
    assert line.asked == []


def test_a_jpeg_has_the_size_and_the_colour_of_the_picture() -> None:
    with Image.open(io.BytesIO(jpeg(png(40, 30, "#3366cc")))) as made:
        assert (made.format, made.size) == ("JPEG", (40, 30))
        assert max(abs(a - b) for a, b in zip(made.getpixel((5, 5)), (0x33, 0x66, 0xCC), strict=True)) < 6


def test_a_pdf_page_is_larger_by_the_bleed_and_says_where_it_is_cut() -> None:
    # 600 x 300 pixels at 300 an inch are 2 x 1 inches: 144 x 72 points; the bleed of 25.4 mm is an inch.
    with PdfParser.PdfParser(buf=pdf(png(600, 300), 25.4, 300)) as found:
        page = found.read_indirect(found.pages[0])
    assert [float(each) for each in page[b"MediaBox"]] == [0, 0, 288, 216]
    assert [float(each) for each in page[b"BleedBox"]] == [0, 0, 288, 216]
    assert [float(each) for each in page[b"TrimBox"]] == [72, 72, 216, 144]


def test_the_bleed_mirrors_the_picture() -> None:
    picture = Image.new("RGB", (4, 3))
    for x in range(4):
        for y in range(3):
            picture.putpixel((x, y), (10 * x, 10 * y, 0))
    wide = mirrored(picture, 2)
    assert wide.size == (8, 7)
    assert [wide.getpixel((x, 2))[0] for x in range(8)] == [10, 0, 0, 10, 20, 30, 30, 20]
    assert [wide.getpixel((2, y))[1] for y in range(7)] == [10, 0, 0, 10, 20, 20, 10]
    assert mirrored(picture, 0).tobytes() == picture.tobytes()
