"""Patches: unified diffs as git writes them, read strictly, so that what a person sees is all there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from signoff.tools.errors import FileRefused, PatchMisfit
from signoff.tools.storage.file_names import check_names

NO_END: Final = "\\ No newline at end of file"

_NO_END: Final = "\\ "
"""How that line begins in any language."""
_HUNK: Final = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@.*")
_IGNORED: Final = ("index ", "similarity index ", "dissimilarity index ")
_MODES: Final = {"100644": False, "100755": True}
_NOWHERE: Final = "/dev/null"


@dataclass(frozen=True)
class Hunk:
    """A piece of a file before and after, and where it stands."""

    start: int
    """Number of its first line before; if it takes no lines, of the line it follows."""
    before: tuple[str, ...]
    """Its lines with their ends."""
    after: tuple[str, ...]
    new_start: int = 0


@dataclass(frozen=True)
class FilePatch:
    """What becomes of one file. Without an old name it is created, without a new one deleted."""

    old: str | None
    new: str | None
    hunks: tuple[Hunk, ...] = ()
    old_mode: bool | None = None
    """Whether it was executable, if that is said."""
    mode: bool | None = None
    """Whether it becomes executable, if that is said."""

    @property
    def name(self) -> str:
        return self.new or self.old or ""


def read_patch(text: str) -> tuple[FilePatch, ...]:
    """Read a patch of one or several files; PatchMisfit names the line that makes no sense."""
    found = tuple(_Reading(text).files())
    if not found:
        raise PatchMisfit("it is empty. Give a unified diff: '--- a/NAME', '+++ b/NAME', then '@@ -1,3 +1,4 @@' hunks.")
    return found


def count_lines(patch: str) -> tuple[int, int]:
    """Lines that come and go in a patch that was made here."""
    come = gone = old = new = 0
    for line in patch.split("\n"):
        if old + new > 0 and line[:1] in ("+", "-", " "):
            come, gone = come + (line[0] == "+"), gone + (line[0] == "-")
            old, new = old - (line[0] in " -"), new - (line[0] in " +")
        elif old + new <= 0 and (head := re.match(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@", line)):
            old, new = (int(number or 1) for number in head.groups())
    return come, gone


class _Reading:
    """The lines of a patch, and how far they are read."""

    def __init__(self, text: str) -> None:
        self.lines = text.removesuffix("\n").split("\n")
        self.place = 0

    def files(self) -> Iterator[FilePatch]:
        while self.place < len(self.lines):
            if self._line.startswith("diff --git "):
                yield self._git_file()
            elif self._line.startswith("--- "):
                old, new = self._names()
                yield FilePatch(old, new, self._hunks())
            elif not self._line:
                self.place += 1  # between files
            else:
                raise self._misfit("is no part of a unified diff. Begin each file with '--- a/NAME' and '+++ b/NAME'")

    @property
    def _line(self) -> str:
        """The line to be read, as a line of a head: without what a Windows line end leaves."""
        return self.lines[self.place].removesuffix("\r") if self.place < len(self.lines) else ""

    def _misfit(self, problem: str) -> PatchMisfit:
        shown = f"{self._line[:120]!r} " if self.place < len(self.lines) else "the end "
        return PatchMisfit(f"line {self.place + 1} of the patch: {shown}{problem}.")

    def _git_file(self) -> FilePatch:
        both = _same_name(self._line.removeprefix("diff --git "))
        found = FilePatch(both, both)
        renamed: dict[str, str] = {}
        self.place += 1
        while self.place < len(self.lines):
            line = self._line
            if line.startswith("new file mode "):
                found = replace(found, old=None, mode=self._mode(line))
            elif line.startswith("deleted file mode "):
                found = replace(found, new=None, old_mode=self._mode(line))
            elif line.startswith("old mode "):
                found = replace(found, old_mode=self._mode(line))
            elif line.startswith("new mode "):
                found = replace(found, mode=self._mode(line))
            elif line.startswith(("rename from ", "rename to ")):
                _, side, name = line.split(" ", 2)
                renamed[side] = self._name(name)
            elif not line.startswith(_IGNORED):
                break
            self.place += 1
        if renamed:
            if len(renamed) != 2:
                raise self._misfit("follows a 'rename from' without a 'rename to', or the reverse")
            found = replace(found, old=renamed["from"], new=renamed["to"])
        if not self._line.startswith("--- "):
            if self._line.startswith(("@@", "+", "-", "GIT binary", "Binary files", "copy ")):
                raise self._misfit("stands where '--- a/NAME' should: binary changes and copies are not taken")
            if (found.old is None and found.new is None) or (not renamed and both is None):
                raise self._misfit("does not say which file is meant")
            return found
        old, new = self._names()
        if renamed and (old, new) != (found.old, found.new):
            raise self._misfit(f"follows names ({old!r}, {new!r}) that are not those of the rename")
        if (both is not None and not renamed and {old, new} - {both, None}) or (
            (old is None) != (found.old is None) or (new is None) != (found.new is None)
        ):
            raise self._misfit(f"follows names ({old!r}, {new!r}) that do not go with the head of the file")
        return replace(found, old=old, new=new, hunks=self._hunks())

    def _mode(self, line: str) -> bool:
        mode = line.rsplit(" ", 1)[-1]
        if mode not in _MODES:
            raise self._misfit("has a mode that is not taken: 100644 and 100755 are, links and submodules are not")
        return _MODES[mode]

    def _name(self, text: str) -> str:
        name = read_name(text.split("\t")[0])
        if name is None:
            raise self._misfit("has a name that cannot be read")
        return name

    def _names(self) -> tuple[str | None, str | None]:
        """The names of `---` and `+++`, without the `a/` and `b/` that git puts before them."""
        old = self._name(self._line.removeprefix("--- "))
        self.place += 1
        if not self._line.startswith("+++ "):
            raise self._misfit("stands where '+++ b/NAME' should")
        new = self._name(self._line.removeprefix("+++ "))
        self.place += 1
        if old == _NOWHERE == new:
            raise self._misfit("follows a file that is neither before nor after")
        if all(name == _NOWHERE or name.startswith(side) for name, side in ((old, "a/"), (new, "b/"))):
            old, new = old.removeprefix("a/"), new.removeprefix("b/")
        return (None if old == _NOWHERE else old), (None if new == _NOWHERE else new)

    def _hunks(self) -> tuple[Hunk, ...]:
        hunks: list[Hunk] = []
        while self._line.startswith("@@"):
            hunks.append(self._hunk())
        if not hunks:
            raise self._misfit("stands where a hunk should: '@@ -1,3 +1,4 @@'")
        return tuple(hunks)

    def _hunk(self) -> Hunk:
        head, at = self._line, self.place
        whole = f"the hunk {head!r} in line {at + 1} of the patch"
        match = _HUNK.fullmatch(head)
        if match is None:
            raise self._misfit("is no head of a hunk. Write '@@ -FIRST,COUNT +FIRST,COUNT @@'")
        start, old_count, new_start, new_count = (int(number) if number else 1 for number in match.groups())
        self.place += 1
        before: list[str] = []
        after: list[str] = []
        while len(before) < old_count or len(after) < new_count:
            if self.place >= len(self.lines):
                raise PatchMisfit(f"{whole} ends too soon. Count its lines again, or give all.")
            self._take_line(before, after, head)
        if len(before) != old_count or len(after) != new_count:
            raise PatchMisfit(
                f"{whole} says {old_count} lines before and {new_count} after, and has {len(before)} and {len(after)}. "
                "Count the lines again."
            )
        if self._line.startswith(_NO_END):
            self._end_without(before, after)
        if not all(line.endswith("\n") for side in (before, after) for line in side[:-1]):
            raise PatchMisfit(f"{whole} goes on after the end of the file.")
        if self._line.startswith(("+", "-", " ")) and not self._line.startswith(("--- ", "+++ ")):
            raise self._misfit(f"is one line more than the hunk {head!r} says. Count the lines again")
        return Hunk(start, tuple(before), tuple(after), new_start)

    def _take_line(self, before: list[str], after: list[str], head: str) -> None:
        line = self.lines[self.place]
        if line.startswith(_NO_END):
            self._end_without(before, after)
            return
        # Some tools strip the one blank of an empty line of context.
        mark, text = (line[0], line[1:]) if line not in ("", "\r") else (" ", line)
        if mark not in " +-":
            raise self._misfit(f"is in the hunk {head!r} and begins with none of ' ', '+' and '-'")
        if mark in " -":
            before.append(f"{text}\n")
        if mark in " +":
            after.append(f"{text}\n")
        self.place += 1

    def _end_without(self, before: list[str], after: list[str]) -> None:
        """The line before this one has no line end."""
        mark = (self.lines[self.place - 1] or " ")[0]
        for side, marks in ((before, " -"), (after, " +")):
            if mark in marks and side:
                side[-1] = side[-1].removesuffix("\n")
        self.place += 1


def _same_name(names: str) -> str | None:
    """The name in `a/NAME b/NAME`, if it is the same twice."""
    if names.startswith('"'):
        first, _, second = names.partition('" "')
        one, two = read_name(f'{first}"'), read_name(f'"{second}')
    else:
        half = len(names) // 2
        one, two = names[:half], names[half + 1 :]
    if one is None or two is None or not one.startswith("a/") or not two.startswith("b/") or one[2:] != two[2:]:
        return None
    return one[2:]


_LONGEST: Final = 1_000
_ESCAPE: Final = re.compile(rb'\\([0-7]{3}|[abtnvfr"\\])')
_LETTERS: Final = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b'"': 34, b"\\": 92}
_QUOTED: Final = {code: f"\\{code:03o}" for code in (*range(32), 127)} | {
    code: f"\\{letter.decode()}" for letter, code in _LETTERS.items()
}


def check_name(path: str) -> str:
    """The path of a file in a project, tidied: relative, without `.`; FileRefused for all that could lead out.

    What lies in a `.git` folder and its like is refused: programs that are run are named there.
    """
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise FileRefused(path, "the name is no proper text. Name another file.") from None
    if not path.strip():
        raise FileRefused(path, "the path is empty. Name a file.")
    if "\0" in path or len(path) > _LONGEST:
        raise FileRefused(path, "the path is too long or has a NUL character. Name another file.")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or (parts and parts[0].startswith("~")):
        raise FileRefused(path, "the path is absolute. Begin at the project's folder: 'src/main.py'.")
    if ".." in parts:
        raise FileRefused(path, "the path leads upwards. Name a file inside of the project.")
    check_names(path)
    if not "".join(parts).strip():
        raise FileRefused(path, "the path is the project's folder. Name a file.")
    return "/".join(parts)


def is_name(path: str) -> bool:
    """Whether this is how `check_name` writes the path of a file in a project."""
    try:
        return check_name(path) == path
    except FileRefused:
        return False


def write_name(name: str) -> str:
    """A name as a patch has it: what could be mistaken is quoted as C does."""
    quoted = name.translate(_QUOTED)
    return name if quoted == name == name.strip() else f'"{quoted}"'


def read_name(text: str) -> str | None:
    """A name in a patch, unquoted; None if it is no name."""
    if not text.startswith('"'):
        return text or None
    if len(text) < 3 or not text.endswith('"'):
        return None
    quoted = text[1:-1].encode("utf-8", "surrogatepass")
    if b'"' in re.sub(rb"\\.", b"", quoted) or b"\\" in _ESCAPE.sub(b"", quoted):
        return None
    try:
        return _ESCAPE.sub(_byte, quoted).decode("utf-8")
    except (UnicodeDecodeError, ValueError):
        return None


def _byte(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([_LETTERS[code] if code in _LETTERS else int(code, 8)])
