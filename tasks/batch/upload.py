"""One upload of a manifest: its items go to storage as they come, and the batch exists once all are there.

What was received outlives a cut connection: `upload.json` says how far it came, and the next upload goes on there.
Nothing is stored behind the first error, and nothing at all is left of an upload that is refused.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from tempfile import SpooledTemporaryFile
from typing import Any, NamedTuple, Self

from pydantic import Field, ValidationError

from director.cautions import cautions
from director.complaints import Fault
from director.types import Value
from tasks.batch.manifest import Checked, Errors, Header, Line, LineReader, Reading
from tasks.batch.shelf import Shelf, line_of, shard_of
from tasks.batch.terms import NO_TERMS
from tasks.batch.types import MAX_ITEMS, MAX_MODELS, PART, Batch, Item, Span
from tasks.files import folded
from tasks.store import Corrupt

CHECKPOINT_LINES = 5 * PART
CHECKPOINT_BYTES = 8 * 2**20
MAX_CAUTIONED = 1_000
"""Lines whose words are looked at for warnings; it takes a millisecond each."""
_TOLD_LINES = 5
_IN_MEMORY = 256 * 1024  # bytes of a folder's last part; the rest of it lies on disk
_LOOKERS = 8
_KNOWN_SOURCES = 10_000


class Refused(Exception):
    """The manifest can't be used; nothing of it is left."""

    def __init__(self, errors: Errors) -> None:
        super().__init__()
        self.errors = errors


class Warned(Value):
    """What is likely not meant, in how many lines, and in which first; `message` is of the first."""

    kind: str
    message: str
    fix: str = ""
    count: int = 0
    lines: tuple[int, ...] = ()


class State(Value):
    """What `upload.json` holds. `folders` are the lines of each, by the editor's model; "": all lines are in one."""

    bytes: int = 0
    lines: int = 0
    sha256: str = ""
    items: int = 0  # lines that are items
    header: Header | None = None
    folders: dict[str, int] = Field(default_factory=dict[str, int])
    warned: dict[str, Warned] = Field(default_factory=dict[str, Warned])


class Received(NamedTuple):
    """The batch of a complete upload, not stored yet, and what its sender should hear."""

    batch: Batch
    warned: list[Warned]


class Upload:
    """Not safe for threads. `owns` says whether a picture is the owner's.

    `state` is where an earlier upload of the same id broke off. Raises NotFound and Corrupt when its lines are lost.
    """

    def __init__(
        self,
        shelf: Shelf,
        id: str,
        owns: Callable[[str], bool],
        max_brief_bytes: int,
        state: State | None = None,
        currency: str = "",
    ) -> None:
        self._shelf, self._id, self._owns = shelf, id, owns
        self._state = state = state or State()
        self._reader = LineReader(state.lines, state.bytes, bytes.fromhex(state.sha256))
        self._reading = Reading(max_brief_bytes, state.header, currency)
        self._items, self._warned = state.items, dict(state.warned)
        self._sources: dict[str, bool] = {}
        self._excess = False
        self._folders: dict[str, _Folder] = {}
        self._names = _Names()
        try:
            for model, lines in state.folders.items():
                self._open_folder(model).restore(lines, self._names)
        except BaseException:
            self.close()
            raise

    @property
    def errors(self) -> Errors:
        return self._reading.errors

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the manifest."""
        self._take(self._reader.feed(chunk))
        far = self._reader.number - self._state.lines >= CHECKPOINT_LINES
        if far or self._reader.end - self._state.bytes >= CHECKPOINT_BYTES:
            self.checkpoint()

    def checkpoint(self) -> State:
        """Store all whole lines so far, unless something is wrong with them; gives where an upload can go on."""
        if not self.errors and self._reader.end > self._state.bytes:
            for folder in self._folders.values():
                folder.store()
            self._state = State(
                bytes=self._reader.end, lines=self._reader.number, sha256=self._reader.chain.hex(), items=self._items,
                header=self._reading.header if self._reading.begun else None,
                folders={model: folder.lines for model, folder in self._folders.items()},
                warned=self._warned,
            )  # fmt: skip
            self._shelf.put_upload(self._id, self._state.model_dump(mode="json"))
        return self._state

    def finish(self, owner: str, created: float, weight: float = 1.0) -> Received:
        """That was all. Raises Refused."""
        self._take(self._reader.finish())
        if not self._items and not self.errors:
            nothing = Fault("body", "has no brief", 'send a line for each: {"custom_id": "a", "brief": "…"}')
            self.errors.add(max(1, self._reader.number), "", [nothing])
        if self.errors:
            self._shelf.remove_items(self._id)
            raise Refused(self.errors)
        self.checkpoint()
        for shard, names in self._names.shards(self._items):
            self._shelf.put_names(self._id, shard, names)
        header = self._reading.header
        batch = Batch(
            id=self._id, owner=owner, title=header.title, labels=tuple(dict.fromkeys(header.labels)),
            priority=header.priority, settings=header.settings, combos=self._reading.combos, spans=self._spans(),
            created=created, body_sha256=self._reader.chain.hex(), most=header.max_in_flight, weight=weight,
            terms=NO_TERMS.changed(header.changes(int(1000 * created))), alike=self._alike(),
        )  # fmt: skip
        return Received(batch, list(self._warned.values()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop what lies on this machine's disk."""
        self._names.close()
        for folder in self._folders.values():
            folder.close()

    def _take(self, lines: Iterable[Line]) -> None:
        checked = [found for line in lines if (found := self._reading.read(line))]
        self._look_up(each.item.brief.source for each in checked if each.item)
        for each in checked:
            self._add(each)

    def _add(self, checked: Checked) -> None:
        line, custom_id, item, model = checked
        folder = self._folder(item, model) if item else None
        place = (folder.number, folder.lines) if folder else (0, 0)
        if first := self._names.add(custom_id, line, *place) if custom_id else 0:
            double = Fault("custom_id", f"is that of line {first}, too", "give each line its own")
            self.errors.add(line, custom_id, [double])
        if not item or not folder:
            return
        if (source := item.brief.source) and not self._sources.get(source):
            unknown = Fault("brief.source", "you have no picture with this hash", "PUT it to /v1/images first")
            self.errors.add(line, custom_id, [unknown])
        if (self._items + 1) * len(self._reading.combos) > MAX_ITEMS:
            self._add_excess(line)
        if not self.errors:
            self._items += 1
            folder.add(item)
            if self._items <= MAX_CAUTIONED:
                self._warn(item)

    def _folder(self, item: Item, model: str) -> "_Folder | None":
        if model not in self._folders:
            if len(self._folders) >= MAX_MODELS:
                many = Fault("settings.editor", f"is one too many: a batch has at most {MAX_MODELS} editors")
                self.errors.add(item.line, item.custom_id, [many._replace(fix="send more than one batch")])
                return None
            return self._open_folder(model)
        return self._folders[model]

    def _open_folder(self, model: str) -> "_Folder":
        self._folders[model] = _Folder(self._shelf, self._id, len(self._folders))
        return self._folders[model]

    def _add_excess(self, line: int) -> None:
        if not self._excess:
            self._excess = True
            combos = len(self._reading.combos)
            many = f"{self._items + 1} lines" + (f" of {combos} combinations" if combos > 1 else "")
            most = Fault("line", f"is too many: {many} are more than {MAX_ITEMS} items", "send more than one batch")
            self.errors.add(line, "", [most])

    def _warn(self, item: Item) -> None:
        for caution in cautions(item.brief, item.brief.goals):
            known = self._warned.get(caution.kind) or Warned(**dict(caution))
            lines = (*known.lines, item.line)[:_TOLD_LINES]
            self._warned[caution.kind] = known.model_copy(update={"count": known.count + 1, "lines": lines})

    def _look_up(self, sources: Iterable[str | None]) -> None:
        """Ask for all pictures that are not known yet; the time goes into waiting for storage."""
        wanted = {source for source in sources if source}
        if len(self._sources) + len(wanted) > _KNOWN_SOURCES:
            self._sources.clear()
        if new := sorted(wanted - self._sources.keys()):
            with ThreadPoolExecutor(_LOOKERS, "sources") as lookers:
                self._sources.update(zip(new, lookers.map(self._owns, new), strict=True))

    def _alike(self) -> bool:
        combos = [folded(combo.name) for combo in self._reading.combos]
        return len(set(combos)) < len(combos) or self._names.alike()

    def _spans(self) -> tuple[Span, ...]:
        every = tuple(range(len(self._reading.combos)))
        editors = self._reading.editors
        spans, first = list[Span](), 0
        for model, folder in self._folders.items():
            for name, combos in (editors or {model: every}).items():
                spans.append(Span(model=name, folder=folder.number, first=first, lines=folder.lines, combos=combos))
                first += spans[-1].items
        return tuple(spans)


class _Folder:
    """The lines of one folder. The last part is kept until it is full; a checkpoint stores it as it is."""

    def __init__(self, shelf: Shelf, id: str, number: int) -> None:
        self.number, self.lines = number, 0
        self._shelf, self._id = shelf, id
        self._part = SpooledTemporaryFile[bytes](_IN_MEMORY)
        self._stored = True

    def restore(self, lines: int, names: "_Names") -> None:
        """Read back the first `lines` that are stored. The last part may hold more, which will come again."""
        for part, start in enumerate(range(0, lines, PART)):
            found = self._shelf.read_part(self._id, self.number, part)[: lines - start]
            if len(found) < min(PART, lines - start):
                raise Corrupt("lines of an upload are lost", "send it again from the start")
            for item in found:
                names.add(item.custom_id, item.line, self.number, self.lines)
                self._write(item)
        self._stored = True

    def add(self, item: Item) -> None:
        self._write(item)
        if self.lines % PART == 0:
            self.store()

    def _write(self, item: Item) -> None:
        if self.lines % PART == 0:
            self._part.seek(0)
            self._part.truncate()
        self._part.write(line_of(item))
        self.lines += 1
        self._stored = False

    def store(self) -> None:
        if not self._stored:
            self._part.seek(0)
            self._shelf.put_lines(self._id, self.number, (self.lines - 1) // PART, self._part.read())
            self._stored = True

    def close(self) -> None:
        self._part.close()


class _Names:
    """Every custom_id with its line and place, in a table that lies on disk once it is large."""

    def __init__(self) -> None:
        self._table = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._table.execute("PRAGMA journal_mode = OFF")
        self._table.execute("PRAGMA cache_size = -8000")  # kB
        self._table.execute("CREATE TABLE names (name TEXT PRIMARY KEY, line INT, folder INT, place INT) WITHOUT ROWID")

    def add(self, custom_id: str, line: int, folder: int, row: int) -> int:
        """0, or the line that has this custom_id already."""
        values = (custom_id, line, folder, row)
        if self._table.execute("INSERT INTO names VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", values).rowcount:
            return 0
        [(first,)] = self._table.execute("SELECT line FROM names WHERE name = ?", (custom_id,))
        return int(first)

    def shards(self, lines: int) -> Iterator[tuple[int, Iterator[tuple[str, int, int]]]]:
        def shard_of_name(name: str) -> int:
            return shard_of(name, lines)

        self._table.create_function("shard", 1, shard_of_name, deterministic=True)
        rows = self._table.execute("SELECT shard(name), name, folder, place FROM names ORDER BY 1, 2")
        for shard, found in groupby(rows, lambda row: int(row[0])):
            yield shard, ((str(name), int(folder), int(row)) for _, name, folder, row in found)

    def alike(self) -> bool:
        """Some differ by case only."""
        self._table.create_function("folded", 1, folded, deterministic=True)
        same = "SELECT 1 FROM names GROUP BY folded(name) HAVING COUNT(*) > 1 LIMIT 1"
        return self._table.execute(same).fetchone() is not None

    def close(self) -> None:
        self._table.close()


class Recognition:
    """Compares what is sent with a batch that exists, and stores nothing. It can be fed as an Upload can."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._reader = LineReader()

    def feed(self, chunk: bytes) -> None:
        for _ in self._reader.feed(chunk):
            pass

    def finish(self) -> bool:
        """True: they are the same lines."""
        for _ in self._reader.finish():
            pass
        return self._reader.chain.hex() == self._batch.body_sha256


def state_of(shelf: Shelf, id: str) -> State | None:
    """How far an upload came that broke off; None: there is none, or it can't be read."""
    stored: dict[str, Any] | None = shelf.upload(id)
    try:
        return State.model_validate(stored) if stored else None
    except ValidationError:
        return None
