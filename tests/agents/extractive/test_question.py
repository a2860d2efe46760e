"""What a goal asks for."""

from __future__ import annotations

import pytest

from signoff.agents.extractive.question import understand, whole


@pytest.mark.parametrize(
    ("goal", "kind"),
    [
        ("Why was the winter service introduced?", "why"),
        ("What is the purpose of the flag?", "why"),
        ("How do I claim a refund?", "how"),
        ("How much is a ticket?", "count"),
        ("How long is a season ticket valid?", "span"),
        ("What is an impeller?", "what"),
        ("What does the tariff cover?", "which"),
        ("When was the service introduced?", "when"),
        ("When should I ask for help?", "whether"),
        ("What happens when the wind is strong?", "which"),
        ("Who is the harbour master?", "who"),
        ("What is the difference between a ship and a boat?", "compare"),
        ("Can I take a dog?", "whether"),
        ("ferry fares", "topic"),
        ("Please write a short report about ferry fares for the board", "topic"),
        ("Explain how fares are set", "how"),
    ],
)
def test_the_kind_of_a_question(goal: str, kind: str) -> None:
    assert understand(goal)[0].kind == kind


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        ("Please write a short report about ferry fares for the board", ["ferry", "fares"]),
        ("Summarize what the documents say about winter storms", ["winter", "storms"]),
        ("What is the difference between a ship and a boat?", ["ship", "boat"]),
        ("How long is a season ticket valid?", ["season", "ticket", "valid"]),
        ("How are f-strings evaluated?", ["fstrings", "evaluated"]),
        ("What does __set_name__ do?", ["__set_name__"]),
    ],
)
def test_the_words_that_matter(goal: str, words: list[str]) -> None:
    assert [term.word for term in whole(goal).terms] == words


def test_a_later_question_that_says_it_is_about_the_first() -> None:
    first, second = understand("What is the stable ABI and why was it introduced?")
    assert (first.kind, second.kind) == ("what", "why")
    assert [term.word for term in second.terms] == ["stable", "abi", "introduced"]


def test_two_questions_are_asked_apart() -> None:
    first, second = understand("Who sets the fares? When does the board meet?")
    assert [term.word for term in first.terms] == ["sets", "fares"]
    assert [term.word for term in second.terms] == ["board", "meet"]


def test_names_are_known_by_their_capitals_unless_everything_has_one() -> None:
    assert [term.word for term in whole("Which fares does Northport set?").terms if term.named] == ["northport"]
    assert not any(term.named for term in whole("Which Fares Does Northport Set?").terms)


@pytest.mark.parametrize("goal", ["", "???", "\n \n", "the of and", "如何购买船票？", "🚢"])
def test_nothing_is_too_odd_to_be_understood(goal: str) -> None:
    assert len(understand(goal)) == 1
