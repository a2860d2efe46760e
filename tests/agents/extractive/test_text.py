"""Words, and when two are the same."""

from __future__ import annotations

from hypothesis import given, strategies as st

from signoff.agents.extractive.text import content, stem, tokens


def test_versions_names_and_contractions_stay_whole() -> None:
    assert tokens("Don't use C++ or C# before 3.11, Ana’s advice") == [
        *["don't", "use", "c++", "or", "c#", "before", "3.11", "ana", "advice"]
    ]


def test_ideographs_become_pairs_of_neighbours() -> None:
    assert tokens("买船票 now") == ["买船", "船票", "now"]


def test_stop_words_and_lone_letters_carry_no_meaning() -> None:
    assert content("What is the price of a ferry, and why?") == ["price", "ferry"]


@given(st.text(max_size=40))
def test_any_text_can_be_cut_into_words(text: str) -> None:
    for word in tokens(text):
        assert stem(word)
