"""The standard streams of the process."""

from __future__ import annotations

import os
import sys


def open_closed_streams() -> None:
    """Give the standard streams that were closed before the start to nobody, so that writing to them does no harm."""
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115  # for the life of the process
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
