"""Windows of time: when something may begin. From words and a zone to instants; no clock is read here.

`mon-fri 22:00-07:00 Europe/Zurich` opens at 22:00 of each of these days, and closes at the next 07:00. Where a zone's
clock jumps forward over a time, that time is the first instant behind the jump; where it goes back, a window opens at
the first of the two instants and closes at the second.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EXAMPLE = "22:00-07:00 Europe/Zurich"
MAX_WINDOWS = 16
_SPEC = re.compile(
    r"\s*(?:(?P<days>[A-Za-z,-]+)\s+)?(?P<open>\d{1,2}:\d{2})\s*-\s*(?P<close>\d{1,2}:\d{2})(?:\s+(?P<zone>\S+))?\s*"
)
_AT = re.compile(r"\s*(?P<time>\d{1,2}:\d{2})(?:\s+(?P<zone>\S+))?\s*")
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}")
_DAY_MS = 86_400_000
_MIDNIGHT = "24:00"
_LONGEST = timedelta(days=2)  # that a zone's clock and UTC are apart, jumps over a day included

Instants = list[tuple[int, int]]
"""Spans [open, close) in ms since the epoch, in order and apart."""


class Window(NamedTuple):
    """Days on which it opens (0 is Monday), wall clock, and the zone's name. `midnight`: its end was written 24:00."""

    days: frozenset[int]
    opens: time
    closes: time
    zone: str
    midnight: bool = False

    def __str__(self) -> str:
        days = "" if len(self.days) == len(DAYS) else ",".join(DAYS[day] for day in sorted(self.days)) + " "
        closes = _MIDNIGHT if self.midnight else f"{self.closes:%H:%M}"
        return f"{days}{self.opens:%H:%M}-{closes} {self.zone}"


def parse(words: str) -> Window:
    """Raises ValueError that says what to write."""
    if not (found := _SPEC.fullmatch(words)):
        raise ValueError(f"{words[:64]!r} is no window: write {EXAMPLE}, or mon-fri {EXAMPLE}")
    days = _days(found["days"]) if found["days"] else frozenset(range(len(DAYS)))
    if found["open"] == _MIDNIGHT:
        raise ValueError("24:00 is the end of a day: let it open at 00:00 of the next one")
    closes = found["close"]
    return Window(days, _clock(found["open"]), _clock(closes), zone_named(found["zone"]), closes == _MIDNIGHT)


def next_time(words: str, after_ms: int) -> int:
    """The next instant behind `after_ms` at which the clock shows `07:00 Europe/Zurich`. Raises ValueError."""
    if not (found := _AT.fullmatch(words)):
        raise ValueError(f"{words[:64]!r} is no time: write 07:00 Europe/Zurich")
    clock, zone = _clock(found["time"]), ZoneInfo(zone_named(found["zone"]))
    day = _local(after_ms, zone).date() - timedelta(days=1)
    while (at := first_instant(datetime.combine(day, clock), zone)) <= after_ms:
        day += timedelta(days=1)
    return at


def zone_named(name: str | None) -> str:
    """The name, if there is such a zone. Raises ValueError."""
    if not name:
        raise ValueError(f"the zone is missing: write it behind the time, e.g. {EXAMPLE}")
    try:
        # The name is checked first: it becomes the path of a file.
        if not _ZONE.fullmatch(name):
            raise ValueError
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"there is no time zone {name[:64]!r}: write one like Europe/Zurich or UTC") from None
    return name


def instants(windows: Iterable[Window], from_ms: int, until_ms: int) -> Instants:
    """When they are open, of what ends behind `from_ms` and opens before `until_ms`; what touches is one span."""
    found = sorted(span for window in windows for span in _spans(window, from_ms, until_ms))
    merged: Instants = []
    for opens, closes in found:
        if merged and opens <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(closes, merged[-1][1])
        else:
            merged.append((opens, closes))
    return merged


def next_opening(windows: Sequence[Window], now_ms: int) -> tuple[int, Window] | None:
    """The next instant at which one opens, and which; None: within two weeks none does."""
    openings = (
        (opens, number)
        for number, window in enumerate(windows)
        for opens, _ in _spans(window, now_ms, now_ms + 14 * _DAY_MS)
        if opens > now_ms
    )
    first = min(openings, default=None)
    return (first[0], windows[first[1]]) if first else None


def _spans(window: Window, from_ms: int, until_ms: int) -> Instants:
    zone = ZoneInfo(window.zone)
    day, found = _local(from_ms, zone).date() - _LONGEST, list[tuple[int, int]]()
    overnight = timedelta(days=window.closes <= window.opens)
    while (opens := _edge(day, window.opens, window.zone, False)) < until_ms:
        if day.weekday() in window.days:
            closes = _edge(day + overnight, window.closes, window.zone, True)
            if opens < closes and closes > from_ms:
                found.append((opens, closes))
        day += timedelta(days=1)
    return found


@lru_cache(4096)
def _edge(day: date, clock: time, zone: str, closing: bool) -> int:
    return (last_instant if closing else first_instant)(datetime.combine(day, clock), ZoneInfo(zone))


def first_instant(local: datetime, zone: ZoneInfo) -> int:
    """The first ms at which the zone's clock shows this time, or has jumped over it."""
    return _instant(local, zone, fold=0)


def last_instant(local: datetime, zone: ZoneInfo) -> int:
    """As `first_instant`; of a time that comes twice the second one."""
    return _instant(local, zone, fold=1)


def _instant(local: datetime, zone: ZoneInfo, fold: int) -> int:
    at = local.replace(tzinfo=zone, fold=fold).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == local:
        return _ms(at)
    # The clock never shows it: the jump lies between the instants that the offsets before and behind it give.
    ends = sorted(_ms(local.replace(tzinfo=zone, fold=fold).astimezone(UTC)) // 1000 for fold in (0, 1))
    before, behind = ends[0] - 1, ends[1]
    while behind - before > 1:
        middle = (before + behind) // 2
        if _local(1000 * middle, zone) < local:
            before = middle
        else:
            behind = middle
    return 1000 * behind


def _local(ms: int, zone: ZoneInfo) -> datetime:
    """What the zone's clock shows then."""
    return datetime.fromtimestamp(ms / 1000, zone).replace(tzinfo=None)


def _ms(at: datetime) -> int:
    return round(1000 * at.timestamp())


def _clock(words: str) -> time:
    hour, minute = map(int, words.split(":"))
    if (hour, minute) == (24, 0):
        hour = 0
    if hour > 23 or minute > 59:
        raise ValueError(f"{words} is no time of day: write 00:00 to 23:59")
    return time(hour, minute)


def _days(words: str) -> frozenset[int]:
    found = set[int]()
    for part in words.lower().split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last and last not in DAYS):
            raise ValueError(f"{words[:64]!r} are no days: write mon-fri, or sat,sun")
        start = DAYS.index(first)
        length = (DAYS.index(last) - start) % len(DAYS) if last else 0
        found |= {(start + each) % len(DAYS) for each in range(length + 1)}
    return frozenset(found)
