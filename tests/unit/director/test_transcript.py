"""What a person reads while a job runs."""

from director.transcript import Transcript, plain
from director.types import AcceptRule, LoopSettings
from tests.support.scripted_studio import ABC, goals_of, play, run


def told(*script: dict[str, str]) -> list[str]:
    transcript = Transcript(ABC)
    return [
        str(transcript.line(event))
        for event in run(play(*script), LoopSettings(candidates=1, accept=AcceptRule.NO_LOSS)).events
    ]


def test_gains_losses_and_rollbacks_are_said():
    lines = told({"a": "met"}, {"a": "missed", "b": "met", "c": "met"}, {"b": "met"}, {"c": "met"})
    assert any(line.startswith("rolled back") and "− show a" in line for line in lines)
    assert any(line.startswith("accepted") and "+ show b" in line for line in lines)
    assert lines[-1].startswith("stopped     satisfied")


def test_text_from_a_brief_cannot_steer_the_terminal():
    assert plain("a\x1b[2Jb\r\nc\u202e") == "a [2Jb c"
    assert len(plain("x" * 500)) == 100


def test_goals_are_named_by_what_they_ask():
    (goal,) = goals_of("g1")
    assert Transcript((goal,)).line(run(play({"a": "met", "b": "met", "c": "met"})).events[0]).label == "plan"
