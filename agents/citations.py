"""Quoting: quotes as Markdown that renders them as they are, and back again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_PUNCTUATION = re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_ESCAPED = re.compile(rf"\\([{_PUNCTUATION}])")
_SPECIAL = re.compile(
    rf"(?P<backslash>\\(?=[{_PUNCTUATION}\n]|$))|(?P<always>[*`\[<])|(?P<underscore>(?<![^\W_])_|_(?![^\W_]))"
    r"|(?P<entity>&(?=#?\w+;))|(?P<pair>[~$])"
)
_BLOCK_MARK = re.compile(r"^([ \t]*)(?:([-+=#>])|(\d{1,9})([.)])(?=\s|$))")
_ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,9}[.)])[ \t]+(?=\S)")
CITATION = re.compile(r"(?<!\\)\[(\d{1,4})\]")
"""A citation, [12]; the brackets of a quote itself are escaped."""
SOURCES_LIST = re.compile(r"^#{1,6}\s*(?:sources|references|citations|bibliography)\s*$", re.IGNORECASE | re.MULTILINE)
"""The heading of a report's list of sources."""


@dataclass(frozen=True)
class Cited:
    """A quotation found in Markdown."""

    text: str
    """As plain text, as it stood in its source but for white space."""
    id: int | None
    """The citation behind it."""


def escape(text: str) -> str:
    """The text as inline Markdown that renders to just this text."""
    paired = {mark for mark in "~$" if text.count(mark) > 1}
    return _SPECIAL.sub(lambda m: m[0] if m["pair"] and m[0] not in paired else f"\\{m[0]}", text)


def unescape(markdown: str) -> str:
    """The text that inline Markdown made by `escape` renders to."""
    return _ESCAPED.sub(r"\1", markdown)


def flatten(text: str) -> str:
    """The text with all white space made single blanks."""
    return " ".join(text.split())


def blockquote(text: str, id: int, attribution: str = "") -> str:
    """A quote as a Markdown block with its citation; its lists stay lists."""
    lines: list[str] = []
    listed = False
    for line in text.split("\n"):
        item = _ITEM.match(line)
        if not line.strip():
            lines.append("")
        elif item and (listed or "\n" in text):
            if not listed and lines and lines[-1]:
                lines.append("")
            lines.append(item[0].replace("•", "-") + escape(line[item.end() :]))
            listed = True
        else:
            lines.append(_BLOCK_MARK.sub(_escape_mark, escape(line.rstrip())))
    lines[-1] += f" [{id}]"
    if attribution:
        lines += ["", f"— {attribution}"]
    return "\n".join(f"> {line}".rstrip() for line in lines)


def _escape_mark(mark: re.Match[str]) -> str:
    indent, sign, number, stop = mark.groups()
    return f"{indent}\\{sign}" if sign else f"{indent}{number}\\{stop}"


def find_blockquotes(markdown: str) -> Iterator[Cited]:
    """The quotations of a Markdown text that stand as blocks, in order."""
    block: list[str] = []
    for line in [*markdown.split("\n"), ""]:
        if line.startswith(">"):
            block.append(line[1:].removeprefix(" "))
        elif block:
            text = "\n".join(block)
            citation = CITATION.search(text)
            yield Cited(
                flatten(unescape(text[: citation.start()] if citation else text)),
                int(citation[1]) if citation else None,
            )
            block = []


def same_text(one: str, other: str) -> bool:
    """True if the two differ in nothing but white space and the bullets of lists."""
    return _plain(one) == _plain(other)


def _plain(text: str) -> str:
    return re.sub(r"(?<!\S)[•*+-](?!\S)", "-", flatten(text))
