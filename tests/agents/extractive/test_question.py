"""What a goal asks."""

from __future__ import annotations

import pytest

from signoff.agents.extractive.question import asks_for_number, parts_of, sides_of


@pytest.mark.parametrize(
    ("goal", "parts"),
    [
        ("Who sets the fares? What is an impeller?", ("Who sets the fares?", "What is an impeller?")),
        ("Who sets the fares and when does the ferry sail", ("Who sets the fares", "when does the ferry sail")),
        ("List the fares.\nName the captain.", ("List the fares", "Name the captain.")),
        ("The disk is full. What is to be done?", ("The disk is full. What is to be done?",)),
        ("List the fares. Name the captain.", ("List the fares", "Name the captain.")),
        ("bread and butter", ("bread and butter",)),
        ("Fares? Why?", ("Fares?",)),
        ("什么时候开船？多少钱？", ("什么时候开船？", "多少钱？")),
        ("???", ("???",)),
    ],
)
def test_the_parts_of_a_goal_are_found(goal: str, parts: tuple[str, ...]) -> None:
    assert parts_of(goal) == parts


@pytest.mark.parametrize(
    ("goal", "sides"),
    [
        ("What is the difference between the ledger and the saver?", ("ledger", "saver")),
        ("tuples vs. lists", ("tuples", "lists")),
        ("Compare a season ticket with an adult single.", ("season ticket", "adult single")),
        ("How does curl differ from wget?", ("curl", "wget")),
        ("How do buses and trams compare?", ("buses", "trams")),
        ("Who sails between Northport and the island?", ()),
        ("What is the difference?", ()),
    ],
)
def test_what_is_compared_is_found(goal: str, sides: tuple[str, ...]) -> None:
    assert sides_of(goal) == sides


def test_a_number_is_asked_for_if_that_is_all() -> None:
    assert asks_for_number("How much does it cost?")
    assert not asks_for_number("How much does it cost, and who pays it?")
