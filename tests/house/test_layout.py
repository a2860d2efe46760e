"""The house is in order: folders, package list, links, wheel and public names are one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

import signoff
from signoff.checkpoints.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
BESIDE = {"tests", "notebooks", "benchmarks", "docs", "examples", "src", "build", "dist"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def house_files() -> list[Path]:
    """Every file of the rooms and the front door, relative to the root; the links are left out."""
    tops = {path.parent for path in ROOT.glob("[!.]*/*.py")} - {ROOT / name for name in BESIDE}
    walked = (Path(folder, name) for top in tops for folder, _, names in os.walk(top) for name in names)
    links = {ROOT / "signoff" / top.name for top in tops}
    return sorted(path.relative_to(ROOT) for path in walked if path.suffix != ".pyc" and path not in links)


def installed(path: Path) -> Path:
    """Where a file of the house is once installed: `agents/agent.py` is `signoff/agents/agent.py`."""
    return path if path.parts[0] == "signoff" else "signoff" / path


def modules() -> list[str]:
    """Import names of all modules of the house."""
    paths = [installed(path).with_suffix("") for path in house_files() if path.suffix == ".py"]
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths)


def link_target(link: Path) -> str:
    """Where a link points; a checkout without symlinks has the target as the file's text."""
    return os.readlink(link) if link.is_symlink() else link.read_text(encoding="utf-8").strip()


def run_python(code: str, cwd: Path, **environment: str) -> str:
    """Standard output of a fresh Python that runs this code; it is an error if it warns or writes to standard error."""
    safe = os.environ | {"PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"} | environment
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=safe, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def copied_project(folder: Path) -> Path:
    """A copy of what a checkout holds, to build in."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")
    return Path(shutil.copytree(ROOT, folder / "project", symlinks=True, ignore=ignored))


def build(kind: str, project: Path) -> Path:
    """Build a 'wheel', an 'sdist' or an 'editable' wheel in the project's folder, without the network."""
    code = f"import sys; sys.path.insert(0, 'src'); import signoff_build; signoff_build.build_{kind}('dist')"
    subprocess.run([sys.executable, "-P", "-c", code], cwd=project, check=True, capture_output=True)
    [built] = (project / "dist").iterdir()
    return built


def test_every_folder_with_code_is_a_listed_package() -> None:
    folders = {path.parent for path in house_files() if path.suffix == ".py"}
    assert sorted(".".join(installed(folder).parts) for folder in folders) == SETUPTOOLS["packages"]
    assert [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").is_file()] == []


def test_every_room_has_its_folder_mapped_and_its_link() -> None:
    rooms = {path.parts[0] for path in house_files()} - {"signoff"}
    links = {path.name for path in (ROOT / "signoff").iterdir() if path.is_symlink()} | rooms
    assert SETUPTOOLS["package-dir"] == {f"signoff.{room}": room for room in sorted(rooms)}
    if (ROOT / "PKG-INFO").exists():
        pytest.skip("a source distribution has no links, and needs none once it is installed")
    assert {name: link_target(ROOT / "signoff" / name) for name in links} == {room: f"../{room}" for room in rooms}
    assert link_target(ROOT / "src" / "signoff") == "../signoff"


def test_no_top_level_folder_has_the_name_of_a_standard_module() -> None:
    assert {path.name for path in ROOT.iterdir() if path.is_dir()} & sys.stdlib_module_names == set()


def test_the_wheel_holds_every_file_of_the_house_and_nothing_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(build("wheel", copied_project(tmp_path))) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == {installed(path).as_posix() for path in house_files()}


def paths_of_an_editable_install(project: Path) -> list[str]:
    """What an editable install of this project puts on Python's path, without running code."""
    with zipfile.ZipFile(build("editable", project)) as wheel:
        assert wheel.testzip() is None
        lines = [line for name in wheel.namelist() if name.endswith(".pth") for line in wheel.read(name).split(b"\n")]
        (record,) = [wheel.read(name).decode() for name in wheel.namelist() if name.endswith("RECORD")]
        assert all(f"{name}," in record for name in wheel.namelist())
    return [line.decode() for line in lines if line and not line.startswith(b"import ")]


def test_an_editable_install_is_also_a_path_which_type_checkers_follow_with_no_other_package(tmp_path: Path) -> None:
    project = copied_project(tmp_path)
    assert paths_of_an_editable_install(project) == [str(project / "src")]
    packages = {path.parent.name for path in (project / "src").glob("*/__init__.py")}
    assert packages == {"signoff"}
    assert (project / "src" / "signoff" / "py.typed").is_file()
    assert (project / "src" / "signoff" / "graphs" / "team.py").samefile(project / "graphs" / "team.py")


def test_an_editable_install_without_links_is_the_mapping_alone(tmp_path: Path) -> None:
    project = copied_project(tmp_path)
    links = [path for folder in ("signoff", "src") for path in (project / folder).iterdir() if path.is_symlink()]
    for link in links:
        target = os.readlink(link)
        link.unlink()
        link.write_text(target)
    assert paths_of_an_editable_install(project) == []


def test_the_sdist_holds_what_is_needed_to_build_and_test_it(tmp_path: Path) -> None:
    project = copied_project(tmp_path)
    tests = {path.relative_to(project) for path in (project / "tests").rglob("*.py")}
    with tarfile.open(build("sdist", project)) as sdist:
        packed = {Path(*Path(name).parts[1:]) for name in sdist.getnames()}
    backend = Path("src", "signoff_build.py")
    needed = {Path("make.py"), Path("constraints.txt"), Path("LICENSE"), backend, *tests, *house_files()}
    assert needed - packed == set()


def test_every_module_imports_without_doing_anything(home: Path) -> None:
    code = f"""
import importlib, json, os, signal, threading
before = dict(os.environ), os.getcwd(), signal.getsignal(signal.SIGINT)
for name in {modules()}:
    importlib.import_module(name)
after = dict(os.environ), os.getcwd(), signal.getsignal(signal.SIGINT)
print(json.dumps([before == after, threading.active_count()]))
"""
    assert json.loads(run_python(code, home, HOME=str(home))) == [True, 1]
    assert list(home.iterdir()) == []


def test_importing_signoff_loads_no_graph_engine_and_no_provider() -> None:
    code = "import signoff, signoff.errors, sys; print(*sys.modules)"
    loaded = {name.partition(".")[0] for name in run_python(code, ROOT).split()}
    heavy = {
        "pydantic",
        "langgraph",
        "langgraph_api",
        "langchain",
        "langchain_core",
        "langchain_openai",
        "openai",
        "sqlalchemy",
    }
    assert loaded & heavy == set()


def test_commands_that_look_at_the_ledger_load_no_graph_engine(home: Path) -> None:
    with closing(Ledger(home / ".signoff" / "signoff.db")) as ledger:
        ledger.runs.begin("r-1", 1, team="office", goal="pay ann", requested_by="joe")
    code = """
import sys
from signoff.desk.cli.app import build
for words in ("runs", "approvals", "people", "costs", "audit verify", "notify"):
    try:
        build()(words.split())
    except SystemExit as ended:
        assert not ended.code, words
print({"langgraph", "langchain_core", "langsmith"} & sys.modules.keys() or "none of them")
"""
    told = run_python(code, home, NO_COLOR="1")
    assert "r-1" in told
    assert told.endswith("none of them\n")


def test_public_names_are_sorted_few_and_all_there() -> None:
    assert signoff.__all__ == sorted(set(signoff.__all__))
    assert len(signoff.__all__) < 40
    assert [name for name in signoff.__all__ if not hasattr(signoff, name)] == []
    assert set(signoff.__all__) <= set(dir(signoff))


def test_the_version_is_the_projects() -> None:
    assert signoff.__version__ == PROJECT["project"]["version"]


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = signoff.no_such_name  # type: ignore[attr-defined]  # which type checkers find, too
