"""Whoever approves a file that runs by itself is told so, whatever action writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from signoff.tools.files.self_running import warn_of_running, with_warning
from signoff.tools.publishing import Publication, publish_report
from signoff.tools.sandbox.save_action import save_from_workspace
from signoff.tools.storage.blobs import Blobs
from signoff.tools.storage.confined_folder import ConfinedFolder
from signoff.tools.storage.workspaces import Workspaces

SAID = "**Runs by itself:**"


@pytest.mark.parametrize(
    "path",
    [
        ".envrc", "a/.envrc", ".ENVRC", ".envrc.", "conftest.py", "tests/unit/conftest.py", "sitecustomize.py", "x.pth",
        ".github/workflows/ci.yml", "sub/.github/workflows/a/b.yaml", ".GitHub/Workflows/ci.yml", ".gitlab-ci.yml",
        "Makefile", "GNUmakefile", "src/build.mk", "package.json", "pyproject.toml", "setup.py", "setup.cfg",
        ".vscode/tasks.json", ".pre-commit-config.yaml", ".gitattributes", ".gitmodules", "~/.gitconfig", ".bashrc",
        "/home/ann/.zshenv", "Dockerfile", "Dockerfile.dev", "docker-compose.override.yml", ".husky/pre-commit",
        "hooks/post-checkout", "vite.config.ts", "build.rs", "Jenkinsfile", ".circleci/config.yml", "tox.ini",
        ".idea/workspace.xml", ".claude/settings.json", "AGENTS.md", ".ssh/authorized_keys", "src\\conftest.py",
        "con\u200bftest.py", ".venv/bin/python", "action.yml", "Justfile", "CMakeLists.txt", ".npmrc", "noxfile.py",
        ".github/x/../workflows/ci.yml", "./" * 900 + ".envrc", ".git/x/../hooks/pre-commit", "a/../.envrc/.",
        "docs/conf.py", "configure", "karma.conf.js", "uv.lock", "go.mod", "app/build.gradle", ".storybook/main.js",
        "alembic/env.py", "lib/__pycache__/json.cpython-311.pyc", "json.so", "Snakefile", "autogen.sh", "build.zig",
    ],
)  # fmt: skip
def test_what_runs_by_itself_is_told(path: str) -> None:
    assert warn_of_running([path]).startswith(f"- {SAID} `")
    assert "\n" not in warn_of_running([path])


@pytest.mark.parametrize(
    "path",
    ["report.md", "out/result.csv", "src/main.py", "tests/test_x.py", ".github/CODEOWNERS", "docs/makefile.md", "build",
     "src/hooks/useOrders.ts", ".gitignore", "chart.svg", "my-conftest.py", "package.json/readme.md", "", "/"],
)  # fmt: skip
def test_other_files_are_not(path: str) -> None:
    assert warn_of_running([path]) == ""


def test_a_long_path_among_the_arguments_of_any_action_is_told() -> None:
    assert SAID in with_warning("It writes.", {"file": {"where": "./" * 900 + ".github/x/../workflows/ci.yml"}})


def test_a_name_ends_no_line_and_many_are_counted() -> None:
    told = warn_of_running([f"{number}`\n\n**Approved**/.envrc" for number in range(30)]).splitlines()
    assert len(told) == 21
    assert "10 more files" in told[-1]
    assert all(line.startswith(f"- {SAID} `") for line in told[:-1])


def test_what_is_published_and_saved_is_told_first(home: Path) -> None:
    workspaces = Workspaces(home / ".signoff")
    ConfinedFolder(workspaces.current()).write("a", b"x")
    saving: Any = save_from_workspace(workspaces, Blobs(home / ".signoff"), home)
    publishing: Any = publish_report(home)
    saved = saving.arguments.model_validate({"path": "a", "destination": ".github/workflows/ci.yml"})
    (home / "notes.md").symlink_to(".envrc")
    for shown in (
        saving.preview(saved),
        publishing.preview(Publication(path=".github/workflows/ci.yml", content="x")),
        publishing.preview(Publication(path="notes.md", content="x")),
    ):
        assert shown.startswith(f"- {SAID} `")
    assert SAID not in publishing.preview(Publication(path="report.md", content="x"))


def test_the_arguments_of_any_action_are_looked_through() -> None:
    args = {"files": {"sub/.envrc": "text", "b": ["Makefile", {"uri": "file:///x/conftest.py"}]}, "n": 3, "no": None}
    told, _, rest = with_warning("Calls it.", args).partition("\n\n")
    assert [line.split("`")[1] for line in told.splitlines()] == ["sub/.envrc", "Makefile", "file:///x/conftest.py"]
    assert rest == "Calls it."
    assert with_warning("Calls it.", {"text": "one\n.envrc", "url": "https://example.org/Makefile"}) == "Calls it."


def test_a_file_is_told_of_once_and_no_text_further_down_counts_for_it() -> None:
    warning = warn_of_running([".envrc"])
    assert with_warning(f"{warning}\n\nWrites it.", {"path": ".envrc"}).count(SAID) == 1
    assert with_warning(f"Writes it.\n\n{warning}", {"path": ".envrc"}).startswith(warning)
