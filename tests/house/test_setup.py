"""Setting up from a fresh clone: make.py, what it pins, and what the README promises of it."""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from signoff.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = [
    line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
]

STAND_IN = f"""#!{sys.executable}
# Made in {{venv}}
import os, sys
print(os.path.basename(sys.argv[0]), sys.argv[1:], os.environ.get("SIGNOFF_MODEL", ""), flush=True)
print(os.environ.get("SAYS", ""), file=sys.stderr)
sys.exit(int(os.environ.get("CODE", "0")))
"""
"""A program that tells what it was called with, and ends as it is told."""


def make(*words: str, root: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run make.py of this checkout, or of a copy of it."""
    command = [sys.executable, str(root / "make.py"), *words]
    kept = {name: value for name, value in os.environ.items() if name not in ("SOURCES", "OUT", "QUESTION", "YES")}
    return subprocess.run(command, cwd=root, env=kept | environment, capture_output=True, text=True, check=False)


def make_without_ensurepip(root: Path) -> subprocess.CompletedProcess[str]:
    """Run `make.py run` as a Python that lacks ensurepip, as Debian ships it, and without uv."""
    code = "import runpy, sys; sys.modules['ensurepip'] = None; sys.argv[1:] = ['run']"
    code += "; runpy.run_path('make.py', run_name='__main__')"
    environment = os.environ | {"PATH": str(root)}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=False
    )


def place(program: Path, venv: Path) -> None:
    """Put a stand-in there."""
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(STAND_IN.format(venv=venv), encoding="utf-8")
    program.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that is set up, with stand-ins for `signoff` and for the Python that runs pip."""
    for name in ("make.py", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("signoff", "python"):
        place(tmp_path / ".venv" / "bin" / name, tmp_path / ".venv")
    settled = (tmp_path / "pyproject.toml").read_bytes() + (tmp_path / "constraints.txt").read_bytes()
    (tmp_path / ".venv" / "ready-documents").write_bytes(settled)
    return tmp_path


def change_requirements(checkout: Path) -> None:
    """Change what is installed."""
    with (checkout / "constraints.txt").open("a", encoding="utf-8") as constraints:
        constraints.write("# changed\n")


def blocks(document: str) -> list[str]:
    """The code blocks of a Markdown document that are meant for a terminal."""
    return re.findall(r"^```(?:console|sh|bash|shell)\n(.*?)^```", document, re.DOTALL | re.MULTILINE)


def test_help_names_every_command() -> None:
    done = make("help")
    assert make("--help").stdout == done.stdout
    listed = set(re.findall(r"^  ([\w-]+) +[A-Z]", done.stdout, re.MULTILINE))
    tests = {"smoke", "test", "hunt", "test-long", "real"}
    assert listed == tests | {"run", "check", "bench", "docs", "setup", "constraints", "clean", "help"}
    assert done.returncode == 0


def test_an_unknown_command_is_refused_and_the_known_ones_are_named() -> None:
    done = make("fly")
    assert done.returncode == 2
    assert done.stdout.startswith("No command 'fly'. There are: run, smoke, test,")


def test_an_old_python_is_told_so_in_one_line() -> None:
    code = "import runpy, sys; sys.version_info = (3, 10, 9); runpy.run_path('make.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("signoff needs Python 3.11 or newer, and ")
    assert done.stderr.count("\n") == 1


def test_an_old_python_can_read_make_py_far_enough_to_be_told() -> None:
    ast.parse((ROOT / "make.py").read_text(encoding="utf-8"), feature_version=(3, 7))


def test_a_python_that_cannot_make_environments_says_what_to_install(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    done = make_without_ensurepip(checkout)
    assert done.returncode == 1
    assert "sudo apt install python3-venv" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_takes_values_from_words_and_passes_options_on(checkout: Path) -> None:
    words = ["SOURCES=~/notes", "OUT=a b.md", "QUESTION=What is x=y?", "SIGNOFF_MODEL=offline", "--", "--json", "A=b"]
    done = make("run", *words, root=checkout, HOME="/home/me")
    expected = ["run", "report", "What is x=y?", "--sources", "/home/me/notes", "--out", "a b.md", "--json", "A=b"]
    assert done.stdout == f"signoff {expected} offline\n"


def test_run_takes_values_from_the_environment(checkout: Path) -> None:
    done = make("run", root=checkout, SOURCES="letters", YES="1", OUT="")
    assert "'--sources', 'letters', '--out', 'report.md', '--yes']" in done.stdout


def test_run_without_values_reports_on_the_documentation_of_signoff(checkout: Path) -> None:
    done = make("run", root=checkout, YES="0")
    assert "'--sources', 'docs', '--out', 'report.md']" in done.stdout


@pytest.mark.parametrize("code", [0, 1, 3, 4, 130])
def test_run_ends_with_the_exit_code_of_signoff(checkout: Path, code: int) -> None:
    assert make("run", root=checkout, CODE=str(code)).returncode == code


@pytest.mark.parametrize(
    ("word", "makeflags", "answer"),
    [
        ("SUORCES=x", "", "No variable 'SUORCES'. Do you mean SOURCES?\n"),
        ("sources=x", "", "No variable 'sources'. Do you mean SOURCES?\n"),
        ("COLOUR=x", "", "No variable 'COLOUR'. There are: SOURCES, OUT, YES, QUESTION.\n"),
        ("OUT=x", "w -- SUORCES=x QUESTION=What\\ is\\ x=y?", "No variable 'SUORCES'. Do you mean SOURCES?\n"),
    ],
)
def test_a_mistyped_variable_is_refused_and_nothing_is_run(
    checkout: Path, word: str, makeflags: str, answer: str
) -> None:
    done = make("run", word, root=checkout, MAKEFLAGS=makeflags)
    assert (done.returncode, done.stdout) == (2, answer)


def test_variables_that_make_itself_was_given_are_taken(checkout: Path) -> None:
    done = make("run", root=checkout, MAKEFLAGS=r" -- ARGS=--json OUT=x.md QUESTION=What\ is\ x=y?", OUT="x.md")
    assert (done.returncode, "'--out', 'x.md'" in done.stdout) == (0, True)


def test_changed_requirements_are_installed_before_the_run_and_only_once(checkout: Path) -> None:
    change_requirements(checkout)
    first = make("run", root=checkout, PATH="")
    second = make("run", root=checkout, PATH="")
    assert first.stdout == f"Bringing .venv up to date...\n{second.stdout}"
    assert second.stdout.startswith("signoff ['run', 'report',")


def test_uv_installs_where_it_is_found(checkout: Path) -> None:
    change_requirements(checkout)
    place(checkout / "bin" / "uv", checkout)
    done = make("run", root=checkout, PATH=str(checkout / "bin"), CODE="1")
    assert "uv ['pip', 'install', '--python', " in done.stderr
    assert "'-e', '.[documents]']" in done.stderr, "what reads the documents is part of it"


def test_a_failed_set_up_shows_what_was_said_and_is_done_again(checkout: Path) -> None:
    change_requirements(checkout)
    for _ in range(2):
        done = make("run", root=checkout, PATH="", CODE="1", SAYS="ERROR: No space left on device")
        assert done.returncode == 1
        assert "python ['-m', 'pip', 'install', " in done.stderr
        assert "ERROR: No space left on device" in done.stderr
        assert done.stderr.endswith("Mend what is said above, then run the same command again.\n")


def test_a_set_up_without_network_says_so(checkout: Path) -> None:
    change_requirements(checkout)
    done = make("run", root=checkout, PATH="", CODE="1", SAYS="Retrying after connection broken by 'ReadTimeoutError'")
    assert done.stderr.endswith("Check the network and its proxy settings, then run the same command again.\n")


@pytest.mark.parametrize("harm", ["moved", "half-made", "python gone"])
def test_an_environment_that_cannot_work_is_replaced(checkout: Path, harm: str) -> None:
    script, python = checkout / ".venv" / "bin" / "signoff", checkout / ".venv" / "bin" / "python"
    if harm == "moved":
        place(script, Path("/elsewhere/.venv"))
    elif harm == "half-made":
        script.unlink()
    else:
        python.unlink()
        python.symlink_to("/nowhere/python")
    done = make_without_ensurepip(checkout)
    assert done.stdout == "Setting up .venv (first time, about a minute)...\n"
    assert not (checkout / ".venv").exists()


def test_the_command_that_ci_runs_is_the_readme_s_test_command() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = [line for line in script.read_text(encoding="utf-8").splitlines() if "make.py" in line]
    assert commands == [f"pass python3 make.py {name}" for name in ("test", "hunt", "check")]


def test_the_commit_picks_a_part_of_the_hunts_and_it_is_told_how_to_repeat_it(checkout: Path) -> None:
    place(checkout / ".venv" / "bin" / "pytest", checkout / ".venv")
    (checkout / ".venv" / "ready-documents").rename(checkout / ".venv" / "ready-dev")
    git = checkout / "bin" / "git"
    place(git, checkout)
    git.write_text(f"#!{sys.executable}\nprint('00000000000000000000000000000000000000a7')")
    picked = make("hunt", root=checkout, PATH=str(checkout / "bin"))
    assert "again: python3 make.py hunt -- 167\npytest ['-q', " in picked.stdout
    assert "'-m', 'hunt', '--hunt-part', '167']" in picked.stdout
    assert "'--hunt-part', '3', '-k', 'x']" in make("hunt", "--", "3", "-k", "x", root=checkout).stdout
    git.unlink()
    assert "'--hunt-part', '0']" in make("hunt", root=checkout, PATH=str(checkout / "bin")).stdout


@pytest.mark.skipif(os.name == "nt", reason="there are no signals")
def test_whoever_ends_make_ends_what_it_runs(checkout: Path) -> None:
    program = checkout / ".venv" / "bin" / "signoff"
    program.write_text(
        f"#!{sys.executable}\nimport signal\nprint('up', flush=True)\nsignal.pause()  # {checkout}/.venv"
    )
    command = [sys.executable, str(checkout / "make.py"), "run"]
    with subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, text=True) as made:
        assert made.stdout is not None
        assert made.stdout.readline() == "up\n"
        made.terminate()
        assert made.wait(60) == 128 + signal.SIGTERM
        assert made.stdout.read() == ""  # the program had the other end, and is gone


def test_the_readme_begins_with_the_run_command_and_names_the_test_command() -> None:
    shown = blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    assert "python3 make.py run" in shown[0]
    assert any("python3 make.py test" in block for block in shown)


def test_make_targets_are_the_commands_of_make_py() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [targets] = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert set(targets.split()) == set(re.findall(r"^  ([\w-]+) +[A-Z]", make("help").stdout, re.MULTILINE))


def test_constraints_are_plain_names_and_versions_in_order() -> None:
    assert [line for line in PINS if not re.fullmatch(r"[a-z0-9-]+==[a-z0-9.+!]+", line)] == []
    names = [line.partition("==")[0] for line in PINS]
    assert names == sorted(set(names))


def test_every_requirement_of_the_project_is_pinned() -> None:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    required = {re.match(r"[\w.-]+", line)[0].lower() for group in groups for line in group}  # type: ignore[index]  # a requirement begins with its name
    assert required - {"signoff"} - {line.partition("==")[0] for line in PINS} == set()


def test_every_variable_of_the_env_example_is_a_setting() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    names = re.findall(r"^#?SIGNOFF_([A-Z_]+)=", example, re.MULTILINE)
    assert len(names) > 5
    assert {name.lower() for name in names} - set(Settings.model_fields) == set()
