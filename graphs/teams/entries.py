"""How a ready-made team that declares an input is had: for new runs, for earlier ones, by a server, and to be drawn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from signoff.agents import Libraries
from signoff.error_base import SettingsError
from signoff.graphs.team import Builder, Team
from signoff.settings import Settings, load_settings
from signoff.tools.storage import check_place


class Entries(NamedTuple):
    """What the module of a ready-made team offers."""

    build: Callable[[Settings], Team]
    """The team by the settings, for a new run."""
    rebuild: Callable[[Mapping[str, Any], Settings], Team]
    """The team of an earlier run; a model that was given as an object is chosen anew by the settings."""
    graph: Callable[[], Coroutine[Any, Any, Builder]]
    """The team for LangGraph Server."""
    build_graph: Callable[[], Builder]
    """The team's graph by the settings."""


def server_graph(build_graph: Callable[[], Builder]) -> Callable[[], Coroutine[Any, Any, Builder]]:
    """What LangGraph Server calls whenever it touches a thread: the graph, built once for the same settings and folder.

    The server must not be kept waiting while they are read, so that is done in a thread.
    """
    built: list[tuple[tuple[Settings, Path], Builder]] = []
    building = threading.Lock()

    def kept() -> Builder:
        surroundings = load_settings(), Path.cwd()
        with building:
            if not built or built[0][0] != surroundings:
                built[:] = [(surroundings, build_graph())]
            return built[0][1]

    async def graph() -> Builder:
        return await asyncio.to_thread(kept)

    return graph


def check_places(given: Any, documents: Libraries) -> None:
    """SettingsError unless there are documents in an input's `sources`, and its file `out` can be written."""
    documents.check(given.sources, on_web=getattr(given, "web", False))
    try:
        check_place(Path(given.out))
    except OSError as error:
        problem = f"no file {given.out!r} can be made: {error.strerror}"
        raise SettingsError("--out", problem, "Name another file.") from error


def entries_of(team: Callable[..., Team]) -> Entries:
    """These, by what makes the team of `model` and `settings`."""

    def build(settings: Settings) -> Team:
        return team(settings=settings)

    def rebuild(options: Mapping[str, Any], settings: Settings) -> Team:
        return team(model=str(options["model"]) or None, settings=settings)

    def build_graph() -> Builder:
        return build(load_settings()).graph()

    return Entries(build, rebuild, server_graph(build_graph), build_graph)
