"""What the nodes of a team's graph are to LangGraph: functions of the state, in sync graphs and in async ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.runtime import get_runtime

from signoff.agents import current_payer
from signoff.checkpoints.ledger import Ledger
from signoff.concurrency import in_thread_to_its_end, undisturbed
from signoff.graphs.state import NodeWithConfig, TeamState

T = TypeVar("T", threading.Semaphore, asyncio.Semaphore)


class TeamNode(Runnable[TeamState, Any]):
    """Two functions of the state that do the same: one for sync graphs, one that never blocks the event loop.

    `prepare` reads what both need and may block; an async graph has it done once, in a thread. Of a run's items no more
    than `width` are worked on at once, however many were sent; once the run is to leave off, no other is begun.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[TeamState], Any],
        awork: Callable[[TeamState], Awaitable[Any]],
        prepare: Callable[[], None],
        *,
        width: int = 1,
    ) -> None:
        self.name, self._work, self._awork, self._prepare = name, work, awork, prepare
        self._is_prepared = False
        self._width, self._lock = width, threading.Lock()
        self._turns = WeakValueDictionary[tuple[str, type], Any]()

    def invoke(self, input: TeamState, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        del config, kwargs
        if "item" not in input:
            return self._work(input)
        with self._turn_of(input, threading.Semaphore):
            return {} if get_runtime().drain_requested else self._work(input)

    async def ainvoke(self, input: TeamState, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        del config, kwargs
        if not self._is_prepared:
            await undisturbed(self._prepare)
            self._is_prepared = True
        if "item" not in input:
            return await self._awork(input)
        async with self._turn_of(input, asyncio.Semaphore):
            return {} if get_runtime().drain_requested else await self._awork(input)

    def _turn_of(self, state: TeamState, kind: type[T]) -> T:
        """What the items of a run take turns by; kept as long as one of them is at work, or waits."""
        with self._lock:
            found: T = self._turns.setdefault((state["run"]["id"], kind), kind(self._width))
        return found


class LedgerNode(Runnable[TeamState, Any]):
    """A node that asks the ledger, which blocks: in an async graph it works in a thread.

    First it waits until what the run's calls took is booked: before a question, an action, and the end. Whoever
    cancels the graph waits for its end; `is_long` for one that calls what may take its time.
    """

    def __init__(self, name: str, ledger: Callable[[], Ledger], work: NodeWithConfig, *, is_long: bool = False) -> None:
        self.name, self._ledger, self._work, self._is_long = name, ledger, work, is_long

    def invoke(self, input: TeamState, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        del kwargs
        if current := input.get("run"):
            step = current_payer()
            pays = step.account.run_id if step is not None and step.hires is not None else current["id"]
            self._ledger().budgets.settled(pays)
        return self._work(input, config or {})

    async def ainvoke(self, input: TeamState, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        del kwargs
        call = in_thread_to_its_end if self._is_long else undisturbed
        return await call(self.invoke, input, config)
