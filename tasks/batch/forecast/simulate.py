"""One night as it may go: a discrete-event simulation of jobs that go from pool to pool.

A process takes the step that came last, as hints lie in the broker; a job's first step goes when nothing else waits. An
outage takes the step in hand back. Jobs begin as the dispatcher lets them: the owner who had least of his share, his
batches in order, no more in flight than keeps the editors busy, while windows are open and budgets last. Of many jobs
that wait some go as one, with the work of all of them, and the fewer the nearer the end is: so a million jobs take not
much longer than a thousand.
"""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

from tasks.batch.forecast.learn import EDITOR, SEATS, Belief, Outage, Visits
from tasks.batch.forecast.world import NOTHING, Flying, Load, Spans, Used, World

_SPARE = 2
_NOTHING_NEW = 0.9  # of a budget, as in tasks/batch/terms.py
_MARGIN = 0.95  # of the time that is left: as in tasks/batch/pacing.py
_MOST_AWAY = 7.0
_MANY = 32  # jobs that go as one


@dataclass
class Run:
    """When each batch had ended, in seconds; those that had not by the horizon are left out. `busy` is of each pool, in
    process seconds until `span`; `used` what was used until then, by batch; `held`: a budget let nothing on. There were
    so many `events`."""

    ends: dict[str, float]
    busy: list[float]
    span: float
    used: list[tuple[str, Used]]
    held: bool
    events: int


@dataclass
class _Lane:
    """A load as it is worked on."""

    load: Load
    visits: Visits
    rounds: Sequence[float]
    editors: int  # its pool
    draw_s: float  # of an editor, for a render
    renders: float  # of a job, on average
    charge: float  # of a job, to its owner
    waiting: int = 0
    flying: int = 0
    gpu_s: float = 0.0
    bound: bool = False  # by budgets, or windows that hold what has begun


@dataclass(slots=True)
class _Unit:
    """Some jobs that go as one. `visits` are (pool, seconds), the next one last; `number` is of the event to come."""

    lane: _Lane
    jobs: int
    visits: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    number: int = 0
    until: float = 0.0  # its step is done
    parked: bool = False  # what begins next does not wait for it


@dataclass(slots=True)
class _Desk:
    """A pool: processes that are free, units that wait for one (the next one last), those in hand by their event."""

    idle: int
    processes: int  # with those that are away
    waiting: deque[_Unit] = field(default_factory=deque[_Unit])
    in_hand: dict[int, _Unit] = field(default_factory=dict[int, _Unit])


@dataclass(frozen=True)
class _Return:
    """Processes of a pool come back."""

    pool: int
    processes: int


Event = tuple[float, int, "_Unit | Outage | _Lane | _Return | None"]


def simulate(world: World, belief: Belief, wanted: Collection[str], horizon_s: float, dice: Random) -> Run:
    """Until every wanted batch has ended, or the horizon."""
    return _Night(world, belief, wanted, horizon_s, dice).run()


class _Night:
    def __init__(self, world: World, belief: Belief, wanted: Collection[str], horizon_s: float, dice: Random) -> None:
        self._world, self._belief, self._horizon, self._dice = world, belief, horizon_s, dice
        self._events: list[Event] = []
        self._number = 0
        self._desks = [
            _Desk(pool.servers, pool.servers + len(away)) for pool, away in zip(world.pools, belief.away, strict=True)
        ]
        self._busy = [0.0] * len(world.pools)
        self._owed: dict[str, float] = {}  # virtual times of owners
        lanes = [(load, self._lane(load, rounds)) for load, rounds in zip(world.loads, belief.rounds, strict=True)]
        self._lanes = [lane for _, lane in lanes if lane]
        endless = {load.batch for load, lane in lanes if not lane}  # nobody serves a part of it
        self._in_turn = [lane for lane in self._lanes if lane.waiting]
        self._flying = [0] * len(world.pools)  # of editors
        self._left = _jobs_of(world, set(wanted) - endless)
        self._ends = {batch: 0.0 for batch, left in self._left.items() if not left}
        self._purses = [NOTHING for _ in world.purses]
        self._held = False
        self._single = any(load.alone for load in world.loads)  # it must not wait for many that go as one
        self._places = {pool: self._places_of(pool) for pool in {lane.editors for lane in self._lanes}}

    def _lane(self, load: Load, rounds: Sequence[float]) -> _Lane | None:
        pool = self._world.pool_of(EDITOR + load.sort.model)
        visits = self._belief.visits[load.sort]
        served = all(self._world.pool_of(seat) is not None for seat in SEATS.values())
        if pool is None or not served or not all(self._desks[at].processes for at, _ in visits.of_round):
            return None
        renders = 1 + sum(1 - chance for chance in rounds)
        bound = bool(load.purses) or load.runs is not None
        draw_s = visits.mean(pool)
        return _Lane(load, visits, rounds, pool, draw_s, renders, renders * draw_s, load.waiting, bound=bound)

    def _places_of(self, pool: int) -> int:
        """How many jobs the dispatcher lets fly (tasks/batch/dispatch.py)."""
        visits = next(lane.visits for lane in self._lanes if lane.editors == pool)
        editors = self._desks[pool].processes
        drawn = visits.mean(pool)
        others = sum(visits.mean(n) for n in range(len(self._desks)) if n != pool)
        away = min(others / drawn if drawn else 0.0, _MOST_AWAY) * editors
        thinkers = sum(desk.processes for n, desk in enumerate(self._desks) if n != pool and visits.mean(n))
        most_away = thinkers + math.ceil(max(thinkers, editors) / 2) + _SPARE if thinkers else 0
        return round(editors + min(away + math.sqrt(away), most_away)) + _SPARE

    # --- events -----------------------------------------------------------------------------------

    def run(self) -> Run:
        self._begin()
        now = 0.0
        while self._events and len(self._ends) < len(self._left):
            now, number, what = heappop(self._events)
            if now >= self._horizon:
                break
            if type(what) is _Unit:
                if number == what.number:  # else its process was lost
                    self._go_on(now, what)
            elif isinstance(what, Outage):
                self._lose(now, what)
            elif isinstance(what, _Return):
                self._desks[what.pool].idle += what.processes
                self._serve(now, what.pool)
            elif isinstance(what, _Lane):  # a batch came
                self._lanes.append(what)
                self._in_turn.append(what)
                self._fill(now)
            else:  # a window opens
                self._fill(now)
        used = [(lane.load.batch, _used(lane, lane.gpu_s)) for lane in self._lanes]
        return Run(self._ends, self._busy, max(now, 1e-9), used, self._held, self._number)

    def _at(self, at: float, what: "_Unit | Outage | _Lane | _Return | None") -> None:
        self._number += 1
        heappush(self._events, (at, self._number, what))

    def _begin(self) -> None:
        for outage in self._belief.outages:
            self._at(outage.at, outage)
        for n, away in enumerate(self._belief.away):
            for seconds in away:
                self._at(seconds, _Return(n, 1))
        for at, load, rounds in self._belief.comers:
            if lane := self._lane(load, rounds):
                self._at(at, lane)
        for lane in self._lanes:
            self._take_up(lane)
            for opens, _ in lane.load.windows or ():  # of what comes later nobody knows windows
                if opens > 0:
                    self._at(opens, None)
        self._fill(0.0)

    def _take_up(self, lane: _Lane) -> None:
        """Its jobs in flight; those whose step runs first."""
        goes_on = 0.0 if lane.load.runs is None else _opening(lane.load.runs, 0.0)
        for job in sorted(lane.load.flying, key=lambda job: not job.running):
            lane.flying += 1
            self._flying[lane.editors] += 1
            unit = self._on_its_way(lane, job)
            if goes_on != 0.0:
                self._park(unit, 0.0)
            if goes_on is not None:
                unit.number = self._number + 1
                self._at(goes_on, unit)

    def _go_on(self, now: float, unit: _Unit) -> None:
        """What it waited for has come: its step is done, or its window opens."""
        freed = -1
        if unit.parked:
            unit.parked = False
            self._flying[unit.lane.editors] += 1
        if unit.visits and self._desks[unit.visits[-1][0]].in_hand.pop(unit.number, None):
            freed, seconds = unit.visits.pop()
            self._desks[freed].idle += 1
            self._busy[freed] += seconds
            if freed == unit.lane.editors:
                self._spend(unit.lane, seconds)
        if unit.visits:
            pool = unit.visits[-1][0]
            self._desks[pool].waiting.append(unit)
            self._serve(now, pool)
        else:
            self._end(now, unit)
        if freed >= 0 and self._desks[freed].waiting:
            self._serve(now, freed)

    def _serve(self, now: float, pool: int) -> None:
        desk = self._desks[pool]
        while desk.idle and desk.waiting:
            unit = desk.waiting.pop()
            if unit.lane.bound and self._stopped(now, unit):
                self._park(unit, now)
                continue
            desk.idle -= 1
            self._number += 1
            unit.number = self._number
            desk.in_hand[unit.number] = unit
            unit.until = now + unit.visits[-1][1]
            heappush(self._events, (unit.until, unit.number, unit))

    def _park(self, unit: _Unit, now: float) -> None:
        """Another job may begin in its place."""
        unit.parked = True
        self._flying[unit.lane.editors] -= 1
        self._at(now, None)

    def _end(self, now: float, unit: _Unit) -> None:
        lane = unit.lane
        lane.flying -= 1
        self._flying[lane.editors] -= 1
        batch = lane.load.batch
        if batch in self._left:
            self._left[batch] -= unit.jobs
            if not self._left[batch]:
                self._ends[batch] = now
        self._fill(now)

    def _stopped(self, now: float, unit: _Unit) -> bool:
        """A budget is spent, for good; or a window is shut that holds what has begun."""
        load = unit.lane.load
        if unit.visits[-1][0] == unit.lane.editors and self._share(load) >= 1:  # others use no budget up
            self._held = True
            return True
        if load.runs is None:
            return False
        opens = _opening(load.runs, now)
        if opens is not None and opens > now:
            unit.number = self._number + 1
            self._at(opens, unit)
        return opens != now

    def _spend(self, lane: _Lane, seconds: float) -> None:
        lane.gpu_s += seconds
        for purse in lane.load.purses:
            self._purses[purse] = self._purses[purse].plus(_used(lane, seconds))

    def _share(self, load: Load) -> float:
        """What is used of its budgets, the largest share."""
        return max((self._world.purses[n].share(self._purses[n]) for n in load.purses), default=0.0)

    def _lose(self, now: float, outage: Outage) -> None:
        """What these processes had in hand is begun anew, by whoever is free."""
        desk = self._desks[outage.pool]
        here = desk.idle + len(desk.in_hand)
        if self._dice.random() * desk.processes >= here:
            return  # it is away
        for _ in range(min(outage.servers, here)):
            if (n := int(self._dice.random() * (desk.idle + len(desk.in_hand)))) < desk.idle:
                desk.idle -= 1
                continue
            unit = desk.in_hand.pop([*desk.in_hand][n - desk.idle])
            pool, seconds = unit.visits[-1]  # of many that go as one, one is begun anew
            unit.visits[-1] = pool, min(seconds, unit.until - now + seconds / unit.jobs)
            unit.number = 0
            desk.waiting.append(unit)
        self._at(now + outage.seconds, _Return(outage.pool, min(outage.servers, here)))
        self._serve(now, outage.pool)

    # --- turns ------------------------------------------------------------------------------------

    def _fill(self, now: float) -> None:
        coarse = max(self._left.values(), default=0) // 8  # beside many jobs that are waited for, others need no detail
        for pool, places in self._places.items():
            while self._flying[pool] < places and (lane := self._next(pool, now)):
                jobs = 1 if self._single else min(lane.waiting, max(1, max(lane.waiting, coarse) // (4 * places)))
                lane.waiting -= jobs
                if not lane.waiting:
                    self._in_turn.remove(lane)
                lane.flying += 1
                self._flying[pool] += 1
                load, owner = lane.load, lane.load.owner
                self._owed[owner] = self._owed.get(owner, 0.0) + jobs * lane.charge / load.weight
                renders = self._renders(lane, jobs, 0)
                if load.by is not None:
                    items = jobs + lane.waiting + lane.flying - 1
                    renders = max(jobs, round(renders * self._squeeze(lane, now, items)))
                self._enter(now, self._unit(lane, jobs, renders))

    def _enter(self, now: float, unit: _Unit) -> None:
        pool = unit.visits[-1][0]
        self._desks[pool].waiting.appendleft(unit)
        self._serve(now, pool)

    def _squeeze(self, lane: _Lane, now: float, items: int) -> float:
        """The share of its renders that each of so many jobs may draw, so that all end in time (tasks/batch/pacing.py).

        Their batch gets the editors in the proportion of the weights of all who wait.
        """
        load = lane.load
        waiting = {each.load.owner: each.load.weight for each in self._in_turn if each is not lane}
        waiting.pop(load.owner, None)
        part = load.weight / (load.weight + sum(waiting.values()))
        left = _MARGIN * ((load.by or 0.0) - now - lane.charge) * self._desks[lane.editors].processes * part
        return min(1.0, max(0.0, left / max(lane.charge * items, 1e-9)))

    def _next(self, pool: int, now: float) -> _Lane | None:
        able = [lane for lane in self._in_turn if lane.editors == pool and self._may_begin(lane, now)]
        if len(able) < 2:
            return able[0] if able else None
        least = min((self._owed[lane.load.owner] for lane in able if lane.load.owner in self._owed), default=0.0)
        for lane in able:
            self._owed.setdefault(lane.load.owner, least)

        def place(lane: _Lane) -> tuple[bool, float, float]:
            return not lane.load.urgent, self._owed[lane.load.owner], lane.load.score

        return min(able, key=place)

    def _may_begin(self, lane: _Lane, now: float) -> bool:
        load = lane.load
        if load.most and lane.flying >= load.most:
            return False
        if load.purses and self._share(load) >= _NOTHING_NEW:
            self._held = True
            return False
        return load.windows is None or _opening(load.windows, now) == now

    def _on_its_way(self, lane: _Lane, job: Flying) -> _Unit:
        """A job in flight: of its present step some is done."""
        undecided = job.survived < job.renders
        renders = self._renders(lane, 1, job.survived)
        if lane.load.by is not None:
            items = lane.waiting + len(lane.load.flying)
            renders = max(1, round(renders * self._squeeze(lane, 0.0, items)))
        unit = self._unit(lane, 1, renders - undecided)
        if job.kind == "render":  # the other seats have had their turn of this round
            first = len(lane.visits.of_round)
            unit.visits[-first:] = [visit for visit in unit.visits[-first:] if visit[0] == lane.editors]
        if unit.visits and (job.running or job.kind != "render"):
            pool, seconds = unit.visits[-1]
            unit.visits[-1] = pool, seconds * self._dice.random()
        return unit

    def _unit(self, lane: _Lane, jobs: int, renders: int) -> _Unit:
        """What so many renders of these jobs ask of the pools."""
        unit, times = _Unit(lane, jobs), max(1, round(renders / jobs)) if renders else 0
        share, dice = renders / max(1, times), self._dice.random
        for _ in range(times):
            for pool, drawn in lane.visits.of_round:
                if share <= 4:
                    seconds = share * drawn[int(dice() * len(drawn))]
                else:
                    seconds = share / 4 * sum(drawn[int(dice() * len(drawn))] for _ in range(4))
                unit.visits.append((pool, seconds))
        unit.visits.reverse()
        return unit

    def _renders(self, lane: _Lane, jobs: int, behind: int) -> int:
        """All renders that these jobs still need; of many just begun the mean tells it."""
        if jobs > _MANY:
            return round(jobs * lane.renders)
        rounds, dice = lane.rounds, self._dice.random
        before = rounds[min(behind, len(rounds)) - 1] if behind else 0.0
        return sum(max(1, bisect_left(rounds, before + dice() * (1 - before)) + 1 - behind) for _ in range(jobs))


def _jobs_of(world: World, batches: Collection[str]) -> dict[str, int]:
    """How many each has before it."""
    found = dict[str, int]()
    for load in world.loads:
        if load.batch in batches:
            found[load.batch] = found.get(load.batch, 0) + load.waiting + len(load.flying)
    return found


def _used(lane: _Lane, seconds: float) -> Used:
    """What so many seconds of an editor count in budgets."""
    return lane.load.price.used(seconds / lane.draw_s if lane.draw_s else 0.0, seconds)


def _opening(spans: Spans, now: float) -> float | None:
    """When it is open from: `now` if it is; None: never again."""
    return next((max(now, opens) for opens, closes in spans if now < closes), None)
