"""Sentences that seem to disagree."""

from __future__ import annotations

import pytest

from signoff.agents.artifacts import Quote
from signoff.agents.extractive.conflicts import find_conflicts


def quotes(*texts: str) -> list[Quote]:
    return [Quote(id=n, text=text, source=f"{n}.md", start=0) for n, text in enumerate(texts, 1)]


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        (
            "Refunds are paid within 14 days after a written claim.",
            "Refunds are paid within thirty days after the written claim.",
            "“14 days” in one, “thirty days” in the other",
        ),
        (
            "The ferry sails when the wind is stronger than a gale.",
            "The ferry does not sail when the wind is stronger than a gale.",
            "one says it, the other denies it",
        ),
        (
            "A life jacket is required on the open deck of the ferry.",
            "A life jacket is optional on the open deck of the ferry.",
            "one says “required”, the other “optional”",
        ),
        (
            "An adult ticket costs $48 on the ferry.",
            "An adult ticket costs $52 on the ferry.",
            "“$48” in one, “$52” in the other",
        ),
    ],
)
def test_a_contradiction_is_named_in_plain_words(one: str, other: str, why: str) -> None:
    (conflict,) = find_conflicts(quotes(one, "Nothing else matters here at all.", other))
    assert (conflict.first, conflict.second, conflict.why) == (1, 3, why)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Version 3.13 gets bug fixes for 24 months.", "Version 3.14 gets bug fixes for 18 months."),
        ("The winter ferry carries 40 people on deck.", "The summer bus carries 60 people from Northport."),
        ("The ferry does not sail in a gale.", "The office does not open on Sunday."),
        (
            "Refunds are paid within 14 days after a claim.",
            "Refunds are paid within fourteen days, i.e. 14 days, after a claim.",
        ),
        ("The ferry never waits.", "The crew waits for nobody."),
    ],
)
def test_what_is_about_different_things_is_no_contradiction(one: str, other: str) -> None:
    assert find_conflicts(quotes(one, other)) == ()
