"""Jobs that ran become lessons of what was chosen in them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from director.errors import BriefError
from director.loop import direct
from director.types import LoopSettings, Rendered, Stopped, StopReason, Trajectory
from tasks.batch.terms import OwnerTerms
from tasks.jobs import Job as Submitted
from tasks.jobs import job_id
from tasks.store import Archive, FolderStore
from tests.support.recorded_jobs import nonce
from worker.bench.sketch_lab.worlds import TRAINING, tasks_of
from worker.cli import main
from worker.policy.decider import PolicyDecider
from worker.policy.network import Network, initial
from worker.train.recorded import lesson, lessons
from worker.train.rollouts import Job, Price, likeliest, play, preferred
from worker.train.store import read_lines, taught_by, teacher, write_lines
from worker.train.worlds import job_of, policy_settings

NETWORK = Network({name: each * 40 for name, each in initial(0).items()}, {})
LEAVE = {"alice": OwnerTerms(training=True), "bob": OwnerTerms()}


def a_job(settings: LoopSettings, n: int = 0) -> Job:
    return job_of(tasks_of("training", n + 1, TRAINING)[n], settings)


def ended(job: Job, stop_after: int | None = None) -> Trajectory:
    """Run without a pause, as a worker does; or cancelled after so many steps."""
    left = iter(range(stop_after)) if stop_after is not None else None

    def between(_: Trajectory) -> Stopped | None:
        over = left is not None and next(left, None) is None
        return Stopped(reason=StopReason.CANCELLED, why="by its owner") if over else None

    return direct(job.brief, job.settings, job.seed, job.studio, job.context, between)


@pytest.mark.parametrize("n", range(3))
def test_what_the_schedule_did_is_the_first_option_of_each_menu(n: int) -> None:
    line = lesson(ended(a_job(teacher(), n)))
    (played,) = play([a_job(taught_by(), n)], preferred(), "")
    assert line
    assert line.decisions == played.decisions
    assert (line.parts.renders, line.parts.rounds) == (played.parts.renders, played.parts.rounds)


def test_what_a_policy_chose_is_told_as_it_chose() -> None:
    job = a_job(policy_settings())
    job.studio = replace(job.studio, decider=PolicyDecider(NETWORK, "test"))
    line = lesson(ended(job))
    (played,) = play([a_job(policy_settings())], likeliest(NETWORK), "")
    assert line
    assert [(d.question, d.menu, d.number) for d in line.decisions] == [
        (d.question, d.menu, d.number) for d in played.decisions
    ]


def test_a_cancelled_job_tells_what_was_chosen_before() -> None:
    whole, cut = lesson(ended(a_job(teacher()))), lesson(ended(a_job(teacher()), stop_after=7))
    assert whole
    assert cut
    assert 0 < len(cut.decisions) < len(whole.decisions)
    assert cut.decisions == whole.decisions[: len(cut.decisions)]


def test_what_does_not_replay_is_no_lesson() -> None:
    done = ended(a_job(teacher()))
    torn = next(n for n, event in enumerate(done.events) if isinstance(event, Rendered))
    assert lesson(done.model_copy(update={"events": done.events[:torn] + done.events[torn + 1 :]})) is None


def stored(archive: Archive, owner: str, done: Trajectory) -> None:
    job = Submitted(
        id=job_id(owner, "a"), owner=owner, brief=done.brief, settings=done.settings, seed=done.seed, created=1.0
    )
    archive.save_job(job)
    archive.save_snapshot(job.id, 0, nonce(0), "", None, done)


def test_only_jobs_of_owners_who_gave_leave_and_no_word_of_a_brief(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "bucket")
    alice, bob = ended(a_job(teacher(), 0)), ended(a_job(teacher(), 1))
    for owner, done in (("alice", alice), ("bob", bob), ("carol", bob)):
        stored(Archive(store), owner, done)
    lines = [*lessons(store, LEAVE, Price())]
    assert [line.seed for line in lines] == [alice.seed]
    write_lines(tmp_path / "recorded.jsonl", lines)
    assert read_lines(tmp_path / "recorded.jsonl") == lines
    told = (tmp_path / "recorded.jsonl").read_text()
    words = {word for word in alice.brief.text.split() if len(word) > 4}
    assert words
    assert not [word for word in words if word in told]


@pytest.mark.parametrize("text", ["[]", "{}", "no JSON"])
def test_a_line_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "recorded.jsonl").write_text(f"{text}\n")
    with pytest.raises(BriefError, match="line 1 is no rollout"):
        read_lines(tmp_path / "recorded.jsonl")


@pytest.mark.parametrize("owners", [{}, {"alice": {"training": False}}])
def test_without_leave_nothing_is_read(
    owners: dict[str, object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VISIONDIRECTOR_OWNERS", json.dumps(owners))
    assert main(["train", "record"]) == 2
    assert "gave leave" in capsys.readouterr().err
