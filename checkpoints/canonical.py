"""Canonical JSON and its digest: what an approval is bound to."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN. TypeError or ValueError if it is not JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def check_storable(value: Any) -> None:
    """Raise ValueError or TypeError unless every store keeps this as it is: JSON, UTF-8, integers of 64 bits."""
    canonical_json(value).encode("utf-8")
    _check_integers(value)


def readable_text(text: str) -> str:
    """The text with what cannot be written as UTF-8 written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _check_integers(value: Any) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise TypeError(f"the key {name!r} is not text")
            _check_integers(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_integers(inner)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"the number {value:.3e} does not fit into 64 bits")


def digest(value: Any) -> str:
    """Sha256 of the canonical JSON, 64 hex digits."""
    return digest_text(canonical_json(value))


def digest_text(text: str) -> str:
    """Sha256 of a text, 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
