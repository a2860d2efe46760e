"""Attempts to gain rights that nobody gave."""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import resource
import signal
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from means import World, did, run, system, tried


def becoming_root(world: World) -> str | None:
    return tried(user=lambda: os.setuid(0), group=lambda: os.setgid(0), groups=lambda: os.setgroups([0]))


def programs_of_root(world: World) -> str | None:
    found = [path for path in glob.glob("/usr/*bin/*") if os.stat(path).st_mode & stat.S_ISUID]
    print(found)
    as_root = {
        path: subprocess.run([path, *options], input="", capture_output=True, text=True, timeout=5).stdout
        for path, options in (("/usr/bin/su", ["-c", "id -u"]), ("/usr/bin/sudo", ["-n", "id", "-u"]))
        if path in found
    }
    return f"is root by {as_root}" if any(said.strip() == "0" for said in as_root.values()) else None


def a_program_made_root(world: World) -> str | None:
    with open("asroot", "wb") as made, open("/usr/bin/env", "rb") as env:
        made.write(env.read())
    os.chmod("asroot", 0o6755)
    said = subprocess.run(["./asroot", "id", "-u"], capture_output=True, text=True).stdout.strip()
    return "it ran as root" if said == "0" else print(said)


def capabilities(world: World) -> str | None:
    with open("/proc/self/status") as file:
        found = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    held = [name for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb") if int(found[name], 16)]
    return f"has {held}" if held or found["NoNewPrivs"].strip() != "1" else None


def mounts(world: World) -> str | None:
    return did("mounted", system(165, 40, b"none", world["work"].encode(), b"tmpfs", 0, 0))


def mounts_in_the_new_way(world: World) -> str | None:
    return did("opened a file system", system(430, 430, b"tmpfs", 0)) or did(
        "opened a tree", system(428, 428, -100, b"/", 1)
    )


def given_files_mounted_anew(world: World) -> str | None:
    return did("remounted", system(165, 40, None, world["given"].encode(), None, 0x1020, 0)) or did(
        "unmounted", system(166, 39, world["given"].encode(), 2)
    )


def a_user_namespace(world: World) -> str | None:
    return did("unshare", system(272, 97, 0x10000000))


def other_namespaces(world: World) -> str | None:
    flags = {"mount": 0x20000, "net": 0x40000000, "pid": 0x20000000, "uts": 0x04000000, "ipc": 0x08000000}
    return next((got for name, flag in flags.items() if (got := did(name, system(272, 97, flag)))), None)


def a_namespace_by_clone(world: World) -> str | None:
    child = system(56, 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    return did("clone", child)


def a_namespace_by_the_new_clone(world: World) -> str | None:
    child = system(435, 435, struct.pack("8Q", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0), 64)
    if child == 0:
        os._exit(0)
    return did("clone3", child)


def another_root(world: World) -> str | None:
    return tried(chroot=lambda: os.chroot(world["work"])) or did("pivot", system(155, 41, b".", b"."))


def devices(world: World) -> str | None:
    def make(kind: int, number: int) -> None:
        os.mknod(f"device-{number}", kind | 0o666, number)
        os.open(f"device-{number}", os.O_RDONLY | os.O_NONBLOCK)

    return tried(
        memory=lambda: make(stat.S_IFCHR, os.makedev(1, 1)), disk=lambda: make(stat.S_IFBLK, os.makedev(254, 0))
    )


def higher_limits(world: World) -> str | None:
    names = ("RLIMIT_NPROC", "RLIMIT_FSIZE", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_NOFILE")

    def lift(name: str) -> Callable[[], None]:
        number = getattr(resource, name)
        most = resource.getrlimit(number)[1]
        if most == resource.RLIM_INFINITY:
            return lambda: None  # there is no limit to begin with
        return lambda: resource.setrlimit(number, (most + 1, most + 1))

    return tried(**{name: lift(name) for name in names})


def a_higher_priority(world: World) -> str | None:
    return tried(
        nice=lambda: os.setpriority(os.PRIO_PROCESS, 0, -10),
        realtime=lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    )


def modules_of_the_kernel(world: World) -> str | None:
    return did("loaded", system(175, 105, b"", 0, b"")) or (
        None if system(313, 273, 0, b"", 0) in (-errno.EPERM, -errno.ENOSYS) else "finit_module was let through"
    )


def programs_in_the_kernel(world: World) -> str | None:
    return did("made a map", system(321, 280, 0, struct.pack("5I", 2, 4, 4, 1, 0) + bytes(100), 120))


def counters_of_the_kernel(world: World) -> str | None:
    return did("perf", system(298, 241, struct.pack("IIQ", 1, 120, 0) + bytes(104), 0, -1, -1, 0))


def faults_of_memory(world: World) -> str | None:
    return did("userfaultfd", system(323, 282, 0))


def rings_of_the_kernel(world: World) -> str | None:
    return did("io_uring", system(425, 425, 4, ctypes.create_string_buffer(120)))


def words_typed_into_the_terminal(world: World) -> str | None:
    import fcntl

    def type_in(number: int) -> Callable[[], Any]:
        return lambda: fcntl.ioctl(number, 0x5412, b"x")

    steps = {f"fd {number}": type_in(number) for number in range(3)}
    return tried(**steps, tty=lambda: open("/dev/tty", "w"))


def escapes_for_the_terminal(world: World) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x1b[31m\x1b]52;c;ZXZpbA==\x07\x9b5n\x1bP$q\x1b\\\x07\x08\r\u202etxt\x00"
    for stream in (sys.stdout, sys.stderr):
        stream.buffer.write(evil.encode("utf-8", "surrogateescape") + b"\xff\xfe\n\x1b[\n")
        stream.flush()


if __name__ == "__main__":
    run(globals())
