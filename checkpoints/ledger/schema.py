"""The ledger's tables, in SQLite and PostgreSQL. Times and JSON are texts (canonical.py)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    false,
)

from signoff.checkpoints.canonical import plain_text

SCHEMA_VERSION = 3
"""Raised with every change of these tables; migrations.py brings older ones up to date, newer ones are refused."""


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
    Column("key", Plain, primary_key=True),  # schema; audit_head: number and hash of the newest audit entry
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
    Column("owner", Plain, nullable=False, default=""),  # the process that drives it (owner.py)
    Column("owner_until", Plain, nullable=False, default=""),
    Column("beat_at", Plain, nullable=False, server_default=""),  # when whoever drives it last gave a sign of life
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
    Column("authority", Plain, nullable=False, server_default="{}"),  # JSON: who may decide (authority.py)
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
    Column("scope", Plain, primary_key=True),  # agent:RUN/ROLE, run:RUN, team:TEAM@DAY, day:DAY (budget.py)
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
    Column("owner", Plain, nullable=False),  # the process (owner.py)
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
    Column("outcome", Plain, nullable=False),  # ok, or what went wrong (faults.py)
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
    Column("state", Plain, nullable=False),  # JSON, written by rates.py
    Column("version", Integer, nullable=False, server_default="0"),  # for compare-and-set
    Column("at", Float, nullable=False),  # seconds since 1970 of the last change
)
