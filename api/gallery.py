"""The results of a batch as cards, and the gallery made of them: a file beside its pictures."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from heapq import nsmallest
from itertools import islice, repeat
from typing import Any, NamedTuple
from urllib.parse import quote

from director.report.gallery import MAX_CARDS, Card, card, gallery
from director.report.html import Html
from director.state import State
from director.transcript import count
from director.types import SIDE, Outcome
from tasks.batch.types import Batch, Counts
from tasks.files import file_stem
from tasks.pools import leaving
from tasks.store import Archive, Corrupt, NotFound
from tasks.store.recent import Recent

THUMB_WIDTH = 512
"""Pixels, of a picture that is shown about 240 wide."""
_READERS = 8
_AT_ONCE = 64
_SEEN_BYTES = 32 * 2**20  # of 20,000 pictures with a handful of missed goals each
Told = Mapping[str, Any]
"""A result: the fields of an ItemResult."""


class Places(NamedTuple):
    """Where a card finds its picture, thumbnail and report."""

    picture: Callable[[Told], str]
    thumb: Callable[[Told], str]
    report: Callable[[Told], str]


class Seen(NamedTuple):
    """What the delivered picture of a job shows: goals that are not met, and its size in pixels."""

    missed: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    picked: str = ""
    width: int = 1
    height: int = 1


def beside(picture: str, with_reports: bool) -> Places:
    """Files in the folder of the gallery, as `batch fetch` and the archive name them; `picture` is the ending."""

    def file(pattern: str) -> Callable[[Told], str]:
        # A name may hold what means something else in an address: "a#b", "50%".
        return lambda told: quote(pattern.format(stem_of(told)))

    return Places(file(f"{{}}.{picture}"), file("thumbs/{}.webp"), file("reports/{}.html") if with_reports else nowhere)


def stem_of(told: Told) -> str:
    """The name of its files."""
    return told.get("file") or file_stem(told["custom_id"])


def nowhere(told: Told) -> str:
    return ""


class Cards:
    """Makes cards of results; what it read of jobs is kept. Safe for threads."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._seen = Recent[Seen](_SEEN_BYTES, _size)

    def of(self, results: Iterable[Told], places: Places) -> Iterator[Card]:
        """In their order, read by some at a time: the time goes into waiting for storage."""
        results = iter(results)
        with leaving(_READERS, "cards") as readers:
            while some := list(islice(results, _AT_ONCE)):
                yield from readers.map(self.card, some, repeat(places))

    def card(self, told: Told, places: Places) -> Card:
        seen = self._seen_of(told)
        drawn = bool(told["image"])
        return Card(
            custom_id=told["custom_id"], title=told["title"] or told["custom_id"], status=told["status"],
            met=told["met"], total=told["total"], missed=seen.missed, unsure=seen.unsure, picked=seen.picked,
            error=told["error"], width=seen.width, height=seen.height,
            picture=places.picture(told) if drawn else "", thumb=places.thumb(told) if drawn else "",
            report=places.report(told) if told["job"] else "",
        )  # fmt: skip

    def _seen_of(self, told: Told) -> Seen:
        if not told["image"] or not told["job"]:
            return Seen()
        about = f"{told['job']} {told['image']} {told['changed']}"
        found = self._seen.get(about)
        if found is None:
            found = self._read(told)
            self._seen.put(about, found)
        return found

    def _read(self, told: Told) -> Seen:
        with suppress(NotFound, Corrupt):  # a trajectory that is lost must not hide the picture
            if key := self._archive.latest(told["job"]):
                return seen_on(State.of(self._archive.load_snapshot(key).trajectory), told["image"], told["picked"])
        return Seen()


def _size(seen: Seen) -> int:
    """Bytes in memory, about, with the key."""
    return 512 + sum(64 + 2 * len(words) for words in (*seen.missed, *seen.unsure))


def seen_on(state: State, image: str, picked: str) -> Seen:
    standing = state.standing_on(image)

    def goals(outcome: Outcome) -> tuple[str, ...]:
        return tuple(goal.wish for goal in state.goals if goal.id in standing and standing[goal.id].outcome is outcome)

    words = ""
    if picked:
        met = sum(verdict.outcome is Outcome.MET for verdict in standing.values())
        known = f"{met} of {count(len(state.goals), 'goal')} met on it" if standing else "no verifier looked at it"
        words = f"Picked by hand: round {picked.replace('.', ', candidate ')}; {known}"
    settings = state.settings
    return Seen(goals(Outcome.MISSED), goals(Outcome.UNSURE), words, settings.width or SIDE, settings.height or SIDE)


class Sheet:
    """Collects cards, and keeps those that a gallery shows: memory does not grow with the batch."""

    def __init__(self) -> None:
        self._kept: list[tuple[tuple[int, float, str], Html]] = []
        self._seen = 0

    def add(self, each: Card) -> None:
        self._seen += 1
        self._kept.append((each.badness, card(each)))
        if len(self._kept) >= 2 * MAX_CARDS:
            self._kept = nsmallest(MAX_CARDS, self._kept, key=lambda kept: kept[0])

    def page(self, batch: Batch, title: str, counts: Counts) -> str:
        kept = nsmallest(MAX_CARDS, self._kept, key=lambda kept: kept[0])
        about = f"{count(batch.total, 'item')}: {counted(counts)}"
        return gallery(title or f"Batch {batch.id[:8]}", about, (made for _, made in kept), self._seen - len(kept))


def counted(counts: Counts) -> str:
    """`12 done, 3 unmet`: those that there are."""
    return ", ".join(f"{number:,} {name}" for name, number in counts.model_dump().items() if number)
