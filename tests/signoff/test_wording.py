"""Nothing of a text is unseen when it is shown, and nothing of it passes for something else."""

import re
import unicodedata

import pytest
from hypothesis import given, strategies as st
from markdown_it import MarkdownIt

from signoff.wording import (
    as_block,
    as_code,
    as_quotation,
    as_words,
    fold,
    hide_again,
    make_visible,
    one_line,
    place_of,
    quoted,
)

UNSEEN = [
    *"\x00\x07\x08\x0b\x0c\x1b\x7f\x85\x9b",
    *"\u00ad\u034f\u061c\u115f\u17b4\u180e\u200b\u200c\u200d\u200e\u2028\u2029\u202a\u202e\u2060\u2066\u2069\u2800\u3164",
    *"\ufe00\ufe0f\ufeff\uffa0\ufff9\ufffc\ue000\U000e0001\U000e0041\U000e007f\U000e0100\U000e01ef\U0001d173",
    "\ud800",
]
TEXTS = st.text(st.one_of(st.characters(), st.sampled_from([*UNSEEN, *"<>`*_[]()!#|~$&-\n\t\r ", "́"])), max_size=60)


@pytest.mark.parametrize("mark", UNSEEN, ids=[f"U+{ord(mark):04X}" for mark in UNSEEN])
def test_what_nobody_would_see_is_written_out_and_can_be_read_back(mark: str) -> None:
    assert make_visible(f"a{mark}b") == f"a<U+{ord(mark):04X}>b"
    if mark != "\ud800":
        assert hide_again(make_visible(f"a{mark}b")) == f"a{mark}b"


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((), ""),
        (("to",), "to"),
        (("mail", "to"), "mail.to"),
        (("to", 0), "to, item 1"),
        (("rows", 1, 0), "rows, item 2, item 1"),
        (("places", 0, "town", "name"), "places, item 1, town.name"),
        ((2, "town"), "item 3, town"),
    ],
)
def test_people_count_the_items_of_a_list_from_one(parts: tuple[str | int, ...], said: str) -> None:
    assert place_of(parts) == said


def test_what_is_seen_stays_as_it_is() -> None:
    text = "Größe, naïve, e\u0301, Москва, 日本語, שָׁלוֹם, ไม่, 🙂 1\u00a0000\n\tnext <U+0041>"
    assert make_visible(text) == text
    assert hide_again(text) == text


ICONS = "©®‼⁉™ℹ\u2190-\u2bff〰〽㊗㊙\U0001f000-\U0001faff"
ORDINARY = [
    "❤️ ☀️ ✌🏽 👍🏽 1️⃣ #️⃣ ©️ ▶️ ⚠️ 🏳️‍🌈 🏴‍☠️ ❤️‍🔥 👩🏽‍💻 👨‍👩‍👧‍👦 🕵🏽‍♂️ 👁️‍🗨️ 🇩🇪",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_emoji_of_several_characters_stay_as_they_are(text: str) -> None:
    assert make_visible(text) == text
    assert one_line(f"fine {text}!") == f"fine {text}!"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("😀\ufe0f", "😀<U+FE0F>"),  # is an emoji without it
        ("❤\ufe0f\ufe0f", "❤\ufe0f<U+FE0F>"),
        ("❤\ufe0e", "❤<U+FE0E>"),
        ("❤\U000e0100", "❤<U+E0100>"),
        ("👩\u200d\u200d💻", "👩<U+200D><U+200D>💻"),
        ("👩\u200d", "👩<U+200D>"),
        ("👩\u200dpay", "👩<U+200D>pay"),
        ("pa\u200dy", "pa<U+200D>y"),
        ("1\ufe0f2", "1<U+FE0F>2"),
        ("🏴\U000e0061\U000e007f", "🏴<U+E0061><U+E007F>"),
        ("👩\u200d\U0001f0c0", "👩<U+200D><U+1F0C0>"),  # not assigned
        ("👩\u200d💻\U000e0041", "👩\u200d💻<U+E0041>"),
    ],
)
def test_what_hides_beside_emoji_is_written_out(text: str, shown: str) -> None:
    assert make_visible(text) == shown
    assert hide_again(shown) == text


def test_marks_that_would_cover_the_lines_around_are_written_out() -> None:
    assert make_visible("a" + "\u0301" * 6) == "a" + "\u0301" * 4 + "<U+0301>" * 2


@given(TEXTS)
def test_no_text_keeps_anything_unseen(text: str) -> None:
    shown = make_visible(text)
    unjoined = re.sub(f"(?<=[{ICONS}\ufe0f])\u200d(?=[{ICONS}])", "", shown)
    assert not {unicodedata.category(mark) for mark in unjoined if mark not in "\n\t"} & {
        "Cc",
        "Cf",
        "Cs",
        "Co",
        "Cn",
        "Zl",
        "Zp",
    }
    assert make_visible(shown) == shown
    for line in (one_line(text), as_code(text), as_words(text), quoted(text)):
        assert line.splitlines() in ([line], [])


@given(TEXTS)
def test_markdown_shows_a_text_and_nothing_but_it(text: str) -> None:
    render = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse
    (_, words, _) = render(f"It says: {as_words(text)} and no more.")
    assert (
        "".join(part.content for part in words.children or ()).split()
        == f"It says: {one_line(text)} and no more.".split()
    )
    (_, code, _) = render(f"It says: {as_code(text)} and no more.")
    assert [part.type for part in code.children or ()] == ["text", "code_inline", "text"]
    (block,) = render(as_block(make_visible(text)))
    assert block.type == "fence"


@given(TEXTS, TEXTS)
def test_what_is_quoted_never_ends_its_quotation(text: str, other: str) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(as_quotation(f"{text}\n{other}") + "\n\nours")
    assert [token.content for token in tokens if token.level == 1 and token.type == "inline"][-1] == "ours"
    assert [token.type for token in tokens if token.level == 0] == [
        "blockquote_open",
        "blockquote_close",
        "paragraph_open",
        "paragraph_close",
    ]


@given(TEXTS, st.integers(2, 40))
def test_a_folded_line_loses_nothing_and_fits(text: str, width: int) -> None:
    line = make_visible(text).replace("\n", "")
    pieces = fold(line, width)
    assert "".join(pieces) == line
    assert all(sum(1 if mark.isascii() else 2 for mark in piece) <= width for piece in pieces)
