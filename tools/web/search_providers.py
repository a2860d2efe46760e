"""Search providers: who is asked when an agent searches the web."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import parse_qsl, urlsplit

from signoff.error_base import SettingsError
from signoff.tools.errors import SearchFailed
from signoff.tools.web.request import USER_AGENT, trusted

if TYPE_CHECKING:
    from httpx2 import Client, Response

    from signoff.settings import Settings

MOST_RESULTS: Final = 20
BRAVE: Final = "https://api.search.brave.com/res/v1/web/search"
TAVILY: Final = "https://api.tavily.com/search"

_LONGEST_QUERY = 400
_LONGEST_TEXT = 1000
_MOST_BYTES = 2_000_000
_SECONDS = 20.0


@dataclass(frozen=True)
class SearchResult:
    """A page that a search found."""

    url: str
    title: str = ""
    text: str = ""
    """An excerpt, as the provider gives it."""


class SearchProvider(Protocol):
    """Somebody who can be asked to search the web."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def host(self) -> str:
        """Where queries are sent; empty if nowhere."""

    def search(self, query: str, limit: int) -> Sequence[SearchResult]:
        """The best pages, at most so many; SearchFailed if it cannot be asked."""


SearchFunction = Callable[[str, int], Sequence[SearchResult]]
"""Query and limit in, results out: what makes a plain function a provider."""
OpenClient = Callable[[], "AbstractContextManager[Client]"]
"""Opens a client, such as one of the broker that adds the key on its way."""


def plain_client() -> Client:
    """A client that follows nothing and takes no proxy from the environment."""
    import httpx2

    return httpx2.Client(follow_redirects=False, trust_env=False, timeout=_SECONDS, verify=trusted())


@dataclass(frozen=True, kw_only=True)
class HttpSearch:
    """A search service that answers in JSON. The endpoint is the user's own choice, so it may be inside a network."""

    name: str
    url: str
    ask: Callable[[str, int], Mapping[str, Any]]
    """The request for a query and a limit: `method`, and `params` or `json`."""
    rows: Callable[[Any], Any]
    """The list of results in an answer."""
    text: str = "content"
    """Where the excerpt is in a result."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold a key
    client: OpenClient = plain_client

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def search(self, query: str, limit: int) -> Sequence[SearchResult]:
        import httpx2

        request = self.ask(" ".join(query.split())[:_LONGEST_QUERY], min(max(limit, 1), MOST_RESULTS))
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **self.headers}
        try:
            with self.client() as client, client.stream(url=self.url, headers=headers, **request) as response:
                if not response.is_success:
                    raise SearchFailed(self.name, f"it answers {response.status_code} {response.reason_phrase}".strip())
                answer = httpx2.Response(200, content=self._body(response)).json()
        except httpx2.HTTPError as error:
            raise SearchFailed(self.name, " ".join(str(error).split())[:300] or type(error).__name__) from error
        except ValueError as error:
            raise SearchFailed(self.name, "its answer is no JSON") from error
        return self._read(answer)[:limit]

    def _read(self, answer: Any) -> list[SearchResult]:
        rows = self.rows(answer)
        if not isinstance(rows, list):
            raise SearchFailed(self.name, "its answer has no list of results")
        fields = [
            tuple(" ".join(str(row.get(name) or "").split())[:_LONGEST_TEXT] for name in ("url", "title", self.text))
            for row in rows
            if isinstance(row, dict)
        ]
        return [SearchResult(*values) for values in fields if values[0]]

    def _body(self, response: Response) -> bytes:
        """The body, as long as it is neither too long nor too slow."""
        raw, until = b"", time.monotonic() + _SECONDS
        for chunk in response.iter_bytes():
            raw += chunk
            if len(raw) > _MOST_BYTES or time.monotonic() > until:
                raise SearchFailed(self.name, "its answer is too long, or too slow")
        return raw


def json_search(url: str, *, key: str = "", client: OpenClient = plain_client) -> HttpSearch:
    """An endpoint that takes `?q=…&format=json`, such as SearXNG's; a key is sent as a bearer's."""
    given = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    return HttpSearch(
        name="json",
        url=url,
        ask=lambda query, _limit: {"method": "GET", "params": {**given, "q": query, "format": "json"}},
        rows=lambda answer: answer.get("results") if isinstance(answer, dict) else answer,
        headers=_bearer(key),
        client=client,
    )


def brave_search(url: str = BRAVE, *, key: str = "", client: OpenClient = plain_client) -> HttpSearch:
    def rows(answer: Any) -> Any:
        found = answer.get("web", {"results": []}) if isinstance(answer, dict) else None
        return found.get("results") if isinstance(found, dict) else None

    return HttpSearch(
        name="brave",
        url=url,
        ask=lambda query, limit: {"method": "GET", "params": {"q": query, "count": limit}},
        rows=rows,
        text="description",
        headers={"X-Subscription-Token": key} if key else {},
        client=client,
    )


def tavily_search(url: str = TAVILY, *, key: str = "", client: OpenClient = plain_client) -> HttpSearch:
    """The search of tavily.com. It wants a key, unless the client adds it."""
    return HttpSearch(
        name="tavily",
        url=url,
        ask=lambda query, limit: {"method": "POST", "json": {"query": query, "max_results": limit}},
        rows=lambda answer: answer.get("results") if isinstance(answer, dict) else None,
        headers=_bearer(key),
        client=client,
    )


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


@dataclass(frozen=True, kw_only=True)
class FunctionSearch:
    """A function of a user that searches."""

    function: SearchFunction
    name: str = "function"
    host: str = ""

    def search(self, query: str, limit: int) -> Sequence[SearchResult]:
        """What the function finds; whatever it raises is that the search failed."""
        try:
            return tuple(self.function(query, limit))[:limit]
        except Exception as error:  # it is somebody else's code
            raise SearchFailed(self.name, f"{type(error).__name__}: {str(error)[:300]}") from error


def provider_of(settings: Settings, client: OpenClient = plain_client) -> SearchProvider | None:
    """The provider that the settings choose; None if web search is off."""
    url, key = settings.search_url, settings.search_key.get_secret_value()
    if settings.search in ("brave", "tavily"):
        if not (url or key) and client is plain_client:
            problem = f"is not set, and SIGNOFF_SEARCH={settings.search} wants a key"
            raise SettingsError("SIGNOFF_SEARCH_KEY", problem, "Set it, or give the broker a rule for web_search.")
        search, address = (brave_search, BRAVE) if settings.search == "brave" else (tavily_search, TAVILY)
        return search(url or address, key=key, client=client)
    if url:
        return json_search(url, key=key, client=client)
    if settings.search == "json":
        problem = "is not set, and SIGNOFF_SEARCH=json has no other address"
        raise SettingsError("SIGNOFF_SEARCH_URL", problem, "Set it to the address of the search endpoint.")
    return None
