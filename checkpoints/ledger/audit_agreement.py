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
class _Expected:
    """What the log says of one row: the entry that did so last, and what its columns should hold."""

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


@dataclass(frozen=True)
class _Entry:
    """What entries of one event say of a row. Facts are what their body has by name, and their `run_id` and `event`."""

    kind: str
    key: Sequence[str]
    """The facts that name the row."""
    columns: Mapping[str, str]
    """Columns, and the facts that they should hold."""
    always: Mapping[str, Any] = field(default_factory=dict)
    """Columns, and what they should hold whatever the body says."""


def _same(names: str) -> dict[str, str]:
    """Columns that are called as the facts."""
    return {name: name for name in names.split()}


_DECISION: Final = _Entry(
    "approval", ("approval",), _same("reason args_sha256 shown_sha256") | {"status": "event", "decided_by": "by"}
)
_OUTCOME: Final = _Entry("effect", ("effect",), _same("action result error") | {"status": "event"})
_CLAIMED: Final = _same("action run_id claimed_by claimed_at") | {"approval_id": "approval"}
_PROPOSED: Final = _same("action args_sha256 reason risk flags run_id") | {"proposed_by": "by"}
_ENTRIES: Final[Mapping[str, _Entry]] = {
    "started": _Entry(
        "run", ("run_id",), _same("team goal requested_by dry_run"), {"status": "running", "note": "", "copied_at": ""}
    ),
    "status": _Entry("run", ("run_id",), _same("status note")),
    "copied": _Entry("run", ("run_id",), _same("copied_at")),
    "proposed": _Entry("proposal", ("proposal",), _PROPOSED),
    "asked": _Entry("approval", ("approval",), _same("authority expires_at shown_sha256")),
    "edited": _Entry("approval", ("approval",), {"shown_sha256": "args_sha256", "authority": "authority"}),
    "voted": _Entry("vote", ("approval", "by"), _same("args_sha256")),
    **dict.fromkeys(("approved", "rejected", "answered", "expired", "revoked"), _DECISION),
    "claimed": _Entry("effect", ("effect",), _CLAIMED, {"status": "claimed"}),
    "claimed again": _Entry("effect", ("effect",), _same("claimed_by claimed_at"), {"status": "claimed", "error": ""}),
    **dict.fromkeys(("done", "failed", "unknown", "released", "abandoned"), _OUTCOME),
}


class _Log:
    """What the log says of the rows of some runs, entry by entry."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Key, _Expected]] = {kind.name: {} for kind in (*_KINDS, _PEOPLE)}

    def read(self, row: Row[Any]) -> None:
        """Take one entry; what is none, or tells of no row, tells nothing here."""
        if row.event not in _ENTRIES and row.event != "people":
            return
        try:
            body = json.loads(row.body)
        except (ValueError, TypeError, RecursionError):
            return
        if not isinstance(body, dict):
            return
        facts = {**body, "run_id": row.run_id, "event": row.event}
        if row.event == "people":
            self._read_role(row.seq, facts)
            return
        entry = _ENTRIES[row.event]
        columns = {column: facts.get(fact) for column, fact in entry.columns.items()}
        self._expect(entry.kind, [facts.get(fact) for fact in entry.key], row.seq, {**columns, **entry.always})
        if row.event == "proposed":
            self._read_opened(row.seq, facts)
        elif row.event == "edited":
            self._forget("vote", lambda key: key[0] == body.get("approval"))

    def _read_opened(self, seq: int, facts: Mapping[str, Any]) -> None:
        """A proposal's approval is opened in the same breath, and holds no decision until the log tells of one."""
        proposal = str(facts.get("proposal"))
        opened = {"proposal_id": proposal, "run_id": facts["run_id"], "shown_sha256": facts.get("args_sha256")}
        undecided = {"status": "pending", "decided_by": "", "args_sha256": ""}
        self._expect("approval", ["a-" + proposal.removeprefix("p-")], seq, opened | undecided)

    def _read_role(self, seq: int, facts: Mapping[str, Any]) -> None:
        key = tuple(_stored(facts.get(name)) for name in _PEOPLE.key)
        if facts.get("change") == "given":
            self._expect(_PEOPLE.name, key, seq, {})
        else:
            self._forget(_PEOPLE.name, lambda other: other == key)

    def _expect(self, kind: str, key: Sequence[Any], seq: int, columns: Mapping[str, Any]) -> None:
        """This row holds these values from this entry on."""
        expected = self.rows[kind].setdefault(tuple(map(_stored, key)), _Expected(seq))
        expected.seq = seq
        expected.columns.update({name: value for name, value in columns.items() if value is not None})

    def _forget(self, kind: str, belongs: Callable[[Key], bool]) -> None:
        for key in [key for key in self.rows[kind] if belongs(key)]:
            del self.rows[kind][key]


def disagreements(connection: Connection) -> Iterator[Problem]:
    """Every row that is not what the log says of it, that the log knows nothing of, or that is gone.

    Reads the log again, some runs at a time; who has which role comes last. Where the log has a redacted text, the
    column is not compared; what was shown, approved and called is compared by its digest.
    """
    for part in connection.execute(_RUN_IDS).yield_per(_RUNS_AT_ONCE).partitions():
        ids = [row.run_id for row in part]
        log = _read_log(connection, audit.c.run_id.in_(ids))
        for kind in _KINDS:
            yield from _compare(connection, kind, log.rows[kind.name], _belonging(kind.table, ids))
    log = _read_log(connection, audit.c.event == "people")
    yield from _compare(connection, _PEOPLE, log.rows[_PEOPLE.name], None)


def _read_log(connection: Connection, about: ColumnElement[bool]) -> _Log:
    log = _Log()
    for row in connection.execute(select(audit).where(about).order_by(audit.c.seq)).yield_per(1_000):
        log.read(row)
    return log


def _belonging(table: Table, ids: Sequence[str]) -> ColumnElement[bool]:
    if table is runs:
        return runs.c.id.in_(ids)
    if table is votes:
        return votes.c.approval_id.in_(select(approvals.c.id).where(approvals.c.run_id.in_(ids)))
    return table.c.run_id.in_(ids)


def _compare(
    connection: Connection, kind: _Kind, expected: Mapping[Key, _Expected], which: ColumnElement[bool] | None
) -> Iterator[Problem]:
    """Compare the rows of one table with what the log tells of them."""
    query = select(kind.table) if which is None else select(kind.table).where(which)
    seen = set()
    for row in connection.execute(query).yield_per(1_000):
        key = tuple(str(getattr(row, name)) for name in kind.key)
        seen.add(key)
        name = " ".join((kind.name, *key))
        said = expected.get(key)
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
    for key, said in expected.items():
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
