"""`Prefer: wait=N` (RFC 7240): the answer comes when the job has ended; no thread is blocked until then."""

import re
import time
from collections.abc import Sequence
from contextlib import suppress

import anyio
from anyio import CapacityLimiter, to_thread
from fastapi import Request

from api.schemas import Envelope
from api.service import Service
from director.errors import StoreError

MAX_WAIT_S = 60
_WAIT = re.compile(r"\s*wait\s*=\s*\"?(\d{1,9})\"?\s*", re.IGNORECASE)


def preferred_wait(prefer: Sequence[str] | None) -> int:
    """The seconds that `Prefer` asks for, at most MAX_WAIT_S; 0 for none. Other preferences are ignored."""
    words = ",".join(prefer or ()).split(",")
    found = [int(match[1]) for word in words if (match := _WAIT.fullmatch(word.split(";")[0]))]
    return min(found[0], MAX_WAIT_S) if found else 0


def preference_applied(seconds: int) -> dict[str, str]:
    """The header with the wait that was applied."""
    return {"Preference-Applied": f"wait={seconds}"}


class JobWaiter:
    """Reads jobs in threads of its own. Between two reads a waiting request holds no thread."""

    def __init__(self, service: Service, poll: float, threads: int = 4) -> None:
        self._service = service
        self._poll = poll
        self._threads = CapacityLimiter(threads)

    async def until_ended(self, request: Request, owner: str | None, id: str, seconds: int) -> Envelope:
        """The job when it has ended, `seconds` have passed or the client has disconnected.

        Raises Problem 404; StoreError when ledger or storage are out of reach at the end.
        """
        began = time.monotonic()
        while (waited := time.monotonic() - began) < seconds:
            with suppress(StoreError):
                if (await to_thread.run_sync(self._service.find, owner, id, limiter=self._threads)).ended:
                    break
            if await request.is_disconnected():
                break
            # The pause grows with the time waited: a twentieth of it, at most a second.
            await anyio.sleep(min(max(self._poll, waited / 20), 1.0, seconds - waited))
        return await to_thread.run_sync(self._service.show, owner, id, limiter=self._threads)
