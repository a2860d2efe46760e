"""Making the ledger's tables, and bringing those of an older version up to date, all or nothing."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Engine, insert, inspect, select, update

from signoff.checkpoints.ledger import schema as tables
from signoff.errors import DatabaseVersion, ForeignDatabase

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


_STEPS: Final = {1: _SECOND_VERSION, 2: _THIRD_VERSION}
"""What to do to a database of each older version, to be of the next."""


def set_up(engine: Engine, database: str) -> None:
    """Make the tables if they are not there, and bring older ones up to date; several processes may come at once.

    DatabaseVersion if a newer signoff wrote them, ForeignDatabase if a table of the same name is somebody else's.
    """
    with engine.connect() as connection, connection.begin():
        if _version(connection, database) == tables.SCHEMA_VERSION:
            return  # without a lock, and by whoever may only read
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        found = _version(connection, database)
        if found is None:
            _create(connection, database)
            return
        if not 1 <= found <= tables.SCHEMA_VERSION:
            raise DatabaseVersion(database, found, tables.SCHEMA_VERSION)
        for version in range(found, tables.SCHEMA_VERSION):
            for statement in _STEPS[version]:
                connection.exec_driver_sql(statement)
        meta = tables.ledger_meta
        connection.execute(update(meta).where(meta.c.key == "schema").values(value=str(tables.SCHEMA_VERSION)))


def _version(connection: Connection, database: str) -> int | None:
    if not inspect(connection).has_table(tables.ledger_meta.name):
        return None
    meta = tables.ledger_meta.c
    found = connection.execute(select(meta.value).where(meta.key == "schema")).scalar_one_or_none()
    if found is None or not found.isdecimal():
        raise ForeignDatabase(database, f"its table {tables.ledger_meta.name!r} is not a ledger's")
    return int(found)


def _create(connection: Connection, database: str) -> None:
    taken = set(inspect(connection).get_table_names()) & set(tables.metadata.tables)
    if taken:
        raise ForeignDatabase(database, f"it holds the table {min(taken)!r}")
    tables.metadata.create_all(connection, checkfirst=False)
    meta = tables.ledger_meta
    connection.execute(insert(meta).values(key="schema", value=str(tables.SCHEMA_VERSION)))
    connection.execute(insert(meta).values(key="audit_head", value=_NO_ENTRIES))
