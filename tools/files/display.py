"""Texts as people and models are shown them: nothing in them is invisible, and nothing ends the block they stand in."""

from __future__ import annotations

import re
import unicodedata

_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that leave no trace (Unicode: Default_Ignorable_Code_Point), and an empty pattern of Braille."""


def make_visible(text: str) -> str:
    """The text with characters that would not be seen, or would reorder what is seen, written out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _is_plain(char) else "␍" if char == "\r" else f"<U+{ord(char):04X}>" for char in text)


def as_block(text: str, language: str = "") -> str:
    """The text as a block of Markdown that nothing in it can end."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.removesuffix(chr(10))}\n{fence}"


def as_code(text: str) -> str:
    """One line of text as code in Markdown, with line ends and tabs written out."""
    text = "".join(f"<U+{ord(char):04X}>" if char in "\n\t" else char for char in make_visible(text))
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    edge = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{edge}{text}{edge}{ticks}"


def count_lines(patch: str) -> tuple[int, int]:
    """Lines that come and go in a patch that was made here."""
    come = gone = old = new = 0
    for line in patch.split("\n"):
        if old + new > 0 and line[:1] in ("+", "-", " "):
            come, gone = come + (line[0] == "+"), gone + (line[0] == "-")
            old, new = old - (line[0] in " -"), new - (line[0] in " +")
        elif old + new <= 0 and (head := re.match(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@", line)):
            old, new = (int(number or 1) for number in head.groups())
    return come, gone


def _is_plain(char: str) -> bool:
    return char in "\n\t" or not (
        _UNSEEN.match(char) or unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    )
