"""How much the processes of a sandbox use, read from outside through the sandbox's own /proc."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_SHARED = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) ..-s ([0-9a-f]+) \S+ (\d+) +/dev/zero \(deleted\)", re.MULTILINE)
"""Memory that processes share and no file stands for; it stays even where none has it in use."""
_SOCKETS = re.compile(rb"^sockets: used (\d+)", re.MULTILINE)
_OF_A_SOCKET = 1 << 18
"""Bytes that the kernel keeps for one whose other end reads nothing, about."""
_PROPORTIONAL = re.compile(rb"^(?:Pss_Anon|SwapPss): +(\d+) kB", re.MULTILINE)

_MAPS = 1 << 20
"""Bytes of a list of maps that are read: that of a large program has a tenth of it."""
_TOO_MUCH = 1 << 60


@dataclass(frozen=True)
class Usage:
    """What they use now."""

    threads: int = 0
    memory: int = 0
    """Bytes that are their own, or kept for their sockets; files, also those in memory, have limits of their own."""


def measure(proc: int, enough: int) -> Usage:
    """Usage of all processes that an open /proc shows; counts memory exactly only if it may be more than `enough`."""
    numbers = [name for name in os.listdir(proc) if name.isdigit()]
    threads = own = 0
    for number in numbers:
        fields = _read(proc, f"{number}/stat").rpartition(b") ")[2].split()
        threads += int(fields[17]) if len(fields) > 17 else 0
        pages = _read(proc, f"{number}/statm").split()
        own += (int(pages[1]) - int(pages[2])) * _PAGE if len(pages) > 2 else 0
    if own > enough:
        # What a fork shares with its parent was counted for each of them.
        sizes = (_PROPORTIONAL.findall(_read(proc, f"{number}/smaps_rollup")) for number in numbers)
        own = sum(int(size) for found in sizes for size in found) * 1024
    sockets = sum(int(count) for count in _SOCKETS.findall(_read(proc, "1/net/sockstat")))
    kept = sum(_shared(proc, numbers).values()) + sockets * _OF_A_SOCKET
    return Usage(threads=threads, memory=own + kept)


def _shared(proc: int, numbers: list[str]) -> dict[bytes, int]:
    """Sizes of the pieces of shared memory, each once, up to the end of what is mapped."""
    pieces = dict[bytes, int]()
    for number in numbers:
        maps = _read(proc, f"{number}/maps", _MAPS)
        if len(maps) == _MAPS:  # so many that reading them all would keep the watch from looking
            pieces[number.encode()] = _TOO_MUCH
        for start, end, offset, piece in _SHARED.findall(maps):
            size = int(offset, 16) + int(end, 16) - int(start, 16)
            pieces[piece] = max(pieces.get(piece, 0), size)
    return pieces


def _read(proc: int, name: str, most: int = -1) -> bytes:
    """A file of /proc, or its first bytes; empty if its process is gone."""
    try:
        handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    except OSError:
        return b""
    try:
        with os.fdopen(handle, "rb") as file:
            return file.read(most)
    except OSError:
        return b""
