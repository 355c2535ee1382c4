"""What grows with the items of a batch: `python -m tests.perf.batches [ITEMS]`.

The API is the real process, over a Redis and an S3 server of their own. Orders of all items, the results of items that
were cancelled before their turn, and how long a rebuild takes to recall a batch all of whose items have ended. CPU time
is of the API's process and of Redis, and does not depend on what else the machine does.
"""

import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from director.types import Brief
from tasks.batch.batches import Batches
from tasks.batch.recall import recall
from tasks.batch.shelf import NAMES, Shelf, shard_of
from tasks.batch.types import PART, Batch, Item, ItemStatus, Result, Span, batch_id, child_id
from tasks.ledger.ledger import Ledger, connect
from tasks.settings import Settings
from tasks.store import Archive, FolderStore, S3Store
from tasks.summary import Cost
from tests.perf.__main__ import reconciling, servers
from tests.perf.door import OWNER, TOKEN, serving

ITEMS = 200_000
IN_A_PART = 200  # results: as many as a dispatcher stores at once
TEXT = "A harbour poster at dusk: a lighthouse, three boats, warm windows. The sign says 'HARBOUR'. " * 4


def main() -> int:
    items = int(sys.argv[1]) if len(sys.argv) > 1 else ITEMS
    with tempfile.TemporaryDirectory() as name:
        shelf = Shelf(FolderStore(Path(name) / "s3" / "objects" / "visiondirector"))
        waiting, ended = batch_of("waits", items), batch_of("ended", items)
        store_items(shelf, waiting)
        store_results(shelf, ended)
        with servers(Path(name)) as settings:
            recalled(settings, ended)
            with reconciling(), serving() as (url, process):
                ordered(settings, url, process, waiting)
    return 0


def batch_of(key: str, items: int) -> Batch:
    span = Span(model="editor", folder=0, first=0, lines=items)
    return Batch(id=batch_id(OWNER, key), owner=OWNER, title=key, spans=(span,), created=time.time())


def store_items(shelf: Shelf, batch: Batch) -> None:
    """As an upload does."""
    shards: dict[int, list[tuple[str, int, int]]] = {}
    for first in range(0, batch.lines, PART):
        rows = range(first, min(first + PART, batch.lines))
        items = [Item(custom_id=name_of(n), line=n + 1, brief=Brief(text=TEXT, title=f"poster {n}")) for n in rows]
        shelf.put_part(batch.id, 0, first // PART, items)
        for n in rows:
            shards.setdefault(shard_of(name_of(n), batch.lines), []).append((name_of(n), 0, n))
    for shard, names in shards.items():
        shelf.put_names(batch.id, shard, names)
    assert len(shards) == max(1, batch.lines // NAMES)


def store_results(shelf: Shelf, batch: Batch) -> None:
    shelf.put_batch(batch)
    cost = Cost(
        ms=90_000, gpu_ms=60_000, renders=4, vlm_calls=8, prompt_tokens=9_000, completion_tokens=700, attempts=9
    )
    for first in range(0, batch.total, IN_A_PART):
        results = [
            Result(
                batch=batch.id, index=n, custom_id=name_of(n), job=child_id(batch.id, n, 0), title=f"poster {n}",
                status=ItemStatus.UNMET if n % 5 == 0 else ItemStatus.DONE, stop="satisfied", met=5, total=5,
                coverage=1.0, rounds=2, renders=4, image=f"{n:064x}", cost=cost, created=batch.created + n,
                ended=batch.created + n + 90.0,
            )
            for n in range(first, min(first + IN_A_PART, batch.total))
        ]  # fmt: skip
        shelf.put_results(batch.id, f"{first:016x}", results)


def name_of(n: int) -> str:
    return f"poster-{n:07d}"


def recalled(settings: Settings, batch: Batch) -> None:
    shelf = Shelf(S3Store(settings))
    seen = [psutil.Process().memory_info().rss]

    def keep() -> None:
        seen.append(psutil.Process().memory_info().rss)

    cpu, began = time.process_time(), time.perf_counter()
    found = recall(shelf, batch)
    cpu, seconds = time.process_time() - cpu, time.perf_counter() - began
    assert found == recall(shelf, batch, keep) and found.states.count("w") == 0
    grown = (max(seen) - seen[0]) / 1e6
    print(f"recall of {batch.total:,} results: {cpu:.2f} s CPU, {seconds:.1f} s, {grown:.0f} MB more while it runs")


def ordered(settings: Settings, url: str, api: psutil.Process, batch: Batch) -> None:
    store = S3Store(settings)
    client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False, timeout=600)
    server = psutil.Process(connect(settings.ledger_url).info()["process_id"])
    with client, Ledger(connect(settings.ledger_url), settings.limits) as ledger:
        assert Batches(ledger, Shelf(store), Archive(store), lambda hint: None).start(batch)
        path = f"/v1/batches/{batch.id}"
        for order in ("pause", "resume", "cancel"):
            with measured(f"{order} of {batch.total:,} items", api, server):
                client.post(f"{path}/{order}").raise_for_status()
        told = measured(f"results of {batch.total:,} items that were cancelled before their turn", api, server)
        with told, client.stream("GET", f"{path}/results") as response:
            lines = sum(chunk.count(b"\n") for chunk in response.iter_bytes())
        assert lines == batch.total, lines


@contextmanager
def measured(what: str, api: psutil.Process, server: psutil.Process) -> Generator[None]:
    before, began = (_cpu(api), _cpu(server)), time.perf_counter()
    yield
    seconds = time.perf_counter() - began
    of_api, of_redis = _cpu(api) - before[0], _cpu(server) - before[1]
    memory = api.memory_info().rss / 1e6
    print(
        f"{what}: {seconds:.2f} s; CPU {of_api:.2f} s (API), {of_redis:.2f} s (Redis); API {memory:.0f} MB", flush=True
    )


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    sys.exit(main())
