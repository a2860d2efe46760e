"""The tools of whoever changes code on a bench: look, replace, write, run a command, have the checks run."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final, ParamSpec

from signoff.tools.action import NOTHING, ToolLimits
from signoff.tools.errors import ToolError
from signoff.tools.files import FilesOfCopy
from signoff.tools.sandbox.bench import LIMITS, Bench
from signoff.tools.sandbox.tools import ShellArguments, job_tool, tell
from signoff.tools.tool import Tool, tool

SHOWN_OF_COMMANDS: Final = 8_000
"""Characters of each stream of a command that a model is shown: the beginning and the end."""
_DIGITS: Final = 12
"""Of a file's digest that a model is given."""
_RUN: Final = "Run a command in the repository's copy, in a sandbox without network. Files that it changes stay."

P = ParamSpec("P")


def bench_tools(bench: Callable[[], Bench], judge: Callable[[], str]) -> tuple[Tool, ...]:
    """list_files, read, search; replace, write, run, check: on the copy that `bench` gives where they are called.

    `judge` runs the checks, and says why they do not accept the copy, or nothing.
    """
    hands = _Hands(bench, judge)
    reading, writing = tool(risk="read"), tool(risk="sandboxed")
    checking = tool(risk="sandboxed", limits=ToolLimits(seconds=4 * LIMITS.seconds))
    return (
        *(reading(_told(one, hands.alone)) for one in (hands.list_files, hands.read, hands.search)),
        *(writing(_told(one, hands.alone)) for one in (hands.replace, hands.write)),
        checking(_told(hands.check, nullcontext)),
        job_tool(hands.run, "run", _RUN, ShellArguments, LIMITS, NOTHING),
    )


def _told(function: Callable[P, str], alone: Callable[[], AbstractContextManager[object]]) -> Callable[P, str]:
    """The same; what it refuses is told to the model."""

    @functools.wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> str:
        try:
            with alone():
                return function(*args, **kwargs)
        except ToolError as error:
            return str(error)

    return told


class _Hands:
    """What the tools do."""

    def __init__(self, bench: Callable[[], Bench], judge: Callable[[], str]) -> None:
        self._bench, self._judge = bench, judge

    def alone(self) -> AbstractContextManager[object]:
        return self._bench().project.alone

    def list_files(self, pattern: str = "", start: int = 0) -> str:
        """List the files of the repository with their sizes.

        Args:
            pattern: Only files that fit, such as '*.py' or 'src/*/test_*.py'; empty lists all
            start: Number of files to leave out at the beginning
        """
        return FilesOfCopy(self._bench().project).list_files(pattern, start)

    def read(self, path: str, first: int = 1, last: int = 0) -> str:
        """Read a file, or a part of it, with line numbers and its digest, which `replace` wants.

        Args:
            path: Path of the file
            first: Number of the first line
            last: Number of the last line; 0 reads as far as can be shown
        """
        text = FilesOfCopy(self._bench().project).read_file(path, first, last)
        return f"{self._digest(path)}\n{text}"

    def search(self, pattern: str, files: str = "", ignore_case: bool = False) -> str:
        """Search the files for lines that match a regular expression.

        Args:
            pattern: Regular expression, for one line
            files: Only files that fit, such as '*.py'; empty searches all
            ignore_case: Whether capitals make no difference
        """
        return FilesOfCopy(self._bench().project).search_files(pattern, files, ignore_case)

    def replace(self, path: str, old: str, new: str, digest: str) -> str:
        """Replace a piece of a file. The old text must stand in the file exactly once.

        Args:
            path: Path of the file
            old: The text to be replaced, exactly as it is, without line numbers
            new: What stands there then
            digest: The file's digest, as it was last given; another file than that is not changed
        """
        self._bench().check_writable(path)
        text = FilesOfCopy(self._bench().project).edit_file(path, old, new, digest or "?")
        return f"{self._digest(path)}\n{text}"

    def write(self, path: str, text: str, executable: bool = False) -> str:
        """Write a whole file; one that is there is replaced.

        Args:
            path: Path of the file
            text: All that stands in it then
            executable: Whether a new file is a program
        """
        self._bench().check_writable(path)
        told = FilesOfCopy(self._bench().project).write_file(path, text, executable)
        return f"{self._digest(path)}\n{told}"

    def check(self) -> str:
        """Run the checks on what you have made so far, as they are run when you say that you are done."""
        return self._judge() or "The checks accept it as it is now."

    def run(self, command: str, stop: threading.Event) -> str:
        bench = self._bench()
        finished = bench.run(command, stop=stop)
        back = bench.put_back()
        note = f"Put back, as it is read-only: {', '.join(back)}" if back else ""
        return tell(finished, note, SHOWN_OF_COMMANDS)

    def _digest(self, path: str) -> str:
        version = self._bench().copy.read(path)
        return f"digest of {path}: {version.digest[:_DIGITS]}" if version is not None else ""
