"""Words, and when two are the same."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from signoff.agents.extractive.text import content, is_weak, other_forms, root, stem, tokens


@pytest.mark.parametrize(
    "family",
    [
        "group groups grouped grouping",
        "code codes coded coding",
        "use uses used using",
        "run runs ran running",
        "add adds added adding addition",
        "policy policies",
        "choose chose chosen choosing choice",
        "async asynchronous",
    ],
)
def test_forms_of_a_word_are_one_word(family: str) -> None:
    assert len({stem(word) for word in family.split()}) == 1


@pytest.mark.parametrize(
    "family",
    [
        "reject rejected rejection",
        "compile compiler compilation",
        "secure security",
        "deprecate deprecation",
        "introduce introduction",
        "strong stronger",
        "interpreter subinterpreters",
    ],
)
def test_words_of_one_family_share_a_root(family: str) -> None:
    assert len({root(word) for word in family.split()}) == 1


@pytest.mark.parametrize(
    "pair", ["generic generator", "import important", "general generate", "multiple multiplication"]
)
def test_words_that_only_look_alike_do_not(pair: str) -> None:
    one, other = pair.split()
    assert root(one) != root(other)


def test_versions_names_and_contractions_stay_whole() -> None:
    assert tokens("Don't use C++ or C# before 3.11, Ana’s advice") == [
        *["don't", "use", "c++", "or", "c#", "before", "3.11", "ana", "advice"]
    ]


def test_ideographs_become_pairs_of_neighbours() -> None:
    assert tokens("买船票 now") == ["买船", "船票", "now"]


def test_stop_words_and_lone_letters_carry_no_meaning() -> None:
    assert content("What is the price of a ferry, and why?") == ["price", "ferry"]


def test_weak_words_are_known_in_any_form() -> None:
    assert is_weak("added")
    assert is_weak("introduced")
    assert not is_weak("ferry")


def test_other_forms_go_both_ways() -> None:
    assert "chosen" in other_forms("chose")
    assert "choose" in other_forms("chosen")
    assert other_forms("ferry") == ()


@given(st.text(max_size=40))
def test_any_text_can_be_cut_into_words(text: str) -> None:
    for word in tokens(text):
        assert stem(word)
        assert root(word)
