"""The version of signoff, as pyproject.toml says it too."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.2.0"
