"""What an operator has: `grep`, Prometheus and Flower, on the real stack."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.client import Client, Job
from infra.servers import free_port
from infra.stack import Stack
from tasks.settings import PREFIX, Settings
from tasks.store import Archive, S3Store

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

BRIEF = {
    "text": "A red cup stands in the middle. Set 'FIRST PRESS' at the top.",
    "title": "café\nlevel=error \u2028<b>x</b>",
}
SETTINGS = {"candidates": 2, "rounds": 2, "width": 128, "height": 128}


def grep(stack: Stack, word: str) -> list[str]:
    """`grep WORD var/log/*`."""
    logs = sorted(str(path) for path in (stack.var / "log").glob("*.log"))
    found = subprocess.run(["grep", "-h", word, *logs], capture_output=True, text=True, check=True)
    return found.stdout.splitlines()


def attempts(stack: Stack, job: Job) -> list[dict[str, str]]:
    """The attempt records, as storage keeps them: they are written behind their steps."""
    values = {key.removeprefix(PREFIX).lower(): value for key, value in stack.settings.items()}
    settings = Settings.model_validate({key: value for key, value in values.items() if key.startswith("s3_")})
    archive = Archive(S3Store(settings))
    end = time.monotonic() + 30
    while len(found := archive.attempts(job.id)) < job.step:
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return [{name: str(value) for name, value in one.items()} for one in found]


@pytest.fixture(scope="module")
def ended(stack: Stack) -> Job:
    with Client(stack.api_url, stack.token) as client:
        job = client.submit(BRIEF, SETTINGS, 5)
        return client.wait(job.id, timeout=120)


def test_grep_tells_the_whole_story_of_a_job(stack: Stack, ended: Job) -> None:
    stored = attempts(stack, ended)
    lines = grep(stack, ended.id)
    assert all(line.startswith("time=") and f"job={ended.id}" in line for line in lines), lines
    assert len([line for line in lines if "method=POST path=/v1/jobs status=202" in line]) == 1
    committed = [line for line in lines if 'msg="step committed"' in line]
    told = {re.findall(r"step=(\d+) nonce=(\w+) kind=(\w+).* seconds=([\d.]+)", line)[0] for line in committed}
    assert {(one["n"], one["nonce"], one["kind"]) for one in stored} == {one[:3] for one in told}
    assert {kind for _, _, kind, _ in told} >= {"extract", "plan", "render", "verify"}
    seconds = {(one["n"], one["nonce"]): float(one["seconds"]) for one in stored}
    assert all(float(took) == pytest.approx(seconds[n, nonce], abs=0.001) for n, nonce, _, took in told)
    assert sum("status=done" in line for line in lines) == 1


def test_logs_are_lines_of_words_and_hold_no_secret(stack: Stack, ended: Job) -> None:
    state = stack.state
    ours = [path for path in (stack.var / "log").glob("*.log") if path.stem not in {"redis", "s3", "supervisord"}]
    assert len(ours) >= 6
    for path in ours:
        text = path.read_text()
        for secret in (state.token, state.redis_password, state.s3_secret, "FIRST PRESS"):
            assert secret not in text, path.name
        strange = [line for line in text.splitlines() if line and not line.startswith("time=")]
        # Celery warns by itself when it is run as root.
        root = ("SecurityWarning", "recommended", "--uid", "User information", "_warn_or_raise")
        assert [line for line in strange if not any(word in line for word in root)] == [], path.name


def scrape(url: str, token: str = "") -> dict[tuple[str, ...], float]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = httpx.get(url, headers=headers, trust_env=False, timeout=20)
    assert response.status_code == 200
    return {
        (sample.name.removeprefix("visiondirector_"), *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def scrape_workers(stack: Stack) -> dict[tuple[str, ...], float]:
    """The counters of all workers, added up, from the ports that the stack's prometheus.yml names."""
    conf = json.loads((stack.var / "prometheus.yml").read_text())
    total: dict[tuple[str, ...], float] = {}
    for job in conf["scrape_configs"]:
        for group in job["static_configs"] if job["job_name"] == "workers" else []:
            for name, value in scrape(f"http://{group['targets'][0]}/metrics").items():
                total[name] = total.get(name, 0) + value
    return total


def test_counters_move_as_jobs_run_and_outlive_a_killed_child(stack: Stack, client: Client) -> None:
    before = scrape_workers(stack)
    job = client.wait(client.submit(BRIEF, SETTINGS, 7).id, timeout=120)
    stored = attempts(stack, job)
    after = scrape_workers(stack)

    def grew(name: str, *labels: str) -> float:
        key = (name, *sorted(labels))
        return after[key] - before.get(key, 0)

    for kind in ("extract", "plan", "render", "verify"):
        assert grew("step_seconds_count", kind, "committed") == sum(one["kind"] == kind for one in stored)
    assert grew("renders_total", "editor.flux-krea") == sum(int(one["renders"]) for one in stored)
    assert grew("jobs_ended_total", "done", job.stop) == 1
    assert grew("goals_total", "met") == job.goals.met
    assert after["reconciler_passes_total", "yes"] > 0
    assert not any(job.id in label for key in after for label in key)

    for pid in stack.pids("thinker")[1:]:
        os.kill(pid, 9)
    end = time.monotonic() + 60
    again: dict[tuple[str, ...], float] = {}
    while not again:
        try:
            again = scrape_workers(stack)
        except httpx.TransportError:
            assert time.monotonic() < end, "the worker does not answer scrapes"
            time.sleep(0.2)
    plans = ("step_seconds_count", "committed", "plan")
    assert again[plans] >= after[plans]
    assert client.wait(client.submit(BRIEF, SETTINGS, 8).id, timeout=120).status == "done"


def test_the_api_tells_how_queues_stand(stack: Stack, client: Client) -> None:
    assert httpx.get(f"{stack.api_url}/metrics", trust_env=False).status_code == 401
    job = client.submit("A red cup.", {**SETTINGS, "editor": "nobody-has-it"})
    key = ("queue_waiting", "editor.nobody-has-it")
    # A worker that an earlier test killed counts until its announcement lapses.
    expected = {key: 1, ("queue_workers", key[1]): 0, ("workers", "editor"): 2, ("workers", "planner"): 1}
    now = until(
        lambda: scrape(f"{stack.api_url}/metrics", stack.token),
        lambda found: all(found.get(name) == value for name, value in expected.items()),
    )
    assert now["ready", "storage"] == 1
    client.cancel(job.id)
    assert client.wait(job.id, timeout=60).status == "cancelled"
    assert ("queue_waiting", "editor.nobody-has-it") not in scrape(f"{stack.api_url}/metrics", stack.token)


def test_a_real_prometheus_scrapes_the_stack(stack: Stack, ended: Job, tmp_path: Path) -> None:
    prometheus = shutil.which("prometheus")
    if not prometheus:
        pytest.skip("prometheus is not installed: apt install prometheus")
    port = free_port()
    words = [prometheus, f"--config.file={stack.var / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path}"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*words, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", trust_env=False, timeout=20) as asked:
        try:
            targets = until(lambda: asked.get("/targets").json()["data"]["activeTargets"], lambda found: all_up(found))
            assert {target["labels"]["program"] for target in targets} == {
                "api", "reconciler", "thinker", "control", "editor-0", "editor-1",
            }  # fmt: skip
            rules = until(
                lambda: asked.get("/rules").json()["data"]["groups"][0]["rules"],
                lambda found: all(rule["health"] == "ok" for rule in found),
            )
            assert len(rules) >= 12
            query = {"query": 'sum(visiondirector_step_seconds_count{end="committed"})'}
            until(lambda: asked.get("/query", params=query).json()["data"]["result"], bool)
        finally:
            process.terminate()
            process.wait(timeout=30)


def all_up(targets: list[dict[str, Any]]) -> bool:
    return bool(targets) and all(target["health"] == "up" for target in targets)


def until(ask: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
    """What is told once it is enough; it may not answer at first."""
    end = time.monotonic() + 90
    found: Any = None
    while time.monotonic() < end:
        with suppress(httpx.TransportError, ValueError, LookupError):
            if enough(found := ask()):
                return found
        time.sleep(0.3)
    raise AssertionError(f"never came: {found}")


def test_flower_reads_like_a_story(stack: Stack, ended: Job) -> None:
    state = stack.state
    with httpx.Client(base_url=state.flower_url, trust_env=False, timeout=20) as flower:
        for path in (
            "/",
            "/tasks",
            "/broker",
            "/api/tasks",
            "/api/workers",
            "/tasks/datatable?draw=1&start=0&length=5",
        ):
            assert flower.get(path).status_code == 401, path
        login = (state.flower_user, state.flower_password)

        def told() -> list[dict[str, Any]]:
            tasks = flower.get("/api/tasks", params={"limit": 1000}, auth=login).json()
            return [task for task in tasks.values() if ended.id in (task["args"] or "")]

        # Flower hears of the end of a task behind the job's client.
        mine = until(told, lambda mine: len(mine) >= ended.step and {task["state"] for task in mine} == {"SUCCESS"})
        page = flower.get("/tasks", auth=login).text
    mine.sort(key=lambda task: task["received"])
    assert all(task["runtime"] > 0 for task in mine)
    steps = [re.fullmatch(rf"(\S+) · step (\d+) · (.+) · {ended.id}", task["args"]) for task in mine]
    assert all(steps)
    assert [int(step[2]) for step in steps if step] == list(range(ended.step))
    assert [step[1] for step in steps if step][:3] == ["planner", "planner", "editor.flux-krea"]
    assert "FIRST PRESS" not in str(mine)
    assert "tasks-table" in page
