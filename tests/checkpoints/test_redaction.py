"""Secrets are told by their name, by their look, or because they are known; everything else stays as it is."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st

from signoff.checkpoints import redaction
from signoff.checkpoints.redaction import redact, redact_text, remember_secrets, remember_settings
from signoff.settings import load_settings

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA0Z3\nVS5JJcds3x\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
BY_LOOK = [
    PEM,
    PEM.replace("RSA ", "ENCRYPTED "),
    PEM[:60],  # cut off
    JWT,
    "sk-proj-Ab12Cd34Ef56Gh78Ij90",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
    "glpat-ABcd1234efGH5678ijKL",
    "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOHcbrzqgy",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe",
    "hf_AbCdEfGhIjKlMnOpQrStUvWx",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "Bearer mF_9.B5f-4.1JqM",
    "Basic " + base64.b64encode(b"ann:open sesame").decode(),
]
BY_NAME = [
    *("password", "passwd", "pwd", "secret", "token", "api_key", "apikey", "apiKey", "API-KEY", "X-Api-Key"),
    *("authorization", "Proxy-Authorization", "credential", "credentials", "private_key", "privateKey", "cookie"),
    *("Set-Cookie", "session", "session_id", "sessionToken", "client_secret", "accessToken", "refresh_token"),
    *("DB_PASSWORD", "PGPASSWORD", "userpassword", "aws_secret_access_key", "OPENAI_API_KEY", "encryption_key"),
    *("password1", "old.password", "smtp_pass", "webhook_secret"),
]
HARMLESS: dict[str, Any] = {
    "tokens": 120,
    "max_tokens": 4096,
    "token_count": 3,
    "prompt_tokens": 7,
    "usage": {"tokens": {"input": 5, "output": 6}},
    "token_limit": "high",
    "next_page_token": "page-2",
    "tokenizer": "bpe",
    "secretary": "Ann",
    "secretariat": "Geneva",
    "password": None,
    "has_password": True,
    "password_policy": "at least 12 characters",
    "secret_name": "prod/db",
    "token_type": "bearer",
    "sessions": ["Morning", "Afternoon"],
    "keys": ["a", "b"],
    "key": "value",
    "author": "Bob",
    "pass_rate": 0.9,
    "compass": "north",
    "args_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
}
PROSE = [
    "The tokens: 120 of them, max_tokens=5 and token_count: 7.",
    "Basic understanding of bearer bonds; basic: yes, Basic research.",
    "Her secretary keeps the session short. Session: Morning keynote.",
    "See https://example.com:8080/path?page=2 and mail ann@example.com.",
    "def login(password: str, token: str = None) -> bool:",
    "risk-assessment-of-the-harbour-2026 task-1234567890123456789",
    '{"password": null, "tokens": 120, "a": 1.10}',
    "a-3f81c2d4e5f6 p-0123456789abcdef",
]


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    """What one test makes known is not known to the next."""
    before = dict(redaction._known)
    yield
    redaction._known.clear()
    redaction._known.update(before)


@pytest.mark.parametrize("secret", BY_LOOK)
def test_a_secret_is_known_by_its_look_wherever_it_stands(secret: str) -> None:
    for text in (secret, f"use {secret} please", f'"{secret}"', f"({secret})", f"x={secret}", f"a\n{secret}\nb"):
        assert "[redacted]" in redact_text(text)
        assert secret.split()[-1] not in redact_text(text)
        assert secret.split()[-1] not in json.dumps(redact({"deep": [{"note": text}], text: 1}))


@pytest.mark.parametrize("name", BY_NAME)
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert redact({name: "hunter2"}) == {name: "[redacted]"}
    assert redact({"a": [{name: "hunter2"}]}) == {"a": [{name: "[redacted]"}]}
    for value in (["hunter2"], {"value": "hunter2"}, [["hunter2"]]):
        assert "hunter2" not in json.dumps(redact({name: value}))
    assert redact([{"name": name, "value": "hunter2"}]) == [{"name": name, "value": "[redacted]"}]
    assert redact([[name, "hunter2"]]) == [[name, "[redacted]"]]
    assert redact(["call", f"--{name}", "hunter2"]) == ["call", f"--{name}", "[redacted]"]


@pytest.mark.parametrize(
    "form",
    [
        '{{"{0}": "hunter2", "b": 1}}',
        '{{"outer": "{{\\"{0}\\": \\"hunter2\\"}}"}}',
        "{{'{0}': 'hunter2', 'b': 1}}",
        'log: {{\\"{0}\\": \\"hunter2\\"}}',
        "{0}=hunter2",
        "{0} = 'hunter2'",
        '{0}="hunter2 and \\"more\\""',
        "export {0}=hunter2; make",
        "https://example.com/x?a=1&{0}=hunter2&b=2",
        "call --{0} hunter2 --b",
        "call --{0}=hunter2",
        "Server=db;{0}=hunter2;Database=x",
    ],
)
@pytest.mark.parametrize("name", BY_NAME)
def test_a_secret_is_known_by_its_name_within_a_text(form: str, name: str) -> None:
    text = form.format(name)
    assert "hunter2" not in redact_text(text)
    assert "[redacted]" in redact_text(text)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("postgresql://ann:hunter2@db.example:5432/x", "postgresql://ann:[redacted]@db.example:5432/x"),
        ("https://ann:hun@ter2@example.com", "https://ann:[redacted]@example.com"),
        ("Authorization: Digest user=ann, x=hunter2\nHost: a", "Authorization: [redacted]\nHost: a"),
        ('curl -H "Cookie: a=hunter2; b=1" https://a', 'curl -H "Cookie: [redacted]" https://a'),
        ("API key: hunter2", "API key: [redacted]"),
        ("password: hunter2", "password: [redacted]"),
        ("password=hunter2, user=ann", "password=[redacted] user=ann"),
    ],
)
def test_only_the_secret_of_a_text_is_hidden(text: str, left: str) -> None:
    assert redact_text(text) == left


def test_what_only_looks_like_a_secret_stays() -> None:
    assert redact(HARMLESS) == HARMLESS
    for text in PROSE:
        assert redact_text(text) == text


def test_a_value_is_not_changed_in_its_place() -> None:
    value = {"a": {"password": "hunter2"}, "b": ["sk-proj-Ab12Cd34Ef56Gh78Ij90"]}
    before = json.dumps(value)
    redact(value)
    assert json.dumps(value) == before


def test_names_that_become_the_same_stay_apart() -> None:
    kept = redact({BY_LOOK[4]: 1, BY_LOOK[6]: 2})
    assert kept == {"[redacted]": 1, "[redacted] 2": 2}


def test_known_secrets_are_hidden_however_they_are_spelled() -> None:
    remember_secrets('open "sesame"/now', "short")
    texts = ['say open "sesame"/now!', "u=open%20%22sesame%22%2Fnow", json.dumps({"x": 'open "sesame"/now'})]
    assert [redact_text(text) for text in texts] == ["say [redacted]!", "u=[redacted]", '{"x": "[redacted]"}']
    assert redact_text("short") == "short"


def test_known_secrets_are_bounded_and_the_mark_itself_is_none() -> None:
    remember_secrets(*(f"secret number {number}" for number in range(1000)), "redacted", "[redacted]")
    assert len(redaction._known) <= 256
    assert redact_text("secret number 999 [redacted]") == "[redacted] [redacted]"


def test_the_secrets_of_the_settings_and_of_the_environment_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_API_KEY", "first of the keys")
    monkeypatch.setenv("OPENAI_API_KEY", "second of the keys")
    monkeypatch.setenv("SIGNOFF_ENCRYPTION_KEY", "third of the keys")
    monkeypatch.setenv("SIGNOFF_WEBHOOK_SECRET", "fourth of the keys")
    monkeypatch.setenv("SIGNOFF_DATABASE", "postgresql://ann:fifth%20key@db/x")
    monkeypatch.setenv("HARBOUR_PASSWORD", "sixth of the keys")
    remember_settings(load_settings())
    said = redact_text("first of the keys, second of the keys, third of the keys, fourth of the keys")
    assert said == "[redacted], [redacted], [redacted], [redacted]"
    assert redact_text("fifth key fifth%20key sixth of the keys") == "[redacted] [redacted] [redacted]"


# -- whatever comes

PIECES = st.sampled_from(
    [
        *BY_LOOK,
        *BY_NAME,
        *"=:;,&\"'\\{}[]@/ \n-._?<>%",
        "://",
        "eyJ",
        "sk-",
        "[redacted]",
        "--",
        "Bearer ",
        '\\"',
        "\ud800",
    ]
)
TEXTS = st.one_of(st.text(max_size=40), st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=14).map("".join))
JSONS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
@example("password=password=hunter2")
@example('password="')
@example("{password: hunter2}")
def test_redacting_a_text_again_changes_nothing(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once
    once.encode("utf-8")


@settings(max_examples=150, deadline=None)
@given(value=JSONS)
def test_redacting_a_value_again_changes_nothing(value: Any) -> None:
    once = redact(value)
    assert redact(once) == once
    json.dumps(once).encode("utf-8")


@settings(max_examples=150, deadline=None)
@given(
    around=st.tuples(st.text(max_size=20), st.text(max_size=20)),
    secret=st.sampled_from(BY_LOOK[3:14]),
    gap=st.sampled_from([" ", "\n", '"', "(", ",", "=", ":", "/", "'"]),
)
def test_a_planted_secret_is_never_left(around: tuple[str, str], secret: str, gap: str) -> None:
    text = f"{around[0]}{gap}{secret}{gap}{around[1]}"
    assert secret not in redact_text(text)
    for value in (text, [text], {"note": text}, {text: 1}, {"a": [{"b": text}]}, json.dumps({"a": text})):
        assert secret not in json.dumps(redact(value))


@settings(max_examples=150, deadline=None)
@given(value=JSONS, name=st.sampled_from(BY_NAME))
def test_a_secret_planted_under_its_name_is_never_left(value: Any, name: str) -> None:
    planted = {"some": value, "here": [{name: "a planted secret"}, {"x": {name: ["a planted secret"]}}]}
    assert "a planted secret" not in json.dumps(redact(planted))


def test_a_value_may_be_nested_as_deeply_as_it_likes() -> None:
    value: Any = {"password": "hunter2"}
    for _ in range(100_000):
        value = [value]
    inner = redact(value)
    while isinstance(inner, list):
        inner = inner[0]
    assert inner == {"password": "[redacted]"}
    assert redact_text("[" * 100_000) == "[" * 100_000


@pytest.mark.parametrize(
    "piece",
    [
        *("a", "A", "-", "=", "[", '{"a":', "://", "://a:", "://a:@", ":x", "eyJ", "_eyJaaaaaa.", "-sk-", "SG.aaaa"),
        *("-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "bearer ", "basic ", "password=", 'password="', "a key:"),
        *("password\\", '"password\\\\\\"', "--password ", "password ", "the tide rises. ", "password: [", "Cookie: "),
    ],
)
def test_a_megabyte_takes_a_moment_whatever_it_is(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    start = time.process_time()
    redact_text(text)
    assert time.process_time() - start < 5


def test_a_token_in_the_address_of_a_webhook_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://hooks.example.org/services-of-the-company/T00000000/XXab12cd34ef56gh78"
    monkeypatch.setenv("SIGNOFF_WEBHOOKS", address)
    remember_settings(load_settings())
    told = redact_text(f"SIGNOFF_WEBHOOKS={address}")
    assert "XXab12cd34ef56gh78" not in told
    assert redact_text("the services-of-the-company") == "the services-of-the-company"
