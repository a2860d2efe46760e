"""What a hook is handed, and what counts as taken."""

import base64
import hashlib
import hmac
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from signoff.checkpoints.ledger.notifications.hooks import CommandHook, Notice, Webhook, configured_hooks
from signoff.errors import HookFailed, SettingsError
from signoff.settings import load_settings

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()


@dataclass
class Receiver:
    """A web server that remembers what was posted to it."""

    answers: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    """Status and headers of the first answers; 204 after them."""
    body: bytes = b""
    got: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    """Answers wait for it while `hangs`."""
    hangs: bool = False
    drips: bool = False
    """One header after the other, each in time."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=t0ken"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.got.append((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
            if found.hangs:
                found.hold.wait(30)
                return
            if found.drips:
                self.send_response(200)
                while not found.hold.wait(0.05):
                    self.flush_headers()
                    self.send_header("x", "y")
                return
            status, headers = found.answers.pop(0) if found.answers else (204, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(found.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.hold.set()
    server.shutdown()
    thread.join()
    server.server_close()


def notice(**body: object) -> Notice:
    text = json.dumps({"event": "pending", "goal": "für alle", **body}, ensure_ascii=False)
    return Notice("n-1", "hook", "pending", "r-1", text, "", "due", 1, "", "")


def verify(secret: bytes, headers: Mapping[str, str], body: bytes) -> bool:
    """The rule of the Standard Webhooks specification, written from its words."""
    signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    wanted = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    given = [part.partition(",") for part in headers["webhook-signature"].split()]
    return fresh and any(version == "v1" and hmac.compare_digest(mac, wanted) for version, _, mac in given)


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("secret", "key"), [(SECRET, b"a secret of thirty-two bytes ..."), ("plain text", b"plain text")]
)
def test_what_is_posted_is_signed_as_the_specification_says(receiver: Receiver, secret: str, key: bytes) -> None:
    Webhook(receiver.url, secret).send(notice())
    headers, body = lower(receiver.got[0][0]), receiver.got[0][1]
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == "n-1"
    assert json.loads(body)["goal"] == "für alle"
    assert verify(key, headers, body)
    assert not verify(key, headers, body + b" ")
    assert not verify(b"another", headers, body)


def test_without_a_secret_nothing_pretends_to_be_signed(receiver: Receiver) -> None:
    Webhook(receiver.url).send(notice())
    assert "webhook-signature" not in lower(receiver.got[0][0])


@pytest.mark.parametrize("status", [302, 307, 400, 401, 404, 429, 500, 503])
def test_every_other_answer_than_success_is_a_try_that_failed(receiver: Receiver, status: int) -> None:
    receiver.answers = [(status, {"location": receiver.url})]
    with pytest.raises(HookFailed, match=str(status)) as failed:
        Webhook(receiver.url).send(notice())
    assert not failed.value.final
    assert len(receiver.got) == 1  # a redirect is not followed


def test_a_receiver_that_is_gone_is_not_tried_again(receiver: Receiver) -> None:
    receiver.answers = [(410, {})]
    with pytest.raises(HookFailed) as failed:
        Webhook(receiver.url).send(notice())
    assert failed.value.final


def test_what_the_answer_holds_is_not_read(receiver: Receiver) -> None:
    receiver.answers = [(200, {"content-encoding": "gzip", "content-length": str(10**12)})]
    receiver.body = b"not gzip" * 100_000
    Webhook(receiver.url).send(notice())


def test_a_receiver_that_says_nothing_is_left_in_time(receiver: Receiver) -> None:
    receiver.hangs = True
    with pytest.raises(HookFailed, match=r"no answer within 0\.2 s"):
        Webhook(receiver.url, time_limit=0.2).send(notice())


def test_a_receiver_that_goes_on_and_on_is_left_in_time(receiver: Receiver) -> None:
    receiver.drips = True
    started = time.monotonic()
    with pytest.raises(HookFailed):
        Webhook(receiver.url, time_limit=0.5).send(notice())
    assert time.monotonic() - started < 5


def test_nobody_there_is_a_try_that_failed() -> None:
    with pytest.raises(HookFailed, match="ConnectError"):
        Webhook("http://127.0.0.1:9/").send(notice())


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x",
        "file:///etc/passwd",
        "example.org",
        "",
        "http://",
        "https://:8080/",
        "http://a:99999999/",
        "http://[::1",
        "http://a b/",
        "http://a\n/",
    ],
)
def test_an_address_that_names_no_web_server_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="webhook: "):
        Webhook(url)


@pytest.mark.parametrize("url", ["https://ann:pass3@example.org/", "https://ann@example.org/"])
def test_an_address_with_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Webhook(url)
    assert "pass3" not in str(refused.value)


def test_secrets_are_in_no_name_and_no_repr(receiver: Receiver) -> None:
    hook = Webhook(receiver.url, SECRET)
    assert "t0ken" not in hook.name
    assert SECRET not in repr(hook)
    assert "s3cret" not in CommandHook(("tell", "--token", "s3cret")).name
    assert hook.name != Webhook(receiver.url + "2").name


@pytest.mark.parametrize("secret", ["whsec_abc", "whsec_", "whsec_a b="])
def test_a_secret_that_is_cut_off_is_refused(secret: str) -> None:
    with pytest.raises(SettingsError, match="not base64"):
        Webhook("https://example.org/", secret)


READ = "import json, os, sys; print(json.dumps([json.load(sys.stdin), dict(os.environ)]), file=open('told', 'w'))"


def test_a_command_reads_the_notice_and_sees_none_of_our_secrets(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = {
        "SIGNOFF_API_KEY": "s3cret",
        "SIGNOFF_ENCRYPTION_KEY": "s3cret",
        "SIGNOFF_WEBHOOK_SECRET": "s3cret",
        "OPENAI_API_KEY": "s3cret",
        "SIGNOFF_DATABASE": "postgresql://u:s3cret@127.0.0.1/x",
        "SIGNOFF_WEBHOOKS": "https://example.org/s3cret",
    }
    for name, value in {**secret, "SIGNOFF_HOME": "kept", "PAGER_TOKEN": "the command's own"}.items():
        monkeypatch.setenv(name, value)
    CommandHook((sys.executable, "-c", READ)).send(notice(approval={"id": "a-1"}))
    body, seen = json.loads((home / "told").read_text())
    assert body["approval"] == {"id": "a-1"}
    assert {name: seen[name] for name in seen if name.startswith("SIGNOFF_")} == {
        "SIGNOFF_HOME": "kept",
        "SIGNOFF_EVENT": "pending",
        "SIGNOFF_NOTICE": "n-1",
        "SIGNOFF_RUN": "r-1",
        "SIGNOFF_APPROVAL": "a-1",
    }
    assert seen["PAGER_TOKEN"] == "the command's own"
    assert "s3cret" not in json.dumps(seen)


def test_a_command_that_fails_says_why() -> None:
    code = "import sys; sys.stderr.write('long story\\nno such room\\n'); sys.exit(3)"
    with pytest.raises(HookFailed, match=r"exit code 3: no such room$"):
        CommandHook((sys.executable, "-c", code)).send(notice())


def test_a_command_need_not_read_what_it_is_told() -> None:
    CommandHook((sys.executable, "-c", "")).send(notice(long="x" * 1_000_000))


def test_a_command_that_is_not_there_is_a_try_that_failed() -> None:
    with pytest.raises(HookFailed, match="cannot be started"):
        CommandHook(("./no-such-program",)).send(notice())


def test_a_command_that_hangs_is_ended_with_all_it_started(home: Path) -> None:
    (home / "child.py").write_text("import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)")
    (home / "hook.py").write_text(
        "import subprocess, sys; subprocess.run([sys.executable, 'child.py'], stderr=sys.stderr)"
    )
    started = time.monotonic()
    with pytest.raises(HookFailed, match="not finished within 2 s"):
        CommandHook((sys.executable, "hook.py"), time_limit=2).send(notice())
    assert time.monotonic() - started < 20
    wait_for(lambda: has_ended(int((home / "pid").read_text())))


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_hooks_come_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured_hooks(load_settings()) == ()
    monkeypatch.setenv("SIGNOFF_WEBHOOKS", "https://a.example/x, https://b.example/y")
    monkeypatch.setenv("SIGNOFF_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("SIGNOFF_HOOK_COMMAND", "tell 'the whole team'")
    monkeypatch.setenv("SIGNOFF_HOOK_EVENTS", "pending unknown")
    events = frozenset({"pending", "unknown"})
    assert configured_hooks(load_settings()) == (
        Webhook("https://a.example/x", SECRET, events),  # type: ignore[arg-type]  # mypy sees str
        Webhook("https://b.example/y", SECRET, events),  # type: ignore[arg-type]  # mypy sees str
        CommandHook(("tell", "the whole team"), events),  # type: ignore[arg-type]  # mypy sees str
    )
    monkeypatch.setenv("SIGNOFF_WEBHOOKS", '["https://a.example/x,y"]')
    assert configured_hooks(load_settings())[0].name == Webhook("https://a.example/x,y").name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SIGNOFF_WEBHOOKS", "example.org"),
        ("SIGNOFF_WEBHOOKS", "[not json"),
        ("SIGNOFF_HOOK_COMMAND", "tell 'the team"),
        ("SIGNOFF_HOOK_EVENTS", "pending, everything"),
    ],
)
def test_a_setting_that_makes_no_sense_is_said_at_once(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError):
        configured_hooks(load_settings())
