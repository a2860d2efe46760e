"""Fetches what cases on real projects need into a folder: source distributions by name and hash, wheels, and programs.

Each case names its own in a `real.toml` beside it: `[sources]` with their sha256, and `[consumer]` and `[[case]]` with
releases whose wheels are wanted, a case's own and those `between`. What is there already is not fetched again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any

from packaging.utils import parse_sdist_filename

HERE = Path(__file__).parent
TESTS = HERE.parents[1]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tools = folder / "tools" / "bin"
    if not (tools / "pip").exists():
        venv.create(tools.parent, with_pip=True)
    follow(tools / "pip", "--disable-pip-version-check", "install", "--quiet", "-r", HERE / "tools.txt")
    for file in sorted(TESTS.rglob("real.toml")):
        told = tomllib.loads(file.read_text("utf-8"))
        for name, sha256 in told.get("sources", {}).items():
            fetch_source(name, sha256, folder, tools)
        for wanted in wheels_of(told):
            follow(sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "-d", folder, *wanted)
    install_clients(folder / "npm")
    fetch_inboxes(folder / "clients")
    install_aegra(folder / "aegra")


def install_clients(folder: Path) -> None:
    """Install the clients in JavaScript, unless they are there; without npm what needs them is skipped."""
    npm = shutil.which("npm")
    if npm is None:
        sys.stderr.write("No npm: the clients in JavaScript are not installed, and their tests are skipped.\n")
        return
    folder.mkdir(exist_ok=True)
    shutil.copy(HERE / "package.json", folder)
    follow(npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--prefix", folder)


def fetch_inboxes(folder: Path) -> None:
    """Fetch the sources of inboxes, each at one commit; without git or its host what needs them is skipped."""
    git = shutil.which("git")
    for name, commit in json.loads((HERE / "inboxes.json").read_text("utf-8")).items():
        place = folder / name
        if git is None or (place / "package.json").exists():
            continue
        address = f"https://github.com/langchain-ai/{name}"
        subprocess.run([git, "init", "--quiet", place], check=True)
        fetched = subprocess.run([git, "-C", place, "fetch", "--quiet", "--depth", "1", address, commit], check=False)
        if fetched.returncode:
            shutil.rmtree(folder)
            sys.stderr.write(f"{address} cannot be reached: the tests that need the inboxes are skipped.\n")
            return
        subprocess.run([git, "-C", place, "checkout", "--quiet", commit], check=True)
    chat, npx = folder / "agent-chat-ui", shutil.which("npx")
    if npx is not None and not (chat / "node_modules").is_dir():  # what its page is made of, as its own lock says
        pnpm = json.loads((chat / "package.json").read_text("utf-8"))["packageManager"]
        words = [npx, "--yes", pnpm, "install", "--prod", "--frozen-lockfile", "--ignore-scripts", "--loglevel=error"]
        subprocess.run(words, cwd=chat, env={**os.environ, "CI": "true"}, check=True)


def install_aegra(folder: Path) -> None:
    """Install Aegra and signoff for a Python that it runs on, unless it is there; without one its test is skipped."""
    there = [found for name in ("python3.12", "python3.13") if (found := shutil.which(name))]
    found = next((one for one in there if subprocess.run([one, "-c", ""], check=False).returncode == 0), None)
    if found is None:
        sys.stderr.write("No Python 3.12 or 3.13: Aegra is not installed, and its test is skipped.\n")
        return
    if not (folder / "bin" / "pip").exists():
        follow(found, "-m", "venv", folder)
    words = ["install", "--quiet", "-r", HERE / "aegra.txt", "-e", f"{TESTS.parent}[protocols]"]
    follow(folder / "bin" / "pip", "--disable-pip-version-check", *words)


def fetch_source(name: str, sha256: str, folder: Path, tools: Path) -> None:
    """Fetch a source distribution, unless it is there; one with another digest is thrown away."""
    package, version = parse_sdist_filename(name)
    if not (folder / name).exists():  # pip would build what it downloads; this only downloads
        follow(tools / "unearth", "--link-only", "--no-binary", f"{package}=={version}", "--download", folder)
    found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    if found != sha256:
        (folder / name).unlink()
        sys.exit(f"{name} has the sha256 {found}, and {sha256} was expected. It was thrown away.")


def wheels_of(told: dict[str, Any]) -> list[tuple[str, ...]]:
    """What pip is asked for: the old release of a case with what its tests need, and the others without."""
    wanted: list[tuple[str, ...]] = []
    for case in told.get("case", ()):
        wanted.append((f"{case['package']}=={case['old']}", *case["tool"]))
        later = (*case.get("between", ()), case["new"])
        wanted += [("--no-deps", f"{case['package']}=={version}") for version in later]
    return wanted + [("--no-deps", wheel) for wheel in told.get("consumer", {}).get("wheels", ())]


def follow(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
