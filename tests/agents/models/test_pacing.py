"""The pace of endpoints that say little, or much, is found: counted by a clock of its own, in their own dialects."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import simulated_limits as said
from simulated_limits import Bucket, Cell, Changing, Counter, Dialect, Fixed, Gcra, Several, Simulation, Sliding


def fifty() -> Counter:
    return Bucket(50, 10)


COUNTERS: dict[str, Callable[[], Counter]] = {
    "bucket": fifty,
    "large bucket": lambda: Bucket(50, 100),
    "gcra": lambda: Gcra(50, 5),
    "window": lambda: Fixed(100, 2),
}
SILENT = said.retry_seconds, said.retry_one, said.retry_date, said.retry_exact, said.nothing
NAMED = said.openai, said.ietf, said.ietf_draft7, said.ietf_draft6, said.ietf_daily, said.anthropic, said.github


@pytest.mark.parametrize("dialect", SILENT, ids=lambda dialect: dialect.__name__)
@pytest.mark.parametrize("counting", COUNTERS)
def test_an_endpoint_that_tells_no_limit_is_used_to_its_limit(counting: str, dialect: Dialect) -> None:
    simulation = Simulation(Cell(name="", counter=COUNTERS[counting], dialect=dialect, jobs=400))
    cold, known = simulation.crowd(), simulation.again()
    assert cold.done == known.done == 400
    assert (cold.ratio < 1.35, cold.share < 0.03) == (True, True), cold
    assert (known.ratio < 1.2, known.share < 0.03) == (True, True), known


@pytest.mark.parametrize("dialect", NAMED, ids=lambda dialect: dialect.__name__)
@pytest.mark.parametrize("counter", [lambda: Bucket(50, 50), lambda: Fixed(100, 2)], ids=["bucket", "window"])
def test_an_endpoint_that_names_its_limit_refuses_nothing(counter: Callable[[], Counter], dialect: Dialect) -> None:
    simulation = Simulation(Cell(name="", counter=counter, dialect=dialect))
    for crowd in (simulation.crowd(), simulation.again()):
        assert (crowd.done, crowd.refused <= 2) == (300, True)
        assert crowd.ratio < 1.15


def test_a_window_of_a_second_with_headers_is_not_taken_for_minutes() -> None:
    crowd = Simulation(Cell(name="", counter=lambda: Fixed(500, 1), dialect=said.openai, jobs=1500)).crowd()
    assert (crowd.refused, crowd.ratio < 1.25) == (0, True)


def test_of_two_policies_both_are_kept() -> None:
    counter = Several((Bucket(50, 10), Fixed(10_000, 3600)))
    assert Simulation(Cell(name="", counter=lambda: counter, jobs=300)).crowd().ratio < 1.3


def test_three_processes_find_one_pace() -> None:
    simulation = Simulation(Cell(name="", counter=fifty, processes=3, jobs=600))
    cold, known = simulation.crowd(), simulation.again()
    assert (cold.ratio < 1.25, cold.share < 0.02) == (True, True), cold
    assert (known.ratio < 1.1, known.share < 0.01) == (True, True), known


def test_what_one_run_found_the_next_one_begins_with() -> None:
    simulation = Simulation(Cell(name="", counter=lambda: Bucket(100, 10), jobs=600))
    cold, known = simulation.crowd(), simulation.again(after=3600.0)
    assert known.wall < cold.wall
    assert known.refused <= 3


def test_a_limit_that_was_told_right_is_kept_from_the_first_call_on() -> None:
    crowd = Simulation(Cell(name="", counter=lambda: Bucket(100, 10), told=100)).crowd()
    assert (crowd.refused, crowd.ratio < 1.05) == (0, True)


def test_a_limit_that_was_told_too_high_is_found_all_the_same() -> None:
    crowd = Simulation(Cell(name="", counter=fifty, told=100)).crowd()
    assert (crowd.share < 0.02, crowd.ratio < 1.15) == (True, True), crowd


def test_a_limit_that_was_told_too_low_is_kept() -> None:
    crowd = Simulation(Cell(name="", counter=fifty, told=25, bound=12.2)).crowd()
    assert (crowd.refused, crowd.wall > 11.8) == (0, True)


@pytest.mark.parametrize("jitter", [0.0, 0.5])
def test_a_limit_on_calls_in_flight_is_kept_and_used(jitter: float) -> None:
    simulation = Simulation(Cell(name="", counter=None, at_once=20, jobs=600, jitter=jitter), seed=2)
    cold, known = simulation.crowd(), simulation.again()
    assert (cold.done, known.done) == (600, 600)
    assert (cold.ratio < 1.3, cold.share < 0.02) == (True, True), cold
    assert (known.ratio < 1.2, known.share < 0.01) == (True, True), known


def test_an_endpoint_without_a_limit_is_soon_asked_everything_at_once() -> None:
    simulation = Simulation(Cell(name="", counter=None, dialect=said.nothing, jobs=1000, latency=5.0))
    cold, known = simulation.crowd(), simulation.again()
    assert (cold.wall < 6.8, known.wall < 6) == (True, True)
    assert cold.commits < 40


def test_a_limit_that_rises_and_falls_is_followed() -> None:
    steps = ((0.0, Bucket(100, 10)), (5.0, Bucket(20, 10)), (13.0, Bucket(200, 10)))
    crowd = Simulation(Cell(name="", counter=lambda: Changing(steps), jobs=1660, bound=18.2)).crowd()
    assert (crowd.ratio < 1.8, crowd.share < 0.02) == (True, True), crowd


@pytest.mark.parametrize(("dialect", "back"), [(said.retry_seconds, 9.0), (said.nothing, 12.0), (said.retry_one, 17.0)])
def test_a_limit_that_falls_to_a_tenth_and_comes_back_is_used_again(dialect: Dialect, back: float) -> None:
    steps, low = ((0.0, Bucket(100, 10)), (4.0, Bucket(10, 10)), (back, Bucket(100, 10))), int(10 * (back - 4))
    cell = Cell(name="", counter=lambda: Changing(steps), dialect=dialect, jobs=1200 + low, bound=8.2 + back)
    crowd = Simulation(cell).crowd()
    assert (crowd.ratio < 1.5, crowd.share < 0.02) == (True, True), crowd


def test_a_limit_that_fell_for_good_is_not_tried_often() -> None:
    steps = ((0.0, Bucket(100, 10)), (4.0, Bucket(10, 10)))
    crowd = Simulation(Cell(name="", counter=lambda: Changing(steps), jobs=700, bound=34.2)).crowd()
    assert (crowd.ratio < 1.25, crowd.share < 0.02) == (True, True), crowd


@pytest.mark.parametrize(("a_minute", "dialect"), [(3, said.nothing), (17, said.retry_date)])
def test_a_few_a_minute_are_shared_without_calls_that_come_late_and_together(a_minute: int, dialect: Dialect) -> None:
    """After a refusal a turn waited for its distance from the refused call as well as for the end of the pause."""
    cell = Cell(name="", counter=lambda: Bucket(a_minute / 60, 1), dialect=dialect, jobs=7, calls=8, processes=2)
    crowd = Simulation(cell).crowd()
    assert crowd.ratio < 1.25


def test_tokens_by_their_own_headers_are_never_refused() -> None:
    cell = Cell(
        name="",
        counter=lambda: Bucket(30_000, 60_000),
        dialect=said.openai_tokens,
        weight=lambda chance: chance.choice((100, 200, 300, 2000)),
    )
    assert Simulation(cell).crowd().refused == 0


def test_a_pace_of_hundreds_a_second_takes_few_questions_to_the_ledger() -> None:
    crowd = Simulation(Cell(name="", counter=lambda: Bucket(500, 100), jobs=2000)).crowd()
    assert crowd.done == 2000
    assert crowd.commits < 15 * crowd.wall


@pytest.mark.parametrize("seconds", [1.0, 3.0])
def test_a_sliding_window_loses_no_call(seconds: float) -> None:
    simulation = Simulation(Cell(name="", counter=lambda: Sliding(int(40 * seconds), seconds)))
    assert (simulation.crowd().done, simulation.again().done) == (300, 300)
