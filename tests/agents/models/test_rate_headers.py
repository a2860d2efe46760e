"""Headers of all dialects say the same thing, and nonsense says nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from signoff.agents.models.rate_headers import Level, RemainingQuota, read_headers
from signoff.checkpoints.ledger import Flow

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("120ms", 0.12),
        ("1h2m3.5s", 3723.5),
        ("12", 12.0),
        ("0.25", 0.25),
        ("2026-03-01T12:00:30Z", 30.0),
        ("Sun, 01 Mar 2026 12:00:45 GMT", 45.0),
        (str(int(NOW) + 20), 20.0),
        (str((int(NOW) + 20) * 1000), 20.0),
        ("2026-03-01T11:00:00Z", 0.0),
        ("soon", None),
        ("1s later", None),
        ("-5", None),
        ("nan", None),
        ("", None),
    ],
)
def test_a_reset_is_read_in_every_form(text: str, seconds: float | None) -> None:
    headers = {
        "X-RateLimit-Limit-Requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": text,
    }
    assert read_headers(headers, NOW).levels == {"requests": Level(500, 499, seconds)}


@pytest.mark.parametrize(
    "headers",
    [
        {
            "x-ratelimit-limit-requests": "50",
            "x-ratelimit-remaining-requests": "49",
            "x-ratelimit-reset-requests": "9s",
        },
        {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2026-03-01T12:00:09Z",
        },
        {"x-ratelimit-limit": "50", "x-ratelimit-remaining": "49", "x-ratelimit-reset": str(int(NOW) + 9)},
        {"RateLimit-Limit": "50, 50", "RateLimit-Remaining": "49", "RateLimit-Reset": "9"},
        {"RateLimit": "limit=50, remaining=49, reset=9"},
    ],
)
def test_every_dialect_is_understood(headers: dict[str, str]) -> None:
    assert read_headers(headers, NOW).levels == {"requests": Level(50, 49, 9)}


@pytest.mark.parametrize(
    "headers",
    [
        {"RateLimit": '"default";r=49;t=9', "RateLimit-Policy": '"default";q=50;w=30'},
        {"RateLimit": "limit=50, remaining=49, reset=9", "RateLimit-Policy": "50;w=30"},
        {"RateLimit-Limit": "50, 50;w=30", "RateLimit-Remaining": "49", "RateLimit-Reset": "9"},
    ],
)
def test_a_policy_tells_the_window(headers: dict[str, str]) -> None:
    assert read_headers(headers, NOW).levels == {"requests": Level(50, 49, 9, 30)}


def test_tokens_are_read_beside_requests() -> None:
    headers = {
        f"anthropic-ratelimit-{kind}-{what}": value
        for kind, values in {"input-tokens": ("80", "70", "5"), "tokens": ("100", "90", "6")}.items()
        for what, value in zip(("limit", "remaining", "reset"), values, strict=True)
    }
    assert read_headers(headers, NOW).levels == {"tokens": Level(100, 90, 6)}


@pytest.mark.parametrize("limit", ["0", "-1", "many", "inf", ""])
def test_a_limit_that_makes_no_sense_is_none(limit: str) -> None:
    assert read_headers({"x-ratelimit-limit-requests": limit, "x-ratelimit-remaining-requests": "0"}, NOW).levels == {}


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "7", "retry-after-ms": "6500"}, 6.5),
        ({"Retry-After": "Sun, 01 Mar 2026 12:00:45 GMT"}, 45.0),
        ({"Retry-After": "Sun, 01 Mar 2026 12:00:45 GMT", "Date": "Sun, 01 Mar 2026 12:00:40 GMT"}, 5.0),
        ({"x-ratelimit-limit": "5", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "8"}, 8.0),
        ({"x-ratelimit-limit": "5", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "6h"}, 60.0),
        ({"x-ratelimit-limit": "5", "x-ratelimit-remaining": "3", "x-ratelimit-reset": "8"}, None),
        ({}, None),
    ],
)
def test_a_refusal_tells_how_long_to_wait(headers: dict[str, str], wait: float | None) -> None:
    assert read_headers(headers, NOW).wait == wait


def test_of_several_policies_the_one_that_allows_the_least_a_second_counts() -> None:
    headers = {
        "RateLimit": '"day";r=900;t=4000, "burst";r=8;t=1',
        "RateLimit-Policy": '"day";q=10000;w=86400, "burst";q=10;w=1',
    }
    assert read_headers(headers, NOW).levels == {"requests": Level(10, 8, 1, 1)}


def test_a_moment_in_whole_seconds_is_read_as_the_middle_of_what_it_may_be() -> None:
    headers = {
        "x-ratelimit-limit": "50",
        "x-ratelimit-remaining": "49",
        "x-ratelimit-reset": str(int(NOW) + 2),
        "Date": "Sun, 01 Mar 2026 12:00:00 GMT",
    }
    assert read_headers(headers, NOW).levels["requests"].reset == 1.0


def heard(*levels: Level) -> float:
    """The window by these answers, one after the other."""
    quota = RemainingQuota()
    return [quota.hear(level, float(at), float(at), 0)[0] for at, level in enumerate(levels)][-1]


def test_levels_that_agree_on_how_long_a_bucket_takes_to_fill_tell_its_window() -> None:
    assert heard(*(Level(500, 500 - used, used * 0.12) for used in (1, 5, 20, 40))) == pytest.approx(60)
    assert heard(*(Level(50, 50 - used, used / 5) for used in (1, 4, 9, 16))) == pytest.approx(10)


def test_one_level_alone_is_not_taken_for_a_bucket() -> None:
    """A fixed window of a second, of which 41 % is left when 1 of 600 was used, looks like a bucket of minutes."""
    assert heard(Level(600, 599, 0.41)) == 1.0
    assert heard(*(Level(500, 500 - used, 1 - used / 500) for used in range(1, 400, 7))) == 1.0


def test_a_window_is_as_long_as_the_longest_reset() -> None:
    assert heard(Level(500, 400, 0.3), Level(500, 499, 9.8), Level(500, 300, 4.1)) == 10.0
    assert heard(Level(1000, 10, 5000.0)) == 86_400.0
    assert heard(Level(50, 49, 9, 30)) == 30.0
    assert heard(Level(50, 49)) == 60.0


def test_a_reset_that_comes_nearer_a_thousand_times_as_fast_as_time_passes_is_in_milliseconds() -> None:
    quota = RemainingQuota()
    window = [quota.hear(Level(60, 59 - n, 2900.0 - 50 * n), n / 20, float(n), n)[0] for n in range(20)][-1]
    assert window == 3.0
    assert quota.blocked_until(60, 1, 1.0, Flow(60, 3.0)) == pytest.approx(2.9, abs=0.01)
    assert heard(*(Level(60, 59 - n, 2900.0 - n) for n in range(20))) == 3600.0


def test_of_a_limit_that_changed_nothing_old_counts() -> None:
    assert heard(Level(100, 99, 60.0), Level(50, 49, 1.0)) == 1.0


def test_no_more_is_sent_than_remained_until_it_is_there_again() -> None:
    quota = RemainingQuota()
    quota.hear(Level(50, 3, 1.0), sent=10.0, counted=20, turn=20)
    assert quota.blocked_until(22, 1, 10.5, Flow(50, 1.0)) < 10.5
    assert quota.blocked_until(23, 1, 10.5, Flow(50, 1.0)) == 11.0
    assert quota.blocked_until(23, 1, 11.0, Flow(50, 1.0)) < 11.0


def test_after_a_minute_it_is_tried_whether_what_was_used_up_is_there_again_whatever_was_said() -> None:
    quota = RemainingQuota()
    quota.hear(Level(50, 0, 7200.0), sent=10.0, counted=20, turn=20)
    assert quota.blocked_until(20, 1, 10.5, Flow(50, 3600.0)) == 70.0


def test_an_answer_to_an_older_call_is_out_of_date() -> None:
    quota = RemainingQuota()
    quota.hear(Level(50, 3, 1.0), sent=10.0, counted=20, turn=20)
    quota.hear(Level(50, 40, 1.0), sent=9.0, counted=12, turn=12)
    assert quota.blocked_until(23, 1, 10.5, Flow(50, 1.0)) == 11.0


def tried(level: Callable[[int], Level], pace: float, count: int) -> list[tuple[float, float]]:
    """What is news of the window and of what may be tried, of so many answers at that pace."""
    quota = RemainingQuota()
    told = [quota.hear(level(turn), turn / pace, float(turn), turn) for turn in range(count)]
    return [(window, aim) for window, aim in told if aim is not None]


def test_where_hardly_anything_is_used_at_the_pace_that_is_named_twice_as_much_is_tried() -> None:
    """A bucket of 5 that fills in less than a second, which is said in whole seconds."""
    news = tried(lambda _: Level(5, 4, 1.0, 1.0), pace=5.0, count=5)
    [(window, aim)] = news
    assert (window, round(aim, 6)) == (1.0, 10.0)


def test_what_it_gave_back_at_that_pace_is_what_it_takes_as_soon_as_more_is_used() -> None:
    news = tried(lambda turn: Level(5, 4 if turn < 9 else 2, 1.0, 1.0), pace=40.0, count=20)
    assert (news[-1][0], round(news[-1][1], 6)) == (0.0, 40.0)


def test_a_window_that_is_used_up_as_it_says_is_never_taken_for_more() -> None:
    assert not tried(lambda turn: Level(20, 19 - turn % 20, 1.0 - turn % 20 / 20, 1.0), pace=20.0, count=200)


def test_of_a_bucket_that_names_what_it_takes_no_more_is_taken_than_that() -> None:
    """At 20 a second one of 50, and 10 a second, hands out what it had in store: what is used grows with it."""
    news = tried(lambda turn: Level(50, 49 - turn // 2, 0.1 * (turn // 2 + 1)), pace=20.0, count=60)
    assert all(aim <= 2 * 10.5 for _, aim in news)


def test_of_one_call_a_second_no_more_is_tried_unless_it_is_said_that_it_comes_back_at_once() -> None:
    assert all(aim < 1.1 for _, aim in tried(lambda _: Level(1, 0, 1.0, 1.0), pace=1.0, count=20))
    assert max(aim for _, aim in tried(lambda _: Level(1, 0, 0.008), pace=1.0, count=20)) > 1.9


def test_what_remains_is_no_bound_where_a_limit_proved_too_low_and_comes_back_at_the_pace_that_is_tried() -> None:
    quota = RemainingQuota()
    quota.hear(Level(5, 0, 1.0), sent=10.0, counted=20, turn=20)
    assert quota.blocked_until(20, 1, 10.1, Flow(5, 0.0)) < 10.1
    assert quota.blocked_until(20, 1, 10.01, Flow(5, 1.0, aim=20.0)) == pytest.approx(10.05)
