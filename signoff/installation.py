"""What is installed here: the version, and the commands that install more into the same Python."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

VERSION: Final = "0.2.0"
"""As pyproject.toml says it too."""

_CHECKOUT = Path(__file__).resolve().parents[1]
_PROJECT = re.compile(r'^name = "signoff"$', re.MULTILINE)


def extra_command(extra: str) -> str:
    """The command that installs what this extra needs, beside this signoff and for the Python that runs.

    It names the checkout, folder, wheel or repository that signoff came from, never an index: what is called signoff
    there may be something else. If that place is gone, it names the extra's requirements one by one.
    """
    place = origin()
    return install_command(*(_with_extra(place, extra) if place else _requirements(extra)))


def install_command(*words: str) -> str:
    """The command that installs this into the Python that runs: with its pip, or with uv where there is none."""
    python = sys.executable or "python"
    if find_spec("pip") is not None:
        return _quoted(python, "-m", "pip", "install", *words)
    if shutil.which("uv") or _made_by_uv():
        return _quoted("uv", "pip", "install", "--python", python, *words)
    return f"{_quoted(python, '-m', 'ensurepip')} && {_quoted(python, '-m', 'pip', 'install', *words)}"


def _quoted(*words: str) -> str:
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _made_by_uv() -> bool:
    """Whether uv made the environment that runs."""
    about = Path(sys.prefix, "pyvenv.cfg")
    return about.is_file() and re.search(r"^uv\s*=", about.read_text(encoding="utf-8"), re.MULTILINE) is not None


def origin() -> str:
    """Where signoff was installed from: the path of a checkout, folder or wheel, or an address; empty if it is gone."""
    about = _CHECKOUT / "pyproject.toml"
    if about.is_file() and _PROJECT.search(about.read_text(encoding="utf-8")):
        return str(_CHECKOUT)
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        noted = json.loads(distribution("signoff").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        return ""
    address = str(noted.get("url", ""))
    if address.startswith("file:"):
        path = Path(url2pathname(urlsplit(address).path))
        return str(path) if path.exists() else ""
    version = noted.get("vcs_info", {})
    return f"{version['vcs']}+{address}@{version['commit_id']}" if version else address


def _with_extra(origin: str, extra: str) -> list[str]:
    if "://" in origin:
        return [f"signoff[{extra}] @ {origin}"]
    return [*(["-e"] if origin == str(_CHECKOUT) else []), f"{origin}[{extra}]"]


def _requirements(extra: str) -> list[str]:
    """What the extra needs, as the installed signoff says it; its own extras are named in place."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        said = requires("signoff") or []
    except PackageNotFoundError:
        said = []
    found: list[str] = []
    wanted = re.compile(rf"""(?:\s+and\s+)?extra\s*==\s*["']{re.escape(extra)}["']""")
    for line in said:
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        if not wanted.search(marker):
            continue
        if own := re.fullmatch(r"signoff\[([\w,\s-]+)\]", requirement):
            found += [more for name in own[1].split(",") for more in _requirements(name.strip())]
        else:
            marker = wanted.sub("", marker).strip()
            found.append(f"{requirement}; {marker}" if marker else requirement)
    return found
