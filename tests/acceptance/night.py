"""The batch of a storm.

Its upload breaks off and goes on. It is paused while Redis is wiped, and an item that is cancelled meanwhile is brought
back later. Its dispatchers, two of them, die of kill -9. Then each custom_id must have one current result, that of an
undisturbed run, and nothing of the batch may be left where it does not belong.
"""

import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from api.client import ApiError, Batch, BatchResult, Client
from director.state import State
from director.types import Brief, LoopSettings, Rendered
from infra.servers import CHECKOUT
from tasks.batch.shelf import Shelf
from tasks.ledger.ledger import PREFIX, connect
from tests.acceptance.aftermath import Final, Harm
from tests.acceptance.weather import Weather
from tests.support.receivers import Receiver, receiving

BRIEFS = (
    "A red cup stands in the middle. Set the text 'FIRST PRESS' at the top. Soft light comes from the left. "
    "Put a ginger cat at the lower left. Scatter three orange leaves at the bottom. A vignette darkens the edges.",
    "A yellow moon hangs at the upper right. A white house stands at the bottom. Write 'LATE SHOW' at the top. "
    "Put two black birds at the upper left. Keep a palette of navy and cream. Add a faint film grain of 15%.",
    "A large blue bicycle fills the middle. Put a green tree at the right. Set 'RIDE OUT' across the top. "
    "Write 'Sunday 9 am' along the bottom edge. Light falls from the right. Place a red flower at the lower left.",
    "A purple umbrella stands in the middle. Put a yellow star at the upper left. Two white clouds hang at the top. "
    "Set the text 'RAIN CHECK' at the bottom. A soft blur over the background. Keep a palette of grey and purple.",
)
SETTINGS = LoopSettings(candidates=3, rounds=6, width=320, height=320)
KEY = "storm"
SEEDS = (1, 2)
ROUNDS = 2
PRIORITY = 6  # that of single submits, so that both are drawn at the same time
AT_ONCE = 2  # until it goes on: so some items still wait at the pause
_SETTLED_S = 2.0  # between the answer to a pause and a step that was claimed before it
_RECEIVED_S = 1.0  # of what is sent with the last breath, the API's server may throw all away
_LOOK_S = 0.3
_PATIENCE_S = 30.0

Task = tuple[Brief, LoopSettings, int]


def items_of(texts: Sequence[str]) -> dict[str, Task]:
    """What is to be drawn, by custom_id."""
    settings = SETTINGS.model_copy(update={"rounds": ROUNDS})
    return {
        f"n{n}@seed={seed}": (Brief(text=text, title=f"n{n} · seed={seed}"), settings, seed)
        for n, text in enumerate(texts)
        for seed in SEEDS
    }


@dataclass
class Night:
    """`texts` are its briefs, each drawn with every one of SEEDS."""

    weather: Weather
    client: Client
    texts: Sequence[str]
    batch: str = ""
    cancelled: str = ""  # the custom_id of an item
    paused: tuple[float, float] = (0.0, 0.0)  # from when to when, by the clock of the attempt records
    drawn: int = 0  # renders that count
    twice: int = 0  # those of a step that had been committed before
    vain: int = 0  # those that were not committed
    receiver: Receiver = field(default_factory=lambda: Receiver(""))
    _second: "subprocess.Popen[bytes] | None" = None
    _kept: ExitStack = field(default_factory=ExitStack)

    # --- what happens to it -----------------------------------------------------------------------

    def listen(self) -> None:
        """Somebody wants to be told, and is busy or away now and then."""
        self.receiver = self._kept.enter_context(receiving())
        answers = itertools.cycle([(500, {}), (204, {}), (429, {"Retry-After": "1"}), (204, {})])
        self.receiver.answer = lambda: next(answers)
        self.receiver.secret = self.client.add_hook(self.receiver.url).secret or ""

    def submit(self) -> None:
        """Half of the lines come, then the sender is gone; then all are sent again, and the upload goes on."""
        header = {
            "title": "a night", "priority": PRIORITY, "max_in_flight": AT_ONCE, "matrix": {"seed": list(SEEDS)},
            "settings": SETTINGS.model_copy(update={"rounds": ROUNDS}).model_dump(mode="json", exclude_defaults=True),
        }  # fmt: skip
        lines = [
            json.dumps({"custom_id": f"n{n}", "brief": text}).encode() + b"\n" for n, text in enumerate(self.texts)
        ]
        self._break_off([json.dumps({"batch": header}, separators=(",", ":")).encode() + b"\n", *lines])
        self._happened("an upload broke off")
        self.batch = self.client.submit_batch(lines, header, KEY).id
        if not self.client.submit_batch(lines, header, KEY).repeated:
            self._complain(Harm.WRONG, KEY, "the same batch sent again was another batch")

    def _break_off(self, lines: list[bytes]) -> None:
        def half() -> Iterator[bytes]:
            yield b"".join(lines[: len(lines) // 2 + 1])
            yield lines[-1][:9]
            time.sleep(_RECEIVED_S)
            raise BrokenPipeError

        stack = self.weather.stack
        headers = {"Authorization": f"Bearer {stack.token}", "Idempotency-Key": KEY}
        with httpx.Client(base_url=stack.api_url, headers=headers, timeout=60, trust_env=False) as sender:
            with suppress(BrokenPipeError):
                sender.post("/v1/batches", content=half(), headers={"Content-Type": "application/x-ndjson"})
            end = time.monotonic() + _PATIENCE_S
            while not sender.get(f"/v1/batches/uploads/{KEY}").is_success:
                if time.monotonic() > end:
                    self._complain(Harm.LOST, KEY, "nothing was kept of the upload that broke off")
                    return
                time.sleep(0.1)

    def second_dispatcher(self) -> None:
        """One more reconciler beside that of the stack."""
        stack = self.weather.stack
        log = self._kept.enter_context((stack.var / "log" / "second-reconciler.log").open("ab"))
        command = [sys.executable, "-m", "worker.cli", "reconcile"]
        environment = {**os.environ, **stack.settings}
        self._second = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=log, stderr=log)

    def stop(self) -> None:
        self._kill_second()
        self._kept.close()

    def _kill_second(self) -> None:
        if self._second:
            self._second.kill()
            self._second.wait()

    def kill_dispatchers(self) -> None:
        self._happened("kill -9 of both dispatchers")
        with suppress(ProcessLookupError):
            self.weather.stack.kill("reconciler")
        self._kill_second()
        self.second_dispatcher()

    def pause_and_wipe(self) -> None:
        """It must be paused when the ledger is back."""
        end = time.monotonic() + _PATIENCE_S
        while not self._shown().counts.running and time.monotonic() < end:
            time.sleep(_LOOK_S)
        counts = self._shown().counts
        if not counts.running or not counts.waiting:
            self._complain(Harm.WRONG, self.batch, f"is no batch to pause: {counts}")
        self.cancelled = next((item.custom_id for item in self.client.batch_items(self.batch, "waiting")), "")
        self._happened("the batch was paused")
        self.client.pause_batch(self.batch)
        self.paused = time.time() + _SETTLED_S, 0.0
        if self.cancelled:
            self.client.cancel_batch(self.batch, [self.cancelled])
        self.weather.wipe()

    def resume(self) -> None:
        self._happened("the batch went on, with the cancelled item")
        if (status := self._shown().status) != "paused":
            self._complain(Harm.WRONG, self.batch, f"was paused before the wipe, and is {status}")
        self.paused = self.paused[0], time.time()
        if self.cancelled:
            self.client.retry_batch(self.batch, ["cancelled"], [self.cancelled])
        self.client.patch_batch(self.batch, max_in_flight=0)
        self.client.resume_batch(self.batch)

    def _shown(self) -> Batch:
        end = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self.client.batch(self.batch)
            except ApiError:
                if time.monotonic() > end:
                    raise
                time.sleep(_LOOK_S)

    # --- what came of it --------------------------------------------------------------------------

    def _examine_notices(self) -> None:
        """Every transition was told, under one id, and signed."""
        end = time.monotonic() + _PATIENCE_S
        wanted = {"batch.started", "batch.half", "batch.ended"}
        while not wanted <= {*self.receiver.types()} and time.monotonic() < end:
            time.sleep(_LOOK_S)
        ids: dict[str, set[str]] = {}
        for notice in self.receiver.notices:
            ids.setdefault(notice.type, set()).add(notice.id)
            if not notice.verified:
                self._complain(Harm.WRONG, notice.id, "is a notice whose signature is wrong")
        if missing := wanted - ids.keys():
            self._complain(Harm.LOST, self.batch, f"nobody was told: {sorted(missing)}")
        if any(len(ids.get(event, ())) > 1 for event in ("batch.started", "batch.half")):
            self._complain(Harm.WRONG, self.batch, f"one transition has several ids: {ids}")

    def until_ended(self, end: float) -> None:
        while (batch := self._shown()).ended_at is None and time.monotonic() < end:
            time.sleep(_LOOK_S)
        if batch.ended_at is None:
            self._complain(Harm.STUCK, self.batch, f"has not ended: {batch.counts}, {batch.waits}")

    def examine(self, finals: Mapping[str, Final], most_repeats: int) -> None:
        """Complain of all that is not as it must be. A render may be repeated so often: leases died, and the ledger was
        set back.
        """
        results = list(self.client.batch_results(self.batch))
        names = Counter(result.custom_id for result in results)
        if names != Counter(finals.keys()):
            self._complain(Harm.LOST, self.batch, f"the current results are of {dict(names)}")
        batch, told = self._shown(), Counter(result.status for result in results)
        counts = {name: count for name, count in batch.counts.model_dump().items() if count}
        if counts != told or batch.total != len(finals):
            self._complain(Harm.WRONG, self.batch, f"counts {counts} of {batch.total}, and has the results {told}")
        for result in results:
            self._examine_item(result, finals[result.custom_id])
        if self.twice + self.vain > most_repeats:
            self._complain(Harm.WRONG, self.batch, f"drew more than it had to: {self.told()}")
        self._examine_notices()
        self._examine_marks({result.job or "" for result in results})

    def told(self) -> str:
        return f"a batch with {self.drawn} renders, {self.twice} of them for a second time, and {self.vain} in vain"

    def _examine_item(self, result: BatchResult, wanted: Final) -> None:
        archive, name = self.weather.archive, result.custom_id
        key = archive.latest(result.job or "")
        if key is None:
            self._complain(Harm.LOST, name, f"{result.status} without a snapshot: {result.error}")
            return
        done = archive.chain(result.job or "", key)[-1].trajectory
        text, picture = wanted
        if done.model_dump_json() != text:
            self._complain(Harm.WRONG, name, "ended with another trajectory than undisturbed")
        final = State.of(done).deliverable
        if result.image != final or (final and self.weather.images.get(final) != picture):
            self._complain(Harm.WRONG, name, "ended with another picture than undisturbed")
        tries = [each for each in archive.attempts(result.job or "") if each["kind"] == "render"]
        self._examine_tries(name, tries, sum(isinstance(event, Rendered) for event in done.events))

    def _examine_tries(self, name: str, tries: Sequence[Mapping[str, Any]], renders: int) -> None:
        """A render is repeated only when its lease died, which its attempt records tell."""
        begin, end = self.paused
        if any(begin < each["started"] < end for each in tries):
            self._complain(Harm.WRONG, name, "was drawn while its batch was paused")
        committed = sum(bool(each["committed"]) for each in tries)
        self.drawn += committed
        self.twice += max(0, committed - renders)
        self.vain += len(tries) - committed

    def _examine_marks(self, jobs: set[str]) -> None:
        """What storage and ledger hold of work in flight."""
        if marked := jobs & set(self.weather.archive.live()):
            self._complain(Harm.STUCK, self.batch, f"{len(marked)} of its jobs are marked live")
        if self.batch in Shelf(self.weather.store).live():
            self._complain(Harm.STUCK, self.batch, "is marked live")
        ledger = {"admitting", "unreported", "closing", f"children:{self.batch}", f"parked:{self.batch}"}
        with closing(connect(self.weather.settings.ledger_url)) as redis:
            left = [name for name in ledger if redis.exists(PREFIX + name)] + [
                f"{name}={value}" for name in ("picks", "flying") for value in redis.hvals(PREFIX + name) if int(value)
            ]
            left += [str(key) for key in redis.scan_iter(f"{PREFIX}lane*")]
        if left:
            self._complain(Harm.STUCK, self.batch, f"the ledger holds {left} of it")

    def _happened(self, what: str) -> None:
        self.weather.comes(what, self.batch or KEY)

    def _complain(self, harm: Harm, name: str, what: str) -> None:
        self.weather.report.complain(harm, name, what)
