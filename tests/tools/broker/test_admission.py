"""No address that is let in leads a server out of the paths that a rule names."""

from __future__ import annotations

from posixpath import normpath
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings, strategies as st

from signoff.tools.broker.admission import Admission, Denied, Target, read_target
from signoff.tools.broker.secrets_file import SecretsFile

PIECES = st.sampled_from(
    ["/", "..", ".", "a", "%2e", "%2E", "%2f", "%5c", "%252e", "\\", ";x", "//", "%00", "?", "#", "@", ":"]
)


def admission(**rule: Any) -> Admission:
    rule = {"hosts": ["api.example.org"], "tools": ["api"], **rule}
    return Admission(
        SecretsFile.model_validate({"secrets": {"main": {"value": "x" * 8, "rules": [rule]}}}), {"main": "x" * 8}
    )


@settings(deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
@example("/../b")
def test_no_path_leaves_what_is_allowed(tail: str) -> None:
    try:
        target = read_target(f"http://api.example.org/in/{tail}")
        admission(paths=["/in/*"]).admit("api", "GET", target, ())
    except Denied:
        return
    for read in (target.path, unquote(target.path), unquote(unquote(target.path))):
        assert normpath(read.replace("\\", "/").replace("//", "/")).startswith("/in")
    assert target.host == "api.example.org"


@pytest.mark.parametrize(
    ("hosts", "host", "port", "reached"),
    [
        ("api.example.org", "api.example.org", None, True),
        ("api.example.org", "api.example.org", 443, True),
        ("api.example.org", "api.example.org", 8443, False),
        ("api.example.org", "api.example.org.evil.example", None, False),
        ("api.example.org", "evil-api.example.org", None, False),
        ("*.example.org", "api.example.org", None, True),
        ("*.example.org", "a.b.example.org", None, True),
        ("*.example.org", "example.org", None, False),
        ("*.example.org", "evilexample.org", None, False),
        ("api.example.org:8443", "api.example.org", 8443, True),
        ("api.example.org:8443", "api.example.org", 443, False),
        ("[::1]:8443", "::1", 8443, True),
    ],
)
def test_a_host_is_the_one_that_is_named(hosts: str, host: str, port: int | None, reached: bool) -> None:
    rules = admission(hosts=[hosts])
    if reached:
        grant = rules.admit("api", "GET", Target(host, port, "/x"), ())
        assert grant.url.startswith("https://")
        assert grant.url.endswith(f":{port or 443}/x")
    else:
        with pytest.raises(Denied, match="may not reach"):
            rules.admit("api", "GET", Target(host, port), ())


def test_names_are_read_without_case_and_the_last_dot() -> None:
    assert read_target("http://API.Example.ORG./x").host == "api.example.org"


@pytest.mark.parametrize(
    "address", ["http://a b/", "http://ä.example/", "http://x/\\y", "//x/", "http:///x", "http://x:0x50/"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(Denied):
        read_target(address)


def test_a_rule_names_further_headers_that_are_handed_on() -> None:
    said = (
        ("X-Own", "1"),
        ("x_own", "2"),
        ("X-Other", "3"),
        ("X-Key", "mine"),
        ("Connection", "X-Gone"),
        ("X-Gone", "4"),
    )
    rules = admission(headers=["x-own", "X-Gone", "X-Key"], header="X-Key")
    grant = rules.admit("api", "GET", Target("api.example.org", None), said)
    assert grant.headers == (("X-Own", "1"), ("Accept-Encoding", "identity"), ("X-Key", "x" * 8))
