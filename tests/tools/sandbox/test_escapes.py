"""Attempts to get out of every sandbox that there is here; `inside/` has what runs inside, this what the host sees."""

from __future__ import annotations

import ast
import contextlib
import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from signoff.tools.sandbox.bubblewrap.backend import Bubblewrap
from signoff.tools.sandbox.containers import Containers
from signoff.tools.sandbox.sandbox import Backend, Finished, Job, SandboxLimits
from signoff.tools.storage.confined_folder import ConfinedFolder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the attempts are made on Linux")

INSIDE = Path(__file__).parent / "inside"
LIMITS = SandboxLimits(seconds=20, memory_mb=192, processes=24, output_bytes=100_000, disk_mb=16, files=400)
BRIEF = SandboxLimits(seconds=2, memory_mb=192, processes=24, output_bytes=100_000, disk_mb=16, files=400)
MB = 1 << 20
libc = ctypes.CDLL(None, use_errno=True)


def attempts_in(file: str) -> list[str]:
    """Names of the functions of a file that are told of the world."""
    tree = ast.parse((INSIDE / f"{file}.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [function.name for function in functions if [arg.arg for arg in function.args.args] == ["world"]]


ESCAPES = [(file, name) for file in ("knowing", "reaching", "changing", "gaining") for name in attempts_in(file)]

ENDS: dict[str, set[str]] = {
    "many_processes": {"exit", "processes"},
    "processes_that_make_processes": {"time", "processes"},
    "many_threads": {"exit", "processes"},
    "much_memory": {"exit", "memory", "signal"},
    "much_memory_by_many": {"exit", "memory", "signal"},
    "memory_without_a_file": {"exit", "memory", "signal"},
    "files_in_memory": {"exit", "memory", "disk"},
    "a_full_workspace": {"exit", "disk"},
    "one_large_file": {"exit", "disk", "signal"},
    "a_sparse_file": {"exit", "disk", "signal"},
    "many_files": {"exit", "disk"},
    "deep_folders": {"exit", "disk"},
    "endless_output": {"output"},
    "endless_errors": {"output"},
    "slow_output_without_end": {"output", "time"},
    "endless_loop": {"time"},
    "endless_sleep": {"time"},
    "deafness": {"time"},
    "a_standstill": {"time"},
    "a_daemon": {"exit"},
    "a_child_that_holds_the_output": {"exit"},
    "children_of_nohup": {"exit"},
    "the_end_of_all_processes": {"exit"},
    "a_core_dump": {"signal"},
}
"""How what uses the host up may end, as the agent is told."""

RINGS = "profiles of older engines let programs make rings; nothing is reached by them"
NAMESPACES = "the profile of Podman lets programs make user namespaces, which give no rights outside of themselves"
KNOWN = {
    ("docker", "rings_of_the_kernel"): RINGS,
    ("podman", "rings_of_the_kernel"): RINGS,
    ("podman", "a_user_namespace"): NAMESPACES,
    ("podman", "a_namespace_by_clone"): NAMESPACES,
    ("podman", "a_namespace_by_the_new_clone"): NAMESPACES,
}
"""What a backend is known to let through, with the reason why that is no escape."""

HARMLESS = [
    ("knowing", "own_environment"),
    ("knowing", "environment_of_every_process"),
    ("knowing", "arguments_of_every_process"),
    ("knowing", "roots_of_every_process"),
    ("knowing", "folders_of_every_process"),
    ("knowing", "files_of_every_process"),
    ("knowing", "inherited_files"),
    ("knowing", "a_file_by_its_path"),
    ("knowing", "a_file_by_way_of_the_workspace"),
    ("knowing", "a_symlink_to_a_file"),
    ("knowing", "a_symlink_that_the_workspace_had"),
    ("knowing", "a_hard_link_to_a_file"),
    ("knowing", "homes"),
    ("knowing", "the_project"),
    ("knowing", "shared_memory_by_name"),
    ("knowing", "shared_memory_by_key"),
    ("reaching", "tcp_to_the_host"),
    ("reaching", "udp_to_the_host"),
    ("reaching", "a_unix_socket_by_its_path"),
    ("reaching", "an_abstract_unix_socket"),
    ("reaching", "signals"),
    ("changing", "given_files"),
    ("changing", "files_of_the_project"),
    ("changing", "a_folder_swapped_for_a_link"),
    ("changing", "special_files_left_behind"),
    ("gaining", "capabilities"),
    ("gaining", "escapes_for_the_terminal"),
    ("using", "children_of_nohup"),
]
"""What may be tried without a sandbox as well: it does no more than touch what the test has made."""


class Unprotected:
    """Runs a job on the host as it is, to see whether the host would notice."""

    name = "none"

    def run(self, job: Job) -> Finished:
        given = str(job.given["/given"])
        command = [word.replace("/given", given).replace('"/work"', f'"{job.workspace}"') for word in job.command]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            # Not pipes, which are open for as long as anybody lives who has them.
            env = {**os.environ, **job.env}
            done = subprocess.run(command, cwd=job.workspace, env=env, stdout=out, stderr=err, close_fds=False)
            for file in (out, err):
                file.seek(0)
            said = [file.read().decode(errors="replace") for file in (out, err)]
        return Finished(exit_code=done.returncode, stdout=said[0], stderr=said[1], ended="exit", seconds=0.0)


class Host:
    """What is the host's, with a secret in every place where one could be found."""

    def __init__(self, folder: Path) -> None:
        self.token, self.mark = f"SECRET-{secrets.token_hex(8)}", secrets.token_hex(8)
        self.project, self.home, self.outside = folder / "project", folder / "somebody", folder / "outside"
        self.given, self.workspace = folder / "given", folder / "workspace"
        for place in (self.project, self.home / ".ssh", self.outside, self.workspace / "folder"):
            place.mkdir(parents=True)
        shutil.copytree(INSIDE, self.given, ignore=shutil.ignore_patterns("__pycache__"))
        (self.given / "readme.txt").write_text("to be read")
        self.secret, self.key = self.project / "secret.txt", self.home / ".ssh" / "id_ed25519"
        for file in (self.secret, self.key, self.given.parent / "secret.txt"):
            file.write_text(self.token)
        (self.project / "code.py").write_text("x = 1\n")
        (self.workspace / "folder" / "note.txt").write_text("a note")
        (self.workspace / "was-there.txt").symlink_to(self.secret)
        (self.workspace / "folder-was-there").symlink_to(self.project)
        self.shared = Path("/dev/shm", f"signoff-test-{self.mark}")
        self.shared.write_text(self.token)
        self.before = self.state()

    @contextlib.contextmanager
    def alive(self) -> Iterator[Host]:
        """With a process that knows the secret, and somebody at every address."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.shared.unlink)
            short = stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp"))  # a socket's path is short
            self.doors = {
                "tcp": listener(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
                "udp": listener(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
                "unix": listener(socket.AF_UNIX, socket.SOCK_STREAM, f"{short}/door"),
                "abstract": listener(socket.AF_UNIX, socket.SOCK_STREAM, f"\0signoff-{self.mark}"),
            }
            for door in self.doors.values():
                stack.callback(door.close)
            os.chmod(short, 0o755)
            os.chmod(f"{short}/door", 0o777)
            self.memory_key = int(self.mark[:7], 16)
            stack.callback(libc.shmctl, keep_in_memory(self.memory_key, self.token), 0, None)
            held = os.open(self.secret, os.O_RDONLY)
            stack.callback(os.close, held)
            os.set_inheritable(held, True)
            self.canary = subprocess.Popen(
                ["sh", "-c", "read -r line", "sh", self.token],
                stdin=subprocess.PIPE, cwd=self.project, pass_fds=[held], env={"CANARY": self.token},
                start_new_session=True,
            )  # fmt: skip
            stack.callback(self.end_canary)
            yield self

    def end_canary(self) -> None:
        self.canary.kill()
        self.canary.communicate()

    def job(self, file: str, name: str, limits: SandboxLimits) -> Job:
        """One attempt, told of all that it could want to reach, but not of what is secret."""
        world = {
            "mark": self.mark, "work": "/work", "given": "/given", "home": str(self.home), "key": str(self.key),
            "project": str(self.project), "secret": str(self.secret), "outside": str(self.outside),
            "pid": self.canary.pid, "memory": self.shared.name, "memory_key": self.memory_key,
            "processes": limits.processes, "memory_mb": limits.memory_mb, "disk_mb": limits.disk_mb,
            "files": limits.files, "tcp": self.doors["tcp"].getsockname()[1], "udp": self.doors["udp"].getsockname()[1],
            "unix": self.doors["unix"].getsockname(), "abstract": f"signoff-{self.mark}",
        }  # fmt: skip
        return Job(
            command=("python3", f"/given/{file}.py", name, json.dumps(world)),
            workspace=self.workspace,
            given={"/given": self.given},
            env={"SIGNOFF_MARK": self.mark},
            limits=limits,
        )

    def harm(self, done: Finished) -> list[str]:
        """All that was done to it."""
        said = "\n".join([done.stdout, done.stderr, done.note])
        found = [line[:300] for line in said.splitlines() if line.startswith("ESCAPED")]
        found += ["the secret was told"] if self.token in said else []
        found += ["an escape for the terminal"] if any(ord(sign) < 32 and sign not in "\n\t" for sign in said) else []
        found += [f"{name} was reached" for name, door in self.doors.items() if was_reached(door)]
        found += [] if self.state() == self.before else ["files were changed"]
        found += [] if self.canary.poll() is None else ["the canary is dead"]
        found += [f"process {pid} was left: {self.end(pid)}" for pid in self.processes()]
        return found + self.harm_in_workspace()

    def harm_in_workspace(self) -> list[str]:
        found, size, number = [], 0, 0
        for folder, folders, files in os.walk(self.workspace):
            for path in (Path(folder, name) for name in (*folders, *files)):
                seen, was_ours = path.lstat(), path.name in ("was-there.txt", "folder-was-there")
                number, size = number + 1, size + (seen.st_size if stat.S_ISREG(seen.st_mode) else 0)
                if path.is_symlink() and not path.resolve().is_relative_to(self.workspace.resolve()) and not was_ours:
                    found.append(f"a link leads out: {path.name!r}")
                if not stat.S_ISLNK(seen.st_mode) and seen.st_mode & (stat.S_ISUID | stat.S_ISGID):
                    found.append(f"it runs as its owner: {path.name!r}")
                if not (stat.S_ISREG(seen.st_mode) or stat.S_ISDIR(seen.st_mode) or stat.S_ISLNK(seen.st_mode)):
                    found.append(f"no plain file: {path.name!r}")
        if size > LIMITS.disk_mb * MB or number > LIMITS.files:
            return [*found, f"{size} bytes in {number} files are left"]
        inside = ConfinedFolder(self.workspace)
        files = [entry.path for entry in inside.list() if entry.kind == "file"]
        return found + [f"the secret is in {path!r}" for path in files if self.token.encode() in inside.read(path)]

    def state(self) -> dict[str, tuple[int, str]]:
        """What is in the folders that are not the sandbox's."""
        places = (self.project, self.home, self.outside, self.given)
        files = sorted(path for place in places for path in place.rglob("*") if "__pycache__" not in path.parts)
        return {str(path): (path.stat().st_mode, path.read_text() if path.is_file() else "") for path in files}

    def processes(self) -> list[int]:
        """Those that an attempt has started and that live."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if is_marked(pid, self.mark.encode())]

    def end(self, pid: int) -> str:
        """Kill it, so that nothing goes on after the test; what it was."""
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        return "gone"


def is_marked(pid: int, mark: bytes) -> bool:
    """Whether a process is of an attempt; one that is dead already has nothing to show."""
    try:
        return any(mark in Path(f"/proc/{pid}/{name}").read_bytes() for name in ("environ", "cmdline"))
    except OSError:
        return False


def listener(family: int, kind: int, address: Any) -> socket.socket:
    made = socket.socket(family, kind)
    made.bind(address)
    if kind == socket.SOCK_STREAM:
        made.listen()
    made.setblocking(False)
    return made


def was_reached(door: socket.socket) -> bool:
    try:
        if door.type == socket.SOCK_STREAM:
            door.accept()[0].close()
        else:
            door.recv(100)
    except BlockingIOError:
        return False
    return True


def keep_in_memory(key: int, text: str) -> int:
    """Number of a new piece of shared memory with this in it."""
    number = int(libc.shmget(key, 4096, 0o1666))
    libc.shmat.restype = ctypes.c_void_p
    place = libc.shmat(number, None, 0)
    ctypes.memmove(place, text.encode(), len(text))
    libc.shmdt(ctypes.c_void_p(place))
    return number


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    made = Host(tmp_path / "host")
    monkeypatch.setenv("SIGNOFF_TEST_SECRET", made.token)
    with made.alive():
        yield made


@pytest.fixture(params=["bubblewrap", "docker", pytest.param("podman", marks=pytest.mark.hunt)])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every backend that can be used here, in turn."""
    name = str(request.param)
    if name == "bubblewrap":
        found: Backend = Bubblewrap()
    else:
        address, image = request.getfixturevalue(f"{name}_engine")
        found = Containers(name, image=image, address=address)
    problem = found.problem()
    if problem:
        pytest.skip(f"{name}: {problem}")
    return found


@pytest.mark.parametrize(("file", "name"), ESCAPES, ids=[name for _, name in ESCAPES])
def test_nothing_gets_out(backend: Backend, host: Host, file: str, name: str) -> None:
    if (backend.name, name) in KNOWN:
        pytest.skip(KNOWN[backend.name, name])
    done = backend.run(host.job(file, name, LIMITS))
    assert host.harm(done) == []
    assert (done.ended, done.exit_code) == ("exit", 0), done  # it was really tried
    assert done.stdout.splitlines()[-1].startswith(("contained", "refused"))


@pytest.mark.parametrize("name", attempts_in("using"))
def test_nothing_is_used_up_and_nothing_lives_on(backend: Backend, host: Host, name: str) -> None:
    done = backend.run(host.job("using", name, BRIEF if "time" in ENDS[name] else LIMITS))
    assert host.harm(done) == []
    assert done.ended in ENDS[name], done
    assert done.ended == "exit" or done.note  # the agent is told
    assert len(done.stdout) <= LIMITS.output_bytes
    assert len(done.stderr) <= LIMITS.output_bytes
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


@pytest.mark.parametrize(
    ("command", "env"),
    [
        (("true", "x" * 200_000), {}),
        (("true", *["x" * 1000] * 2000), {}),
        (("true", "a\0b"), {}),
        (("true", "\ud800"), {}),
        (("true",), {"BIG": "x" * 200_000}),
        (("true",), {"A": "x\0y"}),
        (("true",), {"A=B": "x"}),
        ((), {}),
    ],
    ids=["a long word", "many words", "NUL", "half a character", "a long variable", "NUL there", "no name", "nothing"],
)
def test_what_cannot_be_started_is_told_of(
    backend: Backend, tmp_path: Path, command: tuple[str, ...], env: dict[str, str]
) -> None:
    done = backend.run(Job(command=command, env=env, workspace=tmp_path))
    assert (done.exit_code, done.stdout) == (126, "")
    assert done.note.startswith("It was not run")


@pytest.mark.parametrize(("file", "name"), HARMLESS, ids=[name for _, name in HARMLESS])
def test_the_host_would_notice_if_there_were_no_sandbox(host: Host, file: str, name: str) -> None:
    assert host.harm(Unprotected().run(host.job(file, name, LIMITS))) != []
