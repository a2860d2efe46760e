"""Whether the ledger's tables say what the audit log says: the log tells of every change that a row goes through.

What each entry says of which row is all in one place, which is why this file is longer than most.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, select, true, type_coerce, union
from sqlalchemy.types import NULLTYPE

from signoff.checkpoints.canonical import canonical_json, digest_text, plain_text
from signoff.checkpoints.db.table_shapes import kind_of
from signoff.checkpoints.ledger.approval import ANYBODY, Authority, approval_id_of
from signoff.checkpoints.ledger.budgets.accounts import columns_of, spent_so_far
from signoff.checkpoints.ledger.budgets.amounts import Amount
from signoff.checkpoints.ledger.schema import (
    META_KEYS,
    SCHEMA_VERSION,
    approvals,
    audit,
    budgets,
    effects,
    jobs,
    keys,
    ledger_meta,
    metadata,
    people,
    proposals,
    runs,
    usage,
    votes,
)
from signoff.checkpoints.redaction import REDACTED

_RUNS_AT_ONCE: Final = 200
_SCOPES_AT_ONCE: Final = 500
_DIGESTS: Final = "redacted_sha256"
"""What an entry has of texts with secrets in them: the digest of each as it is in its table, by the fact's name."""
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)?")
_MOMENTS: Final = re.compile(r"at|until|\w+_(at|until)")
"""Columns whose text is a moment, or empty."""


_GUESSED: Final = select(usage.c.run_id, usage.c.day).where(usage.c.assumed).distinct()


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


@dataclass(frozen=True)
class _Digest:
    """What the log says of a text with secrets in it."""

    sha256: str


@dataclass
class _Expected:
    """What the log says of one row: the entry that did so last, and what its columns should hold."""

    seq: int
    columns: dict[str, Any] = field(default_factory=dict)


_OF_RUNS: Final = {
    "run": runs,
    "proposal": proposals,
    "approval": approvals,
    "vote": votes,
    "effect": effects,
    "job": jobs,
}
_TABLES: Final = {**_OF_RUNS, "role": people, "key": keys, "budget": budgets}
"""What is compared, by what a row is called."""
_IN_WORDS: Final = "authority in words"
"""No column: what the authority of an approval describes itself as."""


@dataclass(frozen=True)
class _Entry:
    """What entries of one event say of a row. Facts are what their body has by name, and their `run_id` and `event`.

    What entries of an older signoff do not say is not compared from then on.
    """

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


_STARTED: Final = _same("team goal options driver requested_by dry_run created_at updated_at owner")
_SUBMITTED: Final = _same("tenant id team goal options input_sha256 priority deadline submitted_by submitted_at")
_DECISION: Final = _Entry(
    "approval",
    ("approval",),
    _same("reason args_sha256 shown_sha256 decided_at") | {"status": "event", "decided_by": "by"},
)
_UNDECIDED: Final = dict.fromkeys(("decided_by", "decided_at", "reason", "args_sha256"), "")
_DONE: Final = _same("action result error finished_at") | {"status": "event"}
_NOT_DONE: Final = _same("action error finished_at") | {"status": "event"}
_CLAIMED: Final = {"approval_id": "approval", "proposal_id": "proposal", "claims": "claim"}
_CLAIMED_BY: Final = _same("claimed_by claimed_at")
_UNKNOWN_YET: Final = {"status": "claimed", "finished_at": "", "result": "", "error": "", "earlier": ""}
_PROPOSED: Final = _same("action args_sha256 reason risk flags run_id created_at") | {"proposed_by": "by"}
_EDITED: Final = {"shown_sha256": "args_sha256", "authority": "required", _IN_WORDS: "authority"}
_ENTRIES: Final[Mapping[str, _Entry]] = {
    "started": _Entry(
        "run", ("run_id",), _STARTED, {"status": "running", "note": "", "copied_at": "", "cancelled_by": ""}
    ),
    "status": _Entry("run", ("run_id",), _same("status note updated_at")),
    "submitted": _Entry("job", ("run_id",), _SUBMITTED),
    "dropped": _Entry("job", ("run_id",), {}),
    "changed": _Entry("run", ("run_id",), _same("options updated_at")),
    "copied": _Entry("run", ("run_id",), _same("copied_at")),
    "cancel wanted": _Entry("run", ("run_id",), {"cancelled_by": "by"}),
    **dict.fromkeys(("taken", "let go"), _Entry("run", ("run_id",), _same("owner"))),
    "proposed": _Entry("proposal", ("proposal",), _PROPOSED),
    "policy": _Entry("approval", ("approval",), {"authority": "required", "expires_at": "expires_at"}),
    "asked": _Entry("approval", ("approval",), _same("expires_at shown_sha256") | {_IN_WORDS: "authority"}),
    "edited": _Entry("approval", ("approval",), _EDITED),
    "escalated": _Entry("approval", ("approval",), _same("escalated_at")),
    "answering": _Entry("approval", ("approval",), {"answering": "by"}),
    "voted": _Entry("vote", ("approval", "by"), _same("args_sha256 roles reason") | {"at": "voted_at"}),
    **dict.fromkeys(("approved", "rejected", "answered", "expired", "revoked"), _DECISION),
    "taken back": _Entry("approval", ("approval",), {"status": "pending", **_UNDECIDED}),
    "claimed": _Entry("effect", ("effect",), _same("action run_id") | _CLAIMED | _CLAIMED_BY, _UNKNOWN_YET),
    "claimed again": _Entry(
        "effect", ("effect",), {"claims": "claim"} | _CLAIMED_BY, {"status": "claimed", "error": ""}
    ),
    "done": _Entry("effect", ("effect",), _DONE),
    **dict.fromkeys(
        ("failed", "unknown", "released", "abandoned"), _Entry("effect", ("effect",), _NOT_DONE, {"result": ""})
    ),
    "ended late": _Entry("effect", ("effect",), _same("earlier")),
    "people": _Entry("role", ("name", "role"), {}),
    "key": _Entry("key", ("key",), _same("name use roles made_at expires_at")),
    "raised": _Entry("budget", ("scope",), _same("raised")),
}


_GIVEN: Final = ("people", "key")
"""Events of what is given to somebody, and taken."""


def digests_of_redacted(event: str, body: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry says beside what is `kept` of its body, so that redacted texts can be compared with their rows."""
    facts = _ENTRIES[event].columns.values() if event in _ENTRIES else ()
    hidden = [fact for fact in facts if fact in body and REDACTED in _stored(kept.get(fact))]
    return {_DIGESTS: {fact: digest_text(_stored(body[fact])) for fact in hidden}} if hidden else {}


class _Log:
    """What the log says of the rows of some runs, entry by entry."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Key, _Expected]] = {kind: {} for kind in _TABLES}

    def read(self, row: Row[Any]) -> None:
        """Take one entry; what is none, or tells of no row, tells nothing here."""
        entry = _ENTRIES.get(row.event)
        body = _body_of(row)
        if entry is None or body is None:
            return
        facts = {**body, "run_id": row.run_id, "event": row.event}
        if any(fact not in facts for fact in entry.key):
            return
        key = tuple(_stored(facts[fact]) for fact in entry.key)
        if row.event == "dropped" or (row.event in _GIVEN and facts.get("change") != "given"):
            self.rows[entry.kind].pop(key, None)
            return
        columns = {column: _said(fact, facts) for column, fact in entry.columns.items()}
        self._expect(entry.kind, key, row.seq, {**columns, **entry.always})
        if row.event == "proposed":
            self._read_opened(row.seq, facts)
        elif row.event in ("edited", "taken back"):
            about, votes = _stored(facts.get("approval")), self.rows["vote"]
            self.rows["vote"] = {key: said for key, said in votes.items() if key[0] != about}

    def _read_opened(self, seq: int, facts: Mapping[str, Any]) -> None:
        """A proposal's approval is opened in the same breath, and holds no decision until the log tells of one."""
        proposal, at = str(facts.get("proposal")), facts.get("created_at")
        opened = {"proposal_id": proposal, "run_id": facts["run_id"], "shown_sha256": facts.get("args_sha256")}
        undecided: dict[str, Any] = {"status": "pending", "decided_by": "", "args_sha256": ""}
        if at is not None:
            opened["requested_at"] = at
            undecided |= dict.fromkeys(("reason", "decided_at", "escalated_at", "answering"), "")
            undecided |= {"authority": ANYBODY.as_json(), "expires_at": ""}
        self._expect("approval", (_stored(approval_id_of(proposal)),), seq, opened | undecided)

    def _expect(self, kind: str, key: Key, seq: int, columns: Mapping[str, Any]) -> None:
        """This row holds these values from this entry on; of what is None here, nobody knows."""
        expected = self.rows[kind].setdefault(key, _Expected(seq))
        expected.seq = seq
        expected.columns.update(columns)
        expected.columns = {name: value for name, value in expected.columns.items() if value is not None}


def _body_of(row: Row[Any]) -> dict[str, Any] | None:
    try:
        body = json.loads(row.body)
    except (ValueError, TypeError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _said(fact: str, facts: Mapping[str, Any]) -> Any:
    """What an entry says under this name: a text with secrets by its digest; None if an older signoff kept none."""
    said, digests = facts.get(fact), facts.get(_DIGESTS)
    if said is None or REDACTED not in _stored(said):
        return said
    sha256 = digests.get(fact) if isinstance(digests, dict) else None
    return _Digest(sha256) if isinstance(sha256, str) else None


def disagreements(connection: Connection, readable: Collection[str]) -> Iterator[Problem]:
    """Every row that is not what the log says of it, that the log knows nothing of, or that is gone.

    Before that: values that are no text where there should be one. `readable` are the tables with all their columns.
    Reads the log again, some runs at a time; who has which role and key, and what was added to budgets, comes last.
    """
    odd = set()
    for table in metadata.tables.values():
        if table is audit or table.name not in readable:
            continue
        for problem in _oddities(connection, table):
            odd.add(table.name)
            yield problem
        yield from _orphans(connection, table, readable)
    if ledger_meta.name in readable:
        yield from _check_meta(connection)
    if audit.name in readable:
        yield from _compare_all(connection, readable)
    if {budgets.name, usage.name} <= set(readable) - odd:
        yield from _compare_spent(connection)


def _compare_all(connection: Connection, readable: Collection[str]) -> Iterator[Problem]:
    mine = {kind: table for kind, table in _OF_RUNS.items() if table.name in readable}
    tables = (audit, *(table for table in mine.values() if table not in (runs, votes)))
    named = [select(table.c.run_id) for table in tables] + ([select(runs.c.id)] if runs in mine.values() else [])
    for part in connection.execute(union(*named)).yield_per(_RUNS_AT_ONCE).partitions():
        ids = [row[0] for row in part if isinstance(row[0], str)]
        log = _read_log(connection, audit.c.run_id.in_(ids))
        for kind, table in mine.items():
            if table is not votes or approvals in mine.values():
                yield from _compare(connection, kind, log.rows[kind], _belonging(table, ids))
    log = _read_log(connection, audit.c.event.in_((*_GIVEN, "raised")))
    for kind, table in (("role", people), ("key", keys)):
        if table.name in readable:
            yield from _compare(connection, kind, log.rows[kind], true())
    if budgets.name in readable:
        told = log.rows["budget"]
        # Where an older signoff wrote some of the log, budgets may have been raised without it.
        all_told = _tells_of_raises(connection)
        which = budgets.c.raised != "{}" if all_told else budgets.c.scope.in_([scope for (scope,) in told])
        yield from _compare(connection, "budget", told, which)


def _tells_of_raises(connection: Connection) -> bool:
    """Whether a signoff that logs what is added to budgets has kept this log from its first run on."""
    first = select(audit).where(audit.c.event == "started").order_by(audit.c.seq).limit(1)
    row = connection.execute(first).first()
    return row is not None and "created_at" in (_body_of(row) or {})


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


def _as_kept(table: Table) -> Select[Any]:
    """All rows, as the driver gives them."""
    columns: list[Any] = [type_coerce(column, NULLTYPE).label(column.name) for column in table.c]
    return select(*columns)


def _oddities(connection: Connection, table: Table) -> Iterator[Problem]:
    """Values that no signoff writes: bytes, nothing, a number for a text, a text that is no moment."""
    kinds = [(column.name, kind_of(column.type)) for column in table.c]
    moments = {name for name, kind in kinds if kind is str and _MOMENTS.fullmatch(name)}
    for row in connection.execute(_as_kept(table)).yield_per(1_000):
        for (name, kind), value in zip(kinds, row, strict=True):
            is_kind = type(value) is kind or (
                type(value) is int and (kind is float or (kind is bool and value in (0, 1)))
            )
            if is_kind and (name not in moments or _MOMENT.fullmatch(value)):
                continue
            why = "no moment" if is_kind else f"no {'text' if kind is str else 'number'}"
            yield Problem(0, 0, f"{table.name} {_name_of(table, row)}: its {name} is {value!r:.60}, which is {why}")


def _orphans(connection: Connection, table: Table, readable: Collection[str]) -> Iterator[Problem]:
    """Rows that refer to rows which are not there."""
    for key in table.foreign_keys:
        other = key.column.table
        if other.name in readable:
            query = _as_kept(table).where(key.parent.not_in(select(key.column)))
            for row in connection.execute(query).yield_per(1_000):
                what = f"{table.name} {_name_of(table, row)}: its {key.parent.name} is none of {other.name}"
                yield Problem(0, 0, what)


def _name_of(table: Table, row: Row[Any]) -> str:
    return " ".join(f"{getattr(row, column.name)!s:.60}" for column in table.primary_key)


def _check_meta(connection: Connection) -> Iterator[Problem]:
    kept: dict[Any, Any] = {row.key: row.value for row in connection.execute(select(ledger_meta))}
    if kept.get("schema") != str(SCHEMA_VERSION):
        what = f"ledger_meta schema: it is {kept.get('schema')!r:.60}, but these are tables of version {SCHEMA_VERSION}"
        yield Problem(0, 0, what)
    for key in kept.keys() - META_KEYS:
        yield Problem(0, 0, f"ledger_meta {key!s:.60}: signoff keeps nothing under this name")


def _compare(
    connection: Connection, kind: str, expected: Mapping[Key, _Expected], which: ColumnElement[bool]
) -> Iterator[Problem]:
    table = _TABLES[kind]
    digested = [column.name for column in table.c if f"{column.name}_sha256" in table.c]
    seen = set()
    for row in connection.execute(_as_kept(table).where(which)).yield_per(1_000):
        key = tuple(str(getattr(row, column.name)) for column in table.primary_key)
        seen.add(key)
        name = " ".join((kind, *key))
        said = expected.get(key)
        if said is None:
            yield Problem(0, 0, f"{name}: the log does not tell of it")
            continue
        for column, value in said.columns.items():
            found = getattr(row, "authority" if column == _IN_WORDS else column)
            if not _agrees(column, found, value):
                about = value.sha256 if isinstance(value, _Digest) else value
                what = f"{name}: its {column} is {found!r:.60}, but the log says {about!r:.60}"
                yield Problem(said.seq, said.seq, what)
        for column in digested:
            if not _fits_digest(getattr(row, column), getattr(row, f"{column}_sha256")):
                yield Problem(said.seq, said.seq, f"{name}: its {column} were changed, their digest is another")
    for key, said in expected.items():
        if key not in seen:
            yield Problem(said.seq, said.seq, f"{' '.join((kind, *key))}: the log tells of it, but it is gone")


def _fits_digest(text: Any, sha256: Any) -> bool:
    return isinstance(text, str) and bool(sha256 == (digest_text(text) if text else ""))


def _agrees(column: str, found: Any, said: Any) -> bool:
    if column == _IN_WORDS:
        try:
            return bool(Authority.from_json(json.loads(found)).describe() == said)
        except (ValueError, TypeError, AttributeError, KeyError):
            return False
    if isinstance(said, bool | int):
        return bool(found == said)
    if isinstance(said, _Digest):
        return isinstance(found, str) and bool(digest_text(found) == said.sha256)
    return bool(found == _stored(said))


def _stored(said: Any) -> str:
    """A value as a column has it: a text, or JSON."""
    return plain_text(said if isinstance(said, str) else canonical_json(said))


def _compare_spent(connection: Connection) -> Iterator[Problem]:
    """What is spent of a budget is what its calls have used; calls charged their worst case do not tell its tokens."""
    guessed = {value for row in connection.execute(_GUESSED) for value in row}
    for part in connection.execute(select(budgets)).yield_per(_SCOPES_AT_ONCE).partitions():
        used = spent_so_far(connection, [row.scope for row in part])
        for row in part:
            if (told := columns_of(row.scope)) is None:
                continue  # an item's share, or a role's in a child run: no column of `usage` tells its calls
            spent, owner = Amount(row.nusd, row.tokens, row.steps, row.ms), told[1]
            for unit, one, other in zip(Amount._fields, spent, used[row.scope], strict=True):
                if one < other or (one > other and (unit != "tokens" or owner not in guessed)):
                    what = f"budget {row.scope}: its {unit} is {one:,}, but the calls in usage add up to {other:,}"
                    yield Problem(0, 0, what)
