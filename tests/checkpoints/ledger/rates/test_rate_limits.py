"""The timeline of a key: even, shared, slower after a refusal, and never trusted to one reading of a clock."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from signoff.checkpoints import current_owner
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.rates.pacing import (
    FIRST_PACE,
    LEAD,
    LEASE,
    SPAN,
    Flow,
    RateLimit,
    RateState,
    Refusal,
    Turn,
    count,
    hear,
    hold,
    refuse,
    report,
    take,
)
from signoff.checkpoints.ledger.rates.rate_limits import Rates
from signoff.checkpoints.ledger.schema import rates
from signoff.errors import DatabaseUnusable

FIFTY = RateLimit(requests_per_minute=3000)
UNKNOWN = RateLimit()
NOW = 1_800_000_000.0


def taken(state: RateState, count: int, told: RateLimit, *, at: float = NOW, weight: float = 0) -> list[float]:
    """So many moments, in as many batches as it takes."""
    moments: list[float] = []
    while len(moments) < count:
        state, turns = take(state, at, [weight] * (count - len(moments)), told)
        moments.extend(turn.start for turn in turns)
        at = max(at, state.free_at(told) - 0.1)
    return moments


def test_moments_are_spaced_evenly_and_a_little_slower_than_the_limit() -> None:
    moments = taken(RateState(), 101, FIFTY)
    assert moments[0] == NOW
    assert {round(after - before, 5) for before, after in pairwise(moments)} == {round(1 / (50 * (1 - LEAD)), 5)}


def test_no_more_is_taken_at_once_than_a_short_span_holds_and_one_moment_always() -> None:
    assert len(take(RateState(), NOW, [0] * 1000, FIFTY)[1]) == pytest.approx(50 * SPAN, abs=1)
    assert len(take(RateState(), NOW, [0] * 1000, RateLimit(requests_per_minute=1))[1]) == 1


def test_time_that_nobody_used_is_gone() -> None:
    state, _ = take(RateState(), NOW, [0], FIFTY)
    assert taken(state, 2, FIFTY, at=NOW + 60)[1] > NOW + 60


def test_tokens_flow_as_slowly_as_their_own_limit_says() -> None:
    told = RateLimit(requests_per_minute=60_000, tokens_per_minute=60_000)
    moments = taken(RateState(), 11, told, weight=2000)
    assert moments[10] - moments[0] == pytest.approx(20 / (1 - LEAD))


def test_tokens_that_were_not_used_are_given_back_and_those_used_beyond_are_charged() -> None:
    told = RateLimit(tokens_per_minute=60_000)
    state, _ = take(RateState(), NOW, [10_000], told)
    pace = 1000 * (1 - LEAD)
    for more, wait in ((-4000, 6000 / pace), (4000, 14_000 / pace), (-90_000, 1 / FIRST_PACE)):
        assert taken(report(told, tokens=more)(state, NOW), 1, told)[0] - NOW == pytest.approx(wait, abs=1e-6)


def test_of_what_is_told_and_what_is_heard_the_lower_counts() -> None:
    heard = hear("requests", Flow(10, 1.0))(RateState(), NOW)
    assert heard.requests.pace(3000) == 10 * (1 - LEAD)
    assert heard.requests.pace(60) == 1 - LEAD


def test_a_quota_of_a_day_is_no_pace() -> None:
    assert not hear("requests", Flow(1000, 86_400.0))(RateState(), NOW).is_paced(UNKNOWN)


def refused(
    state: RateState, turn: Turn, at: float, *, asked: float | None = None, told: RateLimit = UNKNOWN
) -> RateState:
    """The state after this turn was sent at its moment and refused at that one."""
    return refuse(Refusal(turn, turn.start, at - turn.start, asked), told)(state, at)


def test_nothing_is_known_of_an_endpoint_and_every_turn_is_a_little_faster() -> None:
    moments = taken(RateState(), 101, UNKNOWN)
    gaps = [after - before for before, after in pairwise(moments)]
    assert gaps[0] == pytest.approx(1 / FIRST_PACE)
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1 / 200


def test_after_a_refusal_all_pause_and_then_go_on_slower() -> None:
    state, turns = take(RateState(), NOW, [0], FIFTY)
    state = refused(state, turns[0], NOW + 0.1, asked=7.5, told=FIFTY)
    assert take(state, NOW + 7.5, [0] * 5, FIFTY)[1] == ()
    moments = taken(state, 2, FIFTY, at=NOW + 7.6)
    assert moments[0] == NOW + 7.6
    assert moments[1] - moments[0] > 1.2 / (50 * (1 - LEAD))


def test_of_calls_that_were_sent_before_the_pause_none_slows_down_again_but_one_may_ask_for_a_longer_one() -> None:
    state, turns = take(RateState(), NOW, [0] * 4, FIFTY)
    once = refused(state, turns[0], NOW + 0.1, asked=1.5, told=FIFTY)
    twice = refused(once, turns[1], NOW + 0.2, asked=1.5, told=FIFTY)
    third = refused(twice, turns[2], NOW + 0.3, asked=30.0, told=FIFTY)
    assert once.pace == twice.pace == third.pace
    assert (twice.paused_until, third.paused_until) == (once.paused_until, NOW + 30.3)


def test_a_pause_in_whole_seconds_is_tried_once_before_its_end_and_then_given_out_to_all() -> None:
    state, turns = take(RateState(), NOW, [0], FIFTY)
    state = refused(state, turns[0], NOW + 0.01, asked=3.0, told=FIFTY)
    trying, (trial,) = take(state, NOW + 0.02, [0] * 5, FIFTY)
    assert trial.is_trial
    assert NOW + 2 < trial.start < NOW + 2.6
    assert take(trying, trial.start, [0] * 5, FIFTY)[1] == ()
    assert len(take(trying, NOW + 3.02, [0] * 5, FIFTY)[1]) > 1
    again = refused(trying, trial, trial.start + 0.01, asked=1.0, told=FIFTY)
    assert again.paused_until == trial.start + 1.01
    assert again.pace == trying.pace


def test_an_endpoint_that_refused_what_tried_twice_is_not_tried_again() -> None:
    state, turns = take(RateState(), NOW, [0], FIFTY)
    state, at = refused(state, turns[0], NOW, asked=1.0, told=FIFTY), NOW
    for _ in range(2):
        state, (trial,) = take(state, at, [0], FIFTY)
        at = trial.start
        state = refused(state, trial, at, asked=1.0, told=FIFTY)
    assert take(state, at + 0.9, [0], FIFTY)[1] == ()


def test_without_a_word_the_wait_is_doubled_while_what_tries_is_refused() -> None:
    state, turns = take(RateState(), NOW, [0], FIFTY)
    state, at, waits = refused(state, turns[0], NOW, told=FIFTY), NOW, list[float]()
    for _ in range(4):
        state, (trial,) = take(state, at, [0], FIFTY)
        waits.append(trial.start - at)
        at = trial.start
        state = refused(state, trial, at, told=FIFTY)
    assert [round(after / before, 3) for before, after in pairwise(waits)] == [2.0, 2.0, 2.0]


def test_what_was_taken_between_two_refusals_is_the_pace_of_the_endpoint() -> None:
    between = replace(RateState(), epoch=1, base_at=NOW, base_turn=100, turns=400, pace=120.0, gap=0.15)
    last = Turn(NOW + 4, number=301, pace=120.0, epoch=1)
    assert refused(between, last, NOW + 4).pace == pytest.approx(200 / 4, rel=0.05)
    assert refused(report(UNKNOWN, unused=80)(between, NOW), last, NOW + 4).pace == pytest.approx(120 / 4, rel=0.05)


def test_a_pace_that_was_never_refused_again_is_tried_a_little_higher_only_after_long() -> None:
    state = replace(RateState(), epoch=1, pace=50.0, good=50.0, refused=52.0, requests=Flow(next=NOW + 0.1))
    paces = list[float]()
    for step in range(400):
        state, turns = take(state, NOW + step / 50, [0], UNKNOWN)
        paces.append(turns[0].pace)
    assert set(paces[:149]) == {50.0}
    assert max(paces) > 52


def test_a_limit_that_proved_too_low_is_no_pace_and_stays_so_until_another_is_named() -> None:
    named = hear("requests", Flow(5, 1.0))(RateState(), NOW)
    state = hear("requests", named.requests.heard(5, 0.0, 40.0))(named, NOW)
    assert (state.pace_for(UNKNOWN), state.is_paced(UNKNOWN)) == (40.0, True)
    assert state.requests.heard(5, 1.0, None) == state.requests
    assert state.requests.heard(20, 1.0, None).pace(None) == pytest.approx(20 * (1 - LEAD))


def test_turns_are_taken_shortly_before_they_come_so_that_a_pause_voids_few() -> None:
    state, moments = RateState(), list[float]()
    for _ in range(20):
        state, turns = take(state, NOW, [0], RateLimit(requests_per_minute=180))
        moments.extend(turn.start for turn in turns)
    assert len(moments) == 2
    assert state.free_at(UNKNOWN) > NOW + 0.5
    assert take(state, NOW, [0], UNKNOWN, span=1.0)[1], "whose questions take long asks earlier"


def test_without_a_word_what_the_last_pause_took_is_not_tried_from_the_beginning() -> None:
    state, turns = take(replace(RateState(), gap=20.0), NOW, [0], FIFTY)
    state = refused(state, turns[0], NOW, told=FIFTY)
    assert state.trial_at - NOW == 5.0


def full(state: RateState, at: float, pace: float, beside: int, carried: int, *, elsewhere: int = 0) -> RateState:
    """The state a second after one of so many calls in flight was refused at that pace; the others were taken."""
    turn = Turn(at, number=state.turns, pace=pace, epoch=state.epoch)
    state = refuse(Refusal(turn, at, 0.01, 1.0, beside, carried), UNKNOWN)(state, at + 0.01)
    state = count(at, elsewhere)(state, at + 0.1)
    return take(replace(state, trial_at=0.0), at + 2.0, [0], UNKNOWN)[0]


def after(*refusals: tuple[float, int, int], elsewhere: tuple[int, ...] = ()) -> RateState:
    """The state after these, ten seconds apart."""
    state = RateState(turns=90)
    for place, (pace, beside, carried) in enumerate(refusals):
        more = elsewhere[place] if elsewhere else 0
        state = full(state, NOW + 10 * place, pace, beside, carried, elsewhere=more)
    return state


def test_refusals_at_any_pace_but_always_with_as_many_in_flight_are_a_limit_of_those() -> None:
    state = after((90, 21, 20), (70, 21, 20))
    assert (state.window, state.is_paced(UNKNOWN)) == (20, False)


def test_what_all_processes_had_in_flight_counts_as_one() -> None:
    assert after((90, 1, 20), (70, 14, 20), elsewhere=(20, 7)).window == 20
    assert after((90, 14, 20), (70, 14, 20), elsewhere=(20, 7)).window == 0


@pytest.mark.parametrize(
    ("refusals", "why"),
    [
        (((90, 21, 20), (70, 14, 20), (60, 12, 14)), "fewer in flight at a lower pace"),
        (((90, 21, 20), (70, 21, 30), (60, 21, 30)), "more were taken"),
        (((90, 21, 20), (91, 21, 20), (89, 21, 20)), "all at one pace"),
        (((90, 21, 20), (80, 19, 20)), "about as much fewer as it was slower"),
        (((90, 13, 12), (60, 13, 12)), "of so few, twice may be by chance"),
    ],
)
def test_what_a_limit_on_the_pace_explains_is_none_on_calls_in_flight(
    refusals: tuple[tuple[float, int, int], ...], why: str
) -> None:
    assert after(*refusals).window == 0, why


def used(state: RateState, turns: int) -> RateState:
    """The state after so many more calls, by a process that has all places in use."""
    return report(UNKNOWN, used=turns)(hold("here", state.window, 99)(state, NOW), NOW)


def test_a_window_is_widened_after_long_and_ever_more_while_nothing_is_refused() -> None:
    found = RateState(turns=1000, base_turn=1000, stepped_at=1000, epoch=3, window=20, fulls=1)
    assert used(found, 100).window == 20
    assert used(used(found, 200), 21).window == 26
    assert report(UNKNOWN, used=300)(hold("here", 5, 5)(found, NOW), NOW).window == 20, "it is not used up"


def test_a_refusal_brings_back_the_window_that_was_taken_and_two_that_nothing_explains_end_it() -> None:
    wider = used(RateState(turns=1000, base_turn=1000, stepped_at=1000, epoch=3, window=20, fulls=1), 200)
    turn = Turn(NOW, number=1200, pace=60, epoch=3)
    narrower = refuse(Refusal(turn, NOW, 0.01, 1.0, 21, 20), UNKNOWN)(wider, NOW)
    assert (wider.window, narrower.window) == (21, 20)
    again = refuse(Refusal(replace(turn, epoch=4), NOW, 0.01, 1.0, 20, 20), UNKNOWN)(narrower, NOW)
    assert again.window == 19
    assert refuse(Refusal(replace(turn, epoch=5), NOW, 0.01, 1.0, 19, 20), UNKNOWN)(again, NOW).window == 0


TWENTY = RateState(epoch=3, window=20)


def held(state: RateState, now: float = NOW, **wants: int) -> dict[str, int]:
    """The places of these processes after each has asked twice, one after the other."""
    for _ in range(2):
        for name, wanted in wants.items():
            state = hold(name, 0, wanted)(state, now)
    return {name: places.held for name, places in state.places.items()}


def test_places_in_flight_are_shared_evenly_and_what_one_does_not_need_others_have() -> None:
    assert held(TWENTY, a=99) == {"a": 20}
    assert held(TWENTY, a=99, b=99, c=99) == {"a": 6, "b": 7, "c": 7}
    assert held(TWENTY, a=2, b=99, c=5) == {"a": 2, "b": 13, "c": 5}


@pytest.mark.parametrize("processes", [1, 3, 8])
def test_no_more_places_are_given_than_there_are_in_whatever_order_processes_ask(processes: int) -> None:
    chance, state, busy = random.Random(processes), TWENTY, dict.fromkeys(range(processes), 0)
    for step in range(2000):
        who = chance.randrange(processes)
        state = hold(str(who), busy[who], chance.choice((0, 1, 5, 20, 99)) + busy[who])(state, NOW + step / 100)
        places = state.places.get(str(who))
        busy[who] = chance.randint(0, places.held) if places else 0
        assert sum(places.held for places in state.places.values()) <= 20
    assert sum(held(state, NOW + 100, **{str(who): 99 for who in range(processes)}).values()) == 20


def test_the_places_of_one_that_is_not_heard_of_are_free_after_a_while_and_count_again_when_it_is() -> None:
    state = hold("frozen", 15, 99)(TWENTY, NOW)
    assert hold("other", 0, 99)(state, NOW + LEASE - 0.1).places["other"].held == 0
    later = hold("other", 0, 99)(state, NOW + LEASE + 0.1)
    assert later.places["other"].held == 20
    woken = hold("frozen", 15, 99)(later, NOW + LEASE + 0.2)
    assert woken.places["frozen"].held == 15, "its calls are in flight"
    assert hold("other", 5, 99)(woken, NOW + LEASE + 0.3).places["other"].held == 5


def test_the_places_of_a_process_that_has_ended_are_free_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        name = ":".join([*current_owner().split(":")[:3], str(gone.pid), "1"])
    state = hold(f"{name}/1", 20, 99)(TWENTY, NOW)
    assert hold("other", 0, 99)(state, NOW + 0.1).places["other"].held == 20


def test_who_needs_no_places_gives_them_back_and_who_keeps_them_seldom_writes() -> None:
    state = hold("here", 3, 3)(TWENTY, NOW)
    assert hold("here", 3, 3)(state, NOW + LEASE / 3) == state
    assert hold("here", 3, 3)(state, NOW + LEASE * 0.6).places["here"].until > NOW + LEASE
    assert hold("here", 0, 0)(state, NOW).places == {}


def test_a_limit_on_calls_in_flight_is_forgotten_a_day_after_the_last_of_them() -> None:
    found = report(UNKNOWN, used=5)(RateState(epoch=3, window=20, fulls=2), NOW)
    assert take(found, NOW + 80_000, [0], UNKNOWN)[0].window == 20
    assert take(found, NOW + 90_000, [0], UNKNOWN)[0].window == 0


def test_everybody_gets_moments_of_their_own(ledger: Ledger) -> None:
    def grab(_: int) -> list[float]:
        turns = Rates(ledger).change("key", lambda state, now: take(state, now, [0] * 2, FIFTY))[2]
        return [turn.start for turn in turns]

    with ThreadPoolExecutor(4) as pool:
        moments = sorted(start for turns in pool.map(grab, range(10)) for start in turns)
    assert len(moments) == 20
    assert min(after - before for before, after in pairwise(moments)) > 0.9 / 50


def test_what_one_learned_others_read_and_other_keys_have_nothing_to_do_with_it(database: str) -> None:
    first, second = Ledger(database), Ledger(database)
    Rates(first).change("key", lambda state, now: (hear("tokens", Flow(1000, 60.0))(state, now), None))
    assert Rates(second).read("key")[0] == RateState(tokens=Flow(1000, 60.0))
    assert Rates(second).read("other")[0] == RateState()
    first.close()
    second.close()


def test_what_changes_nothing_is_not_written(ledger: Ledger) -> None:
    for _ in range(3):
        Rates(ledger).change("key", lambda state, now: (hear("requests", Flow(10, 1.0))(state, now), None))
    with ledger.read() as connection:
        assert connection.execute(select(rates.c.version)).scalar_one() == 0


def test_a_clock_that_was_set_back_makes_nobody_wait_for_it(ledger: Ledger) -> None:
    _, now, _ = Rates(ledger).change("other", lambda state, _: (state, None))
    ahead = RateState(requests=Flow(next=now + 3601), paused_until=now + 3605)
    Rates(ledger).change("key", lambda _, __: (ahead, None))
    with ledger.write() as connection:
        connection.execute(rates.update().where(rates.c.key == "key").values(at=now + 3600))
    state, later = Rates(ledger).read("key")
    assert state.requests.next - later == pytest.approx(1, abs=0.01)
    assert state.paused_until - later == pytest.approx(5, abs=0.01)


@pytest.mark.parametrize("text", ["", "[]", '{"requests": 1}', '{"requests": {"speed": 1}, "tokens": {}}', "null"])
def test_what_another_version_wrote_is_learned_again(ledger: Ledger, text: str) -> None:
    with ledger.write() as connection:
        connection.execute(insert(rates).values(key="key", state=text, at=0.0))
    assert Rates(ledger).read("key")[0] == RateState()


def test_rates_do_not_keep_their_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    kept = Rates(ledger)
    ledger.close()
    del ledger
    gc.collect()
    with pytest.raises(DatabaseUnusable, match="given up"):
        kept.read("key")
