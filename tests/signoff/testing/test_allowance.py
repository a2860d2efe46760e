"""A scripted server with a limit refuses what is beyond it, and tells where the caller stands."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from langchain_openai import ChatOpenAI

from signoff.testing import Allowance, ScriptedServer
from signoff.testing.allowance import Counting, Meter


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def admitted(meter: Meter, clock: Clock, moments: list[float]) -> list[float]:
    """Those of these moments, in seconds from now, at which a request is taken."""
    start = clock.now
    passed = []
    for moment in moments:
        clock.now = start + moment
        if meter.admit()[1] is None:
            passed.append(moment)
    return passed


@pytest.mark.parametrize(
    ("counting", "passed"),
    [
        ("fixed", [0.0, 0.9, 1.0, 1.05, 2.1]),
        ("sliding", [0.0, 0.9, 1.05, 2.1]),
        ("bucket", [0.0, 0.9, 0.95, 2.1]),
    ],
)
def test_each_way_of_counting_takes_and_refuses_its_own(counting: Counting, passed: list[float]) -> None:
    clock = Clock()
    moments = [0.0, 0.9, 0.95, 1.0, 1.05, 1.1, 2.1]
    meter = Meter(Allowance(2, 1.0, counting), clock)
    assert admitted(meter, clock, moments) == passed
    assert meter.refused == len(moments) - len(passed)


def test_answers_tell_what_remains_and_a_refusal_when_to_come_back() -> None:
    clock = Clock()
    meter = Meter(Allowance(2, 10.0), clock)
    clock.now += 2.5
    first, _ = meter.admit()
    meter.admit()
    _, refusal = meter.admit()
    assert first["x-ratelimit-limit-requests"] == "2"
    assert first["x-ratelimit-remaining-requests"] == "1"
    assert first["x-ratelimit-reset-requests"] == "7500ms"
    assert refusal is not None
    assert refusal.status == 429
    assert refusal.headers["Retry-After"] == "8"
    assert refusal.headers["retry-after-ms"] == "7500"
    assert refusal.headers["x-ratelimit-remaining-requests"] == "0"


def test_a_server_may_tell_nothing_but_when_to_come_back() -> None:
    meter = Meter(Allowance(1, headers=False), Clock())
    assert meter.admit() == ({}, None)
    _, refusal = meter.admit()
    assert refusal is not None
    assert set(refusal.headers) == {"Retry-After", "retry-after-ms"}


def test_what_is_refused_over_http_takes_nothing_from_the_script() -> None:
    with ScriptedServer(["one", "two"], limit=Allowance(1, 3600.0)) as server:
        model: Any = ChatOpenAI(
            model="scripted", base_url=server.url, api_key="test", max_retries=0, include_response_headers=True
        )
        headers = model.invoke("?").response_metadata["headers"]
        with pytest.raises(openai.RateLimitError) as caught:
            model.invoke("?")
        assert (len(server.calls), len(server.requests), server.refused) == (1, 2, 1)
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert int(caught.value.response.headers["retry-after"]) > 3000
