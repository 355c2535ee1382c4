"""Alert rules and dashboard: every metric and label that they name is really exported, and promtool agrees."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from api.metrics import LedgerCollector, RequestMetrics
from api.night_metrics import NightCollector
from director.errors import Actor
from infra.servers import CHECKOUT
from tasks.ledger.types import Claim
from tasks.metrics import ReconcilerMeter, StepMeter, WorkerMemory
from tasks.settings import MAX_STEP_S
from tests.support.ledgers import entry, in_process

PROMETHEUS = CHECKOUT / "infra" / "prometheus"
DASHBOARD = CHECKOUT / "infra" / "grafana" / "dashboards" / "visiondirector.json"
FROM_PROMETHEUS = {"instance", "job", "program", "le", "alertstate"}


def exported() -> dict[str, set[str]]:
    """The labels of each series that some process exports, its histograms' parts by name."""
    registry = CollectorRegistry()
    StepMeter(registry, MAX_STEP_S)
    ReconcilerMeter(registry)
    registry.register(RequestMetrics().seconds)
    registry.register(WorkerMemory())
    ledger = in_process().ledger
    ledger.announce("thinker@host", ["planner"], 1_000_000)
    ledger.quarantine("editor-0@host", "a fan is loud")
    assert ledger.lock_rebuild("me", 60_000)
    ledger.open_epoch("me")
    ledger.create(entry())
    claim = ledger.claim("job-1", 0, "thinker@host")
    assert isinstance(claim, Claim)
    ledger.fail("job-1", 0, claim.nonce, '{"resource": "http://vlm/v1"}', Actor.OUTAGE, "thinker@host")
    registry.register(LedgerCollector(ledger, {"ledger": lambda: True}))
    rule = {"opens": "0-0", "limit_renders": "10"}
    ledger.run("rules", json.dumps({"owner:alice": rule, "model:flux-krea": rule}))
    batch = ("create", "", "batch-1", "alice", "night", "[]", 5, 1000, '[["flux-krea", 0, 1]]', 1, 0, "1", "open")
    ledger.run("add_batch", *batch, 0, 0, 0, 0, "", "", "{}", "[]", "[]", "limit_renders", 10)
    registry.register(NightCollector(ledger, lambda: 1.0))
    found: dict[str, set[str]] = {}
    for name, collector in [(n, c) for c, names in registry._collector_to_names.items() for n in names]:
        found.setdefault(name, set()).update(getattr(collector, "_labelnames", ()))
    for family in registry.collect():
        labels = {label for sample in family.samples for label in sample.labels}
        for suffix in ("", "_total") if family.type == "counter" else ("", "_bucket", "_sum", "_count"):
            found.setdefault(family.name + suffix, set()).update(labels)
    return found


def alerts() -> list[str]:
    text = (PROMETHEUS / "alerts.yml").read_text()
    return re.findall(r"^ +expr: (?:>-\n)?(.*?)\n +(?:for|labels):", text, re.M | re.S)


def panels() -> list[dict[str, Any]]:
    return json.loads(DASHBOARD.read_text())["panels"]


def expressions() -> Iterable[str]:
    yield from alerts()
    for panel in panels():
        for target in panel.get("targets", ()):
            yield target["expr"]


def test_every_alert_and_panel_is_looked_at() -> None:
    assert len(alerts()) == (PROMETHEUS / "alerts.yml").read_text().count("- alert:") >= 12
    assert sum(len(panel.get("targets", ())) for panel in panels()) >= 25


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_what_is_asked_for_is_exported(expression: str) -> None:
    known = exported()
    names = set(re.findall(r"\bvisiondirector_\w+", expression))
    assert names or "up{" in expression or "ALERTS{" in expression
    assert names <= known.keys(), names - known.keys()
    labels = {label for name in names for label in known[name]} | FROM_PROMETHEUS
    asked = {word.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for word in group.split(",")}
    asked |= set(re.findall(r"[{,]\s*(\w+)=", expression))
    assert asked <= labels, asked - labels


def test_panels_have_their_own_place() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    "command", ["check rules alerts.yml", "test rules alerts.test.yml", "check config --syntax-only prometheus.yml"]
)
def test_promtool_agrees(command: str) -> None:
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed: apt install prometheus")
    words = [promtool, *command.split()]
    run = subprocess.run(words, cwd=PROMETHEUS, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_each_alert_is_tested_and_has_its_page_for_people() -> None:
    names = re.findall(r"- alert: (\w+)", (PROMETHEUS / "alerts.yml").read_text())
    tests = (PROMETHEUS / "alerts.test.yml").read_text()
    page = (CHECKOUT / "docs" / "operations.md").read_text()
    for name in names:
        fires = rf"alertname: {name}\n +exp_alerts:\n +- exp_labels"
        assert re.search(fires, tests), f"no test sees {name} fire"
        assert f"### {name}\n" in page, f"docs/operations.md does not say what to do on {name}"
