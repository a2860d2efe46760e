"""Quotes as Markdown, and back."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given, strategies as st
from markdown_it import MarkdownIt

from signoff.agents.citations import blockquote, escape, find_blockquotes, flatten, same_text, unescape
from signoff.tools.documents.tabular import row_lines

AWKWARD = "ab1 \\*_`[]<>#&;-+.=~$|!()/:'\""
RENDER = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render


def shown(markdown: str) -> str:
    """What a reader sees."""
    return flatten(html.unescape(re.sub(r"<[^>]+>", "", RENDER(markdown))))


@given(st.text(alphabet=st.sampled_from(AWKWARD + "\n"), max_size=30))
def test_escaping_is_undone_by_unescaping(text: str) -> None:
    assert unescape(escape(text)) == text


@given(st.text(alphabet=st.sampled_from(AWKWARD), max_size=25).map(str.strip).filter(bool))
def test_a_quote_renders_as_it_stands(text: str) -> None:
    assert shown(blockquote(text, 7) + "\n") == flatten(f"{text} [7]")


@given(st.text(alphabet=st.sampled_from(AWKWARD + "\n"), max_size=30).map(str.strip).filter(bool))
def test_a_quote_is_found_again_with_its_number(text: str) -> None:
    (found,) = find_blockquotes("Before.\n\n" + blockquote(text, 7, "*Somebody*, somewhere [9]") + "\n\nAfter.")
    assert found.id == 7
    assert same_text(found.text, text)


def test_plain_text_is_left_alone() -> None:
    text = "It costs 5 kroner, i.e. 20% more - or less (see snake_case, v1.2)."
    assert escape(text) == text


CELL = st.text(alphabet=st.sampled_from(AWKWARD + "|;: "), max_size=8)


@given(st.lists(CELL, min_size=1, max_size=4), st.lists(st.lists(CELL, max_size=4), min_size=1, max_size=4))
def test_rows_of_a_table_are_found_again_whatever_stands_in_them(names: list[str], rows: list[list[str]]) -> None:
    text = "\n".join(row_lines(names, rows)).strip()
    if text:
        (found,) = find_blockquotes(blockquote(text, 7, kind="table"))
        assert found.id == 7
        assert same_text(found.text, text)


def test_rows_that_say_their_columns_are_shown_as_a_table() -> None:
    rows = "; ".join(("port: A|B", "depth: 4 m")) + "\nport: C; depth: 7 m; note: tide; wind\nport: D; note: mud"
    quote = blockquote(rows, 2, kind="table")
    assert quote.split("\n")[:5] == [
        "> | port | depth | note |",
        "> | --- | --- | --- |",
        "> | A\\|B | 4 m |  |",
        "> | C | 7 m | tide; wind |",
        "> | D |  | mud |",
    ]
    assert "A|B" in shown(quote)
    assert RENDER(quote).count("<td>") == 9
    assert "|" not in blockquote("depth: 4 m\nheight: 7 m", 2, kind="table")


def test_prose_that_is_still_wrapped_is_no_code() -> None:
    wrapped = (
        "The harbour master closes the lock in any wind that is stronger\nthan a gale; the crew waits at the flag."
    )
    assert "```" not in blockquote(wrapped, 1)
    assert "```" in blockquote("close_lock(wind=9)\nwait(flag=None)  # until the flag is gone", 1)
    assert "```" not in blockquote(wrapped.replace("than a", "1. than a"), 1, kind="list")


def test_a_list_stays_a_list() -> None:
    quote = blockquote("Take:\n\n- *bread*\n- milk", 2)
    assert quote == "> Take:\n>\n> - \\*bread\\*\n> - milk [2]"
    assert RENDER(quote).count("<li>") == 2


@pytest.mark.parametrize(
    ("one", "other", "same"), [("a  b\nc", "a b c", True), ("• a", "- a", True), ("a b", "a c", False)]
)
def test_white_space_and_bullets_make_no_difference(one: str, other: str, same: bool) -> None:
    assert same_text(one, other) is same


def test_lines_of_a_letter_are_no_code_and_those_of_a_program_are() -> None:
    address = "Harbour Office\nCulture and Leisure\n3 February 2024\n\nDear Mr Lind,\n\nthe ferry sails."
    assert "```" not in blockquote(address, 1)
    assert "```" in blockquote("Fares = {}\nFares[2] = 3", 1)
