"""Tenants: of a ledger that is opened for one, every query finds what is that tenant's alone, whoever wrote the query.

That is done in one place, the connection: under the name of each table that holds what is somebody's, it has a view of
the rows that are this tenant's, which hides the table. So a query that nobody thought of finds no more, either.
A run is the tenant's whose job it does, or that its options name; any other is of the usual tenant.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sqlalchemy import Connection, select

from signoff.checkpoints.canonical import read_json
from signoff.checkpoints.errors import OtherTenant
from signoff.checkpoints.jobs.job import DEFAULT_TENANT, RUN_ID_LENGTH
from signoff.checkpoints.ledger.schema import RUN_TENANT, jobs, runs

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OF_RUNS: Final = {
    "runs": "id",
    "proposals": "run_id",
    "approvals": "run_id",
    "effects": "run_id",
    "audit": "run_id",
    "notices": "run_id",
    "usage": "run_id",
}
"""Tables of what belongs to a run, and the column that says to which."""
_OF_APPROVALS: Final = ("votes", "snoozes")
_NOBODYS: Final = ("keys", "people", "holds", "rates", "alerts")
"""What is of no tenant, and shown to none."""


def check_tenant(tenant: str) -> str:
    """The name; OtherTenant if it is none."""
    if not NAME.fullmatch(tenant):
        raise OtherTenant(f"{tenant!r:.60} is no tenant's name: letters, digits, and . _ - between them")
    return tenant


def show_only(tenant: str, dialect: str, connection: Any, _record: object = None) -> None:
    """Have this connection of the driver find nothing but what is this tenant's, until it is closed."""
    cursor = connection.cursor()
    where = _Schema(cursor, dialect, tenant)
    rows = {table: where.of_run(f"t.{column}") for table, column in _OF_RUNS.items()}
    rows |= dict.fromkeys(_NOBODYS, "1 = 0")
    rows |= {"jobs": f"t.tenant = '{tenant}'", "schedules": f"t.tenant = '{tenant}'"}
    rows["job_limits"] = f"t.kind = 'tenant' AND t.name = '{tenant}'"
    approved = f"SELECT 1 FROM {where.table('approvals')} a WHERE a.id = t.approval_id AND {where.of_run('a.run_id')}"
    rows |= dict.fromkeys(_OF_APPROVALS, f"EXISTS ({approved})")
    whose = {"run": "substr(t.scope, 5)"}
    whose |= {
        kind: f"substr(t.scope, {n}, {where.place}(t.scope, '/') - {n})" for kind, n in (("agent", 7), ("item", 6))
    }
    rows["budgets"] = " OR ".join(f"(t.scope LIKE '{kind}:%' AND {where.of_run(run)})" for kind, run in whose.items())
    for table, wanted in rows.items():
        cursor.execute(f"CREATE TEMP VIEW {table} AS SELECT * FROM {where.table(table)} t WHERE {wanted}")
    cursor.close()
    connection.commit()


class _Schema:
    """How the tables themselves are named beside the views that hide them, and what is a tenant's."""

    def __init__(self, cursor: Any, dialect: str, tenant: str) -> None:
        self._tenant, self._name, self.place = tenant, "main", "instr"
        if dialect == "postgresql":
            cursor.execute("SELECT quote_ident(current_schema())")
            self._name, self.place = str(cursor.fetchone()[0]), "strpos"

    def table(self, name: str) -> str:
        return f"{self._name}.{name}"

    def of_run(self, run: str) -> str:
        """Whether this run is the tenant's: it says so, or the job that it, or the run around it, does."""
        job = f"SELECT 1 FROM {self.table('jobs')} j WHERE j.run_id = substr({run}, 1, {RUN_ID_LENGTH})"
        said = f'SELECT 1 FROM {self.table("runs")} r WHERE r.id = {run} AND {self.place}(r.options, \'"{RUN_TENANT}":'
        mine = f"(EXISTS ({job} AND j.tenant = '{self._tenant}') OR EXISTS ({said}\"{self._tenant}\"') > 0))"
        if self._tenant != DEFAULT_TENANT:
            return mine
        return f"({mine} OR ({run} <> '' AND NOT EXISTS ({job}) AND NOT EXISTS ({said}') > 0)))"


def tenant_of(connection: Connection, run_id: str, unknown: str = DEFAULT_TENANT) -> str:
    """Whose this run is; `unknown` if there is none of this id, as far as the connection shows it."""
    job = connection.execute(select(jobs.c.tenant).where(jobs.c.run_id == run_id[:RUN_ID_LENGTH])).scalar()
    if job:
        return str(job)
    options = connection.execute(select(runs.c.options).where(runs.c.id == run_id)).scalar()
    if not options:
        return unknown
    return str(read_json(options, dict, f"Run {run_id}").get(RUN_TENANT) or DEFAULT_TENANT)
