"""How severe a vulnerability is: the base score of its CVSS vector, or what a word stands for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

_WORDS: Final = {"LOW": 3.0, "MODERATE": 5.5, "MEDIUM": 5.5, "HIGH": 8.0, "CRITICAL": 9.5}
"""The middle of what CVSS calls so."""
_WEIGHTS: Final[Mapping[str, Mapping[str, float]]] = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_PRIVILEGES: Final = {"U": {"N": 0.85, "L": 0.62, "H": 0.27}, "C": {"N": 0.85, "L": 0.68, "H": 0.5}}


def severity_of(severity: Sequence[Mapping[str, str]], specific: Mapping[str, Any] | None) -> float | None:
    """The highest score that is told, 0 to 10; None if none is."""
    scores = [score for one in severity if (score := base_score(one.get("score", ""))) is not None]
    word = str((specific or {}).get("severity", "")).upper()
    return max(scores) if scores else _WORDS.get(word)


def base_score(vector: str) -> float | None:
    """Of a vector of CVSS 3; None for any other. Formulas: https://www.first.org/cvss/v3.1/specification-document"""
    if not vector.startswith("CVSS:3"):
        return None
    told = dict(part.partition(":")[::2] for part in vector.split("/")[1:])
    try:
        weights = {name: known[told[name]] for name, known in _WEIGHTS.items()}
        changed = {"U": False, "C": True}[told["S"]]
        privileges = _PRIVILEGES[told["S"]][told["PR"]]
    except KeyError:
        return None
    lost = 1 - (1 - weights["C"]) * (1 - weights["I"]) * (1 - weights["A"])
    impact = 7.52 * (lost - 0.029) - 3.25 * (lost - 0.02) ** 15 if changed else 6.42 * lost
    if impact <= 0:
        return 0.0
    ease = 8.22 * weights["AV"] * weights["AC"] * privileges * weights["UI"]
    return _rounded_up(min((1.08 if changed else 1.0) * (impact + ease), 10.0))


def _rounded_up(score: float) -> float:
    """To one decimal, without what floating numbers add."""
    whole = round(score * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (math.floor(whole / 10_000) + 1) / 10


def in_words(score: float | None) -> str:
    """As CVSS calls it."""
    if score is None:
        return "unknown severity"
    names = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.1, "low"), (0.0, "none"))
    return f"{next(name for least, name in names if score >= least)} ({score:g})"
