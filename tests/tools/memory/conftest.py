"""A small team with a memory, in both kinds of database in turn."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from signoff import Agent, Artifact, Ledger, Policy, Task, Team
from signoff.settings import Settings, load_settings
from signoff.tools.action import Action, Proposal
from signoff.tools.memory import Memory, memory_tools
from signoff.tools.memory.item import Remembered


class Work(Artifact):
    text: str


class Done(Artifact):
    pass


@dataclass
class Desk:
    """A team whose clerk proposes what it is told to, over one saver, one ledger and one memory."""

    settings: Settings
    ledger: Ledger
    memory: Memory
    rules: dict[str, Any] = field(default_factory=lambda: {"remember": "allow", "forget": "allow"})
    text: str = "all is well"
    """What the clerk's artifact says; orders in it are flagged."""
    name: str = "clerks"
    change: Callable[[Action[Any]], Action[Any]] = lambda action: action
    runs: int = 0
    saver: InMemorySaver = field(default_factory=InMemorySaver)

    def action(self, name: str) -> Action[Any]:
        _, remember, forget = memory_tools(self.memory, team=self.name)
        return self.change(remember if name == "remember" else forget)

    def team(self, *wanted: tuple[str, dict[str, Any]]) -> Team:
        actions = (self.action("remember"), self.action("forget"))

        def propose(done: Done, task: Task) -> list[Proposal]:
            return [Proposal(action=name, args=args, reason="worth it") for name, args in wanted]

        reader = Agent(role="reader", gives=Work, function=lambda task: Work(text=self.text))
        clerk = Agent(
            role="clerk", needs=(Work,), gives=Done, function=lambda task: Done(), actions=actions, propose=propose
        )
        return Team(
            agents=[reader, clerk],
            policy=Policy(self.rules),
            ledger=self.ledger,
            name=self.name,
        )

    def start(self, *wanted: tuple[str, dict[str, Any]], goal: str = "learn", store: Any = None) -> dict[str, Any]:
        self.runs += 1
        self.graph = self.team(*wanted).compile(checkpointer=self.saver, store=store)
        return self.go_on({"goal": goal})

    def go_on(self, given: Any) -> dict[str, Any]:
        result: dict[str, Any] = self.graph.invoke(given, {"configurable": {"thread_id": f"r-{self.runs}"}})
        return result

    def approve(self) -> dict[str, Any]:
        return self.go_on(Command(resume={"decisions": [{"type": "approve"}]}))

    def remember(self, text: str, *, subject: str = "a thing", **args: Any) -> dict[str, Any]:
        return self.start(("remember", {"subject": subject, "text": text, **args}))

    @property
    def kept(self) -> list[Remembered]:
        return self.memory.list(team=self.name)

    def recall(self, words: str = "", **given: Any) -> str:
        recall, *_ = memory_tools(self.memory, team=self.name)
        return str(recall.invoke({"words": words, **given}))


@pytest.fixture
def desk(database: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("SIGNOFF_CONFIRM_SECONDS", "0")  # tests answer at once, and know what they answer
    settings = load_settings(database=database)
    return Desk(settings, ledger, Memory.open(settings))
