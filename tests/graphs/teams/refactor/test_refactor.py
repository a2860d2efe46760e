"""The refactor team: each unit in a copy of its own, layer by layer, merged in order, and one patch set proposed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_shop import CHECK, MODULES, SEEN, SHOP, make_shop
from stand_in import git

from signoff import Run
from signoff.agents.roles.coder import Done
from signoff.errors import BadInput, RepositoryUnusable
from signoff.fleet import read_state
from signoff.graphs.teams import refactor_team
from signoff.graphs.teams.refactor import CodeMap, Refactoring, Units
from signoff.settings import Settings
from signoff.testing import ScriptedServer, calls, gives


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return make_shop(tmp_path / "shop")


def start(repo: Path, codemod: str | list[str] = SEEN, **given: Any) -> Run:
    """A run with a codemod, each module a unit of its own."""
    listed = [codemod] if isinstance(codemod, str) else codemod
    asked = {"goal": "Mark all", "repo": str(repo), "check": [CHECK], "codemod": listed, "lines": 1, **given}
    return Run.start(refactor_team(model="offline"), asked)


def result_of(run: Run) -> Refactoring:
    found = run.artifact(Refactoring)
    assert isinstance(found, Refactoring)
    return found


def statuses(run: Run) -> dict[str, str]:
    found = run.artifact(Units)
    assert isinstance(found, Units)
    return {one.name: one.status for one in found.results}


def test_each_unit_is_changed_once_and_all_are_one_patch(shop: Path) -> None:
    run = start(shop)
    assert run.approval is not None
    assert run.approval.action == "apply_to_project"
    found = run.artifact(CodeMap)
    assert isinstance(found, CodeMap)
    assert [unit.layer for unit in found.parts.units] == [0, 0, 0, 0, 1, 2]
    assert set(statuses(run).values()) == {"done"}
    assert "6 units: 6 done. 7 files, 7 lines come, 0 go" in run.approval.reason
    assert "no test is lost" in run.approval.reason
    assert git(shop, "status", "--porcelain") == ""
    run.approve()
    assert run.status == "done"
    for path in MODULES:
        assert (shop / path).read_text() == f"{SHOP[path]}# seen\n"


@pytest.mark.hunt
def test_a_layer_begins_with_what_was_merged_of_the_layers_below(shop: Path) -> None:
    """`bill` is changed only where it finds the new `show`, and the other way round."""
    codemod = (
        "for f in {files}; do case $f in shop/money.py) echo 'shown = show' >> $f;; "
        "shop/bill.py) grep -q shown shop/money.py && sed -i 's/show/shown/g' $f;; esac; done"
    )
    run = start(shop, codemod)
    run.approve()
    assert "from shop.money import shown" in (shop / "shop/bill.py").read_text()
    assert statuses(run)["shop/app.py"] == "unchanged"


def test_a_codemod_without_files_is_run_once_over_all(shop: Path) -> None:
    run = start(shop, "echo '# once' >> shop/money.py; echo '# once' >> shop/app.py")
    assert statuses(run) == {"the whole repository": "done"}
    run.approve()
    assert (shop / "shop/money.py").read_text().count("# once") == 1


def test_two_codemods_that_conflict_are_applied_one_on_the_other(shop: Path) -> None:
    first = 'sed -i "s/\'/q(/" {files}; sed -i \'s/q(/"/; \' {files}; sed -i "s/\'/\\"/" {files}'
    second = "sed -i 's/return/return  /' {files}"
    run = start(shop, [first, second], files=["shop/names.py"])
    assert statuses(run) == {"shop/names.py, codemod 1": "done", "shop/names.py, codemod 2": "applied again"}
    run.approve()
    assert 'return   "%s %s" %' in (shop / "shop/names.py").read_text()


def test_the_goals_own_check_has_to_pass_in_the_end_and_is_told_to_have_failed_before(shop: Path) -> None:
    few: dict[str, Any] = {"files": ["shop/app.py", "shop/money.py"], "lines": 9}
    run = start(shop, goal_check=["grep -q seen shop/app.py"], **few)
    assert run.approval is not None
    assert "The goal's own check (it failed before) passes" in run.approval.reason
    unmet = start(shop, goal_check=["! grep -q 'def run' shop/app.py"], **few)
    assert (unmet.approval, unmet.status) == (None, "stopped")
    assert "The goal's own check" in unmet.record.note
    assert "exit code 1" in unmet.record.note


@pytest.mark.hunt
def test_units_have_a_check_of_their_own_with_their_files(shop: Path) -> None:
    run = start(
        shop, unit_check=["grep -q seen {files} && grep -q Shop {tests}"], files=["shop/app.py", "shop/money.py"]
    )
    assert run.approval is not None
    assert "grep" not in run.approval.reason


def test_a_repository_that_is_no_python_is_changed_program_by_program(tmp_path: Path) -> None:
    files = {f"{name}.cob": f"       DISPLAY '{name}'.\n" for name in ("one", "two", "three")}
    repo = make_shop(tmp_path / "mixed", files)
    refuses = "test $f != two.cob || { echo 'two is not understood' >&2; exit 3; }"
    codemod = f"for f in {{files}}; do {refuses}; sed s/DISPLAY/print/ $f > ${{f%.cob}}.java; done"
    judge = "for f in {files}; do grep -q print ${f%.cob}.java; done"
    run = start(repo, codemod, files=["one.cob", "two.cob"], unit_check=[judge])
    assert (run.approval, run.status) == (None, "stopped")
    assert "two is not understood" in run.record.note
    partly = start(repo, codemod, files=["*.cob"], unit_check=[judge], partly=True)
    assert partly.approval is not None
    assert "3 units: 2 done, 1 not done. two.cob:" in partly.approval.reason
    partly.approve()
    assert sorted(path.name for path in repo.glob("*.java")) == ["one.java", "three.java"]


@pytest.mark.hunt
def test_a_branch_is_proposed_where_one_is_named(shop: Path) -> None:
    run = start(shop, branch="marked", lines=99)
    run.approve()
    assert "# seen" in git(shop, "show", "marked:shop/app.py")
    assert git(shop, "status", "--porcelain") == ""


# With a model


def by_model(repo: Path, script: Any, **given: Any) -> tuple[Run, list[str]]:
    with ScriptedServer(script if isinstance(script, dict) else {"coder": script}) as server:
        known = Settings(base_url=server.url, api_key="test", model="openai:scripted", model_retries=0)
        asked = {"goal": "Mark all", "repo": str(repo), "check": [CHECK], "lines": 1, **given}
        run = Run.start(refactor_team(settings=known), asked, settings=known)
        return run, [json.dumps(request.body) for request in server.requests]


def test_a_model_does_the_units_with_the_same_checks_and_each_is_counted(shop: Path) -> None:
    script = [calls("write", path="shop/app.py", text=f"{SHOP['shop/app.py']}# seen\n"), gives(Done(summary="marked"))]
    run, sent = by_model(shop, script, files=["shop/app.py"])
    assert "Of the files that are there you may change only: shop/app.py" in sent[0]
    assert "Tests that reach it: tests/test_shop.py" in sent[0]
    assert run.approval is not None
    (row,) = [row for name, row in read_state(run.id, Settings())["items"]["coder"].items() if "merge" not in name]
    assert row["usage"]["calls"] == 2
    run.approve()
    assert (shop / "shop/app.py").read_text().endswith("# seen\n")


def test_models_work_side_by_side_each_on_its_unit_and_above_on_what_was_merged(shop: Path) -> None:
    def script(path: str) -> list[Any]:
        return [calls("write", path=path, text=f"{SHOP[path]}# seen\n"), gives(Done(summary="marked"))]

    above = [calls("read", path="shop/money.py"), *script("shop/bill.py")]
    scripts = {
        "beside you: shop/money.py": script("shop/money.py"),
        "beside you: shop/names.py": script("shop/names.py"),
        "beside you: shop/bill.py": above,
    }
    run, sent = by_model(shop, scripts, files=["shop/money.py", "shop/names.py", "shop/bill.py"])
    assert run.approval is not None
    read = [one for one in sent if "beside you: shop/bill.py" in one]
    assert "# seen" not in read[0]
    assert "# seen" in read[1]
    run.approve()
    for path in ("shop/money.py", "shop/names.py", "shop/bill.py"):
        assert (shop / path).read_text() == f"{SHOP[path]}# seen\n"


def test_input_that_cannot_be_used_is_named(shop: Path) -> None:
    for wrong, said in (({"lines": 0}, "lines"), ({"codemod": [" "]}, "command line"), ({"check": []}, "check")):
        with pytest.raises(BadInput, match=said):
            start(shop, **wrong)
    with pytest.raises(RepositoryUnusable, match=r"no file fits \*\.rb"):
        start(shop, files=["*.rb"])
    with pytest.raises(RepositoryUnusable, match="name a --model, or a --codemod"):
        start(shop, [])
