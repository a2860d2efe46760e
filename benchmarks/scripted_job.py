"""The scripted report job as three teams do it: ours, one written by hand on LangGraph, and langgraph-supervisor's.

The same model, tool and texts for each: the researcher searches twice and gives what it found, then analyst, writer
and reviewer do their part. All keep checkpoints on disk; ours keeps ledger, budgets and audit besides.
"""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from pydantic import BaseModel, Field
from scripted_endpoint import FOUND, ROLES

Job = Callable[[str], Awaitable[None]]
"""Does the job once, in the thread of this name."""

GOAL = "Why does the tide rise and fall?"
DUTIES = {
    "researcher": "Search the documents for passages that answer the goal, then give the findings word for word.",
    "analyst": "Sort the evidence into themes, and name the quotes that answer the goal most directly.",
    "writer": "Write a report in Markdown that answers the goal, from the evidence and the analysis and nothing else.",
    "reviewer": "Judge whether the draft answers the goal and says nothing that its quotes do not say.",
}
_PASSAGE = "The tide rises and falls twice a day because the moon pulls the water of the ocean towards itself. "
MODEL = {"model": "scripted", "api_key": "none", "max_retries": 2, "timeout": 120}


def in_thread(thread: str) -> RunnableConfig:
    """The config of a job."""
    return {"configurable": {"thread_id": thread}, "recursion_limit": 100}


@tool
async def search(query: str) -> str:
    """Search the documents for passages that use these words."""
    return FOUND + query + "\n" + "\n".join(f"tides-{n}.md: {_PASSAGE}({n})" for n in range(1, 9))


@asynccontextmanager
async def ours(url: str, folder: Path) -> AsyncIterator[Job]:
    """A team of signoff with its saver, ledger, budgets and audit."""
    os.environ |= {
        "SIGNOFF_BASE_URL": url,
        "SIGNOFF_DATABASE": str(folder / "ours.db"),
        "SIGNOFF_PRICES": json.dumps({"scripted": {"input": 0.15, "output": 0.6}}),
        "SIGNOFF_AGENT_BUDGET": "$1",
        "SIGNOFF_RUN_BUDGET": "$5 tokens=1000000",
        "SIGNOFF_TEAM_BUDGET": "$50000",
        "SIGNOFF_DAY_BUDGET": "$100000",
    }
    from signoff import Agent, Team
    from signoff.agents.artifacts import Artifact, Verdict
    from signoff.agents.models.registry import load_models
    from signoff.checkpoints.ledger.ledger import Ledger
    from signoff.checkpoints.saver.saver import SqliteCheckpointer
    from signoff.settings import load_settings
    from signoff.tools.tool import tool as as_tool

    class Finding(BaseModel):
        source: str
        text: str

    class Findings(Artifact):
        findings: list[Finding]

        def brief(self) -> str:
            return "\n".join(f"{finding.text} [{finding.source}]" for finding in self.findings)

    class Theme(BaseModel):
        title: str
        summary: str

    class Sorting(Artifact):
        answer: list[int]
        themes: list[Theme]

        def brief(self) -> str:
            return "\n".join(f"{theme.title}: {theme.summary}" for theme in self.themes)

    class Report(Artifact):
        title: str
        markdown: str

        def brief(self) -> str:
            return f"{self.title}\n\n{self.markdown}"

    class Judgement(BaseModel):
        accepted: bool
        notes: list[str] = Field(default_factory=list)

    class Opinion(Verdict):
        about: str = "Report"

        def brief(self) -> str:
            return "accepted" if self.accepted else "rejected"

    settings = load_settings()
    models = load_models(settings, "openai:scripted")
    steps: dict[str, dict[str, Any]] = {
        "researcher": {"gives": Findings, "tools": (as_tool(risk="read")(search),)},
        "analyst": {"gives": Sorting, "needs": (Findings,)},
        "writer": {"gives": Report, "needs": (Findings, Sorting)},
        "reviewer": {
            "gives": Opinion,
            "needs": (Findings, Sorting, Report),
            "form": Judgement,
            "read": lambda judgement, _: Opinion(accepted=judgement.accepted, notes=tuple(judgement.notes)),
        },
    }
    agents = [Agent(role=role, instructions=DUTIES[role], model=models, **step) for role, step in steps.items()]
    ledger = Ledger(folder / "ours.db")
    with SqliteCheckpointer(folder / "ours.db") as saver:
        graph = Team(name="report", agents=agents, ledger=ledger).compile(checkpointer=saver)

        async def job(thread: str) -> None:
            result = await graph.ainvoke({"goal": GOAL}, in_thread(thread))
            assert result["run"]["ended"] == "done", result
            assert result["artifacts"]["Opinion"]["value"]["accepted"], result

        yield job
    ledger.close()


@asynccontextmanager
async def by_hand(url: str, folder: Path) -> AsyncIterator[Job]:
    """A graph as the documentation has it: a supervisor asked between the agents, a node for tools, one transcript."""
    from langchain_core.messages import AIMessage, SystemMessage
    from langchain_openai import ChatOpenAI
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import END, START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode
    from langgraph.types import Command

    class Route(BaseModel):
        """Who works next."""

        next: Literal["researcher", "analyst", "writer", "reviewer", "finish"]

    model = ChatOpenAI(base_url=url, **MODEL)
    router, finder = model.with_structured_output(Route), model.bind_tools([search])

    async def supervisor(state: MessagesState) -> Command[str]:
        prompt = (
            f"You supervise a team of {', '.join(ROLES)}. Say who works next, or finish once the report is accepted."
        )
        route = await router.ainvoke([SystemMessage(prompt), *state["messages"]])
        assert isinstance(route, Route)
        return Command(goto=END if route.next == "finish" else route.next)

    def agent(role: str, chat: Any) -> Any:
        async def work(state: MessagesState) -> dict[str, Any]:
            prompt = f"You are the {role} of a team. {DUTIES[role]}"
            answer: AIMessage = await chat.ainvoke([SystemMessage(prompt), *state["messages"]])
            return {"messages": [answer]}

        return work

    def after_search(state: MessagesState) -> str:
        last = state["messages"][-1]
        return "search" if isinstance(last, AIMessage) and last.tool_calls else "supervisor"

    builder = StateGraph(MessagesState)
    builder.add_node("supervisor", supervisor, destinations=(*ROLES, END))
    builder.add_node("researcher", agent("researcher", finder))
    builder.add_node("search", ToolNode([search]))
    builder.add_edge(START, "supervisor")
    builder.add_conditional_edges("researcher", after_search, ["search", "supervisor"])
    builder.add_edge("search", "researcher")
    for role in ROLES[1:]:
        builder.add_node(role, agent(role, model))
        builder.add_edge(role, "supervisor")
    async with AsyncSqliteSaver.from_conn_string(str(folder / "by-hand.db")) as saver:
        graph = builder.compile(checkpointer=saver)

        async def job(thread: str) -> None:
            start: Any = {"messages": [("user", GOAL)]}
            result = await graph.ainvoke(start, in_thread(thread))
            assert "work of the reviewer" in result["messages"][-1].content, result

        yield job


@asynccontextmanager
async def supervised(url: str, folder: Path) -> AsyncIterator[Job]:
    """The team that langgraph-supervisor makes of four agents."""
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph_supervisor import create_supervisor

    model = ChatOpenAI(base_url=url, **MODEL)
    agents: list[Any] = [
        create_agent(
            model,
            tools=[search] if role == "researcher" else [],
            system_prompt=f"You are the {role} of a team. {DUTIES[role]}",
            name=role,
        )
        for role in ROLES
    ]
    prompt = f"You supervise a team of {', '.join(ROLES)}. Hand over to one at a time, until the report is accepted."
    async with AsyncSqliteSaver.from_conn_string(str(folder / "supervised.db")) as saver:
        graph = create_supervisor(agents, model=model, prompt=prompt).compile(checkpointer=saver)

        async def job(thread: str) -> None:
            start: Any = {"messages": [("user", GOAL)]}
            result = await graph.ainvoke(start, in_thread(thread))
            assert result["messages"][-1].content == "Done.", result

        yield job


TEAMS = {"signoff": ours, "LangGraph by hand": by_hand, "langgraph-supervisor": supervised}
