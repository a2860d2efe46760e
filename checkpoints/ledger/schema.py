"""The ledger's tables, in SQLite and PostgreSQL, and how older ones are brought up to date, all or nothing.

Times and JSON are texts (canonical.py).
"""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
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
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    bindparam,
    delete,
    false,
    insert,
    inspect,
    select,
    update,
)

from signoff.checkpoints.canonical import plain_text
from signoff.checkpoints.db.prepared import Prepared
from signoff.checkpoints.db.sqlite import COPIED_AT
from signoff.checkpoints.errors import DatabaseVersion, ForeignDatabase
from signoff.checkpoints.ledger.budgets.amounts import Amount, CallRecord

SCHEMA_VERSION = 10
"""Raised with every change of these tables; `set_up` brings older ones up to date, newer ones are refused."""


class Plain(TypeDecorator[str]):
    """Text that every database takes; no column of a ledger is null."""

    impl = Text
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        """What makes the text as it is written and compared; process_bind_param takes three calls for a value."""
        del dialect
        return plain_text


def _texts(*names: str, **options: Any) -> list[Column[str]]:
    return [Column(name, Plain, nullable=False, **options) for name in names]


_TYPES: Final[dict[Any, Any]] = {"str": Plain, "int": BigInteger, "bool": Boolean}
"""The columns of a record's fields, by their annotations."""

metadata = MetaData()

ledger_meta = Table(
    "ledger_meta",
    metadata,
    Column("key", Plain, primary_key=True),  # schema; audit_head: number, hash of the newest entry; copied_at
    Column("value", Plain, nullable=False),
)

# Built once: building a statement costs SQLAlchemy more than the database takes for it.
META: Final = select(ledger_meta.c.value).where(ledger_meta.c.key == bindparam("which"))
NEXT_META: Final = update(ledger_meta).where(ledger_meta.c.key == bindparam("which")).values(value=bindparam("text"))
FIRST_META: Final = insert(ledger_meta).values(key=bindparam("which"), value=bindparam("text"))
_META, _NEXT_META, _FIRST_META = Prepared(META), Prepared(NEXT_META), Prepared(FIRST_META)


def meta_value(connection: Connection, key: str) -> Any:
    """What the ledger keeps under this name about itself, whatever it is; None if there is nothing."""
    found = _META.run(connection, which=key).fetchone()
    return found and found[0]


def read_meta(connection: Connection, key: str) -> str | None:
    """As `meta_value`; what is no text is told as one."""
    found = meta_value(connection, key)
    return found if found is None or isinstance(found, str) else repr(found)


def write_meta(connection: Connection, key: str, value: str) -> None:
    if not _NEXT_META.run(connection, which=key, text=value).rowcount:
        _FIRST_META.run(connection, which=key, text=value)


people = Table(
    "people",
    metadata,
    Column("name", Plain, primary_key=True),
    Column("role", Plain, primary_key=True),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Plain, primary_key=True),  # digest of the secret, which only its holder has
    *_texts("name", "use"),  # whose it is; token: given by somebody; session: of a browser
    Column("roles", Plain, nullable=False, server_default="[]"),  # JSON: those that a server vouched for
    *_texts("made_at", "expires_at"),
    Index("keys_by_name", "name"),
)

snoozes = Table(
    "snoozes",
    metadata,
    Column("approval_id", ForeignKey("approvals.id"), primary_key=True),
    Column("name", Plain, primary_key=True),
    Column("until", Plain, nullable=False),  # not among what waits for this person before
)

runs = Table(
    "runs",
    metadata,
    Column("id", Plain, primary_key=True),  # the LangGraph thread's id, with '~N' for the N-th goal on it
    *_texts("team", "goal"),
    Column("options", Plain, nullable=False),  # JSON: what the team is built again from
    Column("status", Plain, nullable=False),  # running, waiting, done, stopped, failed
    Column("note", Plain, nullable=False, default=""),
    Column("driver", Plain, nullable=False),  # 'local': our own runner; 'graph': whoever invokes the graph
    Column("requested_by", Plain, nullable=False, server_default=""),  # who gave the goal; empty: nobody knows
    Column("dry_run", Boolean, nullable=False, server_default=false()),  # everything but the effects
    *_texts("created_at", "updated_at"),
    Column("owner", Plain, nullable=False, default=""),  # the process that drives it (process_identity.py)
    Column("owner_until", Plain, nullable=False, default=""),
    Column("beat_at", Plain, nullable=False, server_default=""),  # when whoever drives it last gave a sign of life
    Column("copied_at", Plain, nullable=False, server_default=""),  # when a backup was made in which it went on
    Column("cancelled_by", Plain, nullable=False, server_default=""),  # who wants it to end; empty: nobody
    Index("runs_by_creation", "created_at"),
    Index("runs_by_status", "status", "created_at"),
)

proposals = Table(
    "proposals",
    metadata,
    Column("id", Plain, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    *_texts("action", "args", "args_sha256", "reason", "risk", "proposed_by"),
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
    *_texts("shown_sha256", "status", "requested_at"),
    Column("escalated_at", Plain, nullable=False, server_default=""),  # when the audit log was told of it
    Column("answering", Plain, nullable=False, server_default=""),  # whose answer a gate is about to read
    Column("expires_at", Plain, nullable=False),  # empty: never
    *_texts("decided_by", "decided_at", "reason", default=""),
    *_texts("args", "args_sha256", default=""),  # the approved arguments
    Index("approvals_by_status", "status", "requested_at"),
    Index("approvals_by_run", "run_id"),
    Index("approvals_by_decision", "decided_at"),
)

votes = Table(
    "votes",
    metadata,
    Column("approval_id", ForeignKey("approvals.id"), primary_key=True),
    Column("name", Plain, primary_key=True),
    Column("args_sha256", Plain, nullable=False),  # what was agreed to
    Column("roles", Plain, nullable=False, server_default="[]"),  # JSON: those that a server vouched for
    *_texts("reason", "at"),
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
    Column("claims", Integer, nullable=False, server_default="1"),  # how often it was claimed: the last claim's number
    *_texts("claimed_by", "claimed_at"),
    Column("claimed_until", Plain, nullable=False, server_default=""),  # renewed while the call goes on
    *_texts("finished_at", "result", "error", default=""),
    Column("earlier", Plain, nullable=False, server_default=""),  # what came of a call that had been given up for lost
    Index("effects_by_run", "run_id"),
    Index("effects_by_approval", "approval_id"),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    *_texts("at", "run_id", "event", "body"),
    Column("hash", Plain, nullable=False),  # of the entry before, and this entry's fields
    Index("audit_by_run", "run_id", "seq"),
)

notices = Table(
    "notices",
    metadata,
    Column("id", Plain, primary_key=True),  # the same at every try, so that a receiver can tell
    *_texts("hook", "event", "run_id", "body", "at", "status"),  # hooks.py says what they hold
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("next_at", Plain, nullable=False),  # not tried before
    *_texts("sender", "sender_until", server_default=""),  # the process that is sending it
    Column("error", Plain, nullable=False, server_default=""),
    Index("notices_by_status", "status", "next_at"),
)

budgets = Table(
    "budgets",
    metadata,
    Column("scope", Plain, primary_key=True),  # agent:RUN/ROLE, run:RUN, team:TEAM@DAY, day:DAY (budgets/amounts.py)
    *(Column(unit, BigInteger, nullable=False, server_default="0") for unit in Amount._fields),  # spent
    Column("raised", Plain, nullable=False, server_default="{}"),  # JSON: what people added to its limit, by key
)

holds = Table(
    "holds",
    metadata,
    # Random; with the id as key, what comes and goes with each call would stand in two trees.
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("id", Plain, nullable=False),
    Column("scopes", Plain, nullable=False),  # JSON list of their names
    *(Column(unit, BigInteger, nullable=False) for unit in Amount._fields),  # the worst case of the call being made
    Column("owner", Plain, nullable=False),  # the process (process_identity.py)
    Column("until", Plain, nullable=False),  # lost then, where nobody can tell whether its process lives
    Column("ends", Float, nullable=False, server_default="0"),  # the same by the clock of its boot; 0: it has no end
    Column("call", Plain, nullable=False, server_default="{}"),  # JSON: whose call, of which model, as `usage` has it
)

usage = Table(
    "usage",
    metadata,
    *(Column(each.name, _TYPES[each.type], nullable=False) for each in fields(CallRecord)),
    PrimaryKeyConstraint("run_id", "id"),  # the calls of a run lie together
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

jobs = Table(
    "jobs",
    metadata,
    Column("run_id", Plain, primary_key=True),  # the run that does it: a digest of the tenant and the id
    *_texts("tenant", "id", "team", "goal"),
    Column("options", Plain, nullable=False),  # JSON, as the run has it: what its team is built from, and the input
    Column("input_sha256", Plain, nullable=False),  # of team, goal and input: the same id with another is refused
    Column("priority", Integer, nullable=False),  # 1 is first, 9 last
    Column("deadline", Plain, nullable=False, server_default=""),  # nothing more is done after it; empty: none
    Column("status", Plain, nullable=False),  # checkpoints/jobs/job.py says which there are
    Column("turn", Integer, nullable=False),  # number of the turn that is queued, under way, or was last
    Column("answers", Integer, nullable=False, server_default="0"),  # how often something of its run was decided
    Column("attempts", Integer, nullable=False, server_default="0"),  # claims in a row that did not end as they should
    *_texts("claim", "worker", "claimed_at", default=""),  # who took the turn: owner of the run, slot, moment
    *_texts("wanted", "wanted_by", default=""),  # cancel, hold: what is to become of it, and who says so
    *_texts("error", "submitted_by", default=""),
    Column("misfit", Boolean, nullable=False, server_default="0"),  # parked, as its team does not fit its run
    *_texts("submitted_at", "queued_at"),
    *_texts("started_at", "ended_at", default=""),
    Index("jobs_by_status", "status", "tenant", "queued_at"),
    Index("jobs_by_submission", "submitted_at", "id"),
    Index("jobs_by_end", "ended_at"),
    Index("jobs_by_worker", "worker", "priority", "submitted_at", "id"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("name", Plain, primary_key=True),
    *_texts("cron", "zone"),  # when: five fields of cron, by the clock of this zone
    Column("overlap", Plain, nullable=False),  # skip, queue-one, allow: if the job before has not ended
    Column("catch_up", Integer, nullable=False),  # seconds back that missed firings are made up for
    Column("newest_only", Boolean, nullable=False),  # of the missed ones only the last
    *_texts("tenant", "team", "goal"),
    *_texts("options", "given"),  # JSON, as a job's
    Column("priority", Integer, nullable=False),
    *_texts("made_by", "made_at"),
    Column("paused_by", Plain, nullable=False, default=""),  # empty: it is not paused
    Column("next_at", Plain, nullable=False),  # the first firing that was not looked at yet
    *_texts("last_at", "told", default=""),  # the last firing that was, and what came of it
)

job_limits = Table(
    "job_limits",
    metadata,
    Column("kind", Plain, primary_key=True),  # team, tenant: how many of its jobs at once; queued: how many in all
    Column("name", Plain, primary_key=True),  # of the team or tenant; empty for queued
    Column("most", Integer, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    Column("name", Plain, primary_key=True),  # checkpoints/jobs/alerts.py says which there are; none that is over
    *_texts("says", "since"),
)

workers = Table(
    "workers",
    metadata,
    Column("slot", Plain, primary_key=True),  # HOST/NUMBER: the executor of the queue, whichever process it is
    Column("owner", Plain, nullable=False),  # the process that has it (process_identity.py)
    Column("places", Integer, nullable=False),  # how many turns it has at once
    *_texts("status", "started_at", "beat_at"),  # working, draining, lost (its turns are to be put back)
    Column("until", Plain, nullable=False),  # it is taken for lost then, where nobody can tell whether it lives
)


RUN_TENANT: Final = "run tenant"
"""Where a run's options keep whose it is, where several share a ledger."""
RUN_FORK: Final = "run fork"
"""Where the options of a run that began as another one stood keep the runs before it, its own first, and where."""
LEDGER_TABLES: Final = frozenset(metadata.tables)
AUDIT_HEAD: Final = "audit_head"
BOOKS_PAGE: Final = "books_page"
"""Changes with every change of budgets or holds, so that copies in memory are known to be old."""
META_KEYS: Final = frozenset({"schema", AUDIT_HEAD, BOOKS_PAGE, COPIED_AT})
"""All that the ledger keeps about itself."""
_LONGEST_VERSION: Final = 9
_NO_ENTRIES: Final = f"0:{'0' * 64}"
"""The head of an audit log without entries."""


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
        upgrades = tomllib.loads(Path(__file__).with_name("upgrades.toml").read_text(encoding="utf-8"))
        for version in range(found, SCHEMA_VERSION):
            upgrade = upgrades[str(version + 1)]
            script = upgrade if isinstance(upgrade, str) else upgrade[engine.dialect.name]
            for statement in script.removesuffix(";\n").split(";\n"):
                connection.exec_driver_sql(statement)
        write_meta(connection, "schema", str(SCHEMA_VERSION))


def take_mark(connection: Connection) -> str:
    """When this database was copied, if it is a copy whose first writer has not seen it yet, which it then has."""
    at = read_meta(connection, COPIED_AT)
    if at:
        connection.execute(delete(ledger_meta).where(ledger_meta.c.key == COPIED_AT))
    return at or ""


def _version(connection: Connection, database: str) -> int | None:
    if not inspect(connection).has_table(ledger_meta.name):
        return None
    found = read_meta(connection, "schema")
    if found is None or not found.isdecimal() or len(found) > _LONGEST_VERSION:
        raise ForeignDatabase(database, f"its table {ledger_meta.name!r} is not a ledger's")
    return int(found)


def _create(connection: Connection, database: str) -> None:
    taken = set(inspect(connection).get_table_names()) & set(metadata.tables)
    if taken:
        raise ForeignDatabase(database, f"it holds the table {min(taken)!r}")
    metadata.create_all(connection, checkfirst=False)
    write_meta(connection, "schema", str(SCHEMA_VERSION))
    write_meta(connection, AUDIT_HEAD, _NO_ENTRIES)
