"""The scripted report job as teams do it: ours, two kinds written by hand on LangGraph, and langgraph-supervisor's.

The same model, tool and texts for each: the researcher searches twice and gives what it found, then analyst, writer
and reviewer do their part. All keep checkpoints on disk; ours keeps ledger, budgets and audit besides. One written by
hand sends everybody the whole transcript; the other hands on to each only what it needs, as ours does, and comes with
ChatOpenAI and with a client of a few lines, the leanest there is.
"""

import json
import operator
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from pydantic import BaseModel
from typing_extensions import TypedDict

from jobs.scripted_endpoint import FOUND, ROLES

Job = Callable[[str], Awaitable[None]]
"""Does the job once, in the thread of this name."""

Messages = Sequence[tuple[str, str]]
"""Who speaks, and what."""

GOAL = "Why does the tide rise and fall?"
DUTIES = {
    "researcher": "Search the documents for passages that answer the goal, then give the findings word for word.",
    "analyst": "Sort the evidence into themes, and name the quotes that answer the goal most directly.",
    "writer": "Write a report in Markdown that answers the goal, from the evidence and the analysis and nothing else.",
    "reviewer": "Judge whether the draft answers the goal and says nothing that its quotes do not say.",
}
SUPERVISING = f"You supervise a team of {', '.join(ROLES)}. Say who works next, or finish once the report is accepted."
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
    from jobs.report_team import report_team
    from signoff.checkpoints.ledger.ledger import Ledger
    from signoff.checkpoints.saver.saver import SqliteCheckpointer

    ledger = Ledger(folder / "ours.db")
    with SqliteCheckpointer(folder / "ours.db") as saver:
        graph = report_team(ledger=ledger).compile(checkpointer=saver)

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

    model = ChatOpenAI(base_url=url, **MODEL)
    router, finder = model.with_structured_output(Route), model.bind_tools([search])

    async def supervisor(state: MessagesState) -> Command[str]:
        route = await router.ainvoke([SystemMessage(SUPERVISING), *state["messages"]])
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


class Route(BaseModel):
    """Who works next."""

    next: Literal["researcher", "analyst", "writer", "reviewer", "finish"]


class Client(NamedTuple):
    """How a team that hands on artifacts asks its model."""

    route: Callable[[Messages], Awaitable[str]]
    """Who works next."""
    find: Callable[[Messages], Awaitable[list[str] | str]]
    """What to search for, or the findings."""
    write: Callable[[Messages], Awaitable[str]]


@asynccontextmanager
async def chat_openai(url: str) -> AsyncIterator[Client]:
    """By langchain-openai."""
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(base_url=url, **MODEL)
    router, finder = model.with_structured_output(Route), model.bind_tools([search])

    async def route(messages: Messages) -> str:
        found = await router.ainvoke(list(messages))
        assert isinstance(found, Route)
        return found.next

    async def find(messages: Messages) -> list[str] | str:
        answer = await finder.ainvoke(list(messages))
        return [call["args"]["query"] for call in answer.tool_calls] or str(answer.content)

    async def write(messages: Messages) -> str:
        return str((await model.ainvoke(list(messages))).content)

    yield Client(route, find, write)


@asynccontextmanager
async def lean(url: str) -> AsyncIterator[Client]:
    """By aiohttp alone: JSON out, JSON back."""
    import aiohttp
    from langchain_core.utils.function_calling import convert_to_openai_tool

    tools = [convert_to_openai_tool(search)]
    schema = {"name": "Route", "schema": Route.model_json_schema()}
    form = {"type": "json_schema", "json_schema": schema}
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(120))

    async def ask(messages: Messages, **options: Any) -> dict[str, Any]:
        sent = [{"role": role, "content": text} for role, text in messages]
        body = {"model": MODEL["model"], "messages": sent, **options}
        headers = {"Authorization": f"Bearer {MODEL['api_key']}"}
        async with session.post(f"{url}/chat/completions", json=body, headers=headers) as response:
            response.raise_for_status()
            message: dict[str, Any] = (await response.json())["choices"][0]["message"]
            return message

    async def route(messages: Messages) -> str:
        return Route.model_validate_json((await ask(messages, response_format=form))["content"]).next

    async def find(messages: Messages) -> list[str] | str:
        message = await ask(messages, tools=tools)
        calls = message.get("tool_calls") or ()
        return [json.loads(call["function"]["arguments"])["query"] for call in calls] or str(message["content"])

    async def write(messages: Messages) -> str:
        return str((await ask(messages))["content"])

    async with session:
        yield Client(route, find, write)


class Handed(TypedDict, total=False):
    """The state of a team that hands on artifacts: no transcript."""

    passages: Annotated[list[str], operator.add]
    queries: list[str]
    work: Annotated[dict[str, str], operator.or_]


@asynccontextmanager
async def handing_on(
    url: str, folder: Path, client: Callable[[str], AbstractAsyncContextManager[Client]]
) -> AsyncIterator[Job]:
    """A graph whose supervisor sees who has done what, and whose agents see only what they need."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Command

    needs = {"analyst": ROLES[:1], "writer": ROLES[:2], "reviewer": ROLES[:3]}

    def prompt(role: str) -> tuple[str, str]:
        return "system", f"You are the {role} of a team. {DUTIES[role]}"

    async with client(url) as asks, AsyncSqliteSaver.from_conn_string(str(folder / "handing-on.db")) as saver:

        async def supervisor(state: Handed) -> Command[str]:
            done = [text.partition("\n")[0] for text in state.get("work", {}).values()]
            following = await asks.route([("system", SUPERVISING), ("user", "\n".join([GOAL, *done]))])
            return Command(goto=END if following == "finish" else following)

        async def researcher(state: Handed) -> Handed:
            given = await asks.find([prompt("researcher"), ("user", "\n\n".join([GOAL, *state.get("passages", ())]))])
            return {"queries": given} if isinstance(given, list) else {"queries": [], "work": {"researcher": given}}

        async def look(state: Handed) -> Handed:
            return {"passages": [await search.ainvoke(query) for query in state["queries"]]}

        def agent(role: str) -> Any:
            async def work(state: Handed) -> Handed:
                shown = [GOAL, *(state["work"][need] for need in needs[role])]
                return {"work": {role: await asks.write([prompt(role), ("user", "\n\n".join(shown))])}}

            return work

        builder = StateGraph(Handed)
        builder.add_node("supervisor", supervisor, destinations=(*ROLES, END))
        builder.add_node("researcher", researcher)
        builder.add_node("search", look)
        builder.add_edge(START, "supervisor")
        builder.add_conditional_edges(
            "researcher", lambda state: "search" if state["queries"] else "supervisor", ["search", "supervisor"]
        )
        builder.add_edge("search", "researcher")
        for role in ROLES[1:]:
            builder.add_node(role, agent(role))
            builder.add_edge(role, "supervisor")
        graph = builder.compile(checkpointer=saver)

        async def job(thread: str) -> None:
            result = await graph.ainvoke({"passages": []}, in_thread(thread))
            assert "work of the reviewer" in result["work"]["reviewer"], result

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


TEAMS: dict[str, Callable[[str, Path], AbstractAsyncContextManager[Job]]] = {
    "signoff": ours,
    "LangGraph by hand": by_hand,
    "hand-written, artifacts handed on": partial(handing_on, client=chat_openai),
    "the same, lean client": partial(handing_on, client=lean),
    "langgraph-supervisor": supervised,
}
