"""The forecast: what it makes of a world that is known, and of what the ledger tells."""

import json
from dataclasses import replace
from random import Random
from statistics import fmean

import pytest

from director.errors import Actor, BriefError
from tasks.batch.forecast.census import pools_of, world_of
from tasks.batch.forecast.eta import LEAST_RUNS, forecast
from tasks.batch.forecast.learn import Belief, Outage, Visits, believe, ended_after, losses, troubled
from tasks.batch.forecast.plan import Ask, plan
from tasks.batch.forecast.rules import Rules
from tasks.batch.forecast.simulate import simulate
from tasks.batch.forecast.small import Small
from tasks.batch.forecast.world import Done, Flying, Load, Measured, Pool, Price, Purse, Sort, Used, World
from tests.support.ledgers import PLAN, RENDER, LedgerRig, in_process

SORT = Sort("flux", "512x512x1")
NOW = 1_000_000.0
SEATS = ("judge", "planner", "verifier")
STEADY = Measured(
    {kind: [seconds] * 50 for kind, seconds in (("render", 10.0), ("plan", 1.0), ("select", 1.0), ("verify", 1.0))},
    {"render": 50, "plan": 50, "select": 50, "verify": 50},
    [Done(2, 3)] * 50,
)


def world(items: int, editors: int = 4, **load: object) -> World:
    pools = [Pool(("editor.flux",), editors), Pool(SEATS, 8)]
    made = Load("b", "alice", SORT, items, done=STEADY.done, most_renders=6)
    return World(NOW, pools, [replace(made, **load)], {SORT: STEADY})  # pyright: ignore[reportArgumentType]


def test_a_steady_night_ends_when_its_work_is_done() -> None:
    eta = forecast(world(200), ["b"], seed=1)["b"]
    assert eta.p50 == pytest.approx(200 * 2 * 10 / 4, rel=0.1)
    assert eta.p10 <= eta.p50 <= eta.p90
    assert eta.limits == "editors of flux"
    assert eta.knows_little_of == ()


def test_what_limits_is_told_of_what_the_batch_needs() -> None:
    """Editors that serve more models, and busier ones that serve others."""
    alone = world(200)
    other = Load("c", "bob", Sort("qwen", "512x512x1"), 55, done=STEADY.done, most_renders=6)
    pools = [Pool(("editor.flux", "editor.flux.draft", "editor.x", "editor.y"), 4), *alone.pools[1:]]
    pools.append(Pool(("editor.qwen",), 1))
    both = replace(alone, pools=pools, loads=[*alone.loads, other], measured={SORT: STEADY, other.sort: STEADY})
    found = forecast(both, ["b", "c"], seed=1, runs=5)
    assert (found["b"].limits, found["c"].limits) == ("editors of flux", "editors of qwen")


def test_the_same_world_and_seed_give_the_same_answer() -> None:
    assert forecast(world(50), ["b"], 7) == forecast(world(50), ["b"], 7)


def test_many_items_take_as_long_as_their_work() -> None:
    eta = forecast(world(100_000), ["b"], 1, runs=5)["b"]
    assert eta.p50 == pytest.approx(100_000 * 2 * 10 / 4, rel=0.1)


def test_nothing_begins_before_its_window_opens() -> None:
    opens = forecast(world(40, windows=[(5_000.0, 90_000.0)]), ["b"], 1)["b"]
    free = forecast(world(40), ["b"], 1)["b"]
    assert opens.p10 > 5_000
    assert opens.p50 == pytest.approx(5_000 + free.p50, rel=0.1)


def test_owners_share_so_a_batch_of_another_owner_doubles_the_wait() -> None:
    alone = forecast(world(100), ["b"], 1)["b"]
    shared = world(100)
    both = replace(shared, loads=[*shared.loads, replace(shared.loads[0], batch="c", owner="bob")])
    assert forecast(both, ["b"], 1)["b"].p50 == pytest.approx(2 * alone.p50, rel=0.15)


def test_where_nobody_serves_there_is_no_answer() -> None:
    nobody = world(10)
    assert forecast(replace(nobody, pools=nobody.pools[:1]), ["b"], 1) == {}
    assert forecast(replace(nobody, pools=nobody.pools[1:]), ["b"], 1) == {}


def test_it_says_what_was_measured_too_seldom() -> None:
    few = replace(STEADY, times={**STEADY.times, "render": [10.0] * 3})
    said = forecast(replace(world(10), measured={SORT: few}), ["b"], 1)["b"].knows_little_of
    assert said == ("3 render steps of flux at 512x512x1 measured; 20 needed",)


def test_that_short_jobs_end_first_misleads_nobody() -> None:
    """Ten of one render have ended, and ten go on behind three: a job takes more than one."""
    flying = [Flying(3, "render", running=True)] * 10
    assert renders_of(flying, [Done(1, 3)] * 10) > 2


def renders_of(flying: list[Flying], done: list[Done]) -> float:
    """Of a job, as it is believed on average."""
    load, dice = Load("b", "alice", SORT, 0, flying, done, most_renders=12), Random(1)
    return fmean(1 + sum(1 - chance for chance in ended_after(load, None, dice)) for _ in range(200))


def test_the_longer_jobs_in_flight_have_gone_on_the_more_renders_are_believed_in() -> None:
    one = [Done(1, 3)] * 6
    believed = [renders_of([Flying(n, "render", running=True)] * 4, one) for n in (0, 1, 3, 6, 9)]
    assert believed == sorted(believed)
    assert believed[-1] > 2 * believed[0]


def test_where_no_job_ended_before_its_fourth_render_few_will() -> None:
    """Chances behind single renders lie around a curve, so it knows of those behind which nobody was seen to end."""
    done = [Done(4, 3), Done(5, 3)] * 4
    load, dice = Load("b", "alice", SORT, 0, (), done, most_renders=12), Random(1)
    early = fmean(ended_after(load, None, dice)[1] for _ in range(200))
    assert early < 0.15
    assert 4 <= renders_of([], done) <= 5.5


def known(load_count: int, outages: list[Outage]) -> Belief:
    """Each job has one render of 10 s, and nothing else takes time."""
    return Belief({SORT: Visits([(1, [0.0]), (0, [10.0])])}, [[1.0]] * load_count, [[], []], outages, [])


def test_an_outage_takes_the_step_in_hand_back() -> None:
    """Away from 4 to 9 s, and then the whole step again; one that comes when all is done changes nothing."""
    ends = [
        simulate(world(1, editors=1), known(1, [Outage(at, 0, 1, 5.0)]), ["b"], 1e6, Random(1)).ends["b"]
        for at in (4.0, 11.0)
    ]
    assert ends == [19.0, 10.0]


def test_another_editor_takes_what_an_outage_took() -> None:
    two = world(1, editors=2)
    ends = {simulate(two, known(1, [Outage(4.0, 0, 1, 1e5)]), ["b"], 1e6, Random(n)).ends["b"] for n in range(20)}
    assert ends == {10.0, 14.0}  # the idle one went, or the one at work


def test_the_step_that_came_last_goes_first() -> None:
    one = world(0, editors=1, flying=[Flying(0, "render", running=False)])
    queue = replace(one, loads=[replace(one.loads[0], batch=batch) for batch in "abc"])
    assert simulate(queue, known(3, []), "abc", 1e6, Random(1)).ends == {"a": 10.0, "c": 20.0, "b": 30.0}


def seen(outages: int) -> World:
    """Six hours with so many, of 600 s each, of one of four editors."""
    log = [(NOW - 21_600, 4)]
    for n in range(outages):
        log += [(NOW - 20_000 + 1600 * n, 3), (NOW - 19_400 + 1600 * n, 4)]
    made = world(800)
    return replace(made, pools=[replace(made.pools[0], log=log), replace(made.pools[1], log=[(NOW - 21_600, 8)])])


def test_the_more_outages_were_seen_the_more_are_believed_in_and_the_later_is_the_end() -> None:
    lost = list[float]()
    for outages in (0, 2, 6, 12):
        beliefs = [believe(seen(outages), 36_000, Random(n)) for n in range(100)]
        lost.append(fmean(sum(each.seconds for each in one.outages if each.pool == 0) for one in beliefs))
    assert lost == sorted(lost)
    none, many = (forecast(seen(outages), ["b"], 1)["b"].p50 for outages in (0, 12))
    assert many > 1.02 * none


def test_outages_are_read_from_who_served_when() -> None:
    found = losses([(NOW - 5000, 4), (NOW - 4000, 3), (NOW - 3400, 4), (NOW - 100, 2)], NOW)
    assert found.sizes == [1, 2]
    assert found.lasted == [600]
    assert found.open == [100, 100]
    assert found.seconds == 1000 * 4 + 600 * 3 + 3300 * 4 + 100 * 2


def test_a_machine_that_stays_for_days_is_known_to_stay() -> None:
    assert losses([(NOW - 300_000, 4)], NOW).seconds == 4 * 86_400
    dice = Random(1)
    pools = [Pool(("editor.flux",), 4), Pool(SEATS, 8, each=8)]
    new, steady = ([losses(log, NOW)] * 2 for log in ([(NOW - 60, 4)], [(NOW - 300_000, 4)]))
    seldom = [fmean(1 / troubled(pools, lost, dice)[0].each_s for _ in range(200)) for lost in (new, steady)]
    assert seldom[1] < seldom[0] / 2


def test_the_processes_of_a_worker_go_and_come_together() -> None:
    log = [(NOW - 5000, 8), (NOW - 100, 0)]
    away = replace(world(4), pools=[Pool(("editor.flux",), 4), Pool(SEATS, 0, log, each=8)])
    (times,) = [belief.away[1] for belief in [believe(away, 1e6, Random(1))]]
    assert len(times) == 8
    assert len(set(times)) == 1
    outages = [each for n in range(20) for each in believe(away, 1e6, Random(n)).outages if each.pool == 1]
    assert {each.servers for each in outages} == {8}


def test_queues_that_share_a_worker_are_one_pool() -> None:
    rows = [("planner|a", "4"), ("judge|a", "4"), ("judge|b", "2"), ("editor.flux|c", "1"), ("control|a", "4")]
    pools = pools_of(rows, {})
    assert [(pool.queues, pool.servers) for pool in pools] == [
        (("control", "judge", "planner"), 6),
        (("editor.flux",), 1),
    ]


def test_one_card_less_is_not_enough() -> None:
    """1,000 briefs of two renders of 10 s are 20,000 s of cards: in 6,600 s that is four of them."""
    idle = replace(world(0), loads=[])
    found = plan(idle, Ask(1000, 3, SORT, 6_600.0, 6), seed=1)
    assert found.cards == 4
    assert [one.cards for one in found.around] == [3, 4, 5]
    chances = [one.chance for one in found.around]
    assert chances == sorted(chances)
    assert (found.least, found.safe) == (3, 4), "of three some night may be in time, if all goes faster"
    assert found.busy_hours == pytest.approx(20_000 / 3600, rel=0.1)


def test_more_cards_do_not_help_where_the_vlm_limits() -> None:
    idle = replace(world(0), loads=[], pools=[Pool(("editor.flux",), 4), Pool(SEATS, 1)])
    found = plan(idle, Ask(1000, 3, SORT, 1_000.0, 6), seed=1)
    assert (found.cards, found.least, found.safe) == (None, None, None)
    assert found.limits == "judge, planner, verifier"


def test_of_what_little_is_known_a_plan_tells_a_range() -> None:
    """One job has ended, with two renders: 40 of such take three cards."""
    idle = replace(world(0), loads=[], measured={SORT: replace(STEADY, done=[Done(2, 3)])})
    found = plan(idle, Ask(40, 3, SORT, 270.0, 6), seed=1, runs=10)
    assert found.least
    assert found.cards
    assert found.safe
    assert found.least < found.cards <= found.safe
    fixed = plan(idle, Ask(40, 3, SORT, 270.0, 6), seed=1, fixed=4, runs=10)
    assert (fixed.least, fixed.cards, fixed.safe) == (None, 4, None)


def test_a_plan_says_which_seats_nobody_serves() -> None:
    found = plan(replace(world(0), loads=[], pools=[]), Ask(10, 3, SORT, 1_000.0, 6), seed=1)
    assert (found.cards, found.limits) == (None, "that no worker serves judge, planner, verifier")


def test_a_plan_of_many_briefs_is_simulated_in_small() -> None:
    """A million briefs of two renders of 10 s are 20,000,000 s of cards: in 100,000 s that is 200 of them."""
    idle = replace(world(0), loads=[], pools=[Pool(("editor.flux",), 4), Pool(SEATS, 400)])
    found = plan(idle, Ask(1_000_000, 3, SORT, 100_000.0, 6), seed=1, runs=10)
    assert found.cards
    assert found.cards == pytest.approx(200, rel=0.15)
    assert found.renders == pytest.approx(2_000_000, rel=0.15)
    assert [one.cards for one in found.around] == [found.cards - 1, found.cards, found.cards + 1]
    assert found.around[0].chance < 0.8 <= found.around[1].chance


def test_one_part_of_a_world_ends_when_all_of_it_does() -> None:
    whole = world(2_000, editors=40)
    whole = replace(whole, pools=[whole.pools[0], Pool(SEATS, 30)])
    ends, busy = list[float](), list[list[float]]()
    for parts in (1.0, 4.0):
        runs = [Small.of(whole, parts).simulate(["b"], 1e4, 1e6, seed, Random(seed)) for seed in range(12)]
        ends.append(fmean(run.ends["b"] for run in runs))
        busy.append([fmean(run.busy[pool] for run in runs) for pool in (0, 1)])
    assert ends[1] == pytest.approx(ends[0], rel=0.03)
    assert busy[1] == pytest.approx(busy[0], rel=0.03)


def test_a_plan_of_more_cards_than_it_knows_is_refused() -> None:
    with pytest.raises(BriefError, match="cards at least until then; a plan knows 1,024") as refused:
        plan(replace(world(0), loads=[]), Ask(1_000_000, 3, SORT, 3_600.0, 6), seed=1)
    assert refused.value.field == "by"


def measured_rig() -> LedgerRig:
    rig = in_process()
    rig.open()
    rig.ledger.announce("editor@a", ["editor.flux"], 60_000)
    rig.ledger.announce("vlm@a", list(SEATS), 60_000, processes=5)
    rig.submit("job-1", model="flux", size="512x512x1")
    for n, following in enumerate((RENDER, PLAN)):
        claim = rig.claimed(n)
        rig.advance(4_000)
        rig.ledger.commit("job-1", n, claim.nonce, "snapshot", following)
    return rig


def test_the_ledger_tells_what_was_measured_and_who_serves() -> None:
    rig = measured_rig()
    rig.ledger.run("note_capacity")
    found = world_of(rig.ledger, {})
    times = found.measured[SORT].times
    assert times["plan"] == pytest.approx([4.0], abs=0.5)
    assert times["render"] == pytest.approx([4.0], abs=0.5)
    assert {pool.queues: pool.servers for pool in found.pools} == {("editor.flux",): 1, SEATS: 5}
    assert [load.flying for load in found.loads] == [[Flying(1, "plan", running=False)]]


def test_how_long_steps_take_is_not_learned_from_those_that_fail() -> None:
    rig = measured_rig()
    claim = rig.claimed(2)
    rig.advance(50)
    rig.ledger.fail("job-1", 2, claim.nonce, "{}", Actor.OUTAGE, "vlm@a", 0, 0)
    found = world_of(rig.ledger, {}).measured[SORT]
    assert found.times["plan"] == pytest.approx([4.0], abs=0.5)


def test_who_went_away_and_came_back_is_noted_once() -> None:
    rig = measured_rig()
    for ttl in (60_000, 60_000, 0, 0, 60_000):
        rig.ledger.announce("editor@a", ["editor.flux"], ttl)
        rig.ledger.run("note_capacity")
        rig.advance(1_000)
    (log,) = [pool.log for pool in world_of(rig.ledger, {}).pools if "editor.flux" in pool.queues]
    assert [number for _, number in log] == [1, 0, 1]


def test_what_has_begun_stands_still_where_the_window_holds_it() -> None:
    spans = [(0.0, 100.0), (5_000.0, 90_000.0)]
    held = forecast(world(40, windows=spans, runs=spans), ["b"], 1)["b"]
    ends = forecast(world(0, flying=[Flying(1, "plan", running=True)] * 4, windows=spans), ["b"], 1)["b"]
    stays = forecast(world(0, flying=[Flying(0, "plan", running=False)] * 40, runs=[(5_000.0, 9e4)]), ["b"], 1)["b"]
    last = forecast(world(0, flying=[Flying(6, "verify", running=False)], runs=[(5_000.0, 9e4)]), ["b"], 1)["b"]
    assert min(held.p10, last.p10) >= 5_000
    assert ends.p90 < 1_000
    assert stays.p10 > 5_000


def test_a_budget_that_is_too_small_has_no_end() -> None:
    enough, short = (Purse(Used(pictures=limit), Used()) for limit in (400, 40))
    assert "b" in forecast(replace(world(100, purses=(0,)), purses=[enough]), ["b"], 1)
    assert forecast(replace(world(100, purses=(0,)), purses=[short]), ["b"], 1) == {}


def test_what_a_spent_budget_or_a_window_holds_takes_no_other_batchs_place() -> None:
    """As the dispatcher has it: it counts what may go on."""
    free = forecast(world(40), ["b"], 1)["b"]
    begun = [Flying(1, "plan", running=False)] * 40
    other = replace(world(0).loads[0], batch="held", owner="bob", flying=begun, windows=[(5_000.0, 9e4)])
    both = replace(world(40), loads=[*world(40).loads, replace(other, purses=(0,))])
    spent = replace(both, purses=[Purse(Used(pictures=40), Used(pictures=40))])
    shut = replace(both, loads=[*world(40).loads, replace(other, runs=[(5_000.0, 9e4)])])
    for barred in (spent, shut):
        assert forecast(barred, ["b"], 1)["b"].p50 == pytest.approx(free.p50, rel=0.2)


def test_it_says_what_the_rest_will_cost() -> None:
    """100 items of two renders of 10 s, at 3.60 an hour and 0.01 a picture."""
    eta = forecast(world(100, price=Price(of_picture=0.01, of_second=0.001)), ["b"], 1)["b"]
    assert eta.money == pytest.approx(100 * 2 * (0.01 + 10 * 0.001), rel=0.1)


def test_a_batch_that_is_to_end_by_a_time_draws_less() -> None:
    free = forecast(world(200), ["b"], 1)["b"]
    by = 0.7 * free.p50
    assert forecast(world(200, by=by), ["b"], 1)["b"].p50 == pytest.approx(by, rel=0.2)
    assert forecast(world(200, by=2 * free.p50), ["b"], 1)["b"].p50 == pytest.approx(free.p50, rel=0.05)


def test_windows_and_budgets_of_batch_owner_and_model_hold_together() -> None:
    terms = {
        "owner:alice": {"opens": "2000000-9000000", "limit_renders": "10", "spent_renders": "4"},
        "model:flux": {"opens": "1000000-3000000 8000000-9500000", "at_close": "hold", "per_gpu_hour": "3600000"},
    }
    rules = Rules(1_500_000, terms)
    batch = {"by": "1", "deadline_ms": "4500000", "limit_money": "5000000"}
    load = rules.applied(Load("b", "alice", SORT, 4), batch)
    assert load.windows == [(500.0, 1500.0), (6500.0, 7500.0)]
    assert load.runs == [(-500.0, 1500.0), (6500.0, 8000.0)]
    assert load.by == 3000
    assert load.price.used(3, 10).money == pytest.approx(0.01)
    assert [rules.purses[n] for n in load.purses] == [
        Purse(Used(money=5.0), Used()),
        Purse(Used(pictures=10), Used(pictures=4)),
    ]
    assert rules.applied(Load("c", "alice", SORT, 4), {}).purses == (1,)


def test_what_the_ledger_says_of_windows_and_budgets_is_read() -> None:
    rig = measured_rig()
    rig.ledger.run("rules", json.dumps({"model:flux": {"opens": "0-1", "at_close": "finish"}}))
    (load,) = world_of(rig.ledger, {}).loads
    assert load.windows == []


def test_of_single_jobs_those_that_go_before_the_one_that_is_asked_about_are_told() -> None:
    rig = in_process()
    rig.open()
    rig.submit("begun", model="flux", size="512x512x1")
    claim = rig.claimed(0, job="begun")
    rig.ledger.commit("begun", 0, claim.nonce, "snapshot", RENDER)
    for job, created_ms, priority in (
        ("first", 2_000, 5), ("mine", 3_000, 5), ("behind", 4_000, 5), ("urgent", 5_000, 0), ("last", 1_500, 9)
    ):  # fmt: skip
        rig.submit(job, model="flux", size="512x512x1", created_ms=created_ms, priority=priority)
    before = {load.batch: len(load.flying) + load.waiting for load in world_of(rig.ledger, {}, "mine").loads}
    assert before == {"": 3, "mine": 1}
    of_begun = {load.batch: len(load.flying) + load.waiting for load in world_of(rig.ledger, {}, "begun").loads}
    assert of_begun == {"begun": 1}
    assert sum(len(load.flying) for load in world_of(rig.ledger, {}).loads) == 6
    assert [load.alone for load in world_of(rig.ledger, {}, "nobody").loads] == [False]


def test_a_single_job_waits_for_no_more_than_is_in_flight() -> None:
    some = world(4_000, editors=2)
    mine = Load("mine", "bob", SORT, 0, [Flying(0, "extract", running=False)], STEADY.done, alone=True)
    eta = forecast(replace(some, loads=[*some.loads, mine]), ["mine"], 1, runs=20)["mine"]
    assert 20 < eta.p50 < 200, "two renders of 10 s, behind eight jobs at most; all of the others take 11 hours"


def test_where_runs_take_long_fewer_are_made() -> None:
    assert forecast(world(40), ["b"], 1, most_events=1) == forecast(world(40), ["b"], 1, runs=LEAST_RUNS)
    assert forecast(world(40), ["b"], 1, most_events=1) != forecast(world(40), ["b"], 1)


def test_a_batch_of_which_a_part_is_served_by_nobody_has_no_end() -> None:
    some = world(40)
    both = replace(some, loads=[*some.loads, replace(some.loads[0], sort=SORT._replace(model="nobody"))])
    assert forecast(both, ["b"], 1) == {}
