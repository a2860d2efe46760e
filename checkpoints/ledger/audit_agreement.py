"""Whether the ledger's tables say what the audit log says: the log tells of every change that a row goes through."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Table, select, union

from signoff.checkpoints.canonical import canonical_json, digest_text, plain_text
from signoff.checkpoints.ledger.approval import Authority
from signoff.checkpoints.ledger.schema import approvals, audit, effects, people, proposals, runs, votes
from signoff.checkpoints.redaction import REDACTED

_RUNS_AT_ONCE: Final = 200
_DECISIONS: Final = ("approved", "rejected", "answered", "expired", "revoked")
_OUTCOMES: Final = ("done", "failed", "unknown", "released", "abandoned")

_RUN_IDS: Final = union(
    *(select(table.c.run_id) for table in (audit, proposals, approvals, effects)), select(runs.c.id)
)


@dataclass(frozen=True)
class Problem:
    """Where something is wrong with the log, and what."""

    seq: int
    """The first entry it is about; 0 if the log has none for it."""
    last: int
    """The last entry it is about."""
    what: str
    """It in a plain sentence, without its full stop."""


Key = tuple[str, ...]
"""What names a row within its table."""


@dataclass
class _Told:
    """What the log tells of one row: the entry that did so last, and what its columns should hold."""

    seq: int
    columns: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Kind:
    """One table: what its rows are called, by which columns, and which texts have their digest beside them."""

    table: Table
    name: str
    key: Sequence[str]
    digests: Mapping[str, str] = field(default_factory=dict)


_KINDS: Final = (
    _Kind(runs, "run", ("id",)),
    _Kind(proposals, "proposal", ("id",), {"args": "args_sha256"}),
    _Kind(approvals, "approval", ("id",), {"shown": "shown_sha256", "args": "args_sha256"}),
    _Kind(votes, "vote", ("approval_id", "name")),
    _Kind(effects, "effect", ("key",)),
)
_PEOPLE: Final = _Kind(people, "role", ("name", "role"))


class _Tale:
    """What the log tells of the rows of some runs, entry by entry."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Key, _Told]] = {kind.name: {} for kind in (*_KINDS, _PEOPLE)}

    def read(self, row: Row[Any]) -> None:
        """Take one entry; what is none, or tells of no row, tells nothing here."""
        teller = _TELLERS.get(row.event)
        if teller is None:
            return
        try:
            body = json.loads(row.body)
        except (ValueError, TypeError, RecursionError):
            return
        if isinstance(body, dict):
            teller(self, row, body)

    def tell(self, kind: str, key: Sequence[Any], seq: int, **columns: Any) -> None:
        """This row holds these values from this entry on."""
        told = self.rows[kind].setdefault(tuple(map(_stored, key)), _Told(seq))
        told.seq = seq
        told.columns.update({name: value for name, value in columns.items() if value is not None})

    def forget(self, kind: str, belongs: Callable[[Key], bool]) -> None:
        for key in [key for key in self.rows[kind] if belongs(key)]:
            del self.rows[kind][key]


def disagreements(connection: Connection) -> Iterator[Problem]:
    """Every row that is not what the log says of it, that the log knows nothing of, or that is gone.

    Reads the log again, some runs at a time; who has which role comes last. Where the log has a redacted text, the
    column is not compared; what was shown, approved and called is compared by its digest.
    """
    for part in connection.execute(_RUN_IDS).yield_per(_RUNS_AT_ONCE).partitions():
        ids = [row.run_id for row in part]
        tale = _tale(connection, audit.c.run_id.in_(ids))
        for kind in _KINDS:
            yield from _compare(connection, kind, tale.rows[kind.name], _belonging(kind.table, ids))
    tale = _tale(connection, audit.c.event == "people")
    yield from _compare(connection, _PEOPLE, tale.rows[_PEOPLE.name], None)


def _tale(connection: Connection, about: ColumnElement[bool]) -> _Tale:
    tale = _Tale()
    for row in connection.execute(select(audit).where(about).order_by(audit.c.seq)).yield_per(1_000):
        tale.read(row)
    return tale


def _belonging(table: Table, ids: Sequence[str]) -> ColumnElement[bool]:
    if table is runs:
        return runs.c.id.in_(ids)
    if table is votes:
        return votes.c.approval_id.in_(select(approvals.c.id).where(approvals.c.run_id.in_(ids)))
    return table.c.run_id.in_(ids)


def _compare(
    connection: Connection, kind: _Kind, told: Mapping[Key, _Told], which: ColumnElement[bool] | None
) -> Iterator[Problem]:
    """Compare the rows of one table with what the log tells of them."""
    query = select(kind.table) if which is None else select(kind.table).where(which)
    seen = set()
    for row in connection.execute(query).yield_per(1_000):
        key = tuple(str(getattr(row, name)) for name in kind.key)
        seen.add(key)
        name = " ".join((kind.name, *key))
        said = told.get(key)
        if said is None:
            yield Problem(0, 0, f"{name}: the log does not tell of it")
            continue
        for column, value in said.columns.items():
            if not _agrees(kind.table, column, getattr(row, column), value):
                what = f"{name}: its {column} is {_short(getattr(row, column))}, but the log says {_short(value)}"
                yield Problem(said.seq, said.seq, what)
        for column, sha256 in kind.digests.items():
            text = getattr(row, column)
            if text and (not isinstance(text, str) or digest_text(text) != getattr(row, sha256)):
                yield Problem(said.seq, said.seq, f"{name}: its {column} were changed, their digest is another")
    for key, said in told.items():
        if key not in seen:
            yield Problem(said.seq, said.seq, f"{' '.join((kind.name, *key))}: the log tells of it, but it is gone")


def _agrees(table: Table, column: str, found: Any, said: Any) -> bool:
    if REDACTED in (text := said if isinstance(said, str) else canonical_json(said)):
        return True
    if table is approvals and column == "authority" and isinstance(said, str):
        try:
            return Authority.from_json(json.loads(found)).describe() == said
        except (ValueError, TypeError, AttributeError, KeyError):
            return False
    if isinstance(said, bool):
        return bool(found) == said
    return bool(found == _stored(text)) or (text == "{}" and found == "")


def _stored(text: Any) -> str:
    return plain_text(str(text))


def _short(value: Any) -> str:
    return f"{value!r:.60}"


def _started(tale: _Tale, row: Row[Any], body: dict[str, Any]) -> None:
    columns = {name: body.get(name) for name in ("team", "goal", "requested_by", "dry_run")}
    tale.tell("run", (row.run_id,), row.seq, status="running", note="", **columns)


def _stands(tale: _Tale, row: Row[Any], body: dict[str, Any]) -> None:
    tale.tell("run", (row.run_id,), row.seq, status=body.get("status"), note=body.get("note"))


def _proposed(tale: _Tale, row: Row[Any], body: dict[str, Any]) -> None:
    columns = {name: body.get(name) for name in ("action", "args_sha256", "reason", "risk", "flags")}
    proposal = str(body.get("proposal"))
    tale.tell("proposal", (proposal,), row.seq, run_id=row.run_id, proposed_by=body.get("by"), **columns)
    # Its approval is opened in the same breath, and holds no decision until the log tells of one.
    opened = {"proposal_id": proposal, "run_id": row.run_id, "shown_sha256": body.get("args_sha256")}
    undecided = {"status": "pending", "decided_by": "", "args_sha256": ""}
    tale.tell("approval", ("a-" + proposal.removeprefix("p-"),), row.seq, **opened, **undecided)


def _asked(tale: _Tale, row: Row[Any], body: dict[str, Any]) -> None:
    columns = {name: body.get(name) for name in ("authority", "expires_at", "shown_sha256")}
    tale.tell("approval", (body.get("approval"),), row.seq, **columns)


def _edited(tale: _Tale, row: Row[Any], body: dict[str, Any]) -> None:
    shown = {"shown_sha256": body.get("args_sha256"), "authority": body.get("authority")}
    tale.tell("approval", (body.get("approval"),), row.seq, **shown)
    tale.forget("vote", lambda key: key[0] == body.get("approval"))


def _voted(tale: _Tale, row: Row[Any], body: dict[str, Any]) -> None:
    tale.tell("vote", (body.get("approval"), body.get("by")), row.seq, args_sha256=body.get("args_sha256"))


def _decided(tale: _Tale, row: Row[Any], body: dict[str, Any]) -> None:
    columns = {name: body.get(name) for name in ("reason", "args_sha256", "shown_sha256")}
    tale.tell("approval", (body.get("approval"),), row.seq, status=row.event, decided_by=body.get("by"), **columns)


def _claimed(tale: _Tale, row: Row[Any], body: dict[str, Any]) -> None:
    columns = {"action": body.get("action"), "approval_id": body.get("approval"), "run_id": row.run_id}
    tale.tell("effect", (body.get("effect"),), row.seq, status="claimed", **columns)


def _claimed_again(tale: _Tale, row: Row[Any], body: dict[str, Any]) -> None:
    tale.tell("effect", (body.get("effect"),), row.seq, status="claimed", error="")


def _came_of_it(tale: _Tale, row: Row[Any], body: dict[str, Any]) -> None:
    columns = {name: body.get(name) for name in ("action", "result", "error")}
    tale.tell("effect", (body.get("effect"),), row.seq, status=row.event, **columns)


def _changed_people(tale: _Tale, row: Row[Any], body: dict[str, Any]) -> None:
    key = tuple(_stored(body.get(name)) for name in _PEOPLE.key)
    if body.get("change") == "given":
        tale.tell(_PEOPLE.name, key, row.seq)
    else:
        tale.forget(_PEOPLE.name, lambda other: other == key)


_TELLERS: Final[Mapping[str, Callable[[_Tale, Row[Any], dict[str, Any]], None]]] = {
    "started": _started,
    "status": _stands,
    "proposed": _proposed,
    "asked": _asked,
    "edited": _edited,
    "voted": _voted,
    **dict.fromkeys(_DECISIONS, _decided),
    "claimed": _claimed,
    "claimed again": _claimed_again,
    **dict.fromkeys(_OUTCOMES, _came_of_it),
    "people": _changed_people,
}
