"""Who is at the page: whoever opened the link that `signoff serve` printed, or signs in with a token of their own.

A browser is known by a cookie, the secret of a session in the ledger; the roles are those that the ledger knows now.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from signoff.checkpoints.ledger import Ledger, Person

_DAYS: Final = 0.5
"""How long a browser stays signed in."""
_BEARER: Final = "bearer "


@dataclass(frozen=True)
class Visitor:
    """Somebody at the page."""

    person: Person
    csrf: str
    """What their forms carry, so that no other page can send them; empty for a program, which has no cookie."""


@dataclass(frozen=True)
class Identity:
    """Recognises whoever asks."""

    ledger: Ledger
    owner: str = ""
    """Whose the page is on their own machine; empty: everybody signs in."""
    is_secure: bool = False
    """Whether browsers reach it by https alone."""
    link_key: str = ""
    """What the link that was printed carries."""

    @classmethod
    def of_owner(cls, ledger: Ledger, owner: str) -> Identity:
        """For one person on their own machine: whoever has the link that is printed."""
        return cls(ledger, owner, link_key=secrets.token_urlsafe(24))

    @property
    def cookie(self) -> str:
        """Its name; the prefix has browsers refuse it from anybody but this host."""
        return "__Host-signoff" if self.is_secure else "signoff"

    def visitor(self, request: Request) -> Visitor | None:
        """Who asks; None if nobody knows."""
        given = request.headers.get("authorization", "")
        if given[: len(_BEARER)].lower() == _BEARER:
            person = self.ledger.people.holder(given[len(_BEARER) :].strip(), "token")
            return Visitor(person, "") if person is not None else None
        secret = request.cookies.get(self.cookie, "")
        person = self.ledger.people.holder(secret, "session") if secret else None
        return Visitor(person, csrf_of(secret)) if person is not None else None

    def known_by(self, given: str) -> Person | None:
        """Whose the key of the link, or a token, is."""
        if self.link_key and secrets.compare_digest(given.encode(), self.link_key.encode()):
            return Person(self.owner)
        return self.ledger.people.holder(given, "token") if given else None

    def begin(self, person: Person, response: Response) -> None:
        """Have this browser known from now on."""
        secret = self.ledger.people.give_key(person, "session", days=_DAYS, by=person.name)
        response.set_cookie(
            self.cookie,
            secret,
            max_age=int(_DAYS * 86_400),
            httponly=True,
            secure=self.is_secure,
            samesite="lax",
            path="/",
        )

    def end(self, request: Request, response: Response) -> None:
        """Forget this browser."""
        if secret := request.cookies.get(self.cookie, ""):
            self.ledger.people.take_keys(secret=secret, by="signing out")
        response.delete_cookie(self.cookie, path="/", secure=self.is_secure, httponly=True, samesite="lax")


def csrf_of(secret: str) -> str:
    """What the forms of a session carry: it follows from the cookie, and does not tell it."""
    return hmac.new(secret.encode(), b"signoff csrf", hashlib.sha256).hexdigest()
