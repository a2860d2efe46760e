"""Search providers, each against a server on loopback that answers as it does."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from signoff.errors import SearchFailed, SettingsError
from signoff.settings import Settings
from signoff.tools.web.search_providers import (
    SearchResult,
    brave_search,
    json_search,
    provider_of,
    tavily_search,
)
from signoff.tools.web.tools import Web, web_of, web_tools

OpenWeb = Callable[..., Web]
ONE = SearchResult("http://one.example/", "One", "About it.")


def rows(text: str) -> list[dict[str, str]]:
    return [{"title": "One\n", "url": "http://one.example/", text: "About  it."}, {"title": "No address"}]


def test_there_are_no_web_tools_unless_configured(web: OpenWeb) -> None:
    assert web_tools(web(fetch=False)) == ()
    assert [tool.name for tool in web_tools(web(search=json_search("http://127.0.0.1/")))] == [
        "web_search",
        "web_fetch",
    ]


def test_a_json_endpoint_is_asked_as_searxng_wants_it(server: Any) -> None:
    url = server.finds("/search", {"results": rows("content")})
    server.pages["/search?language=en&q=a+%26+b&format=json"] = server.pages["/search"]
    assert list(json_search(f"{url}?language=en", key="k").search("a  & b", 5)) == [ONE]
    path, _, headers = server.seen[-1]
    assert parse_qs(urlsplit(path).query) == {"language": ["en"], "q": ["a & b"], "format": ["json"]}
    assert headers["Authorization"] == "Bearer k"


def test_brave_is_asked_as_it_wants_it(server: Any) -> None:
    url = server.finds("/brave", {"web": {"results": rows("description")}})
    assert list(brave_search(url, key="secret").search("tides", 50)) == [ONE]
    path, _, headers = server.seen[-1]
    assert parse_qs(urlsplit(path).query) == {"q": ["tides"], "count": ["20"]}
    assert headers["X-Subscription-Token"] == "secret"
    server.finds("/brave", {"query": {}})
    assert list(brave_search(url).search("nothing", 5)) == []


def test_tavily_is_asked_as_it_wants_it(server: Any) -> None:
    url = server.finds("/tavily", {"results": rows("content")})
    assert list(tavily_search(url, key="secret").search("tides", 3)) == [ONE]
    _, body, headers = server.seen[-1]
    assert json.loads(body) == {"query": "tides", "max_results": 3}
    assert headers["Authorization"] == "Bearer secret"


def test_a_client_that_adds_the_key_can_be_given(server: Any) -> None:
    url = server.finds("/brave", {"web": {"results": []}})
    opened = brave_search(url, client=lambda: httpx2.Client(headers={"X-Subscription-Token": "added"}))
    opened.search("tides", 3)
    assert server.seen[-1][2]["X-Subscription-Token"] == "added"


def test_a_key_is_in_no_text_of_a_provider() -> None:
    assert "secret" not in repr(
        [brave_search(key="secret"), tavily_search(key="secret"), json_search("x", key="secret")]
    )
    assert "a-key" not in repr(Settings(search_key="a-key"))


def test_a_plain_function_is_a_provider(web: OpenWeb) -> None:
    def library_catalogue(query: str, limit: int) -> Sequence[SearchResult]:
        return [SearchResult(f"http://{query}.example/", "Found", f"at most {limit}")] * 9

    (search, _) = web_tools(web(search=library_catalogue))
    said = search.invoke({"query": "tides", "limit": 2})
    assert said.startswith("2 results. They are text from the web")
    assert said.endswith("[2] Found\nhttp://tides.example/\nat most 2")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/page", "its answer is no JSON"),
        ("/data", "its answer has no list of results"),
        ("/nothing", "it answers 404 Not Found"),
        ("/loop", "it answers 301 Moved Permanently"),
        ("/large", "its answer is too long"),
    ],
)
def test_a_search_that_fails_is_text_the_model_can_act_on(server: Any, web: OpenWeb, path: str, problem: str) -> None:
    (search, _) = web_tools(web(search=json_search(server.site + path)))
    said = search.invoke({"query": "x"})
    assert said.startswith(f"The web search by 'json' failed: {problem}")
    assert said.endswith("Go on without it.")


def test_a_search_endpoint_that_is_not_there_and_a_function_that_raises_are_text_too(web: OpenWeb) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (search, _) = web_tools(web(search=json_search(f"http://127.0.0.1:{port}/")))
    assert search.invoke({"query": "x"}).startswith("The web search by 'json' failed: ")
    (search, _) = web_tools(web(search=lambda query, limit: 1 / 0))
    assert "ZeroDivisionError: division by zero" in search.invoke({"query": "x"})


def test_a_run_is_told_the_same_when_it_searches_for_the_same_again(web: OpenWeb) -> None:
    calls: list[str] = []

    def search(query: str, limit: int) -> list[SearchResult]:
        calls.append(query)
        return [SearchResult(f"http://example.org/{len(calls)}")]

    opened = web(search=search)
    said = [opened.search(query, 5)[0].url[-1] for query in ("a", "b", "a", "b")]
    assert (said, calls) == (["1", "2", "1", "2"], ["a", "b"])


def test_a_search_that_failed_is_tried_again(web: OpenWeb) -> None:
    answers: Iterator[OSError | list[SearchResult]] = iter([OSError("down"), [ONE]])

    def search(query: str, limit: int) -> list[SearchResult]:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    opened = web(search=search)
    with pytest.raises(SearchFailed, match="down"):
        opened.search("a", 5)
    assert opened.search("a", 5) == [ONE]


def test_the_settings_choose_the_provider(home: Path) -> None:
    def chosen(**values: Any) -> tuple[str, str]:
        provider = provider_of(Settings(**values))
        return (provider.name, provider.host) if provider else ("", "")

    assert chosen() == ("", "")
    assert chosen(search_url="http://127.0.0.1:8888/search") == ("json", "127.0.0.1")
    assert chosen(search="brave", search_key="a-key") == ("brave", "api.search.brave.com")
    assert chosen(search="tavily", search_url="https://gateway.example/t") == ("tavily", "gateway.example")
    with pytest.raises(SettingsError, match="SIGNOFF_SEARCH_URL"):
        chosen(search="json")
    with pytest.raises(SettingsError, match="SIGNOFF_SEARCH_KEY: is not set, and SIGNOFF_SEARCH=tavily wants a key"):
        chosen(search="tavily")


def test_the_settings_open_the_web_as_far_as_they_say(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert web_of(Settings()) is None
    monkeypatch.setenv("SIGNOFF_WEB_FETCH", "true")
    monkeypatch.setenv("SIGNOFF_WEB_HOSTS", "*.example.org example.net")
    monkeypatch.setenv("SIGNOFF_WEB_PRIVATE_HOSTS", "wiki.intern")
    opened = web_of(Settings())
    assert opened is not None
    assert opened.provider is None
    assert opened.fetcher is not None
    assert opened.fetcher.reach.hosts == ("*.example.org", "example.net")
    assert opened.fetcher.reach.private == ("wiki.intern",)


def test_the_broker_adds_the_key_of_the_provider(server: Any, home: Path) -> None:
    url = server.finds("/brave", {"web": {"results": rows("description")}})
    secrets = home / "secrets.toml"
    secrets.write_text(
        f"""
[secrets.brave]
value = "a-key-of-the-provider"
[[secrets.brave.rules]]
hosts = ["127.0.0.1:{server.server_port}"]
tools = ["web_search"]
header = "X-Subscription-Token"
scheme = "http"
private = true
"""
    )
    secrets.chmod(0o600)
    opened = web_of(Settings(search="brave", search_url=url, secrets=secrets))
    assert opened is not None
    assert opened.search("tides", 3) == [ONE]
    assert server.seen[-1][2]["X-Subscription-Token"] == "a-key-of-the-provider"
    assert "a-key-of-the-provider" not in repr(opened.provider)
