"""Folders of real documents, made of packages that are fetched once, by name and version, and held to their digests."""

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from asking.papers import papers, write_papers

FILE = Path(__file__).with_name("corpora.toml")


class Unavailable(Exception):
    """A package that cannot be had here, or is another one than was measured with."""


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    sha256: str
    take: tuple[str, ...]
    into: str
    drop: tuple[str, ...] = ()
    kind: str = "debian"
    """Where it is from: debian, or wheel or sdist of PyPI."""


@dataclass(frozen=True)
class Corpus:
    name: str
    about: str
    packages: tuple[Package, ...]
    papers: bool = False
    """Whether the office files that are made here belong to it."""

    def build(self, cache: Path) -> Path:
        """The folder of its documents, made if it is not there; Unavailable."""
        told = json.dumps([[vars(package) for package in self.packages], papers() if self.papers else []])
        folder = cache / "corpora" / f"{self.name}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
        if not folder.is_dir():
            half = folder.with_suffix(".half")
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(parents=True)
            for package in self.packages:
                _copy(package, _unpacked(package, cache), half / package.into)
            if self.papers:
                write_papers(half)
            half.rename(folder)
        return folder


def corpora() -> dict[str, Corpus]:
    """Every corpus by its name."""
    read = tomllib.loads(FILE.read_text(encoding="utf-8"))
    found = {}
    for entry in read["corpora"]:
        packages = [_package(given) for given in entry["packages"]]
        found[entry["name"]] = Corpus(entry["name"], entry["about"], tuple(packages), entry.get("papers", False))
    return found


def _package(given: dict[str, Any]) -> Package:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    return Package(**fields)


def _unpacked(package: Package, cache: Path) -> Path:
    file = fetched(package, cache / "packages")
    folder = cache / "unpacked" / file.name
    if not folder.is_dir():
        half = folder.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        if package.kind == "debian":
            subprocess.run(["dpkg-deb", "-x", file, half], check=True)
        else:
            shutil.unpack_archive(file, half, "zip" if file.suffix == ".whl" else None)
        half.rename(folder)
    return folder


def fetched(package: Package, folder: Path) -> Path:
    """The package's file, fetched if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    file = _found(package, folder)
    if file is None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        exact = f"{package.name}=={package.version}"
        commands = {
            "debian": ["apt-get", "download", "--quiet", f"{package.name}={package.version}"],
            "wheel": [*pip, exact],
            "sdist": [*pip, "--no-binary", package.name, exact],
        }
        print(f"fetching {package.name} {package.version}", file=sys.stderr)
        try:
            done = subprocess.run(commands[package.kind], cwd=folder, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise Unavailable(f"{package.name}: there is no {error.filename} here") from error
        file = _found(package, folder)
        if file is None:
            said = (done.stderr.strip().splitlines() or ["it is not what was fetched"])[-1]
            raise Unavailable(f"{package.name} {package.version}: {said}")
    return file


def _found(package: Package, folder: Path) -> Path | None:
    """The file in the folder that has the package's digest."""
    stem = package.name.replace("-", "?")
    for file in sorted(folder.glob(f"{stem}*")):
        if hashlib.sha256(file.read_bytes()).hexdigest() == package.sha256:
            return file
    return None


def _copy(package: Package, unpacked: Path, into: Path) -> None:
    for pattern in package.take:
        fixed = Path(*_before_wildcard(pattern))
        for file in sorted(unpacked.glob(pattern)):
            name = str(file.relative_to(unpacked))
            if not file.is_file() or file.is_symlink() or any(fnmatch(name, each) for each in package.drop):
                continue
            target = into / file.relative_to(unpacked / fixed)
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".gz":
                text = target.with_suffix("")
                text.with_suffix(text.suffix or ".txt").write_bytes(gzip.decompress(file.read_bytes()))
            else:
                shutil.copy(file, target)


def _before_wildcard(pattern: str) -> Iterator[str]:
    for part in pattern.split("/")[:-1]:
        if "*" in part:
            return
        yield part
