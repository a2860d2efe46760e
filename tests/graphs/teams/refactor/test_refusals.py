"""What the refactor team must refuse: what breaks, loses tests, is read-only, conflicts, or is only said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from small_shop import CHECK, SHOP, make_shop
from stand_in import digest_of, git

from signoff import Run
from signoff.agents.roles.coder import Done
from signoff.fleet.events import Event
from signoff.graphs.teams import refactor_team
from signoff.graphs.teams.refactor import Refactoring, Units
from signoff.settings import Settings
from signoff.testing import ScriptedServer, calls, gives

MARK = "echo '# seen' >> {files}"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return make_shop(tmp_path / "shop")


def start(repo: Path, *codemods: str, **given: Any) -> Run:
    asked = {"goal": "Mark all", "repo": str(repo), "check": [CHECK], "codemod": codemods, "lines": 9, **given}
    return Run.start(refactor_team(model="offline"), asked)


def refused(run: Run, repo: Path) -> str:
    """Why, of a run that proposed nothing and left everything as it was."""
    assert (run.approval, run.status) == (None, "stopped")
    assert git(repo, "status", "--porcelain") == ""
    return run.record.note


def reasons(run: Run) -> dict[str, str]:
    found = run.artifact(Units)
    assert isinstance(found, Units)
    return {one.name.split(" and ")[0]: one.why for one in found.results if one.why}


def test_a_codemod_that_breaks_a_unit_is_refused_and_what_is_done_of_the_others_is_kept(shop: Path) -> None:
    breaks = "for f in {files}; do echo '# seen' >> $f; sed -i 's/%02d/%03d/' $f; done"
    run = start(shop, breaks)
    note = refused(run, shop)
    assert "Not done: 1 of 4 units: shop/__init__.py and 2 more: 'python3 -m unittest -q' fails" in note
    kept = run.artifact(Refactoring).kept
    assert kept in note
    patch = Path(kept).read_text()
    assert "b/shop/app.py" in patch
    assert "b/shop/money.py" not in patch


def test_a_codemod_that_makes_tests_vanish_is_refused_though_all_pass(shop: Path) -> None:
    hides = "echo 'import unittest; unittest.TestLoader.testMethodPrefix = \"test_s\"' >> shop/money.py"
    note = refused(start(shop, hides), shop)
    assert "executes fewer tests: 1, and 2 before any edit" in note


def test_a_codemod_that_edits_a_test_is_refused_unless_that_is_named(shop: Path) -> None:
    weakens = f"{MARK}; sed -i 's/2.50/2.5/' tests/test_shop.py"
    given = {"files": ["shop/names.py"]}
    assert "read-only unless the task names it: tests/test_shop.py (a test)" in refused(
        start(shop, weakens, **given), shop
    )
    named = start(shop, f"{MARK}; echo >> tests/test_shop.py", may_edit=["tests/test_shop.py"], **given)
    assert named.approval is not None


def test_units_that_pass_alone_and_not_together_are_returned(shop: Path) -> None:
    """Each of two files of a layer is marked, and the tests fail where both are."""
    more = {
        "tests/test_marks.py": (
            "import unittest\nfrom pathlib import Path\n\n\nclass Marks(unittest.TestCase):\n    def test_one(self):\n"
            "        texts = [Path('shop', name).read_text() for name in ('money.py', 'names.py')]\n"
            "        self.assertLess(sum('seen' in text for text in texts), 2)\n"
        )
    }
    repo = make_shop(shop.parent / "pair", more)
    run = start(repo, MARK, files=["shop/money.py", "shop/names.py"], lines=1)
    assert "it passes by itself, and not together with what was merged before it" in refused(run, repo)
    assert set(reasons(run)) == {"shop/names.py"}
    partly = start(repo, MARK, files=["shop/money.py", "shop/names.py"], lines=1, partly=True)
    assert partly.approval is not None
    assert "2 units: 1 done, 1 not done. shop/names.py:" in partly.approval.reason


def test_a_conflict_that_cannot_be_applied_again_is_returned_with_its_files(shop: Path) -> None:
    first, second = (
        "sed -i 's/return/return  /' {files}",
        "grep -q '    return .%' {files} && sed -i 's/ % / %  /' {files}",
    )
    note = refused(start(shop, first, second, files=["shop/names.py"]), shop)
    assert "shop/names.py, codemod 2: it conflicts with what was merged before it in shop/names.py" in note
    assert "the codemod failed: Exit code 1" in note


def test_nothing_goes_on_from_a_merge_that_failed(shop: Path, home: Path) -> None:
    """What was made of the first layer is lost before it is merged, as with a disk that fails."""

    def lose(event: Event) -> None:
        if "done" in str(event):
            shutil.rmtree(Settings().home / "blobs", ignore_errors=True)

    asked = {"goal": "Mark all", "repo": str(shop), "check": [CHECK], "codemod": [MARK], "lines": 9}
    run = Run.start(refactor_team(model="offline"), asked, watch=lose)
    assert refused(run, shop).startswith("Not done: shop/__init__.py and 2 more: The kept file")
    assert len(reasons(run)) == 4
    assert "it goes on from the merge of layer 2, which failed" in reasons(run)["shop/app.py"]


def test_nothing_to_change_is_no_success(shop: Path) -> None:
    assert "nothing was changed" in refused(start(shop, "true {files}"), shop)


def test_a_repository_that_changed_meanwhile_is_not_patched(shop: Path) -> None:
    codemod = "echo '# seen' >> {files}"
    run = start(shop, codemod, files=["shop/names.py"])
    assert run.approval is not None
    (shop / "shop/names.py").write_text("# another hand\n")
    run.approve()
    assert run.status != "done"
    assert (shop / "shop/names.py").read_text() == "# another hand\n"


# With a model


def by_model(repo: Path, *replies: Any, scripts: Any = None, **given: Any) -> tuple[Run, list[str]]:
    with ScriptedServer(scripts or {"coder": list(replies)}) as server:
        known = Settings(base_url=server.url, api_key="test", model="openai:scripted", model_retries=0)
        asked = {"goal": "Mark names", "repo": str(repo), "check": [CHECK], "files": ["shop/names.py"], **given}
        run = Run.start(refactor_team(settings=known), asked, settings=known)
        return run, [json.dumps(request.body) for request in server.requests]


def test_a_worker_that_says_done_with_a_broken_tree_is_not_believed(shop: Path) -> None:
    names = SHOP["shop/names.py"]
    breaks = calls("replace", path="shop/names.py", old="first, last)\n", new="last)\n", digest=digest_of(names))
    run, sent = by_model(shop, breaks, gives(Done(summary="All tests pass.")), gives(Done(summary="", cannot="I see")))
    assert "is not accepted" in sent[2]
    assert "test_run" in sent[2]
    assert "shop/names.py: I see" in refused(run, shop)


def test_a_worker_cannot_change_the_files_of_other_units_nor_tests(shop: Path) -> None:
    other = calls("write", path="shop/money.py", text="")
    test = calls("write", path="tests/test_shop.py", text="")
    by_command = calls("run", command="rm shop/app.py tests/test_shop.py; echo '# seen' >> shop/names.py")
    run, sent = by_model(shop, other, test, by_command, gives(Done(summary="marked")))
    assert "read-only, as it is of another unit" in sent[1]
    assert "read-only, as it is a test" in sent[2]
    assert "Put back, as it is read-only: shop/app.py, tests/test_shop.py" in sent[3]
    assert run.artifact(Refactoring).files == ("shop/names.py",)
    assert run.approval is not None


def test_two_workers_that_make_the_same_new_file_otherwise_are_a_conflict_that_is_returned(shop: Path) -> None:
    def script(text: str) -> list[Any]:
        return [calls("write", path="shop/shared.py", text=text), gives(Done(summary="made"))]

    files = ["shop/money.py", "shop/names.py"]
    scripts = {f"beside you: {path}": script(f"A = {path!r}\n") for path in files}
    run, _ = by_model(shop, scripts=scripts, files=files, lines=1)
    note = refused(run, shop)
    assert "shop/names.py: it conflicts with what was merged before it in shop/shared.py" in note
    assert "what a model did is not done again by itself" in note
