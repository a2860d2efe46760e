"""Taking out: what was seen is applied, whole and once, whatever is killed; or nothing is."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm
from pydantic import ValidationError

from signoff.errors import ActionFailed, HalfApplied
from signoff.tools.action import Action
from signoff.tools.files.project import Project

Propose = Callable[[], Any]


def below(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mode)
        for path in folder.rglob("*")
        if path.is_file()
    }


def proposed(use: Callable[..., str], action: Action[Any]) -> Any:
    """The arguments as they are kept, of what show_changes says."""
    sha256 = use("show_changes").removeprefix("changes=")[:64]
    proposal = action.propose(action.arguments.model_validate({"changes": sha256}))
    arguments = action.arguments.model_validate(json.loads(json.dumps(proposal.args)))
    assert arguments.model_dump(mode="json") == proposal.args  # what is ruled on is what the action gets
    return arguments


def change_much(use: Callable[..., str]) -> None:
    use("edit_file", path="README.md", old="Tin", new="Can ```` \u202e")
    use("write_file", path="deep/new.sh", text="#!/bin/sh\n", executable=True)
    use("edit_file", path="src/windows.txt", old="two\n", new="2\n")
    use("apply_patch", patch="--- a/src/old.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-café\n")


def test_what_was_changed_in_the_copy_is_applied_to_the_project(
    use: Callable[..., str], action: Action[Any], folder: Path, project: Project
) -> None:
    change_much(use)
    arguments = proposed(use, action)
    assert "café" not in arguments.files[0].path
    assert action.reconcile is not None
    assert action.reconcile(arguments, "key") is None
    done = action.call(arguments, "key")
    assert done["files"] == ["README.md", "deep/new.sh", "src/old.txt", "src/windows.txt"]
    assert (folder / "README.md").read_text("utf-8") == "# Can ```` \u202e\n\nA can of things.\n"
    assert (folder / "deep/new.sh").stat().st_mode & 0o100
    assert (folder / "src/windows.txt").read_bytes() == b"one\r\n2\r\nthree\r\n"
    assert not (folder / "src/old.txt").exists()
    assert action.reconcile(arguments, "key") == done
    after = below(folder)
    assert action.call(arguments, "key") == done
    assert below(folder) == after
    assert use("show_changes") == "Nothing was changed in the copy."


def test_a_change_of_the_mode_alone_is_taken_out(use: Callable[..., str], action: Action[Any], folder: Path) -> None:
    use("apply_patch", patch="diff --git a/run.sh b/run.sh\nold mode 100755\nnew mode 100644\n")
    arguments = proposed(use, action)
    action.call(arguments, "key")
    assert not (folder / "run.sh").stat().st_mode & 0o111
    assert (folder / "run.sh").read_bytes() == b"#!/bin/sh\n"


def test_a_file_may_become_a_folder_and_a_folder_a_file(
    use: Callable[..., str], action: Action[Any], folder: Path, project: Project
) -> None:
    place = project.copy().workspace / "tin"
    (place / "README.md").unlink()
    (place / "README.md").mkdir()
    (place / "README.md/more").write_text("x\n")
    for name in ("old.txt", "tin.py", "windows.txt"):
        (place / "src" / name).unlink()
    (place / "src").rmdir()
    (place / "src").write_text("y\n")
    action.call(proposed(use, action), "key")
    assert (folder / "README.md/more").read_text() == "x\n"
    assert (folder / "src").read_text() == "y\n"


def test_the_copy_can_be_changed_further_after_it_was_taken_out(
    use: Callable[..., str], action: Action[Any], folder: Path
) -> None:
    for old, new in (("Tin", "Can"), ("Can", "Pot")):
        use("edit_file", path="README.md", old=old, new=new)
        action.call(proposed(use, action), new)
    assert (folder / "README.md").read_bytes().startswith(b"# Pot\n")


def test_the_preview_is_the_whole_patch_in_a_block_that_nothing_ends_and_hides_nothing(
    use: Callable[..., str], action: Action[Any]
) -> None:
    change_much(use)
    assert action.preview is not None
    shown = action.preview(proposed(use, action))
    assert "4 files" in shown
    assert "`deep/new.sh`: new, **executable**" in shown
    assert "\u202e" not in shown
    assert "<U+202E>" in shown
    *_, block = shown.split("\n\n`````diff\n")
    assert block.endswith("\n`````")
    assert "````" in block.removesuffix("\n`````")
    assert "+2␍" in block


def test_files_that_run_by_themselves_are_told_first(use: Callable[..., str], action: Action[Any]) -> None:
    for path in ("tests/conftest.py", "src/x.txt"):
        use("write_file", path=path, text="x\n")
    assert action.preview is not None
    told, _, rest = action.preview(proposed(use, action)).partition("\n\n")
    assert told.startswith("- **Runs by itself:** `tests/conftest.py`, ")
    assert ("\n" in told, rest.startswith("Changes 2 files")) == (False, True)


def test_a_git_folder_of_another_name_is_left_alone(use: Callable[..., str], action: Action[Any], folder: Path) -> None:
    use("write_file", path="kept/config", text="x\n")
    changes = proposed(use, action)
    for made in ("objects", "refs"):
        (folder / "kept" / made).mkdir(parents=True)
    (folder / "kept" / "HEAD").touch()
    with pytest.raises(ActionFailed, match="git repository's own folder"):
        action.call(changes, "key")
    assert not (folder / "kept" / "config").exists()


def test_a_file_that_was_changed_since_stops_all_of_it(
    use: Callable[..., str], action: Action[Any], folder: Path
) -> None:
    change_much(use)
    arguments = proposed(use, action)
    (folder / "src/windows.txt").write_text("mine")
    before = below(folder)
    assert action.preview is not None
    assert "does not fit any more" in action.preview(arguments)
    with pytest.raises(ActionFailed, match="was changed since"):
        action.call(arguments, "key")
    assert below(folder) == before
    assert "was changed since" in use("show_changes")


def test_what_is_not_committed_in_the_project_is_not_overwritten(
    tmp_path: Path, folder: Path, project: Project
) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for arguments in (("init", "-q"), ("add", "README.md"), ("commit", "-qm", "x")):
        subprocess.run(["git", *who, *arguments], cwd=folder, check=True)
    (folder / "README.md").write_text("mine")
    from signoff.tools.files.tools import file_tools

    tools = {tool.name: tool for tool in file_tools(project)}
    tools["edit_file"].invoke({"path": "README.md", "old": "Tin", "new": "Can"})  # type: ignore[union-attr]  # it is a tool
    assert "is not committed there" in tools["show_changes"].invoke({})  # type: ignore[union-attr]  # it is a tool


@pytest.mark.parametrize("tampered", ["patch", "folder", "files", "unknown"])
def test_arguments_that_are_not_what_was_shown_are_refused(
    use: Callable[..., str], action: Action[Any], folder: Path, tampered: str
) -> None:
    change_much(use)
    values = proposed(use, action).model_dump(mode="json")
    if tampered == "patch":
        values["patch"] = values["patch"].replace("Can", "Bad")
    elif tampered == "folder":
        values["folder"] = "/"
    elif tampered == "files":
        values["files"] = values["files"][1:]
    else:
        values = {"changes": "0" * 64}
    with pytest.raises(ValidationError):
        action.arguments.model_validate(values)


@pytest.mark.parametrize("path", ["kept/blobs/planted", ".venv/planted.pth", "a/node_modules/planted.js"])
def test_a_patch_that_was_made_up_with_its_digest_touches_nothing_that_is_not_copied(folder: Path, path: str) -> None:
    from signoff.tools.files.apply_action import Touched, apply_to_project, digest_of
    from signoff.tools.storage.workspaces import Workspaces

    patch = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
    files = (Touched(path=path, before="", after=hashlib.sha256(b"x\n").hexdigest()),)
    made_up = {"folder": str(folder), "patch": patch, "files": [file.model_dump() for file in files]}
    action = apply_to_project(Project(folder, workspaces=Workspaces(folder / "kept")))
    (folder / "kept").mkdir()
    changes = action.arguments.model_validate({"changes": digest_of(str(folder), patch, files), **made_up})
    with pytest.raises(ActionFailed, match="is no file that agents may change"):
        action.call(changes, "key")
    assert action.preview is not None
    assert "cannot be applied here" in action.preview(changes)
    assert not (folder / path).exists()


def test_the_preview_writes_out_what_leaves_no_trace(use: Callable[..., str], action: Action[Any]) -> None:
    unseen = "\ufe0f\U000e0101\u3164\u115f\u2800\u034f\u17b4\uffa0\u200b"
    use("edit_file", path="README.md", old="Tin", new=unseen)
    use("write_file", path="two\nlines  apart", text="x\n")
    assert action.preview is not None
    shown = action.preview(proposed(use, action))
    assert not set(unseen) & set(shown)
    assert "+# " + "".join(f"<U+{ord(char):04X}>" for char in unseen) in shown
    assert "- `two<U+000A>lines  apart`: new" in shown


def test_a_patch_of_another_folder_is_not_applied(
    use: Callable[..., str], action: Action[Any], tmp_path: Path, project: Project
) -> None:
    from signoff.tools.files.apply_action import apply_to_project

    change_much(use)
    arguments = proposed(use, action)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ActionFailed, match="and this is"):
        apply_to_project(Project(other, workspaces=project.workspaces)).call(arguments, "key")
    assert list(other.iterdir()) == []


def test_a_project_folder_that_became_a_link_is_not_written_through(
    use: Callable[..., str], action: Action[Any], folder: Path, tmp_path: Path
) -> None:
    use("edit_file", path="src/tin.py", old="return 1", new="return 3")
    arguments = proposed(use, action)
    (folder / "src").rename(tmp_path / "elsewhere")
    (folder / "src").symlink_to(tmp_path / "elsewhere")
    before = below(tmp_path / "elsewhere")
    with pytest.raises(ActionFailed, match="link"):
        action.call(arguments, "key")
    assert below(tmp_path / "elsewhere") == before


def test_if_a_file_cannot_be_written_what_was_written_before_is_taken_back(
    use: Callable[..., str], action: Action[Any], folder: Path
) -> None:
    use("edit_file", path="README.md", old="Tin", new="Can")
    use("write_file", path="zone/file", text="x")
    arguments = proposed(use, action)
    (folder / "zone").write_text("a file where a folder should be")
    before = below(folder)
    with pytest.raises(ActionFailed, match=r"[Nn]othing was changed"):
        action.call(arguments, "key")
    assert below(folder) == before


KILLED = """
import json, os, sys
from signoff.tools.files.project import Project
from signoff.tools.files.apply_action import apply_to_project
from signoff.tools.storage.workspaces import Workspaces

left = int(sys.argv[3])
action = apply_to_project(Project(sys.argv[1], workspaces=Workspaces(sys.argv[2])))
arguments = action.arguments.model_validate(json.load(sys.stdin))

def stop(event, args):
    global left
    if event in ("os.rename", "os.remove") and ".signoff-" in str(args[0]) or event == "os.remove":
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)

sys.addaudithook(stop)
print(json.dumps(dict(action.call(arguments, "key"))))
"""


@pytest.mark.parametrize("writes", range(4))
def test_a_call_that_is_killed_between_two_files_is_finished_by_the_next(
    use: Callable[..., str], action: Action[Any], folder: Path, project: Project, writes: int
) -> None:
    change_much(use)
    arguments = proposed(use, action)
    before = below(folder)
    done = warm.run(
        [sys.executable, "-c", KILLED, str(folder), str(project.home), str(writes)],
        input=json.dumps(arguments.model_dump(mode="json")),
        text=True,
        check=False,
    )
    assert done.returncode == -9
    touched = {file.path for file in arguments.files}
    changed = {path for path in touched if below(folder).get(path) != before.get(path)}
    assert len(changed) == writes
    assert action.reconcile is not None
    assert action.reconcile(arguments, "key") is None
    result = action.call(arguments, "key")
    assert action.reconcile(arguments, "key") == result
    after = below(folder)
    assert set(after) == set(before) - {"src/old.txt"} | {"deep/new.sh"}  # and nothing half-written is left
    assert after["README.md"][0].startswith(b"# Can")


def test_a_call_that_was_killed_and_then_overtaken_by_a_person_is_left_to_a_person(
    use: Callable[..., str], action: Action[Any], folder: Path
) -> None:
    change_much(use)
    arguments = proposed(use, action)
    (folder / "README.md").write_bytes("# Can ```` \u202e\n\nA can of things.\n".encode())  # as a killed call left it
    (folder / "src/windows.txt").write_text("mine")
    assert action.reconcile is not None
    for attempt in (action.call, action.reconcile):
        with pytest.raises(HalfApplied, match=r"src/windows\.txt"):
            attempt(arguments, "key")
    assert (folder / "src/windows.txt").read_text() == "mine"
