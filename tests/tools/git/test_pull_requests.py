"""Pull requests: pushed and opened once, whatever the server or the process does in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from signoff.errors import ActionFailed, ForgeFailed, PullNotOpened
from signoff.tools.action import Action
from signoff.tools.files.project import Project

Actions = Callable[..., dict[str, Action[Any]]]
Person = Callable[..., str]
PULLS = "/repos/ann/tin/pulls"


@pytest.fixture
def opening(actions: Actions, forge: Any) -> Action[Any]:
    """open_pull_request, on the loopback server."""
    return actions(github=forge.github())["open_pull_request"]


@pytest.fixture
def request_of(opening: Action[Any], committed: str, propose: Callable[..., Any]) -> Any:
    """A pull request for the branch `fix`."""
    return propose(opening, branch="fix", title="Open by itself", body="It is better.")


def at(forge: Any, method: str, answer: Any, *, path: str = PULLS) -> None:
    """What goes wrong with one kind of request."""
    forge.fault = lambda asked, where: answer if (asked, where) == (method, path) else None


def pushed(remote: Path, as_person: Person) -> bool:
    return "fix" in as_person(remote, "for-each-ref", "--format=%(refname:lstrip=2)").splitlines()


def test_a_pull_request_is_opened_once_and_read_back(
    opening: Action[Any], request_of: Any, forge: Any, committed: str
) -> None:
    assert opening.reconcile is not None
    assert opening.reconcile(request_of, "key") is None
    done = opening.call(request_of, "key")
    assert done["number"] == 1
    (pull,) = forge.pulls
    assert pull["title"] == "Open by itself"
    assert pull["body"].startswith("It is better.\n\n<!-- signoff:")
    assert (pull["head"], pull["base"]) == ({"ref": "fix", "sha": committed}, {"ref": "main"})
    assert opening.reconcile(request_of, "key") == done == opening.call(request_of, "key")
    assert len(forge.pulls) == 1
    forge.pulls[0]["state"] = "closed"  # it was opened all the same
    assert opening.reconcile(request_of, "key") == {**done, "state": "closed"}


def test_a_title_is_one_line(opening: Action[Any], request_of: Any) -> None:
    with pytest.raises(ValidationError, match="title"):
        opening.arguments.model_validate({**request_of.model_dump(mode="json"), "title": "Open\n\nBase: main"})


def test_the_preview_shows_title_text_and_patch(opening: Action[Any], request_of: Any) -> None:
    assert opening.preview is not None
    shown = opening.preview(request_of)
    for part in (
        "`ann/tin`",
        "`Open by itself`",
        "```markdown\nIt is better.\n```",
        "+Opens by itself.",
        "the default branch",
    ):
        assert part in shown


@pytest.mark.parametrize("answer", ["drop", (502, {}, {"message": "Bad Gateway"})])
def test_an_answer_that_is_lost_after_it_was_opened_is_found_by_the_read_back(
    opening: Action[Any], request_of: Any, forge: Any, answer: Any
) -> None:
    if answer != "drop":
        opened = forge.open

        def fault(method: str, path: str) -> Any:
            if method == "POST":
                opened({"title": "t", "body": mark, "head": "fix", "base": "main"})
                return answer
            return None

        from signoff.tools.git.pull_requests import mark_of

        mark = mark_of("key")
        forge.fault = fault
    else:
        at(forge, "POST", "drop")
    with pytest.raises(PullNotOpened, match="may have done it"):
        opening.call(request_of, "key")
    assert len(forge.pulls) == 1
    forge.fault = lambda method, path: None
    assert opening.reconcile is not None
    found = opening.reconcile(request_of, "key")
    assert found is not None
    assert found["number"] == 1
    assert opening.call(request_of, "key") == found
    assert len(forge.pulls) == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((401, {}, {"message": "Bad credentials"}), "missing or wrong: give it to the broker"),
        ((403, {}, {"message": "Resource not accessible"}), "may not do this"),
        ((403, {"x-ratelimit-remaining": "0"}, {"message": "API rate limit exceeded"}), "rate limit is used up"),
        ((429, {"retry-after": "60"}, {"message": "slow down"}), "try again in 60 seconds"),
        ((429, {"retry-after": "1m30s"}, {"message": "slow down"}), "try again in 90 seconds"),
        ((404, {}, {"message": "Not Found"}), "no such repository"),
        ((301, {"location": "http://example.org/"}, {}), "HTTP 301"),
        ((200, {}, {"odd": True}), "something else than a list"),
        ("hang up", "GitHub did not do it"),
    ],
)
def test_a_server_that_refuses_to_be_read_stops_it_before_anything_is_pushed(
    opening: Action[Any], request_of: Any, forge: Any, remote: Path, as_person: Person, answer: Any, why: str
) -> None:
    at(forge, "GET", answer)
    with pytest.raises(ActionFailed, match=why):
        opening.call(request_of, "key")
    assert not pushed(remote, as_person)
    assert forge.pulls == []
    assert opening.reconcile is not None
    with pytest.raises(ForgeFailed):
        opening.reconcile(request_of, "key")  # while it cannot be asked, nothing is known


def test_a_token_that_may_not_push_stops_it_before_anything_is_pushed(
    opening: Action[Any], request_of: Any, forge: Any, remote: Path, as_person: Person
) -> None:
    at(forge, "GET", (200, {}, {"permissions": {"push": False}}), path="/repos/ann/tin")
    with pytest.raises(ActionFailed, match="may not push"):
        opening.call(request_of, "key")
    assert not pushed(remote, as_person)


@pytest.mark.parametrize("status", [401, 403, 422])
def test_a_refusal_after_the_push_says_that_the_branch_is_there(
    opening: Action[Any], request_of: Any, forge: Any, remote: Path, as_person: Person, status: int
) -> None:
    at(forge, "POST", (status, {}, {"message": "no"}))
    with pytest.raises(PullNotOpened, match=r"The branch 'fix' was pushed\. GitHub did not do it"):
        opening.call(request_of, "key")
    assert pushed(remote, as_person)
    forge.fault = lambda method, path: None
    assert opening.reconcile is not None
    assert opening.reconcile(request_of, "key") is None
    assert opening.call(request_of, "key")["number"] == 1


def test_a_pull_request_of_somebody_else_from_this_branch_is_not_taken_for_ours(
    opening: Action[Any], request_of: Any, forge: Any, folder: Path, remote: Path, as_person: Person
) -> None:
    as_person(folder, "push", "-q", "origin", "main:fix")
    forge.open({"title": "theirs", "body": "", "head": "fix", "base": "main"})
    with pytest.raises(ActionFailed, match="already"):
        opening.call(request_of, "key")
    assert opening.reconcile is not None
    assert opening.reconcile(request_of, "key") is None
    assert len(forge.pulls) == 1
    assert "POST " + PULLS not in forge.asked


def test_the_same_under_another_key_is_another_pull_request(opening: Action[Any], request_of: Any, forge: Any) -> None:
    opening.call(request_of, "one")
    with pytest.raises(ActionFailed, match="already"):
        opening.call(request_of, "two")
    forge.pulls[0]["state"] = "closed"
    assert opening.call(request_of, "two")["number"] == 2


KILLED = """
import json, sys
import httpx2
from signoff.tools.files.project import Project
from signoff.tools.git.pull_requests import GitHub
from signoff.tools.git.tools import git_tools
from signoff.tools.storage.workspaces import Workspaces
from langchain_core.runnables import RunnableLambda

folder, home, remote, api = sys.argv[1:]
project = Project(folder, workspaces=Workspaces(home))
github = GitHub("ann/tin", lambda: httpx2.Client(trust_env=False), api)
action = {tool.name: tool for tool in git_tools(project, remote=remote, github=github)}["open_pull_request"]
step = RunnableLambda(lambda _: action.call(action.arguments.model_validate(json.load(sys.stdin)), "key"))
step.invoke(None, {"configurable": {"thread_id": "t"}})
"""


@pytest.mark.parametrize("opened", [False, True])
def test_a_process_that_is_killed_between_push_and_answer_opens_one_in_the_end(
    folder: Path, tmp_path: Path, forge: Any, remote: Path, as_person: Person, opened: bool
) -> None:
    from langchain_core.runnables import RunnableLambda

    from signoff.tools.git.tools import git_tools
    from signoff.tools.storage.workspaces import Workspaces

    project = Project(folder, workspaces=Workspaces(tmp_path / "kept"))
    tools = {tool.name: tool for tool in git_tools(project, remote=str(remote), github=forge.github())}
    action: Any = tools["open_pull_request"]

    def in_run(step: Callable[[], Any]) -> Any:
        return RunnableLambda(lambda _: step()).invoke(None, {"configurable": {"thread_id": "t"}})

    def prepare() -> Any:
        (project.copy().workspace / "tin/README.md").write_text("# Tin\n\nOpens by itself.\n")
        tools["git_branch"].invoke({"name": "fix"})  # type: ignore[union-attr]  # it is a tool
        tools["git_commit"].invoke({"message": "Open by itself"})  # type: ignore[union-attr]  # it is a tool
        return action.arguments.model_validate({"branch": "fix", "title": "Open"})

    request = in_run(prepare)
    command = [sys.executable, "-c", KILLED, str(folder), str(tmp_path / "kept"), str(remote)]
    process = subprocess.Popen([*command, f"http://127.0.0.1:{forge.port}"], stdin=subprocess.PIPE, text=True)

    def fault(method: str, path: str) -> Any:
        if method != "POST":
            return None
        os.kill(process.pid, signal.SIGKILL)
        return "drop" if opened else "hang up"

    forge.fault = fault
    process.communicate(json.dumps(request.model_dump(mode="json")))
    assert process.returncode == -9
    assert pushed(remote, as_person)
    assert len(forge.pulls) == int(opened)
    forge.fault = lambda method, path: None
    known = in_run(lambda: action.reconcile(request, "key"))
    assert (known is not None) is opened
    done = in_run(lambda: action.call(request, "key"))
    assert done["number"] == 1
    assert len(forge.pulls) == 1


def test_in_a_bare_repository_branch_and_record_are_pushed_together_and_once(
    actions: Actions, committed: str, propose: Callable[..., Any], remote: Path, as_person: Person
) -> None:
    action = actions()["open_pull_request"]
    request = propose(action, branch="fix", title="Open by itself", body="It is better.")
    assert action.reconcile is not None
    assert action.reconcile(request, "key") is None
    done = action.call(request, "key")
    assert action.reconcile(request, "key") == done == action.call(request, "key")
    record = as_person(remote, "for-each-ref", "--format=%(refname) %(*objectname)", "refs/signoff/pulls")
    assert record == f"{done['record']} {committed}"
    text = as_person(remote, "cat-file", "-p", done["record"])
    for part in ("Open by itself", "It is better.", "Head: fix", "Base: main", f"Diff-SHA256: {request.diff_sha256}"):
        assert part in text
    assert pushed(remote, as_person)


def test_in_a_bare_repository_that_refuses_neither_branch_nor_record_is_there(
    actions: Actions, committed: str, propose: Callable[..., Any], remote: Path, as_person: Person, hook: Any
) -> None:
    hook("update", 'case "$1" in refs/signoff/*) echo no records here; exit 1;; esac')
    action = actions()["open_pull_request"]
    with pytest.raises(ActionFailed, match="no records here"):
        action.call(propose(action, branch="fix", title="t"), "key")
    assert not pushed(remote, as_person)
    assert as_person(remote, "for-each-ref", "refs/signoff") == ""


def test_a_base_that_the_remote_does_not_have_stops_it(
    opening: Action[Any], committed: str, propose: Callable[..., Any], remote: Path, as_person: Person
) -> None:
    request = propose(opening, branch="fix", title="t", base="nowhere")
    with pytest.raises(ActionFailed, match="nowhere"):
        opening.call(request, "key")
    assert not pushed(remote, as_person)


def test_the_marks_of_a_run_are_not_in_what_a_model_can_give(opening: Action[Any], request_of: Any) -> None:
    assert {"branch", "title", "body", "base"} == set(opening.arguments.model_json_schema()["properties"])
    assert opening.fixed == {"branch", "commit", "diff_sha256", "remote", "repository"}
