"""`signoff serve` at the command line, and tokens that people sign in with."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--host", "0.0.0.0"), "is not this machine alone"),
        (("--host", "::"), "is not this machine alone"),
        (("--address", "desk.example.org"), "is no address"),
        (("--address", "https://desk.example.org/inbox"), "is no address"),
        (("--address", "http://desk.example.org"), "is read by anybody on the way"),
        (("--address", "https://desk.example.org"), "nobody could sign in"),
        (("--host", "0.0.0.0", "--address", "https://desk.example.org"), "signoff people --token NAME"),
    ],
)
def test_it_is_not_served_where_somebody_could_get_in_whom_nobody_knows(
    home: Path, signoff: Any, words: tuple[str, ...], why: str
) -> None:
    said = signoff("serve", "--port", "0", *words)
    assert said.code == 1
    assert why in said.err
    assert len(said.err.splitlines()) == 1


def test_a_port_that_is_taken_is_told_in_one_line(home: Path, signoff: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = signoff("serve", "--port", taken.getsockname()[1])
    assert said.code == 1
    assert "cannot be used" in said.err


@pytest.mark.parametrize(
    ("package", "words", "extra"),
    [
        ("jinja2", (), "web"),
        ("starlette", (), "web"),
        ("uvicorn", (), "web"),
        ("uvicorn", ("--team", "shop.py:team", "--protocols"), "protocols"),
        ("uvicorn", ("--team", "shop.py:team", "--protocols", "--langgraph"), "server"),
    ],
)
def test_without_its_packages_it_says_which_extra_it_needs(
    home: Path, signoff: Any, monkeypatch: pytest.MonkeyPatch, package: str, words: tuple[str, ...], extra: str
) -> None:
    for name in [name for name in sys.modules if name.startswith("signoff.desk.web.")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    said = signoff("serve", "--port", "0", *words)
    assert said.code == 1
    assert "The page: needs a package that is not installed. Run:" in said.err
    assert f"[{extra}]" in said.err


def test_it_prints_a_link_that_signs_in_whoever_has_it_and_ends_with_ctrl_c(home: Path) -> None:
    command = [sys.executable, "-m", "signoff", "serve", "--port", "0"]
    env = {**os.environ, "SIGNOFF_USER": "ann"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as served:
        assert served.stdout is not None
        link = served.stdout.readline().strip()
        base = re.sub("/sign-in.*", "", link)
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/sign-in\?key=[\w-]{32}", link)
        with httpx.Client(base_url=base) as stranger:
            assert stranger.get("/").status_code == 401
            assert stranger.get("/sign-in", params={"key": "x" * 32}).status_code == 401
        with httpx.Client(base_url=base) as ann:
            entered = ann.get(link)
            assert entered.status_code == 303
            cookie = entered.headers["set-cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=lax" in cookie
            assert "Nothing waits for you." in ann.get("/").text
            assert ">ann<" in ann.get("/").text
            with ann.stream("GET", "/events") as stream:
                assert next(stream.iter_lines()).startswith("id: ")
                served.send_signal(signal.SIGINT)
        _, err = served.communicate(timeout=60)
    assert served.returncode == 0, err
    assert "Stopped. Runs are kept" in err


def test_a_token_is_printed_once_is_good_for_so_long_and_can_be_taken(home: Path, signoff: Any) -> None:
    said = signoff("people", "--token", "ann", "--days", "7", "--json")
    assert said.code == 0
    token = said.json["token"]
    assert "for 7 days" in said.err
    from signoff.checkpoints import configured_ledger
    from signoff.settings import load_settings

    ledger = configured_ledger(load_settings())
    found = ledger.people.holder(token, "token")
    assert found is not None
    assert found.name == "ann"
    assert ledger.people.holder(token, "session") is None
    assert signoff("people", "--take-tokens", "ann").code == 0
    assert ledger.people.holder(token, "token") is None
    assert ledger.audit.verify().ok


def test_behind_https_the_cookie_is_bound_to_the_host(desk: Any) -> None:
    from desk_pages import HOST
    from starlette.testclient import TestClient

    from signoff.checkpoints.ledger import Person
    from signoff.desk.web.application import build_app
    from signoff.desk.web.context import PageContext
    from signoff.desk.web.identity import Identity
    from signoff.settings import load_settings

    context = PageContext(load_settings(), desk.ledger, Identity(desk.ledger, is_secure=True))
    app = build_app(context, hosts=[HOST], origins=[f"https://{HOST}"])
    client = TestClient(app, base_url=f"https://{HOST}", follow_redirects=False)
    token = desk.ledger.people.give_key(Person("ann"), "token", days=1, by="root")
    said = client.post("/sign-in", data={"token": token}, headers={"origin": f"https://{HOST}"})
    assert re.match("__Host-signoff=.*; HttpOnly; .*Path=/; .*Secure", said.headers["set-cookie"])
