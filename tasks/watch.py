"""What the reconciler tells whoever counts what it does: tasks/metrics.py. This one counts nothing."""

from tasks.retention import Swept
from tasks.space import Look


class Watch:
    def passed(self, whole: bool) -> None:
        """A pass; whether all of it could be done."""

    def resent(self, queue: str, hints: int) -> None:
        """Lost hints were sent again."""

    def swept(self, swept: Swept | None) -> None:
        """The nightly gc; None: it broke off."""

    def looked(self, look: Look) -> None:
        """How much room there is."""

    def noticed(self, outcome: str) -> None:
        """A try of a delivery: one of tasks.notices.courier.OUTCOMES."""

    def dead_notices(self, number: int) -> None:
        """So many deliveries were given up and stand so."""


UNWATCHED = Watch()
