"""`doctor --calibrate` and `doctor --cost`: thresholds by model, and what a job asks of each seat."""

import json
import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from director.errors import DirectorError
from director.loop import advance, begin, next_step, perform
from director.prompts.vlm import described
from director.seats import Studio, VerifyRequest
from director.types import Brief, LoopSettings, Outcome, Verified
from tests.support.contexts import MemoryImages, RecordingContext, plain_png
from tests.support.scripted_openai import Request, Scripted, fills, question, scripted, weighs
from tests.support.scripted_studio import goals_of
from worker.checks.calibrate import BRIEFS
from worker.checks.cost import asked, reckon
from worker.cli import main
from worker.profiles import Profile
from worker.sketch import sketch_studio
from worker.vlm.calibration import Answered, Calibration, fitted, read, write
from worker.vlm.config import VlmConfig
from worker.vlm.seats import open_vlm_seats

BOXES = {"here": {"workers": [{"name": "all", "seats": ["planner", "judge", "verifier", "control"]}]}}

# --- thresholds ---------------------------------------------------------------------------------


def answers(kind: str, *scores: tuple[float, bool]) -> list[Answered]:
    return [Answered(type=kind, score=score, met=met) for score, met in scores]


def test_a_threshold_parts_yes_from_no():
    leaning = answers("color", *((0.65 + n / 100, False) for n in range(10)), *((0.9, True) for _ in range(10)))
    strict = answers("text", *((0.1, False) for _ in range(9)), *((0.3, True) for _ in range(9)))
    few = answers("effect", (0.7, False), (0.95, True))
    found = fitted(leaning + strict + few)
    assert found.thresholds == {"color": 0.82, "text": 0.2}
    assert found.questions == 40
    assert found.right[0] < found.right[1]
    assert fitted(answers("text", (0.2, False), (0.9, True))).threshold == 0.5  # the nearest that parts them
    assert fitted(answers("text", (0.4, False), (0.6, True))).right == (1.0, 1.0)
    with pytest.raises(ValueError, match="none of which it is no"):
        fitted(answers("text", (0.9, True)))


def test_a_file_holds_models_by_name_and_says_which_it_lacks(tmp_path: Path):
    path = tmp_path / "thresholds.json"
    one, other = (Calibration(threshold=value, questions=9, right=(0.6, 0.9)) for value in (0.7, 0.4))
    write(path, "one", one)
    write(path, "other", other)
    assert (read(path, "one"), read(path, "other")) == (one, other)
    with pytest.raises(DirectorError, match=r"no thresholds for third: it has one, other.*--calibrate"):
        read(path, "third")
    with pytest.raises(DirectorError, match="there is none"):
        read(tmp_path / "nowhere.json", "one")
    path.write_text("[]")
    with pytest.raises(DirectorError, match="is no calibration"):
        read(path, "one")


def leans(request: Request) -> Scripted:
    """A model that says yes of everything, a little less of what is not there."""
    text = question(request)
    images = [part["image_url"]["url"] for part in request["messages"][1]["content"] if "image_url" in part]
    owner = next(n for n, brief in enumerate(BRIEFS) if _goal(text) in brief)
    first = _SEEN.setdefault(images[0], len(_SEEN))
    return weighs(yes=0.9, no=0.1) if owner == first else weighs(yes=0.7, no=0.3)


_SEEN: dict[str, int] = {}


def _goal(text: str) -> str:
    found = re.search(r"<<<\n\w+(?:, absent)?: (.*?)(?: \((?:the|there|within|achieved).*)?\n>>>", text)
    assert found
    return found[1].replace("“", '"').replace("”", '"')


@pytest.mark.timeout(400)  # eight pictures are drawn and looked at for twelve goals each
def test_the_doctor_writes_thresholds_that_the_verifier_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    _SEEN.clear()
    file, profile = tmp_path / "thresholds.json", tmp_path / "mine.json"
    with scripted(leans) as server, ExitStack() as resources:
        seat = {"url": server.url, "model": "scripted", "calibration": str(file), "ocr": False, "explain": False}
        profile.write_text(json.dumps({"about": "a test", "vlm": {"verifier": seat}, "boxes": BOXES}))
        assert main(["doctor", "--profile", str(profile), "--calibrate", str(file)]) == 0
        measured = read(file, "scripted")
        assert measured.threshold == pytest.approx(0.8)
        assert set(measured.thresholds) >= {"text", "add_object"}
        assert measured.right[0] == 0.5
        assert measured.right[1] > 0.8
        assert "a goal is met above 0.8" in capsys.readouterr().out
        server.answers[:] = [weighs(yes=0.7, no=0.3)]
        context = RecordingContext()
        image = context.images.put(plain_png("red"))
        for changes, outcome in (({}, Outcome.MISSED), ({"threshold": 0.5}, Outcome.MET)):
            config = VlmConfig.model_validate({"verifier": {**seat, "unsure_band": 0.05, **changes}})
            verifier = open_vlm_seats(config, resources, {}, beside=sketch_studio()).verifier
            (effect,) = goals_of("a", type="mood")
            verdicts = verifier.verify(VerifyRequest(image=image, goals=(effect,)), context).verdicts
            assert verdicts[0].outcome is outcome
        with pytest.raises(DirectorError, match="no thresholds for another"):
            open_vlm_seats(
                VlmConfig.model_validate({"verifier": {**seat, "model": "another"}}),
                resources,
                {},
                beside=sketch_studio(),
            )


def test_there_is_something_to_calibrate(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--calibrate", str(tmp_path / "x.json")]) == 2
    assert main(["doctor", "--profile", "sketch", "--calibrate", str(tmp_path / "x.json")]) == 2
    assert "no yes and no to calibrate" in capsys.readouterr().err


# --- cost ---------------------------------------------------------------------------------------

BRIEF = Brief(text='A red cup stands in the middle. A sign says "TEA" at the top. Soft light comes from the left.')
SMALL = LoopSettings(width=192, height=192, candidates=4, rounds=2, gate="staged")
SEAT = {"url": "http://127.0.0.1:1/v1", "model": "m"}


def priced(**rates: object) -> Profile:
    vlm = {"planner": SEAT, "judge": SEAT, "verifier": SEAT}
    return Profile.model_validate({"about": "a test", "vlm": vlm, "rates": rates, "boxes": BOXES})


class Opinions:
    """A server that misses what the sketch missed, so that the same is explained."""

    def __init__(self) -> None:
        self.missed = set[str]()

    def __call__(self, request: Request) -> Scripted:
        if "response_format" not in request:
            if "Picture A or Picture B" in question(request):
                return weighs(A=0.5, B=0.5)
            gone = any(goal in question(request) for goal in self.missed)
            return weighs(no=0.95, yes=0.05) if gone else weighs(yes=1.0)
        names = request["response_format"]["json_schema"]["schema"]["properties"]
        if "goals" in names:
            plain = {"region": None, "count": None, "parents": [], "conflicts": [], "must_have": False}
            return fills({"goals": [{"clauses": [1], "type": "effect", "scope": "local", "feasibility": 80, **plain}]})
        if "instruction" in names:
            return fills({"instruction": "A red cup and TEA", "region": None})
        return fills({name: {"seen": "nothing"} for name in names})


def test_what_is_counted_is_what_the_seats_send():
    """The same requests, once on paper and once by the VLM seats to a server."""
    sketch, context, paper, opinions = sketch_studio(), RecordingContext(), list[str](), Opinions()
    with scripted(opinions) as server, ExitStack() as resources:
        seat = {"url": server.url, "model": "m", "concurrency": 1}
        config = VlmConfig.model_validate({"planner": seat, "judge": seat, "verifier": {**seat, "ocr": False}})
        seats = open_vlm_seats(config, resources, {})
        studio = Studio(seats.planner, sketch.editor, seats.judge, seats.verifier)
        trajectory = begin(BRIEF, SMALL, 3)
        while request := next_step(trajectory):
            reply = perform(request, sketch, context)
            trajectory = advance(trajectory, reply)
            paper += [f"{prompt.lead}\n{prompt.question}" for prompt, _ in asked(request, reply, config)]
            if isinstance(request, VerifyRequest) and isinstance(reply, Verified):
                pairs = zip(request.goals, reply.verdicts, strict=True)
                opinions.missed = {described(goal) for goal, said in pairs if said.outcome is Outcome.MISSED}
            if request.kind != "render":
                perform(request, studio, context)
        sent = [question(request) for request in server.requests]
    assert len(paper) > 20

    def bare(texts: list[str]) -> list[str]:
        return [re.sub(r"(Before the edit:|Picture [AB]:)\n", "", text).strip() for text in texts]

    assert bare(sent) == bare(paper)


def test_a_job_has_a_bill_by_seat():
    rates = {"prompt_tokens_per_s": 1000, "card_hour": 3.6, "picture_s": {"flux-krea": 2}}
    price = {"prompt": 1, "cached": 0.1, "written": 10}
    bills = {b.seat: b for b in reckon(priced(**rates, tokens={"judge": price}), BRIEF, SMALL, 3, MemoryImages())}
    assert list(bills) == ["planner", "judge", "verifier", "editor"]
    planner, judge, verifier, editor = bills.values()
    assert editor.pictures >= 4 and (editor.seconds, editor.money) == (2 * editor.pictures, 0.002 * editor.pictures)
    assert planner.seconds == (planner.prompt - planner.cached) / 1000 + planner.written / 60
    assert planner.money == pytest.approx(planner.seconds / 1000)
    assert judge.money == pytest.approx((judge.prompt - judge.cached + 0.1 * judge.cached + 10 * judge.written) / 1e6)
    assert 0 < verifier.cached < verifier.prompt
    assert judge.written == judge.questions
    assert all(
        bill.seconds is None and bill.money is None for bill in reckon(priced(), BRIEF, SMALL, 3, MemoryImages())
    )


def test_drafts_and_full_pictures_have_their_own_price_and_size():
    drafts = SMALL.model_copy(update={"draft_rounds": True})
    rates = {"picture_s": {"flux-krea": 20, "flux-krea.draft": 2}}
    editor = reckon(priced(**rates), BRIEF, drafts, 3, MemoryImages())[-1]
    assert editor.seconds == 2 * (editor.pictures - 1) + 20
    assert reckon(priced(picture_s={"flux-krea": 20}), BRIEF, drafts, 3, MemoryImages())[-1].seconds is None


def test_the_doctor_prints_the_bill(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    profile, brief = tmp_path / "mine.json", tmp_path / "brief.txt"
    profile.write_text(priced(currency="EUR").model_dump_json())
    brief.write_text(BRIEF.text)
    words = [word for name in ("width=192", "height=192", "rounds=1", "candidates=2") for word in ("--set", name)]
    assert main(["doctor", "--profile", str(profile), "--cost", str(brief), *words]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["seat", "questions", "prompt", "tokens", "cached", "written", "pictures", "seconds", "EUR"]
    assert [row.split()[0] for row in rows] == ["planner", "judge", "verifier", "editor", "in"]
    assert len({len(row) for row in rows}) == 1
    numbers = [[int(cell.replace(",", "").replace("-", "0")) for cell in row.split()[-7:-2]] for row in rows]
    assert [sum(column) for column in zip(*numbers[:-1], strict=True)] == numbers[-1]
    assert main(["doctor", "--cost", str(brief)]) == 2
    assert "give --profile too" in capsys.readouterr().err
