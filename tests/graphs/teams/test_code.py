"""The code team: what it proposes is what the checks ran on, whoever did the work, and nothing else ever is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stand_in import CALC, CHECK, FIX, digest_of, git, make_repository

from signoff import Run
from signoff.agents.roles.coder import Change, Done
from signoff.checkpoints.ledger.budgets import Budget
from signoff.errors import BadInput, RepositoryUnusable
from signoff.graphs.teams import code_team
from signoff.settings import Settings
from signoff.testing import ScriptedServer, calls, gives, says

PYTEST = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 pytest -q"
"""Without the plugins that this environment has, which take seconds to load."""
DONE = gives(Done(summary="add() adds now."))
MENDED = CALC.replace("a - b", "a + b")


def replaces(old: str, new: str, text: str = CALC, path: str = "calc.py") -> Any:
    return calls("replace", path=path, old=old, new=new, digest=digest_of(text))


FIXES = replaces("a - b", "a + b")


@pytest.fixture
def tin(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "tin")


def by_function(tin: Path, codemod: str = FIX, **given: Any) -> Run:
    """A run with a codemod."""
    asked = {"goal": "Let add() add", "repo": str(tin), "check": [CHECK], "codemod": codemod, **given}
    return Run.start(code_team(model="offline"), asked)


def by_model(repo: Path, *replies: Any, json_actions: bool = False, **given: Any) -> tuple[Run, list[str]]:
    """A run with a model that gives these replies, and what it was sent, call by call."""
    if json_actions:
        replies = tuple(map(in_words, replies))
    with ScriptedServer({"coder": list(replies)}) as server:
        known = Settings(
            base_url=server.url, api_key="test", model="openai:scripted", model_retries=0, json_actions=json_actions
        )
        asked = {"goal": "Let add() add", "repo": str(repo), "check": [CHECK], **given}
        run = Run.start(code_team(settings=known), asked, settings=known)
        return run, [json.dumps(request.body) for request in server.requests]


def in_words(reply: Any) -> Any:
    """The same of a model without tool calls."""
    if reply.value is not None:
        return says(json.dumps({"tool": "give_Done", "arguments": reply.value.model_dump()}))
    (use,) = reply.tools
    return says(json.dumps({"tool": use.name, "arguments": json.loads(use.arguments)}))


def change_of(run: Run) -> Change:
    found = run.artifact(Change)
    assert isinstance(found, Change)
    return found


# What is proposed


def test_a_codemod_that_passes_the_checks_is_proposed_as_a_patch_with_its_evidence(tin: Path) -> None:
    run = by_function(tin)
    assert run.approval is not None
    assert (run.approval.action, run.approval.shown["folder"]) == ("apply_to_project", str(tin))
    assert "+    return a + b" in run.approval.shown["patch"]
    assert "exit code 0, 2 tests executed (tree" in run.approval.reason
    assert "Before any edit: python3 -m unittest -q: exit code 1, 2 tests executed, 1 failed" in run.approval.reason
    assert (tin / "calc.py").read_text() == CALC
    run.approve()
    assert (run.status, (tin / "calc.py").read_text()) == ("done", MENDED)
    assert git(tin, "status", "--porcelain") == "M calc.py"


@pytest.mark.parametrize("json_actions", [False, True])
def test_a_model_looks_changes_and_is_done_in_either_way_of_calling(tin: Path, json_actions: bool) -> None:
    steps = (calls("search", pattern="def add"), calls("read", path="calc.py"), FIXES, DONE)
    run, sent = by_model(tin, *steps, json_actions=json_actions)
    change = change_of(run)
    assert (change.done, change.files) == (True, ("calc.py",))
    assert run.approval is not None
    assert "calc.py (6 lines)" in sent[0]
    assert "def add(a, b); def mul(a, b)" in sent[0]
    assert digest_of(CALC) in sent[2]
    run.approve()
    assert (tin / "calc.py").read_text() == MENDED


def test_a_branch_is_proposed_where_one_is_named_and_the_working_tree_stays(tin: Path) -> None:
    run = by_function(tin, branch="mend-add")
    assert run.approval is not None
    assert run.approval.action == "push_branch"
    assert git(tin, "branch", "--list", "mend-add") == ""
    run.approve()
    assert run.status == "done"
    assert git(tin, "show", "mend-add:calc.py") == MENDED.strip()
    assert git(tin, "log", "-1", "--format=%s", "mend-add") == "Let add() add"
    assert (git(tin, "status", "--porcelain"), git(tin, "branch", "--show-current")) == ("", "main")


def test_what_a_person_rejects_changes_nothing(tin: Path) -> None:
    run = by_function(tin)
    run.reject("not so")
    assert run.status == "stopped"
    assert git(tin, "status", "--porcelain") == ""


# What is refused


def test_done_without_any_edit_is_not_accepted(tin: Path) -> None:
    run, sent = by_model(tin, DONE, gives(Done(summary="", cannot="I do not see how")))
    assert "is not accepted" in sent[1]
    assert "nothing was changed" in sent[1]
    assert (run.approval, run.status) == (None, "stopped")
    assert "Not done: I do not see how" in run.record.note


def test_done_with_failing_checks_is_told_what_they_printed_and_goes_on(tin: Path) -> None:
    wrong = replaces("a - b", "a")
    right = calls(
        "replace", path="calc.py", old="return a\n", new="return a + b\n", digest=digest_of(CALC.replace("a - b", "a"))
    )
    run, sent = by_model(tin, wrong, DONE, right, DONE)
    assert "AssertionError: 2 != 5" in sent[2]
    assert change_of(run).done
    assert run.approval is not None


def test_an_edit_after_the_checks_has_them_run_again(tin: Path) -> None:
    """What `check` showed is of the tree before."""
    breaks = replaces("a * b", "a / b", MENDED)
    run, sent = by_model(tin, FIXES, calls("check"), breaks, DONE, gives(Done(summary="", cannot="broken")))
    assert "accept it as it is now" in sent[2]
    assert "test_mul" in sent[4]
    change = change_of(run)
    assert not change.done
    assert change.proof is not None
    assert change.proof.checks[0].passes  # the best that there was, not the last
    assert "+    return a + b" in change.patch
    assert "a / b" not in change.patch
    assert Path(change.kept).read_text() == change.patch


def test_a_fix_that_breaks_other_tests_is_refused(tin: Path) -> None:
    run = by_function(tin, "sed -i 's/a - b/a + b/; s/a \\* b/a/' calc.py")
    assert (run.approval, run.status) == (None, "stopped")
    assert "fails, with exit code 1" in run.record.note


def test_a_codemod_that_changes_a_test_is_refused_unless_the_task_names_it(tin: Path) -> None:
    weakens = "sed -i 's/add(2, 3), 5/add(2, 3), -1/' tests/test_calc.py"
    run = by_function(tin, weakens)
    assert (run.approval, run.status) == (None, "stopped")
    assert "tests/test_calc.py (a test)" in run.record.note
    named = by_function(tin, weakens, may_edit=["tests/test_calc.py"])
    assert named.approval is not None
    assert change_of(named).files == ("tests/test_calc.py",)


def test_a_model_cannot_write_a_test_and_what_its_commands_did_to_one_is_put_back(tin: Path) -> None:
    writes = calls("write", path="tests/test_calc.py", text="")
    deletes = calls("run", command="rm tests/test_calc.py .github/workflows/test.yml; touch conftest.py")
    run, sent = by_model(tin, writes, deletes, FIXES, DONE)
    assert "read-only, as it is a test" in sent[1]
    assert "Put back, as it is read-only: .github/workflows/test.yml, conftest.py, tests/test_calc.py" in sent[2]
    assert change_of(run).files == ("calc.py",)


def test_fewer_tests_executed_are_refused_though_all_pass(tin: Path) -> None:
    """The tests are untouched; a file beside them makes one be left out."""
    hides = f"{FIX} && printf 'import unittest\\nunittest.TestLoader.testMethodPrefix = \"test_a\"\\n' >> calc.py"
    run = by_function(tin, hides)
    assert run.approval is None
    assert "executes fewer tests: 1, and 2 before any edit" in run.record.note


def test_tests_that_fail_before_may_go_on_failing_only_if_that_is_said(tin: Path) -> None:
    other = "sed -i 's/calculates/computes/' README.md"
    assert "fails as it did before any edit" in by_function(tin, other).record.note
    allowed = by_function(tin, other, allow_failing=True)
    assert allowed.approval is not None
    assert "1 failed" in allowed.approval.reason
    worse = by_function(tin, "sed -i 's/a \\* b/a/' calc.py", allow_failing=True, check=[PYTEST])
    assert worse.approval is None


def test_a_model_that_goes_in_circles_hands_back_its_best_try(tin: Path) -> None:
    half = replaces("a - b", "b - a")
    same = calls("read", path="README.md")
    run, _ = by_model(tin, half, *[same] * 20)
    change = change_of(run)
    assert not change.done
    assert "circles" in change.why
    assert "+    return b - a" in change.patch
    assert run.status == "stopped"
    assert change.kept in run.record.note


def test_a_failing_codemod_says_what_it_printed(tin: Path) -> None:
    run = by_function(tin, "echo no such rule >&2; exit 3")
    assert "the codemod failed" in run.record.note
    assert "no such rule" in run.record.note


def test_documentation_can_be_looked_up_where_the_settings_have_some(tin: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/adding.md").write_text("# Adding\n\nThe sum of two numbers is written with a plus sign.\n")
    with ScriptedServer({"coder": [calls("search_sources", query="sum of two numbers"), FIXES, DONE]}) as server:
        known = Settings(
            base_url=server.url, api_key="test", model="openai:scripted", model_retries=0, sources=tmp_path / "docs"
        )
        run = Run.start(
            code_team(settings=known), {"goal": "Let add() add", "repo": str(tin), "check": [CHECK]}, settings=known
        )
        assert "plus sign" in str(server.requests[1].body)
    assert change_of(run).done


# Another coding agent


AGENT = """
import json, os, subprocess, sys, urllib.request
messages = [{"role": "system", "content": "You are the coder."}, {"role": "user", "content": os.environ["GOAL"]}]
for _ in range(20):
    asked = {"model": "any", "messages": messages, "max_tokens": int(sys.argv[1])}
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions", json.dumps(asked).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]},
    )
    with urllib.request.urlopen(request) as answer:
        said = json.load(answer)["choices"][0]["message"]["content"]
    if said == "done":
        break
    done = subprocess.run(said, shell=True, capture_output=True, text=True)
    messages += [{"role": "assistant", "content": said}, {"role": "user", "content": done.stdout + done.stderr}]
"""
"""As small as they come: it does as it is told until it is told that it is done."""


def by_program(tin: Path, *replies: Any, most: int = 500, budget: str = "", **given: Any) -> tuple[Run, list[str]]:
    agent = tin.parent / "agent.py"
    agent.write_text(AGENT)
    with ScriptedServer({"coder": list(replies)}) as server:
        known = Settings(
            base_url=server.url, api_key="planted", model="openai:scripted", model_retries=0, run_budget=budget
        )
        asked = {"goal": "Let add() add", "repo": str(tin), "check": [CHECK], "give": [str(agent)], **given}
        asked |= {"agent": f"python3 /given/agent.py {most}"}
        run = Run.start(
            code_team(settings=known), asked, settings=known, budget=Budget.read(budget) if budget else None
        )
        return run, [json.dumps(request.body) for request in server.requests]


def test_another_agents_program_works_in_its_place_with_the_same_checks_and_is_charged(tin: Path) -> None:
    run, sent = by_program(tin, "env; cat calc.py", FIX, "done")
    assert run.approval is not None
    change = change_of(run)
    assert (change.done, change.files, run.usage["calls"]) == (True, ("calc.py",), 3)
    assert "Let add() add" in sent[0]
    assert "return a - b" in sent[1]
    assert "planted" not in sent[1]  # the key is where the program is not
    run.approve()
    assert (tin / "calc.py").read_text() == MENDED


def test_another_agent_that_says_done_without_having_done_it_is_not_believed(tin: Path) -> None:
    run, _ = by_program(tin, "sed -i 's/-1/5/' README.md; echo fine >> README.md", "done")
    assert (run.approval, run.status) == (None, "stopped")
    assert "fails" in run.record.note


def test_another_agent_that_weakens_a_test_is_refused(tin: Path) -> None:
    run, _ = by_program(tin, f"{FIX}; echo > tests/test_calc.py", "done")
    assert run.approval is None
    assert "tests/test_calc.py (a test)" in run.record.note


def test_out_of_budget_is_not_done_and_what_was_made_by_then_is_handed_back(tin: Path) -> None:
    run, sent = by_program(
        tin,
        "sed -i 's/calculates/computes/' README.md",
        *[says("true").using(10, 900)] * 9,
        most=1_500,
        budget="tokens=4000",
    )
    change = change_of(run)
    assert not change.done
    assert "budget" in change.why
    assert change.files == ("README.md",)
    assert 0 < run.usage["calls"] == len(sent) < 9


# Before anything is done


def test_input_that_cannot_be_used_is_named_before_a_run_begins(tin: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    for wrong, said in (
        ({"repo": str(tmp_path / "none")}, "no such folder"),
        ({"repo": str(tmp_path / "plain")}, "not a git repository"),
        ({"repo": str(tin / "tests")}, "name the whole one"),
        ({"check": []}, "check"),
        ({"check": [" "]}, "command line"),
        ({"agent": "true"}, "Let one of them do the work"),
        ({"remote": "origin"}, "no branch"),
        ({"give": ["nothing.txt"]}, "there is no 'nothing.txt'"),
    ):
        with pytest.raises(BadInput, match=said):
            by_function(tin, **wrong)


def test_a_repository_with_uncommitted_changes_is_not_worked_on(tin: Path) -> None:
    (tin / "calc.py").write_text(MENDED)
    with pytest.raises(RepositoryUnusable, match=r"not committed \(calc.py\)\. Commit or stash"):
        by_function(tin)


def test_a_check_that_cannot_be_run_is_an_error_and_not_a_failing_check(tin: Path) -> None:
    with pytest.raises(RepositoryUnusable, match=r"'nosuchtool --all' cannot be run.*--env DIR"):
        by_function(tin, check=["nosuchtool --all"])


def test_without_a_sandbox_nothing_runs_and_the_error_says_how_to_install_one(
    tin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RepositoryUnusable, match="podman"):
        Run.start(
            code_team(model="offline", settings=Settings(sandbox="podman")),
            {"goal": "Let add() add", "repo": str(tin), "check": [CHECK], "codemod": FIX},
        )


def test_without_a_model_or_codemod_it_says_what_to_give(tin: Path) -> None:
    with pytest.raises(RepositoryUnusable, match="name a --model, or a --codemod"):
        by_function(tin, codemod="")
