"""A node of a team's graph for sync and async graphs, called as it is: LangGraph has traced it already."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from signoff.graphs.state import TeamState


class TeamNode(Runnable[TeamState, Any]):
    """Two functions of the state that do the same: one for sync graphs, one that never blocks the event loop.

    `prepare` reads what both need and may block; an async graph has it done once, in a thread.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[TeamState], Any],
        awork: Callable[[TeamState], Awaitable[Any]],
        prepare: Callable[[], None],
    ) -> None:
        self.name, self._work, self._awork, self._prepare = name, work, awork, prepare
        self._is_prepared = False

    def invoke(self, input: TeamState, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """The update, or a Command with it."""
        del config, kwargs
        return self._work(input)

    async def ainvoke(self, input: TeamState, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """The update, or a Command with it."""
        del config, kwargs
        if not self._is_prepared:
            await asyncio.to_thread(self._prepare)
            self._is_prepared = True
        return await self._awork(input)
