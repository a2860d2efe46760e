"""What a job leaves, and what others do meanwhile: nothing of it is lost, cut off, or keeps anybody waiting."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from signoff.tools.sandbox.bubblewrap.backend import Bubblewrap
from signoff.tools.sandbox.sandbox import Finished, SandboxLimits
from signoff.tools.sandbox.tools import sandbox_tools
from signoff.tools.storage.confined_folder import ConfinedFolder
from signoff.tools.storage.workspaces import Workspaces
from signoff.tools.tool import Tool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")

Run = Callable[..., Finished]
PART = ".signoff-0123456789abcdef.part"


def test_a_file_that_has_no_room_inside_is_refused_and_never_cut_off(shell: Run, workspace: Path) -> None:
    """Their bytes would fit, and the pages that they take do not."""
    ConfinedFolder(workspace).write("a small one", b"x")
    ConfinedFolder(workspace).write("large", b"y" * ((1 << 20) - 1))
    done = shell("mv large moved", limits=SandboxLimits(disk_mb=1))
    assert done.ended == "disk"
    assert "It was not run" in done.note
    assert (workspace / "large").stat().st_size == (1 << 20) - 1


def test_what_a_job_may_leave_the_next_one_can_be_given(shell: Run, workspace: Path) -> None:
    done = shell("printf x > small; truncate -s 1048575 large", limits=SandboxLimits(disk_mb=1))
    assert done.ended == "disk"
    assert os.listdir(workspace) == []
    assert shell("ls", limits=SandboxLimits(disk_mb=1)).ended == "exit"


def test_what_is_just_being_written_is_not_seen_inside_and_its_name_is_not_taken(shell: Run, workspace: Path) -> None:
    (workspace / PART).write_bytes(b"half of it")
    assert shell("ls -A").stdout == ""
    assert (workspace / PART).exists()
    done = shell(f"echo x > {PART.replace('0', 'f')}")
    assert "a name that is used" in done.note
    assert os.listdir(workspace) == [PART]


def test_files_that_come_and_go_meanwhile_do_not_keep_a_job_from_running(workspace: Path, tmp_path: Path) -> None:
    from signoff.tools.sandbox.workspace_copy import copy_in

    ConfinedFolder(workspace).write("stays", b"stays")
    done = threading.Event()

    def come_and_go() -> None:
        while not done.is_set():
            for name in ("a", "b/c", "d"):
                ConfinedFolder(workspace).write(name, b"x" * 10_000)
            for name in ("a", "b/c", "b", "d"):
                ConfinedFolder(workspace).remove(name)

    coming = threading.Thread(target=come_and_go)
    coming.start()
    try:
        for number in range(200):
            target = tmp_path / str(number)
            target.mkdir()
            handle = os.open(target, os.O_RDONLY)
            try:
                assert "stays" in copy_in(workspace, handle, SandboxLimits(), None)
            finally:
                os.close(handle)
    finally:
        done.set()
        coming.join()


def test_a_job_that_sends_its_output_away_is_not_waited_for(python: Run) -> None:
    """Nobody takes in what comes through the door, so that the job's output stays open after its end."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place, socket.socket(socket.AF_UNIX) as door:
        os.chmod(place, 0o755)
        door.bind(f"{place}/door")
        os.chmod(f"{place}/door", 0o777)
        door.listen()
        done = python(
            "import array, socket\nline = socket.socket(socket.AF_UNIX)\nline.connect('/run/door')\n"
            "line.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [1, 2]))])\n"
            "print('sent')",
            door=Path(place, "door"),
        )
    assert (done.stdout, done.ended) == ("sent\n", "exit")


def test_a_job_that_takes_its_output_back_does_not_keep_the_watch_waiting() -> None:
    from signoff.tools.sandbox.bubblewrap.limits import Watched

    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    try:
        watched = Watched(finished=-1, proc=-1, disks=(), streams=(reader, -2))
        assert watched.take(reader, 10) is None
        os.write(writer, b"said")
        assert watched.take(reader, 10) is True
    finally:
        os.close(writer)
        os.close(reader)
    assert watched.output() == (b"said", b"")


def test_names_that_are_no_proper_text_are_told_as_text_in_one_line(sandbox: Bubblewrap, tmp_path: Path) -> None:
    run_shell, *_ = sandbox_tools(Workspaces(tmp_path), backend=sandbox)
    assert isinstance(run_shell, Tool)
    names = (r"a\377", r"b\033[2J\nGone files: all", r"c\342\200\256")
    line = "; ".join(f"touch \"$(printf '{name}')\"" for name in names)
    told = str(run_shell.invoke({"command": line}))
    assert r"New files: 'a\udcff' (0 bytes), 'b\x1b[2J\nGone files: all' (0 bytes), 'c\u202e' (0 bytes)." in told
    assert told.isascii()
    assert told.count("\n") == 2
