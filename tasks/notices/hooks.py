"""What an owner does with hooks: add and remove them, change a secret, try one, bring back what was given up."""

import secrets
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from director.errors import BriefError
from tasks.ledger.ledger import Ledger
from tasks.ledger.locks import PATIENCE_S, alone
from tasks.notices.post import Outcome, Poster
from tasks.notices.shelf import NoticeShelf
from tasks.notices.signing import new_key
from tasks.notices.types import MAX_HOOKS, Event, Hook, Secret, Untold, notice_of
from tasks.store import NotFound

OLD_SECRET_S = 86_400.0
"""A secret that was replaced signs so long beside the new one."""
_SOME = 500  # notices a call
_OLD_SECRETS = 4  # sign at once at most: each makes the header of a notice longer


@dataclass(frozen=True)
class Hooks:
    """Raises StoreError when storage or ledger are out of reach, and Busy when a hook is being changed for so long."""

    ledger: Ledger
    shelf: NoticeShelf
    poster: Poster
    patience_s: float = PATIENCE_S

    def add(self, owner: str, url: str, events: Sequence[Event]) -> Hook:
        """Raises BriefError for an address that can't be used, or when the owner has too many."""
        if len(self.shelf.hooks(owner)) >= MAX_HOOKS:
            raise BriefError(f"{MAX_HOOKS} hooks are as many as an owner may have", "remove one", "hooks")
        self.poster.check(url)
        hook = Hook(
            id=secrets.token_hex(8), owner=owner, url=url, events=tuple(dict.fromkeys(events)),
            secrets=(Secret(key=new_key()),), created=round(time.time(), 3),
        )  # fmt: skip
        self.shelf.put_hook(hook)
        self._note(owner)
        return hook

    def remove(self, hook: Hook) -> None:
        with changing(self.ledger, hook, self.patience_s):
            self.shelf.delete_hook(hook)
        self._note(hook.owner)

    def rotate(self, hook: Hook) -> Hook:
        """Give it another secret; the one that it replaces signs for a day more. Raises NotFound if it was removed."""
        with changing(self.ledger, hook, self.patience_s):
            now = self.shelf.find_hook(hook.owner, hook.id)
            if now is None:
                raise NotFound("this hook was removed")
            until = round(time.time() + OLD_SECRET_S, 3)
            old = tuple(
                secret if secret.until else secret.model_copy(update={"until": until})
                for secret in now.secrets
                if secret.until is None or secret.until > time.time()
            )
            changed = now.model_copy(update={"secrets": (Secret(key=new_key()), *old[:_OLD_SECRETS])})
            self.shelf.put_hook(changed)
        return changed

    def test(self, hook: Hook) -> Outcome:
        """Send something now, once, and give what came of it."""
        now = time.time()
        notice = notice_of(hook.owner, hook.id, Event.TEST, str(now), now, {"id": hook.id, "title": "VisionDirector"})
        return self.poster.send(hook, notice)

    def replay(self, hook: Hook) -> int:
        """Let what waits and what was given up be tried now, and switch it on again if it was off; how many notices."""
        if hook.off:
            switch(self.ledger, self.shelf, hook, off="", patience_s=self.patience_s)
            self._note(hook.owner)
        for notice in self.shelf.dead(hook.id):
            self.shelf.bring_back(hook.id, notice)
        waiting = [f"{hook.id}|{notice}" for notice in self.shelf.waiting(hook.id)]
        for first in range(0, len(waiting), _SOME):
            self.ledger.run("hurry", *waiting[first : first + _SOME])
        return len(waiting)

    def untold(self, hook: Hook) -> Untold:
        """What waits for it, and what was given up."""
        waiting, dead = self.shelf.waiting(hook.id), self.shelf.dead(hook.id)
        if not waiting and not dead:
            return Untold(waiting=0, dead=0)
        due, tried, last = list[float](), len(dead), ""
        for first in range(0, len(waiting) or 1, _SOME):  # once for the last failure where none waits
            next_ms, failed, last = self.ledger.run("untold", hook.id, *waiting[first : first + _SOME])
            due += [float(next_ms) / 1000] if next_ms else []
            tried += int(failed)
        at_ms, _, error = str(last).partition("|") if tried else ("", "", "")
        return Untold(
            waiting=len(waiting), dead=len(dead), next_try=min(due, default=None), error=error,
            failed=float(at_ms) / 1000 if at_ms else None,
        )  # fmt: skip

    def _note(self, owner: str) -> None:
        """Tell the ledger whether somebody wants to hear of each job."""
        wanted = any(Event.JOB_ENDED in hook.events and not hook.off for hook in self.shelf.hooks(owner))
        self.ledger.run("hooked", int(wanted), owner)


def switch(ledger: Ledger, shelf: NoticeShelf, hook: Hook, off: str, patience_s: float = PATIENCE_S) -> None:
    """Switch it off, and say why, or on (""). Its owner may have removed it meanwhile, or changed its secret."""
    with changing(ledger, hook, patience_s):
        if (now := shelf.find_hook(hook.owner, hook.id)) and now.off != off:
            shelf.put_hook(now.model_copy(update={"off": off}))


def changing(ledger: Ledger, hook: Hook, patience_s: float) -> AbstractContextManager[None]:
    """Nobody else changes the hook meanwhile: what is written then is what was read, changed."""
    return alone(ledger, f"hook:{hook.id}", patience_s)
