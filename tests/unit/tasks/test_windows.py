"""Windows of time, against a reference that looks at the clock of each zone minute by minute."""

from datetime import UTC, datetime, time, timedelta
from functools import cache
from random import Random
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.batch.windows import Window, instants, next_opening, next_time, parse

YEARS = (2020, 2031)
HOUR, DAY, MINUTE = 3_600_000, 86_400_000, 60_000
ALWAYS = frozenset(range(7))


def utc(words: str) -> int:
    return round(1000 * datetime.fromisoformat(words).replace(tzinfo=UTC).timestamp())


def opened(words: str, first: str, last: str) -> list[tuple[str, str]]:
    """The spans in UTC, as words."""
    return [
        (
            f"{datetime.fromtimestamp(opens / 1000, UTC):%d %H:%M}",
            f"{datetime.fromtimestamp(closes / 1000, UTC):%d %H:%M}",
        )
        for opens, closes in instants([parse(words)], utc(first), utc(last))
    ]


class TestTheTwoOddNights:
    """Zurich goes to summer time on 2026-03-29 at 02:00 (01:00 UTC), and back on 2026-10-25 at 03:00 (01:00 UTC)."""

    def test_a_window_over_the_jump_is_an_hour_shorter(self) -> None:
        assert opened("22:00-07:00 Europe/Zurich", "2026-03-28T12:00", "2026-03-29T12:00") == [("28 21:00", "29 05:00")]

    def test_a_window_over_the_hour_that_comes_twice_is_an_hour_longer(self) -> None:
        assert opened("22:00-07:00 Europe/Zurich", "2026-10-24T12:00", "2026-10-25T12:00") == [("24 20:00", "25 06:00")]

    def test_a_time_that_is_jumped_over_is_the_first_instant_behind(self) -> None:
        assert opened("02:30-05:00 Europe/Zurich", "2026-03-29T00:00", "2026-03-29T12:00") == [("29 01:00", "29 03:00")]
        assert opened("01:00-02:30 Europe/Zurich", "2026-03-29T00:00", "2026-03-29T12:00") == [("29 00:00", "29 01:00")]

    def test_a_window_inside_the_jump_does_not_open(self) -> None:
        assert opened("02:10-02:50 Europe/Zurich", "2026-03-28T20:00", "2026-03-29T12:00") == []

    def test_of_a_time_that_comes_twice_it_opens_at_the_first_and_closes_at_the_second(self) -> None:
        assert opened("02:30-04:00 Europe/Zurich", "2026-10-24T22:00", "2026-10-25T12:00") == [("25 00:30", "25 03:00")]
        assert opened("00:30-02:30 Europe/Zurich", "2026-10-24T22:00", "2026-10-25T12:00") == [("24 22:30", "25 01:30")]
        assert opened("02:15-02:45 Europe/Zurich", "2026-10-24T22:00", "2026-10-25T12:00") == [("25 00:15", "25 01:45")]

    def test_a_day_that_a_zone_left_out(self) -> None:
        """Samoa had no 2011-12-30: after the 29th at 24:00 (10:00 UTC of the 30th) came the 31st."""
        assert opened("09:00-17:00 Pacific/Apia", "2011-12-29T12:00", "2011-12-31T12:00") == [
            ("29 19:00", "30 03:00"), ("30 19:00", "31 03:00"),
        ]  # fmt: skip


class TestWords:
    def test_days_are_those_on_which_it_opens(self) -> None:
        found = opened("mon-fri 22:00-07:00 UTC", "2026-11-27T00:00", "2026-12-01T12:00")  # from a Friday on
        assert found == [("26 22:00", "27 07:00"), ("27 22:00", "28 07:00"), ("30 22:00", "01 07:00")]

    def test_days_go_around_the_end_of_the_week(self) -> None:
        assert parse("sat-mon,wed 1:00-2:00 UTC").days == {5, 6, 0, 2}

    def test_a_whole_day(self) -> None:
        found = instants([parse("sat,sun 00:00-24:00 UTC")], utc("2026-11-25"), utc("2026-12-02"))
        assert found == [(utc("2026-11-28"), utc("2026-11-30"))]

    def test_several_windows_are_one_where_they_touch(self) -> None:
        windows = [parse("20:00-22:00 UTC"), parse("22:00-02:00 UTC"), parse("21:00-23:00 UTC")]
        assert instants(windows, utc("2026-11-28T12:00"), utc("2026-11-29T12:00")) == [
            (utc("2026-11-28T20:00"), utc("2026-11-29T02:00"))
        ]

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            ("at night", "is no window"),
            ("22:00-07:00", "zone is missing"),
            ("22:00-07:00 Europe/Zurigo", "no time zone"),
            ("22:00-07:00 ../../etc/passwd", "no time zone"),
            ("25:00-07:00 UTC", "no time of day"),
            ("22:61-07:00 UTC", "no time of day"),
            ("sat 24:00-07:00 UTC", "open at 00:00 of the next one"),
            ("mon-fry 22:00-07:00 UTC", "are no days"),
        ],
    )
    def test_what_is_no_window_is_told(self, words: str, told: str) -> None:
        with pytest.raises(ValueError, match=told):
            parse(words)

    def test_words_are_read_back(self) -> None:
        for words in ("22:00-07:00 Europe/Zurich", "mon,tue,wed 09:30-12:00 UTC", "00:00-24:00 UTC", "20:00-00:00 UTC"):
            assert str(parse(words)) == words

    def test_the_next_time_of_a_clock(self) -> None:
        assert next_time("07:00 Europe/Zurich", utc("2026-11-28T18:00")) == utc("2026-11-29T06:00")
        assert next_time("07:00 Europe/Zurich", utc("2026-11-29T05:59")) == utc("2026-11-29T06:00")
        assert next_time("07:00 Europe/Zurich", utc("2026-11-29T06:00")) == utc("2026-11-30T06:00")

    def test_the_next_opening(self) -> None:
        windows = [parse("sat 08:00-09:00 UTC"), parse("22:00-07:00 UTC")]
        assert next_opening(windows, utc("2026-11-27T23:00")) == (utc("2026-11-28T08:00"), windows[0])
        assert next_opening(windows, utc("2026-11-28T08:00")) == (utc("2026-11-28T22:00"), windows[1])


@cache
def jumps(zone: str) -> tuple[int, ...]:
    """The days of these years, as ms, on which the zone's clock jumps."""
    info, found = ZoneInfo(zone), list[int]()
    at, before = datetime(YEARS[0], 1, 1, tzinfo=UTC), None
    while at.year <= YEARS[1]:
        offset = at.astimezone(info).utcoffset()
        if before is not None and offset != before:
            found.append(round(1000 * at.timestamp()) - DAY)
        before, at = offset, at + timedelta(days=1)
    return tuple(found)


def reference(window: Window, day: datetime) -> tuple[int, int] | None:
    """The window that opens on this day: open is the first minute whose clock is at or behind the time, closed is the
    last minute whose clock shows the time; if none does, the one behind the last that shows an earlier time."""
    zone = ZoneInfo(window.zone)
    opens_at = datetime.combine(day, window.opens)
    closes_at = datetime.combine(day + timedelta(days=window.closes <= window.opens), window.closes)
    start = round(1000 * opens_at.replace(tzinfo=UTC).timestamp()) - 15 * HOUR
    opens, closes = None, start
    for minute in range(start, start + 80 * HOUR, MINUTE):
        clock = datetime.fromtimestamp(minute / 1000, zone).replace(tzinfo=None)
        if opens is None and clock >= opens_at:
            opens = minute
        if clock < closes_at:
            closes = minute + MINUTE
        elif clock == closes_at:
            closes = minute
        elif clock > closes_at + timedelta(hours=4):
            break
    return (opens, closes) if opens is not None and opens < closes else None


@cache
def zones() -> tuple[str, ...]:
    """Every zone, but one only of those whose clocks go alike on each day of these years."""
    days = [datetime(YEARS[0], 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(12 * 365 + 3)]
    alike: dict[tuple[object, ...], str] = {}
    for name in sorted(available_timezones()):
        info = ZoneInfo(name)
        alike.setdefault(tuple(day.astimezone(info).utcoffset() for day in days), name)
    return tuple(alike.values())


def as_computed(window: Window, day: datetime) -> tuple[int, int] | None:
    """The window of this day alone."""
    alone = window._replace(days=frozenset({day.weekday()}))
    middle = round(1000 * datetime.combine(day, time(12), UTC).timestamp())
    found = instants([alone], middle - 3 * DAY, middle + 3 * DAY)
    assert len(found) <= 1
    return found[0] if found else None


def clock(minutes: int) -> time:
    return time(minutes % 1440 // 60, minutes % 60)


def test_every_zone_on_every_day_on_which_its_clock_jumps() -> None:
    looked = 0
    for zone in zones():
        dice = Random(zone)
        for jump in jumps(zone):
            before = datetime.fromtimestamp(jump / 1000, UTC).date()
            for shift in (0, 1):
                day = datetime.combine(before + timedelta(days=shift), time())
                # Most jumps are in the first hours of a day, at half or whole hours.
                edge = dice.choice((0, 60, 120, 180)) + dice.randrange(60)
                for opens, closes in ((edge, edge + dice.randrange(10, 120)), (22 * 60, edge)):
                    window = Window(ALWAYS, clock(opens), clock(closes), zone)
                    assert as_computed(window, day) == reference(window, day), (str(window), day)
                    looked += 1
    assert looked > 2_000


@given(st.data())
def test_any_zone_day_and_window(data: st.DataObject) -> None:
    zone = data.draw(st.sampled_from(sorted(available_timezones())))
    day = data.draw(st.datetimes(datetime(YEARS[0], 1, 1), datetime(YEARS[1], 12, 31)))  # noqa: DTZ001
    opens, closes = data.draw(st.integers(0, 1439)), data.draw(st.integers(0, 1439))
    window = Window(ALWAYS, clock(opens), clock(closes), zone)
    day = datetime.combine(day, time())
    assert as_computed(window, day) == reference(window, day)
