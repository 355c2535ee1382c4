"""The report page as a browser's parser reads it: every parse error fails."""

import base64
import hashlib
from itertools import pairwise
from typing import Any

import pytest
from justhtml import JustHTML

from director.errors import RULES, Actor
from director.report import Attempt, RunInfo, Trouble, policy, report
from director.report.cost import shares
from director.report.goals import difference
from director.report.html import Html, html, text
from director.report.words import find
from director.types import (
    Action,
    ActionKind,
    Brief,
    Candidate,
    Decided,
    Event,
    Extracted,
    Gated,
    Goal,
    LoopSettings,
    Mode,
    Outcome,
    Planned,
    Rendered,
    Selected,
    Stopped,
    StopReason,
    Trajectory,
    Verdict,
    Verified,
)
from tests.support.gallery import GOALS, TEXT, regatta

HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> &amp; \u202egnp.exe\u2069 \x00\x1b[31m " + "w" * 3000
)
SHOWN = HOSTILE.replace("\u202e", "�").replace("\u2069", "�").replace("\x00", "�").replace("\x1b", "�")


class Named:
    """Pictures by their own names, or none at all."""

    def __init__(self, there: bool = True, full: str = "/full/") -> None:
        self.there, self.where = there, full

    def lead(self, image: str) -> str:
        return f"/lead/{image}" if self.there else ""

    def thumb(self, image: str) -> str:
        return f"/thumb/{image}" if self.there else ""

    def full(self, image: str) -> str:
        return f"{self.where}{image}" if self.where else ""


def stored(png: bytes) -> str:
    return hashlib.sha256(png).hexdigest()


def read(page: str) -> JustHTML:
    return JustHTML(page, sanitize=False, strict=True)


def words(node: Any) -> str:
    return " ".join(node.to_text(separator="", strip=False).split())


@pytest.fixture(scope="module")
def trajectory() -> Trajectory:
    return regatta(stored)


@pytest.fixture(scope="module")
def page(trajectory: Trajectory) -> JustHTML:
    return read(report(trajectory, Named(), RunInfo(job="some-job", created=0.0, ended=90.0)))


def test_the_final_picture_comes_first_and_says_what_it_is(page: JustHTML, trajectory: Trajectory):
    final = next(e.image for e in reversed(trajectory.events) if isinstance(e, Decided) and e.accepted)
    first = page.query("img")[0]
    assert first.attrs["src"] == f"/lead/{final}"
    assert first.attrs["alt"] == "Final picture for “Harbour Days”, 5 of 7 goals met"


def test_every_candidate_is_there_and_the_picked_one_is_told(page: JustHTML):
    assert [len(page.query(f"#round-{n} .grid > li")) for n in range(1, 7)] == [4] * 6
    alts = [img.attrs["alt"] for img in page.query("#round-3 .grid img")]
    assert alts[3] == "Round 3, candidate 4 of 4: picked, rolled back"
    assert alts[0] == "Round 3, candidate 1 of 4: not picked"
    said = words(page.query("#round-3")[0])
    assert "Picked candidate 4 of 4. it holds the boats apart vlm" in said
    assert "judge 0.90" in said
    assert "It would have gained: goal 3" in said
    assert "It would have lost: goal 1" in said
    assert "0.4% of the pixels changed" in said


def test_the_matrix_is_a_table_with_a_verdict_for_each_goal_and_round(page: JustHTML):
    assert [words(th) for th in page.query(".matrix thead th")][:3] == ["Goal", "Round 1 accepted", "Round 2 accepted"]
    assert all(th.attrs["scope"] == "row" for th in page.query(".matrix tbody th"))
    rows = page.query(".matrix tbody tr")
    assert [row.attrs["id"] for row in rows] == [f"goal-{goal.id}" for goal in GOALS]
    assert [words(button) for button in rows[2].query("button")] == [
        "✕ missed", "✕ missed", "✓ met", "? unsure", "? unsure", "✓ met", "✓ met",
    ]  # fmt: skip
    totals = [words(td) for td in page.query(".matrix tfoot td")]
    assert totals == ["2/7", "3/7", "3/7", "4/7", "4/7", "5/7", "5/7"]


def test_evidence_belongs_to_its_verdict(page: JustHTML):
    button = page.query("#goal-g4 button")[0]
    tip = page.query(f"#{button.attrs['aria-describedby']}")
    assert len(tip) == 1
    assert (
        words(tip[0])
        == "Round 1: missed, 8% likely. OCR reads 'HARRBOUR DAYS'; VLM: yes 0.71, no 0.20, unsure 0.09 vlm"
    )


def test_ids_are_there_once_and_links_lead_somewhere(page: JustHTML):
    ids = [node.attrs["id"] for node in page.query("[id]")]
    assert len(ids) == len(set(ids))
    targets = {a.attrs["href"][1:] for a in page.query("a") if a.attrs["href"].startswith("#")}
    assert targets <= set(ids)


def test_lettering_shows_what_was_read(page: JustHTML):
    rows = [[words(cell) for cell in row.query("td")] for row in page.query("#lettering tbody tr")]
    assert rows == [["HARBOUR DAYS", "HARRBOUR DAYS", "✕ missed"], ["Races from noon", "Races from noon", "✓ met"]]
    assert [words(ins) for ins in page.query("#lettering ins")] == ["R"]


def test_what_must_be_absent_says_so_and_is_no_lettering_to_set():
    gone = Goal(id="g01", text='Remove the text "OPEN"', type="text", string="OPEN", absent=True)
    events = (Extracted(goals=(gone,), by="x"),)
    made = report(Trajectory(brief=Brief(text=gone.text), settings=LoopSettings(), seed=1, events=events), Named())
    assert "text · must not be there" in str(made)
    assert "lettering" not in str(made).lower().partition("<body")[2]


def test_headings_do_not_skip_a_level(page: JustHTML):
    levels = [int(node.name[1]) for node in page.query("h1, h2, h3, h4")]
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_nothing_is_loaded_from_elsewhere_and_nothing_runs(trajectory: Trajectory):
    made = report(trajectory, Named())
    page = read(made)
    assert not page.query("script, iframe, object, form, [style], [onclick]")
    assert [link.attrs["href"] for link in page.query("link")] == ["data:,"]
    style = page.query("style")[0].to_text(strip=False)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy()
    assert page.query('meta[http-equiv="Content-Security-Policy"]')[0].attrs["content"] == policy()
    assert "url(" not in style
    assert "@import" not in style


# --- the brief ---------------------------------------------------------------------------------


def test_the_words_of_each_goal_are_marked_where_they_stand(page: JustHTML):
    prose = page.query(".prose")[0]
    marked = [(words(mark), mark.attrs["class"]) for mark in prose.query("mark")]
    assert marked[:4] == [
        ("A white lighthouse stands on the right", "met"),
        ("three red", "met"),
        ("boats lie in front of it", "met shared"),
        (". Fog lies over the water", "met"),
    ]
    assert [a.attrs["href"] for a in prose.query("a")][:3] == ["#goal-g1", "#goal-g2", "#goal-g3"]
    assert "Not in these words in the brief: goal 7" in words(page.query("#brief")[0])
    whole = "".join(prose.to_text(strip=False, separator="").split())
    assert whole.startswith("Aposterfortheharbourregatta,quietandbright.Awhitelighthouse")


def test_goals_that_overlap_are_each_found():
    spans = {span.goal: TEXT[span.start : span.end] for span in find(TEXT, GOALS)}
    assert spans == {goal.id: goal.text for goal in GOALS if goal.id != "g7"}


def test_the_same_words_twice_are_two_places_and_line_breaks_do_not_matter():
    goals = [Goal(id="a", text="a red cup"), Goal(id="b", text="a red cup"), Goal(id="c", text="a red cup")]
    spans = sorted((span.goal, span.start) for span in find("a red cup and a\n red cup", goals))
    assert spans == [("a", 0), ("b", 14), ("c", 14)]


# --- whatever users and models write -----------------------------------------------------------


def hostile() -> Trajectory:
    """Every string that comes from outside is made to harm."""
    image = "a" * 64
    goal = Goal(id="g1", text=HOSTILE[:1000], type="text", string=HOSTILE[:200])
    verdict = Verdict(goal="g1", outcome=Outcome.MISSED, score=0, confidence=1, evidence=HOSTILE[:300], by=HOSTILE[:64])
    events: list[Event] = [
        Extracted(goals=(goal,), by=HOSTILE),
        Gated(mode=Mode.ONE_SHOT, why=HOSTILE),
        Planned(action=Action(kind=ActionKind.GENERATE, instruction=HOSTILE, targets=("g1",)), by=HOSTILE),
        Rendered(candidates=(Candidate(image=image, seed=1), Candidate(image="b" * 64, seed=2)), by=HOSTILE),
        Selected(image=image, scores=(0.1, 0.2), why=HOSTILE[:300], by=HOSTILE),
        Verified(image=image, verdicts=(verdict,), by=HOSTILE),
        Decided(accepted=True, image=image, lost=("g1",), gained=("g1",), why=HOSTILE),
        Stopped(reason=StopReason.STALLED, why=HOSTILE),
    ]
    return Trajectory(
        brief=Brief(text=f"{HOSTILE} {HOSTILE}", title=HOSTILE[:120]),
        settings=LoopSettings(), seed=1, events=tuple(events),
    )  # fmt: skip


def test_hostile_strings_are_shown_as_text():
    trouble = Trouble(boundary=HOSTILE, message=HOSTILE, fix=HOSTILE)
    attempts = (Attempt(n=0, kind=HOSTILE, error=trouble, committed=False),)
    made = report(
        hostile(), Named(), RunInfo(job=HOSTILE, doing=HOSTILE, trouble=trouble, attempts=attempts, home=HOSTILE)
    )
    page = read(made)
    assert not page.query("script")
    assert {img.attrs["src"][:5] for img in page.query("img")} <= {"/lead", "/thum"}
    assert not page.query("[onerror]")
    for c in "\x00\x1b\u202e\u2069":
        assert c not in made
    assert SHOWN.split(" ", 1)[0] in words(page.query("h1")[0])
    assert "�gnp.exe�" in made


def test_a_failure_with_hostile_words_is_shown_as_text():
    trouble = Trouble(boundary=HOSTILE, message=HOSTILE, fix=HOSTILE)
    running = hostile().model_copy(update={"events": hostile().events[:3]})
    for doing in ("", HOSTILE):
        page = read(report(running, Named(), RunInfo(job=HOSTILE, doing=doing, trouble=trouble)))
        assert not page.query("script, [onerror]")


@pytest.mark.parametrize("value", ["a\u202eb", "a\x00b", "a\x9fb", "a\ufdd0b", "a\ue000b"])
def test_characters_that_steer_are_made_visible(value: str):
    assert text(value) == "a�b"


@pytest.mark.parametrize("value", ["שלום", "नमस्ते", "👩\u200d🚀", "a\u00a0b", "line\nbreak\ttab", "\u200f"])
def test_characters_that_people_write_stay(value: str):
    assert text(value) == value


def test_only_markup_made_here_is_markup():
    assert html("<b>$x</b>", x="<i>") == "<b>&lt;i&gt;</b>"
    assert html("<b>$x</b>", x=html("<i>$y</i>", y="&")) == "<b><i>&amp;</i></b>"
    glued = Html("<i>") + "<script>"
    assert html("$x", x=glued) == "&lt;i&gt;&lt;script&gt;"


# --- states ------------------------------------------------------------------------------------


def opened(rounds: int = 2) -> Trajectory:
    return regatta(stored, rounds=rounds, stop=False)


def test_a_running_job_says_so_and_can_be_kept_from_reloading():
    run_info = RunInfo(job="j", doing="rendering", refresh=10, other="/x?refresh=off")
    page = read(report(opened(), Named(), run_info))
    said = words(page.query(".running")[0])
    assert said.startswith("Not finished rendering, round 2 of at most 6.")
    assert "every 10 seconds" in said
    assert page.query(".running a")[0].attrs["href"] == "/x?refresh=off"
    assert page.query("img")[0].attrs["alt"].startswith("Best picture so far")


def test_a_job_that_has_not_begun_has_a_page():
    fresh = Trajectory(brief=Brief(text="A cup"), settings=LoopSettings(), seed=1)
    page = read(report(fresh, Named(), RunInfo(doing="reading the brief")))
    assert words(page.query("h1")[0]) == "A cup …"
    assert "There is no picture yet" in page.to_text()
    assert not page.query("img")


@pytest.mark.parametrize("events", range(len(regatta(stored, rounds=1).events)))
def test_every_moment_of_a_job_has_a_page(trajectory: Trajectory, events: int):
    read(report(trajectory.model_copy(update={"events": trajectory.events[:events]}), Named(), RunInfo(doing="x")))


def test_a_dead_letter_says_where_it_failed_and_what_to_do():
    trouble = Trouble(boundary="editor", message="CUDA is out of memory", fix="use a smaller size")
    page = read(report(opened(), Named(), RunInfo(job="the-job", trouble=trouble)))
    said = words(page.query(".state")[0])
    assert said.startswith("Failed in the editor: CUDA is out of memory What to do: use a smaller size.")
    assert "visiondirector requeue the-job" in said


@pytest.mark.parametrize("actor", list(Actor))
@pytest.mark.parametrize("doing", ["", "waiting"])
def test_a_failure_says_who_has_to_act(actor: Actor, doing: str):
    trouble = Trouble(boundary="editor", message="broke", actor=actor)
    said = words(read(report(opened(), Named(), RunInfo(job="j", doing=doing, trouble=trouble))).query(".state")[0])
    over = actor is Actor.SEAT and not doing  # a dead letter: nothing happens by itself
    acts = (
        f"{RULES[actor].who}. What happens: {RULES[actor].then}."
        if not over
        else "the operator. All tries are used up."
    )
    assert f"Who has to act: {acts}" in said


def test_a_failure_of_an_older_worker_says_nothing_of_that():
    trouble = Trouble.model_validate({"boundary": "editor", "message": "broke", "fix": ""})
    page = read(report(opened(), Named(), RunInfo(job="j", trouble=trouble)))
    assert "Who has to act" not in words(page.query(".state")[0])


def test_a_failed_loop_is_not_to_be_requeued():
    over = opened(0).with_events(Stopped(reason=StopReason.FAILED, why="no goal in the brief"))
    said = words(read(report(over, Named(), RunInfo(job="j"))).query(".state")[0])
    assert "no goal in the brief" in said
    assert "whoever wrote the brief" in said
    assert "submit it again" in said
    assert "requeue" not in said


def test_what_was_simulated_says_so():
    plain = opened(1)
    assert not read(report(plain, Named())).query(".simulated")
    faked = [e.model_copy(update={"by": "sketch-editor"}) if isinstance(e, Rendered) else e for e in plain.events]
    page = read(report(plain.model_copy(update={"events": tuple(faked)}), Named()))
    assert words(page.query(".simulated")[0]).startswith("Sketch studio: simulated. No model made the pictures;")


def test_pictures_that_are_gone_leave_words():
    page = read(report(opened(), Named(there=False)))
    assert not page.query("img")
    assert "The picture is no longer stored" in page.to_text()


def test_without_a_place_for_the_full_size_a_picture_enlarges_itself(trajectory: Trajectory):
    page = read(report(trajectory, Named(full="")))
    links = page.query("#r2-c3 .frame a")
    assert [a.attrs["href"] for a in links] == ["#r2-c3"]
    assert page.query("#r2-c3 .close")[0].attrs["href"] == "#round-2"


# --- cost --------------------------------------------------------------------------------------

ATTEMPTS = (
    Attempt(n=0, kind="extract", seconds=1.0, counts={"vlm_calls": 1, "prompt_tokens": 1200}),
    Attempt(n=1, kind="render", seconds=4.0, committed=False, error=Trouble(boundary="editor", message="it died")),
    Attempt(n=1, kind="render", attempt=2, seconds=6.0, counts={"denoising_steps": 112}),
)


def test_wasted_tries_are_part_of_the_cost():
    assert [(s.kind, s.attempts, s.failed, s.useful, s.wasted) for s in shares(ATTEMPTS)] == [
        ("extract", 1, 0, 1.0, 0), ("render", 2, 1, 6.0, 4.0),
    ]  # fmt: skip
    page = read(report(opened(1), Named(), RunInfo(attempts=ATTEMPTS, created=100.0, ended=200.0)))
    said = words(page.query("#cost")[0])
    assert "1 min 40 s from submit to end: 11 s of work and 1 min 29 s of waiting" in said
    assert "1 wasted, 4.0 s" in said
    assert "1,200 prompt tokens, 112 denoising steps" in said
    assert "Step 1, render, try 1: the editor said it died" in said


def test_without_records_no_time_is_invented():
    said = words(read(report(opened(1), Named())).query("#cost")[0])
    assert "No times were recorded" in said
    assert "1 round, 4 pictures" in said


@pytest.mark.parametrize(
    ("asked", "found", "shown"),
    [
        ("CAFE", "CAFE", "CAFE"),
        ("CAFE", "CAFFE", "CAF<ins>F</ins>E"),
        ("CAFE", "CAE", "CA<del>F</del>E"),
        ("Cafe", "CAFE", "CAFE"),
        ("STRAßE", "STRASSE", "STRASSE"),
    ],
)
def test_letters_that_differ_are_marked(asked: str, found: str, shown: str):
    assert difference(asked, found) == shown


def test_what_was_not_read_and_what_is_likely_not_meant_stand_at_the_top():
    brief = Brief(text="Hello Anna,\n\nwe sell <kites>. A red kite. Move the tree to the left.")
    events = (Extracted(goals=(Goal(id="g1", text="A red kite"),), by="x"),)
    shown = read(report(Trajectory(brief=brief, settings=LoopSettings(), seed=0, events=events), Named()))
    [header] = shown.query("header")
    assert "3 parts of the brief became no goal" in words(header)
    assert [words(line) for line in header.query(".unread li")] == [
        "Hello Anna greeting",
        "we sell <kites> became no goal",
        "Move the tree to the left became no goal",
    ]
    assert "no picture was sent" in words(header)


def test_the_size_that_was_asked_for_is_told_of_new_pictures_only(trajectory: Trajectory):
    settings = LoopSettings(width=448, height=560)
    for source, told in ((None, True), ("a" * 64, False)):
        brief = trajectory.brief.model_copy(update={"source": source})
        asked = trajectory.model_copy(update={"brief": brief, "settings": settings})
        assert ("448 × 560 pixels" in words(read(report(asked, Named())))) is told
