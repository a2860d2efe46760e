"""Manifests: the files of a repository that pin versions of packages, read line by line and changed at one place.

Read are requirements files, the dependencies of pyproject.toml, and lock files, which are not changed. What a line asks
for without an exact version is told apart: which version that is in use is not known, so it is not scanned.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict

_HASH: Final = re.compile(r"\s--hash[= ](\S+)")
_OPTION: Final = re.compile(r"\s--[a-z]")
_COMMENT: Final = re.compile(r"(?:^|\s)#.*$")
_NAMED: Final = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[ =]*(\S+)", re.MULTILINE)
_LARGEST: Final = 5_000_000
"""Bytes of a manifest."""
_PYPROJECT: Final = "pyproject.toml"
_NAMES: Final = {
    "setup.cfg": re.compile(r"^\[metadata\](?:\s*\n(?!\[).*)*?\s*\nname\s*=\s*([\w.-]+)", re.MULTILINE),
    "setup.py": re.compile(r"""\bsetup\([^()]*?\bname\s*=\s*["']([\w.-]+)["']"""),
}
"""What a project is called, by where it says so."""
_LOCAL: Final = re.compile(r"(?:-e|--editable)?[ =]*(?:\.|/|file:)")
_BOM: Final = "\ufeff"
"""What some editors begin a file with."""


class Pin(BaseModel):
    """An exact version of a package, where it is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    line: int = 0
    """From 1; 0 in files that are no lines."""
    name: str
    """Normalised."""
    version: str
    extras: tuple[str, ...] = ()
    marker: str = ""
    """On which machines it counts."""
    hashes: tuple[str, ...] = ()
    """`sha256:…` of the files that may be installed."""
    locked: str = ""
    """The command that has to write it again, if the file is not written by people."""

    @property
    def package(self) -> tuple[str, str]:
        return self.name, self.version

    @property
    def counts_here(self) -> bool:
        """Whether it is for a machine such as this one."""
        return not self.marker or Marker(self.marker).evaluate({"extra": ""})


class Manifest(BaseModel):
    """One file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    pins: tuple[Pin, ...] = ()
    unpinned: tuple[str, ...] = ()
    """What it asks for without an exact version."""
    problem: str = ""
    """Why it cannot be read."""


def read_manifests(files: Mapping[str, bytes]) -> tuple[Manifest, ...]:
    """What these files of a repository pin, in the order of their paths. Files that they name are read too."""
    found = {path: one for path, raw in files.items() if (one := _read(path, raw)) is not None}
    waiting = list(found)
    for path in waiting:
        for name in _named_in(path, files.get(path, b"")) if not found[path].problem else ():
            if name not in found:
                raw = files.get(name)
                absent = Manifest(path=name, problem=f"{path} names it, and there is no such file in the repository")
                found[name] = absent if raw is None else _read(name, raw, is_named=True) or absent
                waiting.append(name)
    own = frozenset(_own_names(files))
    return tuple(_without(found[path], own) for path in sorted(found))


def changed(raw: bytes, pin: Pin, version: str, hashes: Sequence[str] = ()) -> bytes:
    """The manifest with another version at this pin, and these hashes if there were some; all else as it was.

    ValueError if the pin is not where it was read.
    """
    text = raw.decode("utf-8")
    mark, text = text[: text.startswith(_BOM)], text.removeprefix(_BOM)
    if Path(pin.path).name.lower() == _PYPROJECT:
        spots = [one for one in re.finditer(r"""(["'])((?:\\.|(?!\1).)*)\1""", text) if _is_of(one[2], pin)]
        for one in reversed(spots):
            text = text[: one.start(2)] + _with_version(one[2], pin, version) + text[one.end(2) :]
        if not spots:
            raise ValueError(f"{pin.path} does not pin {pin.name}=={pin.version} any more")
        return f"{mark}{text}".encode()
    lines = text.splitlines(keepends=True)
    start = pin.line - 1
    end = next((at for at in range(start, len(lines)) if not lines[at].rstrip().endswith("\\")), len(lines) - 1) + 1
    whole = "".join(lines[start:end])
    if not _is_of(_bare(whole), pin):
        raise ValueError(f"{pin.path}, line {pin.line}, does not pin {pin.name}=={pin.version} any more")
    made = _with_version(whole, pin, version)
    if pin.hashes:
        made = _with_hashes(made, hashes)
    return "".join((mark, *lines[:start], made, *lines[end:])).encode()


def _named_in(path: str, raw: bytes) -> Iterator[str]:
    """The files that a requirements file names, by their paths in the repository."""
    if Path(path).suffix == ".toml" or path.lower().endswith(".lock"):
        return
    for name in _NAMED.findall(raw.decode("utf-8", "replace")):
        if "://" not in name:
            yield os.path.normpath(os.path.join(os.path.dirname(path), name)).replace(os.sep, "/")


def _read(path: str, raw: bytes, *, is_named: bool = False) -> Manifest | None:
    name, folded = Path(path).name.lower(), path.lower()
    command = next((how for lock, how in _kinds()["locks"].items() if fnmatch.fnmatchcase(name, lock)), "")
    is_listed = is_named or any(
        fnmatch.fnmatchcase(part, one) for one in _kinds()["requirements"].split() for part in _tails(folded)
    )
    if not (command or is_listed or name == _PYPROJECT):
        return None
    if len(raw) > _LARGEST:
        return Manifest(path=path, problem=f"it has more than {_LARGEST:,} bytes")
    try:
        text = raw.decode("utf-8-sig")
        if command:
            return Manifest(path=path, pins=tuple(_locked(path, text, command)))
        if name == _PYPROJECT:
            told = tuple(_dependencies(tomllib.loads(text)))
            return _sorted_out(path, ((0, one) for one in told)) if told else None
        return _sorted_out(path, _lines(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Manifest(path=path, problem=f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")


def _tails(path: str) -> list[str]:
    """The path, and what is left of it without the first folders."""
    parts = path.split("/")
    return ["/".join(parts[at:]) for at in range(len(parts))]


def _sorted_out(path: str, told: Iterable[tuple[int, str]]) -> Manifest:
    pins, unpinned = list[Pin](), list[str]()
    for line, text in told:
        if (pin := _pin(path, line, text)) is not None:
            pins.append(pin)
        else:
            unpinned.append(_bare(text)[:200])
    return Manifest(path=path, pins=tuple(pins), unpinned=tuple(unpinned))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The logical lines that ask for a package, each with the number of its first line."""
    lines, at = text.splitlines(), 0
    while at < len(lines):
        start, whole = at, lines[at]
        while whole.rstrip().endswith("\\") and at + 1 < len(lines):
            at += 1
            whole = f"{whole.rstrip()[:-1]} {lines[at]}"
        at += 1
        stripped = _COMMENT.sub("", whole).strip()
        if stripped.startswith(("-e", "--editable")) or (stripped and not stripped.startswith("-")):
            yield start + 1, stripped


def _pin(path: str, line: int, text: str) -> Pin | None:
    try:
        asked = Requirement(_bare(text))
    except InvalidRequirement:
        return None
    exact = [one for one in asked.specifier if one.operator in ("==", "===") and not one.version.endswith(".*")]
    if len(exact) != 1 or asked.url:
        return None
    return Pin(
        path=path,
        line=line,
        name=canonicalize_name(asked.name),
        version=exact[0].version,
        extras=tuple(sorted(asked.extras)),
        marker=str(asked.marker or ""),
        hashes=tuple(_HASH.findall(text)),
    )


def _bare(text: str) -> str:
    """A line without comment and options."""
    joined = " ".join(_COMMENT.sub("", line).rstrip().removesuffix("\\") for line in text.splitlines())
    return _OPTION.split(joined)[0].strip()


def _is_of(text: str, pin: Pin) -> bool:
    found = _pin(pin.path, pin.line, text)
    return found is not None and found.package == pin.package


def _with_version(text: str, pin: Pin, version: str) -> str:
    return re.sub(rf"(===?\s*){re.escape(pin.version)}(?![\w.+!-])", rf"\g<1>{version}", text, count=1)


def _with_hashes(whole: str, hashes: Sequence[str]) -> str:
    """A logical line with these hashes in place of those it had."""
    first = _HASH.search(whole)
    assert first is not None
    between = re.match(r".*?(\s*\\?\s*)$", whole[: first.start() + 1], re.DOTALL)
    head = whole[: first.start()].rstrip().removesuffix("\\").rstrip()
    ending = "\r\n" if "\r\n" in whole else "\n"
    gap = f" \\{ending}    " if between and "\n" in between[1] else " "
    return head + "".join(f"{gap}--hash={one}" for one in hashes) + (ending if whole.endswith("\n") else "")


def _dependencies(told: Mapping[str, Any]) -> Iterator[str]:
    project = told.get("project") or {}
    yield from project.get("dependencies") or ()
    for listed in (project.get("optional-dependencies") or {}).values():
        yield from listed
    for listed in (told.get("dependency-groups") or {}).values():
        yield from (one for one in listed if isinstance(one, str))


def _own_names(files: Mapping[str, bytes]) -> Iterator[str]:
    """What the projects in a repository are called: somebody else's package of that name is not what they ask for."""
    for path, raw in files.items():
        name = Path(path).name
        if name != _PYPROJECT and name not in _NAMES:
            continue
        text = raw.decode("utf-8", "replace")
        told: Any = ""
        try:
            if name == _PYPROJECT:
                tables = tomllib.loads(text)
                told = (tables.get("project") or tables.get("tool", {}).get("poetry") or {}).get("name")
            elif (found := _NAMES[name].search(text)) is not None:
                told = found[1]
        except (ValueError, AttributeError):
            continue  # as a manifest it says so
        if isinstance(told, str) and told:
            yield canonicalize_name(told)


def _without(manifest: Manifest, own: frozenset[str]) -> Manifest:
    """The same without what of it is in the repository itself."""
    kept = tuple(one for one in manifest.unpinned if not _LOCAL.match(one) and name_of(one) not in own)
    return manifest.model_copy(update={"unpinned": kept})


def name_of(asked: str) -> str:
    """The package that a requirement asks for, normalised; empty if it is none."""
    try:
        return canonicalize_name(Requirement(asked).name)
    except InvalidRequirement:
        return ""


def _locked(path: str, text: str, command: str) -> Iterator[Pin]:
    if path.lower().endswith("pipfile.lock"):
        told = json.loads(text)
        listed = [(name, one) for part in ("default", "develop") for name, one in (told.get(part) or {}).items()]
        found = [(name, one["version"].removeprefix("==")) for name, one in listed if "version" in one]
    else:
        packages = tomllib.loads(text)
        tables = packages.get("package") or packages.get("packages") or ()
        own = [one for one in tables if {"editable", "virtual", "directory"} & (one.get("source") or {}).keys()]
        found = [(one["name"], one["version"]) for one in tables if "version" in one and one not in own]
    for name, version in sorted({(canonicalize_name(name), version) for name, version in found}):
        yield Pin(path=path, name=name, version=version, locked=command)


@cache
def _kinds() -> Mapping[str, Any]:
    return tomllib.loads(Path(__file__).with_name("manifests.toml").read_text("utf-8"))
