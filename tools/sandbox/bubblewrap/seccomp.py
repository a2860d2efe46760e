"""The system calls that nothing in a sandbox makes: a filter for the kernel, in classic BPF."""

from __future__ import annotations

import errno
import platform
import struct
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_LOAD, _EQUALS, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND, _THIRD = 0, 4, 16, 24, 32
"""Where they stand in struct seccomp_data; of arguments the lower half, as these machines are little-endian."""
_X32: Final = 0x40000000

ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_LISTED: Final = tomllib.loads((Path(__file__).parent / "denied_calls.toml").read_text("utf-8"))
DENIED: Final[dict[str, tuple[int | None, ...]]] = {
    name: (*numbers, None)[:2] for calls in _LISTED.values() for name, numbers in calls.items()
}
"""Calls and their numbers on x86_64 and on aarch64, which has none for some."""
ERRORS: Final = {name: int(getattr(errno, error)) for error, calls in _LISTED.items() for name in calls}
"""What these calls fail with."""

_SOCKET: Final = (41, 198)
_FAMILIES: Final = (1, 2, 10)
"""Families of sockets that may be made: AF_UNIX, AF_INET, AF_INET6; others lead to the kernel or the host of a VM."""
_PROTOCOLS: Final = (0, 1, 6, 17, 58)
"""Theirs: the usual one, ICMP, TCP, UDP, ICMPv6; what others, such as MPTCP, keep for a socket is shown nowhere."""
_IOCTL: Final = (16, 29)
_TYPED: Final = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX, which type into a terminal."""
_FCNTL: Final = (72, 25)
_PIPE_SIZE: Final = (1031,)
"""F_SETPIPE_SZ."""
_SETSOCKOPT: Final = (54, 208)
_SOL_SOCKET: Final = 1
_FILTERS: Final = (26, 50, 51, 52)
"""SO_ATTACH_FILTER and its like: programs for the kernel."""
_BUFFERS: Final = (7, 8, 32, 33)
"""SO_SNDBUF, SO_RCVBUF and their FORCE: wishes, which a kernel may grant in part. They are taken, and not granted."""


def seccomp_filter(machine: str = "") -> bytes:
    """The filter for this kind of machine, as bwrap reads it; empty where the numbers are not known."""
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        return b""
    column = list(ARCHITECTURES).index(machine)
    steps = [
        # Another architecture's calls have other numbers, so that nothing below would hold.
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUALS, ARCHITECTURES[machine], yes=1),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        *([_step(_AT_LEAST, _X32, no=1), _fail(errno.ENOSYS)] if machine == "x86_64" else []),
    ]
    for name, numbers in DENIED.items():
        number = numbers[column]
        if number is not None:
            steps += [_step(_EQUALS, number, no=1), _fail(ERRORS[name])]
    options = [*_if_one_of(_THIRD, _FILTERS, errno.EPERM), *_if_one_of(_THIRD, _BUFFERS, 0)]
    at_socket = [_step(_LOAD, _SECOND), _step(_EQUALS, _SOL_SOCKET, no=len(options)), *options]
    made = _unless_one_of(_FIRST, _FAMILIES, errno.EAFNOSUPPORT)
    made += _unless_one_of(_THIRD, _PROTOCOLS, errno.EPROTONOSUPPORT)
    for call, body in (
        (_SOCKET, made),
        (_SETSOCKOPT, at_socket),
        (_IOCTL, _if_one_of(_SECOND, _TYPED, errno.EPERM)),
        (_FCNTL, _if_one_of(_SECOND, _PIPE_SIZE, errno.EPERM)),
    ):
        steps += [_step(_EQUALS, call[column], no=len(body) + 1), *body, _step(_RETURN, _ALLOW)]
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def _if_one_of(argument: int, values: Sequence[int], error: int) -> list[bytes]:
    """Fail if the argument is one of these; 0 is no error: the call does nothing, and says that it did."""
    return [_step(_LOAD, argument), *(part for value in values for part in (_step(_EQUALS, value, no=1), _fail(error)))]


def _unless_one_of(argument: int, values: Sequence[int], error: int) -> list[bytes]:
    found = [_step(_EQUALS, value, yes=len(values) - at) for at, value in enumerate(values)]
    return [_step(_LOAD, argument), *found, _fail(error)]


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """One instruction (struct sock_filter); `yes` and `no` are how many of the next ones are passed over."""
    return struct.pack("<HBBI", code, yes, no, value)


def _fail(number: int) -> bytes:
    return _step(_RETURN, _ERRNO | number)
