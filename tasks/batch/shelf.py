"""What object storage holds of batches. The layout:

batches/<id>/upload.json                        how far an upload came, while it is not complete
batches/<id>/items/<folder>/<part>.jsonl          the items, 1,000 lines each
batches/<id>/names/<shard>.jsonl                which item has which custom_id, by a hash of it
batches/<id>/batch.json                         written last: the batch exists
batches/<id>/control/<number>-<kind>.json       orders, written before the caller is answered
batches/<id>/results/<ended ms>-<nonce>.jsonl   how items ended; a line may come twice
batches/<id>/summary.json                       how it stood when it ended
batches/<id>/picks/<job>.json                   what people picked, see tasks/store/picks.py
batches-live/<id>                               there until the batch ends
batches-ended/…                                 that it has ended once, see tasks/batch/ended.py
spend/<owner>.json                              what an owner with a budget has used of it in the present period
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from tasks.batch.ended import EndedBatches
from tasks.batch.types import PART, Batch, End, Item, Order, OrderKind, Position, Result, Standing
from tasks.logs import fields
from tasks.pools import leaving
from tasks.store import Corrupt, NotFound, Store
from tasks.store.recent import Recent

log = logging.getLogger(__name__)

NAMES = 4000  # of a shard, about
_ORDER = re.compile(r"(\d{8})-([a-z]+)\.json")
# What counts of an order of which only the name can be read. Which items a cancel named is lost with it: so nothing
# more of the batch runs, until somebody resumes or cancels it.
_BY_NAME: Mapping[str, OrderKind] = {"pause": "pause", "resume": "resume", "cancel": "pause"}
_KEPT_BYTES = 32 * 2**20  # of parts
_KEPT_SHARDS = 16
_READERS = 8  # of parts of results, at once
V = TypeVar("V", Result, End)
_SPEND: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


def _nothing() -> None: ...


class Shelf:
    """The objects of all batches, over a store. Safe for threads.

    Reading raises NotFound, StoreError when the store is out of reach, and Corrupt; writing StoreError.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.ended = EndedBatches(store, self.summary)
        self._parts = Recent[bytes](_KEPT_BYTES, len)
        self._names = Recent[dict[str, tuple[int, int]]](_KEPT_SHARDS)
        self._batches = Recent[tuple[Batch, int]](2 * 2**20, itemgetter(1))  # with the bytes of each

    # --- what was sent ----------------------------------------------------------------------------

    def put_batch(self, batch: Batch) -> None:
        self.store.put(f"batches/{batch.id}/batch.json", batch.model_dump_json().encode())

    def find_batch(self, id: str) -> Batch | None:
        """None: there is no such batch, or its upload is not complete."""
        if known := self._batches.get(id):
            return known[0]
        key = f"batches/{id}/batch.json"
        try:
            found = Batch.model_validate_json(data := self.store.get(key))
        except NotFound:
            return None
        except ValidationError as error:
            raise Corrupt(f"{key} is no Batch: {error.error_count()} problems", key=key) from error
        if found.id != id:
            raise Corrupt(f"{key} is of another batch", key=key)
        self._batches.put(id, (found, len(data)))
        return found

    def load_batch(self, id: str) -> Batch:
        if found := self.find_batch(id):
            return found
        raise NotFound(f"there is no batches/{id}/batch.json", key=f"batches/{id}/batch.json")

    def put_part(self, id: str, folder: int, part: int, lines: Sequence[Item]) -> None:
        """The lines of one part: all that a folder has of them, PART unless it is the last."""
        self.put_lines(id, folder, part, b"".join(map(line_of, lines)))

    def put_lines(self, id: str, folder: int, part: int, data: bytes) -> None:
        """The lines of one part, each as `line_of` gives it."""
        self.store.put(_part_key(id, folder, part), data)

    def read_part(self, id: str, folder: int, part: int) -> list[Item]:
        """As stored now: an upload writes its last part again and again."""
        key = _part_key(id, folder, part)
        try:
            return [Item.model_validate_json(line) for line in self.store.get(key).splitlines()]
        except ValidationError as error:
            raise Corrupt(f"{key} holds a line that is no item", key=key) from error

    def names_of(self, id: str, folder: int, part: int) -> list[tuple[str, str]]:
        """Custom_id and title ("" where it has none) of each line of a part, in a tenth of the time of its items."""
        key = _part_key(id, folder, part)
        try:
            lines = map(from_json, self.store.get(key).splitlines())
            return [(str(line["custom_id"]), str(line["brief"].get("title", ""))) for line in lines]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Corrupt(f"{key} holds a line that is no item", key=key) from error

    def item(self, id: str, position: Position) -> Item:
        """One line: where many batches take turns, each needs another part, and all the others of it for nothing."""
        part, line = divmod(position.row, PART)
        key = _part_key(id, position.folder, part)
        data = self._parts.get(key)
        if data is None:
            data = self.store.get(key)
            self._parts.put(key, data)
        lines = data.splitlines()
        if line >= len(lines):
            raise Corrupt(f"{key} has {len(lines)} lines; line {line + 1} is missing", key=key)
        try:
            return Item.model_validate_json(lines[line])
        except ValidationError as error:
            raise Corrupt(f"{key} holds a line that is no item", key=key) from error

    def put_names(self, id: str, shard: int, names: Iterable[tuple[str, int, int]]) -> None:
        """Custom_id, folder and row of the lines whose custom_id is of this shard (`shard_of`)."""
        data = b"".join(json.dumps(name, ensure_ascii=False).encode() + b"\n" for name in names)
        self.store.put(_names_key(id, shard), data)

    def row_of(self, batch: Batch, custom_id: str) -> tuple[int, int] | None:
        """Folder and row of the line that has this custom_id (without the name of a combo)."""
        key = _names_key(batch.id, shard_of(custom_id, batch.lines))
        names = self._names.get(key)
        if names is None:
            try:
                rows = map(json.loads, self.store.get(key).splitlines())
                names = {name: (int(folder), int(row)) for name, folder, row in rows}
            except (ValueError, TypeError) as error:
                raise Corrupt(f"{key} holds a line that is no name", key=key) from error
            self._names.put(key, names)
        return names.get(custom_id)

    def remove_items(self, id: str) -> None:
        """Delete what an upload left that was refused."""
        for folder in ("items", "names"):
            for key in self.store.list(f"batches/{id}/{folder}/"):
                self.store.delete(key)
        self.forget_upload(id)

    def put_upload(self, id: str, state: Mapping[str, Any]) -> None:
        self.store.put(f"batches/{id}/upload.json", json.dumps(state).encode())

    def upload(self, id: str) -> dict[str, Any] | None:
        try:
            return dict(json.loads(self.store.get(f"batches/{id}/upload.json")))
        except (NotFound, ValueError, TypeError):
            return None

    def forget_upload(self, id: str) -> None:
        self.store.delete(f"batches/{id}/upload.json")

    # --- what became of it ------------------------------------------------------------------------

    def mark_live(self, id: str) -> None:
        self.store.put(f"batches-live/{id}", id.encode())

    def unmark_live(self, id: str) -> None:
        self.store.delete(f"batches-live/{id}")

    def live(self) -> list[str]:
        """The batches that have not ended."""
        return [key.removeprefix("batches-live/") for key in self.store.list("batches-live/")]

    def put_order(self, id: str, order: Order) -> None:
        key = f"batches/{id}/control/{order.number:08d}-{order.kind}.json"
        self.store.put(key, order.model_dump_json(exclude_defaults=True).encode())

    def orders(self, id: str, above: int = 0) -> list[Order]:
        """Those with a higher number, by number. Of one that can't be read its name counts; it is logged."""
        folder = f"batches/{id}/control/"
        named = [_ORDER.fullmatch(key.removeprefix(folder)) for key in self.store.list(folder)]
        found = [
            self._order(id, match[0], int(match[1]), match[2]) for match in named if match and int(match[1]) > above
        ]
        return sorted(found, key=lambda order: order.number)

    def _order(self, id: str, name: str, number: int, kind: str) -> Order:
        key = f"batches/{id}/control/{name}"
        with suppress(ValidationError):
            order = Order.model_validate_json(self.store.get(key))
            if (order.number, order.kind) == (number, kind):
                return order
        counts = _BY_NAME.get(kind, "patch")  # an empty patch changes nothing
        log.error("an order can't be read, and counts as %s: %s", counts, key, extra=fields(batch=id))
        return Order(number=number, kind=counts, at_ms=0)

    def put_results(self, id: str, nonce: str, results: Sequence[Result]) -> None:
        """One part of results; not empty."""
        first = int(1000 * min(result.ended for result in results))
        data = b"".join(result.model_dump_json(exclude_defaults=True).encode() + b"\n" for result in results)
        self.store.put(f"batches/{id}/results/{first:013d}-{nonce}.jsonl", data)

    def results(self, id: str) -> Iterator[Result]:
        """Every stored line, the parts by time. A line may come twice, and an item's earlier takes come, too."""
        return self._lines(id, Result, _nothing)

    def first_results(self, id: str) -> Iterator[Result]:
        """Results as they were stored, part by part; a part is read when its turn comes."""
        for item in self.store.items(f"batches/{id}/results/"):
            for line in self.store.get(item.key).splitlines():
                if result := _result(Result, line, item.key, id):
                    yield result

    def ends(self, id: str, keep: Callable[[], None] = _nothing) -> Iterator[End]:
        """The same lines, and of them what counts. `keep` is called again and again meanwhile."""
        return self._lines(id, End, keep)

    def _lines(self, id: str, kind: type[V], keep: Callable[[], None]) -> Iterator[V]:
        keys = list[str]()
        for item in self.store.items(f"batches/{id}/results/"):
            keys.append(item.key)
            keep()
        keys.sort()
        with leaving(_READERS, "results") as readers:  # the time goes into waiting for storage
            for first in range(0, len(keys), 2 * _READERS):
                some = keys[first : first + 2 * _READERS]
                for key, data in zip(some, readers.map(self.store.get, some), strict=True):
                    keep()
                    for line in data.splitlines():
                        if result := _result(kind, line, key, id):
                            yield result

    def put_summary(self, standing: Standing) -> None:
        self.ended.add(standing)
        self.store.put(f"batches/{standing.batch}/summary.json", standing.model_dump_json().encode())

    def summary(self, id: str) -> Standing | None:
        """How the batch stood when it ended; None: it never did, or it can't be read."""
        try:
            found = Standing.model_validate_json(self.store.get(f"batches/{id}/summary.json"))
        except (NotFound, ValidationError):
            return None
        return found if found.batch == id else None

    def forget_summary(self, id: str) -> None:
        """The batch goes on."""
        self.store.delete(f"batches/{id}/summary.json")

    def put_spend(self, owner: str, spend: Mapping[str, str]) -> None:
        self.store.put(_spend_key(owner), json.dumps(spend).encode())

    def spend(self, owner: str) -> dict[str, str]:
        """What was stored last; {}: nothing, or it can't be read."""
        try:
            return _SPEND.validate_json(self.store.get(_spend_key(owner)))
        except NotFound:
            return {}
        except ValidationError:
            log.error("%s can't be read: the owner's budget counts from 0 after a wipe", _spend_key(owner))
            return {}


def _result(kind: type[V], line: bytes, key: str, batch: str) -> V | None:
    try:
        result = kind.model_validate_json(line)
    except ValidationError:
        log.error("a result can't be read and is left out: %s", key, extra=fields(batch=batch))
        return None
    if result.batch != batch:
        log.error("a result of another batch is left out: %s", key, extra=fields(batch=batch))
        return None
    return result


def line_of(item: Item) -> bytes:
    """The item as a line of a part."""
    return item.model_dump_json(exclude_defaults=True).encode() + b"\n"


def shard_of(custom_id: str, lines: int) -> int:
    """In which shard of a batch of so many lines the custom_id of a line stands."""
    shards = max(1, lines // NAMES)
    return int.from_bytes(hashlib.sha256(custom_id.encode()).digest()[:8]) % shards


def _spend_key(owner: str) -> str:
    return f"spend/{quote(owner, safe='')}.json"


def _part_key(id: str, folder: int, part: int) -> str:
    return f"batches/{id}/items/{folder:03d}/{part:06d}.jsonl"


def _names_key(id: str, shard: int) -> str:
    return f"batches/{id}/names/{shard:06d}.jsonl"
