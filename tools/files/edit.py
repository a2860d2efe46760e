"""One piece of a text replaced, if it stands there once; and how a file's text is read and written as it was."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from signoff.tools.errors import FileRefused

_SHOWN: Final = 5
_COMPARED: Final = 20_000
"""Lines that are compared to find the one that was meant."""


def replace_once(found: FileText, old: str, new: str, path: str) -> str:
    """The text with `old`, which must stand in it once, replaced by `new`; in a file with CRLF both are given it."""
    if not old:
        raise FileRefused(path, "it exists, and an empty old text creates a file. Give the text to be replaced.")
    if old == new:
        raise FileRefused(path, "the old text and the new one are the same.")
    if found.line_ends == "\r\n" and "\r\n" not in old:
        windows = with_line_ends(old, "\r\n")
        if windows in found.text:
            old = windows
        new = with_line_ends(new, "\r\n")
    places: list[int] = []  # those that overlap as well
    place = -1
    while (place := found.text.find(old, place + 1)) >= 0:
        places.append(place)
    if len(places) == 1:
        return found.text[: places[0]] + new + found.text[places[0] + len(old) :]
    if places:
        lines = ", ".join(str(found.text.count("\n", 0, place) + 1) for place in places[:_SHOWN])
        more = " and more" if len(places) > _SHOWN else ""
        where = f"in {len(places)} places: lines {lines}{more}"
        raise FileRefused(path, f"the old text stands {where}. Give more of what is around it.")
    if found.text.count(new) == 1 and new.strip():
        line = found.text.count("\n", 0, found.text.index(new)) + 1
        raise FileRefused(path, f"already applied: the new text stands at line {line}, and the old one nowhere.")
    raise FileRefused(path, f"the old text is not in it.{_near(found.text, old)}")


def with_line_ends(text: str, line_end: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", line_end)


def _near(text: str, old: str) -> str:
    """The lines that were probably meant, as they are."""
    lines, wanted = text.splitlines(), [line for line in old.splitlines() if line.strip()]
    if not wanted:
        return " Read the file again."
    plain = ["".join(line.split()) for line in lines]
    first = "".join(wanted[0].split())
    at = [number for number, line in enumerate(plain) if line == first]
    if not at:
        close = get_close_matches(first[:500], plain[:_COMPARED], n=_SHOWN, cutoff=0.6)
        at = sorted({plain.index(line) for line in close})
    if not at:
        return " No line is like its first. Read the file again."
    if len(wanted) == 1 or len(at) > 1:
        shown = "; ".join(f"line {number + 1} is {lines[number][:200]!r}" for number in at[:_SHOWN])
        return f" Near misses: {shown}. Copy blanks and line ends as they are."
    for offset, line in enumerate(old.splitlines()[old.splitlines().index(wanted[0]) :]):
        here = lines[at[0] + offset] if at[0] + offset < len(lines) else "(the end of the file)"
        if here != line:
            return (
                f" From line {at[0] + 1} it is alike; line {at[0] + offset + 1} is {here[:200]!r}, not {line[:200]!r}."
            )
    return f" It is alike from line {at[0] + 1}, but for its line ends. Read the file again."


_BOMS: Final = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_BINARY: Final = re.compile(r"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")
"""What no text in an 8-bit encoding has; such a file is taken for binary."""


@dataclass(frozen=True)
class FileText:
    """What a file says, with its line ends as they are, and how it is written."""

    text: str
    encoding: str = "utf-8"
    bom: bytes = b""

    def encode(self, text: str, path: str) -> bytes:
        """Another text, written as this file is; FileRefused if its encoding has no such characters."""
        try:
            return self.bom + text.encode(self.encoding)
        except UnicodeEncodeError as error:
            odd = error.object[error.start : error.start + 1]
            raise FileRefused(path, f"it is written in {self.encoding}, which cannot say {odd!r}.") from error

    @property
    def line_ends(self) -> str:
        r"""The line end that most of its lines have: `\n` or `\r\n`."""
        windows = self.text.count("\r\n")
        return "\r\n" if windows > self.text.count("\n") - windows else "\n"

    @property
    def described(self) -> str:
        """What is not the usual about how it is written; empty if nothing."""
        parts = [] if self.encoding == "utf-8" else [self.encoding]
        parts += ["with BOM"] if self.bom else []
        parts += ["CRLF line ends"] if self.line_ends == "\r\n" else []
        return ", ".join(parts)


def decode(raw: bytes, path: str) -> FileText:
    """The text of a file; FileRefused if it is binary. UTF-8, UTF-16 with a BOM, and Latin-1 for all else."""
    is_utf32 = raw.startswith(codecs.BOM_UTF32_LE)  # which begins like the BOM of UTF-16
    bom = next((one for one in _BOMS if raw.startswith(one) and not is_utf32), b"")
    encoding = _BOMS.get(bom, "utf-8")
    try:
        text = raw[len(bom) :].decode(encoding)
    except UnicodeDecodeError as error:
        if bom:
            raise FileRefused(path, f"it is no proper {encoding}, though it says so. It is not changed.") from error
        encoding, text = "latin-1", raw.decode("latin-1")
    if "\0" in text or (encoding == "latin-1" and _BINARY.search(text)):
        raise FileRefused(path, "it is a binary file. Only texts can be shown and changed.")
    return FileText(text, encoding, bom)


def split_lines(text: str) -> list[str]:
    r"""The lines of a text with their ends, split at `\n` only: all else is part of a line."""
    lines = text.split("\n")
    last = lines.pop()
    return [f"{line}\n" for line in lines] + ([last] if last else [])
