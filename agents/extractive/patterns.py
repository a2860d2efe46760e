"""The patterns of the extractive body, which stand in patterns.toml; read and compiled when first needed."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any


@cache
def pattern(name: str, table: str = "other") -> re.Pattern[str]:
    """A pattern of the file; in the tables `strong`, `weak` and `heading` its name is a kind of question."""
    return re.compile(_filled(pattern_tables()[table][name]), re.IGNORECASE)


@cache
def question_patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """What tells the kind of a question in small letters, in the order that counts."""
    return tuple((entry["kind"], re.compile(_filled(entry["pattern"]))) for entry in pattern_tables()["question"])


@cache
def pattern_tables() -> dict[str, Any]:
    """Everything that stands in patterns.toml."""
    return tomllib.loads(Path(__file__).with_name("patterns.toml").read_text(encoding="utf-8"))


def _filled(patterns: str | list[str]) -> str:
    """One pattern of these alternatives, with the parts put in that they name."""
    whole = _alternatives(patterns)
    for name, part in pattern_tables()["parts"].items():
        whole = whole.replace(f"{{{name}}}", _alternatives(part))
    return whole


def _alternatives(patterns: str | list[str]) -> str:
    return patterns if isinstance(patterns, str) else "|".join(patterns)
