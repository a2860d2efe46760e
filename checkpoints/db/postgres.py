"""A ledger in a PostgreSQL database."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Engine, create_engine, event

from signoff.checkpoints.errors import DatabaseUnusable
from signoff.error_base import SettingsError

_WRITER_LOCK: Final = 0x5169_6E0F_0000_0002
"""Number of the advisory lock that whoever writes holds, so that the audit log has one order."""
_IDLE_SECONDS: Final = 20
"""A writer that says nothing for longer is cut off and its transaction undone: its machine may be gone."""
_IDLE_CONNECTIONS: Final = 2
_MORE_CONNECTIONS: Final = 8


class LedgerServer:
    """The database at an address; its tables are made when it is opened."""

    is_there: Final = True

    def __init__(self, address: str, busy_seconds: float) -> None:
        self._address, self._busy_seconds = PostgresAddress(address), busy_seconds
        self.name = self._address.name

    def open(self) -> Engine:
        engine = create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            pool_size=_IDLE_CONNECTIONS,
            max_overflow=_MORE_CONNECTIONS,
            pool_timeout=self._busy_seconds,
            pool_pre_ping=True,
            use_native_hstore=False,
            hide_parameters=True,
        )
        event.listen(engine, "begin", self._begin)
        return engine

    def remember(self) -> None:
        """Nothing is left of a database that a server has dropped, and it makes none by itself."""

    def explain(self, error: BaseException) -> DatabaseUnusable:
        cause = getattr(error, "orig", None) or error
        if isinstance(cause, psycopg.errors.LockNotAvailable):
            problem = f"locked: another process has been writing to it for {self._busy_seconds:g} s"
            return DatabaseUnusable(self.name, problem)
        return DatabaseUnusable(self.name, self._address.tell(cause))

    def tear(self) -> None:
        """This process is a child that was forked amid a transaction: it makes connections of its own."""

    def _connect(self) -> psycopg.Connection:
        # A server-side prepared statement would be missed by a connection that a proxy hands to many.
        return psycopg.connect(
            self._address.text, **self._address.options, client_encoding="utf8", prepare_threshold=None
        )

    def _begin(self, connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            _run(
                connection,
                # With one view of the whole transaction it would be one from before the lock was ours.
                "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
                f"SET LOCAL lock_timeout = {max(1, round(self._busy_seconds * 1000))}",
                f"SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_SECONDS} s'",
                # With a weaker setting a crash of the server may lose what was committed; a stronger one stays.
                "SELECT set_config('synchronous_commit', 'on', true) "
                "WHERE current_setting('synchronous_commit') <> 'remote_apply'",
                f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})",
            )
        else:
            _run(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _run(connection: Connection, *statements: str) -> None:
    """Run them in one message to the server."""
    connection.exec_driver_sql("; ".join(statements), execution_options={"no_parameters": True}).close()


_DEFAULTS: Final = {
    "application_name": "signoff",
    "connect_timeout": 10,
    # A server that is cut off is noticed within a minute: the system's own patience is two hours.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}


class PostgresAddress:
    """One database of a PostgreSQL server."""

    def __init__(self, address: str) -> None:
        self.text = address
        found = _read(address)
        if found is None:  # raised here, where no error that holds the address is being handled
            raise SettingsError(
                "database",
                "the postgresql:// address cannot be read",
                "Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE, special characters of the password as %XX.",
            )
        self.name = f"postgresql://{found.get('host', '')}/{found.get('dbname', '')}"
        """The address as it may be shown."""
        self.options: dict[str, Any] = {name: value for name, value in _DEFAULTS.items() if name not in found}
        """How a connection is made where the address says nothing else."""
        self._secrets = [str(found[name]) for name in ("password", "sslpassword") if found.get(name)]

    def tell(self, error: BaseException) -> str:
        """What an error says, in one line, without passwords."""
        diagnosis = error.diag if isinstance(error, psycopg.Error) else None
        if diagnosis is not None and diagnosis.message_primary:
            problem = ": ".join(filter(None, (diagnosis.message_primary, diagnosis.message_detail)))
        else:
            problem = str(error)
        for secret in self._secrets:
            problem = problem.replace(secret, "***")
        return " ".join(problem.split()).rstrip(".?")


def _read(address: str) -> dict[str, Any] | None:
    """What the address says; None if it cannot be, or was not meant so: a password may be in the wrong place then."""
    try:
        found = conninfo_to_dict(address)
    except psycopg.Error:
        return None
    ports = str(found.get("port", "5432")).split(",")
    host, database = str(found.get("host", "")), str(found.get("dbname", ""))
    misplaced = ("@" in host and not host.startswith(("/", "@"))) or "@" in database
    return None if misplaced or not all(port.isdigit() for port in ports) else found
