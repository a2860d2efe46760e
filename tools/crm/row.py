"""What is kept in a CRM: a row under a key that nobody else makes, with the digest of what was approved."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from signoff.checkpoints import digest

KEY: Final = "signoff_key"
"""The unique property by which a row of ours is known again."""
SHA256: Final = "signoff_sha256"
"""The property with the digest of what was approved."""
BEFORE: Final = "signoff_before"
"""The property with the digest that it replaced; empty if the row was new."""
OURS: Final = (KEY, SHA256, BEFORE)

Change = Literal["created", "updated", "unchanged", "refused"]
"""What a write did with one row."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MOST: Final = 100


class Row(BaseModel):
    """One row, as it is to stand in the CRM."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(pattern="^[0-9a-f]{64}$", description="The row's key, which no person edits")
    name: str = Field(min_length=1, max_length=300, description="Whose row it is, for people")
    properties: dict[str, str] = Field(min_length=1, max_length=_MOST, description="What is written, by property")
    before: dict[str, str] | None = Field(
        default=None, description="What stood there when it was proposed; null: whatever stands there is written over"
    )

    @field_validator("properties")
    @classmethod
    def _check_names(cls, properties: dict[str, str]) -> dict[str, str]:
        for name in properties:
            if not _NAME.fullmatch(name) or name in ("id", *OURS):
                raise ValueError(f"{name!r:.80} is no property: a-z, 0-9 and _, but not id or {', '.join(OURS)}")
        return properties

    @classmethod
    def of(cls, team: str, identity: str, fields: str, name: str, properties: Mapping[str, str]) -> Row:
        """A row of this identity, whatever run writes it; `fields` is the version of the set of properties."""
        return cls(key=digest([team, identity, fields]), name=name, properties=dict(properties))

    def over(self, record: Record | None) -> Self:
        """The same, written only if this is what stands there then."""
        return self.model_copy(update={"before": {} if record is None else record.of(self)})

    @property
    def sha256(self) -> str:
        """Digest of the key and what is written."""
        return digest({"key": self.key, "properties": self.properties})

    def sent(self, before: str) -> dict[str, str]:
        """All properties that are written, where the row had this digest before."""
        return {**self.properties, KEY: self.key, SHA256: self.sha256, BEFORE: before}


@dataclass(frozen=True)
class Record:
    """A row as the CRM has it."""

    id: str
    key: str
    sha256: str
    before: str
    properties: Mapping[str, str]

    @classmethod
    def read(cls, record_id: Any, kept: Mapping[str, Any]) -> Record:
        """A record from all its properties."""
        texts = {name: "" if value is None else str(value) for name, value in kept.items()}
        key, sha256, before = (texts.pop(name, "") for name in OURS)
        return cls(str(record_id), key, sha256, before, texts)

    def holds(self, row: Row) -> bool:
        """Whether this very row was written."""
        return self.key == row.key and self.sha256 == row.sha256

    def differs_from(self, row: Row) -> list[str]:
        """The properties that read back otherwise than they were approved."""
        return [name for name, value in row.properties.items() if self.properties.get(name, "") != value]

    def is_as(self, row: Row) -> bool:
        """Whether the row stands there just as it is to be written."""
        return self.holds(row) and not self.differs_from(row)

    def of(self, row: Row) -> dict[str, str]:
        """What stands there of the row's properties."""
        return {name: value for name in row.properties if (value := self.properties.get(name, ""))}


@dataclass(frozen=True)
class Written:
    """What a write did with one row."""

    key: str
    change: Change
    id: str = ""
    problem: str = ""
    """Why it was refused."""

    @classmethod
    def changed_meanwhile(cls, row: Row, record: Record | None) -> Written | None:
        """The refusal to write over what somebody else wrote since the row was proposed; None if nobody did."""
        if row.before is None or (record is not None and record.is_as(row)):
            return None
        now = {} if record is None else {name: record.properties.get(name, "") for name in row.before}
        if record is None or not row.before:
            told = ["it is gone"] if row.before else ["somebody else has written it"] if record is not None else []
        else:
            told = [f"{name} became {now[name]!r:.80}" for name, value in row.before.items() if now[name] != value]
        problem = f"since it was proposed, {', '.join(told)}: another run proposes it anew"
        return cls(row.key, "refused", problem=problem) if told else None

    @classmethod
    def found(cls, record: Record) -> Written:
        """What a write did that is only seen by what it left behind."""
        return cls(record.key, "updated" if record.before else "created", record.id)


class CRM(Protocol):
    """Somewhere rows are kept."""

    @property
    def name(self) -> str:
        """What people know it by: a file, or a host."""

    @property
    def host(self) -> str:
        """Where rows are sent; empty if nowhere."""

    def check(self) -> None:
        """Look whether rows can be written, and write none; CrmFailed says what is to be mended."""

    def find(self, keys: Sequence[str], properties: Sequence[str] = (), /) -> dict[str, Record]:
        """The records with these keys, by key, with these properties at least.

        CrmFailed if that cannot be told, or if one key has several.
        """

    def upsert(self, rows: Sequence[Row]) -> list[Written]:
        """Write these rows, and tell of each what became of it, in their order.

        CrmFailed if it is not known of every row, or nothing could be done; `sure` says that nothing was written.
        """


def property_of(heading: str) -> str:
    """The name of the property for what a heading says: `Requires-Python` is `requires_python`."""
    plain = re.sub(r"[^a-z0-9]+", "_", heading.lower()).strip("_")
    return plain[:64] if re.match("[a-z]", plain) and plain != "id" else f"x_{plain}"[:64]
