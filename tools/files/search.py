"""Searching files with a pattern: by ripgrep where there is one, else by Python; what is found is the same.

The files are read by us and handed over as one text, so that no link that a job left can lead the search elsewhere.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from signoff.tools.errors import FileRefused
from signoff.tools.files import lines as matcher
from signoff.tools.storage.child_environment import clean_environment


@dataclass(frozen=True)
class Match:
    """A line that matches."""

    path: str
    number: int
    line: str


def search_texts(
    pattern: str,
    texts: Iterable[tuple[str, str]],
    *,
    ignore_case: bool = False,
    most: int = 200,
    seconds: float = 20.0,
    ripgrep: str | None = None,
) -> list[Match]:
    """The lines that match, in the order of the texts; FileRefused for a pattern that is none or takes too long.

    `ripgrep`: the program to use; None looks for `rg`, and an empty one does without.
    """
    lines: list[str] = []
    starts: list[tuple[int, str]] = []
    for path, text in texts:
        starts.append((len(lines), path))
        lines += [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if not lines:
        return []
    if "\n" in pattern or "\0" in pattern:
        raise FileRefused(
            "pattern", "it has a line end or NUL, and lines are searched one by one. Search for one line."
        )
    found = _numbers(pattern, "\n".join(lines), ignore_case, most, seconds, ripgrep)
    matches = []
    for number in found:
        start, path = starts[bisect_left(starts, number, key=itemgetter(0)) - 1]
        matches.append(Match(path, number - start, lines[number - 1]))
    return matches


def _numbers(pattern: str, text: str, ignore_case: bool, most: int, seconds: float, ripgrep: str | None) -> list[int]:
    raw = text.encode("utf-8", "surrogateescape")
    program = shutil.which("rg") if ripgrep is None else ripgrep
    if program:
        options = ["--no-config", "--no-heading", "--line-number", "--color=never", "--text", "--encoding=none"]
        options += ["--only-matching", "--replace=", f"--max-count={most}", "--no-messages"]
        case = ["--ignore-case"] if ignore_case else []
        done = _run([program, *options, *case, f"--regexp={pattern}", "-"], raw, seconds)
        if done.returncode in (0, 1):
            return sorted({int(line.split(b":")[0]) for line in done.stdout.splitlines() if line})
        # What ripgrep cannot read, such as look-around, Python may.
    options = [str(Path(matcher.__file__)), pattern, "1" if ignore_case else "0", str(most)]
    done = _run([sys.executable, "-I", "-S", *options], raw, seconds)
    if done.returncode:
        problem = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise FileRefused(
            "pattern", f"{pattern[:200]!r} is no regular expression: {problem}. Escape what is meant literally."
        )
    return [int(line) for line in done.stdout.split()]


def _run(command: list[str], raw: bytes, seconds: float) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command, input=raw, capture_output=True, timeout=seconds, env=clean_environment(), check=False
        )
    except subprocess.TimeoutExpired:
        raise FileRefused(
            "pattern", f"it took longer than {seconds:g} seconds. Use a simpler one, or fewer files."
        ) from None
