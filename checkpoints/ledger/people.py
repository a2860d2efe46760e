"""People: who has which role. Kept in the ledger, so that every desk and every gate asks the same list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from signoff.checkpoints.errors import BadName, Tampered
from signoff.checkpoints.ledger.approval import Person, clean_name
from signoff.checkpoints.ledger.audit_log import AuditLog
from signoff.checkpoints.ledger.schema import people
from signoff.checkpoints.ledger.session import Transactions


class People:
    """The people table. Each change is in the audit log."""

    def __init__(self, ledger: Transactions, audit: AuditLog) -> None:
        self._ledger, self._audit = ledger, audit

    def give(self, name: str, role: str, *, by: str) -> bool:
        """Give a role to somebody; False if they had it."""
        name, role = _checked("name", name), _checked("role", role)
        with self._ledger.write() as connection:
            if role in self._roles(connection, name):
                return False
            connection.execute(insert(people).values(name=name, role=role))
            self._audit.append(connection, "", "people", name=name, role=role, change="given", by=by)
        return True

    def take(self, name: str, role: str, *, by: str) -> bool:
        """Take a role from somebody; False if they did not have it."""
        with self._ledger.write() as connection:
            gone = connection.execute(delete(people).where(people.c.name == name, people.c.role == role))
            if gone.rowcount:
                self._audit.append(connection, "", "people", name=name, role=role, change="taken", by=by)
        return gone.rowcount == 1

    def list(self) -> dict[str, frozenset[str]]:
        """Everybody with a role, by name."""
        with self._ledger.read() as connection:
            rows = connection.execute(select(people).order_by(people.c.name)).all()
        _check_texts(value for row in rows for value in row)
        return {row.name: frozenset(other.role for other in rows if other.name == row.name) for row in rows}

    def named(self, connection: Connection, who: str | Person) -> Person:
        """This person, with the roles that the ledger knows and those that somebody vouches for."""
        person = who if isinstance(who, Person) else Person(who)
        name = clean_name(person.name)
        return Person(name, person.roles | self._roles(connection, name), person.roles) if name else Person("")

    def _roles(self, connection: Connection, name: str) -> frozenset[str]:
        roles = connection.execute(select(people.c.role).where(people.c.name == name)).scalars().all()
        _check_texts(roles)
        return frozenset(roles)


def _check_texts(found: Iterable[Any]) -> None:
    for value in found:
        if not isinstance(value, str):
            raise Tampered("The list of people", f"there is {value!r:.60} in it")


def _checked(what: str, text: str) -> str:
    kept = clean_name(text)
    if not kept:
        raise BadName(what, text)
    return kept
