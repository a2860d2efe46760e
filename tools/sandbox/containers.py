"""Docker and Podman as sandboxes: each job in a new container, on a copy of its workspace that is brought back."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from signoff.checkpoints import current_owner, is_gone
from signoff.installation import extra_command
from signoff.settings import load_settings
from signoff.tools.errors import FileRefused, SandboxMissing
from signoff.tools.sandbox.bubblewrap import forwarder
from signoff.tools.sandbox.bubblewrap.mounts import FORWARDER, PROXIES, given_paths
from signoff.tools.sandbox.bubblewrap.user import NOBODY
from signoff.tools.sandbox.sandbox import ENVIRONMENT, KILLED, MB, Ended, Finished, Job, SandboxLimits, finish, not_run
from signoff.tools.sandbox.workspace_copy import copy_back, copy_in
from signoff.tools.storage.confined_folder import walk

ANSWER: Final = 60
"""Seconds in which an engine answers a request."""
STAGE: Final = "signoff-stage-"
STEP: Final = 0.1
"""Seconds between two looks at the limits that no engine keeps."""
STDERR: Final = 2
OWNER: Final = "signoff.owner"
"""The label that says whose container it is, so that what a killed process left behind is found."""
_START: Final = {
    "docker": "Install Docker and start it, or name its socket with DOCKER_HOST",
    "podman": "Install Podman and run: systemctl --user start podman.socket; or name its socket with CONTAINER_HOST",
}


@dataclass(frozen=True)
class Containers:
    """A backend that runs jobs in containers of Docker or Podman. It fetches no image unasked."""

    name: str
    image: str = ""
    """Empty: the setting SIGNOFF_SANDBOX_IMAGE."""
    address: str = ""
    """Of the engine's socket, such as `unix:///run/docker.sock`; empty: where the engine's own programs look."""

    def problem(self) -> str:
        try:
            with self._engine() as engine:
                self._image(engine)
                info = engine.info()
        except SandboxMissing as missing:
            return "; ".join(missing.problems)
        lacking = [what for what in ("MemoryLimit", "PidsLimit") if info.get(what) is False]
        if lacking:
            return f"the engine cannot limit what a container uses ({', '.join(lacking)}). Give it its cgroups"
        if not any("seccomp" in option for option in info.get("SecurityOptions") or ()):
            return "the engine does not filter system calls. Turn its seccomp profile on"
        return ""

    def run(self, job: Job, *, stop: threading.Event | None = None) -> Finished:
        """Run it to its end, blocking; its container is removed whatever happens. `stop` kills it."""
        if refused := not_run(job):
            return refused
        with self._engine() as engine, _stage() as folder:
            _remove_leftovers(engine)
            image, user = self._image(engine), container_user(engine.info())
            as_root = os.geteuid() == 0
            if as_root:
                os.chown(folder, user.number, user.group)
            work = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                before = copy_in(job.workspace, work, job.limits, user.number if as_root else None)
                options = confinement(job, folder, user, image.attrs["Config"].get("Volumes") or ())
                outcome = self._follow(engine, {"image": image.id, **options}, job, stop or threading.Event(), work)
                ended, left = copy_back(work, before, job, outcome.ended)
            except FileRefused as error:
                outcome, ended = Outcome("disk", 126), "disk"
                left = [f"It was not run: the workspace: {error.problem}."]
            finally:
                os.close(work)
        return finish(job.limits, **vars(outcome) | {"ended": ended}, notes=left)

    def _follow(self, engine: Any, options: dict[str, Any], job: Job, stop: threading.Event, work: int) -> Outcome:
        """What comes of a new container, which is gone afterwards."""
        from docker.errors import APIError

        container = engine.containers.create(**options)
        try:
            return RunningContainer(engine, container, job, stop, work).follow()
        except APIError as error:
            said = f"{self.name} could not start it: {error.explanation or error}"
            return Outcome("exit", 127, stderr=said.encode())
        finally:
            with _unless_gone():
                container.remove(force=True, v=True)

    @contextmanager
    def _engine(self) -> Iterator[Any]:
        """The engine's client; SandboxMissing if it cannot be spoken to."""
        try:
            import docker
            from docker.errors import DockerException
        except ImportError:
            remedy = extra_command("containers")
            raise SandboxMissing((f"its SDK is not installed. Run: {remedy}",)) from None
        address = self.address or usual_address(self.name)
        if not address.startswith("unix://"):
            raise SandboxMissing((f"the engine at {address} is elsewhere, without the files of this machine",))
        try:
            with socket.socket(socket.AF_UNIX) as tried:  # the SDK leaves its own open when nobody answers
                tried.connect(address.removeprefix("unix://"))
            client = docker.DockerClient(base_url=address, timeout=ANSWER)
        except (OSError, DockerException) as error:
            raise SandboxMissing((f"no engine answers at {address} ({error}). {_START[self.name]}",)) from None
        try:
            yield client
        finally:
            client.close()

    def _image(self, engine: Any) -> Any:
        """The image jobs run in; SandboxMissing if the engine has it not."""
        from docker.errors import ImageNotFound

        name = self.image or load_settings().sandbox_image
        try:
            return engine.images.get(name)
        except ImageNotFound:
            hint = f"Run: {self.name} pull {name}; or name another with SIGNOFF_SANDBOX_IMAGE"
            raise SandboxMissing((f"the image {name!r} is not here, and none is fetched unasked. {hint}",)) from None


def usual_address(name: str) -> str:
    """Where the engine's own programs look for it."""
    if name == "docker":
        from docker.context import ContextAPI

        return os.environ.get("DOCKER_HOST") or str(ContextAPI.get_current_context().Host)
    own = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nowhere", "podman", "podman.sock")
    return os.environ.get("CONTAINER_HOST") or f"unix://{own if own.exists() else '/run/podman/podman.sock'}"


@contextmanager
def _stage() -> Iterator[Path]:
    """A new folder of this user alone, removed with all that a job left in it."""
    folder = Path(tempfile.mkdtemp(prefix=STAGE))
    try:
        yield folder.resolve()
    finally:
        _remove_stage(folder)


def _remove_stage(folder: Path) -> None:
    """Remove it, whatever was done to the modes of what lies in it, and however deep it is; nothing runs there now."""
    names = (folder / f"{STAGE}{secrets.token_hex(8)}-{number}" for number in count())
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        here.chmod(0o700)
        with os.scandir(here) as found:
            entries = list(found)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.path, 0o700)
                waiting.append(Path(entry.path).rename(next(names)))
            else:
                os.unlink(entry.path)
        if here != folder:
            here.rmdir()
    folder.rmdir()


def exceeds_disk(folder: int, limits: SandboxLimits) -> bool:
    """Whether more is in the open folder than a job may keep, or something that we cannot look into."""
    total = 0
    try:
        for number, entry in enumerate(walk(folder), 1):
            total += entry.size if entry.kind == "file" else 0
            if number > limits.files or total > limits.disk_mb * MB:
                return True
    except (FileRefused, PermissionError):
        return True
    return False


@contextmanager
def _unless_gone(*answers: int) -> Iterator[None]:
    """For what is done to a container: no error if it is gone by then or being removed, as also these answers say."""
    from docker.errors import APIError

    try:
        yield
    except APIError as error:
        if error.status_code not in (404, 409, *answers):
            raise


def _remove_leftovers(engine: Any) -> None:
    """Remove the containers of processes that died while they ran one, with what these worked on."""
    for container in engine.containers.list(all=True, filters={"label": OWNER}, ignore_removed=True):
        if not is_gone(container.labels.get(OWNER, "")):
            continue
        with _unless_gone():
            container.remove(force=True, v=True)
        for mount in container.attrs.get("Mounts") or ():
            folder = Path(mount.get("Source", ""))
            if mount.get("Destination") == "/work" and folder.name.startswith(STAGE) and folder.is_dir():
                _remove_stage(folder)


@dataclass(frozen=True)
class Outcome:
    """What came of the container."""

    ended: Ended
    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""
    seconds: float = 0.0


class RunningContainer:
    """A container at work: its output is taken as it comes, and it is killed at the first limit that it reaches."""

    def __init__(self, engine: Any, container: Any, job: Job, stop: threading.Event, work: int) -> None:
        self.engine, self.container, self.job, self.stop, self.work = engine, container, job, stop, work
        self._streams: dict[int, bytearray] = {1: bytearray(), STDERR: bytearray()}
        self._is_full = threading.Event()

    def follow(self) -> Outcome:
        """Start it and wait for its end, or bring it about: at a limit, or when nobody waits for it any more."""
        wanted = {"stdout": 1, "stderr": 1, "stream": 1, **({"stdin": 1} if self.job.stdin else {})}
        attached = self.engine.api.attach_socket(self.container.id, params=wanted)
        line: socket.socket = attached._sock  # the SDK gives a reader only, which neither writes nor closes it
        line.setblocking(True)
        with attached, line, ThreadPoolExecutor(3) as threads:
            reading = threads.submit(self._read, line)
            started = time.monotonic()
            try:
                self.container.start()
                threads.submit(self._write, line)
                exited = threads.submit(self.container.wait, timeout=self.job.limits.seconds + 60)
                killed = self._watch(exited, started)
                code = int(exited.result()["StatusCode"])
                wait([reading], timeout=10)
            finally:
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)  # else a thread could wait for it forever
        return self._outcome(killed, code, time.monotonic() - started)

    def _watch(self, exited: Future[Any], started: float) -> Ended | None:
        """Why it was killed; None if it ended by itself."""
        while not wait([exited], timeout=STEP).done:
            if reason := self._reason(started):
                with _unless_gone(500):  # it ended meanwhile; what it is answered differs by engine
                    self.container.kill()
                return reason
        return "output" if self._is_full.is_set() else None

    def _reason(self, started: float) -> Ended | None:
        """The limit that it reached, if any."""
        if self.stop.is_set():
            return "stopped"
        if self._is_full.is_set():
            return "output"
        if exceeds_disk(self.work, self.job.limits):
            return "disk"
        if time.monotonic() - started < self.job.limits.seconds:
            return None
        found = self.engine.api.stats(self.container.id, stream=False, one_shot=True)
        return "processes" if found.get("pids_stats", {}).get("current", 0) >= self.job.limits.processes else "time"

    def _outcome(self, killed: Ended | None, code: int, seconds: float) -> Outcome:
        self.container.reload()
        ended: Ended = killed or ("exit" if code <= 128 else "signal")
        # No process of a container can kill its first one, and Podman does not always tell that memory ran out.
        starved = self.container.attrs["State"].get("OOMKilled") or (killed is None and code == KILLED)
        if starved and code and killed in (None, "time", "processes"):
            ended = "memory"
        stdout, stderr = (bytes(raw) for raw in self._streams.values())
        return Outcome(ended, KILLED if killed else code, stdout, stderr, seconds)

    def _read(self, line: socket.socket) -> None:
        """Keep what it says, up to the limit. The rest is read as well: an engine that is not heard does not kill."""
        from docker.utils.socket import frames_iter

        most = self.job.limits.output_bytes
        for stream, piece in frames_iter(line, tty=False):
            kept = self._streams[STDERR if stream == STDERR else 1]
            if len(kept) + len(piece) > most:
                self._is_full.set()
            kept += piece[: max(most - len(kept), 0)]

    def _write(self, line: socket.socket) -> None:
        """Give it its standard input, and then the end of it."""
        if not self.job.stdin:
            return
        with suppress(OSError):  # it ended, or closed its end
            line.sendall(self.job.stdin)
            line.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class User:
    """As whom a job runs: never as root of this machine."""

    number: int
    group: int
    mapping: str = ""
    """How the engine is asked to map users; empty: as it does unasked."""


def container_user(info: Mapping[str, Any]) -> User:
    """A user who can write to a folder of ours, by what the engine says of itself."""
    # Beyond Linux the engine is in a virtual machine, where all files count as the user's own.
    if sys.platform != "linux" or os.geteuid() == 0:
        return User(NOBODY, NOBODY)
    if info.get("Rootless") and "BuildahVersion" in info:  # Podman
        return User(os.getuid(), os.getgid(), "keep-id")
    if any("rootless" in option for option in info.get("SecurityOptions") or ()):
        return User(0, 0)  # root inside is us outside, and without any capability inside
    return User(os.getuid(), os.getgid())


def confinement(job: Job, folder: Path, user: User, volumes: Iterable[str]) -> dict[str, Any]:
    """The options of a container for this job, with this folder as `/work`; `volumes` are those of the image."""
    from docker.types import LogConfig, Mount, Ulimit

    limits = job.limits
    given, command, env = dict(given_paths(job)), job.command, {**ENVIRONMENT, **job.env}
    if job.door:
        given[FORWARDER] = Path(forwarder.__file__)
        command = ("python3", "-I", FORWARDER, *command)
        env = {**PROXIES, **env}
    mounts = [Mount("/work", str(folder), type="bind")]
    mounts += [Mount(inside, str(path.resolve()), type="bind", read_only=True) for inside, path in given.items()]
    scratch = max(limits.disk_mb // 4, 1) * MB
    # The number of processes is limited by the cgroup. Podman would raise the ulimit, which not every root may.
    ulimits = {"core": 0, "cpu": limits.cpu_seconds, "fsize": limits.disk_mb * MB, "nofile": 1024, "nproc": 16_384}
    return {
        "entrypoint": [command[0]],
        "command": list(command[1:]),
        "environment": env,  # beside the variables of the image
        "use_config_proxy": False,
        "working_dir": "/work",
        "hostname": "sandbox",
        "stdin_open": bool(job.stdin),
        "labels": {OWNER: current_owner()},
        "mounts": mounts,
        # A volume of the image would be a place on the disk that nothing limits.
        "tmpfs": dict.fromkeys(("/tmp", *volumes), f"size={scratch},mode=1777"),
        "shm_size": scratch,
        "read_only": True,
        "user": f"{user.number}:{user.group}",
        "userns_mode": user.mapping,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "network_mode": "none",
        "ipc_mode": "private",
        "mem_limit": limits.memory_mb * MB,
        "memswap_limit": limits.memory_mb * MB,
        "pids_limit": limits.processes,
        "nano_cpus": 10**9,
        "ulimits": [Ulimit(name=name, soft=most, hard=most) for name, most in ulimits.items()],
        "log_config": LogConfig(type=LogConfig.types.NONE),  # else the engine keeps all output, on the disk
    }
