"""`signoff secrets` shows everything about secrets but them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

FILE = """
[secrets.github]
env = "PLANTED"
[[secrets.github.rules]]
hosts = ["api.github.com"]
tools = ["open_pull_request"]
methods = ["GET", "POST"]
[[open]]
hosts = ["pypi.org"]
tools = ["sandbox"]
"""


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch) -> Path:
    path = Path("secrets.toml")
    path.write_text(FILE)
    path.chmod(0o600)
    monkeypatch.setenv("SIGNOFF_SECRETS", str(path))
    monkeypatch.setenv("PLANTED", "planted-4711")
    monkeypatch.setenv("COLUMNS", "200")
    return path


def test_secrets_are_shown_without_their_values(signoff: Any, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = signoff("secrets")
    assert said.code == 0, said.err
    for part in (
        "github",
        "PLANTED",
        "api.github.com",
        "open_pull_request",
        "GET, POST",
        "Bearer {secret}",
        "pypi.org",
    ):
        assert part in said.out
    assert "4711" not in said.out + said.err
    monkeypatch.setenv("PLANTED", "planted-4711")  # the broker has taken it away
    (secret,) = signoff("secrets", "--json").json["secrets"]
    assert (secret["name"], secret["available"]) == ("github", True)


def test_a_file_that_cannot_be_used_is_told_of(signoff: Any, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLANTED")
    said = signoff("secrets")
    assert (said.code, "the variable PLANTED is not set" in said.err) == (1, True)
    monkeypatch.delenv("SIGNOFF_SECRETS")
    assert "SIGNOFF_SECRETS: names no file" in signoff("secrets").err
