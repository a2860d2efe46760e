"""Text that a person does not see and a model reads: invisible characters, comments, encodings, look-alike letters."""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import unquote

from signoff.agents.safety.text_patterns import pattern

INVISIBLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
)
"""Characters without width, for a character class."""
_pattern: Final = partial(pattern, "hidden_text")
_INVISIBLE: Final = re.compile(f"[{INVISIBLE}\ufe00-\ufe0f\U000e0000-\U000e01ef]+")

LOOK_ALIKES: Final = str.maketrans(
    "асеіјорѕухԁһԛԝӏүАВСЕНІЈКМОРЅТХУѴӀαοινυρΑΒΕΖΗΙΚΜΝΟΡΤΥΧϲϳօոսցհքοᎪᏴᏟᎬᎻᎫᏦᏞᎷᏢᏚᎢᏙᏔᏃꓮꓐꓚꓓꓰꓖꓧꓙꓗꓡꓟꓠꓳꓑꓢꓔꓴꓦꓪꓫꓬꓜⲟⲣⲥⲁɑɡɩıȷⅼ",
    "aceijopsyxdhqwlyABCEHIJKMOPSTXYVIaoivupABEZHIKMNOPTYXcjonughpoABCEHJKLMPSTVWZABCDEGHJKLMNOPSTUVWXYZopcaagiijl",
)
"""Letters that nobody tells from the letter that they stand for here."""
_ALIKE: Final = LOOK_ALIKES | str.maketrans("кмтвнεκχ", "kmtbhekx")
"""Also those that can be told, and are read as it."""
_LEET_LETTERS: Final = str.maketrans("013457", "oieast")
_ENCODED_MOST: Final = 40
"""Encoded pieces of a text that are looked into."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that was hidden, how, and where it stood."""

    text: str
    how: str
    start: int
    is_odd: bool = False
    """Whether hiding text like this is odd in itself, whatever the text says."""


def plain_text(text: str) -> str:
    """The text as a model may read it: no invisible characters, one form of each letter, no look-alikes."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
        if _pattern("foreign").search(text):
            text = _pattern("mixed").sub(lambda found: found[0].translate(_ALIKE), text)
    text = _pattern("spaced").sub(lambda found: re.sub(r"(?<=\w)[ .*_-](?=\w)", "", found[0]).replace("  ", " "), text)
    return _pattern("leet").sub(_read_digits, text)


def _read_digits(found: re.Match[str]) -> str:
    """A word with digits for letters, such as `1gn0re`, as it is read; others, such as `base64`, as they are."""
    word = found[0].translate(_LEET_LETTERS)
    return word if word.isalpha() and len(word) > 4 else found[0]


def hidden_pieces(text: str) -> Iterator[Piece]:
    """What a person does not see in this text."""
    yield from _invisible(text)
    yield from _comments(text)
    for found in _pattern("remark").finditer(text) if "]:" in text else ():
        yield Piece(found[1], "in a comment", found.start())
    if "<" in text:
        for found in _pattern("unseen").finditer(text):
            yield Piece(found[2], "in markup that is not shown", found.start())
        for found in _pattern("attribute").finditer(text):
            yield Piece(found[1], "in an attribute", found.start())
    yield from _encoded(text)


def _comments(text: str) -> Iterator[Piece]:
    start = text.find("<!--")
    while start >= 0 and (end := text.find("-->", start + 4)) >= 0:
        yield Piece(text[start + 4 : end], "in a comment", start)
        start = text.find("<!--", end)


def _invisible(text: str) -> Iterator[Piece]:
    if text.isascii():
        return
    for found in _pattern("tags").finditer(_pattern("flag").sub(lambda flag: " " * len(flag[0]), text)):
        told = "".join(chr(ord(mark) - 0xE0000) for mark in found[0])
        yield Piece(told, "in invisible tag characters", found.start(), is_odd=True)
    for found in _pattern("selectors").finditer(text):
        codes = bytes(ord(mark) - (0xFE00 if ord(mark) < 0xFE10 else 0xE00F0) for mark in found[0])
        told = codes.decode("utf-8", "replace")
        yield Piece(told, "in invisible variation selectors", found.start(), is_odd=True)
    for found in _pattern("zero_bits").finditer(text):
        yield Piece("", "in a row of characters without width", found.start(), is_odd=True)
    split = list(_pattern("split_word").finditer(text))
    if len(split) > 2:
        near = plain_text(text[split[0].start() : split[-1].end()][:300])
        yield Piece(near, "by characters without width inside words", split[0].start(), is_odd=True)
    over = 0
    while turn := _pattern("override").search(text, over):  # one within another is told with it
        end = _pattern("end_of_override").search(text, turn.end())
        over = end.start() if end else len(text)
        yield Piece(text[turn.end() : over][::-1], "by turning its direction round", turn.start(), is_odd=True)


def _encoded(text: str) -> Iterator[Piece]:
    count = 0
    for name, how, decode in (
        ("base64", "in base64", _from_base64),
        ("hex", "in hex digits", _from_hex),
        ("percent", "in percent codes", unquote),
    ):
        if name == "percent" and "%" not in text:
            continue
        for found in _pattern(name).finditer(text):
            try:
                told = decode(found[0])
            except ValueError:  # also if it is no UTF-8
                continue
            if " " in told.strip() and _is_readable(told):
                yield Piece(told, how, found.start())
                count += 1
                if count >= _ENCODED_MOST:
                    return


def _from_base64(word: str) -> str:
    raw = word.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(raw + "=" * (-len(raw) % 4)).decode("utf-8")


def _from_hex(word: str) -> str:
    return bytes.fromhex(word).decode("utf-8")


def _is_readable(text: str) -> bool:
    return sum(mark.isalpha() or mark in " .,;:!?'\"-/@_\n" for mark in text) >= 0.85 * len(text)
