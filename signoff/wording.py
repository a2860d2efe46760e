"""Words as every room says them, and text of others as it is shown: nothing of it is unseen or passes for ours."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that act instead of showing: controls, direction marks, surrogates, private use, line ends."""
_TRACELESS: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufffc\U00013440\U00016fe4\U0001d159"
    "\U000e0100-\U000e01ef]"
)
"""Letters and marks that leave no trace (Unicode: Default_Ignorable_Code_Point), and others that show as a blank."""
_ICON: Final = (
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030"
    "\u303d\u3297\u3299\U0001f000-\U0001faff](?:\ufe0f|[\U0001f3fb-\U0001f3ff])?"
)
_FLAGS: Final = "|".join("".join(chr(0xE0000 + ord(mark)) for mark in land) for land in ("gbeng", "gbsct", "gbwls"))
_EMOJI: Final = re.compile(f"\U0001f3f4(?:{_FLAGS})\U000e007f|{_ICON}(?:\u200d{_ICON})*|[0-9#*]\ufe0f\u20e3")
"""Emoji that are put together of several characters, some of which by themselves would not be seen."""
_STACKED: Final = 4
"""Marks that one letter may carry; more cover what stands above and below."""
_STRAIGHT: Final = dict.fromkeys(map(ord, "“”„‟"), '"')
_WRITTEN: Final = re.compile(r"<U\+([0-9A-F]{4,6})>")
_MARKUP: Final = re.compile(r"[\\<>`*\[\]#|~$&!]|(?<![^\W_])_|_(?![^\W_])|^[-+=]")


def counted(number: int, thing: str) -> str:
    """A number of things: '1 quote', '2 quotes'."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def span(seconds: float) -> str:
    """A time in words, such as `12 min`."""
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(int(seconds), 0)} s"


def place_of(parts: Iterable[str | int]) -> str:
    """Where in a value something stands, as people say it: `mail.to, item 1`. Numbers are places in lists, from 0."""
    said, was_item = "", False
    for part in parts:
        is_item = isinstance(part, int)
        between = "" if not said else ", " if is_item or was_item else "."
        said, was_item = f"{said}{between}{f'item {part + 1}' if isinstance(part, int) else part}", is_item
    return said


def make_visible(text: str) -> str:
    """The text with characters that would not be seen, or would reorder what is seen, written out."""
    if text.isascii() and text.isprintable():
        return text
    marks = set(text)
    written = {ord(mark): _written(mark) for mark in marks if not _is_seen(mark)}
    shown = "".join(one if kept else one.translate(written) for one, kept in _by_emoji(text)) if written else text
    return _unstack(shown) if any(unicodedata.category(mark) in ("Mn", "Me") for mark in marks) else shown


def hide_again(text: str) -> str:
    """What `make_visible` was given, as far as it can be told: a model repeats what it was shown."""
    return _WRITTEN.sub(lambda found: _hidden(int(found[1], 16)) or found[0], text)


def one_line(text: str) -> str:
    """The text in one line, nothing in it unseen; any white space is one blank."""
    return " ".join(make_visible(text).split())


def visible_line(text: str) -> str:
    """The text in one line, in which line ends and tabs are written out too."""
    return make_visible(text).translate({ord(mark): _written(mark) for mark in "\n\t"})


def quoted(text: str) -> str:
    """One line of text between quotation marks that it cannot hold itself."""
    return f"“{one_line(text).translate(_STRAIGHT)}”"


def as_words(text: str) -> str:
    """One line of plain text in Markdown, in which nothing is markup."""
    return _MARKUP.sub(lambda found: f"\\{found[0]}", one_line(text))


def as_block(text: str, language: str = "") -> str:
    """The text as a block of Markdown that nothing in it can end."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.removesuffix(chr(10))}\n{fence}"


def as_code(text: str) -> str:
    """One line of text as code in Markdown, with line ends, tabs and odd blanks written out."""
    text = "".join(_written(mark) if mark != " " and unicodedata.category(mark) == "Zs" else mark for mark in text)
    text = visible_line(text) or " "
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    edge = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{ticks}{edge}{text}{edge}{ticks}"


def as_quotation(markdown: str) -> str:
    """Markdown of others as a quotation, which nothing in it can end."""
    return "\n".join(f"> {line}".rstrip() for line in make_visible(markdown).split("\n"))


def fold(text: str, width: int) -> list[str]:
    """The line in pieces that surely fit so many cells, broken at blanks where there are some; nothing is lost."""
    pieces, start = list[str](), 0
    while start < len(text) or not pieces:
        end, cells, blank = start, 0, 0
        while end < len(text) and (cells := cells + (1 if text[end].isascii() else 2)) <= width:
            end += 1
            blank = end if text[end - 1] == " " else blank
        end = max(end, start + 1)
        if end < len(text) and blank > start:
            end = blank
        pieces.append(text[start:end])
        start = end
    return pieces


def _by_emoji(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, and whether each is an emoji all parts of which show in what it looks like."""
    done = 0
    for found in _EMOJI.finditer(text):
        if _is_ordinary(found[0]):
            yield text[done : found.start()], False
            yield found[0], True
            done = found.end()
    yield text[done:], False


def _is_ordinary(emoji: str) -> bool:
    """Whether a selector stands only after signs that are text without it: after others it changes nothing."""
    is_assigned = all(unicodedata.category(mark) != "Cn" for mark in emoji)
    selected = [one for one, next_one in pairwise(emoji) if next_one == "\ufe0f"]
    return is_assigned and all(unicodedata.east_asian_width(one) != "W" for one in selected)


def _is_seen(mark: str) -> bool:
    return mark in "\n\t" or not (_TRACELESS.match(mark) or unicodedata.category(mark) in _UNSEEN)


def _written(mark: str) -> str:
    return "␍" if mark == "\r" else f"<U+{ord(mark):04X}>"


def _hidden(code: int) -> str:
    """The character of this number if it is one that is written out; empty if not."""
    return chr(code) if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF and not _is_seen(chr(code)) else ""


def _unstack(text: str) -> str:
    """The text with marks beyond those that a letter can carry written out."""
    shown, carried = list[str](), 0
    for mark in text:
        carried = carried + 1 if unicodedata.category(mark) in ("Mn", "Me") else 0
        shown.append(mark if carried <= _STACKED else _written(mark))
    return "".join(shown)
