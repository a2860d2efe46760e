"""Patches: what is made is applied again exactly, what is damaged does nothing, what git makes is understood."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from signoff.errors import FileRefused, PatchMisfit
from signoff.tools.files.apply import Change, Version, apply_patch, make_patch

texts = st.text(st.sampled_from("ab\n\r é\u2028\x0c\ufeff-+@\\"), max_size=60) | st.lists(
    st.sampled_from(["a", "b", "-- a", "++ b", "@@ -1 +1 @@", "\\ No newline at end of file", "", " "]), max_size=30
).flatmap(lambda lines: st.sampled_from(["\n", "\r\n", "\r"]).map(lambda end: end.join(lines) + end))
encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom"])


def encoded(text: str, encoding: str) -> bytes:
    if encoding == "utf-16-le-bom":
        return b"\xff\xfe" + text.encode("utf-16-le")
    return text.encode(encoding)


def apply(patch: str, files: dict[str, bytes], *, exact: bool = False) -> dict[str, bytes | None]:
    """What becomes of the files that the patch touches."""
    known = {name: Version(raw) for name, raw in files.items()}
    return {
        change.path: change.after.raw if change.after else None for change in apply_patch(patch, known.get, exact=exact)
    }


@settings(max_examples=80)
@given(texts, texts, encodings, st.booleans(), st.booleans())
def test_a_patch_makes_of_the_one_text_the_other(a: str, b: str, encoding: str, old: bool, new: bool) -> None:
    before, after = Version(encoded(a, encoding), old), Version(encoded(b, encoding), new)
    for change in (
        Change("a folder/file.txt", before, after),
        Change("ö", None, Version(b.lstrip("\ufeff").encode(), new)),
        Change('\t"quoted"\\', before, None),
    ):
        try:
            patch = make_patch([change])
        except FileRefused:
            assert encoding == "utf-8"  # a text that begins with what would be read as a BOM
            continue
        if not patch:
            assert change.before == change.after
            continue
        for exact in (True, False):
            assert apply_patch(patch, lambda _, change=change: change.before, exact=exact) == (change,)  # type: ignore[misc]  # a default binds it


@settings(max_examples=80)
@given(texts, texts, st.data())
def test_a_damaged_patch_of_two_files_is_applied_as_a_whole_or_refused(a: str, b: str, data: st.DataObject) -> None:
    files = {"one": a.encode(), "two": b"x\ny\nz\n"}
    changes = [
        Change("one", Version(files["one"]), Version(b.encode())),
        Change("two", Version(files["two"]), Version(b"x\nZ\n")),
    ]
    try:
        patch = make_patch(changes)
    except FileRefused:
        return
    at = data.draw(st.integers(0, len(patch) - 1))
    kind = data.draw(st.sampled_from(["cut", "drop", "swap"]))
    lines = patch.splitlines(keepends=True)
    line = at % len(lines)
    damaged = {
        "cut": patch[:at],
        "drop": "".join(lines[:line] + lines[line + 1 :]),
        "swap": patch[:at] + data.draw(st.characters(codec="utf-8")) + patch[at + 1 :],
    }[kind]
    kept = dict(files)
    try:
        done = apply(damaged, files, exact=True)
    except PatchMisfit:
        done = {}
    assert files == kept
    named = {name for name in ("one", "two") if f"+++ b/{name}" in damaged}
    assert not done or named <= set(done)  # never the one file without the other


@settings(max_examples=80)
@given(st.text(max_size=200))
def test_whatever_is_no_patch_is_refused_and_nothing_else_happens(text: str) -> None:
    with pytest.raises(PatchMisfit):
        apply(text, {})


def test_what_git_writes_is_understood(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.autocrlf=false")
        return subprocess.run(["git", *who, *arguments], cwd=tmp_path, capture_output=True, check=True).stdout.decode()

    before = {"x": b"a\nb\nc\nd\ne\nf\ng\nh\ni\n", "sp ace": b"q", "old": b"r\n", "w": b"1\r\n2\r\n", "gone": b"g"}
    after = {
        "x": b"a\nB\nc\nd\ne\nf\ng\nh\nj",
        "sp ace": b"qz\n",
        "new": b"r\n",
        "w": b"1\r\n3\r\n",
        'ä"b': b"\xc3\xa9",
    }
    git("init", "-q")
    for files in (before, after):
        for name in before | after:
            (tmp_path / name).unlink(missing_ok=True)
        for name, raw in files.items():
            (tmp_path / name).write_bytes(raw)
        (tmp_path / "empty").write_bytes(b"") if files is after else None
        git("add", "-A")
        if files is before:
            git("commit", "-qm", "x")
    done = apply(git("diff", "--cached", "-M"), before, exact=True)
    assert done == {**after, "empty": b"", "old": None, "gone": None}


def test_git_understands_what_we_write(tmp_path: Path) -> None:
    before = Version(b"a\nb\nc\r\nd")
    changes = [
        Change("x y", before, Version(b"a\nB\nc\r\nd\n", True)),
        Change("new", None, Version(b"n")),
        Change("gone", Version(b"g\n"), None),
    ]
    for change in changes:
        if change.before:
            (tmp_path / change.path).write_bytes(change.before.raw)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=make_patch(changes).encode(), check=True)
    assert (tmp_path / "x y").read_bytes() == b"a\nB\nc\r\nd\n"
    assert (tmp_path / "x y").stat().st_mode & 0o100
    assert (tmp_path / "new").read_bytes() == b"n"
    assert not (tmp_path / "gone").exists()


LINES = "".join(f"{number}\n" for number in range(1, 30))


def test_a_hunk_with_the_wrong_line_is_put_where_it_fits_once_unless_it_must_be_exact() -> None:
    patch = "--- a/x\n+++ b/x\n@@ -3,3 +3,3 @@\n 19\n-20\n+twenty\n 21\n"
    assert apply(patch, {"x": LINES.encode()}) == {"x": LINES.replace("20\n", "twenty\n").encode()}
    with pytest.raises(PatchMisfit, match=r"line 3: the patch says '19\\n' and the file has '3\\n'"):
        apply(patch, {"x": LINES.encode()}, exact=True)


def test_a_hunk_that_fits_in_two_places_is_refused_with_both() -> None:
    patch = "--- a/x\n+++ b/x\n@@ -9,1 +9,1 @@\n-a\n+b\n"
    with pytest.raises(PatchMisfit, match="2 places \\(lines 1, 3\\)"):
        apply(patch, {"x": b"a\n-\na\n"})


def test_a_patch_with_plain_line_ends_fits_a_file_with_windows_line_ends() -> None:
    patch = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"
    assert apply(patch, {"x": b"one\r\ntwo\r\n"}) == {"x": b"one\r\n2\r\n"}


def test_if_one_file_misfits_no_file_is_changed() -> None:
    patch = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n"
    with pytest.raises(PatchMisfit, match=r"'y', hunk 1, line 1: the patch says 'a.n' and the file has 'c.n'"):
        apply(patch, {"x": b"a\n", "y": b"c\n"})


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ("--- a/x\n+++ b/x\n@@ -1,2 +1 @@\n-a\n+b\n", "ends too soon"),
        ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n+c\n", "one line more than the hunk"),
        ("--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+b\n", "is to be new, and there is such a file"),
        ("--- a/none\n+++ b/none\n@@ -1 +1 @@\n-a\n+b\n", "there is no file 'none'"),
        ("--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", "does not take all of its lines"),
        ("diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n", "links and sub"),
        ("diff --git a/x b/x\nGIT binary patch\n", "binary changes and copies are not taken"),
        ("diff --git a/x b/y\ncopy from x\ncopy to y\n", "copies are not taken"),
        ("--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-a\n+b\n", "leads upwards"),
        ("--- a//etc/x\n+++ b//etc/x\n@@ -1 +1 @@\n-a\n+b\n", "absolute"),
        ("--- /dev/null\n+++ b/.git/hooks/post-commit\n@@ -0,0 +1 @@\n+b\n", "'.git'"),
        ("--- /dev/null\n+++ b/sub/.GIT/config\n@@ -0,0 +1 @@\n+b\n", "'.git'"),
        ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n--- a/x\n+++ b/x\n@@ -2 +2 @@\n-c\n+d\n", "changed twice"),
        ("```diff\n--- a/x\n+++ b/x\n```\n", "is no part of a unified diff"),
        ("", "it is empty"),
    ],
)
def test_a_patch_that_cannot_be_applied_says_why(patch: str, why: str) -> None:
    with pytest.raises(PatchMisfit, match=why):
        apply(patch, {"x": b"a\nc\n"})


def test_a_rename_takes_the_content_and_the_mode_along() -> None:
    patch = (
        "diff --git a/x b/y\nsimilarity index 50%\nrename from x\nrename to y\n--- a/x\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n"
    )
    done = apply_patch(patch, {"x": Version(b"a\n", True), "y": None}.__getitem__)
    assert {change.path: change.after for change in done} == {"x": None, "y": Version(b"b\n", True)}
