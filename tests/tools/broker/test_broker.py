"""The broker as a process: what it reads, what it leaves behind, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest

from signoff.errors import SettingsError
from signoff.settings import load_settings
from signoff.tools.broker.broker import Broker, open_broker

WriteSecrets = Callable[[str], Path]

RULE = """
[[secrets.main.rules]]
hosts = ["127.0.0.1:{port}"]
tools = ["api"]
scheme = "http"
private = true
"""
RUN = """
import os, sys
from signoff.tools.broker.broker import Broker
broker = Broker.start(sys.argv[1], home=sys.argv[2])
started_with = open("/proc/self/environ").read() if sys.platform == "linux" else ""
print(broker.address(), broker.pid, os.environ.get("PLANTED"), "variable-4711" in started_with, flush=True)
with broker.client("api") as client:
    print(client.get(sys.argv[3]).status_code, flush=True)
sys.stdin.read()
"""


@contextmanager
def run_of_its_own(secrets: Path, home: Path, url: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A program that starts a broker, and waits."""
    command = [sys.executable, "-c", RUN, str(secrets), str(home), url]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=os.environ | environment, stdin=pipe, stdout=pipe, text=True)
    try:
        with process:
            yield process
            process.kill()
    finally:
        process.kill()


def told(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


@pytest.mark.parametrize(
    "source",
    ['value = "value-4711"', 'env = "PLANTED"', 'file = "{file}"', 'command = ["{python}", "-c", "print(4711_4711)"]'],
)
def test_a_value_comes_from_where_the_file_says(
    write_secrets: WriteSecrets, site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    kept = tmp_path / "kept"
    kept.write_text("content-4711\n")
    kept.chmod(0o600)
    monkeypatch.setenv("PLANTED", "variable-4711")
    path = write_secrets(
        f"[secrets.main]\n{source.format(file=kept, python=sys.executable)}{RULE.format(port=site.port)}"
    )
    with Broker.start(path, home=tmp_path) as broker, broker.client("api") as client:
        client.get(f"{site.url}/x")
        assert "4711" not in repr(broker.listing).replace("4711_4711", "")
        assert ("PLANTED" in os.environ) == ("PLANTED" not in source)
    values = {"value-4711", "variable-4711", "content-4711", "47114711"}
    assert site.seen[0].headers["authorization"].removeprefix("Bearer ") in values


@pytest.mark.skipif(os.name != "posix", reason="files have no modes here")
def test_a_file_that_others_may_read_is_refused(write_secrets: WriteSecrets, tmp_path: Path) -> None:
    path = write_secrets("[secrets]")
    path.chmod(0o640)
    with pytest.raises(SettingsError, match=r"others may use .*mode 640.*chmod 600"):
        Broker.start(path, home=tmp_path)


def test_a_broker_that_was_killed_is_told_of_and_starts_again(
    write_secrets: WriteSecrets, site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = RULE.format(port=site.port)
    own = rule.replace("main", "own").replace("api", "own")
    monkeypatch.setenv("PLANTED", "variable-4711")
    path = write_secrets(f"[secrets.main]\nvalue = 'value-4711'\n{rule}\n[secrets.own]\nenv = 'PLANTED'\n{own}")
    with Broker.start(path, home=tmp_path) as broker, broker.client("api") as api, broker.client("own") as own_client:
        before, first, door = broker.proxy_for("api"), broker.pid, broker.door_for("api")

        def kill() -> None:
            site.arrived.wait(30)
            os.kill(first, signal.SIGKILL)

        killer = Thread(target=kill)
        killer.start()
        with pytest.raises(
            httpx2.ProxyError, match=r"ended during GET 127.0.0.1; whether the server did it is not known"
        ):
            api.get(f"{site.url}/slow")
        killer.join()
        assert api.get(f"{site.url}/x").status_code == 200
        assert site.seen[-1].headers["authorization"] == "Bearer value-4711"
        # Whoever was given the address before can still use it.
        assert (broker.proxy_for("api"), broker.door_for("api"), broker.pid != first) == (before, door, True)
        lost = own_client.get(f"{site.url}/x")
        assert (lost.status_code, "the variable PLANTED was given to a broker that ended" in lost.text) == (503, True)
        assert [one.available for one in broker.listing.secrets] == [True, False]


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_the_broker_ends_with_its_run(write_secrets: WriteSecrets, site: Any, tmp_path: Path, how: str) -> None:
    path = write_secrets(f"[secrets.main]\nenv = 'PLANTED'\n{RULE.format(port=site.port)}")
    with run_of_its_own(path, tmp_path, f"{site.url}/x", PLANTED="variable-4711") as process:
        address, _, variable, at_start = told(process)
        assert (variable, at_start, told(process)) == ("None", "False", ["200"])
        host, _, port = address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as wire:
            if how == "killed":
                process.kill()
            else:
                assert process.stdin is not None
                process.stdin.close()
            assert wire.recv(1) == b""  # it closes when the process ends
        process.wait()
    assert site.seen[0].headers["authorization"] == "Bearer variable-4711"


def test_two_runs_at_once_have_a_broker_each(write_secrets: WriteSecrets, site: Any, tmp_path: Path) -> None:
    path = write_secrets(f"[secrets.main]\nvalue = 'value-4711'\n{RULE.format(port=site.port)}")
    with Broker.start(path, home=tmp_path) as one, Broker.start(path, home=tmp_path) as other:
        assert one.address() != other.address()
        with httpx2.Client(proxy=one.proxy_for("api").replace(one.address()[17:], other.address()[17:])) as client:
            assert client.get(f"http://127.0.0.1:{site.port}/x").status_code == 407
        one.close()
        with other.client("api") as client:
            assert client.get(f"{site.url}/x").status_code == 200
    assert len(other.log.read_text().splitlines()) == 2


def test_the_runs_of_a_process_share_the_broker_of_the_settings(write_secrets: WriteSecrets) -> None:
    path = write_secrets("[secrets]")
    assert open_broker(load_settings()) is None
    first = open_broker(load_settings(secrets=path))
    assert first is not None
    assert open_broker(load_settings(secrets=path)) is first
    first.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc and all of 127.0.0.0/8")
def test_the_broker_listens_on_one_address_and_hides_its_environment(
    write_secrets: WriteSecrets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", "variable-4711")
    monkeypatch.setenv("OTHER_TOKEN", "token-4711")
    path = write_secrets(f"[secrets.main]\nenv = 'PLANTED'\n{RULE.format(port=1)}")
    with Broker.start(path, home=tmp_path) as broker:
        port = int(broker.address().rpartition(":")[2])
        for host in ("127.0.0.2", "127.0.0.1"):
            with socket.socket() as free:
                free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
                try:
                    free.bind((host, port))
                    taken = False
                except OSError:
                    taken = True
                assert taken == (host == "127.0.0.1")
        try:
            shown = Path(f"/proc/{broker.pid}/environ").read_text() + Path(f"/proc/{broker.pid}/cmdline").read_text()
        except PermissionError:
            shown = ""
        assert "4711" not in shown
        folder = broker.door_for("api")
        assert folder is not None
    assert not folder.parent.exists()


def test_only_variables_that_were_named_are_taken(
    write_secrets: WriteSecrets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", "variable-4711")
    monkeypatch.setenv("OTHER_TOKEN", "token-4711")
    path = write_secrets(f"[secrets.main]\nenv = 'PLANTED'\n{RULE.format(port=1)}")
    with Broker.start(path, home=tmp_path):
        assert ("PLANTED" in os.environ, os.environ["OTHER_TOKEN"]) == (False, "token-4711")
