"""The system calls that nothing in a sandbox makes: a filter for the kernel, in classic BPF."""

from __future__ import annotations

import errno
import platform
import struct
from typing import Final

_LOAD, _EQUALS, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24
"""Where they stand in struct seccomp_data; of arguments the lower half, as these machines are little-endian."""
_X32: Final = 0x40000000

ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

DENIED: Final = {
    # Into other processes and the kernel
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "process_madvise": (440, 440), "pidfd_getfd": (438, 438), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "syslog": (103, 116),
    # Keys of the user
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # Mounts and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "move_mount": (429, 429),
    "open_tree": (428, 428), "open_tree_attr": (467, 467), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "setns": (308, 268),
    "unshare": (272, 97), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    # The machine
    "acct": (163, 89), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "vhangup": (153, 58),
    "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "iopl": (172, None), "ioperm": (173, None),
    "modify_ldt": (154, None), "uselib": (134, None), "sysfs": (139, None),
    # Memory that no process shows as its own, and where memory lies
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186),
    "mbind": (237, 235), "set_mempolicy": (238, 237), "migrate_pages": (256, 238), "move_pages": (279, 239),
}  # fmt: skip
"""Calls and their numbers on x86_64 and on aarch64, which has no number for some; they fail with EPERM."""

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
