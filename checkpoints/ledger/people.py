"""People: who has which role, and by which keys they are known at a page.

Kept in the ledger, so that every desk and every gate asks the same list.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, delete, insert, select

from signoff.checkpoints import canonical
from signoff.checkpoints.canonical import canonical_json, digest_text, from_row, plain_text, read_json
from signoff.checkpoints.errors import BadName, Tampered
from signoff.checkpoints.ledger.approval import Person, clean_name
from signoff.checkpoints.ledger.audit_log import AuditLog
from signoff.checkpoints.ledger.run_path import begins
from signoff.checkpoints.ledger.schema import keys, people
from signoff.checkpoints.ledger.session import Transactions

Use = Literal["token", "session"]
"""token: given to somebody, who signs in with it or sends it along; session: of one browser."""
_DAY = 86_400.0
_CHECKED_ID = 12
"""Digits of a key's id by which people name it."""


@dataclass(frozen=True)
class Key:
    """What the ledger keeps of a secret by which a person is known: its digest, never itself."""

    id: str
    name: str
    use: Use
    made_at: str
    expires_at: str


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

    def give_key(self, person: Person, use: Use, *, days: float, by: str) -> str:
        """Make a key for somebody, and return its secret, which is kept nowhere; clears away what is over."""
        name, secret, roles = _checked("name", person.name), secrets.token_urlsafe(32), sorted(person.vouched)
        id_, now = _id_of(secret), canonical.now()
        row = {"name": name, "use": use, "made_at": now, "expires_at": canonical.later(days * _DAY)}
        with self._ledger.write() as connection:
            for (over,) in connection.execute(select(keys.c.id).where(keys.c.expires_at <= now)).all():
                self._take_key(connection, over, by="its time")
            connection.execute(insert(keys).values(id=id_, roles=canonical_json(roles), **row))
            self._audit.append(connection, "", "key", key=id_, roles=roles, change="given", by=by, **row)
        return secret

    def holder(self, secret: str, *uses: Use) -> Person | None:
        """Whose key this is, with the roles they have now; None if it is nobody's, or its time is over."""
        this = (keys.c.id == _id_of(secret)) & keys.c.use.in_(uses) & (keys.c.expires_at > canonical.now())
        with self._ledger.read() as connection:
            row = connection.execute(select(keys).where(this)).first()
            if row is None:
                return None
            vouched = frozenset(map(str, read_json(row.roles, list, f"Key {row.id:.12}")))
            return self.named(connection, Person(str(row.name), vouched))

    def known(self, person: Person) -> Person:
        """The same person, with the roles that they have in the ledger now, too."""
        with self._ledger.read() as connection:
            return self.named(connection, person)

    def known_keys(self, name: str = "") -> tuple[Key, ...]:
        """The keys there are, of one person or of all, oldest first."""
        query = select(keys).order_by(keys.c.made_at).where(keys.c.expires_at > canonical.now())
        query = query.where(keys.c.name == name) if name else query
        with self._ledger.read() as connection:
            return tuple(from_row(Key, row) for row in connection.execute(query))

    def take_keys(self, *, by: str, secret: str = "", name: str = "", id_: str = "") -> int:
        """Make one key worthless, by its secret or the beginning of its id, or all that a person has; how many."""
        if secret:
            these = keys.c.id == _id_of(secret)
        elif len(id_) >= _CHECKED_ID:
            these = begins(keys.c.id, id_)
        else:
            these = keys.c.name == _checked("name", name)
        with self._ledger.write() as connection:
            found = connection.execute(select(keys.c.id).where(these)).scalars().all()
            for key in found:
                self._take_key(connection, key, by=by)
        return len(found)

    def _take_key(self, connection: Connection, key: str, *, by: str) -> None:
        connection.execute(delete(keys).where(keys.c.id == key))
        self._audit.append(connection, "", "key", key=key, change="taken", by=by)

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


def _id_of(secret: str) -> str:
    return digest_text(plain_text(secret))


def _checked(what: str, text: str) -> str:
    kept = clean_name(text)
    if not kept:
        raise BadName(what, text)
    return kept
