"""Wheels: fetched by name and kept by hash, and the versions of packages that go together, each with its wheel.

Nothing of a package runs here. Only wheels are taken, which pip downloads without building or running anything, and
they are unpacked by us. Packages that are published as source alone have to be built by somebody first.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.parser import HeaderParser
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag, sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version
from pydantic import BaseModel, ConfigDict

from signoff.tools.errors import NotResolved, WheelMissing
from signoff.tools.storage.atomic import write_whole
from signoff.tools.storage.child_environment import clean_environment

_SECONDS: Final = 900.0
_PASSED_ON: Final = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
"""Starts of the names of variables by which pip knows where to fetch from."""


class Wheel(BaseModel):
    """One file that was fetched, or that was given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str
    file: str
    """Its name."""
    sha256: str
    requires: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.file}, sha256 {self.sha256})"


Lock = Mapping[str, Wheel]
"""The wheel of each package, by its normalised name."""


@dataclass
class _Walk:
    """What the pins alone make of what is wanted."""

    wheels: dict[str, Wheel] = field(default_factory=dict)
    conflicts: list[tuple[str, str, str]] = field(default_factory=list)
    """A package, what is asked of it that its pin is not, and by which package; empty: by what is wanted."""
    unknown: list[str] = field(default_factory=list)
    """What no pin decides."""


class Wheelhouse:
    """Wheels in a cache of our own, in folders that were given, and on the index that pip is set to."""

    def __init__(self, cache: Path, folders: Sequence[Path] = (), *, fetches: bool = True) -> None:
        self.cache, self.folders, self.fetches = cache, tuple(folders), fetches

    def read(self, wheel: Wheel) -> bytes:
        """Its bytes; WheelMissing if they are gone, or others."""
        for place in self._places(wheel.file):
            raw = place.read_bytes()
            if hashlib.sha256(raw).hexdigest() == wheel.sha256:
                return raw
        raise WheelMissing(f"{wheel.name} {wheel.version}", f"{wheel.file} is gone or was changed since it was chosen")

    def versions(self, name: str) -> tuple[str, ...]:
        """The versions that there are for the Python in use, ascending; no releases before a final one."""
        found = {version for one, version, _, _ in self._local() if one == name}
        if self.fetches:
            with tempfile.TemporaryDirectory() as folder:
                told = _pip(["index", "versions", "--only-binary", ":all:", "--json", name], folder)
            if told.returncode == 0:
                found |= {Version(one) for one in json.loads(told.stdout).get("versions", ())}
        return tuple(map(str, sorted(one for one in found if not one.is_prerelease)))

    def find(self, name: str, version: str) -> Wheel:
        """The wheel of a version; fetched if need be. WheelMissing if there is none for the Python in use."""
        if (here := self._here(name, version)) is not None:
            return here
        if self.fetches:
            self._fetch([f"{name}=={version}"])
            if (here := self._here(name, version)) is not None:
                return here
        python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
        raise WheelMissing(
            f"{name} {version}", f"none that fits {python}. Put one into a folder, and name it: --wheels DIR"
        )

    def lock(self, wanted: Sequence[str], pins: Mapping[str, str], free: Iterable[str] = ()) -> Lock:
        """The wheels of all that is wanted, and of what those need, at the versions that are pinned.

        `free` packages may be later than they are pinned. NotResolved if no versions go together, WheelMissing if one
        cannot be had. Where the pins say it all, nobody has to be asked.
        """
        loose = frozenset(free)
        if not loose:
            walk = self._walk(wanted, pins)
            if walk.conflicts:
                told = (
                    f"{by or 'what is wanted'} asks for {name}{what}, not {pins[name]}"
                    for name, what, by in walk.conflicts
                )
                raise NotResolved("; ".join(told), [(name, by) for name, _, by in walk.conflicts])
            if not walk.unknown:
                return walk.wheels
        return self._resolve(wanted, pins, loose)

    def _walk(self, wanted: Sequence[str], pins: Mapping[str, str]) -> _Walk:
        made, waiting = _Walk(), [(Requirement(one), "") for one in wanted]
        seen = set[str]()
        for asked, by in waiting:
            name, mark = canonicalize_name(asked.name), f"{asked} {by}"
            if mark in seen or not _counts(asked):
                continue
            seen.add(mark)
            exact = next(
                (one.version for one in asked.specifier if one.operator == "==" and "*" not in one.version), ""
            )
            version = pins.get(name, exact)
            if not version:
                made.unknown.append(str(asked))
            elif not asked.specifier.contains(version, prereleases=True):
                made.conflicts.append((name, str(asked.specifier), by))
            else:
                wheel = made.wheels[name] = made.wheels.get(name) or self.find(name, version)
                needs = [Requirement(one) for one in wheel.requires]
                extras = asked.extras or {""}
                waiting += [(one, name) for one in needs if any(_counts(one, extra) for extra in extras)]
        return made

    def _resolve(self, wanted: Sequence[str], pins: Mapping[str, str], loose: frozenset[str]) -> Lock:
        """With pip's resolver."""
        limits = [f"{name}{'>=' if name in loose else '=='}{version}" for name, version in sorted(pins.items())]
        asked = [one for one in wanted if canonicalize_name(Requirement(one).name) not in loose]
        asked += sorted(loose)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "limits.txt").write_text("\n".join(limits))
            Path(folder, "wanted.txt").write_text("\n".join(asked))
            options = ("--dry-run", "--ignore-installed", "--report", "report.json", "--quiet")
            done = _pip(["install", *options, *self._sources(), "-c", "limits.txt", "-r", "wanted.txt"], folder)
            if done.returncode != 0:
                raise NotResolved(_last_error(done.stderr))
            told = json.loads(Path(folder, "report.json").read_bytes())["install"]
        chosen = [(canonicalize_name(one["metadata"]["name"]), one["metadata"]["version"], one) for one in told]
        missing = [(name, version, one) for name, version, one in chosen if self._here(name, version) is None]
        if missing and self.fetches:
            self._fetch([f"{name}=={version}{_hash_of(one)}" for name, version, one in missing])
        return {name: self.find(name, version) for name, version, _ in chosen}

    # Files

    def _here(self, name: str, version: str) -> Wheel | None:
        """The wheel that fits this Python best, of those in the cache and the folders."""
        wanted = Version(version)
        fits = [(rank, path.name, path) for one, at, rank, path in self._local() if one == name and at == wanted]
        return _read_wheel(min(fits)[2]) if fits else None

    def _local(self) -> Iterator[tuple[str, Version, int, Path]]:
        """The wheels for this Python in the cache and the folders, each with how well it fits: less is better."""
        for folder in (self.cache, *self.folders):
            for path in sorted(folder.glob("*.whl")):
                try:
                    name, version, _, tags = parse_wheel_filename(path.name)
                except InvalidWheelFilename:
                    continue
                if fitting := tags & _tags().keys():
                    yield name, version, min(_tags()[tag] for tag in fitting), path

    def _places(self, file: str) -> Iterator[Path]:
        yield from (place for folder in (self.cache, *self.folders) if (place := folder / Path(file).name).is_file())

    def _fetch(self, asked: Sequence[str]) -> None:
        """Download wheels into the cache; WheelMissing if one cannot be had. What is there already stays."""
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetching-", dir=self.cache) as folder:
            Path(folder, "wanted.txt").write_text("\n".join(asked))
            done = _pip(["download", "--quiet", "--no-deps", *self._sources(), "-d", "got", "-r", "wanted.txt"], folder)
            if done.returncode != 0:
                raise WheelMissing(", ".join(one.split(" ")[0] for one in asked), _last_error(done.stderr))
            for path in Path(folder, "got").glob("*.whl"):
                if not (self.cache / path.name).exists():
                    write_whole(self.cache / path.name, path.read_bytes())

    def _sources(self) -> list[str]:
        found = [part for folder in (self.cache, *self.folders) for part in ("--find-links", str(folder.absolute()))]
        return ["--only-binary", ":all:", *found, *([] if self.fetches else ["--no-index"])]


@cache
def _tags() -> Mapping[Tag, int]:
    """What wheels may be for here, the best first, each with its place."""
    return {tag: place for place, tag in enumerate(sys_tags())}


def _counts(asked: Requirement, extra: str = "") -> bool:
    return asked.marker is None or asked.marker.evaluate({"extra": extra})


@cache
def _read_wheel(path: Path) -> Wheel:
    """WheelMissing for a file that is no wheel."""
    name, version, _, _ = parse_wheel_filename(path.name)
    raw = path.read_bytes()
    try:
        with zipfile.ZipFile(path) as opened:
            place = next(one for one in opened.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", one))
            told = HeaderParser().parsestr(opened.read(place).decode("utf-8", "replace"))
        requires = tuple(str(Requirement(str(one))) for one in told.get_all("Requires-Dist", ()))
    except (zipfile.BadZipFile, StopIteration, InvalidRequirement, KeyError, OSError) as error:
        raise WheelMissing(
            f"{name} {version}", f"{path} cannot be read as one: {type(error).__name__}: {error}"
        ) from error
    return Wheel(
        name=name, version=str(version), file=path.name, sha256=hashlib.sha256(raw).hexdigest(), requires=requires
    )


def _pip(words: Sequence[str], folder: str) -> subprocess.CompletedProcess[bytes]:
    """Run pip, which is set to the index as it always is here."""
    if find_spec("pip") is None:
        raise WheelMissing("what is needed", f"there is no pip to fetch it. Run: {sys.executable} -m ensurepip")
    more = {name: value for name, value in os.environ.items() if name.upper().startswith(_PASSED_ON)}
    environment = clean_environment(**(more | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}))
    command = [sys.executable, "-m", "pip", *words]
    try:
        return subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise WheelMissing("what is needed", f"pip took longer than {_SECONDS:g} seconds") from error


def _last_error(said: bytes) -> str:
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    told = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return "; ".join((told or lines)[-3:])[:600] or "pip says no reason"


def _hash_of(told: Mapping[str, Any]) -> str:
    """The hash that the index tells of a file, for pip to hold it to."""
    known = told.get("download_info", {}).get("archive_info", {}).get("hashes", {})
    return f" --hash=sha256:{known['sha256']}" if "sha256" in known else ""
