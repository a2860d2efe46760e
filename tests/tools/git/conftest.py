"""A project that is a git repository, a bare remote of it, its tools, and a server that acts like GitHub."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from signoff.tools.action import Action
from signoff.tools.files.project import Project
from signoff.tools.git.pull_requests import GitHub
from signoff.tools.git.tools import git_tools
from signoff.tools.tool import Tool


def git(folder: Path, *arguments: str) -> str:
    """As a person would call it."""
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The project: a repository with one commit, which its remote has as well."""
    place = tmp_path / "tin"
    place.mkdir()
    git(place, "init", "-q")
    (place / "README.md").write_text("# Tin\n")
    (place / ".gitignore").write_text("build/\n*.log\n")
    (place / "run.sh").write_text("#!/bin/sh\n")
    (place / "run.sh").chmod(0o755)
    (place / "link").symlink_to("README.md")
    (place / ".env").write_text("TOKEN=planted\n")
    git(place, "add", "-f", ".")
    git(place, "commit", "-qm", "first")
    git(tmp_path, "clone", "-q", "--bare", str(place), "remote.git")
    git(place, "remote", "add", "origin", str(tmp_path / "remote.git"))
    return place


@pytest.fixture
def remote(folder: Path, tmp_path: Path) -> Path:
    """The bare repository."""
    return tmp_path / "remote.git"


@pytest.fixture
def tools(project: Project) -> tuple[Tool | Action[Any], ...]:
    """What `use` calls."""
    return git_tools(project)


@pytest.fixture
def committed(project: Project, use: Callable[..., str]) -> str:
    """A branch `fix` with one commit of the agent's; the commit."""
    copy = project.copy()
    (copy.workspace / "tin/README.md").write_text("# Tin\n\nOpens by itself.\n")
    use("git_branch", name="fix")
    return use("git_commit", message="Open by itself").split()[1]


@dataclass
class Forge:
    """What the server that acts like GitHub has, and what goes wrong with it."""

    remote: Path
    pulls: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    fault: Callable[[str, str], tuple[int, dict[str, str], Any] | str | None] = lambda method, path: None
    """Looked at before a request is answered: an answer instead, or `drop` to do it and hang up, or `hang up`."""
    port: int = 0

    def github(self) -> GitHub:
        import httpx2

        return GitHub("ann/tin", lambda: httpx2.Client(trust_env=False, timeout=10), f"http://127.0.0.1:{self.port}")

    def open(self, sent: dict[str, Any]) -> tuple[int, Any]:
        """As GitHub does it: one open pull request for each branch, which must be there."""
        heads = git(self.remote, "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads")
        ids = dict(line.split() for line in heads.splitlines())
        invalid = {"message": "Validation Failed", "errors": [{"message": "invalid head or base"}]}
        if sent["head"] not in ids or sent["base"] not in ids:
            return 422, invalid
        if any(pull["head"]["ref"] == sent["head"] and pull["state"] == "open" for pull in self.pulls):
            return 422, {**invalid, "errors": [{"message": f"A pull request already exists for ann:{sent['head']}."}]}
        number = len(self.pulls) + 1
        made = {
            "number": number,
            "html_url": f"https://github.example/ann/tin/pull/{number}",
            "state": "open",
            "title": sent["title"],
            "body": sent["body"],
            "head": {"ref": sent["head"], "sha": ids[sent["head"]]},
            "base": {"ref": sent["base"]},
        }
        self.pulls.append(made)
        return 201, made


@pytest.fixture
def forge(remote: Path, serving: Any) -> Iterator[Forge]:
    """A loopback server that acts like GitHub's REST API."""
    kept = Forge(remote)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer({})

        def do_POST(self) -> None:
            self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def answer(self, sent: dict[str, Any]) -> None:
            parts = urlsplit(self.path)
            kept.asked.append(f"{self.command} {parts.path}")
            wrong = kept.fault(self.command, parts.path)
            if wrong == "hang up":
                self.close_connection = True
                return
            status: int = 404
            body: Any = {"message": "Not Found"}
            headers: dict[str, str] = {}
            if isinstance(wrong, tuple):
                status, headers, body = wrong
            elif parts.path == "/repos/ann/tin":
                status, body = 200, {"full_name": "ann/tin", "permissions": {"push": True}}
            elif parts.path == "/repos/ann/tin/pulls" and self.command == "POST":
                status, body = kept.open(sent)
            elif parts.path == "/repos/ann/tin/pulls":
                head = parse_qs(parts.query)["head"][0].removeprefix("ann:")
                status, body = 200, [pull for pull in kept.pulls if pull["head"]["ref"] == head]
            if wrong == "drop":
                self.close_connection = True
                return
            raw = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(raw))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as kept.port:
        yield kept


def actions_of(project: Project, remote: Path, **options: Any) -> dict[str, Action[Any]]:
    """The actions by name."""
    tools = git_tools(project, remote=str(remote), **options)
    return {tool.name: tool for tool in tools if isinstance(tool, Action)}


@pytest.fixture
def actions(project: Project, remote: Path) -> Callable[..., dict[str, Action[Any]]]:
    """Makes the actions, with options of git_tools."""
    return lambda **options: actions_of(project, remote, **options)


@pytest.fixture
def as_person() -> Callable[..., str]:
    """Calls git in a folder, as a person would."""
    return git


@pytest.fixture
def hook(remote: Path) -> Callable[[str, str], None]:
    """Lets the remote run a shell script at a moment of a push, such as `pre-receive`."""

    def write(name: str, script: str) -> None:
        place = remote / "hooks" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"#!/bin/sh\n{script}\n")
        place.chmod(0o755)

    return write


def arguments_of(action: Action[Any], **given: Any) -> Any:
    """What a model gives, as it is kept and given to the action."""
    proposal = action.propose(action.arguments.model_validate(given))
    arguments = action.arguments.model_validate(json.loads(json.dumps(proposal.args)))
    assert arguments.model_dump(mode="json") == proposal.args
    return arguments


@pytest.fixture
def propose() -> Callable[..., Any]:
    """Makes arguments of what a model gives."""
    return arguments_of
