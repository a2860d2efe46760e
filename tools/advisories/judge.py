"""The second judge of a scan: pip-audit, a program of others, asks the local server about what we list for it.

It fails open: what it cannot look up it skips, and says that nothing is known (exit code 0). So what it audited is
compared with what it was given, and a package that is missing there was not scanned.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from packaging.utils import canonicalize_name

from signoff.tools.advisories.osv_server import serving
from signoff.tools.advisories.records import AdvisorySet, Finding, parse
from signoff.tools.errors import JudgeFailed, JudgeMissing
from signoff.tools.storage.child_environment import clean_environment

NAME: Final = "pip-audit"
NONE: Final = "none"
"""The name by which a scan goes without a second judge."""
_SECONDS: Final = 600.0

Pinned = tuple[str, str]
"""A package, by its normalised name, and its version."""
Known = Mapping[Pinned, frozenset[str]]
"""What a judge knows of each package that it audited: names of advisories."""


def find_judge(command: str) -> tuple[str, ...]:
    """The words that start the judge; JudgeMissing if it is not installed."""
    words = shlex.split(command)
    if words == [NAME] and shutil.which(NAME) is None and find_spec("pip_audit") is not None:
        return (sys.executable, "-m", "pip_audit")
    if not words or shutil.which(words[0]) is None:
        raise JudgeMissing(command)
    return tuple(words)


def audit(command: str, pins: Iterable[Pinned], advisories: AdvisorySet) -> Known:
    """What the judge finds in these, each audited. JudgeFailed if it skips one, or does not end as it should."""
    words = find_judge(command)
    sheets = _sheets(pins)
    found: dict[Pinned, frozenset[str]] = {}
    with serving(advisories) as address, tempfile.TemporaryDirectory() as folder:
        for number, sheet in enumerate(sheets):
            listed = Path(folder, f"{number}.txt")
            listed.write_text("".join(f"{name}=={version}\n" for name, version in sheet.items()))
            told = _run((*words, *_options(address, listed, folder)), folder)
            found |= _read(told, sheet)
    return found


def disagreements(findings: Iterable[Finding], known: Known) -> tuple[str, ...]:
    """What one of the two found and the other did not, in words."""
    ours = defaultdict[Pinned, list[Finding]](list)
    for finding in findings:
        ours[finding.package, finding.version].append(finding)
    problems = []
    for pin, ids in known.items():
        here = {name for finding in ours[pin] for name in finding.ids}
        named = f"{pin[0]} {pin[1]}"
        problems += [f"{NAME} alone finds {one} in {named}" for one in sorted(ids - here)]
        problems += [f"{NAME} does not find {one}" for one in ours[pin] if not ids & {*one.ids}]
    problems += [f"{NAME} was not asked about {pin[0]} {pin[1]}" for pin in ours.keys() - known.keys()]
    return tuple(problems)


def _sheets(pins: Iterable[Pinned]) -> list[dict[str, str]]:
    """Lists in which no package stands twice."""
    sheets: list[dict[str, str]] = []
    for name, version in sorted(set(pins)):
        sheet = next((one for one in sheets if name not in one), None)
        if sheet is None:
            sheets.append(sheet := {})
        sheet[name] = version
    return sheets


def _options(address: str, listed: Path, folder: str) -> Sequence[str]:
    where = ("--vulnerability-service", "osv", "--osv-url", f"{address}/v1/query", "--cache-dir", f"{folder}/cache")
    how = ("--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off")
    return (*where, *how, "--requirement", str(listed))


def _run(words: Sequence[str], folder: str) -> Any:
    environment = clean_environment(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    try:
        done = subprocess.run(
            words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise JudgeFailed(f"it could not be run: {error}") from error
    said = done.stderr.decode("utf-8", "replace").strip()[-300:]
    if done.returncode not in (0, 1):
        raise JudgeFailed(f"it ended with exit code {done.returncode}: {said}")
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise JudgeFailed(f"it ended with exit code {done.returncode} and no report: {said}") from error


def _read(told: Any, sheet: Mapping[str, str]) -> Known:
    """What it found in each; a package that it skipped, or that is not in its report, was not scanned."""
    found: dict[Pinned, frozenset[str]] = {}
    try:
        for one in told["dependencies"]:
            if "skip_reason" in one:
                raise JudgeFailed(f"it skipped {one['name']}: {one['skip_reason']}")
            ids = {name for vuln in one["vulns"] for name in (vuln["id"], *vuln.get("aliases", ()))}
            found[canonicalize_name(one["name"]), one["version"]] = frozenset(ids)
    except (KeyError, TypeError, AttributeError) as error:
        raise JudgeFailed(f"its report is not what is expected: {type(error).__name__}: {error}") from error
    audited = {(name, _plain(version)) for name, version in found}
    missing = [f"{name} {version}" for name, version in sheet.items() if (name, _plain(version)) not in audited]
    if missing or len(found) != len(sheet):
        raise JudgeFailed(
            f"it audited {len(found)} of {len(sheet)} packages; not {', '.join(missing[:5]) or 'asked for'}"
        )
    by_name = {name: ids for (name, _), ids in found.items()}
    return {(name, version): by_name[name] for name, version in sheet.items()}


def _plain(version: str) -> str:
    """A version as it is compared, however it is written."""
    return str(parse(version) or version)
