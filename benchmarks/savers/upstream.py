"""LangGraph's own tests with our saver: `python benchmarks/savers/upstream.py CHECKOUT` of its repository.

Its tests that use a SQLite saver run twice: with the official savers on files, then with ours. Exits with 1 if one
passes with theirs and fails with ours. The checkout's own langgraph is tested, as its tests fit no other version
exactly; the checkpoint packages are the newest that signoff accepts. All of it is installed in build/, not in .venv.
"""

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / "build" / "upstream"
NEEDED = (
    "aiosqlite",
    "langgraph-checkpoint-postgres",
    "psycopg[binary,pool]",
    "pycryptodome",
    "pytest",
    "pytest-mock",
    "pytest-xdist",
    "redis",
    "syrupy",
)
"""What their conftest.py imports; PostgreSQL and Redis themselves are not used."""


def prepare() -> Path:
    """Install signoff and what their tests need; returns the Python that has them."""
    python = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        print(f"Making {ENVIRONMENT} (about a minute)...", flush=True)
        venv.create(ENVIRONMENT, with_pip=True)
    run_quietly(python, "-m", "pip", "install", "-c", "constraints.txt", "-e", ".", *NEEDED)
    # Its presence is written into the metadata of model calls, which some of their tests compare exactly.
    run_quietly(python, "-m", "pip", "uninstall", "--yes", "langchain")
    return python


def run_quietly(*command: str | Path) -> None:
    """Run a step of the preparation; if it fails, show what it said and stop."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\nFailed: {' '.join(map(str, command))}")


def run(python: Path, tests: Path, savers: str, options: list[str]) -> dict[str, bool]:
    """Run the tests with these savers; returns for each whether it passed, without those that were skipped."""
    files = sorted(path.name for path in tests.glob("test_*.py") if "sync_checkpointer" in path.read_text("utf-8"))
    report = ENVIRONMENT / f"{savers}.xml"
    report.unlink(missing_ok=True)
    paths = os.pathsep.join([str(tests.parent), str(Path(__file__).parent)])  # first: the checkout's own langgraph
    surroundings = os.environ | {
        "PYTHONPATH": paths,
        "SAVERS": savers,
        "NO_DOCKER": "true",
        "LANGSMITH_TRACING": "false",
    }
    surroundings.pop("LANGGRAPH_STRICT_MSGPACK", None)
    command = [
        str(python),
        "-m",
        "pytest",
        "-o",
        "addopts=",
        "-p",
        "upstream_savers",
        f"--junitxml={report}",
        "-p",
        "no:cacheprovider",
        *options,
    ]
    print(f"\n> LangGraph's tests with the {savers} savers", flush=True)
    subprocess.run([*command, *(f"tests/{name}" for name in files)], cwd=tests.parent, env=surroundings)
    if not report.exists():
        sys.exit("The tests did not run; what is wrong is said above.")
    cases = ElementTree.parse(report).iter("testcase")
    return {
        f"{case.get('classname')}::{case.get('name')}": case.find("failure") is None and case.find("error") is None
        for case in cases
        if case.find("skipped") is None
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkout", type=Path, help="folder of a langgraph checkout")
    parser.add_argument("options", nargs="*", help="options for pytest, after --")
    asked = parser.parse_args()
    tests = asked.checkout.resolve() / "libs" / "langgraph" / "tests"
    if not (tests / "conftest_checkpointer.py").exists():
        parser.error(f"no LangGraph tests in {tests}")
    options = asked.options or ["-q", "-n", str(min(os.cpu_count() or 1, 8)), "--tb=short", "--disable-warnings"]
    python = prepare()
    official, ours = (run(python, tests, savers, options) for savers in ("official", "signoff"))
    worse = sorted(name for name, passed in official.items() if passed and not ours.get(name, False))
    print(f"\nofficial: {sum(official.values())} of {len(official)} passed")
    print(f"signoff:  {sum(ours.values())} of {len(ours)} passed")
    print(*(f"passes with official, fails with ours: {name}" for name in worse), sep="\n")
    return 1 if worse or not any(official.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
