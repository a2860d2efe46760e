"""What a host's robots.txt says is done, and a host is left alone for a while between two requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.tools import BaseTool

from signoff import __version__
from signoff.tools.web.fetch import Pace, Robots
from signoff.tools.web.tools import Web, web_tools

OpenWeb = Callable[..., Web]
RULES = "User-agent: *\nDisallow: /\n\nUser-agent: Signoff\nDisallow: /private/\nAllow: /private/page$\n"


def test_a_page_that_robots_may_not_fetch_is_not_fetched_and_the_agent_is_told(server: Any, fetch: BaseTool) -> None:
    server.robots = (200, "User-agent: *\nDisallow: /private/")
    said = fetch.invoke({"url": f"{server.site}/private/page"})
    assert said.startswith("Not fetched: the robots.txt of '127.0.0.1' does not allow robots to fetch it")
    assert server.asked == []
    assert fetch.invoke({"url": f"{server.site}/text"}).endswith("Another.")


def test_rules_for_us_come_before_rules_for_all_and_the_longest_decides(server: Any, fetch: BaseTool) -> None:
    server.robots = (200, RULES)
    assert fetch.invoke({"url": f"{server.site}/private/page"}).endswith("Not for robots.")
    assert "does not allow" in fetch.invoke({"url": f"{server.site}/private/page2"})
    assert fetch.invoke({"url": f"{server.site}/text"}).endswith("Another.")


def test_a_redirect_is_held_against_the_rules_too(server: Any, fetch: BaseTool) -> None:
    server.robots = (200, "User-agent: *\nDisallow: /private/")
    assert "does not allow" in fetch.invoke({"url": f"{server.site}/to//private/page"})
    assert server.asked == ["/to//private/page"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_without_a_robots_txt_everything_may_be_fetched(server: Any, fetch: BaseTool, status: int) -> None:
    server.robots = (status, "User-agent: *\nDisallow: /")
    assert fetch.invoke({"url": f"{server.site}/text"}).endswith("Another.")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_when_the_server_cannot_give_its_robots_txt_nothing_is_fetched(
    server: Any, fetch: BaseTool, status: int
) -> None:
    server.robots = (status, "")
    assert f"cannot be had ({status} " in fetch.invoke({"url": f"{server.site}/text"})
    assert server.asked == []


def test_a_robots_txt_that_is_elsewhere_is_read_there(server: Any, fetch: BaseTool) -> None:
    server.robots = (302, "")
    server.pages["/elsewhere"] = ("text/plain", b"User-agent: *\nDisallow: /text")
    assert "does not allow" in fetch.invoke({"url": f"{server.site}/text"})


def test_a_robots_txt_is_asked_for_once(server: Any, fetch: BaseTool) -> None:
    for path in ("/text", "/page", "/data"):
        fetch.invoke({"url": server.site + path})
    assert [path for path, _, _ in server.seen] == ["/robots.txt", "/text", "/page", "/data"]


def test_of_a_long_robots_txt_half_a_megabyte_is_read(server: Any, fetch: BaseTool) -> None:
    server.robots = (200, "User-agent: *\nDisallow: /text\n" + "# more\n" * 100_000 + "Disallow: /page\n")
    assert "does not allow" in fetch.invoke({"url": f"{server.site}/text"})
    assert fetch.invoke({"url": f"{server.site}/page"}).endswith("Dvořák.")


def test_every_request_says_who_we_are(server: Any, fetch: BaseTool) -> None:
    fetch.invoke({"url": f"{server.site}/text"})
    assert {headers["User-Agent"] for _, _, headers in server.seen} == {f"signoff/{__version__}"}


def test_a_host_that_wants_longer_pauses_than_a_page_may_take_is_not_fetched_from(server: Any, fetch: BaseTool) -> None:
    server.robots = (200, "User-agent: *\nCrawl-delay: 60")
    assert "wants 60 seconds between two requests" in fetch.invoke({"url": f"{server.site}/text"})


def test_rules_are_forgotten_after_a_day_and_failures_after_a_minute() -> None:
    import asyncio

    import httpx2

    from signoff.tools.web.request import Reply

    now, asked = [0.0], []

    async def ask(url: httpx2.URL) -> Reply:
        asked.append(str(url))
        status = 503 if len(asked) == 1 else 404
        return Reply(status=status, reason="", location="", content_type="", encoding="", raw=b"")

    robots, page = Robots(clock=lambda: now[0]), httpx2.URL("http://example.org/a/b?c=d")
    for at in (0.0, 59.0, 61.0, 80_000.0, 90_000.0):
        now[0] = at
        asyncio.run(robots.rules_for(page, ask))
    assert asked == ["http://example.org/robots.txt"] * 3  # at 0, 61 and 90,000 seconds


def test_each_host_is_given_a_pause_between_two_requests() -> None:
    now = [100.0]
    pace = Pace(clock=lambda: now[0])
    assert [pace.turn(b"a", 2.0), pace.turn(b"a", 2.0), pace.turn(b"b", 2.0), pace.turn(b"a", 2.0)] == [0, 2, 0, 4]
    now[0] = 200.0
    assert pace.turn(b"a", 2.0) == 0


def test_the_pause_is_kept(server: Any, web: OpenWeb) -> None:
    (fetch,) = web_tools(web(pause=0.2, seconds=0.3))
    assert fetch.invoke({"url": f"{server.site}/text"}).endswith("Another.")
    assert "takes longer" in fetch.invoke({"url": f"{server.site}/to//to//to//page"})
