"""What a check showed is read from its report or its output, and held against what it showed before."""

from __future__ import annotations

from typing import Any

import pytest

from signoff.tools.sandbox.proof import CheckRun, Proof, find_problems, read_run
from signoff.tools.sandbox.sandbox import Finished

REPORT = """<?xml version="1.0"?><testsuites><testsuite>
<testcase classname="t.a" name="one"/>
<testcase classname="t.a" name="two[x y]"><failure message="no"/></testcase>
<testcase classname="t.a" name="three"><skipped/></testcase>
<testcase classname="t.a" name="four"/>
<testcase classname="t.a" name="four"><error message="clean-up"/></testcase>
</testsuite></testsuites>"""


def finished(stdout: str = "", stderr: str = "", code: int = 0, **more: Any) -> Finished:
    return Finished(**{"exit_code": code, "stdout": stdout, "stderr": stderr, "ended": "exit", "seconds": 0.1, **more})


def run(code: int = 0, executed: int | None = None, **more: Any) -> CheckRun:
    tests = more.get("tests", {})
    counted = sum(outcome != "skipped" for outcome in tests.values()) if tests else executed
    return CheckRun(command="t", exit_code=code, executed=counted, **more)


def problems(old: CheckRun, new: CheckRun, **more: Any) -> str:
    return "; ".join(find_problems(Proof(tree="a", checks=(old,)), Proof(tree="b", checks=(new,)), **more))


def test_a_report_of_tests_is_read_by_name_and_the_worst_of_a_test_counts() -> None:
    found = read_run("t", finished(code=1), REPORT.encode())
    assert (found.executed, found.failures, found.skipped) == (3, 2, 1)
    assert found.failed == ("t.a::four", "t.a::two[x y]")
    assert found.tests["t.a::three"] == "skipped"
    assert str(found) == "t: exit code 1, 3 tests executed, 2 failed, 1 skipped"


@pytest.mark.parametrize(
    "report",
    [
        b"",
        b"<testsuite><testcase",
        b"\xff\xfe",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><testsuite><testcase name="&a;"/></testsuite>',
    ],
)
def test_what_is_no_report_says_nothing_of_tests(report: bytes) -> None:
    assert read_run("t", finished("all good"), report).executed is None


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ("Ran 12 tests in 0.1s\n\nOK", (12, 0, 0)),
        ("Ran 12 tests in 0.1s\n\nOK (skipped=2, expected failures=1)", (10, 0, 2)),
        ("Ran 12 tests in 0.1s\n\nFAILED (failures=1, errors=2, skipped=3)", (9, 3, 3)),
        ("Ran 1 test in 0.1s\n\nOK\nRan 3 tests in 0.2s\n\nOK", (3, 0, 0)),
        ("it says: Ran 12 tests in 1s", (None, 0, 0)),
    ],
)
def test_unittest_is_counted_by_what_it_prints(said: str, counts: tuple[int | None, int, int]) -> None:
    found = read_run("t", finished(stderr=said), b"")
    assert (found.executed, found.failures, found.skipped) == counts


def test_long_output_is_kept_at_both_ends() -> None:
    found = read_run("t", finished("BEGIN" + "x" * 50_000 + "END"), b"")
    assert len(found.output) < 5_000
    assert found.output.startswith("BEGIN")
    assert found.output.endswith("END")


def test_the_same_tests_that_pass_are_accepted() -> None:
    assert problems(run(tests={"a": "passed"}), run(tests={"a": "passed", "b": "passed"})) == ""
    assert problems(run(1), run(0)) == ""


def test_a_test_that_is_skipped_renamed_or_gone_is_not_executed_any_more() -> None:
    before = run(tests={"a": "passed", "b": "passed"})
    for after in (run(tests={"a": "passed", "b": "skipped"}), run(tests={"a": "passed", "c": "passed"}), run()):
        assert "does not execute any more" in problems(before, after)
    assert "fewer tests: 394, and 1,603" in problems(run(executed=1603), run(executed=394))


def test_a_test_that_failed_before_has_to_be_executed_as_well() -> None:
    assert "any more: b" in problems(run(1, tests={"a": "passed", "b": "failed"}), run(tests={"a": "passed"}))


def test_failing_checks_are_not_accepted_unless_the_same_tests_failed_before_and_may() -> None:
    old, worse = run(1, tests={"a": "failed", "b": "passed"}), run(1, tests={"a": "failed", "b": "failed"})
    assert "fails as it did before any edit" in problems(old, old)
    assert problems(old, old, may_fail=True) == ""
    assert problems(old, worse, may_fail=True) == "'t' fails, with exit code 1: b"
    assert "exit code 2" in problems(old, run(2, tests={"a": "failed", "b": "passed"}), may_fail=True)
    assert "limit (memory)" in problems(old, run(1, ended="memory"), may_fail=True)


def test_failures_that_nobody_can_name_may_not_go_on() -> None:
    """A count of failures may hide that others fail now."""
    assert "fails" in problems(run(1, executed=5, failures=1), run(1, executed=5, failures=1), may_fail=True)
