"""A batch as one ZIP file, made while it is sent: pictures, reports, tables and the gallery. Memory stays constant.

Some items are prepared ahead, because the time goes into waiting for storage and into drawing thumbnails.
"""

import io
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from api.batch_service import json_line
from api.gallery import THUMB_WIDTH, Cards, Sheet, Told, beside, stem_of
from api.reports import run_info
from api.service import Service
from director.report.gallery import Card
from tasks.batch.tables import csv_lines
from tasks.batch.types import Batch, Standing
from tasks.files import file_stem
from tasks.png_metadata import metadata_text, with_metadata
from tasks.pools import leaving
from tasks.reports import standalone
from tasks.store import Corrupt, NotFound, Thumbnails

MAX_ITEMS = 20_000
"""Of an archive: the list of files at its end is kept until it is sent."""
_AHEAD = 3  # items, each some megabytes
_CHUNK = 256 * 1024
_IN_MEMORY = 1_000_000  # bytes of the results; the rest of them lies on disk
_PACKED = (".html", ".csv", ".jsonl", ".txt")
_EARLIEST = 315_532_800  # 1980, the first year of a ZIP file


class Prepared(NamedTuple):
    """What the archive holds of one item: its files by name, and those that storage could not give."""

    told: Told
    card: Card
    files: dict[str, bytes]
    lost: list[str]


@dataclass
class Archiver:
    """`metadata`: pictures say inside what made them."""

    service: Service
    thumbnails: Thumbnails
    cards: Cards
    metadata: bool
    with_reports: bool = True

    def stream(self, batch: Batch, standing: Standing, results: Iterable[Told]) -> Iterator[bytes]:
        """The archive in pieces. A StoreError in the middle leaves a file without its end, which no program opens."""
        folder, sink = folder_of(batch, standing.title), _Sink()
        sheet, lost = Sheet(), list[str]()
        with SpooledTemporaryFile[bytes](_IN_MEMORY) as spool, ZipFile(sink, "w") as made:
            for item in self._prepared(results):
                for name, data in item.files.items():
                    made.writestr(_info(f"{folder}/{name}", item.told["ended"]), data)
                    yield from sink.pieces()
                spool.write(json_line(item.told))
                sheet.add(item.card)
                lost += item.lost
            tables: dict[str, Callable[[], Iterable[bytes]]] = {
                "results.jsonl": lambda: spool,
                "results.csv": lambda: (line.encode() for line in csv_lines(map(json.loads, spool))),
                "index.html": lambda: [sheet.page(batch, standing.title, standing.counts).encode()],
                "missing.txt": lambda: (f"{name}\n".encode() for name in lost),
            }
            for name, lines in tables.items():
                if name == "missing.txt" and not lost:
                    continue
                spool.seek(0)
                with made.open(_info(f"{folder}/{name}", standing.ended), "w") as entry:
                    for line in lines():
                        entry.write(line)
                        yield from sink.pieces(_CHUNK)
        yield from sink.pieces()

    def _prepared(self, results: Iterable[Told]) -> Iterator[Prepared]:
        ahead = deque[Future[Prepared]]()
        with leaving(_AHEAD, "archive") as makers:
            for told in results:
                ahead.append(makers.submit(self._prepare, told))
                if len(ahead) > _AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def _prepare(self, told: Told) -> Prepared:
        stem, files, lost = stem_of(told), dict[str, bytes](), list[str]()
        wanted: dict[str, Callable[[Told], bytes]] = {}
        if told["image"] and told["job"]:
            wanted |= {f"{stem}.png": self._picture, f"thumbs/{stem}.webp": self._thumb}
        if told["job"] and self.with_reports:
            wanted[f"reports/{stem}.html"] = self._report
        for name, make in wanted.items():
            try:
                files[name] = make(told)
            except (NotFound, Corrupt):
                lost.append(name)
        return Prepared(told, self.cards.card(told, beside("png", self.with_reports)), files, lost)

    def _picture(self, told: Told) -> bytes:
        png = self.service.images.get(told["image"])
        if not self.metadata:
            return png
        record = self.service.find(None, told["job"])
        return with_metadata(png, metadata_text(self.service.trajectory(record), told["image"]))

    def _thumb(self, told: Told) -> bytes:
        return self.thumbnails.get(told["image"], THUMB_WIDTH)

    def _report(self, told: Told) -> bytes:
        record = self.service.find(None, told["job"])
        trajectory = self.service.trajectory(record)
        return standalone(trajectory, self.thumbnails, run_info(self.service, record)).encode()


def folder_of(batch: Batch, title: str) -> str:
    """The one folder in the archive, which is the archive's name, too."""
    return f"{file_stem(title)[:60].strip(' .')}-{batch.id[:8]}" if title else f"batch-{batch.id[:8]}"


def _info(name: str, ended: float | None) -> ZipInfo:
    info = ZipInfo(name, time.gmtime(max(ended or 0.0, _EARLIEST))[:6])
    info.compress_type = ZIP_DEFLATED if name.endswith(_PACKED) else ZIP_STORED
    info.external_attr = 0o644 << 16
    return info


class _Sink(io.RawIOBase):
    """Takes what ZipFile writes, which can't go back in it, and gives it away."""

    def __init__(self) -> None:
        self._taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._taken += data
        return len(data)

    def pieces(self, least: int = 1) -> Iterator[bytes]:
        """What was written since, if it is so much."""
        if len(self._taken) >= least:
            yield bytes(self._taken)
            self._taken.clear()
