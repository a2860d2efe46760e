"""`signoff notify`: what cron or a watcher sends, and what became of it."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import warm
from sqlalchemy import text

from signoff import Ledger
from signoff.checkpoints.ledger.approval import Question

NOBODY = "http://127.0.0.1:9/"


@dataclass
class Receiver:
    """A web server that remembers what was posted to it."""

    url: str
    got: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """Of the first answers; 204 after them."""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(found.statuses.pop(0) if found.statuses else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Receiver(f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("SIGNOFF_WEBHOOKS", found.url)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def overdue(home: Path) -> None:
    """A question that nobody answered, asked by a program that tells nobody."""
    ask(home, 1)


def ask(home: Path, number: int) -> None:
    ledger = Ledger(home / ".signoff" / "signoff.db", hooks=())
    ledger.runs.begin("r-1", 1, team="t", goal="g")
    ledger.approvals.ask(Question(f"p-{number}", "r-1", "pay", {}, "due", "external", "clerk"), expires_in=60)
    with ledger.write() as connection:  # the time goes by
        connection.execute(text("UPDATE approvals SET expires_at = requested_at"))
    ledger.close()


def test_what_expired_is_closed_and_announced(signoff: Any, receiver: Receiver) -> None:
    said = signoff("notify")
    assert said.code == 0, said.err
    assert "Expired or escalated: 1." in said.out
    assert "expired" in said.out
    assert "sent" in said.out
    assert [(notice["event"], notice["approval"]["id"]) for notice in receiver.got] == [("expired", "a-1")]
    again = signoff("notify")
    assert (again.code, again.out) == (0, "Nothing to send.\n")


def test_the_result_can_be_had_as_json(signoff: Any, receiver: Receiver) -> None:
    said = signoff("notify", "--json")
    assert said.json["closed"] == 1
    assert said.json["due"] == 0
    (notice,) = said.json["notices"]
    assert (notice["status"], notice["tries"], notice["body"]["event"]) == ("sent", 1, "expired")
    assert signoff("notify", "--list", "--json").json == [notice]


def test_what_could_not_be_sent_is_said_and_tried_again_later(signoff: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_WEBHOOKS", NOBODY)
    monkeypatch.setenv("COLUMNS", "200")
    said = signoff("notify")
    assert said.code == 1
    assert "try 1 failed, next 20" in said.out
    assert "ConnectError" in said.out
    later = signoff("notify")
    assert (later.code, later.out) == (0, "Nothing to send now, 1 wait for another try.\n")
    assert "try 1 failed" in signoff("notify", "--list").out


def test_what_was_given_up_is_sent_again_on_demand(signoff: Any, receiver: Receiver) -> None:
    receiver.statuses = [410, 500]
    said = signoff("notify", "--json")
    assert said.code == 1
    (notice,) = said.json["notices"]
    assert notice["status"] == "given_up"
    assert "notify --retry" in signoff("notify", "--list").out
    assert signoff("notify", "--retry", notice["id"]).code == 1
    again = signoff("notify", "--retry", notice["id"], "--json")
    assert (again.code, again.json["status"], len(receiver.got)) == (0, "sent", 3)
    unknown = signoff("notify", "--retry", "n-x")
    assert (unknown.code, unknown.out) == (1, "")
    assert "No notice 'n-x'" in unknown.err


def test_a_notice_for_a_hook_that_is_not_set_here_stays_due(
    signoff: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.statuses = [500]
    (notice,) = signoff("notify", "--json").json["notices"]
    monkeypatch.delenv("SIGNOFF_WEBHOOKS")
    said = signoff("notify", "--retry", notice["id"])
    assert said.code == 1
    assert "is not set here" in said.out
    assert signoff("notify", "--list", "--json").json[0]["status"] == "due"


def test_without_hooks_what_expired_is_closed_all_the_same(signoff: Any) -> None:
    said = signoff("notify")
    assert said.code == 0
    assert said.out.startswith("Expired or escalated: 1.\nNobody is told: set SIGNOFF_WEBHOOKS")
    assert signoff("notify", "--list").out == "No notices yet.\n"


def test_a_wrong_setting_is_one_clear_line(signoff: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_WEBHOOKS", "example.org")
    said = signoff("notify")
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "not with http or https" in said.err


def test_a_watcher_sends_until_it_is_stopped(receiver: Receiver, home: Path) -> None:
    command = [sys.executable, "-m", "signoff", "notify", "--watch", "--every", "0.1", "--json"]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    with warm.start(command, stdout=subprocess.PIPE, text=True, env=environment) as watcher:
        assert watcher.stdout is not None
        first = json.loads(watcher.stdout.readline())
        ask(home, 2)
        second = json.loads(watcher.stdout.readline())
        watcher.send_signal(signal.SIGINT)
        rest = watcher.communicate(timeout=30)[0]
    assert (watcher.returncode, rest) == (0, "")
    assert [line["body"]["approval"]["id"] for line in (first, second)] == ["a-1", "a-2"]
    assert len(receiver.got) == 2


def test_a_run_goes_on_whatever_its_hooks_do(
    signoff: Any, documents: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_WEBHOOKS", NOBODY)
    monkeypatch.setenv("SIGNOFF_HOOK_COMMAND", "./no-such-program")
    asked = signoff("run", "report", "Why does the tide rise and fall?", "--sources", documents, "--json")
    assert asked.code == 3, asked.err
    done = signoff("approve", asked.json["approval"], "--json")
    assert (done.code, done.json["status"]) == (0, "done"), done.err
    signoff("notify")
    told = signoff("notify", "--list", "--json").json
    assert {(notice["event"], notice["status"]) for notice in told if notice["run_id"] != "r-1"} == {
        ("pending", "due"),
        ("decided", "due"),
    }
    assert all(notice["tries"] and notice["error"] for notice in told)
