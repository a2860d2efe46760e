"""The ledger: runs, approvals, effects and audit in one database, each change one durable transaction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection

from signoff.checkpoints import canonical
from signoff.checkpoints.jobs.alerts import Alerts
from signoff.checkpoints.jobs.job import DEFAULT_TENANT
from signoff.checkpoints.jobs.job_table import Jobs
from signoff.checkpoints.jobs.schedules import Schedules
from signoff.checkpoints.jobs.tenants import tenant_of
from signoff.checkpoints.jobs.workers import Workers
from signoff.checkpoints.ledger.approvals import ApprovalRows, Approvals
from signoff.checkpoints.ledger.audit_log import AuditLog
from signoff.checkpoints.ledger.budgets.reservations import Budgets
from signoff.checkpoints.ledger.budgets.spending import Spending
from signoff.checkpoints.ledger.effects import Effects
from signoff.checkpoints.ledger.inbox import Inbox
from signoff.checkpoints.ledger.notifications.hooks import Hook
from signoff.checkpoints.ledger.notifications.outbox import Notices
from signoff.checkpoints.ledger.people import People
from signoff.checkpoints.ledger.runs import Runs
from signoff.checkpoints.ledger.session import Session
from signoff.checkpoints.process_identity import KeepAlive


class Ledger:
    """The record that decides. Opened on first use; safe to share between threads.

    `database` is an SQLite file or a `postgresql://` address; SettingsError for any other address, MissingExtra if
    the package for PostgreSQL is not installed. A write waits up to `busy_seconds` for others that write. `hooks` are
    told what waits and what was decided; None means those that the settings name. With a `tenant` it finds what is that
    tenant's alone, and nothing can be changed by it (OtherTenant).
    """

    def __init__(
        self,
        database: Path | str,
        *,
        busy_seconds: float = 30.0,
        hooks: Sequence[Hook] | None = None,
        tenant: str = "",
    ) -> None:
        self._session = session = Session(database, busy_seconds, tenant)
        self.tenant = session.tenant
        self.database = session.database
        """The file, or the address without the password."""
        self.write = session.write
        """One change, made as a whole or not at all, and on disk when it ends; nobody else writes meanwhile."""
        self.read = session.read
        """One consistent view."""
        self.keep_alive = KeepAlive()
        self.audit = AuditLog(session)
        self.people = People(session, self.audit)
        self.runs = Runs(session, self.audit, session.fences)
        self.notices = Notices(session, hooks)
        self.effects = Effects(session, self.audit, self.notices, busy_seconds=busy_seconds)
        self.inbox = Inbox(session)
        self.jobs = Jobs(session, self.audit, self.runs)
        self.schedules = Schedules(session, self.audit, self.jobs)
        self.workers = Workers(session)
        self.alerts = Alerts(session, self.notices, is_seen=not tenant)
        rows = ApprovalRows(self.audit, self.notices, self.jobs.turns)
        self.approvals = Approvals(session, self.people, self.runs, self.effects, rows)
        self.spending = Spending(session)
        self.budgets = Budgets(session, self.audit)

        session.on_copy = self._tell_copied

    def tenant_of(self, run_id: str) -> str:
        """Whose this run is: that of the job that it does, or that it names, or else the usual tenant.

        Empty for one that a ledger that is opened for one tenant does not find: it is another's, as far as that tells.
        """
        with self.read() as connection:
            return tenant_of(connection, run_id, "" if self.tenant else DEFAULT_TENANT)

    def mark_copied(self) -> tuple[str, ...]:
        """Say that this database is a restored copy, where nothing else tells: one of a snapshot or of a server.

        Runs that are open in it find out, before they call an action, whether the original has called it; their ids.
        """
        with self.write() as connection:
            return self._tell_copied(connection, canonical.now())

    def _tell_copied(self, connection: Connection, at: str) -> tuple[str, ...]:
        told = self.runs.tell_copied(connection, at)
        self.effects.tell_copied(connection, at, told)
        return told

    def close(self) -> None:
        """Close all connections, once the transactions of other threads have ended; the next use opens it again."""
        self.notices.close()
        self.budgets.close()
        self._session.close()
