"""Signing in with an OpenID provider: the code flow with PKCE, whose ID token counts only if all of it fits.

What a sign-in needs between its beginning and its end is in a cookie of the browser that began it, nowhere else. The
provider says who somebody is; what they may do the ledger says, and whoever has no role there does not get in.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from signoff.desk.errors import SignInRefused
from signoff.error_base import MissingExtra, SettingsError
from signoff.settings import Settings
from signoff.tools.web import is_loopback

if TYPE_CHECKING:
    from jwt import PyJWK

_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""By which tokens may be signed: with a key that only the provider has; never `none`, nor with our own secret."""
_CLAIMS: Final = ("iss", "sub", "aud", "exp", "iat", "nonce")
_LEEWAY: Final = 30.0
"""Seconds that the provider's clock may be off."""
_TIMEOUT: Final = 10.0
_LARGEST: Final = 1_000_000
"""Bytes of an answer of the provider."""
_KEYS_AGAIN: Final = 60.0
"""Seconds between two looks at the provider's keys, however often an unknown one is named."""
_ADDRESSES: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True)
class Begun:
    """A sign-in that a browser has begun; kept in a cookie of it alone."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> Begun:
        """One that nobody can guess."""
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))

    @classmethod
    def read(cls, cookie: str) -> Begun:
        """What the cookie says; SignInRefused if it says nothing."""
        parts = cookie.split(".")
        if len(parts) != 3 or not all(len(part) > 30 for part in parts):
            raise SignInRefused("it was begun in another browser, or too long ago")
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.state}.{self.nonce}.{self.verifier}"


@dataclass(frozen=True)
class Provider:
    """An OpenID provider, and as whom this page is known there."""

    issuer: str
    client: str
    secret: str = ""
    """Empty: the page is a public client, which PKCE alone protects."""
    name: str = "email"
    """The claim that people are known by in the ledger."""
    required: Mapping[str, str] = field(default_factory=dict)
    """Claims that a token must have just so, such as the tenant of a provider that serves many."""
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def of(cls, settings: Settings) -> Provider | None:
        """That of the settings, None if there is none; SettingsError for what is no address, or not safe."""
        if not settings.oidc_issuer:
            return None
        try:
            import jwt  # noqa: F401
        except ImportError as error:
            raise MissingExtra("Signing in with a provider", "web") from error
        if not _is_safe(settings.oidc_issuer):
            raise SettingsError(
                "SIGNOFF_OIDC_ISSUER", f"{settings.oidc_issuer!r} is no https address", "Write what the provider says."
            )
        if not settings.oidc_client:
            raise SettingsError("SIGNOFF_OIDC_CLIENT", "is missing", "The provider gives an id to each of its clients.")
        required = dict(pair.split("=", 1) for pair in settings.oidc_require if "=" in pair)
        if len(required) != len(settings.oidc_require):
            raise SettingsError(
                "SIGNOFF_OIDC_REQUIRE", "is not CLAIM=VALUE", "Write it like tid=3f0c… or hd=example.org."
            )
        secret = settings.oidc_secret.get_secret_value()
        return cls(settings.oidc_issuer, settings.oidc_client, secret, settings.oidc_name, required)

    @property
    def host(self) -> str:
        """What people know it by."""
        return urlsplit(self.issuer).netloc

    def address(self, begun: Begun, back: str) -> str:
        """Where the browser goes to sign in, and comes back from to `back`."""
        challenge = urlsafe_b64encode(hashlib.sha256(begun.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self.client,
            "redirect_uri": back,
            "scope": "openid email profile",
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        address = self._told()["authorization_endpoint"]
        return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(query)}"

    def name_of(self, begun: Begun, answer: Mapping[str, str], back: str) -> str:
        """Who came back with this answer; SignInRefused for whatever does not fit."""
        if not secrets.compare_digest(answer.get("state", "").encode(), begun.state.encode()):
            raise SignInRefused("the answer is not one to this sign-in")
        if answer.get("iss", self.issuer) != self.issuer:
            raise SignInRefused("another provider answered")
        if error := answer.get("error", ""):
            raise SignInRefused(f"{self.host} says {error[:60]!r}")
        claims = self._claims(self._exchange(answer.get("code", ""), begun, back), begun)
        name = claims.get(self.name)
        if not isinstance(name, str) or not name.strip():
            raise SignInRefused(f"{self.host} does not tell {self.name!r}; SIGNOFF_OIDC_NAME names another claim")
        if self.name == "email" and claims.get("email_verified") not in (True, "true"):
            raise SignInRefused(f"{self.host} has not verified {name[:100]!r}; SIGNOFF_OIDC_NAME names another claim")
        return name

    def _exchange(self, code: str, begun: Begun, back: str) -> str:
        """The ID token for a code."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "client_id": self.client}
        form |= {"code_verifier": begun.verifier} | ({"client_secret": self.secret} if self.secret else {})
        found = self._asked("POST", self._told()["token_endpoint"], data=form).get("id_token")
        if not isinstance(found, str):
            raise SignInRefused(f"{self.host} gave no token for it")
        return found

    def _claims(self, token: str, begun: Begun) -> Mapping[str, Any]:
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in _ALGORITHMS:
                raise SignInRefused(f"its token is signed by {header.get('alg')!r:.20}, which is not safe")
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key(header),
                algorithms=list(_ALGORITHMS),
                audience=self.client,
                issuer=self.issuer,
                leeway=_LEEWAY,
                options={"require": list(_CLAIMS)},
            )
        except jwt.PyJWTError as error:
            raise SignInRefused(f"its token is not good: {error}"[:200]) from None
        if not secrets.compare_digest(str(claims["nonce"]).encode(), begun.nonce.encode()):
            raise SignInRefused("its token is of another sign-in")
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", "" if several else self.client) != self.client:
            raise SignInRefused("its token was given to another program")
        for claim, value in self.required.items():
            if claims.get(claim) != value:
                raise SignInRefused(f"its token has not {claim}={value}, which is asked for here")
        return claims

    def _key(self, header: Mapping[str, Any]) -> PyJWK:
        """The provider's key that a token says it is signed with; an unknown one is looked for once more."""
        for again in (False, True):
            keys = [key for key in self._keys(again=again) if header.get("kid") in (None, key.key_id)]
            if len(keys) == 1:
                return keys[0]
        raise SignInRefused("its token is signed with a key that the provider does not name")

    def _keys(self, *, again: bool) -> list[PyJWK]:
        from jwt import PyJWKSet
        from jwt.exceptions import PyJWKSetError

        address = self._told()["jwks_uri"]
        with self._lock:
            since = self.clock() - self._known.get("keys_at", float("-inf"))
            if "keys" not in self._known or (again and since > _KEYS_AGAIN):
                try:
                    found = PyJWKSet.from_dict(dict(self._asked("GET", address))).keys
                except PyJWKSetError as error:
                    raise SignInRefused(f"{self.host} names no keys: {error}") from None
                self._known.update(keys=found, keys_at=self.clock())
            keys: list[PyJWK] = self._known["keys"]
            return keys

    def _told(self) -> Mapping[str, str]:
        """What the provider says of itself; asked once."""
        with self._lock:
            if "told" not in self._known:
                told = self._asked("GET", f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
                if told.get("issuer") != self.issuer:
                    raise SignInRefused(
                        f"{self.host} says it is {told.get('issuer')!r:.100}; SIGNOFF_OIDC_ISSUER is wrong"
                    )
                if not all(_is_safe(str(told.get(name, ""))) for name in _ADDRESSES):
                    raise SignInRefused(f"{self.host} does not say where to sign in by https")
                self._known["told"] = told
            found: Mapping[str, str] = self._known["told"]
            return found

    def _asked(self, method: str, address: str, **given: Any) -> Mapping[str, Any]:
        import httpx2

        here = is_loopback(urlsplit(address).hostname or "")
        try:
            with httpx2.Client(timeout=_TIMEOUT, trust_env=not here) as client:
                answer = client.request(method, address, headers={"accept": "application/json"}, **given)
            found = answer.json() if len(answer.content) <= _LARGEST else None
        except (httpx2.HTTPError, ValueError) as error:
            raise SignInRefused(f"{self.host} cannot be asked ({type(error).__name__}: {error})"[:200]) from None
        if answer.status_code != 200 or not isinstance(found, dict):
            said = str(found.get("error", "")) if isinstance(found, dict) else ""
            raise SignInRefused(f"{self.host} answers {answer.status_code} {said[:60]}".rstrip())
        return found


def _is_safe(address: str) -> bool:
    """Whether nobody on the way reads what is said at this address."""
    parts = urlsplit(address)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    )
