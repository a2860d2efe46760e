"""Environments: a virtual environment made of wheels, unpacked here and never started here.

Even `python -c pass` would run what a package put into a `.pth` file. So nothing in it is run outside of the sandbox.
"""

from __future__ import annotations

import configparser
import io
import os
import re
import shutil
import sys
import venv
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from signoff.checkpoints import digest
from signoff.tools.advisories.wheels import Lock, Wheel, Wheelhouse
from signoff.tools.errors import WheelMissing

_LARGEST: Final = 2_000_000_000
"""Bytes of a wheel once it is unpacked."""
_DATA: Final = re.compile(r"[^/]+\.data/(?P<kind>purelib|platlib|scripts|headers|data)/(?P<rest>.+)")
_SCRIPT: Final = (
    "#!python\nimport sys\nfrom {module} import {first}\nif __name__ == '__main__':\n    sys.exit({call}())\n"
)


def make_environment(home: Path, lock: Lock, wheelhouse: Wheelhouse) -> Path:
    """The virtual environment with just these wheels; made once for such a set. WheelMissing if one cannot be read."""
    key = digest([sys.version, sys.base_prefix, sorted([one.file, one.sha256] for one in lock.values())])[:24]
    place = home / "environments" / key
    if (place / "made").exists():
        return place
    staging = place.with_name(f"{key}-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        venv.EnvBuilder(symlinks=True, with_pip=False).create(staging)
        for wheel in lock.values():
            _unpack(wheel, wheelhouse.read(wheel), staging)
        (staging / "made").touch()
        try:
            staging.rename(place)
        except OSError:
            if not (place / "made").exists():
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return place


def _unpack(wheel: Wheel, raw: bytes, environment: Path) -> None:
    site = environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    roots = {"purelib": site, "platlib": site, "scripts": environment / "bin", "data": environment}
    roots["headers"] = environment / "include" / wheel.name
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as opened:
            if sum(one.file_size for one in opened.infolist()) > _LARGEST:
                raise WheelMissing(f"{wheel.name} {wheel.version}", f"{wheel.file} is larger than {_LARGEST:,} bytes")
            for member in opened.infolist():
                if member.is_dir():
                    continue
                found = _DATA.fullmatch(member.filename)
                kind, rest = (found["kind"], found["rest"]) if found else ("purelib", member.filename)
                _write(roots[kind], rest, opened.read(member), wheel, program=kind == "scripts")
            names = (name for name in opened.namelist() if name.endswith(".dist-info/entry_points.txt"))
            for name in names:
                for program, text in _programs(opened.read(name).decode("utf-8", "replace")):
                    _write(roots["scripts"], program, text.encode(), wheel, program=True)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise WheelMissing(f"{wheel.name} {wheel.version}", f"{wheel.file} cannot be unpacked: {error}") from error


def _write(root: Path, name: str, raw: bytes, wheel: Wheel, *, program: bool) -> None:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or "\0" in name:
        raise WheelMissing(
            f"{wheel.name} {wheel.version}", f"{wheel.file} would write outside of itself: {name[:100]!r}"
        )
    place = root / parts
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        raise WheelMissing(f"{wheel.name} {wheel.version}", f"{wheel.file} would replace {name[:100]!r}")
    place.write_bytes(raw)
    if program:
        place.chmod(0o755)


def _programs(text: str) -> Iterator[tuple[str, str]]:
    """The scripts that a wheel declares, by name."""
    told = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    told.optionxform = str  # type: ignore[assignment,method-assign]  # names of programs keep their letters
    try:
        told.read_string(text)
    except configparser.Error:
        return
    listed: Mapping[str, str] = told["console_scripts"] if told.has_section("console_scripts") else {}
    for name, target in listed.items():
        module, _, call = target.partition("[")[0].strip().partition(":")
        if re.fullmatch(r"[\w.-]+", name) and re.fullmatch(r"[\w.]+", module) and re.fullmatch(r"[\w.]+", call):
            yield name, _SCRIPT.format(module=module, first=call.split(".")[0], call=call)
