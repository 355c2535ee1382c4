"""A night in which dispatchers die at random calls and Redis is wiped: what becomes of each item. See night.py.

Two reconcilers run, each over a ledger and a store that fail for good at a call drawn by chance, before or behind what
the call does. Another one takes the place of one that died. Steps are folded and stored as real ones.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar, cast

from director.loop import advance, begin, next_step
from tasks.batch.batches import Batches
from tasks.batch.dispatch import Dispatcher
from tasks.batch.shelf import Shelf
from tasks.batch.types import BatchStatus
from tasks.entries import next_of, status_of
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import Claim, CommitResult, Hint
from tasks.reconcile import Reconciler
from tasks.store import Archive
from tasks.store.objects import Store
from tasks.store.plain import Item
from tasks.summary import GoalSummary
from tests.perf.growth import reply_to
from tests.perf.stage import MODEL, Stage, stage
from tests.support.nights import Clock, Cycles, Night, SimulatedLedger

if TYPE_CHECKING:
    from redis import Redis

T = TypeVar("T")
Step = tuple[str, int]
DEATHS = 40
_RESTART_S, _LOCK_S, _AUDIT_S = 5, 30, 60


class Died(BaseException):
    """The process ends here."""


@dataclass
class Fate:
    """Of one process: at which of its calls it dies."""

    calls: int

    def __call__(self, call: Callable[[], T]) -> T:
        """Die before the call or, at an odd number, behind it."""
        self.calls -= 1
        if self.calls == 0:
            raise Died
        found = call()
        self.calls -= 1
        if self.calls == 0:
            raise Died
        return found


class MortalStore:
    """A store as one process reaches it."""

    def __init__(self, store: Store, fate: Fate) -> None:
        self._store, self._fate = store, fate

    def get(self, key: str) -> bytes:
        return self._fate(lambda: self._store.get(key))

    def put(self, key: str, data: bytes) -> None:
        self._fate(lambda: self._store.put(key, data))

    def exists(self, key: str) -> bool:
        return self._fate(lambda: self._store.exists(key))

    def list(self, prefix: str, after: str = "") -> list[str]:
        return self._fate(lambda: self._store.list(prefix, after))

    def items(self, prefix: str, after: str = "") -> Iterator[Item]:
        return self._fate(lambda: self._store.items(prefix, after))

    def delete(self, key: str) -> None:
        self._fate(lambda: self._store.delete(key))


class MortalLedger(SimulatedLedger):
    """A ledger as one process reaches it."""

    def __init__(self, redis: "Redis", clock: Clock, fate: Fate) -> None:
        super().__init__(redis, clock)
        self._fate = fate

    def run(self, script: str, *arguments: str | int) -> Any:
        return self._fate(lambda: SimulatedLedger.run(self, script, *arguments))


@dataclass
class Folded(Cycles):
    """Real steps of the loop, stored as a worker stores them; the pictures are hashes of nothing."""

    archive: Archive = field(kw_only=True)

    def commit(self, ledger: Ledger, claim: Claim) -> tuple[CommitResult, Hint | None]:
        job = self.archive.load_job(claim.job)
        before = self.archive.load_snapshot(claim.snapshot).trajectory if claim.snapshot else None
        trajectory = before or begin(job.brief, job.settings, job.seed)
        request = next_step(trajectory)
        assert request, "it has ended"
        after = advance(trajectory, reply_to(request))
        then = next_of(after)
        key = self.archive.save_snapshot(claim.job, claim.n, claim.nonce, claim.snapshot, then, after)
        stop = after.stop.reason.value if after.stop else ""
        result = ledger.commit(
            claim.job, claim.n, claim.nonce, key, then, status_of(after.stop), stop,
            summary=GoalSummary.of(after), sha256=self.archive.sha256_of(key),
        )  # fmt: skip
        return result, then.hint(claim.job, claim.n + 1, "", claim.priority) if then else None


@dataclass
class Machines:
    """Reconcilers that die and are replaced."""

    made: Stage
    dice: Random
    night: Night
    deaths: int = 0
    running: list[Reconciler | None] = field(default_factory=list[Reconciler | None])

    def start(self, place: int) -> None:
        made = self.made
        calls = self.dice.randint(50, 1500) if self.deaths < DEATHS else 10**12
        ledger = MortalLedger(made.redis, made.clock, fate := Fate(calls))
        store = MortalStore(made.store, fate)
        archive = Archive(store)
        batches = Batches(ledger, Shelf(store), archive, made.broker.put)
        dispatcher = Dispatcher(batches, ledger, archive, made.settings, made.broker.put)
        while len(self.running) <= place:
            self.running.append(None)
        self.running[place] = Reconciler(
            ledger, archive, made.settings, made.broker.put, made.broker.length, batches=dispatcher
        )

    def a_pass(self) -> None:
        self.each(lambda machine: machine.once())

    def audit(self) -> None:
        self.each(lambda machine: machine.audit())
        self.night.at(self.made.clock.s + _AUDIT_S, self.audit)

    def each(self, act: Callable[[Reconciler], object]) -> None:
        for place, machine in enumerate(tuple(self.running)):
            if machine:
                try:
                    act(machine)
                except Died:
                    self._bury(place)

    def _bury(self, place: int) -> None:
        """Its locks run out in the server's time, which does not jump: here they end when they would."""
        self.deaths += 1
        self.running[place] = None
        keys = cast("list[str]", self.made.redis.keys(f"{self.made.ledger.prefix}lock:*"))

        def end_locks() -> None:
            if keys:
                self.made.redis.delete(*keys)

        self.night.at(self.made.clock.s + _RESTART_S, lambda: self.start(place))
        self.night.at(self.made.clock.s + _LOCK_S, end_locks)


def deaths(seed: int, items: int) -> dict[str, Any]:
    """Raises AssertionError where an item is lost or doubled."""
    with stage(seed) as made:
        drawn, in_hand, lost = Counter[Step](), set[Step](), set[Step]()
        wiped_at = 0.0

        def begun(claim: Claim) -> None:
            in_hand.add((claim.job, claim.n))
            drawn[claim.job, claim.n] += claim.kind == "render"

        def done(claim: Claim, _: float) -> None:
            in_hand.discard((claim.job, claim.n))

        settings = {"editor": MODEL, "candidates": 1, "rounds": 2, "patience": 2, "gate": "one-shot"}
        batch = made.start("night", items, settings=settings)
        night = made.night(
            4, 4, Folded(seed, archive=Archive(made.store)), begun=begun, done=done, idle_pass_s=2, keep_spans=False
        )
        machines = Machines(made, Random(seed), night)
        night.a_pass = machines.a_pass
        machines.start(0)
        machines.start(1)
        night.at(_AUDIT_S, machines.audit)

        def wipe() -> None:
            nonlocal wiped_at
            wiped_at = made.clock.s
            lost.update(in_hand)
            made.redis.flushdb()
            made.broker.lose_all()
            night.at(made.clock.s + 5, night.announce)

        half = False

        def over() -> bool:
            nonlocal half
            if made.ledger.epoch() is None:
                return False
            standing = made.batches.standing(batch.id)
            assert standing
            if not half and standing.counts.ended >= items // 2:
                half = True
                wipe()
            return standing.status is BatchStatus.ENDED and not made.shelf.live()

        night.run(over)
        results = _counted(made, items)
    again = {step for step, times in drawn.items() if times > 1}
    assert again <= lost, "drawn twice, and no lease had died"
    assert set(night.refused) <= lost, "a lease died that should not"
    return {
        "items": items, "dispatchers_died": machines.deaths, "wiped_at_s": wiped_at, "current_results": results,
        "renders": sum(drawn.values()), "drawn_again": len(again), "leases_lost_in_the_wipe": len(lost),
    }  # fmt: skip


def _counted(made: Stage, items: int) -> int:
    batch = made.batches_made[0]
    standing = made.batches.standing(batch.id)
    assert standing
    assert standing.counts.unmet == standing.total == items, standing
    results = list(made.batches.results(batch))
    assert sorted(result.custom_id for result in results) == sorted(f"a{n}" for n in range(items)), "one each"
    assert {(result.take, result.generation, result.renders) for result in results} == {(0, 0, 2)}
    assert sum(1 for _ in made.batches.results(batch, every=True)) == items, "an item has two results"
    assert not made.archive.live(), "jobs stay marked live"
    assert not made.ledger.jobs().records, "jobs stay in the ledger"
    return len(results)
