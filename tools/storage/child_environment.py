"""The environment of the programs that tools start: what a program needs to run, and nothing that may be a secret."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from typing import Final

from signoff.checkpoints import covers

_NEEDED: Final = frozenset(
    # People and places.
    "PATH HOME USER LOGNAME SHELL TMPDIR TEMP TMP TZ TERM NO_COLOR LANG LANGUAGE XDG_RUNTIME_DIR XDG_CONFIG_HOME "
    # Certificates that the user trusts.
    "SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS "
    # Without these no program starts on Windows.
    "SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT USERPROFILE HOMEDRIVE HOMEPATH APPDATA LOCALAPPDATA PROGRAMDATA "
    "PROGRAMFILES USERNAME NUMBER_OF_PROCESSORS PROCESSOR_ARCHITECTURE".split()
)


def clean_environment(**more: str) -> dict[str, str]:
    """The environment for a program: the few variables that programs need, and `more`, which is taken as it is."""
    return {name: value for name, value in os.environ.items() if is_harmless(name)} | more


def is_harmless(name: str) -> bool:
    """Whether a variable of this name is handed on: it is on the list, and does not sound like a secret."""
    upper = name.upper()
    return (upper in _NEEDED or upper.startswith("LC_")) and covers(name) == "nothing"


def forget_variables(names: Iterable[str]) -> None:
    """Take variables out of this process: from `os.environ`, and from what /proc/PID/environ shows of its start."""
    for name in [name for name in names if name in os.environ]:
        if os.name == "posix":
            getenv = ctypes.CDLL(None).getenv
            getenv.argtypes, getenv.restype = [ctypes.c_char_p], ctypes.c_void_p
            place = getenv(os.fsencode(name))
            if place:  # unsetenv would only lose the pointer to it
                ctypes.memset(place, 0, len(os.fsencode(os.environ[name])))
                _erase_at_start(name)
        del os.environ[name]


def _erase_at_start(name: str) -> None:
    """The same where the variable was set anew: then the value of the start is not the one that `getenv` finds."""
    if sys.platform != "linux":
        return
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            after_name = file.read().rpartition(")")[2].split()
        start, end = (int(after_name[field - 3]) for field in (50, 51))  # env_start and env_end of proc(5)
    except (OSError, IndexError):
        return  # without /proc nobody sees it there
    place = start
    for entry in ctypes.string_at(start, end - start).split(b"\0") if end > start else ():
        if entry.startswith(os.fsencode(name) + b"="):
            ctypes.memset(place, 0, len(entry))
        place += len(entry) + 1
