"""Between a command and the terminal: options that many take, and what is written; nothing may restyle or hide it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from signoff.checkpoints.errors import way_out
from signoff.error_base import SignoffError
from signoff.wording import fold, one_line, visible_line

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of one.")]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who decides; your login name by default.")]
Sources = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of documents.")]
Out = Annotated[Path | None, typer.Option(metavar="FILE", help="File the report goes to once signed off.")]
Model = Annotated[str | None, typer.Option(metavar="NAME", help="offline, openai, openai:NAME or provider:NAME.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def say(console: Console, text: str, style: str = "") -> None:
    """Print one line of plain text: nothing in it is markup or unseen, and none of it begins a line of its own."""
    first, *more = fold(visible_line(text), max(console.width - 2, 10) if console.is_terminal else sys.maxsize)
    for piece in (first, *(f"┆ {piece}" for piece in more)):
        console.print(Text(piece, style), soft_wrap=True)


def table(*columns: str) -> Table:
    """An empty table in the style of the lists."""
    return Table(*columns, box=None, padding=(0, 2, 0, 0), header_style="dim")


def row(found: Table, *cells: str) -> None:
    """Add a row of plain text, each cell one line of it."""
    found.add_row(*(Text(one_line(cell)) for cell in cells))


def print_json(value: Any) -> None:
    """Print a result as JSON on standard output, in ASCII: any terminal and any pipe takes it."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def short(text: str) -> str:
    """The text as one line of at most 100 characters; it says how many are left out."""
    line = one_line(text)
    return line if len(line) <= 100 else f"{line[:99]}… ({len(line) - 99:,} more)"


def moment(at: str) -> str:
    """A time of the database, to the minute."""
    return at[:16].replace("T", " ")


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
    return console.is_terminal and sys.stdin.isatty()


def open_closed_streams() -> None:
    """Give the standard streams that were closed before the start to nobody, so that writing to them does no harm."""
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115  # for the life of the process
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


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
        return one_line(str(error))
    if isinstance(error, sqlite3.Error):
        said = one_line(str(error))
        return f"The database cannot be used: {said}. {way_out(said)}"
    if isinstance(error, OSError):
        where = f" ({visible_line(str(error.filename))})" if error.filename else ""
        return f"{error.strerror or error}{where}. Mend it and go on."
    return None


def one_of(literal: Any, help: str) -> Any:
    """An option that takes one word of a Literal; Typer's own way says `Value error` of any other."""
    words: tuple[str, ...] = get_args(literal)

    def parse(word: str) -> str:
        if word not in words:
            raise typer.BadParameter(f"{word!r} is not one of {', '.join(words)}.")
        return word

    return typer.Option(parser=parse, metavar="|".join(words), help=help)
