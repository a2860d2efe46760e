"""Between a command and the terminal: options that many take, and what is written; nothing may restyle or hide it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from signoff.checkpoints.errors import way_out
from signoff.concurrency import patience
from signoff.error_base import SignoffError
from signoff.wording import fold, one_line, visible_line

MANY: Final = 1_000_000_000
"""As many as somebody can ask for; databases know no more than 64 bits."""
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of one.")]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who decides; your login name by default.")]
Sources = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of documents.")]
Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File the report goes to once signed off: .md, .html or .docx.")
]
Model = Annotated[str | None, typer.Option(metavar="NAME", help="offline, openai, openai:NAME or provider:NAME.")]
Depth = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=4,
        metavar="ROUNDS",
        help="With a model, from 2 on: work the question part by part, in so many rounds.",
    ),
]
TEAM_HELP = (
    "A ready-made team (report, competitors, leads, code, refactor, remediation), "
    "or one of your own: MODULE:NAME or FILE.py:NAME."
)
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

INTERRUPTED = 128 + signal.SIGINT
"""The exit code of a command that Ctrl-C ended."""
_TO_UNWIND = 0.15
"""Seconds that a command which was stopped has to end, beyond those that its work is waited for."""
_stopped: list[Stopping] = []
"""What a signal has stopped in this process."""
_SHOW_CURSOR = "\x1b[?25h"


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


def command(folder: Path | None = None) -> str:
    """How the `signoff` command is called from here, or in this folder: its name if that finds it, else its path."""
    called = Path(sys.argv[0])
    found = shutil.which("signoff")
    if called.name != "signoff" or (found and Path(found).resolve() == called.resolve()):
        return "signoff" if called.name == "signoff" or found else f"{sys.executable} -m signoff"
    try:
        return str(called.absolute().relative_to(folder or Path.cwd()))
    except ValueError:
        return str(called.absolute())


def can_ask(console: Console) -> bool:
    return console.is_terminal and sys.stdin.isatty()


class Stopping:
    """How a command is stopped by a signal: acknowledged at once, and ended soon even if something in it blocks."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.kept = ""
        """What is said if the command has to be left; empty: nothing, or it was said."""
        self.asks = False
        """Whether a question stands on the screen, and whoever asks it acknowledges."""
        self.number = 0
        """The signal that came; 0: none."""
        self._acknowledged = threading.Event()

    @property
    def code(self) -> int:
        """The exit code of a command that was interrupted, once that was acknowledged."""
        self._acknowledged.wait(1.0)
        return 128 + (self.number or signal.SIGINT)

    def listen(self, woken: socket.socket) -> None:
        """Hear of signals, in a thread of its own: this one may be deep in code that blocks."""
        with woken:
            for number in iter(lambda: woken.recv(1), b""):
                if self.number:
                    self._leave()
                self.number = number[0]
                _stopped.append(self)
                threading.Thread(target=self._leave_after, args=(patience() + _TO_UNWIND,), daemon=True).start()
                with suppress(OSError):  # the terminal was closed
                    self._console.print()  # behind what the terminal shows of Ctrl-C
                    if not self.asks:
                        calls = " The action that is being called has some seconds to return." if patience() > 1 else ""
                        say(self._console, f"Stopping.{calls} Ctrl-C again leaves at once.")
                self._acknowledged.set()

    def _leave_after(self, seconds: float) -> None:
        time.sleep(seconds)
        self._leave()

    def _leave(self) -> None:
        """End the process, whatever still blocks. What was committed stays, as when it is killed."""
        shown = _SHOW_CURSOR if self._console.is_terminal else ""
        with suppress(OSError):
            os.write(2, f"{shown}{self.kept}\n".encode() if shown or self.kept else b"")
        os._exit(self.code)


def leave_if_stopped() -> None:
    """End the process, if a signal stopped its command: what Python clears up at last takes a second or more.

    To be registered with `atexit` first of all, so that it is called last.
    """
    for stopping in _stopped:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(stopping.code)


@contextmanager
def stoppable(console: Console) -> Iterator[Stopping]:
    """Ctrl-C, SIGTERM and SIGHUP are KeyboardInterrupt here, acknowledged at once; a second one ends the process.

    What the shell had ignored, as for `nohup` or in the background, stays ignored.
    """
    stopping = Stopping(console)
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    heard, told = socket.socketpair()
    told.setblocking(False)
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    ending = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    changed = [number for number in ending if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, _interrupt)
    threading.Thread(target=stopping.listen, args=(heard,), name="signoff signals", daemon=True).start()
    try:
        yield stopping
    except KeyboardInterrupt:
        raise typer.Exit(stopping.code) from None
    finally:
        if not stopping.number:  # else it goes on until the process has ended
            for number in changed:
                signal.signal(number, signal.SIG_DFL)
            signal.set_wakeup_fd(before)
            told.close()


def _interrupt(number: int, _frame: object) -> None:
    if number != signal.SIGTERM:  # the terminal is closed: what would be shown on it goes nowhere
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None and not _is_open(stream.fileno()):
                os.dup2(nowhere, stream.fileno())
    raise KeyboardInterrupt


def _is_open(file: int) -> bool:
    """Whether something can be written there."""
    try:
        os.write(file, b"")
    except OSError:
        return False
    return True


@contextmanager
def interrupts_left_to_the_editor() -> Iterator[list[int]]:
    """Ctrl-C is for the program in the foreground meanwhile; the list tells whether it came."""
    came: list[int] = []
    before, heard = signal.getsignal(signal.SIGINT), signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)
        signal.set_wakeup_fd(heard)


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
