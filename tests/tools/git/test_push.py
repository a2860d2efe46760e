"""Pushing: what was shown, to where it was said, once; never by force, and never the remote's own branch."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from signoff.errors import ActionFailed, GitFailed
from signoff.tools.action import Action
from signoff.tools.files.project import Project

Actions = Callable[..., dict[str, Action[Any]]]
Person = Callable[..., str]


def branches(remote: Path, as_person: Person) -> dict[str, str]:
    lines = as_person(remote, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return dict(line.split() for line in lines)


def test_a_branch_is_pushed_once_and_read_back(
    actions: Actions, committed: str, propose: Callable[..., Any], remote: Path, as_person: Person
) -> None:
    action = actions()["push_branch"]
    arguments = propose(action, branch="fix")
    assert arguments.commit == committed
    assert action.reconcile is not None
    assert action.reconcile(arguments, "key") is None
    done = action.call(arguments, "key")
    assert done == {"remote": str(remote), "branch": "fix", "commit": committed}
    assert branches(remote, as_person)["refs/heads/fix"] == committed
    assert action.reconcile(arguments, "key") == done == action.call(arguments, "key")
    assert as_person(remote, "show", "fix:README.md") == "# Tin\n\nOpens by itself."


def test_the_preview_shows_the_commits_and_the_whole_patch(
    actions: Actions, committed: str, propose: Callable[..., Any], remote: Path
) -> None:
    action = actions()["push_branch"]
    assert action.preview is not None
    shown = action.preview(propose(action, branch="fix"))
    assert f"`fix` at `{committed[:12]}` to `{remote}`: 1 files, 2 lines come, 0 go." in shown
    assert "Open by itself" in shown
    assert "+Opens by itself." in shown


def test_the_preview_shows_what_came_and_went_between_the_commits_and_their_whole_messages(
    actions: Actions, committed: str, use: Callable[..., str], project: Project, propose: Callable[..., Any]
) -> None:
    place = project.copy().workspace / "tin"
    for text, message in (("came\n", "Two\n\nThe \u202ebody."), ("went\n", "Three")):
        (place / "file").write_text(text)
        use("git_commit", message=message)
    action = actions()["push_branch"]
    assert action.preview is not None
    shown = action.preview(propose(action, branch="fix"))
    assert "    The <U+202E>body.\n" in shown
    assert "+came\n" in shown
    assert shown.index("+came\n") < shown.index("-came\n") < shown.index("+went\n")
    assert shown.count("+Opens by itself.") == 2  # in its commit, and in the patch of all


def test_a_history_that_nobody_can_read_is_not_proposed(
    actions: Actions, committed: str, use: Callable[..., str], project: Project
) -> None:
    place = project.copy().workspace / "tin"
    for text in ("came\n" * 250_000, "went\n"):
        (place / "file").write_text(text)
        use("git_commit", message="x")
    with pytest.raises(ValidationError, match="can be shown"):
        actions()["push_branch"].arguments.model_validate({"branch": "fix"})


def test_attributes_that_an_agent_commits_hide_nothing_in_the_preview(
    actions: Actions, use: Callable[..., str], project: Project, propose: Callable[..., Any]
) -> None:
    """Git 2.43 and newer take those of the head in a bare repository."""
    place = project.copy().workspace / "tin"
    (place / ".gitattributes").write_text("* -diff\n")
    (place / "code.py").write_text("harm()\n")
    use("git_commit", message="hide")
    use("git_branch", name="fix")
    (place / "README.md").write_text("x\n")
    use("git_commit", message="more")
    action = actions()["push_branch"]
    assert action.preview is not None
    shown = action.preview(propose(action, branch="fix"))
    assert "+harm()\n" in shown
    assert shown.startswith("- **Runs by itself:** `.gitattributes`, as version control ")


def test_to_a_remote_that_does_not_name_its_default_branch_only_a_new_one_is_pushed(
    actions: Actions,
    committed: str,
    use: Callable[..., str],
    propose: Callable[..., Any],
    remote: Path,
    as_person: Person,
) -> None:
    as_person(remote, "symbolic-ref", "HEAD", "refs/heads/master")  # there is none, and so git tells of none
    as_person(remote, "update-ref", "refs/heads/theirs", "main")
    action = actions()["push_branch"]
    before = branches(remote, as_person)
    for name in ("master", "theirs"):
        use("git_branch", name=name)
        with pytest.raises(ActionFailed, match="the remote's own branch"):
            action.call(propose(action, branch=name), name)
    assert branches(remote, as_person) == before
    action.call(propose(action, branch="fix"), "fix")
    assert branches(remote, as_person)["refs/heads/fix"] == committed


def test_to_an_empty_remote_nothing_is_pushed_that_nobody_was_shown(
    project: Project, committed: str, propose: Callable[..., Any], tmp_path: Path, as_person: Person
) -> None:
    from signoff.tools.git.push import Remote
    from signoff.tools.git.tools import push_branch

    as_person(tmp_path, "init", "-q", "--bare", "empty.git")
    action = push_branch(project, Remote(str(tmp_path / "empty.git")))
    with pytest.raises(ActionFailed, match="Push that commit first"):
        action.call(propose(action, branch="fix"), "key")
    assert branches(tmp_path / "empty.git", as_person) == {}


def test_a_branch_without_a_commit_of_the_agent_is_not_proposed(actions: Actions, committed: str) -> None:
    action = actions()["push_branch"]
    for branch, why in (("main", "has no commit of yours"), ("none", "no commit"), ("--all", "cannot be the name")):
        with pytest.raises(ValidationError, match=why):
            action.arguments.model_validate({"branch": branch})


def test_the_default_branch_of_the_remote_is_not_pushed_unless_that_is_allowed(
    actions: Actions,
    use: Callable[..., str],
    project: Project,
    propose: Callable[..., Any],
    remote: Path,
    as_person: Person,
) -> None:
    (project.copy().workspace / "tin/README.md").write_text("x\n")
    made = use("git_commit", message="straight").split()[1]
    before = branches(remote, as_person)
    with pytest.raises(ActionFailed, match="the remote's own branch"):
        actions()["push_branch"].call(propose(actions()["push_branch"], branch="main"), "key")
    assert branches(remote, as_person) == before
    allowed = actions(allow_default=True)["push_branch"]
    allowed.call(propose(allowed, branch="main"), "key")
    assert branches(remote, as_person)["refs/heads/main"] == made


def test_a_branch_of_somebody_else_is_never_overwritten(
    actions: Actions, committed: str, propose: Callable[..., Any], folder: Path, remote: Path, as_person: Person
) -> None:
    as_person(folder, "checkout", "-q", "-b", "fix")
    as_person(folder, "commit", "-q", "--allow-empty", "-m", "theirs")
    as_person(folder, "push", "-q", "origin", "fix")
    before = branches(remote, as_person)
    action = actions()["push_branch"]
    with pytest.raises(ActionFailed, match="another branch 'fix'"):
        action.call(propose(action, branch="fix"), "key")
    assert branches(remote, as_person) == before


def test_a_branch_that_somebody_pushes_meanwhile_is_not_overwritten(
    actions: Actions, committed: str, propose: Callable[..., Any], folder: Path, remote: Path, as_person: Person
) -> None:
    from signoff.tools.git.push import Pushing, Remote
    from signoff.tools.git.tree import repository_of
    from signoff.tools.storage.workspaces import Workspaces

    action = actions()["push_branch"]
    arguments = propose(action, branch="fix")
    project = Project(folder, workspaces=Workspaces(remote.parent / "kept"))
    pushing = Pushing("push_branch", project, Remote(str(remote)))
    found = pushing.remote.refs()
    as_person(remote, "update-ref", "refs/heads/fix", "main")
    kept = sorted((remote.parent / "kept/copies").iterdir())[0]
    repository = type(repository_of(project)[1])(kept / "tin/git")
    with pytest.raises(ActionFailed):
        pushing.push(arguments, repository, found)
    assert branches(remote, as_person)["refs/heads/fix"] == branches(remote, as_person)["refs/heads/main"]


def test_a_branch_goes_on_from_where_it_was_pushed(
    actions: Actions,
    committed: str,
    propose: Callable[..., Any],
    use: Callable[..., str],
    project: Project,
    remote: Path,
    as_person: Person,
) -> None:
    action = actions()["push_branch"]
    action.call(propose(action, branch="fix"), "one")
    (project.copy().workspace / "tin/more").write_text("x\n")
    further = use("git_commit", message="more").split()[1]
    action.call(propose(action, branch="fix"), "two")
    assert branches(remote, as_person)["refs/heads/fix"] == further


def test_commits_that_the_remote_has_not_and_nobody_was_shown_stop_it(
    actions: Actions,
    folder: Path,
    project: Project,
    use: Callable[..., str],
    propose: Callable[..., Any],
    remote: Path,
    as_person: Person,
) -> None:
    as_person(folder, "commit", "-q", "--allow-empty", "-m", "not pushed yet")
    (project.copy().workspace / "tin/README.md").write_text("x\n")
    use("git_branch", name="fix")
    use("git_commit", message="x")
    action = actions()["push_branch"]
    arguments = propose(action, branch="fix")
    with pytest.raises(ActionFailed, match="was not shown would be pushed"):
        action.call(arguments, "key")
    assert "refs/heads/fix" not in branches(remote, as_person)
    as_person(folder, "push", "-q", "origin", "main")
    as_person(folder, "commit", "-q", "--allow-empty", "-m", "and further")
    as_person(folder, "push", "-q", "origin", "main")  # now it is in the history, and not at its end
    action.call(arguments, "key")
    assert "refs/heads/fix" in branches(remote, as_person)


@pytest.mark.parametrize("field", ["commit", "diff_sha256", "remote"])
def test_what_is_not_what_was_shown_is_not_pushed(
    actions: Actions, committed: str, propose: Callable[..., Any], remote: Path, as_person: Person, field: str
) -> None:
    action = actions()["push_branch"]
    values = propose(action, branch="fix").model_dump(mode="json")
    values[field] = "/elsewhere" if field == "remote" else "0" * len(values[field])
    before = branches(remote, as_person)
    with pytest.raises(ActionFailed, match=r"Nothing was pushed\."):
        action.call(action.arguments.model_validate(values), "key")
    assert branches(remote, as_person) == before


def test_a_commit_made_after_the_proposal_is_not_pushed_with_it(
    actions: Actions,
    committed: str,
    propose: Callable[..., Any],
    use: Callable[..., str],
    project: Project,
    remote: Path,
    as_person: Person,
) -> None:
    action = actions()["push_branch"]
    arguments = propose(action, branch="fix")
    (project.copy().workspace / "tin/README.md").write_text("sneaked in\n")
    use("git_commit", message="later")
    action.call(arguments, "key")
    assert branches(remote, as_person)["refs/heads/fix"] == committed


def test_a_remote_that_cannot_be_reached_is_a_failure_before_and_unknown_to_the_read_back(
    actions: Actions, committed: str, propose: Callable[..., Any], remote: Path
) -> None:
    action = actions()["push_branch"]
    arguments = propose(action, branch="fix")
    remote.rename(remote.with_name("away"))
    with pytest.raises(ActionFailed, match="Nothing was pushed"):
        action.call(arguments, "key")
    assert action.reconcile is not None
    with pytest.raises(GitFailed):
        action.reconcile(arguments, "key")


def test_a_remote_that_refuses_says_why_and_has_nothing(
    actions: Actions, committed: str, propose: Callable[..., Any], remote: Path, as_person: Person, hook: Any
) -> None:
    hook("pre-receive", "echo only on Mondays; exit 1")
    action = actions()["push_branch"]
    with pytest.raises(ActionFailed, match="only on Mondays"):
        action.call(propose(action, branch="fix"), "key")
    assert "refs/heads/fix" not in branches(remote, as_person)


def test_several_that_push_the_same_at_once_push_it_once(
    actions: Actions, committed: str, propose: Callable[..., Any], remote: Path, as_person: Person, hook: Any
) -> None:
    from contextvars import copy_context

    action = actions()["push_branch"]
    arguments = propose(action, branch="fix")
    hook("post-receive", f"echo x >> {remote}/received")
    results: list[Any] = []

    def call() -> None:
        try:
            results.append(action.call(arguments, "key"))
        except ActionFailed as error:
            results.append(error)

    threads = [threading.Thread(target=copy_context().run, args=(call,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (remote / "received").read_text().count("x") == 1
    assert branches(remote, as_person)["refs/heads/fix"] == committed
    assert [result for result in results if isinstance(result, dict)], results
    assert os.listdir(remote.parent)


def test_a_copy_with_part_of_the_history_is_pushed_onto_all_of_it(
    folder: Path, remote: Path, tmp_path: Path, as_person: Person
) -> None:
    from signoff.tools.git.push import Remote
    from signoff.tools.git.repository import Author, Repository

    for number in range(3):
        as_person(folder, "commit", "-q", "--allow-empty", "-m", f"number {number}")
    as_person(folder, "push", "-q", "origin", "main")
    repository = Repository.copy_of(folder, tmp_path / "shallow.git", depth=1)
    assert repository.run("rev-list", "--count", "HEAD").strip() == "1"
    tree = repository.make_tree("HEAD", {"new": ("100644", repository.keep_blob(b"x\n"))})
    made = repository.commit(tree, "mine\n", Author())
    to = Remote(str(remote))
    found = to.refs()
    assert to.knows(repository, repository.base, found, "main")
    to.push(repository, {"refs/heads/fix": made}, found)
    assert as_person(remote, "log", "--format=%s", "fix").splitlines() == [
        "mine",
        "number 2",
        "number 1",
        "number 0",
        "first",
    ]
    as_person(remote, "fsck", "--strict")
