"""120 programs with the output that they are to give: GnuCOBOL's own tests, fetched by name and hash."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ARCHIVE: Final = "gnucobol3_3.1.2.orig.tar.xz"
SHA256: Final = "597005d71fd7d65b90cbe42bbfecd5a9ec0445388639404662e70d53ddf22574"
_TESTS: Final = re.compile(r".*/tests/testsuite\.src/run_\w+\.at")
_TEST: Final = re.compile(r"AT_SETUP\(\[((?:(?!\]\)).)*)\]\)[^\n]*\n((?:(?!AT_SETUP).)*?)AT_CLEANUP", re.DOTALL)
_FILES: Final = re.compile(r"AT_DATA\(\[([^\]]*)\], \[(.*?)\n?\]\)\n", re.DOTALL)
_CHECKS: Final = re.compile(r"AT_CHECK\(\[(.*?)\],\s*\[(\d+)\](?:,\s*\[(.*?)\](?:,\s*\[(.*?)\])?)?\)\n", re.DOTALL)


class CorpusMissing(Exception):
    """The archive could not be fetched, or is another one."""


@dataclass(frozen=True)
class Sample:
    """A program, with what it is to print and to end with."""

    number: int
    title: str
    source: bytes
    stdout: bytes
    exit_code: int


def fetch(cache: Path) -> Path:
    """The archive, from the cache or the Debian mirror that apt uses here; CorpusMissing if that has not that one."""
    place = cache / ARCHIVE
    if not place.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        part = place.with_suffix(f".{os.getpid()}.part")
        try:
            with urllib.request.urlopen(_address(), timeout=60) as answer, part.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except (OSError, subprocess.CalledProcessError, IndexError) as error:
            part.unlink(missing_ok=True)
            raise CorpusMissing(
                f"{ARCHIVE} cannot be fetched ({error}). Put it into {cache}: apt-get source --download-only gnucobol3"
            ) from None
        part.replace(place)
    if (found := hashlib.sha256(place.read_bytes()).hexdigest()) != SHA256:
        raise CorpusMissing(f"{place} is not the archive that it should be: its SHA-256 is {found}. Remove it")
    return place


def _address() -> str:
    """Where the archive lies: beside the package that is made of it."""
    told = subprocess.run(
        ["apt-get", "download", "--print-uris", "gnucobol3"], capture_output=True, text=True, check=True
    ).stdout
    return f"{told.split()[0].strip(chr(39)).rpartition('/')[0]}/{ARCHIVE}"


def samples(archive: Path) -> list[Sample]:
    """The tests that are made of one program, with what it prints; those in which nothing else is done."""
    found = list[Sample]()
    with tarfile.open(archive) as tar:
        members = sorted((one for one in tar.getmembers() if _TESTS.fullmatch(one.name)), key=lambda one: one.name)
        for member in members:
            if (file := tar.extractfile(member)) is not None:
                found += _samples(file.read().decode("latin-1"), len(found))
    return found


def _samples(text: str, before: int) -> Iterator[Sample]:
    for title, body in _TEST.findall(text):
        files, checks = _FILES.findall(body), _CHECKS.findall(body)
        if [name for name, _ in files] != ["prog.cob"] or len(checks) != 2:
            continue
        (compiling, _, _, _), (running, code, printed, _) = checks
        if compiling == "$COMPILE prog.cob" and running == "$COBCRUN_DIRECT ./prog" and printed:
            before += 1
            source, wanted = (_unquoted(part).encode("latin-1") for part in (files[0][1], printed))
            yield Sample(before, title, source, wanted, int(code))


def _unquoted(text: str) -> str:
    """The text without the quotation of brackets."""
    return text.replace("[[", "[").replace("]]", "]").replace("@<:@", "[").replace("@:>@", "]")
