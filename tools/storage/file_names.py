"""Which names no tool writes to: what belongs to version control, as that runs programs which are named there."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from signoff.tools.errors import FileRefused

_FOLDERS: Final = (".git", ".hg", ".svn", ".jj", ".bzr", ".sl", ".pijul", "_darcs")
_SHORT: Final = re.compile(r"(git|hg|svn|jj|bzr|sl|pijul|_darcs)~\d+|(gi|hg|sv|jj|bz|sl|pi|_d)[0-9a-f]{4}~\d+")
"""How Windows shortens them."""
_REPOSITORIES: Final = (("head", "objects", "refs"), ("head", "commondir"))
"""By what is in them git takes folders of any name for a repository, and those of its work trees."""


def check_places(folder: Path, paths: Iterable[str]) -> None:
    """FileRefused if one of the files to write, by their paths from the folder, would be version control's own.

    So it is by its name, by being in a folder that is a repository or becomes one by these files, or by any other name
    that the file system has for such a folder.
    """
    planned: dict[tuple[str, ...], set[str]] = {}
    every = [(path, [part for part in path.split("/") if part not in ("", ".")]) for path in paths]
    for path, parts in every:
        check_names(path)
        folded = tuple(map(fold_name, parts))
        for depth, part in enumerate(folded):
            planned.setdefault(folded[:depth], set()).add(part)
    for path, parts in every:
        for depth, part in enumerate(parts):
            here, come = folder.joinpath(*parts[:depth]), planned[tuple(map(fold_name, parts[:depth]))]
            if any(all(one in come or _is_there(here, one) for one in marks) for marks in _REPOSITORIES):
                name = "/".join(parts[:depth]) or "."
                raise FileRefused(path, f"{name!r} is or would be a git repository's own folder. Name another.")
            for own in _FOLDERS:
                if _is_same(here / own, here / part):
                    raise FileRefused(path, _refusal(own))


def check_names(path: str) -> None:
    """FileRefused if a path leads into what is version control's own, by its names alone."""
    if own := own_name(path):
        raise FileRefused(path, _refusal(own))


def own_name(path: str) -> str:
    """The name of version control's own that some file system takes a name in the path for; empty if there is none."""
    for part in map(fold_name, re.split(r"[/\\]", path)):
        if part in _FOLDERS:
            return part
        if _SHORT.fullmatch(part):
            return next(own for own in _FOLDERS if own.lstrip(".")[:2] == part[:2])
    return ""


def fold_name(name: str) -> str:
    """A name as file systems compare it: without case, form, what is invisible, streams and the last dots."""
    plain = "".join(
        mark
        for mark in unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
        if unicodedata.category(mark) not in ("Cc", "Cf", "Cs", "Mn")
    )
    return plain.replace("ı", "i").partition(":")[0].rstrip(" .")


def _refusal(own: str) -> str:
    return f"what is in {own!r} is not read or changed, as programs are named there that version control runs."


def _is_there(folder: Path, name: str) -> bool:
    return any(os.path.lexists(folder / spelled) for spelled in (name, name.upper()))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False
