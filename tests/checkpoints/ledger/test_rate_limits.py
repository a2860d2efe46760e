"""The timeline of a key: even, shared, slower after a refusal, and never trusted to one reading of a clock."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.pacing import (
    FIRST_PACE,
    LEAD,
    SPAN,
    Flow,
    RateLimit,
    RateState,
    Refusal,
    Turn,
    hear,
    refuse,
    report,
    take,
)
from signoff.checkpoints.ledger.rate_limits import Rates
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


def full(state: RateState, pace: float, beside: int, carried: int) -> RateState:
    """The state after one of so many calls in flight was refused at that pace; the others were taken."""
    turn = Turn(NOW, number=state.turns, pace=pace, epoch=state.epoch)
    return refuse(Refusal(turn, NOW, 0.01, 1.0, beside, carried), UNKNOWN)(state, NOW + 0.01)


def test_refusals_at_any_pace_but_always_with_as_many_in_flight_are_a_limit_of_those() -> None:
    state = full(full(full(RateState(turns=90), 90, 21, 20), 70, 21, 20), 60, 21, 20)
    assert (state.window, state.is_paced(UNKNOWN)) == (20, False)


@pytest.mark.parametrize(
    ("refusals", "why"),
    [
        (((90, 21, 20), (70, 14, 20), (60, 12, 14)), "fewer in flight at a lower pace"),
        (((90, 21, 20), (70, 21, 30), (60, 21, 30)), "more were taken"),
        (((90, 21, 20), (91, 21, 20), (89, 21, 20)), "all at one pace"),
    ],
)
def test_what_a_limit_on_the_pace_explains_is_none_on_calls_in_flight(
    refusals: tuple[tuple[float, int, int], ...], why: str
) -> None:
    state = RateState(turns=90)
    for pace, beside, carried in refusals:
        state = full(state, pace, beside, carried)
    assert state.window == 0, why


def test_a_window_is_widened_after_long_narrowed_by_a_refusal_and_given_up_after_two_soon_after() -> None:
    state = RateState(turns=1000, base_turn=1000, epoch=3, window=20, fulls=2)
    assert report(UNKNOWN, used=100)(state, NOW).window == 20
    wider = report(UNKNOWN, used=300)(state, NOW)
    assert wider.window == 21
    narrower = full(wider, 60, 21, 20)
    assert narrower.window == 20
    assert full(full(narrower, 60, 21, 20), 60, 21, 20).window == 0


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
