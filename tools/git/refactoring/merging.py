"""Work on units, merged in order: upon what was merged before, applied again where it conflicts, or returned."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from signoff.tools.errors import GitFailed
from signoff.tools.files import Change, Version, apply_patch, changed_by
from signoff.tools.git import run_git

Files = Mapping[str, Version]


@dataclass(frozen=True)
class UnitWork:
    """What was made of one unit, as changes of the tree that the work began with."""

    name: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Merged:
    """What came of merging."""

    files: Files
    again: tuple[str, ...] = ()
    """Whose work was applied again, as it did not fit what was merged before it."""
    returned: Mapping[str, str] = field(default_factory=dict)
    """Whose work is not in it, and why."""


Again = Callable[[str, Files, Sequence[str]], Files | str]
"""Does the work of the unit of this name again on a tree, as it conflicts in some files: that tree with it, or why that
cannot be."""
Problems = Callable[[Files], Sequence[str]]
"""Why a tree is not accepted; nothing if it is."""


def patched(patch: str) -> Callable[[Files], Files]:
    """What a patch makes of a tree; nothing if it is empty."""
    return lambda files: changed_by(files, apply_patch(patch, files.get, exact=True)) if patch else files


def merge_in_order(start: Files, works: Sequence[UnitWork], *, again: Again, problems: Problems) -> Merged:
    """All that can be merged of these, one after the other.

    The tree with all of them has to be accepted. If it is not, the first one with which it is not any more is returned,
    and so on with the others.
    """
    done, left = Merged(start), list(works)
    while True:
        merged = _fold(done, left, again)
        why = problems(merged.files)
        if not why or not left:
            return merged
        bad = len(left)
        while bad > 1:
            half = _fold(done, left[: bad // 2], again)
            if found := problems(half.files):
                bad, why = bad // 2, found
            else:
                done, left, bad = half, left[bad // 2 :], bad - bad // 2
        culprit, left = left[0], left[1:]
        beside = "" if done.files is start else "it passes by itself, and not together with what was merged before it: "
        done = replace(done, returned={**done.returned, culprit.name: f"{beside}{'; '.join(why)}"})


def _fold(done: Merged, works: Iterable[UnitWork], again: Again) -> Merged:
    """What is merged already, and these upon it."""
    files, redone, returned = done.files, [*done.again], {**done.returned}
    for work in works:
        found, conflicts = apply_changes(files, work.changes)
        if not conflicts:
            files = found
            continue
        made = again(work.name, files, conflicts)
        if isinstance(made, str):
            more = f" and {len(conflicts) - 5} more" if len(conflicts) > 5 else ""
            where = f"{', '.join(conflicts[:5])}{more}"
            returned[work.name] = f"it conflicts with what was merged before it in {where}; {made}"
        else:
            files = made
            redone.append(work.name)
    return Merged(files, tuple(redone), returned)


def apply_changes(files: Files, changes: Iterable[Change]) -> tuple[Files, tuple[str, ...]]:
    """A tree with changes that were made of another, line by line as git merges; and the paths that conflict."""
    merged, conflicts = list[Change](), list[str]()
    for change in changes:
        now = files.get(change.path)
        if now in (change.before, change.after):
            merged.append(Change(change.path, now, change.after))
        elif (made := _both(now, change)) is not None:
            merged.append(Change(change.path, now, made))
        else:
            conflicts.append(change.path)
    return changed_by(files, merged), tuple(conflicts)


def _both(now: Version | None, change: Change) -> Version | None:
    """A file that was changed already, with another change of it; None if they conflict."""
    before, after = change.before, change.after
    if now is None or before is None or after is None:
        return None
    with tempfile.TemporaryDirectory(prefix="signoff-merge-") as folder:
        places = [Path(folder, name) for name in ("ours", "base", "theirs")]
        for place, version in zip(places, (now, before, after), strict=True):
            place.write_bytes(version.raw)
        try:
            raw = run_git("merge-file", "-p", "--quiet", *map(str, places))
        except GitFailed:  # its exit code is how many conflicts there are, or that it is no text
            return None
    return Version(raw, after.executable if after.executable != before.executable else now.executable)
