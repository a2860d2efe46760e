"""Hunks: put in their place in a file, or a clear word on why they have none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from signoff.errors import PatchMisfit
from signoff.tools.files.patch import Hunk

_SHOWN: Final = 5
"""Places and lines that an error names."""


def place_hunks(name: str, lines: Sequence[str], hunks: Sequence[Hunk], *, exact: bool) -> list[str]:
    """The lines of a file after its hunks; PatchMisfit if one does not fit."""
    done: list[str] = []
    at = shift = 0
    for number, hunk in enumerate(hunks, 1):
        said = hunk.start - (1 if hunk.before else 0)
        place = said if exact else said + shift
        if not _stands(lines, hunk.before, place, at):
            if exact:
                raise _misfit(name, number, hunk, lines, place, at)
            hunk, place = _find(name, number, hunk, lines, place, at)
        if exact and hunk.new_start - (1 if hunk.after else 0) != len(done) + place - at:
            raise PatchMisfit(f"{name!r}, hunk {number}: its head names another place after than it comes to stand at.")
        done += [*lines[at:place], *hunk.after]
        at, shift = place + len(hunk.before), place - said
    done += lines[at:]
    for line in done[:-1]:
        if not line.endswith("\n"):
            raise PatchMisfit(
                f"{name!r}: lines would follow {line[:80]!r}, which has no line end. Replace that line by one that has."
            )
    return done


def _stands(lines: Sequence[str], before: Sequence[str], place: int, at: int) -> bool:
    return at <= place <= len(lines) and list(lines[place : place + len(before)]) == list(before)


def _find(name: str, number: int, hunk: Hunk, lines: Sequence[str], place: int, at: int) -> tuple[Hunk, int]:
    """The one place where the hunk fits, with the line ends of the file if need be."""
    for trial in (hunk, _with_windows_ends(hunk)):
        if trial.before and _stands(lines, trial.before, place, at):
            return trial, place
        found = [spot for spot in range(at, len(lines)) if trial.before and _stands(lines, trial.before, spot, at)]
        if len(found) == 1:
            return trial, found[0]
        if found:
            where = ", ".join(str(spot + 1) for spot in found[:_SHOWN])
            raise PatchMisfit(
                f"{name!r}, hunk {number}: its lines stand in {len(found)} places (lines {where}), and not at line "
                f"{hunk.start}. Give more lines of context, or the right line."
            )
    raise _misfit(name, number, hunk, lines, place, at)


def _with_windows_ends(hunk: Hunk) -> Hunk:
    def ended(side: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"{line[:-1]}\r\n" if line.endswith("\n") and line[-2:] != "\r\n" else line for line in side)

    return Hunk(hunk.start, ended(hunk.before), ended(hunk.after), hunk.new_start)


def _misfit(name: str, number: int, hunk: Hunk, lines: Sequence[str], place: int, at: int) -> PatchMisfit:
    """What stands in the file instead."""
    if not hunk.before:
        return PatchMisfit(
            f"{name!r}, hunk {number}: it adds after line {hunk.start}, and the file has {len(lines)} lines. "
            "Give lines of context."
        )
    if place < at:
        return PatchMisfit(f"{name!r}, hunk {number}: it begins before the end of the hunk before. Put them in order.")
    for offset, wanted in enumerate(hunk.before):
        here = lines[place + offset] if place + offset < len(lines) else None
        if here != wanted:
            found = "the file ends" if here is None else f"the file has {here[:200]!r}"
            close = _closest(lines, wanted, place + offset)
            return PatchMisfit(
                f"{name!r}, hunk {number}, line {place + offset + 1}: the patch says {wanted[:200]!r} and "
                f"{found}.{close} Read the file again and make the patch from what it says now."
            )
    return PatchMisfit(f"{name!r}, hunk {number}: it does not fit.")


def _closest(lines: Sequence[str], wanted: str, place: int) -> str:
    """Where the same line stands, but for blanks."""
    near = [number for number, line in enumerate(lines, 1) if line.split() == wanted.split() and wanted.strip()]
    near.sort(key=lambda number: abs(number - place))
    return f" A line like it is line {', '.join(map(str, near[:_SHOWN]))}." if near else ""
