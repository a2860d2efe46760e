"""Scanning: what advisories find in a repository's files, by two judges who must agree; or that it was not scanned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from signoff.agents.artifacts import Artifact
from signoff.tools.advisories import (
    NONE,
    AdvisorySet,
    Finding,
    Manifest,
    Pin,
    audit,
    disagreements,
    name_of,
    read_manifests,
)
from signoff.tools.errors import ToolError
from signoff.wording import counted


class Scan(Artifact):
    """What was found in one tree of one repository."""

    repo: str
    tree: str = Field(description="Digest of the files that were scanned")
    advisories: str = Field(description="Digest of the records that they were compared with")
    judges: tuple[str, ...] = ()
    manifests: tuple[Manifest, ...] = ()
    findings: tuple[Finding, ...] = ()
    gaps: tuple[str, ...] = Field(default=(), description="What was not scanned, and why")
    problem: str = Field(default="", description="Why nothing was scanned; nothing follows from no finding then")

    @property
    def pins(self) -> tuple[Pin, ...]:
        return tuple(pin for manifest in self.manifests for pin in manifest.pins)

    @property
    def audited(self) -> frozenset[tuple[str, str]]:
        return frozenset(pin.package for pin in self.pins)

    def brief(self) -> str:
        if self.problem:
            return f"Not scanned: {self.problem}"
        gaps = f", {len(self.gaps)} not scanned" if self.gaps else ""
        return f"{counted(len(self.findings), 'finding')} in {counted(len(self.audited), 'package')}{gaps}"


class Records(Artifact):
    """The advisories that all scans of this run are compared with."""

    sha256: str = Field(description="Of the kept file, by which all scans name them")
    count: int
    source: str

    def brief(self) -> str:
        return f"{counted(self.count, 'record')} of {self.source}, sha256 {self.sha256[:12]}"


class Scans(Artifact):
    """The repositories as they are."""

    rows: tuple[Scan, ...]
    failed: Mapping[str, str] = Field(default_factory=dict)

    def brief(self) -> str:
        found = sum(len(one.findings) for one in self.rows)
        lost = len(self.failed) + sum(bool(one.problem) for one in self.rows)
        return f"{counted(found, 'finding')} in {repositories(len(self.rows))}, {lost} not scanned."


class Rescans(Artifact):
    """What was made of them, scanned anew."""

    rows: tuple[Scan, ...]
    failed: Mapping[str, str] = Field(default_factory=dict)


def repositories(number: int) -> str:
    return f"{number:,} {'repository' if number == 1 else 'repositories'}"


def scan(repo: str, tree: str, files: Mapping[str, bytes], advisories: AdvisorySet, judge: str) -> Scan:
    """Scan these files, by path. A judge that skips a package, or disagrees, makes it `not scanned`, never clean."""
    manifests = read_manifests(files)
    pins = tuple(pin for manifest in manifests for pin in manifest.pins)
    made = Scan(
        repo=repo,
        tree=tree,
        advisories=advisories.digest,
        judges=("signoff", *([] if judge == NONE else [Path(judge.split()[0]).name])),
        manifests=manifests,
        gaps=tuple(_gaps(manifests, pins, advisories)),
    )
    if not pins:
        told = f": {'; '.join(made.gaps[:3])}" if made.gaps else ""
        return made.model_copy(update={"problem": f"nothing in it pins an exact version of a package{told}"})
    packages = sorted(made.audited)
    findings = tuple(one for name, version in packages for one in advisories.find(name, version))
    if judge != NONE:
        try:
            disagree = disagreements(findings, audit(judge, packages, advisories))
        except ToolError as error:
            return made.model_copy(update={"problem": str(error).rstrip(".")})
        if disagree:
            told = f"the two judges do not agree: {'; '.join(disagree[:5])}"
            return made.model_copy(update={"problem": told})
    return made.model_copy(update={"findings": findings})


def _gaps(manifests: Sequence[Manifest], pins: Iterable[Pin], advisories: AdvisorySet) -> Iterable[str]:
    known = {pin.name for pin in pins}
    yield from (f"{one.path}: {one.problem}" for one in manifests if one.problem)
    for manifest in manifests:
        for asked in manifest.unpinned:
            if name_of(asked) not in known:
                yield f"{asked} ({manifest.path}): no exact version is pinned"
    yield from (
        f"{name}: the advisories were not asked about it" for name in sorted(known) if not advisories.covers(name)
    )
