"""The address of a PostgreSQL database, of which errors never tell the password."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from signoff.errors import SettingsError

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
