"""Browsing: what the researcher's function body does on the web: the pages a search finds for the goal are fetched."""

from __future__ import annotations

from signoff.agents.agent import Task
from signoff.errors import PageRefused, SearchFailed, Unreadable
from signoff.tools.web.tools import Web

_MOST_PAGES = 5


def browse(task: Task, web: Web) -> None:
    """Fetch the pages that a search for the goal finds first, so that they can be searched and quoted like documents.

    A search that fails, or a page that cannot be had, is told to whoever watches; the work goes on without it.
    """
    if web.provider is None or web.fetcher is None:
        return
    task.say(f"searches the web with {web.provider.name}")
    try:
        results = web.search(task.goal, _MOST_PAGES)
    except SearchFailed as error:
        task.say(str(error))
        return
    for done, result in enumerate(results, 1):
        try:
            snapshot = web.fetch(result.url)
        except PageRefused as error:
            task.say(f"{error} ({result.url})", done=done, total=len(results))
        except Unreadable as error:
            task.say(f"Not fetched: {result.url} is {error.reason}", done=done, total=len(results))
        else:
            task.say(f"fetched {snapshot.address}", done=done, total=len(results))
