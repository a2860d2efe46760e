"""The page as one more protocol: its forms, filled in by a browser without scripts."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
from desk_pages import forms_in, text_of
from doors import Door, Place, Seen

NAMES = {"post": "office.py:team", "two": "office.py:two", "soon": "office.py:soon"}
"""What the page calls the teams."""
CODES = {404: "unknown", 403: "not_allowed", 422: "bad_answer"}
REASONS = {"expired at": "expired", "is not about what you saw": "changed", "was already": "already_decided"}
"""What the page says of an answer that does not count (409), and the code that the other protocols have for it."""


class Page(Door):
    """Everybody signs in once, by a token; what they decide they read on the page before."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._cookies: dict[str, httpx.Cookies] = {}

    @asynccontextmanager
    async def _browser(self, who: str) -> AsyncIterator[httpx.AsyncClient]:
        """That of somebody who is signed in."""
        origin, known = {"origin": self.place.address}, self._cookies.get(who)
        async with httpx.AsyncClient(base_url=self.place.address, timeout=60, headers=origin, cookies=known) as browser:
            if known is None:
                await browser.post("/sign-in", data={"token": self.place.tokens[who]})
                self._cookies[who] = browser.cookies
            yield browser

    async def start(self, team: str, goal: str, who: str = "ann") -> Seen:
        async with self._browser(who) as browser:
            path = f"/start/{NAMES[team]}"
            (form,) = [one for one in forms_in((await browser.get(path)).text) if "once" in one]
            (field,) = [name for name in form if name.endswith("goal")]
            begun = await browser.post(path, data={**form, field: goal})
        assert begun.status_code == 303, text_of(begun.text)
        return await self.follow(team, Seen(begun.headers["location"].rpartition("/")[2], ""), who)

    async def follow(self, team: str, seen: Seen, who: str = "ann") -> Seen:
        """Look at the run whenever the page says that something changed, until it stands."""
        async with self._browser(who) as browser, browser.stream("GET", "/events") as changes:
            async for line in changes.aiter_lines():
                if not line.startswith("id: "):
                    continue
                shown = await browser.get(f"/runs/{seen.run}")
                if shown.status_code != 200:
                    return replace(seen, refused=CODES[shown.status_code])
                (status,) = re.findall(r'class="facts"><span class="chip state-(\w+)"', shown.text)
                asked = re.findall(r'Waits for a decision: <a href="/approvals/([^"]+)"', shown.text)
                if status == "running" or (status == "waiting" and not asked):
                    continue
                heard = re.findall(r'<td class="what"><strong>(\w+)</strong>', shown.text)
                return replace(await self._asked(browser, seen.run, *asked), status=status, heard=heard)
        raise AssertionError("the stream ended before the run stood")

    async def _asked(self, browser: httpx.AsyncClient, run: str, approval: str = "") -> Seen:
        if not approval:
            return Seen(run, "")
        html = (await browser.get(f"/approvals/{approval}")).text
        (form,) = [one for one in forms_in(html) if one.get("verb") == "approve"]
        (action,) = re.findall(r"clerk proposes (\w+)\.", html)
        return Seen(run, "", action=action, approval=approval, sha256=form["sha256"])

    async def _csrf(self, browser: httpx.AsyncClient) -> str:
        return next(one["csrf"] for one in forms_in((await browser.get("/")).text) if "csrf" in one)

    async def answer(self, team: str, seen: Seen, answer: Any, who: str = "ann") -> str:
        path = f"/approvals/{seen.approval}"
        async with self._browser(who) as browser:
            csrf = await self._csrf(browser)
            verb = {key: value for key, value in answer.items() if key != "type"} | {"verb": answer.get("type", "")}
            said = await browser.post(path, data={"csrf": csrf, "sha256": seen.sha256, **verb})
        if said.status_code == 303:
            return ""
        text = text_of(said.text)
        return next((code for words, code in REASONS.items() if words in text), CODES.get(said.status_code, text))

    async def cancel(self, team: str, seen: Seen, who: str = "ann") -> str:
        async with self._browser(who) as browser:
            csrf = await self._csrf(browser)
            said = await browser.post(f"/runs/{seen.run}/cancel", data={"csrf": csrf})
        return (await self.follow(team, seen, who)).status if said.status_code == 303 else CODES[said.status_code]
