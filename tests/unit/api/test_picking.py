"""Another candidate than the loop's is delivered, by name, everywhere, and only until that is undone."""

import json
from pathlib import Path

import httpx
import pytest

from director.state import State
from director.types import Trajectory
from tasks.png_metadata import read_png_metadata
from tests.support.api import ALICE, BOB, House, browse
from tests.support.batches import QUICK
from tests.support.gallery import regatta


@pytest.fixture
def done(alice: httpx.Client, house: House) -> str:
    id = alice.post("/v1/jobs", json={"brief": "A harbour", "settings": {"width": 512, "height": 640}}).json()["id"]
    house.commit(id, *regatta(house.images.put).events)
    return id


def state_of(alice: httpx.Client, id: str) -> State:
    return State.of(Trajectory.model_validate(alice.get(f"/v1/jobs/{id}/trajectory").json()))


def test_a_picked_candidate_is_delivered_and_the_trajectory_stays_as_it_is(alice: httpx.Client, done: str) -> None:
    before = alice.get(f"/v1/jobs/{done}/trajectory").content
    state = state_of(alice, done)
    wanted = state.rounds[1].candidates[0].image
    told = alice.put(f"/v1/jobs/{done}/pick", json={"round": 2, "candidate": 1}).json()["picked"]
    assert told | {"at": 0} == {
        "round": 2, "candidate": 1, "image": wanted, "at": 0,
        "goals": {"met": 0, "missed": 0, "unsure": 0, "total": 7},
    }  # fmt: skip
    assert read_png_metadata(alice.get(f"/v1/jobs/{done}/image").content).image == wanted
    best = alice.get(f"/v1/jobs/{done}/images/best")
    assert best.headers["ETag"] == f'"{wanted}"'
    assert "Picked by hand" in alice.get(f"/v1/jobs/{done}/report").text
    assert alice.get(f"/v1/jobs/{done}/trajectory").content == before


def test_of_a_candidate_that_was_looked_at_the_goals_are_told(alice: httpx.Client, done: str) -> None:
    goals = alice.put(f"/v1/jobs/{done}/pick", json={"round": 1, "candidate": 2}).json()["picked"]["goals"]
    assert goals == {"met": 2, "missed": 5, "unsure": 0, "total": 7}
    metadata = read_png_metadata(alice.get(f"/v1/jobs/{done}/image").content)
    assert (metadata.goals.met, metadata.goals.missed) == (2, 5)


def test_a_pick_is_undone(alice: httpx.Client, done: str) -> None:
    chosen = read_png_metadata(alice.get(f"/v1/jobs/{done}/image").content).image
    assert "picked" not in alice.delete(f"/v1/jobs/{done}/pick").json()  # nothing was picked
    alice.put(f"/v1/jobs/{done}/pick", json={"round": 2, "candidate": 1})
    assert "picked" not in alice.delete(f"/v1/jobs/{done}/pick").json()
    assert read_png_metadata(alice.get(f"/v1/jobs/{done}/image").content).image == chosen
    assert "Picked by hand" not in alice.get(f"/v1/jobs/{done}/report").text


def test_a_pick_outlives_the_ledger(alice: httpx.Client, house: House, done: str) -> None:
    wanted = alice.put(f"/v1/jobs/{done}/pick", json={"round": 2, "candidate": 1}).json()["picked"]["image"]
    house.wipe()
    house.rebuild()
    assert alice.get(f"/v1/jobs/{done}").json()["picked"]["image"] == wanted


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"round": 9, "candidate": 1}, "round", "there is no picture of round 9"),
        ({"round": 2, "candidate": 5}, "candidate", "round 2 has no candidate 5"),
        ({"round": 0, "candidate": 1}, "round", "must be at least 1"),
        ({"round": 2}, "candidate", "is required"),
    ],
)
def test_a_pick_that_names_nothing_is_refused_by_field(
    alice: httpx.Client, done: str, body: dict[str, int], field: str, words: str
) -> None:
    answer = alice.put(f"/v1/jobs/{done}/pick", json=body)
    assert answer.status_code == 422
    assert [(error["field"], words in error["message"]) for error in answer.json()["errors"]] == [(field, True)]


def test_while_the_loop_chooses_nobody_picks(alice: httpx.Client, house: House) -> None:
    id = alice.post("/v1/jobs", json={"brief": "A harbour"}).json()["id"]
    house.commit(id, *regatta(house.images.put, rounds=2, stop=False).events)
    assert alice.put(f"/v1/jobs/{id}/pick", json={"round": 1, "candidate": 1}).status_code == 409


def test_others_pick_nothing(house: House, done: str) -> None:
    with browse(house.app(), **BOB) as bob:
        assert bob.put(f"/v1/jobs/{done}/pick", json={"round": 1, "candidate": 1}).status_code == 404
        assert bob.delete(f"/v1/jobs/{done}/pick").status_code == 404


def test_the_results_of_a_batch_say_what_was_picked(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.ledger.announce("editor@test", [f"editor.{QUICK['editor']}"], 3_600_000)
    with browse(house.app(), **ALICE) as alice:
        lines = b'{"batch": {"settings": {"editor": "sketch"}}}\n{"custom_id": "a", "brief": "A harbour"}\n'
        batch = alice.post("/v1/batches", content=lines).json()["id"]
        house.dispatcher().admit()
        id = alice.get(f"/v1/batches/{batch}").json()["drawing"][0]["job"]
        house.commit(id, *regatta(house.images.put).events)

        def result() -> dict[str, object]:
            return json.loads(alice.get(f"/v1/batches/{batch}/results").text)

        before = result()
        assert (before["picked"], before["changed"]) == ("", before["ended"])
        wanted = alice.put(f"/v1/jobs/{id}/pick", json={"round": 2, "candidate": 1}).json()["picked"]["image"]
        picked = result()
        assert (picked["picked"], picked["image"], picked["met"]) == ("2.1", wanted, before["met"])
        assert picked["changed"] > before["ended"]
        alice.delete(f"/v1/jobs/{id}/pick")
        undone = result()
        assert (undone["picked"], undone["image"]) == ("", before["image"])
        assert undone["changed"] >= picked["changed"]
