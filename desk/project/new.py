"""Beginning a project: a folder with a team that works, its tests and cases, made from the templates beside."""

from __future__ import annotations

import keyword
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from signoff.desk.cli.terminal import Json, command, print_json, say
from signoff.error_base import SettingsError
from signoff.installation import origin

_TEMPLATE: Final = Path(__file__).with_name("template")
_SUFFIX: Final = ".tmpl"  # no linter takes a template for code
_HIDDEN: Final = "dot-"
_PACKAGE: Final = "package"
_TAKEN: Final = frozenset({"evals", "notebooks", "tests", "wheels"})
"""Folders of every project, which its package cannot be called."""
_LONGEST: Final = 40


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the project is called: a Python name.")],
    json: Json = False,
) -> None:
    check_name(name)
    folder = Path.cwd() / name
    if folder.exists() or folder.is_symlink():
        raise SettingsError("NAME", f"{name!r} is here already", "Choose another name, or go to another folder.")
    made = make_project(name, folder)
    if json:
        return print_json({"project": str(folder), "team": f"{name}.team:team", "files": made})
    console = Console(stderr=True)
    say(console, f"Made {name} with {len(made)} files; {name}/README.md says what each is.")
    say(console, "What is next:")
    tested = ["pytest"] if find_spec("pytest") and find_spec("jsonschema") else ["pip install -e '.[dev]'", "pytest"]
    for line in (f"cd {name}", f"{command(Path.cwd() / name)} run {name}.team:team", *tested):
        say(console, f"  {line}")
    return None


def check_name(name: str) -> None:
    """SettingsError, with a name that would do, for one that no package can have, or that another package has."""
    like = re.sub(r"\W+", "_", name.lower(), flags=re.ASCII).strip("_")[:_LONGEST] or "shop"
    if like[0].isdigit() or keyword.iskeyword(like):
        like = f"team_{like}"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or len(name) > _LONGEST:
        problem = f"{name!r} is no name of a package: small letters, digits and _, {_LONGEST} at most"
        raise SettingsError("NAME", problem, f"One that would do: {like}")
    elsewhere = [place for place in sys.path if place and Path(place).resolve() != Path.cwd()]
    if name in _TAKEN:
        raise SettingsError("NAME", f"every project has a folder {name!r} of its own", f"Call it {name}_team.")
    if name in sys.stdlib_module_names or PathFinder.find_spec(name, elsewhere) is not None:
        problem = f"{name!r} is the name of a package of Python's own, or one that is installed"
        raise SettingsError("NAME", problem, f"One of the two would hide the other. Call it {name}_team.")


def make_project(name: str, folder: Path) -> list[str]:
    """Write the project: all of it, or, if something goes wrong, nothing. Returns its files, as they lie in it."""
    values = {
        "name": name,
        "dashed": name.replace("_", "-").strip("-"),
        "title": name.replace("_", " ").strip().capitalize(),
        "origin": origin() or "/path/to/signoff",
    }
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder.parent) as made:
        files = dict(_files(values))
        for place, text in files.items():
            file = Path(made, name, place)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        if folder.exists():  # somebody was faster
            raise SettingsError("NAME", f"{name!r} is here already", "Choose another name.")
        shutil.move(Path(made, name), folder)
    return sorted(files)


def _files(values: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Every file of the project, by its place in it, with its text."""
    for template in sorted(_TEMPLATE.rglob(f"*{_SUFFIX}")):
        *folders, last = template.relative_to(_TEMPLATE).parts
        place = [values["name"] if part == _PACKAGE else part for part in folders]
        text = template.read_text(encoding="utf-8")
        for key, value in values.items():
            text = text.replace(f"{{{{{key}}}}}", value)
        yield "/".join((*place, last.removesuffix(_SUFFIX).replace(_HIDDEN, "."))), text
