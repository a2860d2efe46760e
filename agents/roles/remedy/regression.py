"""What a release's own tests show: which fail with the version before and pass with it, and whose meaning it changed.

They are those of its source distribution, if that lies in a folder that was given. They run as everything foreign does.
"""

from __future__ import annotations

import difflib
import re
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.utils import InvalidSdistFilename, parse_sdist_filename
from packaging.version import Version
from pydantic import Field

from signoff.agents.artifacts.artifact import Part
from signoff.tools.sandbox import Bench, CheckRun, check_folder

CHECK: Final = "python -m pytest -q"
_LARGEST: Final = 200_000_000
"""Bytes of a source distribution once it is unpacked."""
_CHANGES: Final = re.compile(r"(?:docs?/)?(?:changes|changelog|history|news|release)[^/]*(?:\.\w+)?", re.IGNORECASE)
_HEADING: Final = re.compile(r"^[^\w\n]{0,4}(?:version |release |v)?\[?(\d+(?:\.\d+)+)\b", re.IGNORECASE)
_ALIKE: Final = 0.5
"""How alike two files of tests are that count as the same, grown older."""


class Regression(Part):
    """The tests of a release, run with the version before and with it."""

    release: str
    old: str
    new: str
    executed: int = 0
    fail_to_pass: tuple[str, ...] = Field(
        default=(), description="Tests that fail with the old version and pass with the new"
    )
    problem: str = ""

    def __str__(self) -> str:
        if self.problem:
            return f"the tests of {self.release} could not be compared: {self.problem}"
        named = f", such as {', '.join(self.fail_to_pass[:3])}" if self.fail_to_pass else ""
        many = len(self.fail_to_pass)
        return f"of the tests of {self.release}, {many} fail with {self.old} and pass with {self.new}{named}"


@dataclass(frozen=True)
class ReleaseSources:
    """Source distributions in folders."""

    folders: tuple[Path, ...] = ()

    def of(self, name: str) -> dict[Version, Path]:
        """Those of a package, by version, ascending."""
        found = dict[Version, Path]()
        for path in (path for folder in self.folders for path in sorted(folder.glob("*.tar.gz"))):
            try:
                named, version = parse_sdist_filename(path.name)
            except InvalidSdistFilename:
                continue
            if named == name:
                found.setdefault(version, path)
        return dict(sorted(found.items()))

    def files(self, name: str, version: str) -> dict[str, bytes]:
        """The files of a release by path; none if its source is not there, or is no archive as it should be."""
        path = self.of(name).get(Version(version))
        return _unpacked(path) if path is not None else {}

    def named_later(self, name: str, ids: Iterable[str], version: str) -> tuple[str, str] | None:
        """A later release under which a changelog lists one of these advisories, and which one."""
        for later in (one for one in self.of(name) if one > Version(version)):
            for path, raw in self.files(name, str(later)).items():
                if _CHANGES.fullmatch(path) and (found := _listed(raw.decode("utf-8", "replace"), ids)):
                    release, advisory = found
                    if Version(version) < release <= later:
                        return str(release), advisory
        return None


def compare_release(
    bench: Bench, sources: ReleaseSources, package: str, release: str, before: tuple[str, Path], after: tuple[str, Path]
) -> tuple[Regression, Mapping[str, str]]:
    """The tests of a release with one version and with another, each with its environment; and how they end with it."""
    made = Regression(release=f"{package} {release}", old=before[0], new=after[0])
    files = _tests_of(sources.files(package, release), package)
    if not files:
        problem = f"its source is not here. Put {package}-{release}.tar.gz into a folder of --wheels"
        return made.model_copy(update={"problem": problem}), {}
    new = _run(bench, files, after[1])
    if not new.tests:
        return made.model_copy(update={"problem": f"they do not run with {after[0]}: {new.output[-200:]}"}), {}
    old = _run(bench, files, before[1])
    turned = [name for name, came in new.tests.items() if came == "passed" and old.tests.get(name) == "failed"]
    return made.model_copy(update={"executed": new.executed or 0, "fail_to_pass": tuple(turned[:50])}), new.tests


def changed_meaning(
    failing: Iterable[str],
    ours: Mapping[str, bytes],
    theirs: Mapping[str, bytes],
    outcomes: Mapping[str, str] | None = None,
) -> frozenset[str]:
    """Which of these tests the release ships otherwise: in a file that is alike, passing there or not there any more.

    `outcomes` are those of the release's own suite, in which also the data may differ; None: it was not run yet.
    """
    excused = set()
    for name in failing:
        module = name.partition("::")[0].split(".")
        tails = ["/".join(module[:count]) + ".py" for count in range(len(module), 0, -1)]
        path = next((tail for tail in tails if tail in ours and tail in theirs), "")
        if not path or not _is_alike(ours[path], theirs[path]):
            continue
        gone = outcomes is not None and name not in outcomes and ours[path] != theirs[path]
        if outcomes is None or gone or outcomes.get(name) == "passed":
            excused.add(name)
    return frozenset(excused)


def _is_alike(one: bytes, other: bytes) -> bool:
    return difflib.SequenceMatcher(None, one.splitlines(), other.splitlines(), autojunk=False).ratio() >= _ALIKE


def _run(bench: Bench, files: Mapping[str, bytes], environment: Path) -> CheckRun:
    with tempfile.TemporaryDirectory(prefix="release-", dir=bench.copy.kept, ignore_cleanup_errors=True) as folder:
        stage = Path(folder, "stage")
        for path, raw in files.items():
            place = stage / "release" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(raw)
        return check_folder(bench.backend, stage, "release", CHECK, environment, limits=bench.limits)


def _tests_of(files: Mapping[str, bytes], package: str) -> dict[str, bytes]:
    """What its tests need, without the package itself: that is the one that is installed."""
    tops = {PurePosixPath(path).parts[0] for path in files if path.endswith("/__init__.py") and path.count("/") == 1}
    own = {top for top in tops if not re.fullmatch(r"tests?|testing", top)} | {"src"}
    kept = {path: raw for path, raw in files.items() if PurePosixPath(path).parts[0] not in own}
    named = package.replace("-", "_")
    kept.pop(f"{named}.py", None)
    return kept if any(re.search(r"(^|/)tests?(/|_)|(^|/)test_", path) for path in kept) else {}


def _unpacked(path: Path) -> dict[str, bytes]:
    found, size = dict[str, bytes](), 0
    try:
        with tarfile.open(path, "r:gz") as opened:
            for member in opened:
                size += member.size
                parts = PurePosixPath(member.name).parts[1:]
                if size > _LARGEST:
                    return {}
                if member.isreg() and parts and ".." not in parts and not PurePosixPath(*parts).is_absolute():
                    read = opened.extractfile(member)
                    found["/".join(parts)] = read.read() if read is not None else b""
    except (OSError, tarfile.TarError, EOFError):
        return {}
    return found


def _listed(text: str, ids: Iterable[str]) -> tuple[Version, str] | None:
    """The release under whose heading one of these stands."""
    wanted, release = list(ids), None
    for line in text.splitlines():
        if heading := _HEADING.match(line):
            release = Version(heading[1])
        found = next((one for one in wanted if re.search(rf"\b{re.escape(one)}\b", line)), "")
        if found and release is not None:
            return release, found
    return None
