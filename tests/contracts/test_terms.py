"""Windows, budgets, deadlines and spreading: what begins, what is held, and what is known of it after a wipe."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from director.types import Brief
from tasks.batch.pacing import LEAST, Pace
from tasks.batch.terms import Budget, ModelTerms, OwnerTerms
from tasks.batch.types import Batch, BatchStatus, ItemStatus, child_id
from tasks.entries import new_entry
from tasks.jobs import Job
from tasks.ledger.types import Refusal
from tests.perf.night_by_real import night as by_night
from tests.support.batches import MODEL, QUICK, BatchRig
from tests.support.scripted_studio import goals_of

HOUR, DAY = 3_600_000, 86_400_000
DEEP = {"candidates": 1, "rounds": 4, "editor": MODEL, "gate": "one-shot", "patience": 4}
UNMET = {f"t{n}": {"a": "missed"} for n in range(100)}


def window(night: BatchRig, first_h: float, last_h: float) -> str:
    """From and to so many hours from now, by the clock of UTC."""
    now = datetime.fromtimestamp(night.ledger.now_ms / 1000, UTC)
    return "-".join(f"{now + timedelta(hours=hours):%H:%M}" for hours in (first_h, last_h)) + " UTC"


def ruled(night: BatchRig, **settings: Any) -> None:
    """Another reconciler with these settings takes over."""
    night.settings = night.settings.model_copy(update=settings)
    night.reconciler = night.another()
    night.passes()


def running(night: BatchRig, batch: Batch) -> int:
    return night.standing(batch).counts.running


def go_on(night: BatchRig, passes: int = 10) -> None:
    for _ in range(passes):
        night.passes()
        night.work()
        night.rig.advance(6_000)  # what sleeps for a budget is looked at again


def told(night: BatchRig) -> list[str]:
    """What is to be told, in order."""
    return [json.loads(each)["event"] for each in night.rig.redis.lrange(f"{night.ledger.prefix}outbox", 0, -1)]


class TestWindows:
    def test_nothing_begins_before_it_opens(self, night: BatchRig) -> None:
        batch = night.start(items=4, terms={"windows": (window(night, 2, 5),)})
        go_on(night)
        assert (running(night, batch), night.drawn) == (0, [])
        night.rig.advance(2 * HOUR)
        night.serve()
        go_on(night)
        assert night.standing(batch).counts.done == 4

    @pytest.mark.parametrize(("at_close", "done"), [("finish", 4), ("hold", 0)])
    def test_at_its_close_what_was_begun_ends_or_is_held(self, night: BatchRig, at_close: str, done: int) -> None:
        batch = night.start(items=20, terms={"windows": (window(night, -1, 1),), "at_close": at_close})
        night.passes()
        night.work(4)  # the first step of each of the four
        night.rig.advance(2 * HOUR)
        night.serve()
        go_on(night)
        counts = night.standing(batch).counts
        assert (counts.done, counts.waiting) == (done, 16)
        night.rig.advance(22 * HOUR)
        night.serve()
        go_on(night, 40)
        assert night.standing(batch).counts.done == 20
        assert len(night.drawn) == 20

    def test_a_job_that_was_made_and_not_begun_waits_for_the_next_opening(self, night: BatchRig) -> None:
        batch = night.start(items=2, terms={"windows": (window(night, -1, 1),)})
        night.passes()
        assert running(night, batch) == 2
        night.rig.advance(2 * HOUR)
        hint = night.hints.popleft()
        assert night.ledger.claim(hint.job, 0, "w") is Refusal.PARKED
        go_on(night)
        assert night.drawn == []

    def test_a_patch_opens_it(self, night: BatchRig) -> None:
        batch = night.start(items=2, terms={"windows": (window(night, 2, 5),)})
        go_on(night, 2)
        night.batches.order(batch.id, "patch", terms={"windows": []})
        night.finish()
        assert night.standing(batch).counts.done == 2

    def test_a_patch_shuts_it_and_outlives_a_wipe(self, night: BatchRig) -> None:
        batch = night.start(items=20)
        later = window(night, 2, 5)
        night.batches.order(batch.id, "patch", terms={"windows": [later], "at_close": "hold"})
        night.forget()
        go_on(night)
        standing = night.standing(batch)
        assert (standing.terms.windows, standing.terms.at_close) == ((later,), "hold")
        assert night.drawn == []

    def test_its_instants_do_not_run_out(self, night: BatchRig) -> None:
        batch = night.start(items=2, terms={"windows": ("sun 03:00-03:01 UTC",)})
        for _ in range(8):  # weeks in which nobody serves
            night.rig.advance(7 * DAY - 60_000)
            night.passes()
        opens = night.rig.redis.hget(f"{night.ledger.prefix}batch:{batch.id}", "opens")
        last = int(str(opens).rpartition("-")[2])
        assert last > night.ledger.now_ms + 6 * DAY

    def test_an_owner_has_windows_for_batches_and_single_jobs(self, night: BatchRig) -> None:
        ruled(night, owners={"alice": OwnerTerms(windows=(window(night, 2, 5),))})
        batch, other = night.start(items=2), night.start("other", items=2, owner="bob")
        single = single_job(night)
        go_on(night)
        record = night.ledger.get(single.id)
        assert record and record.parked
        assert sorted(night.drawn) == ["t0", "t1"], "the other owner's"
        assert night.standing(other).counts.done == 2
        night.rig.advance(2 * HOUR)
        night.serve()
        night.finish()
        assert night.standing(batch).counts.done == 2
        assert sorted(night.drawn) == ["single", "t0", "t0", "t1", "t1"]

    def test_a_model_has_windows(self, night: BatchRig) -> None:
        ruled(night, models={MODEL: ModelTerms(windows=(window(night, 2, 5),))})
        batch = night.start(items=2)
        go_on(night)
        assert (running(night, batch), night.drawn) == (0, [])
        bar = night.batches.terms.bar_of_batch(batch.id)
        assert bar and (bar.what, bar.whose, bar.model) == ("window", "model", MODEL)
        ruled(night, models={})
        night.finish()
        assert night.standing(batch).counts.done == 2


def single_job(night: BatchRig) -> Job:
    job = Job.model_validate(
        {
            "id": "0b1a64f4-52a4-5c0e-8d5c-52f4f9f6f2a1", "owner": "alice", "settings": QUICK, "seed": 1,
            "created": 1.0, "brief": Brief(text="A poster. " * 3, title="single", goals=goals_of("a")),
        }
    )  # fmt: skip
    night.archive.save_job(job)
    night.archive.mark_live(job.id)
    entry = new_entry(job)
    assert night.ledger.create(entry)
    night.hints.append(entry.hint)
    return job


class TestBudgets:
    def test_from_nine_tenths_nothing_new_begins(self, night: BatchRig) -> None:
        batch = night.start(items=40, terms={"budget": {"renders": 20}})
        go_on(night, 40)
        counts = night.standing(batch).counts
        assert 18 <= counts.done <= 18 + 4, "what was in flight ended"
        assert (counts.running, counts.waiting) == (0, 40 - counts.done)

    def test_at_the_limit_it_is_held_and_a_patch_lets_it_on(self, night: BatchRig) -> None:
        night.outcomes.update(UNMET)
        batch = night.start(items=40, settings=DEEP, terms={"budget": {"renders": 10}})
        go_on(night, 40)
        assert 10 <= len(night.drawn) <= 10 + 4
        bar = night.batches.terms.bar_of_batch(batch.id)
        assert bar and (bar.what, bar.whose, bar.unit) == ("budget", "batch", "renders")
        held = running(night, batch)
        assert held > 0
        night.batches.order(batch.id, "patch", terms={"budget": Budget(renders=1000).model_dump()})
        night.finish()
        assert (night.standing(batch).counts.unmet, len(night.drawn)) == (40, 160)

    def test_what_was_drawn_for_the_last_of_it_is_looked_at_and_ends(self, night: BatchRig) -> None:
        batch = night.start(items=4, terms={"budget": {"renders": 4}})
        go_on(night)
        counts = night.standing(batch).counts
        assert (counts.done, counts.running, len(night.drawn)) == (4, 0, 4)

    @pytest.mark.parametrize("seed", range(4))
    def test_no_wipe_lets_it_pass_its_budget_by_more_than_what_was_in_flight(self, night: BatchRig, seed: int) -> None:
        """Wipes at any step; a step that runs then is lost, and its renders are told behind the wipe."""
        dice = Random(seed)
        night.outcomes.update(UNMET)
        batch = night.start(items=40, settings=DEEP, terms={"budget": {"renders": 30}})
        for _ in range(60):
            night.passes()
            night.work(dice.randint(0, 6))
            night.rig.advance(6_000)
            if dice.random() < 0.15:
                night.forget()
        standing = night.standing(batch)
        assert 27 <= len(night.drawn) <= 30 + 4
        assert standing.spent.renders >= len(night.drawn), "none is forgotten"

    def test_after_a_wipe_nothing_is_admitted_until_the_spend_is_known(self, night: BatchRig) -> None:
        night.outcomes.update(UNMET)
        batch = night.start(items=40, settings=DEEP, terms={"budget": {"renders": 30}})
        night.passes()
        night.work(12)
        night.rig.wipe()
        night.hints.clear()
        night.reconciler = night.another()
        assert night.reconciler.rebuild()
        night.serve()
        in_flight = running(night, batch)
        for part in night.dispatcher.parts():
            part()
        bar = night.batches.terms.bar_of_batch(batch.id)
        assert bar and bar.what == "unknown"
        assert running(night, batch) == in_flight
        child = night.batches.ledger.children(batch.id, 0, 1)[0][0]
        assert night.ledger.claim(child.job, child.step, "w") is Refusal.PARKED
        night.reconciler.restore_costs()
        assert night.batches.terms.bar_of_batch(batch.id) is None
        go_on(night, 20)
        assert night.standing(batch).counts.unmet > 0

    def test_a_failed_item_that_is_retried_is_paid_once(self, night: BatchRig) -> None:
        night.outcomes["t0"] = {"fails": True}
        batch = night.start(items=2, settings=DEEP)
        night.finish()
        night.outcomes["t0"] = {"a": "missed"}
        night.batches.order(batch.id, "retry", what=(ItemStatus.FAILED,))
        night.finish()
        before = night.standing(batch).spent
        assert before.renders == 1 + 4  # what failed drew nothing
        night.forget()
        night.batches.enter(batch)
        assert night.standing(batch).spent == before

    def test_money_is_counted_by_the_prices_of_models(self, night: BatchRig) -> None:
        ruled(night, models={MODEL: ModelTerms(render=0.25)})
        batch = night.start(items=20, terms={"budget": {"money": 1.0, "currency": "eur"}})
        go_on(night, 30)
        standing = night.standing(batch)
        assert 1.0 <= standing.spent.money <= 2.0
        assert standing.spent.money == 0.25 * len(night.drawn)
        night.forget()
        assert night.standing(batch).spent.money == standing.spent.money

    def test_an_owner_has_a_budget_over_all_his_work(self, night: BatchRig) -> None:
        ruled(night, owners={"alice": OwnerTerms(budget=Budget(renders=10))})
        first, second = night.start("first", items=8), night.start("second", items=8)
        go_on(night, 40)
        assert 9 <= len(night.drawn) <= 10 + 4
        bar = night.batches.terms.bar_of_batch(second.id)
        assert bar and (bar.what, bar.whose) == ("budget", "owner")
        drawn = len(night.drawn)
        night.forget()
        go_on(night, 20)
        assert len(night.drawn) == drawn, "a wipe makes nobody richer"
        single_job(night)
        go_on(night)
        assert ("single" in night.drawn) == (drawn < 10), "at the limit his single jobs wait, too"
        ruled(night, owners={})
        night.finish()
        assert all(night.standing(each).counts.done == 8 for each in (first, second))

    def test_an_older_redis_makes_no_owner_richer(self, night: BatchRig) -> None:
        ruled(night, owners={"alice": OwnerTerms(budget=Budget(renders=10))})
        night.start(items=20)
        go_on(night, 1)
        copy = night.rig.dump()
        go_on(night, 20)
        drawn = len(night.drawn)
        night.rig.wipe()
        night.rig.load(copy)
        night.hints.clear()
        night.serve()
        night.passes(2)
        assert night.batches.terms.spent_by("alice").spent.renders == drawn

    def test_a_budget_of_two_units_is_told_once(self, night: BatchRig) -> None:
        night.outcomes.update(UNMET)
        batch = night.start(items=4, settings=DEEP, terms={"budget": {"renders": 10, "money": 1.0, "currency": "eur"}})
        night.passes()
        night.rig.redis.hset(f"{night.ledger.prefix}batch:{batch.id}", "spent_money", 950_000)
        go_on(night)
        assert told(night) == ["batch.started", "batch.budget", "batch.held"]


class TestPlaces:
    @pytest.mark.parametrize("how", ["paused", "held"])
    def test_what_is_held_takes_no_other_batchs_place(self, night: BatchRig, how: str) -> None:
        first = night.start(items=40)
        night.passes()
        assert night.standing(first).counts.running
        if how == "paused":
            night.batches.order(first.id, "pause")
        else:
            night.batches.order(first.id, "patch", terms={"windows": (window(night, 2, 5),), "at_close": "hold"})
        second = night.start("second", items=6)
        go_on(night)
        assert (night.standing(second).counts.done, night.standing(first).counts.done) == (6, 0)
        night.batches.order(first.id, "cancel")
        night.finish()
        assert {lane.flying for lane in night.batches.ledger.lanes([night.model])} == {0}

    def test_what_an_earlier_version_parked_is_counted_once(self, night: BatchRig) -> None:
        first = night.start(items=4)
        night.passes()
        night.batches.order(first.id, "pause")
        go_on(night)
        redis = night.rig.redis
        (parked,) = redis.keys("*parked:*")
        for job in redis.smembers(parked):
            redis.hdel(next(iter(redis.keys(f"*job:{job}"))), "apart")
            redis.hincrby(next(iter(redis.keys("*flying"))), night.model, 1)
        night.batches.order(first.id, "resume")
        night.finish()
        assert night.standing(first).counts.done == 4
        assert {lane.flying for lane in night.batches.ledger.lanes([night.model])} == {0}


class TestDeadlines:
    def test_late_is_told_once_and_nothing_is_thrown_away(self, night: BatchRig) -> None:
        now = night.ledger.now_ms / 1000
        batch = night.start(items=2, terms={"deadline": now + 3600})
        assert night.batches.terms.late() == []
        night.rig.advance(2 * HOUR)
        assert night.batches.terms.late() == [batch.id]
        assert night.batches.terms.late() == []
        night.serve()
        night.finish()
        standing = night.standing(batch)
        assert (standing.counts.done, standing.late > now + 3600) == (2, True)

    def test_a_later_deadline_is_not_missed(self, night: BatchRig) -> None:
        now = night.ledger.now_ms / 1000
        batch = night.start(items=2, terms={"deadline": now - 10})
        night.passes()
        assert night.standing(batch).late
        night.batches.order(batch.id, "patch", terms={"deadline": now + 3600})
        assert not night.standing(batch).late
        night.finish()
        assert not night.standing(batch).late


class TestBy:
    def prices(self, night: BatchRig, batch: Batch) -> list[float]:
        """Of the jobs that were made, by item."""
        jobs = (night.archive.find_job(child_id(batch.id, n, 0)) for n in range(batch.total))
        return [job.settings.price_of_render for job in jobs if job]

    def test_a_batch_that_has_too_little_time_raises_the_price_from_job_to_job(self, night: BatchRig) -> None:
        night.outcomes.update(UNMET)
        now = night.ledger.now_ms / 1000
        batch = night.start(items=40, settings=DEEP, terms={"deadline": now - 1, "by": True})
        go_on(night, 8)
        prices = self.prices(night, batch)
        assert prices[0] == 0.0
        assert prices == sorted(prices)
        assert prices[-1] > 2 * LEAST
        assert night.standing(batch).price == prices[-1]

    def test_a_batch_that_has_all_the_time_asks_no_price(self, night: BatchRig) -> None:
        now = night.ledger.now_ms / 1000
        batch = night.start(items=40, terms={"deadline": now + 10 * 86_400, "by": True})
        go_on(night, 4)
        assert set(self.prices(night, batch)) == {0.0}

    def test_jobs_own_price_is_not_lowered_and_a_patch_ends_it(self, night: BatchRig) -> None:
        now = night.ledger.now_ms / 1000
        own = {**QUICK, "price_of_render": 3.0}
        batch = night.start(items=40, settings=own, terms={"deadline": now + 86_400, "by": True})
        go_on(night, 2)
        assert set(self.prices(night, batch)) == {3.0}
        night.batches.order(batch.id, "patch", terms={"deadline": None, "by": False})
        assert night.standing(batch).price is None

    @pytest.mark.parametrize("way", ["later", "away and back"])
    def test_another_deadline_is_a_new_price_before_any_item_ends(self, night: BatchRig, way: str) -> None:
        now = night.ledger.now_ms / 1000
        batch = night.start(items=40, terms={"deadline": now + 60, "by": True})
        night.passes()
        dear = Pace(8.0, now, 0, 0.0, 30.0, 1.0)
        night.batches.terms.set_pace(batch.id, 8.0, dear)
        if way == "away and back":
            night.batches.order(batch.id, "patch", terms={"deadline": None, "by": False})
        night.batches.order(batch.id, "patch", terms={"deadline": now + 10 * 86_400, "by": True})
        night.passes()
        [paced] = night.batches.terms.paces()
        assert (paced.pace and paced.pace.price, night.standing(batch).price) == (LEAST, 0.0)
        night.batches.terms.set_pace(batch.id, 8.0, dear)
        night.batches.order(batch.id, "patch", title="other")
        assert [each.pace for each in night.batches.terms.paces()] == [dear]

    def test_a_price_that_rises_reaches_jobs_in_flight(self, night: BatchRig) -> None:
        night.outcomes.update(UNMET)
        now = night.ledger.now_ms / 1000
        batch = night.start(items=2, settings=DEEP, terms={"deadline": now + 10 * 86_400, "by": True})
        night.passes()
        while len(night.drawn) < 2:
            night.work(1)
        night.batches.terms.set_pace(batch.id, 5.0, Pace(5.0, now, 0, 0.0, 0.0, 1.0))
        night.finish()
        assert sorted(night.drawn) == ["t0", "t1"]
        assert {result.stop for result in night.results(batch).values()} == {"stalled"}
        assert set(self.prices(night, batch)) == {0.0}

    def test_a_job_that_is_made_again_keeps_its_price(self, night: BatchRig) -> None:
        batch = night.start(items=1)
        [pick] = night.batches.ledger.pick(MODEL, 1, 30_000)
        night.dispatcher.make(replace(pick, price=0.5))
        [child] = night.batches.ledger.children(batch.id, 0, 1)[0]
        assert night.ledger.drop(child.job)
        night.dispatcher.make(replace(pick, price=2.0))
        assert self.prices(night, batch) == [0.5]


class TestSpread:
    def test_each_item_has_a_picture_before_any_goes_deeper(self, night: BatchRig) -> None:
        night.outcomes.update(UNMET)
        night.editors = 2
        night.serve()
        night.start(items=12, settings=DEEP, terms={"spread": True})
        night.finish()
        assert len(night.drawn) == 48
        firsts = {title: night.drawn.index(title) for title in night.drawn}
        seconds = {title: night.drawn.index(title, firsts[title] + 1) for title in firsts}
        # Those that are drawn while the last items begin need not wait for these.
        assert sum(second < max(firsts.values()) for second in seconds.values()) <= 4

    def test_few_are_in_flight_for_the_editors_all_the_time(self, night: BatchRig) -> None:
        night.outcomes.update(UNMET)
        batch = night.start(items=12, settings=DEEP, most=3, terms={"spread": True})
        most, flying = 0, 0
        while night.standing(batch).status is not BatchStatus.ENDED:
            night.passes()
            most = max(most, running(night, batch))
            flying = max(flying, night.batches.ledger.lanes([MODEL])[0].flying)
            night.work(3)
        assert (most, flying) == (12, 3)
        assert night.batches.ledger.lanes([MODEL])[0].flying == 0

    def test_a_pause_and_a_cancel_of_what_waits_for_the_others(self, night: BatchRig) -> None:
        night.outcomes.update(UNMET)
        batch = night.start(items=12, settings=DEEP, terms={"spread": True})
        go_on(night, 2)
        night.batches.order(batch.id, "pause")
        go_on(night, 2)
        night.batches.order(batch.id, "resume")
        go_on(night, 2)
        night.forget()
        go_on(night, 1)
        night.batches.order(batch.id, "cancel")
        go_on(night)
        counts = night.standing(batch).counts
        assert (counts.cancelled > 0, counts.cancelled + counts.unmet) == (True, 12)
        assert night.batches.ledger.lanes([MODEL])[0].flying == 0
        assert not night.rig.redis.keys("*deferred*")


def test_a_night_ends_in_time_at_the_price_that_the_dispatcher_sets() -> None:
    """A part of `python -m tests.perf.night_by_real`: all is real but the clock, steps and what renders bring."""
    free = by_night(1, briefs=30, editors=2)
    paced = by_night(1, briefs=30, editors=2, by_s=0.6 * free.took_s)
    assert paced.took_s <= 0.6 * free.took_s
    assert 0.7 * free.goals <= paced.goals < free.goals
