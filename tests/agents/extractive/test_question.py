"""What a goal asks."""

from __future__ import annotations

import pytest

from signoff.agents.extractive.question import asks_about_changes, asks_for_number, is_log, names_in, parts_of, sides_of


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


def test_lists_of_changes_are_known_by_their_name_title_or_first_heading() -> None:
    logs = [
        ("a/CHANGELOG.md", "", ""),
        ("x.html", "What's New In Python 3.12", ""),
        ("x.rst", "", "Release notes › 1.2"),
    ]
    logs += [("docs/release-notes-2.txt", "", ""), ("NEWS", "", ""), ("x.md", "Changes in version 4", "")]
    assert all(is_log(*one) for one in logs)
    others = [
        ("newsletter.md", "", ""),
        ("x.md", "How the fares changed", "Prices"),
        ("change.md", "Change a fare", ""),
    ]
    assert not any(is_log(*one) for one in others)
    assert asks_about_changes("Which version introduced fares?")
    assert not asks_about_changes("What are the fares?")


@pytest.mark.parametrize(
    ("goal", "names"),
    [
        ("How do I set up a VPN with WireGuard?", ("vpn", "wireguard")),
        ("Does iOS run it? Where is it (Nepal)?", ("ios", "nepal")),
        ("Where do I find it? Ask somebody: Who knows?", ()),
        ("What Is The Refund Policy", ()),
        ("Wo finde ich den Fahrplan im Hafen?", ()),
    ],
)
def test_names_are_told_by_their_capitals(goal: str, names: tuple[str, ...]) -> None:
    assert names_in(goal) == names


def test_a_number_is_asked_for_if_that_is_all() -> None:
    assert asks_for_number("How much does it cost?")
    assert not asks_for_number("How much does it cost, and who pays it?")


def test_who_wants_to_change_something_does_not_ask_what_was_changed() -> None:
    assert not asks_about_changes("Can I change the compression, and do I have to update the index?")
    assert asks_about_changes("What was changed in the compression?")
    assert asks_about_changes("To which version do I update?")
