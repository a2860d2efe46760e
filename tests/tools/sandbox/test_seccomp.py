from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from signoff.tools.sandbox.bubblewrap.seccomp import ARCHITECTURES, DENIED, ERRORS, seccomp_filter

ALLOWED, KILLED, DONE, EPERM, ENOSYS, EAFNOSUPPORT = 0x7FFF0000, 0x80000000, 0x50000, 0x50001, 0x50026, 0x50061
EPROTONOSUPPORT = 0x5005D

CALLS = {
    "x86_64": {"read": 0, "socket": 41, "ioctl": 16, "fcntl": 72, "setsockopt": 54},
    "aarch64": {"read": 63, "socket": 198, "ioctl": 29, "fcntl": 25, "setsockopt": 208},
}
HEADERS = {
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "aarch64": "/usr/include/asm-generic/unistd.h",
}


def answer(machine: str, number: int, *arguments: int, architecture: int = 0) -> int:
    """What the kernel would do with this call: the filter, run as it runs it."""
    program = [struct.unpack("<HBBI", step) for step in re.findall(b".{8}", seccomp_filter(machine), re.DOTALL)]
    values = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, architecture or ARCHITECTURES[machine], 0, *values)
    at = loaded = 0
    while True:
        code, yes, no, value = program[at]
        at += 1
        if code == 0x06:
            return int(value)
        if code == 0x20:
            (loaded,) = struct.unpack_from("<I", data, value)
        else:
            at += yes if {0x15: loaded == value, 0x35: loaded >= value}[code] else no


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_what_is_denied_fails_and_what_is_not_goes_through(machine: str) -> None:
    column = list(ARCHITECTURES).index(machine)
    numbers = {name: pair[column] for name, pair in DENIED.items() if pair[column] is not None}
    told = {name: 0x50000 | ERRORS[name] for name in numbers}
    assert {name: answer(machine, number or 0) for name, number in numbers.items()} == told
    others = set(range(600)) - set(numbers.values()) - {CALLS[machine]["socket"]}
    assert {answer(machine, number) for number in others} == {ALLOWED}


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_only_these_families_of_sockets_are_made(machine: str) -> None:
    families = {family for family in range(60) if answer(machine, CALLS[machine]["socket"], family) == ALLOWED}
    assert families == {1, 2, 10}
    assert answer(machine, CALLS[machine]["socket"], 16) == EAFNOSUPPORT


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_only_protocols_are_spoken_whose_buffers_are_counted(machine: str) -> None:
    protocols = {number for number in range(300) if answer(machine, CALLS[machine]["socket"], 2, 1, number) == ALLOWED}
    assert protocols == {0, 1, 6, 17, 58}
    assert answer(machine, CALLS[machine]["socket"], 10, 1, 262) == EPROTONOSUPPORT  # MPTCP


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_no_buffer_is_enlarged(machine: str) -> None:
    number = CALLS[machine]["setsockopt"]
    changed = {option: answer(machine, number, 5, 1, option) for option in range(100)}
    assert {option for option, told in changed.items() if told == DONE} == {7, 8, 32, 33}
    assert {option for option, told in changed.items() if told == EPERM} == {26, 50, 51, 52}
    assert {answer(machine, number, 5, level, 7) for level in (0, 6, 17)} == {ALLOWED}
    assert answer(machine, CALLS[machine]["fcntl"], 5, 1031) == EPERM
    assert answer(machine, CALLS[machine]["fcntl"], 5, 1032) == ALLOWED


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_nothing_is_typed_into_a_terminal(machine: str) -> None:
    ioctl = CALLS[machine]["ioctl"]
    assert answer(machine, ioctl, 0, 0x5412) == answer(machine, ioctl, 0, (1 << 32) | 0x5412) == EPERM
    assert answer(machine, ioctl, 0, 0x541C) == EPERM
    assert answer(machine, ioctl, 0, 0x5401) == ALLOWED


def test_calls_in_the_numbers_of_another_architecture_end_the_process() -> None:
    for machine, other in (("x86_64", "aarch64"), ("aarch64", "x86_64")):
        assert answer(machine, CALLS[machine]["read"], architecture=ARCHITECTURES[other]) == KILLED
    assert answer("x86_64", 101, architecture=0x40000003) == KILLED  # i386
    assert answer("x86_64", 0x40000000 | 101) == ENOSYS  # x32


def test_elsewhere_there_is_none() -> None:
    assert seccomp_filter("riscv64") == b""


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_numbers_are_those_of_the_kernel(machine: str) -> None:
    header = Path(HEADERS[machine])
    if not header.exists():
        pytest.skip(f"the headers of the kernel for {machine} are not installed")
    known = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text()))
    column = list(ARCHITECTURES).index(machine)
    ours = {name: pair[column] for name, pair in DENIED.items()}
    assert {name: int(known[name]) for name in ours if name in known} == {
        name: number for name, number in ours.items() if name in known
    }
    assert {name for name, number in ours.items() if name not in known and number is not None} <= {"open_tree_attr"}
