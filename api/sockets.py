"""Limits at the socket that uvicorn lacks: a deadline for each request, and a number of connections.

uvicorn waits for ever for the rest of a request (github.com/Kludex/uvicorn/issues/157), and accepts connections until
the process has no descriptor left, not even for storage and ledger.
"""

import asyncio
import resource
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

BACKLOG = 64
"""Connections that are accepted at a time, before any is looked at; more wait in the kernel. Without a descriptor for
them asyncio writes as many lines to the log."""
_OWN = 192  # descriptors, for what was accepted and not looked at, and for storage, ledger, broker and logs


class BoundedProtocol(H11Protocol):
    """A connection that is closed if its request does not come in time, or if it is the slowest of too many."""

    headers_s: ClassVar[float] = 10.0
    body_s: ClassVar[float] = 300.0
    most: ClassVar[int] = 10_000

    _deadline: asyncio.TimerHandle | None = None
    _awaited: type | None = None  # what the client does now, as h11 has it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # pyright: ignore[reportArgumentType]
        self._set_deadline()
        if len(self.connections) > self._room():
            self._make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._drop_deadline()

    def _set_deadline(self) -> None:
        """When the client begins to send headers or a body. Between two requests uvicorn's own timeout holds."""
        state = self.conn.their_state
        if state is self._awaited:
            return
        self._drop_deadline()
        self._awaited = state
        if state in (h11.IDLE, h11.SEND_BODY):
            seconds = self.headers_s if state is h11.IDLE else self.body_s
            self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _drop_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _room(self) -> int:
        """Connections that this process has descriptors for."""
        return min(self.most, max(16, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OWN))

    def _make_room(self) -> None:
        """Close the connection whose request is due first; this one, if all others have sent theirs."""
        others = (each for each in self.connections if isinstance(each, BoundedProtocol))
        live = [each for each in others if not each.transport.is_closing()]
        if len(live) > self._room():
            waiting = (each for each in live if each._deadline)
            min(waiting, key=BoundedProtocol._due, default=self).transport.abort()

    def _due(self) -> float:
        return self._deadline.when() if self._deadline else 0.0
