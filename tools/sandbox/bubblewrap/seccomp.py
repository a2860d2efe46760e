"""The system calls that nothing in a sandbox makes: a filter for the kernel, in classic BPF."""

from __future__ import annotations

import errno
import platform
import struct
import tomllib
from pathlib import Path
from typing import Final

_LOAD, _EQUALS, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24
"""Where they stand in struct seccomp_data; of arguments the lower half, as these machines are little-endian."""
_X32: Final = 0x40000000

ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_LISTED = tomllib.loads((Path(__file__).parent / "denied_calls.toml").read_text("utf-8"))
DENIED: Final[dict[str, tuple[int | None, ...]]] = {name: (*numbers, None)[:2] for name, numbers in _LISTED.items()}
"""Calls and their numbers on x86_64 and on aarch64, which has none for some; they fail with EPERM."""

_SOCKET: Final = (41, 198)
_FAMILIES: Final = (1, 2, 10)
"""Families of sockets that may be made: AF_UNIX, AF_INET, AF_INET6; others lead to the kernel or the host of a VM."""
_IOCTL: Final = (16, 29)
_TYPED: Final = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX, which type into a terminal."""


def seccomp_filter(machine: str = "") -> bytes:
    """The filter for this kind of machine, as bwrap reads it; empty where the numbers are not known."""
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        return b""
    column = list(ARCHITECTURES).index(machine)
    denied = [numbers[column] for numbers in DENIED.values()]
    steps = [
        # Another architecture's calls have other numbers, so that nothing below would hold.
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUALS, ARCHITECTURES[machine], yes=1),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        *([_step(_AT_LEAST, _X32, no=1), _fail(errno.ENOSYS)] if machine == "x86_64" else []),
    ]
    for number in denied:
        if number is not None:
            steps += [_step(_EQUALS, number, no=1), _fail(errno.EPERM)]
    families = [_step(_EQUALS, family, yes=len(_FAMILIES) - at) for at, family in enumerate(_FAMILIES)]
    body = [_step(_LOAD, _FIRST), *families, _fail(errno.EAFNOSUPPORT), _step(_RETURN, _ALLOW)]
    steps += [_step(_EQUALS, _SOCKET[column], no=len(body)), *body]
    body = [_step(_LOAD, _SECOND)]
    for request in _TYPED:
        body += [_step(_EQUALS, request, no=1), _fail(errno.EPERM)]
    steps += [_step(_EQUALS, _IOCTL[column], no=len(body)), *body, _step(_RETURN, _ALLOW)]
    return b"".join(steps)


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """One instruction (struct sock_filter); `yes` and `no` are how many of the next ones are passed over."""
    return struct.pack("<HBBI", code, yes, no, value)


def _fail(number: int) -> bytes:
    return _step(_RETURN, _ERRNO | number)
