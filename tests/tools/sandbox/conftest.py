"""Engines of containers for the tests: the one that runs here or one of their own, with an image of this Python."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from signoff.tools.sandbox.bubblewrap.backend import Bubblewrap
from signoff.tools.sandbox.containers import usual_address
from signoff.tools.sandbox.sandbox import Finished, Job, SandboxLimits

IMAGE = "signoff-test:latest"
TOOLS = ("sh", "true", "cat", "ls", "id", "env", "sleep", "nohup", "setsid", "su")
LEFT_OUT = {"test", "tests", "idlelib", "tkinter", "ensurepip", "site-packages", "dist-packages", "__pycache__"}
PATIENCE = 200
"""Tenths of a second that an engine may take to start."""


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[tuple[str, str]]:
    """Address of a Docker engine, and the image of the tests in it."""
    with running("docker", start_docker) as address:
        yield address, IMAGE


@pytest.fixture(scope="session")
def podman_engine() -> Iterator[tuple[str, str]]:
    """Address of a Podman service, and the image of the tests in it."""
    with running("podman", start_podman) as address:
        yield address, IMAGE


@contextmanager
def running(name: str, start: Callable[[Path], tuple[str, list[str]] | None]) -> Iterator[str]:
    """Address of the engine that answers, with the image imported."""
    pytest.importorskip("docker", reason="needs the extra `containers`")
    usual = usual_address(name)
    if answers(usual):
        yield from imported(usual)
        return
    with tempfile.TemporaryDirectory(prefix="signoff-", ignore_cleanup_errors=True) as folder:
        started = start(Path(folder)) if os.geteuid() == 0 else None
        if started is None:
            pytest.skip(f"no {name} answers at {usual}, and none can be started: that needs its program, and root")
        address, command = started
        with open(f"{folder}/log", "wb") as log:
            engine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            for _ in range(PATIENCE):
                if answers(address) or has_ended(engine):
                    break
            if not answers(address):
                pytest.skip(f"{name} does not start here: {Path(folder, 'log').read_text(errors='replace')[-300:]}")
            yield from imported(address)
        finally:
            engine.terminate()
            engine.wait(30)
            # Podman leaves a mount of its own there, on the same file system, so that no look at the folder tells.
            subprocess.run(["umount", f"{folder}/data/overlay"], capture_output=True, check=False)


def start_docker(folder: Path) -> tuple[str, list[str]] | None:
    program = shutil.which("dockerd")
    if program is None:
        return None
    address = f"unix://{folder}/d.sock"
    places = ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"]
    network = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]
    return address, [program, "--host", address, *places, *network]


def start_podman(folder: Path) -> tuple[str, list[str]] | None:
    program = shutil.which("podman")
    if program is None:
        return None
    address = f"unix://{folder}/p.sock"
    options = ["--root", f"{folder}/data", "--runroot", f"{folder}/run", "--events-backend=file"]
    if not Path("/run/systemd/system").is_dir():
        options.append("--cgroup-manager=cgroupfs")
    if Path("/sys/fs/cgroup/unified").is_dir() and shutil.which("runc"):
        options.append("--runtime=runc")  # crun refuses both kinds of control groups at once
    return address, [program, *options, "system", "service", "--time=0", address]


def answers(address: str) -> bool:
    import docker
    from docker.errors import DockerException

    try:
        with socket.socket(socket.AF_UNIX) as tried:
            tried.connect(address.removeprefix("unix://"))
        docker.DockerClient(base_url=address, timeout=10).close()
    except (OSError, DockerException):
        return False
    return True


def has_ended(process: subprocess.Popen[Any]) -> bool:
    """Whether it ended within a tenth of a second."""
    try:
        process.wait(0.1)
    except subprocess.TimeoutExpired:
        return False
    return True


def imported(address: str) -> Iterator[str]:
    """Its address, while the image is there."""
    import docker

    client = docker.DockerClient(base_url=address, timeout=60)
    try:
        name, _, tag = IMAGE.partition(":")
        client.api.import_image_from_data(image_of_this_python(), repository=name, tag=tag)
        yield address
        client.images.remove(IMAGE)
    finally:
        client.close()


@cache
def image_of_this_python() -> bytes:
    """An archive of this Python, without packages, and a few programs, with the libraries that they need."""
    packed = io.BytesIO()
    python, library = Path(sys.executable).resolve(), Path(os.__file__).resolve().parent
    tools = {Path(found).absolute() for name in TOOLS if (found := shutil.which(name, path="/usr/bin:/bin"))}
    modules = [path for path in library.rglob("*") if path.is_file() and not LEFT_OUT & set(path.parts)]
    programs = [python, *tools, *(path for path in modules if path.suffix == ".so")]
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as archive:
        for folder, mode in (("tmp", 0o1777), ("work", 0o755), ("root", 0o711), ("proc", 0o555), ("dev", 0o755)):
            add(archive, folder, tarfile.DIRTYPE, mode)
        for path in {*modules, python, *tools, *libraries(programs)}:
            archive.add(path, str(path).lstrip("/"), filter=by_root)
        add(archive, "etc/passwd", content="root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
        add(archive, "etc/shadow", mode=0o640, content="root:$6$hash:19000:0:99999:7:::\n")
        add(archive, "usr/local/bin/python3", tarfile.SYMTYPE, link=str(python))
    return packed.getvalue()


def by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    return member


def add(
    archive: tarfile.TarFile,
    name: str,
    kind: bytes = tarfile.REGTYPE,
    mode: int = 0o644,
    content: str = "",
    link: str = "",
) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.linkname, member.size = kind, mode, link, len(content)
    archive.addfile(member, io.BytesIO(content.encode()))


def libraries(programs: list[Path]) -> set[Path]:
    """What the loader would load for these programs."""
    said = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    words = (word for line in said.splitlines() for word in line.replace(":", " ").split() if word.startswith("/"))
    return {Path(word) for word in words if ".so" in word and Path(word).is_file()}


SMALL = SandboxLimits(seconds=20, memory_mb=200, disk_mb=16, files=300, processes=20, output_bytes=50_000)


@pytest.fixture(scope="session")
def sandbox() -> Bubblewrap:
    """Bubblewrap, where it can be used."""
    backend = Bubblewrap()
    if backend.problem():
        pytest.skip(f"bubblewrap cannot be used here: {backend.problem()}")
    return backend


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An empty one, which only its owner may enter."""
    made = tmp_path / "workspace"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def shell(sandbox: Bubblewrap, workspace: Path) -> Callable[..., Finished]:
    """Runs a command line in bubblewrap; more of a Job by name."""
    return partial(run_in, sandbox, workspace, ("sh", "-c"))


@pytest.fixture
def python(sandbox: Bubblewrap, workspace: Path) -> Callable[..., Finished]:
    """Runs a Python program in bubblewrap; more of a Job by name."""
    return partial(run_in, sandbox, workspace, ("python3", "-c"))


def run_in(sandbox: Bubblewrap, workspace: Path, program: tuple[str, ...], text: str, **job: Any) -> Finished:
    return sandbox.run(Job(command=(*program, text), workspace=workspace, **{"limits": SMALL, **job}))
