"""Attempts to change what is the host's."""

from __future__ import annotations

import glob
import os
import socket
import struct

from means import World, did, opened, run, system, tried


def given_files(world: World) -> str | None:
    file, folder = f"{world['given']}/readme.txt", world["given"]
    return tried(
        write=lambda: open(file, "w"),
        update=lambda: open(file, "r+"),
        truncate=lambda: os.truncate(file, 0),
        mode=lambda: os.chmod(file, 0o777),
        times=lambda: os.utime(file, (0, 0)),
        rename=lambda: os.rename(file, f"{folder}/other.txt"),
        remove=lambda: os.unlink(file),
        create=lambda: open(f"{folder}/new.txt", "x"),
        attribute=lambda: os.setxattr(file, "user.x", b"1"),
    )


def files_of_the_project(world: World) -> str | None:
    return tried(
        write=lambda: open(f"{world['project']}/code.py", "a").write("# was here"),
        create=lambda: open(f"{world['project']}/new.py", "x"),
    )


def the_system(world: World) -> str | None:
    places = ["/usr/bin", "/usr/local/bin", "/etc", "/bin", "/lib", "/opt", "/var", "/srv", "/"]
    return opened([f"{place}/signoff-canary-{world['mark']}" for place in places], os.O_CREAT | os.O_WRONLY)


def a_folder_swapped_for_a_link(world: World) -> None:
    os.unlink("folder/note.txt")
    os.rmdir("folder")
    os.symlink(world["outside"], "folder")
    os.makedirs("other")
    os.symlink("../.." + world["outside"], "other/up")
    os.symlink("other/up/../..", "far")
    os.chdir("other")
    for name in ("note.txt", "new.txt"):
        try:
            with open(f"../folder/{name}", "w") as file:
                file.write("out")
        except OSError as error:
            print(error.strerror)


def special_files_left_behind(world: World) -> None:
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    with open("program", "w") as file:
        file.write("#!/bin/sh\nid\n")
    print(tried(setuid=lambda: os.chmod("program", 0o6755)))
    os.makedirs("locked/below")
    os.chmod("locked", 0)
    os.truncate(os.open("sparse", os.O_CREAT | os.O_WRONLY), 10 << 30)


def hostile_names_left_behind(world: World) -> None:
    names = [b"-rf", b"new\nline", b"\x1b]0;title\x07", b"\xff\xfe", b"x" * 255, b"..x", b" ", "\u202egpj".encode()]
    for name in names:
        open(name, "w").close()


def settings_of_the_kernel(world: World) -> str | None:
    kernel = [f"/proc/sys/kernel/{name}" for name in ("core_pattern", "modprobe", "hostname", "sysrq", "panic")]
    more = ["/proc/sys/vm/drop_caches", "/proc/sys/fs/binfmt_misc/register", "/proc/sysrq-trigger", "/proc/mtrr"]
    return opened([*kernel, *more, "/sys/kernel/uevent_helper", "/sys/power/state", "/proc/bus/pci"], os.O_WRONLY)


def control_groups(world: World) -> str | None:
    found = [*glob.glob("/sys/fs/cgroup/*/cgroup.procs"), *glob.glob("/sys/fs/cgroup/*/release_agent")]
    return opened([*found, "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory.max"], os.O_WRONLY)


def name_of_the_host(world: World) -> str | None:
    return did("set the host's name", system(170, 161, b"escaped", 7))


def the_clock(world: World) -> str | None:
    return did("set the clock", system(227, 112, 0, struct.pack("ll", 0, 0)))


def the_next_victim_of_full_memory(world: World) -> str | None:
    return tried(score=lambda: open("/proc/self/oom_score_adj", "w", 1).write("-1000\n"))


if __name__ == "__main__":
    run(globals())
