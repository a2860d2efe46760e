"""Edits: one place, or a word on where it may be; and all that is not edited stays as it is, to the byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from signoff.errors import FileRefused
from signoff.tools.files.edit import FileText, decode, replace_once
from signoff.tools.files.project import Project

pieces = st.text(st.sampled_from("ab\n é\t"), max_size=12)


@settings(max_examples=80)
@given(pieces, pieces.filter(bool), pieces, pieces)
def test_an_edit_changes_the_one_place_and_no_other(head: str, old: str, tail: str, new: str) -> None:
    text = head + old + tail
    count = sum(text.startswith(old, at) for at in range(len(text)))
    try:
        after = replace_once(FileText(text), old, new, "x")
    except FileRefused:
        assert count != 1 or old == new
    else:
        assert count == 1
        assert after == head + new + tail


@settings(max_examples=80)
@given(st.binary(max_size=40) | st.text(max_size=20).map(lambda text: b"\xff\xfe" + text.encode("utf-16-le", "ignore")))
def test_a_text_that_is_read_is_written_back_to_the_same_bytes(raw: bytes) -> None:
    try:
        found = decode(raw, "x")
    except FileRefused:
        return
    assert found.encode(found.text, "x") == raw


def test_an_edit_keeps_line_ends_encoding_and_mode(use: Callable[..., str], project: Project) -> None:
    use("edit_file", path="src/windows.txt", old="one\ntwo", new="1\n2")
    use("edit_file", path="src/old.txt", old="café", new="thé")
    use("edit_file", path="run.sh", old="#!/bin/sh", new="#!/bin/bash")
    copy = project.copy().workspace / "tin"
    assert (copy / "src/windows.txt").read_bytes() == b"1\r\n2\r\nthree\r\n"
    assert (copy / "src/old.txt").read_bytes() == "thé\n".encode("latin-1")
    assert (copy / "run.sh").stat().st_mode & 0o111


def test_a_character_that_the_encoding_does_not_have_is_refused(use: Callable[..., str]) -> None:
    assert "written in latin-1, which cannot say '€'" in use("edit_file", path="src/old.txt", old="café", new="€")


def test_text_that_stands_twice_is_refused_with_its_lines(use: Callable[..., str]) -> None:
    assert "2 places: lines 2, 6" in use("edit_file", path="src/tin.py", old="    return ", new="    yield ")


@pytest.mark.parametrize(
    ("old", "hint"),
    [
        ("def open_can() :", "Near misses: line 1 is 'def open_can():'"),
        ("def opn_can():", "line 1 is 'def open_can():'"),
        ("def open_can():\n    return 7", "From line 1 it is alike; line 2 is '    return 1', not '    return 7'"),
        ("nothing of the kind", "No line is like its first"),
    ],
)
def test_text_that_is_not_there_is_refused_with_near_misses(use: Callable[..., str], old: str, hint: str) -> None:
    assert hint in use("edit_file", path="src/tin.py", old=old, new="x")


def test_an_empty_old_text_creates_a_file_and_never_replaces_one(use: Callable[..., str], project: Project) -> None:
    use("edit_file", path="new/file.txt", old="", new="x\n")
    assert "it exists" in use("edit_file", path="new/file.txt", old="", new="y\n")
    assert (project.copy().workspace / "tin/new/file.txt").read_bytes() == b"x\n"


def test_a_binary_file_is_not_shown_or_changed(use: Callable[..., str], folder: Path) -> None:
    assert "binary" in use("read_file", path="picture.png")
    assert "binary" in use("edit_file", path="picture.png", old="PNG", new="GIF")
    assert "binary" in use("write_file", path="picture.png", text="x")
    assert "binary" in use("write_file", path="other", text="\0")
