"""Attempts to read what the host knows."""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import struct
import sys

from means import World, did, libc, opened, read_all, run, system


def own_environment(world: World) -> None:
    print(dict(os.environ))


def environment_of_every_process(world: World) -> None:
    read_all(glob.glob("/proc/[0-9]*/environ"))


def environment_of_the_first_process(world: World) -> None:
    read_all(["/proc/1/environ", "/proc/1/task/1/environ", "/proc/1/cmdline", "/proc/self/../1/environ"])


def arguments_of_every_process(world: World) -> None:
    read_all(glob.glob("/proc/[0-9]*/cmdline"))


def roots_of_every_process(world: World) -> None:
    read_all(f"{root}{world['secret']}" for root in glob.glob("/proc/[0-9]*/root"))


def folders_of_every_process(world: World) -> None:
    read_all(glob.glob("/proc/[0-9]*/cwd/secret.txt"))


def files_of_every_process(world: World) -> None:
    links = [link for link in glob.glob("/proc/[0-9]*/fd/*") if link.split("/")[2] not in ("self", str(os.getpid()))]
    read_all(link for link in links if os.path.isfile(link))


def inherited_files(world: World) -> None:
    for number in range(3, 1024):
        try:
            os.lseek(number, 0, os.SEEK_SET)
            print(number, os.read(number, 100_000))
        except OSError as error:
            if error.errno != errno.EBADF:
                print(number, error.strerror)


def a_file_by_its_path(world: World) -> None:
    read_all([world["secret"], world["key"]])


def a_file_by_way_of_the_workspace(world: World) -> None:
    up = "../" * 40
    read_all([f"{folder}/{up}{world['secret']}" for folder in (world["work"], world["given"], "/proc/self/cwd", ".")])
    read_all([f"{world['given']}/../secret.txt", f"{world['work']}/../secret.txt"])


def a_symlink_to_a_file(world: World) -> None:
    os.symlink(world["secret"], "link.txt")
    os.symlink("/", "everything")
    read_all(["link.txt", f"everything/{world['secret']}"])


def a_symlink_that_the_workspace_had(world: World) -> None:
    read_all(["was-there.txt", "folder-was-there/secret.txt"])


def a_hard_link_to_a_file(world: World) -> str | None:
    for number, source in enumerate((world["secret"], f"{world['given']}/readme.txt", "/etc/passwd")):
        try:
            os.link(source, f"hard-{number}.txt")
            read_all([f"hard-{number}.txt"])
            return f"linked {source}"
        except OSError as error:
            print(source, error.strerror)
    return None


def passwords(world: World) -> str | None:
    return opened(["/etc/shadow", "/etc/gshadow", "/etc/sudoers"], os.O_RDONLY)


def homes(world: World) -> str | None:
    for home in ("/root", os.path.expanduser("~root"), world["home"]):
        try:
            # The way to this Python may lead through a home; what else is there is not shown.
            found = [name for name in os.listdir(home) if not sys.base_prefix.startswith(f"{home}/{name}/")]
        except OSError as error:
            print(home, error.strerror)
            continue
        if found:
            return f"{home}: {found}"
    return None


def the_project(world: World) -> str | None:
    try:
        return f"listed {os.listdir(world['project'])}"
    except OSError as error:
        return print(error.strerror)


def shared_memory_by_name(world: World) -> None:
    read_all([f"/dev/shm/{world['memory']}"])


def shared_memory_by_key(world: World) -> None:
    libc.shmat.restype = ctypes.c_void_p
    number = system(29, 194, world["memory_key"], 0, 0)
    place = libc.shmat(number, None, 0) if number >= 0 else None
    print(ctypes.string_at(place, 64) if place not in (None, 2**64 - 1) else "none")


def memory_of_the_kernel(world: World) -> str | None:
    return opened(["/proc/kcore", "/dev/mem", "/dev/kmem", "/dev/port", "/proc/kmsg", "/dev/kmsg"], os.O_RDONLY)


def disks_and_devices(world: World) -> str | None:
    block = ["/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/xvda", "/dev/loop0", "/dev/root"]
    return opened([*block, "/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/console", "/dev/tty0"], os.O_RDWR)


def log_of_the_kernel(world: World) -> str | None:
    return did("read the kernel's log", system(103, 116, 3, ctypes.create_string_buffer(4096), 4096))


def memory_of_a_process(world: World) -> str | None:
    piece = ctypes.create_string_buffer(8)
    try:
        with open(f"/proc/{world['pid']}/maps") as file:
            start = int(file.read().split("-")[0], 16)
    except OSError:
        start = 0x400000
    local = struct.pack("PN", ctypes.addressof(piece), 8)
    return did("read its memory", system(310, 270, world["pid"], local, 1, struct.pack("PN", start, 8), 1, 0))


def a_process_under_our_control(world: World) -> str | None:
    return did("attached to it", system(101, 117, 0x4206, world["pid"], 0, 0))


def a_file_of_a_process(world: World) -> str | None:
    handle = system(434, 434, world["pid"], 0)
    return did("took its file", system(438, 438, handle, 1, 0)) if handle >= 0 else did("pidfd_open", handle)


def files_by_their_handle(world: World) -> str | None:
    handle, mount = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128)), ctypes.c_int()
    got = system(303, 264, -100, b"/", handle, ctypes.byref(mount), 0)
    if got < 0:
        return did("name_to_handle_at", got)
    root = os.open("/", os.O_RDONLY)
    return did("open_by_handle_at", system(304, 265, root, handle, os.O_RDONLY))


def keys(world: World) -> str | None:
    return did("added a key", system(248, 217, b"user", b"signoff-canary", b"x", 1, -4))


if __name__ == "__main__":
    run(globals())
