"""The tools for files: agents read and change a run's copy of a project freely, and propose what is to be taken out."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Callable, Iterable
from typing import Any, Final, ParamSpec

from signoff.tools.action import Action, Touches
from signoff.tools.errors import FileRefused, ToolError
from signoff.tools.files import apply as changing
from signoff.tools.files.apply import Version
from signoff.tools.files.apply_action import apply_to_project, keep_changes
from signoff.tools.files.edit import FileText, decode, replace_once, split_lines, with_line_ends
from signoff.tools.files.patch import check_name
from signoff.tools.files.project import Project
from signoff.tools.files.search import search_texts
from signoff.tools.storage.blobs import Blobs
from signoff.tools.tool import Tool, tool
from signoff.wording import make_visible

MOST_LISTED: Final = 1_000
MOST_MATCHES: Final = 200
_LONGEST_LINE: Final = 1_000
_SHOWN: Final = 45_000
"""Characters of a file that are shown at once."""

_FEWEST_DIGITS: Final = 8

P = ParamSpec("P")


def file_tools(project: Project) -> tuple[Tool | Action[Any], ...]:
    """Tools that work on the run's copy of a project, and the action that takes out what was changed there.

    list_files, read_file, search_files, edit_file, write_file, apply_patch, show_changes; apply_to_project.
    """
    files = FilesOfCopy(project)
    reading = (files.list_files, files.read_file, files.search_files)
    writing = (files.edit_file, files.write_file, files.apply_patch, files.show_changes)
    return (*tools_on_copy(project, reading=reading, writing=writing), apply_to_project(project))


def tools_on_copy(
    project: Project, *, reading: Iterable[Callable[..., str]], writing: Iterable[Callable[..., str]]
) -> tuple[Tool, ...]:
    """Tools that work alone on the run's copy, and say what they could not do."""
    touches = Touches(reads=(str(project.folder),))
    read, write = tool(risk="read", touches=touches), tool(risk="sandboxed", touches=touches)
    return (
        *(read(_tell_problems(function, project)) for function in reading),
        *(write(_tell_problems(function, project)) for function in writing),
    )


def _tell_problems(function: Callable[P, str], project: Project) -> Callable[P, str]:

    @functools.wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> str:
        try:
            with project.alone:
                return function(*args, **kwargs)
        except ToolError as error:
            return str(error)

    return told


class FilesOfCopy:
    """What the tools do in the run's copy; ToolError where they refuse."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def list_files(self, pattern: str = "", start: int = 0) -> str:
        """List the files of the project's copy with their sizes.

        Args:
            pattern: Only files that fit, such as '*.py' or 'src/*/test_*.py'; empty lists all
            start: Number of files to leave out at the beginning
        """
        copy = self._project.copy()
        found = [entry for entry in copy.files() if _fits(entry.path, pattern)]
        start = max(start, 0)
        shown = found[start : start + MOST_LISTED]
        if not shown:
            return f"No file fits {pattern!r} from number {start} on. There are {len(copy.files())} files."
        head = f"{len(found)} files in the folder {copy.name!r} of the workspace."
        end = start + len(shown)
        more = [f"(It goes on at start={end}.)"] if end < len(found) else []
        names = (f"{make_visible(entry.path)} ({entry.size:,} bytes)" for entry in shown)
        if left_out := len(copy.base.left_out):
            more.append(f"Left out of the copy: {left_out} secrets, links and the like.")
        return "\n".join([head, *names, *more])

    def read_file(self, path: str, first: int = 1, last: int = 0) -> str:
        """Read a file of the project's copy, or a part of it, with line numbers.

        Args:
            path: Path of the file, from the project's folder
            first: Number of the first line
            last: Number of the last line; 0 reads as far as can be shown
        """
        text = self._text(path)
        lines = split_lines(text.text)
        first = max(first, 1)
        if not lines:
            return f"{path} is empty."
        if first > len(lines):
            return f"{path} has {len(lines)} lines; first must be smaller."
        shown: list[str] = []
        left = _SHOWN
        for number, line in enumerate(lines[first - 1 : last or None], first):
            shown.append(f"{number:>6}\t{_cut(line)}")
            left -= len(shown[-1])
            if left < 0:
                break
        end = first + len(shown) - 1
        head = f"{path}, lines {first} to {end} of {len(lines)}"
        ends = "" if lines[-1].endswith("\n") else " The last line has no line end."
        more = f"\n(It goes on at first={end + 1}.)" if end < len(lines) else ends
        return "\n".join([f"{head} ({text.described})" if text.described else head, *shown]) + more

    def search_files(self, pattern: str, files: str = "", ignore_case: bool = False) -> str:
        """Search the files of the project's copy for lines that match a regular expression.

        Args:
            pattern: Regular expression, for one line
            files: Only files that fit, such as '*.py'; empty searches all
            ignore_case: Whether capitals make no difference
        """
        copy = self._project.copy()
        texts: list[tuple[str, str]] = []
        skipped = 0
        for entry in copy.files():
            if _fits(entry.path, files):
                try:
                    version = copy.read(entry.path)
                    texts += [(entry.path, decode(version.raw, entry.path).text)] if version and version.raw else []
                except FileRefused:
                    skipped += 1  # binary, or too large
        found = search_texts(pattern, texts, ignore_case=ignore_case, most=MOST_MATCHES + 1)
        note = f" {skipped} files that are no texts or too large were not searched." if skipped else ""
        if not found:
            return f"No line matches {pattern[:200]!r} in {len(texts)} files.{note}"
        head = f"{min(len(found), MOST_MATCHES)} lines match in {len({match.path for match in found})} files.{note}"
        if len(found) > MOST_MATCHES:
            head += " There are more: search for something rarer, or in fewer files."
        shown = (f"{match.path}:{match.number}: {_cut(match.line, 300)}" for match in found[:MOST_MATCHES])
        return "\n".join([head, *shown])

    def edit_file(self, path: str, old: str, new: str, digest: str = "") -> str:
        """Replace a piece of a file in the project's copy. The old text must stand in the file exactly once.

        Args:
            path: Path of the file, from the project's folder
            old: The text to be replaced, exactly as it is, without line numbers; empty creates a new file
            new: What stands there then
            digest: The first digits of the file's SHA-256: another file than that is not changed; empty: any is
        """
        copy = self._project.copy()
        before = copy.read(path)
        if before is None:
            if old:
                raise FileRefused(path, "there is no such file. Name one of list_files; an empty old text creates one.")
            copy.write(path, Version(_encode(new, path)))
            return f"{path} is made, with {len(split_lines(new))} lines."
        text = decode(before.raw, path)
        after = replace_once(text, old, new, path)
        if digest and (len(digest) < _FEWEST_DIGITS or not before.digest.startswith(digest)):
            raise FileRefused(path, f"stale: its digest is not {digest[:64]!r} any more. Read it again.")
        copy.write(path, Version(text.encode(after, path), before.executable))
        return _edited(path, text.text, after)

    def write_file(self, path: str, text: str, executable: bool = False) -> str:
        """Write a whole file in the project's copy; one that is there is replaced.

        Args:
            path: Path of the file, from the project's folder
            text: All that stands in it then
            executable: Whether a new file is a program
        """
        copy = self._project.copy()
        before = copy.read(path)
        raw = _encode(text, path)
        if before is not None:
            old = decode(before.raw, path)
            raw = old.encode(text if "\r\n" in text else with_line_ends(text, old.line_ends), path)
        copy.write(path, Version(raw, before.executable if before else executable))
        return f"{path} is {'replaced' if before else 'made'}, with {len(split_lines(text))} lines."

    def apply_patch(self, patch: str) -> str:
        """Apply a unified diff of one or several files to the project's copy: all of it, or nothing.

        Args:
            patch: The diff, as git prints it; '/dev/null' as the old or new name creates or deletes a file
        """
        copy = self._project.copy()
        changes = changing.apply_patch(patch, copy.read)
        changing.write_all(changes, copy.write)
        return f"Applied to {len(changes)} files: {', '.join(change.path for change in changes)}."

    def show_changes(self) -> str:
        """Show as a patch all that was changed in the project's copy, and the digest under which it can be proposed."""
        copy = self._project.copy()
        kept = keep_changes(copy, Blobs(self._project.home))
        if kept is None:
            return "Nothing was changed in the copy."
        return f"changes={kept.changes}\n{len(kept.files)} files:\n\n{make_visible(kept.patch)}"

    def _text(self, path: str) -> FileText:
        copy = self._project.copy()
        name = check_name(path)
        version = copy.read(name)
        if version is None:
            why = copy.base.left_out.get(name)
            raise FileRefused(path, f"it was left out of the copy: {why}." if why else "there is no such file.")
        return decode(version.raw, path)


def _fits(path: str, pattern: str) -> bool:
    return not pattern or fnmatch.fnmatchcase(path if "/" in pattern else path.rsplit("/", 1)[-1], pattern)


def _cut(line: str, longest: int = _LONGEST_LINE) -> str:
    line = line.removesuffix("\n").removesuffix("\r")
    return line if len(line) <= longest else f"{line[:longest]} [cut: {len(line):,} characters]"


def _encode(text: str, path: str) -> bytes:
    """The bytes of a new file; what could not be read again is refused."""
    raw = FileText("").encode(text, path)
    decode(raw, path)
    return raw


def _edited(path: str, before: str, after: str) -> str:
    """Where a text was changed, as it reads now."""
    old, new = split_lines(before), split_lines(after)
    most = min(len(old), len(new))
    first = next((at for at in range(most) if old[at] != new[at]), most)
    tail = next((at for at in range(most - first) if old[-1 - at] != new[-1 - at]), most - first)
    start, end = max(0, first - 2), min(len(new), len(new) - tail + 2, first + 60)
    shown = (f"{number:>6}\t{_cut(line)}" for number, line in enumerate(new[start:end], start + 1))
    return "\n".join([f"{path} is changed. Lines {start + 1} to {end} are now:", *shown])
