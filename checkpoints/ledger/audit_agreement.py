"""Whether the ledger's tables say what the audit log says: the log tells of every change that a row goes through."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Table, select, true, union

from signoff.checkpoints.canonical import canonical_json, digest_text, plain_text
from signoff.checkpoints.ledger.approval import Authority, approval_id_of
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


_OF_RUNS: Final = {"run": runs, "proposal": proposals, "approval": approvals, "vote": votes, "effect": effects}
_TABLES: Final = {**_OF_RUNS, "role": people}
"""What is compared, by what a row is called."""


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
    "people": _Entry("role", ("name", "role"), {}),
}


class _Log:
    """What the log says of the rows of some runs, entry by entry."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Key, _Expected]] = {kind: {} for kind in _TABLES}

    def read(self, row: Row[Any]) -> None:
        """Take one entry; what is none, or tells of no row, tells nothing here."""
        entry = _ENTRIES.get(row.event)
        if entry is None:
            return
        try:
            body = json.loads(row.body)
        except (ValueError, TypeError, RecursionError):
            return
        if not isinstance(body, dict):
            return
        facts = {**body, "run_id": row.run_id, "event": row.event}
        key = tuple(_stored(facts.get(fact)) for fact in entry.key)
        if row.event == "people" and facts.get("change") != "given":
            self.rows[entry.kind].pop(key, None)
            return
        columns = {column: facts.get(fact) for column, fact in entry.columns.items()}
        self._expect(entry.kind, key, row.seq, {**columns, **entry.always})
        if row.event == "proposed":
            self._read_opened(row.seq, facts)
        elif row.event == "edited":
            about, votes = _stored(facts.get("approval")), self.rows["vote"]
            self.rows["vote"] = {key: said for key, said in votes.items() if key[0] != about}

    def _read_opened(self, seq: int, facts: Mapping[str, Any]) -> None:
        """A proposal's approval is opened in the same breath, and holds no decision until the log tells of one."""
        proposal = str(facts.get("proposal"))
        opened = {"proposal_id": proposal, "run_id": facts["run_id"], "shown_sha256": facts.get("args_sha256")}
        undecided = {"status": "pending", "decided_by": "", "args_sha256": ""}
        self._expect("approval", (_stored(approval_id_of(proposal)),), seq, opened | undecided)

    def _expect(self, kind: str, key: Key, seq: int, columns: Mapping[str, Any]) -> None:
        """This row holds these values from this entry on."""
        expected = self.rows[kind].setdefault(key, _Expected(seq))
        expected.seq = seq
        expected.columns.update({name: value for name, value in columns.items() if value is not None})


def disagreements(connection: Connection) -> Iterator[Problem]:
    """Every row that is not what the log says of it, that the log knows nothing of, or that is gone.

    Reads the log again, some runs at a time; who has which role comes last. Where the log has a redacted text, the
    column is not compared; what was shown, approved and called is compared by its digest.
    """
    for part in connection.execute(_RUN_IDS).yield_per(_RUNS_AT_ONCE).partitions():
        ids = [row.run_id for row in part]
        log = _read_log(connection, audit.c.run_id.in_(ids))
        for kind, table in _OF_RUNS.items():
            yield from _compare(connection, kind, log.rows[kind], _belonging(table, ids))
    log = _read_log(connection, audit.c.event == "people")
    yield from _compare(connection, "role", log.rows["role"], true())


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
    connection: Connection, kind: str, expected: Mapping[Key, _Expected], which: ColumnElement[bool]
) -> Iterator[Problem]:
    table = _TABLES[kind]
    digested = [column.name for column in table.c if f"{column.name}_sha256" in table.c]
    seen = set()
    for row in connection.execute(select(table).where(which)).yield_per(1_000):
        key = tuple(str(getattr(row, column.name)) for column in table.primary_key)
        seen.add(key)
        name = " ".join((kind, *key))
        said = expected.get(key)
        if said is None:
            yield Problem(0, 0, f"{name}: the log does not tell of it")
            continue
        for column, value in said.columns.items():
            if not _agrees(table, column, getattr(row, column), value):
                what = f"{name}: its {column} is {getattr(row, column)!r:.60}, but the log says {value!r:.60}"
                yield Problem(said.seq, said.seq, what)
        for column in digested:
            text = getattr(row, column)
            if text and (not isinstance(text, str) or digest_text(text) != getattr(row, f"{column}_sha256")):
                yield Problem(said.seq, said.seq, f"{name}: its {column} were changed, their digest is another")
    for key, said in expected.items():
        if key not in seen:
            yield Problem(said.seq, said.seq, f"{' '.join((kind, *key))}: the log tells of it, but it is gone")


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
