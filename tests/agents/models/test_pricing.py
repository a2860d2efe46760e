from typing import Any

import pytest

from signoff.agents.models.pricing import price_of


@pytest.mark.parametrize(
    ("said", "nusd"),
    [
        (2.0, 3_000_000),
        ({"input": 1.0, "output": 4.0}, 3_000_000),
        ({"input": 1.0, "cached": 0.1, "output": 4.0}, 2_640_000),
        (0, 0),
    ],
    ids=["one price", "two prices", "cached tokens cheaper", "nothing"],
)
def test_a_price_that_is_set_counts_fresh_cached_and_output_tokens(said: Any, nusd: int) -> None:
    price = price_of("mine", "models.example.org", {"mine": said})
    assert price is not None
    assert price.cost(input_tokens=1000, cached_tokens=400, output_tokens=500) == nusd


def test_a_fraction_of_a_nano_dollar_is_rounded_up() -> None:
    price = price_of("mine", "", {"mine": 0.0001})
    assert price is not None
    assert price.cost(input_tokens=1, output_tokens=0) == 1


@pytest.mark.parametrize("endpoint", ["api.openai.com", "gateway.example.org:8080", ""])
def test_a_known_model_has_the_price_of_the_table_wherever_it_is_called(endpoint: str) -> None:
    price = price_of("gpt-5-mini", endpoint, {})
    assert price is not None
    cost = price.cost(input_tokens=1_000_000, output_tokens=0)
    assert price.cost(input_tokens=1_000_000, cached_tokens=1_000_000, output_tokens=0) < cost > 0


@pytest.mark.parametrize("endpoint", ["127.0.0.1:8080", "localhost:1234", "[::1]:80", "127.0.0.1"])
def test_what_runs_here_costs_nothing(endpoint: str) -> None:
    price = price_of("nobody-knows-it", endpoint, {})
    assert price is not None
    assert price.cost(input_tokens=1000, output_tokens=1000) == 0


@pytest.mark.parametrize("endpoint", ["", "models.example.org", "127.0.0.1.example.org"])
def test_elsewhere_an_unknown_model_has_no_price(endpoint: str) -> None:
    assert price_of("nobody-knows-it", endpoint, {}) is None
