"""Signing in with an OpenID provider: who gets in, and every way in which nobody does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from desk_pages import HOST, ORIGIN, Office, text_of
from oidc_provider import CLIENT, SECRET, Claims, OpenIdProvider, provider_on_loopback
from starlette.testclient import TestClient

from signoff.desk.web import desk_app
from signoff.desk.web.application import build_app
from signoff.desk.web.identity import Identity
from signoff.desk.web.oidc import Provider
from signoff.errors import SettingsError
from signoff.settings import Settings, load_settings

ANN = "ann@example.org"


@pytest.fixture
def provider() -> Iterator[OpenIdProvider]:
    with provider_on_loopback() as found:
        yield found


def settings_for(provider: OpenIdProvider, **others: Any) -> Settings:
    named = {"oidc_issuer": provider.address, "oidc_client": CLIENT, "oidc_secret": SECRET}
    return load_settings(**{**named, **others})


class Stranger:
    """A browser that nobody knows yet."""

    def __init__(self, desk: Office, provider: OpenIdProvider, **others: Any) -> None:
        known = Provider.of(settings_for(provider, **others))
        self.context = replace(desk.context, identity=Identity(desk.ledger, provider=known, origin=ORIGIN))
        app = build_app(self.context, hosts=[HOST], origins=[ORIGIN])
        self.provider = provider
        self.client = TestClient(app, base_url=ORIGIN, follow_redirects=False, raise_server_exceptions=False)

    def go_out(self) -> str:
        said = self.client.get("/sign-in/provider")
        assert said.status_code == 303, text_of(said.text)
        return str(said.headers["location"])

    def enter(self) -> Any:
        return self.client.get(self.provider.authorize(self.go_out()))

    @property
    def is_in(self) -> bool:
        return self.client.get("/").status_code == 200


@pytest.fixture
def stranger(desk: Office, provider: OpenIdProvider) -> Stranger:
    desk.ledger.people.give(ANN, "finance", by="root")
    return Stranger(desk, provider)


def test_whom_the_provider_and_the_ledger_know_is_in_with_the_roles_of_the_ledger(
    desk: Office, stranger: Stranger
) -> None:
    assert "Sign in with 127.0.0.1" in text_of(stranger.client.get("/sign-in").text)
    said = stranger.enter()
    assert (said.status_code, said.headers["location"]) == (303, "/")
    assert stranger.is_in
    _, (asked,) = desk.asked("write bob", "two")
    assert f'href="/approvals/{asked.id}"' in stranger.client.get("/").text, "hers to decide: she has the role"
    assert ANN in stranger.client.get("/").text
    assert "signoff-begun" not in stranger.client.cookies
    desk.ledger.people.take_keys(name=ANN, by="root")
    assert not stranger.is_in


def test_what_the_provider_says_of_roles_gives_none(desk: Office, stranger: Stranger) -> None:
    stranger.provider.change = lambda claims: claims.update(roles=["admin"], groups=["admin"])
    stranger.enter()
    secret = stranger.client.cookies["signoff"]
    holder = desk.ledger.people.holder(secret, "session")
    assert holder is not None
    assert holder.roles == {"finance"}


def unsigned(_: OpenIdProvider, claims: Claims) -> str:
    return jwt.encode(claims, "", "none")


def signed_with_our_secret(provider: OpenIdProvider, claims: Claims) -> str:
    return jwt.encode(claims, SECRET, "HS256", headers={"kid": provider.kid})


def signed_with_the_public_key_as_a_secret(provider: OpenIdProvider, claims: Claims) -> str:
    kinds = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return jwt.encode(claims, provider.key.public_key().public_bytes(*kinds), "HS256", headers={"kid": provider.kid})


def signed_with_a_key_of_the_attackers(provider: OpenIdProvider, claims: Claims) -> str:
    return jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": provider.kid})


def signed_with_a_key_nobody_names(provider: OpenIdProvider, claims: Claims) -> str:
    return jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": "k2"})


def with_its_signature_cut_off(provider: OpenIdProvider, claims: Claims) -> str:
    whole = jwt.encode(claims, provider.key, "ES256", headers={"kid": provider.kid})
    return whole.rpartition(".")[0] + "."


@pytest.mark.parametrize(
    "sign",
    [
        unsigned,
        signed_with_our_secret,
        signed_with_the_public_key_as_a_secret,
        signed_with_a_key_of_the_attackers,
        signed_with_a_key_nobody_names,
        with_its_signature_cut_off,
        lambda _provider, _claims: "no token at all",
    ],
)
def test_a_token_that_the_provider_did_not_sign_lets_nobody_in(stranger: Stranger, sign: Any) -> None:
    stranger.provider.sign = sign
    said = stranger.enter()
    assert said.status_code == 403
    assert "You are not signed in" in text_of(said.text)
    assert not stranger.is_in


def without(name: str) -> Callable[[Claims], object]:
    return lambda claims: claims.pop(name)


def setting(**values: Any) -> Callable[[Claims], object]:
    return lambda claims: claims.update(values)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (setting(aud="another program"), "Audience"),
        (setting(aud=["another", "program"]), "Audience"),
        (setting(aud=[CLIENT, "another"]), "given to another program"),
        (setting(aud=[CLIENT, "another"], azp="another"), "given to another program"),
        (setting(azp="another"), "given to another program"),
        (setting(iss="https://evil.test"), "issuer"),
        (setting(exp=int(time.time()) - 3600), "expired"),
        (setting(iat=int(time.time()) + 3600), "iat"),
        (setting(nonce="of another sign-in"), "of another sign-in"),
        (without("nonce"), "nonce"),
        (without("exp"), "exp"),
        (without("aud"), "aud"),
        (without("sub"), "sub"),
        (setting(email_verified=False), "not verified"),
        (without("email_verified"), "not verified"),
        (without("email"), "SIGNOFF_OIDC_NAME"),
        (setting(email=["ann@example.org"]), "SIGNOFF_OIDC_NAME"),
        (setting(email="eve@example.org"), "who has no role"),
        (setting(email=ANN.upper()), "who has no role"),
    ],
)
def test_a_token_of_which_anything_does_not_fit_lets_nobody_in_and_it_is_told_why(
    stranger: Stranger, change: Any, why: str
) -> None:
    stranger.provider.change = change
    said = stranger.enter()
    assert said.status_code == 403
    assert why in text_of(said.text)
    assert not stranger.is_in


def test_of_a_provider_that_serves_many_only_those_of_ones_own_tenant_get_in(desk: Office, provider: Any) -> None:
    desk.ledger.people.give(ANN, "finance", by="root")
    ours = Stranger(desk, provider, oidc_require=("tid=ours",))
    for tenant in ("theirs", "", None):
        provider.change = setting(tid=tenant)
        said = ours.enter()
        assert said.status_code == 403
        assert "tid=ours" in text_of(said.text)
        assert not ours.is_in
    provider.change = setting(tid="ours")
    assert ours.enter().status_code == 303
    assert ours.is_in


def test_an_answer_is_good_once_and_only_in_the_browser_that_began(desk: Office, stranger: Stranger) -> None:
    back = stranger.provider.authorize(stranger.go_out())
    other = Stranger(desk, stranger.provider)
    assert "another browser" in text_of(other.client.get(back).text), "who is sent a link signs in as nobody else"
    other.go_out()
    assert "not one to this sign-in" in text_of(other.client.get(back).text)
    assert not other.is_in
    assert stranger.client.get(back).status_code == 303
    assert "another browser" in text_of(stranger.client.get(back).text), "the cookie of the beginning is gone"
    assert not other.is_in


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "not one to this sign-in"),
        ("?state={state}", "answers 400 invalid_grant"),
        ("?state={state}&code=guessed", "answers 400 invalid_grant"),
        ("?state={state}&error=access_denied&code=x", "says 'access_denied'"),
        ("?state={state}x&code=code-0", "not one to this sign-in"),
        ("?state={state}&code=code-0&iss=https%3A%2F%2Fevil.test", "another provider"),
    ],
)
def test_an_answer_that_is_none_lets_nobody_in(stranger: Stranger, answer: str, why: str) -> None:
    stranger.provider.authorize(stranger.go_out())
    state = stranger.client.cookies["signoff-begun"].partition(".")[0]
    said = stranger.client.get(f"/sign-in/provider/back{answer.format(state=state)}")
    assert said.status_code == 403
    assert why in text_of(said.text)
    assert not stranger.is_in


@pytest.mark.parametrize(
    "told",
    [
        {"issuer": "https://evil.test"},
        {"token_endpoint": "http://evil.test/token"},
        {"jwks_uri": ""},
        {"authorization_endpoint": None},
    ],
)
def test_a_provider_that_says_it_is_another_or_is_not_safe_is_not_asked(stranger: Stranger, told: Any) -> None:
    stranger.provider.told = told
    said = stranger.client.get("/sign-in/provider")
    assert said.status_code == 403
    assert "You are not signed in" in text_of(said.text)


def test_a_provider_that_is_away_is_told_of_and_tokens_still_let_people_in(desk: Office) -> None:
    with provider_on_loopback() as gone:
        pass
    said = Stranger(desk, gone).client.get("/sign-in/provider")
    assert said.status_code == 403
    assert "cannot be asked" in text_of(said.text)
    assert desk.visit("ann").get("/").status_code == 200


def test_new_keys_of_the_provider_are_looked_for_but_not_at_every_forgery(desk: Office, provider: Any) -> None:
    desk.ledger.people.give(ANN, "finance", by="root")
    now = [0.0]
    visitor = Stranger(desk, provider)
    identity = visitor.context.identity
    known = replace(identity.provider, clock=lambda: now[0])  # type: ignore[type-var]  # it has one
    app = build_app(
        replace(visitor.context, identity=replace(identity, provider=known)), hosts=[HOST], origins=[ORIGIN]
    )
    visitor.client = TestClient(app, base_url=ORIGIN, follow_redirects=False)
    assert visitor.enter().status_code == 303
    provider.kid, provider.key = "k2", ec.generate_private_key(ec.SECP256R1())
    for _ in range(3):
        assert visitor.enter().status_code == 403
    assert provider.asked.count("/keys") == 1
    now[0] = 61.0
    assert visitor.enter().status_code == 303
    assert provider.asked.count("/keys") == 2


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"oidc_issuer": "http://id.example.org"}, "SIGNOFF_OIDC_ISSUER"),
        ({"oidc_issuer": "id.example.org"}, "SIGNOFF_OIDC_ISSUER"),
        ({"oidc_client": ""}, "SIGNOFF_OIDC_CLIENT"),
        ({"oidc_require": ("tid",)}, "SIGNOFF_OIDC_REQUIRE"),
    ],
)
def test_settings_that_cannot_be_are_told_when_the_page_is_served(
    home: Path, provider: OpenIdProvider, changed: dict[str, Any], why: str
) -> None:
    with pytest.raises(SettingsError, match=why):
        desk_app("https://desk.example.org", settings=settings_for(provider, **changed))


def test_with_a_provider_the_page_is_served_without_any_token(
    home: Path, signoff: Any, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    import uvicorn

    monkeypatch.setenv("SIGNOFF_OIDC_ISSUER", provider.address)
    assert "SIGNOFF_OIDC_CLIENT" in signoff("serve", "--address", "https://desk.example.org").err
    monkeypatch.setenv("SIGNOFF_OIDC_CLIENT", CLIENT)
    monkeypatch.setattr(uvicorn.Server, "run", lambda _server, sockets: sockets[0].close())
    said = signoff("serve", "--port", "0", "--address", "https://desk.example.org")
    assert said.code == 0
    assert f"at {provider.address.removeprefix('http://')}, or with a token" in said.err
