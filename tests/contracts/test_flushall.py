"""A literal FLUSHALL of a real Redis in the middle of a night: no budget is passed by more than what was in flight."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from infra.servers import redis_server
from tasks.batch.terms import Budget, OwnerTerms
from tasks.batch.types import Batch
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import Refusal
from tasks.reconcile import Reconciler
from tests.contracts.test_terms import DEEP, UNMET
from tests.support.batches import BatchRig
from tests.support.ledgers import LIMITS, LedgerRig, patient

LIMIT, IN_FLIGHT = 30, 4
"""Of renders; and jobs that one editor has in flight at most, each with one picture a step."""


class Flushed(LedgerRig):
    def wipe(self) -> None:
        self.redis.flushall()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own: others lose nothing."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
def night(url: str, tmp_path: Path) -> Iterator[BatchRig]:
    redis = patient(url)
    redis.flushall()
    with Ledger(redis, LIMITS) as ledger:
        made = BatchRig(Flushed(ledger, redis), tmp_path / "objects")
        made.outcomes.update(UNMET)
        yield made


def begun(night: BatchRig, whose: str) -> Batch:
    """A batch that has a budget itself, or whose owner has."""
    if whose == "owner":
        owners = {"alice": OwnerTerms(budget=Budget(renders=LIMIT))}
        night.settings = night.settings.model_copy(update={"owners": owners})
        night.reconciler = night.another()
    night.passes()
    night.serve()
    terms = {"budget": {"renders": LIMIT}} if whose == "batch" else {}
    return night.start(items=40, settings=DEEP, terms=terms)


def flushed(night: BatchRig) -> Reconciler:
    """After it, with a new reconciler that has rebuilt the ledger and done nothing else."""
    night.rig.wipe()
    night.hints.clear()
    night.reconciler = night.another()
    assert night.reconciler.rebuild()
    night.serve()
    return night.reconciler


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("whose", ["batch", "owner"])
def test_no_flushall_lets_a_budget_be_passed(night: BatchRig, whose: str, seed: int) -> None:
    """What an owner used is stored by each pass: what was drawn since the last one before a FLUSHALL is not known."""
    dice = Random(seed)
    begun(night, whose)
    flushes = unknown = 0
    for _ in range(40):
        night.passes()
        before = len(night.drawn)
        night.work(dice.randint(0, 6))
        night.rig.advance(6_000)
        if dice.random() < 0.2:
            unknown += len(night.drawn) - before if whose == "owner" else 0
            flushed(night)
            flushes += 1
    assert flushes >= 3
    assert 0.9 * LIMIT <= len(night.drawn) <= LIMIT + IN_FLIGHT + unknown


def test_nothing_is_admitted_and_no_step_begins_until_the_spend_is_known(night: BatchRig) -> None:
    batch = begun(night, "batch")
    night.passes()
    night.work(12)
    drawn = len(night.drawn)
    reconciler = flushed(night)
    in_flight = night.standing(batch).counts.running
    for _ in range(3):
        for part in night.dispatcher.parts():
            part()
        night.work()
        night.rig.advance(6_000)
    children = night.batches.ledger.children(batch.id, 0, 100)[0]
    assert {night.ledger.claim(child.job, child.step, "w") for child in children} == {Refusal.PARKED}
    assert (len(night.drawn), night.standing(batch).counts.running) == (drawn, in_flight)
    reconciler.restore_costs()
    assert night.standing(batch).spent.renders == drawn > 0
    for _ in range(20):
        night.passes()
        night.work()
        night.rig.advance(6_000)
    assert drawn < len(night.drawn) <= LIMIT + IN_FLIGHT


def test_an_owners_spend_is_known_before_the_ledger_serves(night: BatchRig) -> None:
    begun(night, "owner")
    for _ in range(30):
        night.passes()
        night.work()
        night.rig.advance(6_000)
    drawn = len(night.drawn)
    assert drawn >= 0.9 * LIMIT
    flushed(night)
    spent = night.batches.terms.spent_by("alice").spent
    assert spent.renders == drawn
    for _ in range(5):
        night.passes()
        night.work()
        night.rig.advance(6_000)
    assert len(night.drawn) == drawn
