"""A batch that has been drawn, in the API in process: its pictures are as tests/support/gallery.py makes them."""

import json
from dataclasses import dataclass

import httpx

from director.types import Event, Stopped, StopReason, Trajectory
from tests.support.api import House
from tests.support.gallery import regatta

EDITOR = "sketch"


@dataclass
class Morning:
    """`jobs` are the ids of the items' jobs, by custom_id."""

    batch: str
    jobs: dict[str, str]


def drawn(house: House, client: httpx.Client, *names: str, rounds: int = 2, title: str = "night") -> Morning:
    """A batch of these items, each with its job, which has ended. The first of them met every goal."""
    house.ledger.announce("editor@test", [f"editor.{EDITOR}"], 3_600_000)
    header = {"batch": {"title": title, "settings": {"editor": EDITOR, "width": 512, "height": 640}}}
    lines = [header, *({"custom_id": name, "brief": {"text": "A harbour", "title": f"{name} title"}} for name in names)]
    body = "".join(json.dumps(line) + "\n" for line in lines)
    batch = client.post("/v1/batches", content=body.encode()).json()["id"]
    dispatcher, jobs = house.dispatcher(), dict[str, str]()
    while len(jobs) < len(names):
        dispatcher.admit()
        for each in client.get(f"/v1/batches/{batch}").json()["drawing"]:
            jobs[each["custom_id"]] = each["job"]
            house.commit(each["job"], *ended(house, rounds, satisfied=each["custom_id"] == names[0]))
        dispatcher.report()
    dispatcher.close()
    return Morning(batch, jobs)


def ended(house: House, rounds: int, satisfied: bool) -> tuple[Event, ...]:
    made: Trajectory = regatta(house.images.put, rounds=rounds)
    last = Stopped(reason=StopReason.SATISFIED, why="enough is met") if satisfied else made.events[-1]
    return (*made.events[:-1], last)
