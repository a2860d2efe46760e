"""What the files here look for in texts: regular expressions, which lie as data beside the code."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any


@cache
def read_patterns(kind: str) -> dict[str, Any]:
    """The tables of one of the files here."""
    return tomllib.loads(Path(__file__).with_name(f"{kind}_patterns.toml").read_text(encoding="utf-8"))


@cache
def pattern(table: str, name: str) -> re.Pattern[str]:
    """One of text_patterns.toml, compiled when first needed."""
    return re.compile("".join(read_patterns("text")[table][name]))
