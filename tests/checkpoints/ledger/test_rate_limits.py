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
from signoff.checkpoints.ledger.rate_limits import (
    LEAD,
    SPAN,
    Flow,
    RateLimit,
    Rates,
    RateState,
    find_room,
    hear,
    open_up,
    refuse,
    settle,
    take,
)
from signoff.checkpoints.ledger.schema import rates
from signoff.errors import DatabaseUnusable

FIFTY = RateLimit(requests_per_minute=3000)
UNKNOWN = RateLimit()
NOW = 1_800_000_000.0


def taken(state: RateState, count: int, told: RateLimit, *, at: float = NOW, weight: float = 0) -> list[float]:
    """So many moments, in as many batches as it takes."""
    moments: list[float] = []
    while len(moments) < count:
        state, starts = take(state, at, [weight] * (count - len(moments)), told)
        moments.extend(starts)
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
    for more, wait in ((-4000, 6000 / pace), (4000, 14_000 / pace), (-90_000, 0)):
        assert taken(settle(more, told)(state, NOW), 1, told)[0] - NOW == pytest.approx(wait)


def test_of_what_is_told_and_what_is_heard_the_lower_counts() -> None:
    heard = hear("requests", 10, 1.0)(RateState(), NOW)
    assert heard.requests.pace(3000) == 10 * (1 - LEAD)
    assert heard.requests.pace(60) == 1 - LEAD


def test_the_longest_window_of_a_limit_counts_until_the_limit_changes() -> None:
    state = RateState()
    for window in (1.0, 60.0, 5.0):
        state = hear("requests", 600, window)(state, NOW)
    assert state.requests.pace(None) == 10 * (1 - LEAD)
    assert hear("requests", 1200, 60.0)(state, NOW).requests.pace(None) == 20 * (1 - LEAD)


def test_a_quota_of_a_day_is_no_pace() -> None:
    assert not hear("requests", 1000, 86_400.0)(RateState(), NOW).is_paced(UNKNOWN)


def test_after_a_refusal_all_pause_and_then_go_on_slower() -> None:
    state = refuse(FIFTY, began=NOW, measured=50, pause=7)(RateState(), NOW)
    moments = taken(state, 2, FIFTY)
    assert moments[0] == NOW + 7
    assert moments[1] - moments[0] > 1.05 / (50 * (1 - LEAD))


def test_calls_that_began_before_a_refusal_slow_nothing_down_again_but_may_ask_for_a_longer_pause() -> None:
    once = refuse(FIFTY, began=NOW, measured=50, pause=1)(RateState(), NOW)
    twice = refuse(FIFTY, began=NOW - 1, measured=50, pause=3)(once, NOW + 0.1)
    assert twice.requests == once.requests
    assert twice.paused_until == NOW + 3.1


def test_it_goes_back_to_the_limit_slowly_and_not_beyond() -> None:
    state = refuse(FIFTY, began=NOW, measured=50, pause=0)(RateState(), NOW)
    paces = []
    for second in range(1, 6):
        state, _ = take(state, NOW + second, [0], FIFTY)
        paces.append(state.requests.pace(3000) or 0)
    assert 0.9 < paces[0] / (50 * (1 - LEAD)) < 0.95
    assert paces == sorted(paces)
    assert paces[-1] == 50 * (1 - LEAD)


def test_where_no_limit_is_known_a_refusal_is_the_first_to_tell_and_is_forgotten_in_time() -> None:
    state = refuse(UNKNOWN, began=NOW, measured=100, pause=0)(replace(RateState(), is_open=True), NOW)
    assert state.requests.pace(None) == 80
    assert not state.is_open
    second = 0
    while state.is_paced(UNKNOWN):
        second += 1
        state, _ = take(state, NOW + second, [0], UNKNOWN)
    assert 8 < second < 30


def test_room_that_was_found_is_used_unless_a_refusal_just_came() -> None:
    heard = hear("requests", 10, 1.0)(RateState(), NOW)
    assert find_room("requests", UNKNOWN)(heard, NOW).requests.pace(None) == 12.5 * (1 - LEAD)
    refused = refuse(UNKNOWN, began=NOW, measured=10, pause=0)(heard, NOW)
    assert find_room("requests", UNKNOWN)(refused, NOW + 5) == refused


def test_everybody_gets_moments_of_their_own(ledger: Ledger) -> None:
    def grab(_: int) -> tuple[float, ...]:
        return Rates(ledger).change("key", lambda state, now: take(state, now, [0] * 5, FIFTY))[2]

    with ThreadPoolExecutor(4) as pool:
        moments = sorted(start for starts in pool.map(grab, range(12)) for start in starts)
    assert len(moments) == 60
    assert min(after - before for before, after in pairwise(moments)) > 0.9 / 50


def test_what_one_learned_others_read_and_other_keys_have_nothing_to_do_with_it(database: str) -> None:
    first, second = Ledger(database), Ledger(database)
    Rates(first).change("key", lambda state, now: (hear("tokens", 1000, 60.0)(open_up(state, now), now), None))
    assert Rates(second).read("key")[0] == RateState(tokens=Flow(1000, 60.0), is_open=True)
    assert Rates(second).read("other")[0] == RateState()
    first.close()
    second.close()


def test_what_changes_nothing_is_not_written(ledger: Ledger) -> None:
    for _ in range(3):
        Rates(ledger).change("key", lambda state, now: (hear("requests", 10, 1.0)(state, now), None))
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
