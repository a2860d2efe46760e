"""Pull requests on GitHub, through its REST API."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from signoff.errors import ForgeFailed, TeamError

if TYPE_CHECKING:
    import httpx2

API: Final = "https://api.github.com"

Client = Callable[[], AbstractContextManager["httpx2.Client"]]
"""Makes a client that has the rights to open pull requests, such as `lambda: broker.client("open_pull_request")`."""

_REPOSITORY: Final = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_PAGES: Final = 10


@dataclass(frozen=True)
class Pull:
    """A pull request that is there."""

    number: int
    url: str
    state: str
    title: str
    body: str
    head: str
    """The commit it is at."""


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
        if not 200 <= answer.status_code < 300:
            # With 5xx it may have been opened all the same; with all else GitHub says why it was not.
            raise ForgeFailed(
                "GitHub", _told(answer), sure=reading or answer.status_code < 500, status=answer.status_code
            )
        try:
            return answer.json()
        except ValueError as error:
            raise ForgeFailed("GitHub", "its answer is no JSON", sure=reading) from error


def _pull(told: Any) -> Pull | None:
    try:
        return Pull(
            int(told["number"]),
            str(told["html_url"]),
            str(told["state"]),
            str(told["title"]),
            str(told["body"] or ""),
            str(told["head"]["sha"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _told(answer: httpx2.Response) -> str:
    """What GitHub says of a request that it refused."""
    said = ""
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
        wait = answer.headers.get("retry-after")
        hint = f"the rate limit is used up; try again {f'in {wait[:10]} seconds' if wait else 'later'}"
    return f"HTTP {status}, {said[:300]!r}{f': {hint}' if hint else ''}"
