"""A caution for the person who decides: which files run by themselves, once they are written."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from signoff.tools.storage.file_names import fold_name
from signoff.wording import as_code

_MOST: Final = 20
_LONGEST: Final = 4_096
"""Characters of a text that may be a path; systems take no longer ones."""


def warn_of_running(paths: Iterable[str]) -> str:
    """A line of Markdown for each of these files that runs by itself; empty if none does."""
    found = [(path, when) for path in dict.fromkeys(paths) if (when := _when(path))]
    lines = [f"- **Runs by itself:** {as_code(path)}, {when}." for path, when in found[:_MOST]]
    if len(found) > _MOST:
        lines.append(f"- **Runs by itself:** {len(found) - _MOST} more files of such names.")
    return "\n".join(lines)


def with_warning(shown: str, args: Mapping[str, Any]) -> str:
    """The preview of any action, below a line for each text among its arguments that is the name of such a file.

    Files that the preview begins with are not told of twice.
    """
    told = shown.split("\n\n")[0].splitlines()
    lines = [line for line in warn_of_running(_short_texts(args)).splitlines() if line not in told]
    return "\n\n".join(["\n".join(lines), shown]) if lines else shown


def _short_texts(value: Any) -> Iterator[str]:
    """The texts in it that may be paths, names of values too."""
    waiting = [value]
    for one in waiting:
        match one:
            case str() if len(one) <= _LONGEST and "\n" not in one and not one.startswith(("http://", "https://")):
                yield one
            case dict():
                waiting += (each for pair in one.items() for each in pair)
            case list() | tuple():
                waiting += one


def _when(path: str) -> str:
    """When or why it runs; empty if it does not."""
    written, followed = list[str](), list[str]()
    for name in re.split(r"[/\\]", path):
        if name == "..":
            del followed[-1:]
        elif folded := fold_name(name):
            written.append(folded)
            followed.append(folded)
    names = {"/".join(written), "/".join(followed)}  # a folder may be a link to another
    return next((when for pattern, when in _kinds() if any(map(pattern.fullmatch, names))), "")


def protected_as(path: str) -> str:
    """Why nobody changes a file unasked: `a test`, `part of the CI`, `a lock file`; empty if nothing is against it."""
    folded = "/".join(fold_name(name) for name in path.split("/"))
    return next((kind for pattern, kind in _kinds("protected", "what") if pattern.fullmatch(folded)), "")


@cache
def _kinds(listed: str = "kinds", what: str = "when") -> tuple[tuple[re.Pattern[str], str], ...]:
    found = tomllib.loads(files(__package__).joinpath("self_running.toml").read_text("utf-8"))
    return tuple((_pattern(kind["files"].split()), kind[what]) for kind in found[listed])


def _pattern(listed: Iterable[str]) -> re.Pattern[str]:
    """What fits one of these, whatever folders are before it."""
    each = (re.escape(one).replace(r"\*", "[^/]*") + (".+" if one.endswith("/") else "") for one in listed)
    return re.compile(f"(?:.*/)?(?:{'|'.join(each)})")
