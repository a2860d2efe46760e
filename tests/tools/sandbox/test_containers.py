from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from signoff.errors import SandboxMissing
from signoff.tools.sandbox.backends import open_backend
from signoff.tools.sandbox.containers import OWNER, Containers
from signoff.tools.sandbox.sandbox import Job, SandboxLimits

docker = pytest.importorskip("docker", reason="needs the extra `containers`")

NOWHERE = "unix:///nowhere/docker.sock"
KILLED_WHILE_IT_RUNS = """
import sys
from pathlib import Path
from signoff.tools.sandbox.containers import Containers
from signoff.tools.sandbox.sandbox import Job
name, image, address, folder = sys.argv[1:]
Containers(name, image=image, address=address).run(Job(command=("sleep", "3600"), workspace=Path(folder)))
"""


@pytest.fixture(params=["docker", "podman"])
def containers(request: pytest.FixtureRequest) -> Containers:
    address, image = request.getfixturevalue(f"{request.param}_engine")
    return Containers(str(request.param), image=image, address=address)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


def ours(containers: Containers) -> list[Any]:
    """The containers that any process of signoff has made in this engine."""
    engine = docker.DockerClient(base_url=containers.address)
    try:
        return list(engine.containers.list(all=True, filters={"label": OWNER}))
    finally:
        engine.close()


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_an_engine_that_does_not_answer_is_a_problem_that_says_what_to_do(name: str, workspace: Path) -> None:
    absent = Containers(name, address=NOWHERE)
    assert f"no engine answers at {NOWHERE}" in absent.problem()
    assert f"Install {name.capitalize()}" in absent.problem()
    with pytest.raises(SandboxMissing, match="no engine answers"):
        absent.run(Job(command=("true",), workspace=workspace))


def test_an_engine_elsewhere_is_refused_before_it_is_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    with pytest.raises(SandboxMissing, match="elsewhere"):
        open_backend("docker")


def test_an_image_that_is_not_there_is_not_fetched(containers: Containers) -> None:
    absent = Containers(containers.name, image="signoff/no-such-image:1", address=containers.address)
    problem = absent.problem()
    assert "'signoff/no-such-image:1' is not here" in problem
    assert f"{containers.name} pull signoff/no-such-image:1" in problem
    assert "SIGNOFF_SANDBOX_IMAGE" in problem


def test_the_image_is_that_of_the_settings(containers: Containers, monkeypatch: pytest.MonkeyPatch) -> None:
    by_setting = Containers(containers.name, address=containers.address)
    assert "'python:3.13-slim' is not here" in by_setting.problem()
    monkeypatch.setenv("SIGNOFF_SANDBOX_IMAGE", containers.image)
    assert by_setting.problem() == ""


def test_a_job_works_on_its_workspace_and_on_what_it_is_given(containers: Containers, workspace: Path) -> None:
    given = workspace.parent / "given.txt"
    given.write_text("given ")
    (workspace / "own.txt").write_text("own ")
    command = ("sh", "-c", "cat own.txt /in/given.txt - > new.txt; echo $WORD; pwd; echo wrong >&2; exit 3")
    job = Job(command=command, workspace=workspace, given={"/in/given.txt": given}, stdin=b"said", env={"WORD": "hi"})
    done = containers.run(job)
    assert (done.stdout, done.stderr, done.exit_code, done.ended) == ("hi\n/work\n", "wrong\n", 3, "exit")
    assert (workspace / "new.txt").read_text() == "own given said"
    assert (workspace / "new.txt").stat().st_uid == os.getuid()
    assert ours(containers) == []


def test_much_input_that_nobody_reads_does_no_harm(containers: Containers, workspace: Path) -> None:
    done = containers.run(Job(command=("true",), workspace=workspace, stdin=b"x" * 5_000_000))
    assert (done.exit_code, done.ended) == (0, "exit")


def test_a_program_that_is_not_there_is_told_of(containers: Containers, workspace: Path) -> None:
    done = containers.run(Job(command=("no-such-program",), workspace=workspace))
    assert done.exit_code == 127
    assert "no-such-program" in done.stderr
    assert ours(containers) == []


def test_another_thread_can_stop_it(containers: Containers, workspace: Path) -> None:
    stop = threading.Event()
    stop.set()
    done = containers.run(Job(command=("sleep", "3600"), workspace=workspace), stop=stop)
    assert done.ended == "stopped"
    assert ours(containers) == []


def test_what_a_killed_process_left_is_removed_by_the_next_job(containers: Containers, workspace: Path) -> None:
    words = [containers.name, containers.image, containers.address, str(workspace)]
    killed = subprocess.Popen([sys.executable, "-c", KILLED_WHILE_IT_RUNS, *words])
    while not any(container.status == "running" for container in ours(containers)):
        assert killed.poll() is None
    left = ours(containers)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    stages = [Path(mount["Source"]) for mount in left[0].attrs["Mounts"] if mount["Destination"] == "/work"]
    assert [stage.is_dir() for stage in stages] == [True]
    assert containers.run(Job(command=("true",), workspace=workspace)).exit_code == 0
    assert ours(containers) == []
    assert not stages[0].exists()


def test_output_is_cut_at_its_limit(containers: Containers, workspace: Path) -> None:
    limits = SandboxLimits(output_bytes=1000)
    done = containers.run(Job(command=("sh", "-c", "while :; do echo x; done"), workspace=workspace, limits=limits))
    assert (done.ended, done.exit_code, len(done.stdout)) == ("output", 137, 1000)
