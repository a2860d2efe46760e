"""Advisories: records in OSV's format, closed over their aliases, and what they find in an inventory.

Whether a version is affected is decided by intervals of versions here. `osv_server.py` decides the same by walking
through the events, so that two pieces of code have to agree. Withdrawn records count for nothing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from textwrap import shorten
from typing import Any, Final

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signoff.checkpoints import digest_text
from signoff.tools.advisories.severity import severity_of
from signoff.tools.errors import AdvisoriesUnusable

ECOSYSTEM: Final = "PyPI"
_ENDINGS: Final = (".json", ".yaml", ".yml")
_ORDERED: Final = ("ECOSYSTEM", "SEMVER")
"""Types of ranges whose events are versions; those of GIT are commits."""
_SUMMARY: Final = 300
"""Characters that a finding tells of its record."""
_PREFERRED: Final = ("PYSEC-", "GHSA-", "CVE-")
"""Which of its names a finding is called by."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Package(_Record):
    """What is affected."""

    ecosystem: str
    name: str


class Range(_Record):
    """From where to where, as events in any order."""

    type: str
    events: tuple[Mapping[str, str], ...] = ()


class Affected(_Record):
    """Versions of one package: those that are listed, and those in a range."""

    package: Package | None = None
    ranges: tuple[Range, ...] = ()
    versions: tuple[str, ...] = ()


class Advisory(_Record):
    """One record."""

    id: str = Field(min_length=1, max_length=200)
    aliases: tuple[str, ...] = ()
    withdrawn: str | None = None
    summary: str = ""
    details: str = ""
    severity: tuple[Mapping[str, str], ...] = ()
    database_specific: Mapping[str, Any] | None = None
    affected: tuple[Affected, ...] = ()

    def of(self, name: str) -> Iterator[Affected]:
        """What it says of a package, by its normalised name."""
        for one in self.affected:
            if one.package and one.package.ecosystem == ECOSYSTEM and canonicalize_name(one.package.name) == name:
                yield one


class Finding(BaseModel):
    """A version in use that one vulnerability affects, by whichever names that is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    package: str
    version: str
    ids: tuple[str, ...]
    """All its names; the first is what it is called by."""
    fixed: tuple[str, ...] = ()
    """Later versions that the records say are fixed, ascending."""
    severity: float | None = None
    """0 to 10, as CVSS counts; None: the records say nothing of it."""
    summary: str = ""

    @property
    def id(self) -> str:
        return self.ids[0]

    def is_same(self, other: Finding) -> bool:
        """Whether it is the same vulnerability of the same package, in whichever version."""
        return self.package == other.package and bool({*self.ids} & {*other.ids})

    def __str__(self) -> str:
        known = f" ({', '.join(self.ids[1:])})" if len(self.ids) > 1 else ""
        return f"{self.id}{known} in {self.package} {self.version}"


class AdvisorySet:
    """Records that are compared with, all of them under one digest."""

    def __init__(self, raw: bytes) -> None:
        """`raw`: as `made_of` writes it."""
        self.raw = raw
        told = json.loads(raw)
        self.names: frozenset[str] | None = None if told["names"] is None else frozenset(told["names"])
        """The packages that were asked about; None: all that there are records of."""
        self.records: tuple[Mapping[str, Any], ...] = tuple(told["records"])

    @classmethod
    def made_of(cls, records: Iterable[Mapping[str, Any]], names: Iterable[str] | None = None) -> AdvisorySet:
        """Raises AdvisoriesUnusable for a record that cannot be read, or for two of one id that differ."""
        known: dict[str, Mapping[str, Any]] = {}
        for record in records:
            one = read_record(record)
            if known.setdefault(one.id, record) != record:
                raise AdvisoriesUnusable(one.id, "there are two records of this id, and they differ. Keep one")
        kept = {"names": None if names is None else sorted(names), "records": [known[name] for name in sorted(known)]}
        return cls(json.dumps(kept, sort_keys=True, ensure_ascii=False).encode())

    @classmethod
    def read(cls, folder: Path) -> AdvisorySet:
        """All records below a folder, JSON or YAML; AdvisoriesUnusable if there are none, or one cannot be read."""
        files = sorted(
            path
            for path in folder.rglob("*")
            if path.suffix in _ENDINGS
            and path.is_file()
            and not any(p.startswith(".") for p in path.relative_to(folder).parts)
        )
        found = [(path, record) for path in files for record in _records_in(path)]
        if not found:
            raise AdvisoriesUnusable(
                folder, "there is no record in OSV's format in it. Give a folder of .json or .yaml"
            )
        for path, record in found:
            try:
                read_record(record)
            except AdvisoriesUnusable as error:
                raise AdvisoriesUnusable(path, error.problem) from error
        return cls.made_of(record for _, record in found)

    @cached_property
    def digest(self) -> str:
        return digest_text(self.raw.decode())

    def covers(self, name: str) -> bool:
        """Whether finding nothing in this package means something."""
        return self.names is None or canonicalize_name(name) in self.names

    def find(self, name: str, version: str) -> tuple[Finding, ...]:
        """What affects this version of a package, each vulnerability once."""
        name = canonicalize_name(name)
        found = {
            self._classes[one.id]
            for one in self._by_name.get(name, ())
            if any(affects(part, version) for part in one.of(name))
        }
        made = [self._finding(name, version, names) for names in found]
        return tuple(sorted(made, key=lambda one: one.ids))

    def _finding(self, name: str, version: str, names: frozenset[str]) -> Finding:
        alike = [one for one in self._by_name[name] if one.id in names]
        events = {text for one in alike for part in one.of(name) for text in _fixed_in(part)}
        now = parse(version)
        later = {text for text in events if now is not None and (at := parse(text)) is not None and at > now}
        fixed = [text for text in later if not any(affects(part, text) for one in alike for part in one.of(name))]
        scores = [score for one in alike if (score := severity_of(one.severity, one.database_specific)) is not None]
        texts = [text for one in alike if (text := (one.summary or one.details).strip())]
        return Finding(
            package=name,
            version=version,
            ids=tuple(sorted(names, key=_preference)),
            fixed=tuple(sorted(fixed, key=Version)),
            severity=max(scores, default=None),
            summary=shorten(min(texts, key=len, default=""), _SUMMARY, placeholder=" …"),
        )

    @cached_property
    def _live(self) -> tuple[Advisory, ...]:
        found = (read_record(record) for record in self.records)
        return tuple(one for one in found if not one.withdrawn)

    @cached_property
    def _by_name(self) -> Mapping[str, list[Advisory]]:
        found = defaultdict[str, list[Advisory]](list)
        for one in self._live:
            for name in {canonicalize_name(part.package.name) for part in one.affected if part.package}:
                found[name].append(one)
        return found

    @cached_property
    def _classes(self) -> Mapping[str, frozenset[str]]:
        """All names of the vulnerability that each record is about: its aliases, theirs, and so on."""
        group: dict[str, set[str]] = {}
        for one in self._live:
            joined = {one.id, *one.aliases}
            for name in tuple(joined):
                joined |= group.get(name, set())
            group.update(dict.fromkeys(joined, joined))
        return {name: frozenset(names) for name, names in group.items()}


@lru_cache(maxsize=4)
def open_set(raw: bytes) -> AdvisorySet:
    """A set that was kept; read once."""
    return AdvisorySet(raw)


def read_record(record: Mapping[str, Any]) -> Advisory:
    try:
        return Advisory.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise AdvisoriesUnusable("a record", f"it is not in OSV's format: {where}: {first['msg']}") from error


def parse(version: str) -> Version | None:
    """None for what is no version by PEP 440."""
    try:
        return Version(version)
    except InvalidVersion:
        return None


def affects(affected: Affected, version: str) -> bool:
    """Whether a version is among those that are affected: listed, or in a range."""
    now = parse(version)
    if any(version == one or (now is not None and parse(one) == now) for one in affected.versions):
        return True
    ranges = (one for one in affected.ranges if one.type in _ORDERED)
    return now is not None and any(start <= now and ends(now) for one in ranges for start, ends in _intervals(one))


def _intervals(one: Range) -> Iterator[tuple[Version, Any]]:
    """Where each interval begins, and whether a version is before its end."""
    zero = Version("0.dev0")
    known = [(kind, parse(text) or zero) for event in one.events for kind, text in event.items()]
    limits = [at for kind, at in known if kind == "limit"]
    ends = sorted((at, kind) for kind, at in known if kind in ("fixed", "last_affected"))
    for start in sorted(zero if at == Version("0") else at for kind, at in known if kind == "introduced"):
        end = next(((at, kind) for at, kind in ends if at >= start), None)

        def is_before(now: Version, end: tuple[Version, str] | None = end) -> bool:
            inside = not limits or any(now < limit for limit in limits)
            return inside and (end is None or now < end[0] or (end[1] == "last_affected" and now == end[0]))

        yield start, is_before


def _fixed_in(affected: Affected) -> Iterator[str]:
    for one in affected.ranges:
        if one.type in _ORDERED:
            yield from (event["fixed"] for event in one.events if parse(event.get("fixed", "")) is not None)


def _preference(name: str) -> tuple[int, str]:
    return next((place for place, start in enumerate(_PREFERRED) if name.startswith(start)), len(_PREFERRED)), name


def _records_in(path: Path) -> Iterator[Mapping[str, Any]]:
    import yaml

    try:
        text = path.read_text("utf-8")
        # Every scalar as text: with YAML's own types a date would be an object, and 1.10 the number 1.1.
        found = json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=_text_loader())
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise AdvisoriesUnusable(path, f"it cannot be read: {str(error).splitlines()[0]}") from error
    for record in found if isinstance(found, list) else [found]:
        if not isinstance(record, Mapping):
            raise AdvisoriesUnusable(path, "it holds no record in OSV's format")
        if {"id", "affected"} & record.keys():  # else it is some other file that lies there
            yield record


def _text_loader() -> Any:
    import yaml

    return getattr(yaml, "CBaseLoader", yaml.BaseLoader)
