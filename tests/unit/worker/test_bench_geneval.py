"""`bench geneval`: the official folder, what is left of an interrupted run, and what is refused."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from director.errors import BriefError
from tests.support.contexts import plain_png
from tests.support.geneval import ScriptedColours, ScriptedDetector, coin, metadata
from worker.bench.geneval.images import evaluate, write_results
from worker.bench.geneval.layout import read_layout, samples_of
from worker.bench.geneval.scoring import Detection, read_metadata, read_results, scored
from worker.cli import main

PROMPTS = metadata(("single_object", "cup"), ("colors", "dog"), ("single_object", "umbrella"))
SMALL = ["--set", "width=192", "--set", "height=192", "--strategy", "one-shot", "--samples", "2"]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "metadata.jsonl"
    path.write_text(PROMPTS)
    return path


def draw(prompts: Path, out: Path, *more: str) -> int:
    return main(["bench", "geneval", "--metadata", str(prompts), "-o", str(out), *SMALL, "--workers", "1", *more])


def official_pictures(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("0*/samples/*"))}


def pictures_folder(tmp_path: Path, count: int = 2) -> Path:
    """A layout of somebody else's, with `count` pictures of each prompt."""
    folder = tmp_path / "theirs"
    for entry in read_metadata(PROMPTS.encode()):
        (folder / entry.folder / "samples").mkdir(parents=True)
        (folder / entry.folder / "metadata.jsonl").write_text(entry.record)
        for n in range(count):
            data = plain_png("red" if n else "blue", 16 + entry.index, 16 + n)
            (folder / entry.folder / "samples" / f"{n:05d}.png").write_bytes(data)
    return folder


# --- drawing ------------------------------------------------------------------------------------


def test_the_official_layout(prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    assert draw(prompts, out, "--json", str(tmp_path / "figures.json")) == 0
    assert list(official_pictures(out)) == [f"{n:05d}/samples/{k:04d}.png" for n in range(3) for k in range(2)]
    lines = [(out / f"{n:05d}" / "metadata.jsonl").read_text() for n in range(3)]
    assert "".join(lines) == PROMPTS
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["cost"]["renders"] == 6
    assert "simulated" in figures["editor"]
    assert "overall" not in figures
    printed = capsys.readouterr().out
    assert "simulated" in printed
    assert "not judged: no detector in" in printed


def test_samples_differ_by_seed_and_a_second_run_draws_nothing(prompts: Path, tmp_path: Path):
    out = tmp_path / "out"
    draw(prompts, out)
    before = official_pictures(out)
    filed = (out / "runs.jsonl").read_bytes()
    assert before["00000/samples/0000.png"] != before["00000/samples/0001.png"]
    assert draw(prompts, out) == 0
    assert official_pictures(out) == before
    assert (out / "runs.jsonl").read_bytes() == filed


def test_a_prompt_that_cannot_be_drawn_is_no_picture_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "metadata.jsonl"
    path.write_text(metadata(("single_object", "cup"), ("single_object", "hair drier")))
    assert draw(path, tmp_path / "out") == 0
    assert "2 could not be drawn" in capsys.readouterr().out
    assert not (tmp_path / "out" / "00001").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "candidates=2"], "candidates must be 1"),
        (["--set", "width=256"], "was made with arms.one-shot.width = 192"),
        (["--seed", "1"], "was made with seed = 0"),
        (["--samples", "0"], "--samples: 0 is too few"),
        (["--strategy", "luck"], "there is no strategy"),
        (["--profile", "luck"], "there is no editor or studio 'luck' (editors: "),
        (["--profile", "perfect"], "was made with arms.one-shot.editor"),
    ],
)
def test_what_does_not_fit_is_refused(
    prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
):
    out = tmp_path / "out"
    draw(prompts, out)
    before = official_pictures(out)
    capsys.readouterr()
    assert draw(prompts, out, *more) == 2
    assert message in capsys.readouterr().err
    assert official_pictures(out) == before


def test_other_prompts_do_not_mix_into_a_folder(prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    draw(prompts, out)
    prompts.write_text(metadata(("single_object", "apple")))
    assert draw(prompts, out) == 2
    assert "00000 is not the one that this folder holds" in capsys.readouterr().err


def test_a_killed_run_goes_on_to_the_same_pictures_and_figures(prompts: Path, tmp_path: Path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    draw(prompts, whole)
    command = [sys.executable, "-m", "worker.cli", "bench", "geneval", "--metadata", str(prompts), "-o", str(broken)]
    process = subprocess.Popen([*command, *SMALL, "--workers", "2"], stderr=subprocess.PIPE, text=True)
    assert process.stderr
    for line in process.stderr:
        if line.startswith("pictures: 2 of"):
            break
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not psutil.wait_procs(children, timeout=30)[1], "children of a killed run stay behind"
    filed = (broken / "runs.jsonl").read_bytes().splitlines(keepends=True)
    assert len(filed) - 1 >= 2
    # As a kill in the middle of a line leaves it. The whole run may be over before the kill comes.
    (broken / "runs.jsonl").write_bytes(b"".join(filed[:5]) + b'{"done": {"case": "000')

    assert draw(prompts, broken) == 0
    assert official_pictures(broken) == official_pictures(whole)
    entries = read_metadata(PROMPTS.encode())
    figures = []
    for folder in (whole, broken):
        samples = list(samples_of(folder, entries, 2))
        rows = evaluate(samples, folder, ScriptedDetector(coin), ScriptedColours()).rows
        figures.append(scored(rows, entries, 2))
    assert figures[0] == figures[1]
    assert figures[0]["images"] == 6


# --- judging ------------------------------------------------------------------------------------


def test_pictures_made_elsewhere_are_judged_once(tmp_path: Path):
    folder = pictures_folder(tmp_path)
    entries = read_layout(folder)
    detector = ScriptedDetector(lambda png, classes: {classes[0]: [Detection(0, 0, 9, 9, 0.31)]})
    samples = list(samples_of(folder, entries, 2))
    found = evaluate(samples, tmp_path / "out", detector, ScriptedColours())
    assert (len(found.rows), detector.seen) == (6, 6)
    assert evaluate(samples, tmp_path / "out", detector, ScriptedColours()) == found
    assert detector.seen == 6
    write_results(tmp_path / "results.jsonl", found.rows)
    assert scored(read_results((tmp_path / "results.jsonl").read_bytes()), entries, 2)["overall"] == 1.0


def test_missing_and_broken_pictures_are_unscored_and_tried_again(tmp_path: Path):
    folder = pictures_folder(tmp_path)
    entries = read_layout(folder)
    place = folder / "00001" / "samples"
    whole = (place / "00000.png").read_bytes()
    (place / "00000.png").write_bytes(whole[:40])
    (place / "00001.png").unlink()
    (place / ".00001.png.part").write_bytes(b"half a picture")
    detector = ScriptedDetector(coin)

    def judged():
        return evaluate(list(samples_of(folder, entries, 2)), tmp_path / "out", detector, ScriptedColours())

    first = judged()
    assert len(first.rows) == 4
    assert [each.split(":")[0] for each in first.broken] == ["00001-00000"]
    assert [Path(each).parent for each in first.missing] == [place]
    assert scored(first.rows, entries, 2)["unscored"] == 2
    (place / "00000.png").write_bytes(whole)
    assert len(judged().rows) == 5
    assert detector.seen == 5


def test_judgements_of_two_detectors_or_two_pictures_do_not_mix(tmp_path: Path):
    folder = pictures_folder(tmp_path)
    samples = list(samples_of(folder, read_layout(folder), 2))
    evaluate(samples, tmp_path / "out", ScriptedDetector(coin), ScriptedColours())
    with pytest.raises(BriefError, match='was made with detector = "scripted"'):
        evaluate(samples, tmp_path / "out", ScriptedDetector(coin, "another"), ScriptedColours())
    samples[0].path.write_bytes(plain_png("green"))
    with pytest.raises(BriefError, match="00000-00000 is not the one"):
        evaluate(samples, tmp_path / "out", ScriptedDetector(coin), ScriptedColours())


def test_a_folder_that_is_no_layout_is_refused(tmp_path: Path):
    with pytest.raises(BriefError, match="is no folder"):
        read_layout(tmp_path / "nowhere")
    with pytest.raises(BriefError, match="holds no prompt"):
        read_layout(tmp_path)
    folder = pictures_folder(tmp_path, 3)
    with pytest.raises(BriefError, match="holds 3 pictures"):
        list(samples_of(folder, read_layout(folder), 2))
    (folder / "00002" / "metadata.jsonl").write_text(PROMPTS)
    with pytest.raises(BriefError, match="holds 3 prompts"):
        read_layout(folder)
    (folder / "00002" / "metadata.jsonl").unlink()
    with pytest.raises(BriefError, match="there is no "):
        read_layout(folder)


# --- scoring a file -----------------------------------------------------------------------------


def results(path: Path, marks: str) -> Path:
    entries = read_metadata(PROMPTS.encode())
    rows = [
        {
            "filename": f"{path.stem}/{entry.folder}/samples/{n:04d}.png", "tag": entry.prompt.tag,
            "prompt": entry.prompt.prompt, "correct": mark == "+", "reason": "", "metadata": entry.record,
            "details": "{}",
        }
        for entry, pair in zip(entries, marks.split(), strict=True)
        for n, mark in enumerate(pair)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_results_file_gives_the_official_figures(prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file, other = results(tmp_path / "ours.jsonl", "++ +- +-"), results(tmp_path / "theirs.jsonl", "+- +- --")
    figures = tmp_path / "figures.json"
    command = ["bench", "geneval", "--results", str(file), "--json", str(figures)]
    assert main(command) == 0
    found = json.loads(figures.read_text())
    assert found["tags"]["single_object"]["accuracy"] == 0.75  # 3 of 4
    assert found["tags"]["colors"]["accuracy"] == 0.5
    assert found["overall"] == 0.625
    assert found["unscored"] is None
    printed = capsys.readouterr().out
    assert "overall 0.62500 (mean of 2 of 6 tags)" in printed
    assert "not the official overall" in printed
    assert "control: none" in printed

    assert main([*command, "--metadata", str(prompts), "--control", str(other)]) == 0
    found = json.loads(figures.read_text())
    assert found["unscored"] == 6  # two pictures of each prompt, and four are asked for
    # single_object 3/4 against 1/4, colors 1/2 against 1/2: (0.5 + 0) / 2.
    assert found["control"]["difference"] == 0.25
    assert found["control"]["pairs"] == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing says what to score"),
        (["--results", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--images", "nowhere"], "nothing says where judgements go"),
        (["--images", "nowhere", "-o", "out"], "nowhere is no folder"),
    ],
)
def test_what_is_missing_is_said(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "geneval", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
