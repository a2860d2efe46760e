"""Attempts to use up what the host has, and to live on. Never run these without a sandbox."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time

from means import World, run

MB = 1 << 20
HOUR = 3600


def touch_pages(megabytes: int) -> bytearray:
    taken = bytearray(megabytes * MB)
    for place in range(0, len(taken), 4096):
        taken[place] = 1
    return taken


def fill(folder: str, megabytes: int) -> int:
    """Megabytes that could be written, in files of one each."""
    for number in range(megabytes):
        try:
            with open(f"{folder}/fill-{number}", "wb") as file:
                file.write(os.urandom(4096) * (MB // 4096))
        except OSError as error:
            print(folder, error.strerror)
            return number
    return megabytes


def many_processes(world: World) -> str | None:
    made = 0
    for _ in range(world["processes"] * 4):
        try:
            child = os.fork()
        except OSError as error:
            print("after", made, error.strerror)
            break
        if child == 0:
            time.sleep(HOUR)
        made += 1
    time.sleep(0.5)
    return f"has {made} processes" if made >= world["processes"] else None


def processes_that_make_processes(world: World) -> None:
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)


def many_threads(world: World) -> str | None:
    made = 0
    for _ in range(world["processes"] * 4):
        threading.Thread(target=time.sleep, args=(HOUR,), daemon=True).start()
        made += 1
    time.sleep(0.5)
    return f"has {made} threads"


def much_memory(world: World) -> str:
    taken = touch_pages(world["memory_mb"] * 2)
    return f"has {len(taken)} bytes"


def much_memory_by_many(world: World) -> str | None:
    """Each takes a part that it may have; together it is three times what all may have."""
    children = []
    for _ in range(12):
        child = os.fork()
        if child == 0:
            taken = touch_pages(world["memory_mb"] // 4)
            time.sleep(3)
            os._exit(0 if taken else 1)
        children.append(child)
    codes = [os.waitpid(child, 0)[1] for child in children]
    return "all of them had it" if not any(codes) else None


def memory_without_a_file(world: World) -> str | None:
    """Memory that counts as files: a limit on address space does not see it."""
    taken = 0
    handles = []
    for number in range(12):
        try:
            handle = os.memfd_create(f"fill-{number}")
            handles.append(handle)
            for _ in range(world["memory_mb"] // 4):
                os.write(handle, b"x" * MB)
                taken += 1
        except OSError as error:
            print(error.strerror)
            break
    return f"has {taken} MB" if taken > world["memory_mb"] else None


def files_in_memory(world: World) -> str | None:
    taken = fill("/tmp", world["memory_mb"] * 2) + fill("/dev/shm", world["memory_mb"] * 2)
    return f"has {taken} MB" if taken > world["memory_mb"] else None


def a_full_workspace(world: World) -> None:
    fill(world["work"], world["disk_mb"] * 3)


def one_large_file(world: World) -> None:
    with open("large", "wb") as file:
        for _ in range(world["disk_mb"] * 3):
            file.write(b"x" * MB)


def a_sparse_file(world: World) -> None:
    for number in range(100):
        with open(f"sparse-{number}", "wb") as file:
            file.truncate(1 << 40)


def many_files(world: World) -> None:
    for number in range(world["files"] * 3):
        open(f"empty-{number}", "w").close()


def deep_folders(world: World) -> None:
    for _ in range(3000):
        os.mkdir("d" * 100)
        os.chdir("d" * 100)


def endless_output(world: World) -> None:
    while True:
        os.write(1, b"y\n" * 32_768)


def endless_errors(world: World) -> None:
    while True:
        os.write(2, b"y" * 65_536)


def slow_output_without_end(world: World) -> None:
    while True:
        os.write(1, b"\x1b[31m")
        os.write(2, b".")


def endless_loop(world: World) -> None:
    while True:
        pass


def endless_sleep(world: World) -> None:
    time.sleep(HOUR)


def deafness(world: World) -> None:
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(number, signal.SIG_IGN)
    while True:
        signal.pause()


def a_standstill(world: World) -> None:
    """The whole group stops; nobody is left who could end."""
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    os.kill(0, signal.SIGSTOP)
    time.sleep(HOUR)


def a_daemon(world: World) -> None:
    """Two forks and a session of its own, as daemons do it; it writes for as long as it lives."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            for number in range(3):
                os.close(number)
            while True:
                with open(f"{world['work']}/alive", "a") as file:
                    file.write(".")
                time.sleep(0.01)
        os._exit(0)
    time.sleep(0.1)


def a_child_that_holds_the_output(world: World) -> None:
    """Who waits for the end of the output waits for the child."""
    subprocess.Popen(["sh", "-c", f"trap '' HUP TERM; sleep {HOUR}"], start_new_session=True)


def children_of_nohup(world: World) -> None:
    os.system(f"nohup sleep {HOUR} >/dev/null 2>&1 & (sleep {HOUR} &) ; setsid sleep {HOUR} >/dev/null 2>&1 &")


def the_end_of_all_processes(world: World) -> None:
    os.kill(-1, signal.SIGKILL)


def a_core_dump(world: World) -> None:
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    os.abort()


if __name__ == "__main__":
    run(globals())
