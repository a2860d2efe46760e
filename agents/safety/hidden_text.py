"""Text that a person does not see and a model reads: invisible characters, comments, encodings, look-alike letters."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

INVISIBLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
)
"""Characters without width, for a character class."""
_INVISIBLE: Final = re.compile(f"[{INVISIBLE}\ufe00-\ufe0f\U000e0000-\U000e01ef]+")
_TAGS: Final = re.compile("[\U000e0020-\U000e007e]{2,}")
_FLAG: Final = re.compile("\U0001f3f4[\U000e0020-\U000e007e]{1,10}\U000e007f")
_SELECTORS: Final = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_ZERO_BITS: Final = re.compile("[\u200b-\u200d\u2060-\u2064\ufeff]{8,}")
_SPLIT_WORD: Final = re.compile("[A-Za-z][\u200b\u200c\u200d\u2060\ufeff]+[A-Za-z]")
_OVERRIDE: Final = re.compile("[\u202d\u202e]")

_REMARK: Final = re.compile(r"^\[[^\]\n]{0,20}\]:[ \t]*#[ \t]*[(\"']([^\n]{8,1000})[)\"']$", re.MULTILINE)
_UNSEEN: Final = re.compile(
    r"<(\w{1,12})\b[^<>]{0,200}(?:display:\s*none|visibility:\s*hidden|font-size:\s*[01](?:px|pt|em)?\b|opacity:\s*0\b"
    r"|color:\s*(?:white|#fff(?:fff)?|transparent)\b|\shidden\b|aria-hidden)[^<>]{0,200}>([^<]{8,2000})",
    re.IGNORECASE,
)
_ATTRIBUTE: Final = re.compile(
    r"\b(?:alt|title|aria-label|data-[\w-]{1,20}|content)=\"([^\"\n]{16,1000})\"", re.IGNORECASE
)
_BASE64: Final = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{24,}={0,2}(?![A-Za-z0-9+/_-])")
_HEX: Final = re.compile(r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{2}[ ]?){16,}(?![0-9A-Za-z])")
_PERCENT: Final = re.compile(r"(?:[\w.,!'-]{0,12}%[0-9A-Fa-f]{2}){3,}[\w.,!'-]*")
_MIXED: Final = re.compile(r"\b(?=\w*[A-Za-z])(?=\w*[\u0370-\u03ff\u0400-\u04ff])\w{3,}\b")
_SPACED: Final = re.compile(r"(?<!\w)(?:[A-Za-z]([ .*_-])(?:[A-Za-z]\1){3,}[A-Za-z](?:[ ]{2,}|(?!\w)))+")
_LEET: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]*+[013457][A-Za-z013457]++(?![A-Za-z0-9])")
_FOREIGN: Final = re.compile("[\u0370-\u04ff]")

_LOOK_ALIKES: Final = str.maketrans(
    "асеіјорѕухԁһԛԝкмтвнАВСЕНІЈКМОРЅТХУοαεικνρυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aceijopsyxdhqwkmtbhABCEHIJKMOPSTXYoaeiknpuxABEZHIKMNOPTYX",
)
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
    if text.isascii():
        clean = text
    else:
        clean = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
        if _FOREIGN.search(clean):
            clean = _MIXED.sub(lambda found: found[0].translate(_LOOK_ALIKES), clean)
    clean = _SPACED.sub(lambda found: re.sub(r"(?<=\w)[ .*_-](?=\w)", "", found[0]).replace("  ", " "), clean)
    return _LEET.sub(_read_digits, clean)


def _read_digits(found: re.Match[str]) -> str:
    """A word with digits for letters, such as `1gn0re`, as it is read; others, such as `base64`, as they are."""
    word = found[0].translate(_LEET_LETTERS)
    return word if word.isalpha() and len(word) > 4 else found[0]


def hidden_pieces(text: str) -> Iterator[Piece]:
    """What a person does not see in this text."""
    yield from _invisible(text)
    yield from _comments(text)
    for found in _REMARK.finditer(text) if "]:" in text else ():
        yield Piece(found[1], "in a comment", found.start())
    if "<" in text:
        for found in _UNSEEN.finditer(text):
            yield Piece(found[2], "in markup that is not shown", found.start())
        for found in _ATTRIBUTE.finditer(text):
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
    for found in _TAGS.finditer(_FLAG.sub(lambda flag: " " * len(flag[0]), text)):
        told = "".join(chr(ord(mark) - 0xE0000) for mark in found[0])
        yield Piece(told, "in invisible tag characters", found.start(), is_odd=True)
    for found in _SELECTORS.finditer(text):
        codes = (ord(mark) - (0xFE00 if ord(mark) < 0xFE10 else 0xE00F0) for mark in found[0])
        yield Piece(
            bytes(codes).decode("utf-8", "replace"), "in invisible variation selectors", found.start(), is_odd=True
        )
    for found in _ZERO_BITS.finditer(text):
        yield Piece("", "in a row of characters without width", found.start(), is_odd=True)
    split = list(_SPLIT_WORD.finditer(text))
    if len(split) > 2:
        near = plain_text(text[split[0].start() : split[-1].end()][:300])
        yield Piece(near, "by characters without width inside words", split[0].start(), is_odd=True)
    for found in _OVERRIDE.finditer(text):
        end = re.compile("[\u202c\n]|\\Z").search(text, found.end())
        yield Piece(
            text[found.end() : end.start() if end else None][::-1],
            "by turning its direction round",
            found.start(),
            is_odd=True,
        )


def _encoded(text: str) -> Iterator[Piece]:
    count = 0
    for pattern, how, decode in (
        (_BASE64, "in base64", _from_base64),
        (_HEX, "in hex digits", _from_hex),
        (_PERCENT, "in percent codes", unquote),
    ):
        if pattern is _PERCENT and "%" not in text:
            continue
        for found in pattern.finditer(text):
            told = decode(found[0])
            if " " in told.strip() and _is_readable(told):
                yield Piece(told, how, found.start())
                count += 1
                if count >= _ENCODED_MOST:
                    return


def _from_base64(word: str) -> str:
    raw = word.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(raw + "=" * (-len(raw) % 4)).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _from_hex(word: str) -> str:
    try:
        return bytes.fromhex(word).decode("utf-8")
    except (ValueError, UnicodeDecodeError):
        return ""


def _is_readable(text: str) -> bool:
    return sum(mark.isalpha() or mark in " .,;:!?'\"-/@_\n" for mark in text) >= 0.85 * len(text)
