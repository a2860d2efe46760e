"""Pull requests: a branch is pushed and a pull request opened for it, once, on GitHub or in a bare repository here."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, Field, ValidationError
from pydantic.json_schema import SkipJsonSchema

from signoff.checkpoints import digest_text
from signoff.error_base import TeamError
from signoff.tools.errors import ActionFailed, ForgeFailed, PullNotOpened, ToolError
from signoff.tools.git.push import Branch, Pushing, Refs
from signoff.tools.git.repository import Repository
from signoff.tools.web.http_waits import retry_after
from signoff.wording import as_block, as_code, make_visible

if TYPE_CHECKING:
    import httpx2

API: Final = "https://api.github.com"

Client = Callable[[], AbstractContextManager["httpx2.Client"]]
"""Makes a client that has the rights to open pull requests, such as `lambda: broker.client("open_pull_request")`."""

_REPOSITORY: Final = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_PAGES: Final = 10


class Head(BaseModel):
    """Where a pull request's branch is."""

    sha: str


class Pull(BaseModel):
    """A pull request that is there, as GitHub describes it."""

    number: int
    url: str = Field(validation_alias="html_url")
    state: str
    body: str | None
    head: Head | None = None


@dataclass(frozen=True)
class GitHub:
    """One repository on GitHub, or on a GitHub Enterprise server by its `api`: `https://HOST/api/v3`."""

    repository: str
    """`owner/name`."""
    client: Client
    api: str = API

    def __post_init__(self) -> None:
        if not _REPOSITORY.fullmatch(self.repository):
            raise TeamError(f"GitHub repository {self.repository!r}: write 'owner/name'.")

    def pulls(self, branch: str) -> list[Pull]:
        """The pull requests from a branch of this repository, open or not."""
        owner = self.repository.split("/")[0]
        found: list[Pull] = []
        for page in range(1, _PAGES + 1):
            asked = {"head": f"{owner}:{branch}", "state": "all", "per_page": 100, "page": page}
            answer = self._ask("GET", "/pulls", params=asked)
            if not isinstance(answer, list):
                raise ForgeFailed("GitHub", "it answered with something else than a list of pull requests", sure=True)
            found += [pull for pull in map(_pull, answer) if pull]
            if len(answer) < 100:
                break
        return found

    def check(self) -> None:
        """ForgeFailed unless the repository can be reached and pushed to."""
        answer = self._ask("GET", "")
        rights = answer.get("permissions") if isinstance(answer, Mapping) else None
        if isinstance(rights, Mapping) and not rights.get("push"):
            raise ForgeFailed("GitHub", f"the token may not push to {self.repository}", sure=True)

    def open(self, *, title: str, body: str, branch: str, base: str) -> Pull:
        """Open a pull request. ForgeFailed says whether it is sure that none was."""
        sent = {"title": title, "body": body, "head": branch, "base": base}
        pull = _pull(self._ask("POST", "/pulls", json=sent))
        if pull is None:
            raise ForgeFailed("GitHub", "it answered with something else than the pull request")
        return pull

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        import httpx2

        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        reading = method == "GET"
        try:
            with self.client() as client:
                url = f"{self.api.rstrip('/')}/repos/{self.repository}{path}"
                answer = client.request(method, url, headers=headers, follow_redirects=False, **options)
        except httpx2.HTTPError as error:
            sure = reading or isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            raise ForgeFailed("GitHub", f"{type(error).__name__}: {error}", sure=sure) from error
        status = answer.status_code
        if not 200 <= status < 300:
            # With 5xx it may have been opened all the same; with all else GitHub says why it was not.
            raise ForgeFailed("GitHub", _refusal(answer), sure=reading or status < 500, status=status)
        try:
            return answer.json()
        except ValueError as error:
            raise ForgeFailed("GitHub", "its answer is no JSON", sure=reading) from error


def _pull(told: Any) -> Pull | None:
    try:
        return Pull.model_validate(told)
    except ValidationError:
        return None


def _refusal(answer: httpx2.Response) -> str:
    """What GitHub says of a request that it refused."""
    try:
        body = answer.json()
        said = str(body.get("message", ""))
        said += "".join(f"; {error.get('message') or error.get('code')}" for error in body.get("errors") or ())
    except (ValueError, AttributeError, TypeError):
        said = answer.text
    status, limited = answer.status_code, answer.headers.get("x-ratelimit-remaining") == "0"
    hint = {
        401: "the token is missing or wrong: give it to the broker",
        403: "the token may not do this",
        404: "there is no such repository, or the token may not see it",
    }.get(status, "")
    if status == 429 or (status == 403 and (limited or "retry-after" in answer.headers)):
        wait = retry_after(answer.headers, time.time())
        hint = f"the rate limit is used up; try again {'later' if wait is None else f'in {wait:,.0f} seconds'}"
    return f"HTTP {status}, {said[:300]!r}{f': {hint}' if hint else ''}"


RECORDS: Final = "refs/signoff/pulls/"
"""Where a bare repository keeps its pull requests: a tag for each, which names the branches in its message."""


class PullRequest(Branch):
    """A branch that somebody is asked to merge."""

    title: str = Field(description="One line: what it changes", min_length=1, max_length=200, pattern=r"^[^\r\n]+$")
    body: str = Field(default="", description="Markdown: why, and how it was checked", max_length=30_000)
    base: str = Field(default="", description="Branch that it shall be merged into; empty for the default branch")
    repository: SkipJsonSchema[str] = ""
    """On GitHub: `owner/name`."""


class PullRequests(ABC):
    """The action that opens them, one under each key."""

    def __init__(self, pushing: Pushing, repository: str = "") -> None:
        self.pushing, self.repository = pushing, repository

    @abstractmethod
    def read_back(self, request: PullRequest, key: str) -> Mapping[str, Any] | None:
        """The one that was opened under this key."""

    @abstractmethod
    def _open(self, request: PullRequest, repository: Repository, key: str) -> Mapping[str, Any]:
        """Push the branch and open one. ActionFailed if nothing was pushed."""

    def call(self, request: PullRequest, key: str) -> Mapping[str, Any]:
        """Open it, unless it was opened under this key before."""
        try:
            opened = self.read_back(request, key)
        except ToolError as error:
            raise ActionFailed(self.pushing.action, f"{error} No pull request was opened.") from error
        if opened is not None:
            return opened
        if request.repository != self.repository:
            problem = f"it is for {request.repository!r}, and this is {self.repository!r}. Nothing was done."
            raise ActionFailed(self.pushing.action, problem)
        return self._open(request, self.pushing.check(request), key)

    def preview(self, request: PullRequest) -> str:
        """Its title and text, then what is pushed."""
        where = f" on {as_code(request.repository)}" if request.repository else ""
        into = as_code(request.base) if request.base else "the default branch"
        text = as_block(make_visible(request.body), "markdown") if request.body else "(no text)"
        head = f"Opens a pull request{where}, to be merged into {into}: **{as_code(request.title)}**"
        return f"{head}\n\n{text}\n\n{self.pushing.preview(request)}"

    def _look(self, request: PullRequest, repository: Repository) -> tuple[Refs, str]:
        """What the remote has, and its branch to merge into; ActionFailed if it has none or takes no such push."""
        found = self.pushing.check_remote(request, repository, request.base)
        base = request.base or found.default
        if not found.branch(base):
            raise ActionFailed(self.pushing.action, f"the remote has no branch {base!r}. No pull request was opened.")
        return found, base


class OnGitHub(PullRequests):
    """On GitHub: pushed by git, opened through the REST API, known again by a mark in its body."""

    def __init__(self, pushing: Pushing, github: GitHub) -> None:
        super().__init__(pushing, github.repository)
        self.github = github

    def read_back(self, request: PullRequest, key: str) -> Mapping[str, Any] | None:
        """By the mark, whether it is still open or not. One that is open has to be at the commit that was approved."""
        marked = (pull for pull in self.github.pulls(request.branch) if mark_of(key) in (pull.body or ""))
        same = (pull for pull in marked if pull.state != "open" or not pull.head or pull.head.sha == request.commit)
        return next((_result(request, pull) for pull in same), None)

    def _open(self, request: PullRequest, repository: Repository, key: str) -> Mapping[str, Any]:
        """What can stop it is looked for before the push; what stops it later is a PullNotOpened."""
        self._check(request)
        found, base = self._look(request, repository)
        self.pushing.push(request, repository, found)
        body = f"{request.body}\n\n{mark_of(key)}".lstrip()
        try:
            opened = self.github.open(title=request.title, body=body, branch=request.branch, base=base)
        except ForgeFailed as error:
            # 422 says that there is one, or something else: it is looked at, not believed.
            if error.status == 422 and (there := self.read_back(request, key)) is not None:
                return there
            raise PullNotOpened(request.branch, str(error)) from error
        return _result(request, opened)

    def _check(self, request: PullRequest) -> None:
        try:
            self.github.check()
            others = [pull for pull in self.github.pulls(request.branch) if pull.state == "open"]
        except ForgeFailed as error:
            raise ActionFailed(self.pushing.action, f"{error} No pull request was opened.") from error
        if others:
            problem = f"there is an open pull request from {request.branch!r} already: {others[0].url}."
            raise ActionFailed(self.pushing.action, f"{problem} Take another branch.")


class InBareRepository(PullRequests):
    """In a bare repository here: the branch and a record of the pull request are pushed together, or neither."""

    def read_back(self, request: PullRequest, key: str) -> Mapping[str, Any] | None:
        return self._recorded(request, key) if record_of(key) in self.pushing.remote.refs().ids else None

    def _open(self, request: PullRequest, repository: Repository, key: str) -> Mapping[str, Any]:
        """One push, which is atomic."""
        found, base = self._look(request, repository)
        about = f"Head: {request.branch}\nBase: {base}\nDiff-SHA256: {request.diff_sha256}\n"
        tag = (
            f"object {request.commit}\ntype commit\ntag {record_of(key).removeprefix('refs/')}\n"
            f"tagger signoff <agent@signoff.invalid> 0 +0000\n\n{request.title}\n\n{request.body}\n\n{about}"
        )
        made = repository.run("mktag", stdin=tag.encode()).strip()
        self.pushing.push(request, repository, found, {record_of(key): made})
        return self._recorded(request, key)

    def _recorded(self, request: PullRequest, key: str) -> Mapping[str, Any]:
        record = {"remote": request.remote, "branch": request.branch, "commit": request.commit}
        return {**record, "record": record_of(key)}


def mark_of(key: str) -> str:
    """What tells the pull request that an action opened, in its body: nobody can know it before."""
    return f"<!-- signoff:{digest_text(key)[:32]} -->"


def record_of(key: str) -> str:
    return RECORDS + digest_text(key)[:32]


def _result(request: PullRequest, pull: Pull) -> Mapping[str, Any]:
    opened = {"number": pull.number, "url": pull.url, "branch": request.branch, "commit": request.commit}
    return {**opened, "state": pull.state}
