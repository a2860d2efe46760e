"""Verifying: the environment that a repository's tests need, made of its pins, and what they show before any edit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import Field

from signoff.agents.artifacts import Artifact
from signoff.agents.roles.remedy.scanning import Scan
from signoff.tools.advisories import Manifest, Pin, Wheel, Wheelhouse, make_environment
from signoff.tools.errors import NotResolved, WheelMissing
from signoff.tools.sandbox import Bench, Proof, no_word

PYTEST: Final = "python -m pytest -q"
UNITTEST: Final = "python -m unittest -q"
_TEST: Final = re.compile(r"(?:^|/)(?:tests?/|test_[^/]*\.py$|[^/]*_test\.py$)")
_FOR_PYTEST: Final = re.compile(rb"^(?:import pytest\b|from pytest\b|(?:async )?def test_)", re.MULTILINE)
"""What stands in tests that unittest does not run."""
_COUNTS: Final = re.compile("pytest|unittest")
"""In a command: it says how many tests it executes."""
_ORDER: Final = (re.compile("test"), re.compile("dev"), re.compile("requirements|constraints"))
"""Which manifests say first what the tests need."""


class Verified(Artifact):
    """What the tests show of a repository as it is, and what they ran with."""

    repo: str
    checks: tuple[str, ...] = ()
    wanted: tuple[str, ...] = Field(default=(), description="What was asked for to run them, as requirements")
    wheels: tuple[Wheel, ...] = ()
    environment: str = ""
    proof: Proof | None = None
    problem: str = Field(default="", description="Why nothing can be shown by tests")

    def brief(self) -> str:
        return f"No tests: {self.problem}" if self.problem else f"Before any edit: {self.proof}"


class Tests(Artifact):
    """What their tests show before any edit."""

    rows: tuple[Verified, ...]
    failed: Mapping[str, str] = Field(default_factory=dict)


def choose_checks(
    files: Mapping[str, bytes], pins: Iterable[Pin], said: Sequence[str], tools: Sequence[str] = ()
) -> tuple[str, ...]:
    """The commands that were said, or else what the repository's tests most likely run with."""
    tests = [raw for path, raw in files.items() if _TEST.search(path) and path.endswith(".py")]
    if said or not tests:
        return tuple(said)
    named = {*(pin.name for pin in pins), *(canonicalize_name(Requirement(one).name) for one in tools)}
    pytest = "pytest" in named or any(map(_FOR_PYTEST.search, tests))
    return (PYTEST,) if pytest else (UNITTEST,)


def wanted_by(
    manifests: Iterable[Manifest], install: Sequence[str], tools: Sequence[str], checks: Sequence[str]
) -> tuple[str, ...]:
    """What the tests need, as requirements: each package as the first manifest asks for it that is installed.

    Those are the ones that are named, or else all: first those for tests, then those for development, then the others.
    """
    listed = [one for one in manifests if not install or one.path in install]
    asked: dict[str, str] = {}
    for text in tools:
        asked.setdefault(canonicalize_name(Requirement(text).name), text)
    for manifest in sorted(listed, key=lambda one: (_rank(one), one.path)):
        for pin in manifest.pins:
            if pin.counts_here:
                extras = f"[{','.join(pin.extras)}]" if pin.extras else ""
                asked.setdefault(pin.name, f"{pin.name}{extras}=={pin.version}")
        for name, text in _open_requirements(manifest):
            asked.setdefault(name, text)
    if any("pytest" in check for check in checks):
        asked.setdefault("pytest", "pytest")
    return tuple(asked[name] for name in sorted(asked))


def pinned_in(wanted: Iterable[str]) -> dict[str, str]:
    """The exact versions among requirements."""
    found = (Requirement(one) for one in wanted)
    exact = ((one.name, part.version) for one in found for part in one.specifier if part.operator == "==")
    return {canonicalize_name(name): version for name, version in exact if not version.endswith("*")}


def verify(
    scan: Scan,
    wanted: tuple[str, ...],
    checks: tuple[str, ...],
    bench: Bench,
    wheelhouse: Wheelhouse,
    say: Callable[[str], object] = no_word,
) -> Verified:
    """Install what is wanted, unpacked and never started here, and run the checks in the sandbox."""
    made = Verified(repo=scan.repo, checks=checks, wanted=wanted)
    if not checks:
        return made.model_copy(update={"problem": "it has no tests. Say what shows that it works: --check CMD"})
    try:
        say(f"gets what its tests need: {', '.join(wanted)}")
        lock = wheelhouse.lock(wanted, pinned_in(wanted))
        environment = make_environment(bench.project.home, lock, wheelhouse)
    except (NotResolved, WheelMissing) as error:
        return made.model_copy(update={"problem": f"what its tests need cannot be installed. {error}"})
    proof = replace(bench, environment=environment).baseline(say)
    wheels = tuple(lock[name] for name in sorted(lock))
    made = made.model_copy(update={"wheels": wheels, "environment": str(environment), "proof": proof.short()})
    for run in proof.checks:
        is_other = run.passes and run.executed is None and not _COUNTS.search(run.command)
        if not run.executed and not is_other:
            told = f"{run.command!r} executes no test before any edit, with {run.code}: {run.output.strip()[-300:]}"
            return made.model_copy(update={"problem": told.rstrip(": ")})
    return made


def _rank(manifest: Manifest) -> int:
    return next((place for place, kind in enumerate(_ORDER) if kind.search(manifest.path)), len(_ORDER))


def _open_requirements(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for text in manifest.unpinned:
        try:
            asked = Requirement(text)
        except InvalidRequirement:
            continue
        if not asked.url and (asked.marker is None or asked.marker.evaluate({"extra": ""})):
            yield canonicalize_name(asked.name), text
