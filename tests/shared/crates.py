"""Small repositories that pin packages of our own, wheels of these built by code, and advisories about them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stand_in import git, make_repository

KNOT: Mapping[str, str] = {
    "1.0": "def tie(text):\n    return '<' + text + '>'\n\n\ndef loose(text):\n    return text\n",
    "1.1": "def tie(text):\n    return '<' + text.replace('<', '') + '>'\n\n\ndef loose(text):\n    return text\n",
    "2.0": "def tie(text):\n    return '<' + text.replace('<', '') + '>'\n",
}
"""A package by version: 1.0 is vulnerable, 1.1 is mended, 2.0 is mended and has lost a function."""
TEST = """\
import unittest

import knot


class Knots(unittest.TestCase):
    def test_tie(self):
        self.assertEqual(knot.tie("a"), "<a>")

    def test_loose(self):
        self.assertEqual(knot.loose("a"), "a")
"""
CHECK = "python3 -m unittest -q"


def record(
    name: str, package: str, *events: Mapping[str, str], versions: Sequence[str] = (), **more: Any
) -> dict[str, Any]:
    """A record in OSV's format."""
    about = {"package": {"ecosystem": "PyPI", "name": package}, "versions": list(versions)}
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    return {"id": name, "modified": "2024-01-01T00:00:00Z", "affected": [{**about, "ranges": ranges}], **more}


KNOT_RECORDS: Sequence[Mapping[str, Any]] = (
    record("PYSEC-1", "knot", {"introduced": "0"}, {"fixed": "1.1"}, aliases=["CVE-1"], summary="Ties let others in."),
    record(
        "GHSA-1",
        "Knot",
        {"introduced": "0"},
        {"fixed": "1.1"},
        aliases=["CVE-1"],
        database_specific={"severity": "HIGH"},
    ),
)


def write_records(folder: Path, records: Sequence[Mapping[str, Any]] = KNOT_RECORDS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for one in records:
        (folder / f"{one['id']}.json").write_text(json.dumps(one))
    return folder


def write_wheel(folder: Path, name: str, version: str, files: Mapping[str, str], requires: Sequence[str] = ()) -> Path:
    """A wheel of these files, the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    listed = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    made = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as wheel:
        for path, text in listed.items():
            raw = text.encode()
            sha = base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
            rows.append(f"{path},sha256={sha},{len(raw)}\n")
            wheel.writestr(zipfile.ZipInfo(path), raw)
        wheel.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "".join((*rows, f"{info}/RECORD,,\n")))
    return made


def write_sdist(folder: Path, name: str, version: str, files: Mapping[str, str]) -> Path:
    """A source distribution of these files."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(made, "w:gz") as archive:
        for path, text in files.items():
            raw = text.encode()
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(raw)
            archive.addfile(entry, io.BytesIO(raw))
    return made


def write_knots(folder: Path) -> Path:
    """The wheels of `knot`, all versions."""
    for version, text in KNOT.items():
        write_wheel(folder, "knot", version, {"knot.py": text})
    return folder


def make_crate(folder: Path, files: Mapping[str, str] = MappingProxyType({}), pins: str = "knot==1.0\n") -> Path:
    """A repository that pins `knot`, with a suite of two tests, in which these files are otherwise."""
    own = {"requirements.txt": pins, "tests/__init__.py": "", "tests/test_knots.py": TEST, "README.md": "# Crate\n"}
    return make_repository(folder, {**own, **files})


def asks(repos: Sequence[Path], advisories: Path, wheels: Sequence[Path], out: Path, **more: Any) -> dict[str, Any]:
    """What the remediation team is asked, without a second judge and without network."""
    return {
        "repos": [str(one) for one in repos],
        "advisories": str(advisories),
        "wheels": [str(one) for one in wheels],
        "offline": True,
        "judge": "none",
        "out": str(out),
        **more,
    }


STRICT = TEST.replace('tie("a"), "<a>"', 'tie("<a"), "<<a>"')
"""A suite that only the vulnerable version passes."""
KILLS = "import os\n\nos.kill(os.getppid(), 9)\nos.kill(0, 9)\n"
REACHES = """\
import os
import socket
import unittest
from pathlib import Path

import knot

for place in (OUTSIDE, "/etc/signoff-was-here", "/usr/signoff-was-here", os.path.expanduser("~/../signoff-was-here")):
    try:
        Path(place).write_text("here")
    except OSError:
        pass
try:
    socket.create_connection(("127.0.0.1", PORT), timeout=1)
except OSError:
    pass


class Knots(unittest.TestCase):
    def test_tie(self):
        self.assertEqual(knot.tie("a"), "<a>")
"""
"""A suite that writes and connects where it should not."""
STEALS = "import pathlib\n\npathlib.Path(OUTSIDE).write_text('here')\n"
ALONE = (
    "import unittest\n\n\nclass Alone(unittest.TestCase):\n    def test_one(self):\n        self.assertEqual(1, 1)\n"
)
NO_HASH = "0" * 64


def crowd(outside: Path, port: int) -> dict[str, dict[str, str]]:
    """The files of twenty repositories by name; `outside` is a file that nobody may write, `port` one that listens."""

    def using(package: str, test: str = TEST) -> dict[str, str]:
        text = test.replace("import knot", f"import {package} as knot")
        return {"requirements.txt": f"{package}==1.0\n", "tests/test_knots.py": text}

    names = (("OUTSIDE", repr(str(outside))), ("PORT", str(port)))
    reaches, steals = REACHES, STEALS
    for name, value in names:
        reaches, steals = reaches.replace(name, value), steals.replace(name, value)
    pyproject = '[project]\nname = "crate"\nversion = "1"\ndependencies = ["knot[x] == 1.0", "rope"]\n'
    return {
        "plain": {"requirements.txt": "# pinned\nknot == 1.0  # ties\n"},
        "plain-again": {},
        "clean": {"requirements.txt": "knot==1.1\n"},
        "unpinned": {"requirements.txt": "knot>=1.0\n"},
        "strict": {"tests/test_knots.py": STRICT},
        "partly": using("bend"),
        "later": using("hitch"),
        "hashed": {"requirements.txt": f"knot==1.0 \\\n    --hash=sha256:{NO_HASH}\n    # via nobody\n"},
        "moved": {"requirements.txt": "knot==1.0\nrope==1.0\n"},
        "locked": {"uv.lock": '[[package]]\nname = "knot"\nversion = "1.0"\n'},
        "untested": {"tests/test_knots.py": "", "tests/__init__.py": ""},
        "kills": {"tests/test_knots.py": KILLS},
        "reaches": {"tests/test_knots.py": reaches},
        "steals": {"setup.py": steals, "conftest.py": steals, "sitecustomize.py": ""},
        "garbage": {"requirements.txt": "knot==1.0\n-r missing.txt\n\0\n", "uv.lock": "no lock ="},
        "pyproject": {"pyproject.toml": pyproject, "requirements.txt": ""},
        "two-manifests": {
            "requirements.txt": "",
            "requirements/dev.txt": "knot==1.0\n",
            "requirements/docs.txt": "Knot==1.0\n",
        },
        "elsewhere": {"requirements.txt": 'knot==1.0 ; python_version < "3"\n', "tests/test_knots.py": ALONE},
        "no-fix": using("snag"),
        "no-wheel": using("lost"),
    }


def write_crowd(folder: Path) -> tuple[Path, Path]:
    """The wheels and the advisories of the twenty."""
    wheels, records = write_knots(folder / "wheels"), folder / "advisories"
    for version, text in KNOT.items():
        write_wheel(wheels, "bend", version, {"bend.py": text})
    write_wheel(wheels, "hitch", "1.0", {"hitch.py": KNOT["1.0"]})
    write_wheel(wheels, "hitch", "1.1", {"hitch.py": KNOT["2.0"]})
    write_wheel(wheels, "hitch", "1.2", {"hitch.py": KNOT["1.1"]})
    write_wheel(wheels, "snag", "1.0", {"snag.py": KNOT["1.0"]})
    write_wheel(wheels, "rope", "1.0", {"rope.py": ""}, ["knot<1.1"])
    write_wheel(wheels, "rope", "1.5", {"rope.py": ""}, ["knot>=1.0"])
    more = [
        record("PYSEC-B1", "bend", {"introduced": "0"}, {"fixed": "1.1"}),
        record("PYSEC-B2", "bend", {"introduced": "0"}, {"fixed": "2.0"}, summary="Also with 1.1."),
        record("PYSEC-H", "hitch", {"introduced": "0"}, {"fixed": "1.1"}),
        record("PYSEC-S", "snag", {"introduced": "0"}),
        record("PYSEC-L", "lost", {"introduced": "0"}, {"fixed": "1.1"}),
        record("PYSEC-W", "knot", {"introduced": "0"}, withdrawn="2024-02-01T00:00:00Z"),
    ]
    return wheels, write_records(records, [*KNOT_RECORDS, *more])


def make_crowd(folder: Path, files: Mapping[str, Mapping[str, str]]) -> list[Path]:
    """The repositories of these, in a folder, each with a bare remote beside it."""
    made = []
    for name, own in files.items():
        repo = make_crate(folder / name, own)
        git(folder, "clone", "-q", "--bare", str(repo), f"{name}.git")
        git(repo, "remote", "add", "origin", str(folder / f"{name}.git"))
        made.append(repo)
    return made


def wheel_of_installed(folder: Path, name: str) -> Path:
    """A wheel of a package that is installed here, such as pytest, which the tests of a repository may need."""
    found = distribution(name)
    version, files = found.version, dict[str, str]()
    for file in found.files or ():
        path = file.as_posix()
        if not path.startswith("..") and not path.endswith((".pyc", "RECORD", "METADATA", "WHEEL")):
            files[path] = file.locate().read_text("utf-8")  # type: ignore[attr-defined]  # it is a path
    return write_wheel(folder, name, version, files, found.requires or ())


def write_pytest(folder: Path) -> Path:
    """Wheels of pytest and what it needs."""
    for name in ("pytest", "iniconfig", "packaging", "pluggy", "pygments"):
        wheel_of_installed(folder, name)
    return folder
