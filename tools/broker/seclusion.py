"""Seclusion: other processes of the same user cannot look into the memory of this one."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def seclude() -> None:
    """No core files, private new files, and on Linux no ptrace, /proc/PID/mem and environ for anybody but root."""
    os.umask(0o077)
    if os.name == "posix":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
