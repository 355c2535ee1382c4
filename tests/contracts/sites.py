"""A reconciler whose messages are counted: what it sends lies in a queue until a test takes it."""

from collections import Counter
from dataclasses import dataclass, field

from director.errors import StoreError
from tasks.ledger.types import Hint
from tasks.reconcile import Reconciler
from tasks.settings import Settings
from tasks.store import Archive
from tests.support.ledgers import LedgerRig


@dataclass
class Broker:
    """Messages by queue, in the order of sending."""

    sent: list[Hint] = field(default_factory=list[Hint])
    away: bool = False

    def send(self, hint: Hint) -> None:
        self.check()
        self.sent.append(hint)

    def length(self, queue: str) -> int:
        self.check()
        return Counter(hint.queue for hint in self.sent)[queue]

    def check(self) -> None:
        if self.away:
            raise StoreError("the broker is away")

    def take(self) -> list[str]:
        """All messages, as a worker that fetches them."""
        jobs = [hint.job for hint in self.sent]
        self.sent.clear()
        return jobs


@dataclass
class Site:
    """A ledger, an archive, a broker and the reconciler that keeps them in agreement."""

    rig: LedgerRig
    archive: Archive
    broker: Broker = field(default_factory=Broker)

    def __post_init__(self) -> None:
        self.ledger = self.rig.ledger
        self.reconciler = self.another()

    def another(self) -> Reconciler:
        """A second reconciler, as a second machine runs."""
        return Reconciler(
            self.ledger,
            self.archive,
            Settings(host="test", hint_age_s=3, keep_ended_s=100),
            send=self.broker.send,
            queue_length=self.broker.length,
        )

    def wait(self) -> None:
        """Until hints are old, and leases dead."""
        self.rig.advance(10_001)
