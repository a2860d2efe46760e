"""A team at work on one thread, and whoever answers its questions."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from signoff import Ledger, Team

APPROVE = {"decisions": [{"type": "approve"}]}


@dataclass
class Desk:
    """One thread of the team that a test is about: `team` is made anew each time, as after a restart."""

    ledger: Ledger
    saver: InMemorySaver = field(default_factory=InMemorySaver, kw_only=True)
    config: RunnableConfig = field(
        default_factory=lambda: RunnableConfig(configurable={"thread_id": "r-1"}), kw_only=True
    )
    goal: ClassVar[str] = "file a ticket, then mail its number to ann@example.org"

    @property
    def team(self) -> Team:
        raise NotImplementedError

    @property
    def graph(self) -> Any:
        return self.team.compile(checkpointer=self.saver)

    def run(self, given: Any) -> dict[str, Any]:
        result: dict[str, Any] = self.graph.invoke(given, self.config)
        return result

    def start(self, goal: str = "") -> dict[str, Any]:
        return self.run({"goal": goal or self.goal})

    def decide(self, answer: Any = APPROVE) -> dict[str, Any]:
        return self.run(Command(resume=answer))

    @property
    def note(self) -> list[str]:
        return self.ledger.runs.get("r-1").note.splitlines()


def asked(result: Mapping[str, Any]) -> dict[str, Any]:
    """The action that the thread asks about; of a batch the first."""
    (interrupt,) = result["__interrupt__"]
    found: dict[str, Any] = interrupt.value["action_requests"][0]
    return found


class Meeting:
    """Two at a time meet here; broken, unless two are at work at once."""

    def __init__(self) -> None:
        self.most = 0
        self._together, self._counting, self._busy = threading.Barrier(2), threading.Lock(), 0

    def attend(self) -> None:
        with self._counting:
            self._busy += 1
            self.most = max(self.most, self._busy)
        self._together.wait(60)
        with self._counting:
            self._busy -= 1
