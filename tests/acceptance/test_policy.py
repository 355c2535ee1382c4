"""A job whose rounds a trained policy's file chooses: through the queue as in one process, byte for byte."""

from pathlib import Path

import pytest

from api.client import Client
from director.types import Chosen, Trajectory
from infra.stack import Stack
from tasks.settings import load_settings
from worker.cli import main
from worker.policy.network import dumped, initial
from worker.profiles import Machine, WorkerGroup, load_profile

TEXT = "A red kite on the left. A blue car on the right. The text 'SALE' at the top. Soft light comes from the left."
LOOP: dict[str, object] = {"decide": "planner", "width": 128, "height": 128, "rounds": 4}
SEED = 11


@pytest.mark.timeout(600)
def test_a_policy_chooses_alike_through_the_queue_and_in_one_process(tmp_path: Path) -> None:
    (tmp_path / "planner.policy").write_bytes(dumped(initial(7), {"trained": "not at all"}))
    sketch = load_profile("sketch", load_settings()).profile
    everyone = WorkerGroup(name="everyone", seats=("planner", "judge", "verifier", "control", "editor"))
    boxes = {"here": Machine(memory=4, workers=(everyone,))}
    shape = sketch.model_copy(update={"policy": str(tmp_path / "planner.policy"), "boxes": boxes})
    profile = tmp_path / "profile.json"
    profile.write_text(shape.model_dump_json(exclude_defaults=True))
    alone = _direct(tmp_path, profile)
    with (
        Stack(tmp_path / "var", flower=False, profile=str(profile)) as stack,
        Client(stack.api_url, stack.token) as client,
    ):
        job = client.submit({"text": TEXT}, dict(LOOP), SEED)
        done = client.wait(job.id, timeout=400)
        queued = Trajectory.model_validate(client.trajectory(job.id))
        picture = client.image(job.id)
    assert done.status == "done", done
    assert queued.model_dump_json() == alone.model_dump_json()
    assert picture == (tmp_path / "out" / "final.png").read_bytes()
    choices = [event for event in queued.events if isinstance(event, Chosen)]
    assert len(choices) > 1
    assert all(choice.by.startswith("policy:") for choice in choices)
    assert any(choice.number for choice in choices)


def _direct(folder: Path, profile: Path) -> Trajectory:
    (folder / "brief.txt").write_text(TEXT, encoding="utf-8")
    chosen = [word for name, value in LOOP.items() for word in ("--set", f"{name}={value}")]
    command = ["direct", str(folder / "brief.txt"), "--profile", str(profile), "--seed", str(SEED), *chosen]
    assert main([*command, "-o", str(folder / "out")]) == 0
    return Trajectory.model_validate_json((folder / "out" / "trajectory.json").read_bytes())
