"""Fetches what `test_real.py` needs into a folder: source distributions by name and hash, and wheels, with pip."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

from packaging.utils import parse_sdist_filename

REAL = tomllib.loads(Path(__file__).with_name("real.toml").read_text("utf-8"))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tools = folder / "tools"
    if not (tools / "bin" / "pip-audit").exists():
        venv.create(tools, with_pip=True)
        follow(tools / "bin" / "pip", "install", "--quiet", "unearth", "pip-audit")
    for name, sha256 in REAL["sources"].items():
        package, version = parse_sdist_filename(name)
        if not (folder / name).exists():  # pip would build what it downloads; this only downloads
            follow(tools / "bin" / "unearth", "--no-binary", f"{package}=={version}", "--download", folder)
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != sha256:
            (folder / name).unlink()
            sys.exit(f"{name} has the sha256 {found}, and {sha256} was expected. It was thrown away.")
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--dest", folder)
    for case in REAL["case"]:
        follow(*pip, f"{case['package']}=={case['old']}", *case["tool"])
        follow(*pip, "--no-deps", f"{case['package']}=={case['new']}")
    follow(*pip, "--no-deps", "oauthlib==3.2.1")
    for wheel in REAL["consumer"]["wheels"]:
        follow(*pip, "--no-deps", wheel)


def follow(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
