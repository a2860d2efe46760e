"""The tools for files as a model meets them: ranges, searches, patches, and words instead of exceptions."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies as st

from signoff.errors import FileRefused
from signoff.tools.action import Action
from signoff.tools.files.project import Project
from signoff.tools.files.search import search_texts
from signoff.tools.files.tools import file_tools

ripgrep = pytest.mark.skipif(shutil.which("rg") is None, reason="needs ripgrep: the program rg")


def test_only_taking_out_is_an_action_and_all_else_is_read_or_sandboxed(project: Project) -> None:
    found = {tool.name: tool.risk for tool in file_tools(project)}
    assert found == {
        "list_files": "read",
        "read_file": "read",
        "search_files": "read",
        "edit_file": "sandboxed",
        "write_file": "sandboxed",
        "apply_patch": "sandboxed",
        "show_changes": "sandboxed",
        "apply_to_project": "write",
    }
    assert isinstance(file_tools(project)[-1], Action)


def test_files_are_listed_by_pattern(use: Callable[..., str]) -> None:
    assert use("list_files", pattern="*.py").splitlines()[1] == "src/tin.py (61 bytes)"
    assert "run.sh" in use("list_files")
    assert "No file fits" in use("list_files", pattern="*.rs")


def test_a_file_is_read_with_line_numbers_and_in_parts(use: Callable[..., str]) -> None:
    shown = use("read_file", path="src/tin.py", first=5, last=6)
    assert shown == "src/tin.py, lines 5 to 6 of 6\n     5\tdef close_can():\n     6\t    return 2"
    assert use("read_file", path="src/tin.py", last=2).endswith("(It goes on at first=3.)")
    assert "CRLF" in use("read_file", path="src/windows.txt")
    assert "latin-1" in use("read_file", path="src/old.txt")
    assert "has 6 lines" in use("read_file", path="src/tin.py", first=9)
    assert "no such file" in use("read_file", path="src/none.py")


def test_a_long_file_is_shown_in_parts_that_together_are_all_of_it(use: Callable[..., str]) -> None:
    use("write_file", path="long", text="".join(f"{number} {'x' * 90}\n" for number in range(3000)))
    first, seen = 1, []
    while True:
        shown = use("read_file", path="long", first=first)
        seen += [line.split("\t")[1].split()[0] for line in shown.splitlines() if "\t" in line]
        if "It goes on at first=" not in shown:
            break
        assert len(shown) < 50_000
        first = int(shown.rsplit("first=", 1)[1].rstrip(".)"))
    assert seen == [str(number) for number in range(3000)]


def test_a_patch_of_several_files_is_applied_or_nothing_is(use: Callable[..., str], project: Project) -> None:
    good = "--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# Tin\n+# Can\n"
    bad = "--- a/src/tin.py\n+++ b/src/tin.py\n@@ -1 +1 @@\n-no\n+yes\n"
    assert "no file was changed" in use("apply_patch", patch=good + bad)
    assert use("show_changes") == "Nothing was changed in the copy."
    assert "Applied to 1 files" in use("apply_patch", patch=good)
    assert "+# Can" in use("show_changes")


def test_a_patch_whose_second_file_cannot_be_written_leaves_the_first_as_it_was(
    use: Callable[..., str], project: Project
) -> None:
    (project.copy().workspace / "tin/hole").symlink_to("/tmp")
    good = "--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# Tin\n+# Can\n"
    bad = "--- /dev/null\n+++ b/run.sh/under\n@@ -0,0 +1 @@\n+yes\n"
    assert "run.sh/under" in use("apply_patch", patch=good + bad)
    assert use("show_changes") == "Nothing was changed in the copy."


def test_lines_are_found_by_a_regular_expression(use: Callable[..., str]) -> None:
    assert use("search_files", pattern=r"def \w+_can").splitlines() == [
        "2 lines match in 1 files. 1 files that are no texts or too large were not searched.",
        "src/tin.py:1: def open_can():",
        "src/tin.py:5: def close_can():",
    ]
    assert "No line matches" in use("search_files", pattern="DEF")
    assert "src/tin.py:1" in use("search_files", pattern="DEF", ignore_case=True, files="*.py")
    assert "is no regular expression" in use("search_files", pattern="(")
    assert "src/tin.py:2" in use("search_files", pattern=r"(?<=return )1$")


@pytest.mark.parametrize("program", ["", pytest.param(None, marks=ripgrep)])
def test_lines_are_numbered_by_file_and_counted_up_to_a_limit(program: str | None) -> None:
    texts = [("a", "x\ny\r\nx"), ("empty", ""), ("b", "\nx\n")]
    found = search_texts("^x$|^y$", texts, ripgrep=program)
    assert [(match.path, match.number) for match in found] == [("a", 1), ("a", 2), ("a", 3), ("b", 2)]
    assert len(search_texts("x", texts, ripgrep=program, most=2)) == 2


def test_a_pattern_that_runs_for_ever_is_stopped() -> None:
    with pytest.raises(FileRefused, match=r"longer than 0\.5 seconds"):
        search_texts("(a+)+$", [("x", "a" * 60 + "b")], seconds=0.5, ripgrep="")


@ripgrep
@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.text(st.sampled_from("ab. é\n\r\t\x0c\u2028:"), max_size=30), min_size=1, max_size=4),
    st.sampled_from(["a", "^b", r"\.", "é+", "[ab]{2}", r"a|\t", "b$", r"\bab\b", ":"]),
    st.booleans(),
)
def test_ripgrep_and_python_find_the_same(texts: list[str], pattern: str, ignore_case: bool) -> None:
    named = [(str(number), text) for number, text in enumerate(texts)]
    found = [search_texts(pattern, named, ignore_case=ignore_case, ripgrep=program) for program in (None, "")]
    assert found[0] == found[1]


def test_wrong_arguments_of_every_kind_come_back_as_text(use: Callable[..., str]) -> None:
    for path in ("", "/etc/passwd", "../x", ".git/config", "src", "a\0b", "x" * 5000):
        assert use("read_file", path=path)
        assert "made" not in use("write_file", path=path, text="x")
        assert "changed" not in use("edit_file", path=path, old="a", new="b").replace("not read or changed", "")
