"""What the models of the ready-made roles are told, which stands in prompts.toml."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path


def prompt(*names: str) -> str:
    """The prompts of these names, one after the other."""
    return " ".join(_prompts()[name] for name in names)


@cache
def _prompts() -> dict[str, str]:
    return tomllib.loads(Path(__file__).with_name("prompts.toml").read_text(encoding="utf-8"))
