"""Pull requests of any project: the branch is the key, over runs too, and what GitHub says exists is looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from signoff.errors import ActionFailed, PullNotOpened
from signoff.tools.files.project import Project
from signoff.tools.git import open_any_pull_request, pull_of
from signoff.tools.storage import Workspaces

Person = Callable[..., str]


def proposed(folder: Path, home: Path, remote: Path, forge: Any, text: str = "# Tin\n\nMended.\n") -> tuple[Any, Any]:
    """The action and what it is asked for, as a run of its own makes them."""
    spaces = Workspaces(home, part=str(folder))
    project = Project(folder, workspaces=spaces)
    copy = project.copy()
    (copy.workspace / "tin/README.md").write_text(text)
    github = (lambda _: forge.github()) if forge is not None else None
    action = open_any_pull_request(lambda _: spaces, None, github)
    where = "ann/tin" if forge is not None else ""
    return action, pull_of(project, "signoff/X/1", "Mend it", "It is better.", str(remote), where)


def test_the_same_change_is_the_same_pull_request_in_another_run(
    folder: Path, remote: Path, forge: Any, tmp_path: Path
) -> None:
    first, asked = proposed(folder, tmp_path / "one", remote, forge)
    done = first.call(asked, "key")
    second, again = proposed(folder, tmp_path / "two", remote, forge)
    assert again.commit == asked.commit
    assert second.reconcile(again, "another key") == done == second.call(again, "another key")
    assert len(forge.pulls) == 1


def test_one_that_github_says_exists_is_looked_at_and_taken_if_it_is_the_same(
    folder: Path, remote: Path, forge: Any, tmp_path: Path
) -> None:
    """Somebody opened it between the look and the request, which is answered with 422."""
    action, asked = proposed(folder, tmp_path / "one", remote, forge)
    opened = forge.open

    def fault(method: str, path: str) -> Any:
        if method == "POST" and not forge.pulls:
            from signoff.tools.git.pull_requests import mark_of

            opened({"title": "t", "body": mark_of(asked.branch), "head": asked.branch, "base": "main"})
        return None

    forge.fault = fault
    assert action.call(asked, "key")["number"] == 1
    assert len(forge.pulls) == 1


def test_a_422_without_such_a_pull_request_is_not_believed(
    folder: Path, remote: Path, forge: Any, tmp_path: Path
) -> None:
    action, asked = proposed(folder, tmp_path / "one", remote, forge)
    answer: Any = (422, {}, {"message": "Validation Failed", "errors": [{"message": "A pull request already exists"}]})
    forge.fault = lambda method, path: answer if method == "POST" else None
    with pytest.raises(PullNotOpened, match="already exists"):
        action.call(asked, "key")
    assert forge.pulls == []


def test_one_of_the_same_branch_at_another_commit_is_not_the_same(
    folder: Path, remote: Path, forge: Any, tmp_path: Path
) -> None:
    first, asked = proposed(folder, tmp_path / "one", remote, forge)
    first.call(asked, "key")
    second, other = proposed(folder, tmp_path / "two", remote, forge, "# Other\n")
    assert second.reconcile(other, "key") is None
    with pytest.raises(ActionFailed):
        second.call(other, "key")
    assert len(forge.pulls) == 1


def test_in_a_bare_repository_there_is_one_record_for_a_branch(
    folder: Path, remote: Path, tmp_path: Path, as_person: Person
) -> None:
    for name in ("one", "two"):
        action, asked = proposed(folder, tmp_path / name, remote, None)
        action.call(asked, name)
    assert len(as_person(remote, "for-each-ref", "refs/signoff/pulls").splitlines()) == 1
