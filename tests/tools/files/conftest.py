"""A project of plain files, its tools, and a way to call them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from signoff.tools.action import Action
from signoff.tools.files.project import Project
from signoff.tools.files.tools import file_tools
from signoff.tools.tool import Tool

FILES = {
    "README.md": b"# Tin\n\nA can of things.\n",
    "src/tin.py": b"def open_can():\n    return 1\n\n\ndef close_can():\n    return 2\n",
    "src/windows.txt": b"one\r\ntwo\r\nthree\r\n",
    "src/old.txt": "café\n".encode("latin-1"),
    "picture.png": b"\x89PNG\r\n\x1a\n\0\0",
    ".env": b"TOKEN=planted-secret\n",
    "node_modules/left/pad.js": b"0",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The project itself."""
    place = tmp_path / "tin"
    for name, raw in FILES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(raw)
    (place / "run.sh").write_bytes(b"#!/bin/sh\n")
    (place / "run.sh").chmod(0o755)
    return place


@pytest.fixture
def tools(project: Project) -> tuple[Tool | Action[Any], ...]:
    """What `use` calls."""
    return file_tools(project)


@pytest.fixture
def action(project: Project) -> Action[Any]:
    """apply_to_project."""
    (found,) = (tool for tool in file_tools(project) if isinstance(tool, Action))
    return found
