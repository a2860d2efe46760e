"""The circuit breaker: when an endpoint is left alone, and who may try it again."""

from __future__ import annotations

import asyncio

import pytest

from signoff.agents.models import circuit_breaker
from signoff.agents.models.circuit_breaker import CircuitBreaker, breaker_of


@pytest.fixture
def breaker(monkeypatch: pytest.MonkeyPatch) -> CircuitBreaker:
    """One that stays open for no time at first."""
    monkeypatch.setattr(circuit_breaker, "_SECONDS", (0.0, 30.0))
    return CircuitBreaker()


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.ended(is_probe=False, answered=False)


def admitted(breaker: CircuitBreaker) -> bool | None:
    return asyncio.run(breaker.admit(0.0))


def test_five_failures_in_a_row_open_it_and_an_answer_between_them_does_not(breaker: CircuitBreaker) -> None:
    fail(breaker, 4)
    breaker.ended(is_probe=False, answered=True)
    fail(breaker, 4)
    assert admitted(breaker) is False
    fail(breaker, 1)
    assert admitted(breaker) is True


def test_one_call_at_a_time_tries_an_endpoint_that_is_left_alone(breaker: CircuitBreaker) -> None:
    fail(breaker, 5)
    assert (admitted(breaker), admitted(breaker)) == (True, None)
    breaker.ended(is_probe=True, answered=None)
    assert admitted(breaker) is True
    breaker.ended(is_probe=True, answered=True)
    assert (admitted(breaker), breaker.failures) == (False, 0)


def test_a_probe_that_fails_keeps_it_open_for_longer() -> None:
    breaker = CircuitBreaker()
    fail(breaker, 5)
    first = breaker.seconds_left
    assert admitted(breaker) is None
    breaker.ended(is_probe=True, answered=False)
    assert breaker.seconds_left > first > 0


def test_all_who_call_with_the_same_key_share_one() -> None:
    assert breaker_of("here one") is breaker_of("here one")
    assert breaker_of("here one") is not breaker_of("here two")
