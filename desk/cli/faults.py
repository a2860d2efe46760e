"""What went wrong, in one line."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Sequence
from typing import Any, get_args

import typer

from signoff.errors import SignoffError


def check_words(words: Sequence[str]) -> None:
    """End with one line if a word of the command line is no text: it could be neither shown nor kept."""
    for word in words:
        try:
            word.encode("utf-8")
        except UnicodeEncodeError:
            sys.stderr.write(f"signoff: {word!a} is not text in this locale. Use UTF-8.\n")
            raise SystemExit(2) from None


def explain(error: Exception) -> str | None:
    """One line that says what happened and what to do; None for an error that nobody expected."""
    if isinstance(error, SignoffError):
        return " ".join(str(error).split())
    if isinstance(error, sqlite3.Error):
        return f"The database cannot be used: {error}. Mend it and go on; nothing committed was lost."
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror or error}{where}. Mend it and go on; nothing committed was lost."
    return None


def one_of(literal: Any) -> Callable[[str], str]:
    """Reads an option that takes one word of a Literal; Typer's own way says `Value error` of any other."""
    words: tuple[str, ...] = get_args(literal)

    def parse(word: str) -> str:
        if word not in words:
            raise typer.BadParameter(f"{word!r} is not one of {', '.join(words)}.")
        return word

    return parse
