"""Pushing over HTTP: the broker knows the password, and neither git nor this process does."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from signoff.errors import ActionFailed
from signoff.tools.action import Action
from signoff.tools.broker.broker import Broker
from signoff.tools.files.project import Project
from signoff.tools.git.tools import git_tools

SECRET = "plant+ed/Secret&4711"
PROGRAM = Path(subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip())

pytestmark = pytest.mark.skipif(
    not (PROGRAM / "git-http-backend").exists(), reason="needs git-http-backend, which this git comes without"
)


@dataclass
class Seen:
    """What the server was asked, and what for proof."""

    port: int = 0
    asked: list[tuple[str, str, str]] = field(default_factory=list)


@pytest.fixture
def site(remote: Path, serving: Any) -> Iterator[Seen]:
    """The remote behind git's own program for HTTP, for whoever has the password."""
    seen = Seen()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "")
            path, _, query = self.path.partition("?")
            seen.asked.append((self.command, path, given))
            if given != "Basic " + base64.b64encode(f"x-access-token:{SECRET}".encode()).decode():
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            done = subprocess.run(
                [PROGRAM / "git-http-backend"],
                input=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
                capture_output=True,
                check=True,
                env={
                    "PATH": os.environ["PATH"],
                    "GIT_PROJECT_ROOT": str(remote.parent),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "REMOTE_USER": "agent",
                    "REQUEST_METHOD": self.command,
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                },
            ).stdout
            head, _, body = done.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in {**fields, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as seen.port:
        yield seen


def test_the_broker_adds_the_password_to_what_git_sends(
    site: Seen, project: Project, committed: str, propose: Callable[..., Any], tmp_path: Path, remote: Path
) -> None:
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(
        f"""
        [secrets.forge]
        value = "{SECRET}"
        [[secrets.forge.rules]]
        hosts = ["127.0.0.1:{site.port}"]
        tools = ["push_branch"]
        methods = ["GET", "POST"]
        paths = ["/remote.git/*"]
        basic = "x-access-token:{{secret}}"
        scheme = "http"
        private = true
        """
    )
    secrets.chmod(0o600)
    address = f"http://127.0.0.1:{site.port}/remote.git"
    with Broker.start(secrets, home=tmp_path / "broker") as broker:
        tools = git_tools(project, remote=address, broker=broker)
        (action,) = (tool for tool in tools if isinstance(tool, Action))
        done = action.call(propose(action, branch="fix"), "key")
    assert done == {"remote": address, "branch": "fix", "commit": committed}
    shown = subprocess.run(["git", "rev-parse", "fix"], cwd=remote, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == committed
    assert all(given for _, _, given in site.asked)
    kept = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in path.read_bytes() for path in kept)


def test_without_the_broker_nothing_of_this_machine_answers_for_the_password(
    site: Seen, project: Project, committed: str, propose: Callable[..., Any], tmp_path: Path, monkeypatch: Any
) -> None:
    home = tmp_path / "user"
    home.mkdir()
    (home / ".netrc").write_text(f"machine 127.0.0.1 login x-access-token password {SECRET}\n")
    (home / ".git-credentials").write_text(f"http://x-access-token:{SECRET.replace('/', '%2F')}@127.0.0.1\n")
    (home / ".gitconfig").write_text("[credential]\n helper = store\n")
    monkeypatch.setenv("HOME", str(home))
    tools = git_tools(project, remote=f"http://127.0.0.1:{site.port}/remote.git")
    (action,) = (tool for tool in tools if isinstance(tool, Action))
    with pytest.raises(ActionFailed, match="Nothing was pushed"):
        action.call(propose(action, branch="fix"), "key")
    assert not any(given for _, _, given in site.asked)
