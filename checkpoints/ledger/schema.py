"""The ledger's tables, in SQLite and PostgreSQL, and how older ones are brought up to date, all or nothing.

Times and JSON are texts (canonical.py).
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    delete,
    false,
    insert,
    inspect,
    select,
    update,
)

from signoff.checkpoints.canonical import plain_text
from signoff.checkpoints.db.sqlite import COPIED_AT
from signoff.checkpoints.errors import DatabaseVersion, ForeignDatabase

SCHEMA_VERSION = 4
"""Raised with every change of these tables; `set_up` brings older ones up to date, newer ones are refused."""


class Plain(TypeDecorator[str]):
    """Text that every database takes; no column of a ledger is null."""

    impl = Text
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        """What makes the text as it is written and compared: one call for a value, process_bind_param takes three."""
        del dialect
        return plain_text


metadata = MetaData()

ledger_meta = Table(
    "ledger_meta",
    metadata,
    Column("key", Plain, primary_key=True),  # schema; audit_head: number, hash of the newest entry; copied_at
    Column("value", Plain, nullable=False),
)

people = Table(
    "people",
    metadata,
    Column("name", Plain, primary_key=True),
    Column("role", Plain, primary_key=True),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Plain, primary_key=True),  # the LangGraph thread's id, with '~N' for the N-th goal on it
    Column("team", Plain, nullable=False),
    Column("goal", Plain, nullable=False),
    Column("options", Plain, nullable=False),  # JSON: what the team is built again from
    Column("status", Plain, nullable=False),  # running, waiting, done, stopped, failed
    Column("note", Plain, nullable=False, default=""),
    Column("driver", Plain, nullable=False),  # 'local': our own runner; 'graph': whoever invokes the graph
    Column("requested_by", Plain, nullable=False, server_default=""),  # who gave the goal; empty: nobody knows
    Column("dry_run", Boolean, nullable=False, server_default=false()),  # everything but the effects
    Column("created_at", Plain, nullable=False),
    Column("updated_at", Plain, nullable=False),
    Column("owner", Plain, nullable=False, default=""),  # the process that drives it (process_identity.py)
    Column("owner_until", Plain, nullable=False, default=""),
    Column("beat_at", Plain, nullable=False, server_default=""),  # when whoever drives it last gave a sign of life
    Column("copied_at", Plain, nullable=False, server_default=""),  # when a backup was made in which it went on
)

proposals = Table(
    "proposals",
    metadata,
    Column("id", Plain, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("action", Plain, nullable=False),
    Column("args", Plain, nullable=False),
    Column("args_sha256", Plain, nullable=False),
    Column("reason", Plain, nullable=False),
    Column("risk", Plain, nullable=False),
    Column("proposed_by", Plain, nullable=False),
    Column("flags", Plain, nullable=False, server_default="[]"),  # JSON: orders found in what it was made from
    Column("created_at", Plain, nullable=False),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", Plain, primary_key=True),
    Column("proposal_id", ForeignKey("proposals.id"), nullable=False, unique=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("authority", Plain, nullable=False, server_default="{}"),  # JSON: who may decide (approval.py)
    Column("shown", Plain, nullable=False, server_default=""),  # the arguments asked about now: as proposed or edited
    Column("shown_sha256", Plain, nullable=False),
    Column("status", Plain, nullable=False),  # pending, approved, rejected, answered, expired, revoked
    Column("requested_at", Plain, nullable=False),
    Column("escalated_at", Plain, nullable=False, server_default=""),  # when the audit log was told of it
    Column("answering", Plain, nullable=False, server_default=""),  # whose answer a gate is about to read
    Column("expires_at", Plain, nullable=False),  # empty: never
    Column("decided_by", Plain, nullable=False, default=""),
    Column("decided_at", Plain, nullable=False, default=""),
    Column("reason", Plain, nullable=False, default=""),
    Column("args", Plain, nullable=False, default=""),  # the approved arguments
    Column("args_sha256", Plain, nullable=False, default=""),
    Index("approvals_by_status", "status", "requested_at"),
    Index("approvals_by_run", "run_id"),
)

votes = Table(
    "votes",
    metadata,
    Column("approval_id", ForeignKey("approvals.id"), primary_key=True),
    Column("name", Plain, primary_key=True),
    Column("args_sha256", Plain, nullable=False),  # what was agreed to
    Column("roles", Plain, nullable=False, server_default="[]"),  # JSON: those that a server vouched for
    Column("reason", Plain, nullable=False),
    Column("at", Plain, nullable=False),
)

effects = Table(
    "effects",
    metadata,
    Column("key", Plain, primary_key=True),  # digest of run, proposal and arguments: the idempotency key
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("proposal_id", ForeignKey("proposals.id"), nullable=False),
    Column("approval_id", ForeignKey("approvals.id"), nullable=False),
    Column("action", Plain, nullable=False),
    Column("status", Plain, nullable=False),  # claimed, unknown, released, done, failed, abandoned
    Column(
        "claims", Integer, nullable=False, server_default="1"
    ),  # how often it was claimed, by number the present one
    Column("claimed_by", Plain, nullable=False),
    Column("claimed_at", Plain, nullable=False),
    Column("claimed_until", Plain, nullable=False, server_default=""),  # renewed while the call goes on
    Column("finished_at", Plain, nullable=False, default=""),
    Column("result", Plain, nullable=False, default=""),
    Column("error", Plain, nullable=False, default=""),
    Column("earlier", Plain, nullable=False, server_default=""),  # what came of a call that had been given up for lost
    Index("effects_by_run", "run_id"),
    Index("effects_by_approval", "approval_id"),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Plain, nullable=False),
    Column("run_id", Plain, nullable=False),
    Column("event", Plain, nullable=False),
    Column("body", Plain, nullable=False),
    Column("hash", Plain, nullable=False),  # of the entry before, and this entry's fields
    Index("audit_by_run", "run_id", "seq"),
)

notices = Table(
    "notices",
    metadata,
    Column("id", Plain, primary_key=True),  # the same at every try, so that a receiver can tell
    Column("hook", Plain, nullable=False),  # which hook it is for
    Column("event", Plain, nullable=False),  # pending, decided, expired, unknown, escalated
    Column("run_id", Plain, nullable=False),
    Column("body", Plain, nullable=False),  # JSON, as it is sent
    Column("at", Plain, nullable=False),
    Column("status", Plain, nullable=False),  # due, sent, given_up
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("next_at", Plain, nullable=False),  # not tried before
    Column("sender", Plain, nullable=False, server_default=""),  # the process that is sending it
    Column("sender_until", Plain, nullable=False, server_default=""),
    Column("error", Plain, nullable=False, server_default=""),
    Index("notices_by_status", "status", "next_at"),
)

budgets = Table(
    "budgets",
    metadata,
    Column("scope", Plain, primary_key=True),  # agent:RUN/ROLE, run:RUN, team:TEAM@DAY, day:DAY (budgets/model.py)
    Column("nusd", BigInteger, nullable=False, server_default="0"),  # spent, in nano-dollars
    Column("tokens", BigInteger, nullable=False, server_default="0"),
    Column("steps", BigInteger, nullable=False, server_default="0"),
    Column("ms", BigInteger, nullable=False, server_default="0"),
    Column("raised", Plain, nullable=False, server_default="{}"),  # JSON: what people added to its limit, by key
)

holds = Table(
    "holds",
    metadata,
    Column("id", Plain, primary_key=True),
    Column("scopes", Plain, nullable=False),  # JSON list of their names
    Column("nusd", BigInteger, nullable=False),  # the worst case of the call that is being made
    Column("tokens", BigInteger, nullable=False),
    Column("steps", BigInteger, nullable=False),
    Column("ms", BigInteger, nullable=False),
    Column("owner", Plain, nullable=False),  # the process (process_identity.py)
    Column("until", Plain, nullable=False),  # returned then, whatever became of the call
)

usage = Table(
    "usage",
    metadata,
    Column("id", Plain, primary_key=True),
    Column("at", Plain, nullable=False),
    Column("day", Plain, nullable=False),  # of UTC
    Column("run_id", Plain, nullable=False),  # empty: outside a run
    Column("team", Plain, nullable=False),
    Column("role", Plain, nullable=False),
    Column("tier", Plain, nullable=False),
    Column("model", Plain, nullable=False),
    Column("endpoint", Plain, nullable=False),  # host and port, empty if the model has none
    Column("outcome", Plain, nullable=False),  # ok, or what went wrong (agents/models/failures.py)
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),  # part of the input
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),  # part of the output
    Column("nusd", BigInteger, nullable=False),
    Column("dearest_nusd", BigInteger, nullable=False),  # what the strongest tier would have cost for it
    Column("assumed", Boolean, nullable=False),  # the endpoint told no usage: the worst case was charged
    Column("ms", BigInteger, nullable=False),
    Index("usage_by_run", "run_id"),
    Index("usage_by_day", "day"),
)

rates = Table(
    "rates",
    metadata,
    Column("key", Plain, primary_key=True),  # endpoint, model and digest of the key
    Column("state", Plain, nullable=False),  # JSON, as rate_limits.py writes it
    Column("version", Integer, nullable=False, server_default="0"),  # for compare-and-set
    Column("at", Float, nullable=False),  # seconds since 1970 of the last change
)


_NO_ENTRIES: Final = f"0:{'0' * 64}"
"""The head of an audit log without entries."""

_SECOND_VERSION: Final = (
    "ALTER TABLE runs ADD COLUMN requested_by TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE runs ADD COLUMN dry_run BOOLEAN NOT NULL DEFAULT false",
    "ALTER TABLE approvals ADD COLUMN authority TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE approvals ADD COLUMN shown TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE approvals ADD COLUMN escalated_at TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE approvals ADD COLUMN answering TEXT NOT NULL DEFAULT ''",
    "UPDATE approvals SET shown = (SELECT args FROM proposals WHERE proposals.id = approvals.proposal_id)",
    "CREATE INDEX approvals_by_run ON approvals (run_id)",
    "ALTER TABLE effects ADD COLUMN claims INTEGER NOT NULL DEFAULT '1'",
    "ALTER TABLE effects ADD COLUMN claimed_until TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX effects_by_run ON effects (run_id)",
    "CREATE INDEX effects_by_approval ON effects (approval_id)",
    "CREATE TABLE people (name TEXT NOT NULL, role TEXT NOT NULL, PRIMARY KEY (name, role))",
    "CREATE TABLE votes (approval_id TEXT NOT NULL REFERENCES approvals (id), name TEXT NOT NULL, "
    "args_sha256 TEXT NOT NULL, roles TEXT NOT NULL DEFAULT '[]', reason TEXT NOT NULL, at TEXT NOT NULL, "
    "PRIMARY KEY (approval_id, name))",
    "CREATE TABLE notices (id TEXT NOT NULL PRIMARY KEY, hook TEXT NOT NULL, event TEXT NOT NULL, "
    "run_id TEXT NOT NULL, body TEXT NOT NULL, at TEXT NOT NULL, status TEXT NOT NULL, "
    "tries INTEGER NOT NULL DEFAULT '0', next_at TEXT NOT NULL, sender TEXT NOT NULL DEFAULT '', "
    "sender_until TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '')",
    "CREATE INDEX notices_by_status ON notices (status, next_at)",
    f"INSERT INTO ledger_meta (key, value) VALUES ('audit_head', '{_NO_ENTRIES}')",
    "UPDATE ledger_meta SET value = (SELECT seq || ':' || hash FROM audit ORDER BY seq DESC LIMIT 1) "
    "WHERE key = 'audit_head' AND EXISTS (SELECT seq FROM audit)",
)
"""Written out, because the tables of today are another version's tomorrow."""

_THIRD_VERSION: Final = (
    "ALTER TABLE runs ADD COLUMN beat_at TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE proposals ADD COLUMN flags TEXT NOT NULL DEFAULT '[]'",
    "CREATE TABLE budgets (scope TEXT NOT NULL PRIMARY KEY, nusd BIGINT NOT NULL DEFAULT '0', "
    "tokens BIGINT NOT NULL DEFAULT '0', steps BIGINT NOT NULL DEFAULT '0', ms BIGINT NOT NULL DEFAULT '0', "
    "raised TEXT NOT NULL DEFAULT '{}')",
    "CREATE TABLE holds (id TEXT NOT NULL PRIMARY KEY, scopes TEXT NOT NULL, nusd BIGINT NOT NULL, "
    "tokens BIGINT NOT NULL, steps BIGINT NOT NULL, ms BIGINT NOT NULL, owner TEXT NOT NULL, until TEXT NOT NULL)",
    "CREATE TABLE usage (id TEXT NOT NULL PRIMARY KEY, at TEXT NOT NULL, day TEXT NOT NULL, run_id TEXT NOT NULL, "
    "team TEXT NOT NULL, role TEXT NOT NULL, tier TEXT NOT NULL, model TEXT NOT NULL, endpoint TEXT NOT NULL, "
    "outcome TEXT NOT NULL, input_tokens BIGINT NOT NULL, cached_tokens BIGINT NOT NULL, "
    "output_tokens BIGINT NOT NULL, reasoning_tokens BIGINT NOT NULL, nusd BIGINT NOT NULL, "
    "dearest_nusd BIGINT NOT NULL, assumed BOOLEAN NOT NULL, ms BIGINT NOT NULL)",
    "CREATE INDEX usage_by_run ON usage (run_id)",
    "CREATE INDEX usage_by_day ON usage (day)",
    "CREATE TABLE rates (key TEXT NOT NULL PRIMARY KEY, state TEXT NOT NULL, version INTEGER NOT NULL DEFAULT '0', "
    "at FLOAT NOT NULL)",
)


_FOURTH_VERSION: Final = (
    "ALTER TABLE runs ADD COLUMN copied_at TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE effects ADD COLUMN earlier TEXT NOT NULL DEFAULT ''",
)

_STEPS: Final = {1: _SECOND_VERSION, 2: _THIRD_VERSION, 3: _FOURTH_VERSION}
"""What to do to a database of each older version, to be of the next."""


def set_up(engine: Engine, database: str) -> None:
    """Make the tables if they are not there, and bring older ones up to date; several processes may come at once.

    DatabaseVersion if a newer signoff wrote them, ForeignDatabase if a table of the same name is somebody else's.
    """
    with engine.connect() as connection, connection.begin():
        if _version(connection, database) == SCHEMA_VERSION:
            return  # without a lock, and by whoever may only read
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        found = _version(connection, database)
        if found is None:
            _create(connection, database)
            return
        if not 1 <= found <= SCHEMA_VERSION:
            raise DatabaseVersion(database, found, SCHEMA_VERSION)
        for version in range(found, SCHEMA_VERSION):
            for statement in _STEPS[version]:
                connection.exec_driver_sql(statement)
        meta = ledger_meta
        connection.execute(update(meta).where(meta.c.key == "schema").values(value=str(SCHEMA_VERSION)))


def take_mark(connection: Connection) -> str:
    """When this database was copied, if it is a copy whose first writer has not seen it yet, which it then has."""
    mark = ledger_meta.c.key == COPIED_AT
    at = connection.execute(select(ledger_meta.c.value).where(mark)).scalar_one_or_none()
    if at is not None:
        connection.execute(delete(ledger_meta).where(mark))
    return at or ""


def _version(connection: Connection, database: str) -> int | None:
    if not inspect(connection).has_table(ledger_meta.name):
        return None
    meta = ledger_meta.c
    found = connection.execute(select(meta.value).where(meta.key == "schema")).scalar_one_or_none()
    if found is None or not found.isdecimal():
        raise ForeignDatabase(database, f"its table {ledger_meta.name!r} is not a ledger's")
    return int(found)


def _create(connection: Connection, database: str) -> None:
    taken = set(inspect(connection).get_table_names()) & set(metadata.tables)
    if taken:
        raise ForeignDatabase(database, f"it holds the table {min(taken)!r}")
    metadata.create_all(connection, checkfirst=False)
    meta = ledger_meta
    connection.execute(insert(meta).values(key="schema", value=str(SCHEMA_VERSION)))
    connection.execute(insert(meta).values(key="audit_head", value=_NO_ENTRIES))
