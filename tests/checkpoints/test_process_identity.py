"""Telling whether a process that holds something still lives, and never guessing."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import warm

from signoff.checkpoints.process_identity import current_owner, describe_owner, holds, is_gone, standing, working

CODE = "from signoff.checkpoints.process_identity import current_owner; print(current_owner(), flush=True)"

knows_pids = pytest.mark.skipif(
    not (sys.platform == "darwin" or Path("/proc/self/ns/pid").exists()), reason="nothing tells where a pid belongs"
)


@pytest.fixture
def dead() -> Any:
    """The parts of the name of a process that has ended: host, boot, namespace, pid, start."""
    ended = warm.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    return ended.stdout.strip().split(":")


def test_this_process_lives() -> None:
    assert not is_gone(current_owner())


@knows_pids
def test_a_process_that_has_ended_is_gone(dead: list[str]) -> None:
    assert is_gone(":".join(dead))


@pytest.mark.parametrize("part", [0, 1, 2], ids=["host", "boot", "namespace"])
def test_a_process_of_another_host_boot_or_container_is_never_said_to_be_gone(dead: list[str], part: int) -> None:
    dead[part] = "another"
    assert not is_gone(":".join(dead))


@pytest.mark.skipif(sys.platform != "linux", reason="there are no namespaces on this system")
def test_a_process_in_another_namespace_is_never_said_to_be_gone_even_if_its_pid_means_nothing_here() -> None:
    apart = ["unshare", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("this user may not make a namespace of pids")
    ended = subprocess.run([*apart, sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    host, boot, _, pid, start = ended.stdout.strip().split(":")
    assert (host, boot, pid) == (*current_owner().split(":")[:2], "1")
    assert not is_gone(ended.stdout.strip())
    assert is_gone(":".join((host, boot, current_owner().split(":")[2], pid, start)))


@knows_pids
def test_a_later_process_with_the_same_pid_is_not_taken_for_the_owner() -> None:
    *place, _start = current_owner().split(":")
    assert is_gone(":".join((*place, "1")))


@pytest.mark.parametrize("owner", ["", "ann", f"{socket.gethostname()}:1:1", "a:b:c:d:e", "::::"])
def test_any_other_name_is_never_said_to_be_gone(owner: str) -> None:
    assert not is_gone(owner)


def test_a_pid_no_system_has_is_never_said_to_be_gone() -> None:
    host, boot, namespace, *_ = current_owner().split(":")
    assert not is_gone(f"{host}:{boot}:{namespace}:{'9' * 30}:1")


def test_an_owner_can_be_followed_by_more_words() -> None:
    assert "/" not in current_owner()


@knows_pids
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork on this system")
def test_a_child_that_nobody_has_waited_for_is_gone() -> None:
    code = """
import os
from signoff.checkpoints.process_identity import current_owner, describe_owner, holds, is_gone, standing, working
reading, writing = os.pipe()
child = os.fork()
if not child:
    os.write(writing, current_owner().encode())
    os._exit(0)
os.close(writing)
owner = os.fdopen(reading).read()
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print(is_gone(owner))
"""
    assert warm.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "True\n"


EARLIER, NOW, LATER = "2026-01-01", "2026-01-02", "2026-01-03"


@knows_pids
def test_a_process_that_is_stopped_lives_and_holds_what_it_took_whatever_the_clock_says() -> None:
    with warm.start(
        [sys.executable, "-c", f"{CODE}; import os; os.kill(os.getpid(), 19)"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        owner = process.stdout.readline().decode().strip()
        while "(stopped)" not in describe_owner(owner):
            assert standing(owner) == "alive"
        assert (standing(owner), holds(owner, EARLIER, NOW)) == ("alive", True)
        process.kill()
        process.wait()
        assert (standing(owner), holds(owner, LATER, NOW)) == ("gone", False)


@knows_pids
def test_this_process_holds_only_what_it_works_on() -> None:
    with working() as owner:
        assert (standing(owner), holds(owner, EARLIER, NOW)) == ("alive", True)
        assert standing(f"{current_owner()}/another") == "gone"
    assert (standing(owner), holds(owner, LATER, NOW)) == ("gone", False)


@pytest.mark.parametrize("owner", ["", "ann", "other-host:1:2:3:4/abc", "a:b:c:d:e"])
def test_who_cannot_be_told_holds_it_until_it_runs_out(owner: str) -> None:
    assert standing(owner) == "unknown"
    assert holds(owner, LATER, NOW) == bool(owner)
    assert not holds(owner, EARLIER, NOW)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork on this system")
def test_a_forked_child_is_another_process_and_its_parent_still_holds_what_it_took() -> None:
    code = """
import os
from signoff.checkpoints.process_identity import standing, working
with working() as owner:
    if not os.fork():
        print(standing(owner), flush=True)
        os._exit(0)
    os.wait()
"""
    assert warm.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "alive\n"


def test_owners_are_told_in_words() -> None:
    host, boot, namespace, pid, start = current_owner().split(":")
    assert describe_owner(current_owner()) == f"process {pid}"
    assert describe_owner(f"db-2:{boot}:{namespace}:12:{start}/ab12") == "process 12 on db-2"
    assert "another container or boot" in describe_owner(f"{host}:other:{namespace}:12:{start}")
    assert (describe_owner(""), describe_owner("ann")) == ("another process", "ann")


@pytest.mark.skipif(shutil.which("ps") is None, reason="there is no ps")
def test_where_there_is_no_proc_ps_tells_when_a_process_started() -> None:
    from signoff.checkpoints import process_identity

    own = process_identity._started_by_ps(os.getpid())
    assert int(own) > 1_000_000_000
    assert process_identity._started_by_ps(2**22 + 1) == "0"
