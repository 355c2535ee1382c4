"""Who has to act: the one table row by row, what survives pickling, what a seat may say, and that the docs agree."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from celery.utils.serialization import get_pickleable_exception

from director.errors import (
    RULES,
    Actor,
    BriefError,
    Cancelled,
    DirectorError,
    EditorError,
    JudgeError,
    PlannerError,
    Rule,
    SeatError,
    StoreError,
    VerifierError,
    boundary,
)
from tasks.store.archive import Corrupt

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"

ROWS = [
    # actor, charged, final, holds, who, then
    (
        "user", False, True, False,
        "whoever wrote the brief",
        "the job ends as failed; change the brief or its settings and submit it again",
    ),
    (
        "seat", True, False, False,
        "nobody yet; the operator, once the tries are used up",
        "the step is tried again; after the last try the job is a dead letter, which requeue brings back",
    ),
    (
        "operator", False, False, True,
        "the operator",
        "jobs that need it wait, and one of them tries again now and then; all go on once it is mended",
    ),
    (
        "outage", False, False, True,
        "nobody, unless it lasts; then the operator",
        "jobs that need it wait, and one of them tries again now and then; all go on once it answers",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("actor", "charged", "final", "holds", "who", "then"), ROWS, ids=[row[0] for row in ROWS])
def test_what_follows_from_a_failure(actor: str, charged: bool, final: bool, holds: bool, who: str, then: str):
    assert RULES[Actor(actor)] == Rule(charged=charged, final=final, holds=holds, who=who, then=then)


def test_every_actor_has_one_row():
    assert list(RULES) == list(Actor) == [Actor(row[0]) for row in ROWS]


def test_the_operators_page_has_the_same_rows():
    section = OPERATIONS.read_text().partition("## Who has to act\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    header, _, *rows = cells[: 2 + len(RULES)]
    assert header == ["", "who has to act", "what happens", "uses up a try", "final", "held"]
    assert rows == [
        [
            f"**{actor}**",
            rule.who,
            rule.then,
            *("yes" if each else "no" for each in (rule.charged, rule.final, rule.holds)),
        ]
        for actor, rule in RULES.items()
    ]


@pytest.mark.parametrize(
    ("error", "actor"),
    [
        (BriefError("x"), "user"),
        (PlannerError("x"), "seat"),
        (EditorError("x"), "seat"),
        (JudgeError("x"), "seat"),
        (VerifierError("x"), "seat"),
        (SeatError("x", actor=Actor.OPERATOR), "operator"),
        (StoreError("x"), "outage"),
        (Cancelled("x"), "user"),
        (Corrupt("x"), "operator"),
        (DirectorError("x"), "operator"),
    ],
)
def test_every_error_names_who_has_to_act(error: DirectorError, actor: str):
    assert error.actor is Actor(actor)
    assert (error.resource, error.retry_after_s) == ("", 0.0)
    assert pickle.loads(pickle.dumps(error)).actor is Actor(actor)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_a_seat_said_survives_pickling(protocol: int):
    error = VerifierError("no", "start it", actor=Actor.OUTAGE, resource="http://a/v1 (m)", retry_after_s=20)
    for again in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is VerifierError
        assert (again.message, again.fix, again.actor, again.resource, again.retry_after_s) == (
            "no", "start it", Actor.OUTAGE, "http://a/v1 (m)", 20,
        )  # fmt: skip
        assert (str(again), again.args) == ("no (start it)", ("no", "start it"))


def raised(**attributes: Any) -> SeatError:
    error = RuntimeError("broke")
    for name, value in attributes.items():
        setattr(error, name, value)
    with pytest.raises(EditorError) as caught, boundary(EditorError):
        raise error
    return caught.value


@pytest.mark.parametrize("actor", list(Actor))
def test_a_seat_says_by_attributes_who_has_to_act(actor: Actor):
    failed = raised(actor=actor, resource="the checkpoint /models/x", fix="fetch it", retry_after_s=2)
    assert (failed.message, failed.actor, failed.resource, failed.fix, failed.retry_after_s) == (
        "RuntimeError: broke", actor, "the checkpoint /models/x", "fetch it", 2.0,
    )  # fmt: skip


def test_a_seat_that_says_nothing_is_to_blame_itself():
    failed = raised()
    assert (failed.actor, failed.resource, failed.fix, failed.retry_after_s) == (Actor.SEAT, "", "", 0.0)


@pytest.mark.parametrize(
    "attributes",
    [
        {"actor": "operator", "resource": 7, "fix": None, "retry_after_s": "soon"},
        {"actor": object(), "resource": b"x", "fix": ["x"], "retry_after_s": float("nan")},
        {"actor": None, "resource": None, "fix": 3, "retry_after_s": float("inf")},
        {"retry_after_s": -5},
    ],
)
def test_attributes_of_another_kind_mean_nothing(attributes: dict[str, Any]):
    failed = raised(**attributes)
    assert (failed.actor, failed.resource, failed.fix, failed.retry_after_s) == (Actor.SEAT, "", "", 0.0)


def test_what_has_a_boundary_passes_as_it_is():
    unusable = BriefError("the brief asks for nothing", "say what to show", "brief.text")
    with pytest.raises(BriefError) as caught, boundary(PlannerError):
        raise unusable
    assert caught.value is unusable
    assert str(unusable) == "the brief asks for nothing (say what to show)"


def test_flower_shows_who_has_to_act():
    error = PlannerError("VlmRefused: 401", "mend the key", actor=Actor.OPERATOR)
    assert (
        repr(get_pickleable_exception(error))
        == repr(error)
        == "PlannerError[operator]('VlmRefused: 401 (mend the key)')"
    )
