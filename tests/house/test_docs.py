"""Every Python block of the README and the docs runs, and prints what the text block after it says."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import warm

from signoff.errors import SandboxMissing
from signoff.tools.sandbox.backends import open_backend

ROOT = Path(__file__).parents[2]
UNSEEN = (
    "IPython _pytest a2a ag_ui cryptography dbos docker docx ipykernel jinja2 jupyter_client langsmith matplotlib "
    "numpy openai opentelemetry prompt_toolkit psycopg psycopg_pool pytest rich sqlalchemy tornado typer urllib3 "
    "websockets"
).split()
"""Packages that ours import and no block does: looking into them is most of the work, and says nothing of blocks."""
CHECKED = f"""
[mypy]
strict = True
warn_unused_configs = False
follow_imports = silent
[mypy-{",".join(f"{name}.*" for name in UNSEEN)}]
follow_imports = skip
follow_imports_for_stubs = True
"""
CACHE = ROOT / ".mypy_cache" / "docs"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_IMPORTED = re.compile(r"^\s*(?:from|import) (\w+)", re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def blocks(page: Path) -> list[tuple[str, str]]:
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def skip_without_sandbox() -> None:
    try:
        open_backend("bubblewrap")
    except SandboxMissing as missing:
        pytest.skip(str(missing))


def test_the_example_team_of_the_readme_is_under_30_lines_and_has_three_agents() -> None:
    example = next(code for kind, code in blocks(PAGES[0]) if kind == "python")
    lines = [line for line in example.splitlines() if line.strip()]
    assert len(lines) < 30
    assert example.count("Agent(role=") == 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_blocks_of_a_page_run_one_after_the_other(page: Path, home: Path) -> None:
    found = blocks(page)
    code = [text for kind, text in found if kind == "python"]
    if not code:
        return
    if "sandbox_tools" in "".join(code):
        skip_without_sandbox()
    (home / "docs").symlink_to(ROOT / "docs")
    (home / "page.py").write_text("\n".join(code), encoding="utf-8")
    done = warm.run([sys.executable, "page.py"], cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    promised = "".join(text for (before, _), (kind, text) in pairwise(found) if kind == "text" and before == "python")
    assert done.stdout == promised


def test_the_python_blocks_pass_mypy_as_strict_as_it_is(tmp_path: Path) -> None:
    """As a program outside of the checkout: without our settings and plugins, and what is wrong there is wrong here."""
    imported = set[str]()
    for page in PAGES:
        code = "\n".join(text for kind, text in blocks(page) if kind == "python")
        name = "_".join(page.relative_to(ROOT).with_suffix("").parts).replace("-", "_").lower()
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        imported |= set(_IMPORTED.findall(code))
    assert imported & {*UNSEEN} == set()
    assert {"signoff", "langgraph", "pydantic"} <= imported
    (tmp_path / "mypy.ini").write_text(CHECKED, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", str(CACHE), "."]
    outside = {**os.environ, "MYPYPATH": str(ROOT / "src")}  # what an editable install adds
    done = subprocess.run(command, cwd=tmp_path, env=outside, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_setting_is_in_the_example_file() -> None:
    from signoff.settings import Settings

    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    for name in Settings.model_fields:
        assert f"SIGNOFF_{name.upper()}" in example or (name == "api_key" and "OPENAI_API_KEY" in example), name
