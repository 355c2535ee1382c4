"""How uploads are kept from stalling everything else: how many are read at once, and which threads decode them."""

from collections import defaultdict
from collections.abc import Awaitable, Callable

from anyio import CapacityLimiter, Semaphore, to_thread

from api.auth import Caller
from api.schemas import Uploaded
from api.service import Service

OF_ALL, OF_ONE = 8, 4
"""Uploads that are in memory at once, of all owners and of one; the others wait unread."""
DECODERS = 2


class Uploads:
    """Takes uploads in turn. A picture in decoding holds some hundred MB, and a thread that others would need."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._read = Semaphore(OF_ALL)
        self._read_of_one = defaultdict[str, Semaphore](lambda: Semaphore(OF_ONE))  # as many as there are tokens
        self._threads = CapacityLimiter(DECODERS)

    async def take(self, caller: Caller, read: Callable[[], Awaitable[bytes]]) -> Uploaded:
        """Read and store a picture. Raises what `read` and Service.upload raise."""
        async with self._read_of_one[caller.owner], self._read:
            return await to_thread.run_sync(self._service.upload, caller, await read(), limiter=self._threads)
