"""An OpenID provider on loopback, which gives out tokens as a test wants them: good ones, and such as an attacker's."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

CLIENT, SECRET = "the-desk", "a secret that only the desk and the provider have"
Claims = dict[str, Any]


@dataclass
class OpenIdProvider:
    """What it says, and to whom it gave which code."""

    address: str
    key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    kid: str = "k1"
    person: Claims = field(default_factory=lambda: {"sub": "7", "email": "ann@example.org", "email_verified": True})
    change: Callable[[Claims], object] = lambda _claims: None
    """Spoils the claims of a token."""
    sign: Callable[[OpenIdProvider, Claims], str] | None = None
    """Signs otherwise than it should."""
    told: Claims = field(default_factory=dict)
    """What it says of itself otherwise than it is."""
    codes: dict[str, Claims] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def metadata(self) -> Claims:
        names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        places = {name: f"{self.address}/{path}" for name, path in names.items()}
        return {"issuer": self.address, **places, **self.told}

    def keys(self) -> Claims:
        public = json.loads(ECAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**public, "kid": self.kid, "use": "sig", "alg": "ES256"}]}

    def authorize(self, address: str) -> str:
        """Where a browser that was sent here is sent back to: somebody has signed in."""
        query = dict(parse_qsl(urlsplit(address).query))
        assert query["response_type"] == "code"
        assert "openid" in query["scope"].split()
        assert query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256"
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, form: Claims) -> tuple[int, Claims]:
        """Each code is good once, with the verifier of whoever began."""
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        fits = asked is not None and asked["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or not fits or form.get("redirect_uri") != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET):
            return 401, {"error": "invalid_client"}
        now = int(time.time())
        claims = {"iss": self.address, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims |= self.person
        self.change(claims)
        headers = {"kid": self.kid}
        made = self.sign(self, claims) if self.sign else jwt.encode(claims, self.key, "ES256", headers=headers)
        return 200, {"id_token": made, "access_token": "x", "token_type": "Bearer"}


@contextmanager
def provider_on_loopback() -> Iterator[OpenIdProvider]:
    """One at an address of its own, until the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.asked.append(self.path)
            gives = {"/.well-known/openid-configuration": provider.metadata, "/keys": provider.keys}
            self.answer(200, gives[self.path]()) if self.path in gives else self.answer(404, {})

        def do_POST(self) -> None:
            provider.asked.append(self.path)
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self.answer(*provider.token(dict(parse_qsl(body))))

        def answer(self, status: int, said: Claims) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = OpenIdProvider(f"http://127.0.0.1:{server.server_port}")
    serving = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    serving.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
