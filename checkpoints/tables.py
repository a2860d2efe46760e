"""The ledger's tables. Times are UTC texts (clock.py), JSON is canonical text (digest.py)."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, MetaData, String, Table, Text

SCHEMA_VERSION = 1
"""Raised with every change of these tables; a database of another version is refused."""

metadata = MetaData()

ledger_meta = Table(
    "ledger_meta", metadata, Column("key", String(40), primary_key=True), Column("value", Text, nullable=False)
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(200), primary_key=True),  # the LangGraph thread's id, with '~N' for the N-th goal on it
    Column("team", String(100), nullable=False),
    Column("goal", Text, nullable=False),
    Column("options", Text, nullable=False),  # JSON: what the team is built again from
    Column("status", String(20), nullable=False),  # running, waiting, done, stopped, failed
    Column("note", Text, nullable=False, default=""),
    Column("driver", String(20), nullable=False),  # 'local': our own runner; 'graph': whoever invokes the graph
    Column("created_at", String(30), nullable=False),
    Column("updated_at", String(30), nullable=False),
    Column("owner", String(200), nullable=False, default=""),  # the process that drives it (owner.py)
    Column("owner_until", String(30), nullable=False, default=""),
)

proposals = Table(
    "proposals",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("action", String(100), nullable=False),
    Column("args", Text, nullable=False),
    Column("args_sha256", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("risk", String(20), nullable=False),
    Column("proposed_by", String(100), nullable=False),
    Column("created_at", String(30), nullable=False),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("proposal_id", ForeignKey("proposals.id"), nullable=False, unique=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("shown_sha256", String(64), nullable=False),  # digest of the arguments that were shown
    Column("status", String(20), nullable=False),  # pending, approved, rejected, expired
    Column("requested_at", String(30), nullable=False),
    Column("expires_at", String(30), nullable=False),  # empty: never
    Column("decided_by", String(200), nullable=False, default=""),
    Column("decided_at", String(30), nullable=False, default=""),
    Column("reason", Text, nullable=False, default=""),
    Column("args", Text, nullable=False, default=""),  # the approved arguments: as shown, or as edited
    Column("args_sha256", String(64), nullable=False, default=""),
    Index("approvals_by_status", "status", "requested_at"),
)

effects = Table(
    "effects",
    metadata,
    Column("key", String(64), primary_key=True),  # digest of run, proposal and arguments: the idempotency key
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("proposal_id", ForeignKey("proposals.id"), nullable=False),
    Column("approval_id", ForeignKey("approvals.id"), nullable=False),
    Column("action", String(100), nullable=False),
    Column("status", String(20), nullable=False),  # claimed, unknown, released, done, failed, abandoned
    Column("claimed_by", String(200), nullable=False),
    Column("claimed_at", String(30), nullable=False),
    Column("finished_at", String(30), nullable=False, default=""),
    Column("result", Text, nullable=False, default=""),
    Column("error", Text, nullable=False, default=""),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String(30), nullable=False),
    Column("run_id", String(200), nullable=False),
    Column("event", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("hash", String(64), nullable=False),  # of the entry before, and this entry's fields
    Index("audit_by_run", "run_id", "seq"),
)
