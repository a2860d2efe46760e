"""Where sentences begin and end."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from signoff.agents.extractive.sentences import split


def texts(text: str) -> list[str]:
    return [sentence.text for sentence in split(text)]


@pytest.mark.parametrize(
    "text",
    [
        "Use a client, e.g. curl, i.e. a program that fetches.",
        "Dr. Vance and Mr. Okafor met at 5 p.m. in Northport.",
        "The pump needs 2.5 litres and Python 3.11 or later.",
        "G. van Rossum wrote it, cf. No. 7 of the list and Fig. 3.",
        "See https://example.org/a.b?c=d. for the page of e.g. today.",
        'He said "Go. Now." and left.',
        "It works (most of the time. Not always.) on the island.",
        "Call ``stop. Then`` to stop it.",
        "Wait ... until it is dry.",
        "Im Winter fährt sie z. B. am Sonntag nur dreimal.",
    ],
)
def test_these_are_one_sentence(text: str) -> None:
    assert texts(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rains. It pours.", ["It rains.", "It pours."]),
        ("Is it late? Yes! Go.", ["Is it late?", "Yes!", "Go."]),
        ("Oil, water, etc. The rest is air.", ["Oil, water, etc.", "The rest is air."]),
        ('"Stop." She went on.', ['"Stop."', "She went on."]),
        ("It needs 3.11. Later is fine.", ["It needs 3.11.", "Later is fine."]),
        ("Known since long.[3] Proven today.", ["Known since long.[3]", "Proven today."]),
        ("It was I. Nobody else came.", ["It was I.", "Nobody else came."]),
        ("船票在码头购买。孩子半价！", ["船票在码头购买。", "孩子半价！"]),
        ("هل هذا صحيح؟ نعم.", ["هل هذا صحيح؟", "نعم."]),
        ("One line\nwrapped here. Another\none.", ["One line\nwrapped here.", "Another\none."]),
        ("A paragraph\n\nAnother one", ["A paragraph", "Another one"]),
    ],
)
def test_these_are_cut_where_a_reader_would(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


def test_list_items_are_kept_apart_and_lose_their_marks() -> None:
    found = split("Take:\n\n- bread, e.g. rye\n- milk. Or cream.\n\n1. Mix.\n2. Bake.")
    assert [sentence.text for sentence in found] == ["Take:", "bread, e.g. rye", "milk.", "Or cream.", "Mix.", "Bake."]


def test_a_number_at_the_start_of_a_wrapped_line_is_no_list_item() -> None:
    assert texts("The first of them needs version\n3. Later ones do not.") == [
        "The first of them needs version\n3.",
        "Later ones do not.",
    ]


@given(st.text(alphabet=st.sampled_from('aB1.?!。 \n\t-*()"“”`[]:,é船'), max_size=80))
def test_every_sentence_stands_where_it_says_and_nothing_but_marks_and_blanks_is_lost(text: str) -> None:
    end = 0
    for sentence in split(text):
        assert sentence.start >= end
        assert text[sentence.start : (sentence.start + len(sentence.text))] == sentence.text
        assert set(text[end : sentence.start]) <= set(" \n\t-*1aB().")
        end = sentence.start + len(sentence.text)
    assert not text[end:].strip()
