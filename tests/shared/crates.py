"""Small repositories that pin packages of our own, wheels of these built by code, and advisories about them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stand_in import make_repository

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


def make_crate(folder: Path, files: Mapping[str, str] | None = None, pins: str = "knot==1.0\n") -> Path:
    """A repository that pins `knot`, with a suite of two tests, in which these files are otherwise."""
    own = {"requirements.txt": pins, "tests/__init__.py": "", "tests/test_knots.py": TEST, "README.md": "# Crate\n"}
    return make_repository(folder, {path: text for path, text in {**own, **(files or {})}.items() if text is not None})
