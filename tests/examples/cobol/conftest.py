"""The examples are no part of what is installed: their tests find them in the checkout."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3]))  # last, so that no folder at the top hides what is installed
