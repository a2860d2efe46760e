"""Texts of files: decoded to be read and changed, and encoded again to the very same bytes."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final

from signoff.errors import FileRefused

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
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
    for bom, encoding in _BOMS:
        if raw.startswith(bom) and not raw.startswith(codecs.BOM_UTF32_LE):
            return FileText(_decoded(raw[len(bom) :], encoding, path), encoding, bom)
    if b"\0" in raw:
        raise FileRefused(path, "it is a binary file. Only texts can be shown and changed.")
    try:
        return FileText(raw.decode("utf-8"))
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if _BINARY.search(text):
        raise FileRefused(path, "it is a binary file. Only texts can be shown and changed.")
    return FileText(text, "latin-1")


def _decoded(raw: bytes, encoding: str, path: str) -> str:
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise FileRefused(path, f"it is no proper {encoding}, though it says so. It is not changed.") from error
    if "\0" in text:
        raise FileRefused(path, "it is a binary file. Only texts can be shown and changed.")
    return text


def split_lines(text: str) -> list[str]:
    r"""The lines of a text with their ends, split at `\n` only: all else is part of a line."""
    lines = text.split("\n")
    last = lines.pop()
    return [f"{line}\n" for line in lines] + ([last] if last else [])
