"""What a tool asks for with http goes on as https, to servers whose certificate is good."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from signoff.tools.broker.broker import Broker

SECRET = "planted-4711"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"yes" if self.headers["Authorization"] == f"Bearer {SECRET}" else b"no")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost with its key, signed by itself."""
    x509 = pytest.importorskip("cryptography.x509", reason="cryptography makes the certificate")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "localhost.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(pem) + private)
    return path


@pytest.fixture
def port(certificate: Path, serving: Any) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server) as port:
        yield port


@pytest.mark.parametrize(
    ("host", "is_trusted", "expected"),
    [
        ("localhost", True, (200, "yes")),
        ("localhost", False, (502, "localhost has no certificate that can be trusted")),
        ("127.0.0.1", True, (502, "127.0.0.1 has no certificate that can be trusted")),
    ],
)
def test_a_secret_is_sent_to_whom_the_certificate_is_for(
    write_secrets: Callable[[str], Path],
    certificate: Path,
    port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    is_trusted: bool,
    expected: tuple[int, str],
) -> None:
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    path = write_secrets(
        f"[secrets.main]\nvalue = '{SECRET}'\n[[secrets.main.rules]]\nhosts = ['{host}:{port}']\ntools = ['api']\n"
        "private = true"
    )
    with Broker.start(path, home=tmp_path) as broker, broker.client("api") as client:
        answer = client.get(f"https://{host}:{port}/x")
    assert (
        answer.status_code,
        answer.text.removeprefix("Refused by the broker: ").rstrip(".\n"),
    ) == expected
