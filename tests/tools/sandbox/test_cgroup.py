"""The kernel's part is played by a folder: cgroups of version 2 that can be limited are not on every machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from signoff.tools.sandbox.bubblewrap.limits import make_group
from signoff.tools.sandbox.sandbox import SandboxLimits

LIMITS = SandboxLimits(memory_mb=100)


def machine(place: Path, own: str, hands_on: str) -> dict[str, Path]:
    """A machine whose processes are in this cgroup, beside which others may be made."""
    (place / "cgroup").mkdir()
    (place / "own").write_text(f"12:pids:/elsewhere\n{own}\n")
    for folder in (place / "cgroup", place / "cgroup" / "user"):
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.subtree_control").write_text(hands_on)
    return {"root": place / "cgroup", "own": place / "own"}


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize(("own", "beside"), [("0::/user/session.scope", "user"), ("0::/user", ""), ("0::/", "")])
def test_a_group_is_made_beside_our_own_and_limited_before_the_process_is_in_it(
    tmp_path: Path, own: str, beside: str
) -> None:
    group = make_group(4242, LIMITS, 50, 20, **machine(tmp_path, own, "cpu memory pids"))
    assert group is not None
    assert group.folder.parent == tmp_path / "cgroup" / beside
    assert contents(group.folder) == {
        "memory.max": str(150 << 20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "20",
        "cgroup.procs": "4242",
    }


@pytest.mark.parametrize(
    ("own", "hands_on"), [("0::/user/session.scope", "cpu pids"), ("0::/gone/session.scope", "memory pids"), ("", "")]
)
def test_where_no_group_can_be_limited_there_is_none(tmp_path: Path, own: str, hands_on: str) -> None:
    there = machine(tmp_path, own, hands_on)
    before = sorted(there["root"].rglob("*"))
    assert make_group(4242, LIMITS, 50, 20, **there) is None
    assert sorted(there["root"].rglob("*")) == before


def test_what_the_kernel_ended_for_want_of_memory_is_told(tmp_path: Path) -> None:
    group = make_group(4242, LIMITS, 50, 20, **machine(tmp_path, "0::/user", "memory pids"))
    assert group is not None
    (group.folder / "memory.events").write_text("low 0\nhigh 0\nmax 7\noom 0\noom_kill 0\n")
    assert not group.ran_out()
    (group.folder / "memory.events").write_text("low 0\nhigh 0\nmax 7\noom 1\noom_kill 3\n")
    assert group.ran_out()


def test_an_empty_group_is_removed_and_another_is_let_be(tmp_path: Path) -> None:
    group = make_group(4242, LIMITS, 50, 20, **machine(tmp_path, "0::/user", "memory pids"))
    assert group is not None
    group.remove()
    assert group.folder.exists()
    for name in os.listdir(group.folder):
        (group.folder / name).unlink()
    group.remove()
    assert not group.folder.exists()
