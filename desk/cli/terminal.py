"""What is written to the terminal: a person signs what they see there, so nothing may restyle or hide it."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_HIDDEN = {"Cc", "Cf", "Cs", "Co"}
"""Unicode categories that are not shown but act: controls and escapes, direction marks, surrogates, private use."""


def visible(text: str) -> str:
    """The text with every character that acts instead of showing written as an escape; line ends and tabs stay."""
    return "".join(
        f"\\u{ord(mark):04x}" if mark not in "\n\t" and unicodedata.category(mark) in _HIDDEN else mark for mark in text
    )


def say(console: Console, text: str, style: str = "") -> None:
    """Print a line of plain text; nothing in it is markup."""
    console.print(Text(visible(text), style), soft_wrap=True)


def table(*columns: str) -> Table:
    """An empty table in the style of the lists."""
    found = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        found.add_column(column)
    return found


def row(found: Table, *cells: str) -> None:
    """Add a row of plain text."""
    found.add_row(*(Text(visible(cell)) for cell in cells))


def print_json(value: Any) -> None:
    """Print a result as JSON on standard output, in ASCII: any terminal and any pipe takes it."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def command() -> str:
    """How the `signoff` command is called from here: its name if that finds this one, else its path."""
    called = Path(sys.argv[0])
    found = shutil.which("signoff")
    if called.name != "signoff" or (found and Path(found).resolve() == called.resolve()):
        return "signoff" if called.name == "signoff" or found else f"{sys.executable} -m signoff"
    try:
        return str(called.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(called.absolute())


def can_ask(console: Console) -> bool:
    """Whether a person can be asked here."""
    return console.is_terminal and sys.stdin.isatty()
