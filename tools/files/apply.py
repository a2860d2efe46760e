"""What a patch makes of files, all of it or nothing; and the patch that makes a change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property
from typing import Final

from signoff.tools.errors import FileRefused, PatchMisfit
from signoff.tools.files.edit import FileText, decode, split_lines, with_line_ends
from signoff.tools.files.patch import NO_END, FilePatch, Hunk, check_name, read_patch, write_name

EXECUTABLE: Final = "+x"
"""After the digest of a file that is executable."""
_CONTEXT: Final = 3


@dataclass(frozen=True)
class Version:
    """A file at one moment."""

    raw: bytes
    executable: bool = False

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its bytes, with `+x` if it is executable."""
        return hashlib.sha256(self.raw).hexdigest() + (EXECUTABLE if self.executable else "")


@dataclass(frozen=True)
class Change:
    """One file before and after; None where there is none."""

    path: str
    before: Version | None
    after: Version | None


Read = Callable[[str], Version | None]
"""Looks a file up by its path: None if there is none, FileRefused if it cannot be read."""


def apply_patch(text: str, read: Read, *, exact: bool = False) -> tuple[Change, ...]:
    """What a patch makes of the files that `read` knows; PatchMisfit, and no change at all, if any of it does not fit.

    `exact`: every hunk stands just where its head says. Otherwise one may stand elsewhere if its lines are found in one
    place only, and its line ends may be those of the file.
    """
    sources: dict[str, Version | None] = {}
    results: dict[str, Version | None] = {}
    patches = read_patch(text)
    try:
        for name in dict.fromkeys(name for patch in patches for name in (patch.old, patch.new) if name):
            if check_name(name) != name:
                raise PatchMisfit(f"the name {name!r} is written in an odd way. Write {check_name(name)!r}.")
            sources[name] = read(name)
    except FileRefused as error:
        raise PatchMisfit(str(error)) from error
    for patch in patches:
        _add(patch, sources, results, exact=exact)
    return tuple(Change(path, sources[path], after) for path, after in results.items())


def changes_between(before: Mapping[str, Version], after: Mapping[str, Version]) -> tuple[Change, ...]:
    """What one tree has otherwise than another, in the order of the paths."""
    paths = sorted({*before, *after})
    return tuple(
        Change(path, before.get(path), after.get(path)) for path in paths if before.get(path) != after.get(path)
    )


def changed_by(files: Mapping[str, Version], changes: Iterable[Change]) -> dict[str, Version]:
    """A tree with these changes in it."""
    made = {change.path: change.after for change in changes}
    return {path: version for path, version in {**files, **made}.items() if version is not None}


def paths_of(text: str) -> set[str]:
    """The files that a patch touches."""
    return {check_name(name) for patch in read_patch(text) for name in (patch.old, patch.new) if name}


def make_patch(changes: Iterable[Change]) -> str:
    """The patch of these changes, as git would write it; FileRefused for what no patch of text can say."""
    return "".join(line for change in changes for line in _lines_of(change))


def write_all(changes: Iterable[Change], write: Callable[[str, Version | None], None]) -> None:
    """Write these files, those that go first, as others may need their place; all are taken back if one fails."""
    written: list[Change] = []
    try:
        for change in sorted(changes, key=lambda one: (one.after is not None, one.path)):
            written.append(change)
            write(change.path, change.after)
    except (FileRefused, OSError):
        for change in reversed(written):
            write(change.path, change.before)
        raise


def _add(
    patch: FilePatch, sources: Mapping[str, Version | None], results: dict[str, Version | None], *, exact: bool
) -> None:
    """Work one file of the patch out and note it in the results."""
    before = sources[patch.old] if patch.old else None
    if patch.old and before is None:
        raise PatchMisfit(f"there is no file {patch.old!r}. Name one that exists, or create it from '/dev/null'.")
    if before and patch.old_mode not in (None, before.executable):
        raise PatchMisfit(f"{patch.old!r} has not the mode that the patch says.")
    after = _patched(patch, before, exact=exact)
    if patch.old and patch.old != patch.new:
        if results.get(patch.old, before) is None:
            raise PatchMisfit(f"{patch.old!r} is taken away twice.")
        results.setdefault(patch.old, None)
    if patch.new:
        if results.get(patch.new) is not None or (patch.new == patch.old and patch.new in results):
            raise PatchMisfit(f"{patch.new!r} is changed twice. Put all its hunks under one head.")
        if patch.new != patch.old and sources[patch.new] is not None and patch.new not in results:
            raise PatchMisfit(f"{patch.new!r} is to be new, and there is such a file. Change that one instead.")
        results[patch.new] = after


def _patched(patch: FilePatch, before: Version | None, *, exact: bool) -> Version | None:
    raw = before.raw if before else b""
    if patch.hunks or patch.new is None:
        try:
            old = decode(raw, patch.name)
            text = "".join(place_hunks(patch.name, split_lines(old.text), patch.hunks, exact=exact))
            raw = old.encode(text, patch.name)
        except FileRefused as error:
            raise PatchMisfit(str(error)) from error
        if patch.new is None:
            if text:
                raise PatchMisfit(f"{patch.old!r} is to be deleted, and the patch does not take all of its lines.")
            return None
    return Version(raw, (before.executable if before else False) if patch.mode is None else patch.mode)


def _lines_of(change: Change) -> Iterator[str]:
    path, before, after = change.path, change.before, change.after
    if before == after:
        return
    old, new = write_name(f"a/{path}"), write_name(f"b/{path}")
    yield f"diff --git {old} {new}\n"
    if after is None and before is not None:
        yield f"deleted file mode {_mode(before)}\n"
    elif before is None and after is not None:
        yield f"new file mode {_mode(after)}\n"
    elif before and after and before.executable != after.executable:
        yield f"old mode {_mode(before)}\nnew mode {_mode(after)}\n"
    texts = [_text(version, path) for version in (before, after)]
    if texts[0].text != texts[1].text:
        tab = "\t" if " " in path and old[0] != '"' else ""
        yield f"--- {old}{tab}\n" if before else "--- /dev/null\n"
        yield f"+++ {new}{tab}\n" if after else "+++ /dev/null\n"
        for hunk in _hunks(split_lines(texts[0].text), split_lines(texts[1].text)):
            yield from hunk
    if before and after and texts[0].encode(texts[1].text, path) != after.raw:
        raise FileRefused(path, "its encoding changes, which no patch can say. Write it as it was written before.")
    if after and not before and texts[1].encoding + texts[1].bom.hex() != "utf-8":
        raise FileRefused(path, "a new file must be written in UTF-8, without a BOM.")


def _text(version: Version | None, path: str) -> FileText:
    return decode(version.raw, path) if version else FileText("")


def _mode(version: Version) -> str:
    return "100755" if version.executable else "100644"


def _hunks(before: list[str], after: list[str]) -> Iterator[Iterator[str]]:
    # What is the same at both ends need not be compared.
    most = min(len(before), len(after))
    head = next((at for at in range(most) if before[at] != after[at]), most)
    most -= head
    tail = next((at for at in range(most) if before[-1 - at] != after[-1 - at]), most)
    start, ends = max(0, head - _CONTEXT), [len(side) - max(0, tail - _CONTEXT) for side in (before, after)]
    old, new = before[start : ends[0]], after[start : ends[1]]
    for group in SequenceMatcher(None, old, new).get_grouped_opcodes(_CONTEXT):
        yield _hunk(old, new, group, start)


def _hunk(old: list[str], new: list[str], group: list[tuple[str, int, int, int, int]], start: int) -> Iterator[str]:
    (_, i1, _, j1, _), (_, _, i2, _, j2) = group[0], group[-1]
    yield f"@@ -{_range(start + i1, i2 - i1)} +{_range(start + j1, j2 - j1)} @@\n"
    for tag, a1, a2, b1, b2 in group:
        gone = [(" " if tag == "equal" else "-", line) for line in old[a1:a2]]
        come = [] if tag == "equal" else [("+", line) for line in new[b1:b2]]
        for mark, line in gone + come:
            yield f"{mark}{line}" if line.endswith("\n") else f"{mark}{line}\n{NO_END}\n"


def _range(start: int, count: int) -> str:
    """A place in a file as heads of hunks name it: of no lines, the one before."""
    return f"{start + 1 if count else start},{count}"


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
    before, after = (tuple(with_line_ends(line, "\r\n") for line in side) for side in (hunk.before, hunk.after))
    return replace(hunk, before=before, after=after)


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
