"""LangGraph's own tests of graphs with checkpoints, with our saver: `python3 make.py real` fetches and runs them."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import pytest

FETCHED = os.environ.get("REAL_INPUTS", "")
OURS = Path(__file__).with_name("upstream_savers.py")
NEEDED = ("pytest_mock", "syrupy", "redis", "pycryptodome")
LEAST = 1900
"""So many of them pass."""
RERUNS = 2  # some compare times, to a tenth of a second

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not FETCHED, reason="its inputs are fetched and it is run by: python3 make.py real"),
]


def unpacked(folder: Path) -> list[str]:
    """Unpack the tests and what they import; returns those that are given a saver."""
    with tarfile.open(Path(FETCHED, f"langgraph-{version('langgraph')}.tar.gz")) as archive:
        for member in archive:
            member.name = member.name.partition("/")[2]
            if member.name.startswith("tests/"):
                archive.extract(member, folder, filter="data")
    for name in NEEDED:
        (wheel,) = Path(FETCHED).glob(f"{name}-*.whl")
        with zipfile.ZipFile(wheel) as held:
            held.extractall(folder / "needed")
    (folder / "pytest.ini").touch()
    files = sorted((folder / "tests").glob("test_*.py"))
    return [f"tests/{file.name}" for file in files if "sync_checkpointer" in file.read_text("utf-8")]


def outcomes(folder: Path, tests: Collection[str]) -> tuple[set[str], int]:
    """Run them: which failed, and how many passed."""
    paths = [str(folder / "needed"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "NO_DOCKER": "true", "PYTHONPATH": os.pathsep.join(paths)}
    options = ["-q", "-n", "2", "-p", "no:cacheprovider", "--junitxml", "told.xml", "-o", "junit_family=xunit1"]
    with (folder / "told.txt").open("w") as told:
        subprocess.run([sys.executable, "-m", "pytest", *options, *tests], cwd=folder, env=environment, stdout=told)
    failed, passed = set(), 0
    for case in ElementTree.parse(folder / "told.xml").iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            file = case.get("file", "")
            inside = case.get("classname", "").removeprefix(file.removesuffix(".py").replace("/", ".")).split(".")
            failed.add("::".join([file, *filter(None, inside), case.get("name", "")]))
        elif case.find("skipped") is None:
            passed += 1
    return failed, passed


def test_what_passes_with_the_official_saver_passes_with_ours(tmp_path: Path) -> None:
    tests = unpacked(tmp_path)
    savers = tmp_path / "tests" / "conftest_checkpointer.py"
    official = savers.read_bytes()
    savers.write_bytes(OURS.read_bytes())
    failed, passed = outcomes(tmp_path, tests)
    assert passed >= LEAST
    for _ in range(RERUNS):
        failed = outcomes(tmp_path, failed)[0] if failed else failed
    savers.write_bytes(official)
    theirs = outcomes(tmp_path, failed)[0] if failed else failed  # of another langchain-core, or a slow machine
    assert failed - theirs == set()
