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
from starlette.responses import RedirectResponse, Response

from signoff.checkpoints.ledger import OF_ALL_TENANTS, Ledger, Person
from signoff.desk.errors import NotThere, SignInRefused
from signoff.desk.web.oidc import Begun, Provider

_DAYS: Final = 0.5
"""How long a browser stays signed in."""
_MINUTES: Final = 10
"""How long a sign-in with the provider may take."""
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
    provider: Provider | None = None
    """That people can sign in with."""
    origin: str = ""
    """Where browsers reach the page, as they come back there from the provider."""

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

    def owner_by(self, key: str) -> Person | None:
        """Whose the link is. No token is good in one: who follows a link of somebody else would be taken for them."""
        if self.link_key and secrets.compare_digest(key.encode(), self.link_key.encode()):
            return Person(self.owner, frozenset({OF_ALL_TENANTS}), frozenset({OF_ALL_TENANTS}))
        return None

    def known_by(self, given: str) -> Person | None:
        """Whose the key of the link, or a token, is, as somebody types it."""
        return self.owner_by(given) or (self.ledger.people.holder(given, "token") if given else None)

    def go_out(self, request: Request) -> Response:
        """Send the browser to the provider."""
        begun, provider = Begun.new(), self._provider()
        response = RedirectResponse(provider.address(begun, self._back(request)), 303, {"cache-control": "no-store"})
        self._set(response, f"{self.cookie}-begun", str(begun), _MINUTES * 60)
        return response

    def come_back(self, request: Request) -> Person:
        """Who it is that the provider sends back; SignInRefused if nobody here knows them."""
        begun = Begun.read(request.cookies.get(f"{self.cookie}-begun", ""))
        name = self._provider().name_of(begun, request.query_params, self._back(request))
        with self.ledger.read() as connection:
            person = self.ledger.people.named(connection, name)
        if not person.roles:
            raise SignInRefused(f"nobody here knows {name[:100]!r}, who has no role (signoff people --give NAME=ROLE)")
        return person

    def _provider(self) -> Provider:
        if self.provider is None:
            raise NotThere
        return self.provider

    def _back(self, request: Request) -> str:
        return f"{self.origin}{request.scope.get('root_path', '')}/sign-in/provider/back"

    def begin(self, person: Person, response: Response) -> None:
        """Have this browser known from now on."""
        secret = self.ledger.people.give_key(person, "session", days=_DAYS, by=person.name)
        self._set(response, self.cookie, secret, int(_DAYS * 86_400))
        response.delete_cookie(f"{self.cookie}-begun", path="/", secure=self.is_secure, httponly=True, samesite="lax")

    def _set(self, response: Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(
            name, value, max_age=seconds, httponly=True, secure=self.is_secure, samesite="lax", path="/"
        )

    def end(self, request: Request, response: Response) -> None:
        """Forget this browser."""
        if secret := request.cookies.get(self.cookie, ""):
            self.ledger.people.take_keys(secret=secret, by="signing out")
        response.delete_cookie(self.cookie, path="/", secure=self.is_secure, httponly=True, samesite="lax")


def csrf_of(secret: str) -> str:
    """What the forms of a session carry: it follows from the cookie, and does not tell it."""
    return hmac.new(secret.encode(), b"signoff csrf", hashlib.sha256).hexdigest()
