"""A rate limit and a crowd: 100 jobs at once against an endpoint that takes 50 requests a second, side by side.

Each job is the scripted report (two searches and four roles: six calls), done by signoff's team and by a graph written
by hand on LangGraph, with ChatOpenAI's retries. `python3 make.py bench -- limits` takes about 3 minutes; with `--quick`
it takes seconds.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from rich import box
from rich.console import Console
from rich.table import Table
from scripted_endpoint import scripted_endpoint
from scripted_job import DUTIES, GOAL, MODEL, Job, ours, search

from signoff.testing.allowance import Counting

CALLS = 6
"""Of one job, for all who do it."""
ENDLESS = 10_000
PROCESSES = 3

LEGEND = (
    "Lost: jobs that ended in an error. 429: requests that were refused. Wall ÷ bound: the bound is the calls that "
    "were answered ÷ the limit. Limiter alone: as many calls by aiohttp, and only signoff's limiter around them."
)

Crew = Callable[[str, Path], AbstractAsyncContextManager[Job]]
"""Opens whoever does the jobs: the endpoint's address and a folder in, a function that does one job out."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    jobs: int
    limit: int  # requests a second
    delay: float  # seconds until a call is answered
    counting: Counting


@dataclass(frozen=True)
class Outcome:
    """How a crowd of jobs fared."""

    lost: int
    answered: int
    refused: int
    wall: float


def by_hand(retries: int) -> Crew:
    """A graph without a supervisor, so that it makes as many calls as ours does."""

    @asynccontextmanager
    async def crew(url: str, folder: Path) -> AsyncIterator[Job]:
        from langchain_core.messages import AIMessage, SystemMessage
        from langchain_openai import ChatOpenAI
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
        from langgraph.graph import END, START, MessagesState, StateGraph
        from langgraph.prebuilt import ToolNode

        model = ChatOpenAI(base_url=url, **{**MODEL, "max_retries": retries})

        def agent(role: str, chat: Any) -> Any:
            async def work(state: MessagesState) -> dict[str, Any]:
                prompt = f"You are the {role} of a team. {DUTIES[role]}"
                return {"messages": [await chat.ainvoke([SystemMessage(prompt), *state["messages"]])]}

            return work

        def after_search(state: MessagesState) -> str:
            last = state["messages"][-1]
            return "search" if isinstance(last, AIMessage) and last.tool_calls else "analyst"

        builder = StateGraph(MessagesState)
        builder.add_node("researcher", agent("researcher", model.bind_tools([search])))
        builder.add_node("search", ToolNode([search]))
        for role in ("analyst", "writer", "reviewer"):
            builder.add_node(role, agent(role, model))
        builder.add_conditional_edges("researcher", after_search, ["search", "analyst"])
        path = (START, "researcher"), ("search", "researcher"), ("analyst", "writer"), ("writer", "reviewer")
        for start, end in (*path, ("reviewer", END)):
            builder.add_edge(start, end)
        async with AsyncSqliteSaver.from_conn_string(str(folder / "by-hand.db")) as saver:
            graph = builder.compile(checkpointer=saver)

            async def job(thread: str) -> None:
                start: Any = {"messages": [("user", GOAL)]}
                config: Any = {"configurable": {"thread_id": thread}}
                result = await graph.ainvoke(start, config)
                assert "work of the reviewer" in result["messages"][-1].content, result

            yield job

    return crew


@asynccontextmanager
async def limiter_alone(url: str, folder: Path) -> AsyncIterator[Job]:
    """Calls that wait for nothing but the limiter."""
    import aiohttp

    from signoff.agents.models.rate_limiter import limiter_for
    from signoff.checkpoints.ledger.ledger import Ledger

    ledger = Ledger(folder / "limiter.db")
    limiter = limiter_for(ledger, url)
    asked = {"model": "scripted", "messages": [{"role": "system", "content": "You are the writer"}]}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def job(thread: str) -> None:
            done = 0
            while done < CALLS:
                ticket = await limiter.admit(share=thread)
                async with session.post(f"{url}/chat/completions", json=asked) as response:
                    await response.read()
                if response.status == 429:
                    ticket.limited(None, response.headers)
                else:
                    ticket.answered(response.headers, 0)
                    done += 1

        yield job
    ledger.close()


def told(limit: int) -> Crew:
    """Ours, with the limit in its settings."""

    @asynccontextmanager
    async def crew(url: str, folder: Path) -> AsyncIterator[Job]:
        os.environ["SIGNOFF_RATES"] = json.dumps({"scripted": {"requests_per_minute": 60 * limit}})
        try:
            async with ours(url, folder) as job:
                yield job
        finally:
            del os.environ["SIGNOFF_RATES"]

    return crew


async def run_jobs(crew: Crew, url: str, folder: Path, names: list[str]) -> tuple[float, float, int]:
    """Do all jobs at once: when they began and ended, and how many were lost."""
    async with crew(url, folder) as job:
        began = time.time()
        ended = await asyncio.gather(*map(job, names), return_exceptions=True)
        lost = [error for error in ended if error is not None]
        if lost and os.environ.get("SHOW"):
            print(repr(lost[0])[:500], file=sys.stderr)
        return began, time.time(), len(lost)


def run_some(url: str, folder: Path, names: list[str]) -> tuple[float, float, int]:
    """One process of several that share a limiter."""
    return asyncio.run(run_jobs(limiter_alone, url, folder, names))


def run_processes(url: str, folder: Path, names: list[str]) -> tuple[float, float, int]:
    """The jobs, dealt out to processes that know of each other by the ledger only."""
    hands = [(url, folder, names[start::PROCESSES]) for start in range(PROCESSES)]
    with multiprocessing.Pool(PROCESSES) as pool:
        ended = pool.starmap(run_some, hands)
    return min(end[0] for end in ended), max(end[1] for end in ended), sum(end[2] for end in ended)


def measure(crew: Crew | None, plan: Plan) -> Outcome:
    """Let one crew, or several processes, do all jobs against an endpoint of their own."""
    names = [f"job-{number}" for number in range(plan.jobs)]
    with (
        scripted_endpoint(plan.delay, limit=plan.limit, counting=plan.counting) as endpoint,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home,
    ):
        folder = Path(home)
        if crew is None:
            began, ended, lost = run_processes(endpoint.url, folder, names)
        else:
            began, ended, lost = asyncio.run(run_jobs(crew, endpoint.url, folder, names))
        counts = endpoint.counts()
    return Outcome(lost, counts.calls, counts.refused, ended - began)


def table_of(outcomes: dict[str, Outcome], plan: Plan, *, markdown: bool) -> Table:
    title = f"{plan.jobs} jobs at once, {plan.limit} requests a second, counted in a {plan.counting} way"
    table = Table(title, box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    for column in ("finished", "lost", "calls answered", "429", "429 of all", "wall s", "wall ÷ bound"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, outcome in outcomes.items():
        asked, bound = outcome.answered + outcome.refused, outcome.answered / plan.limit
        figures = (plan.jobs - outcome.lost, outcome.lost, outcome.answered, outcome.refused)
        shares = (f"{outcome.refused / asked:.1%}", f"{outcome.wall:.1f}", f"{outcome.wall / bound:.2f}")
        table.add_row(name, *map(str, figures), *shares)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few jobs and a wide limit: only to see that it works")
    parser.add_argument("--markdown", action="store_true", help="print the table for a document")
    parser.add_argument("--counting", choices=get_args(Counting), default="fixed", help="how the endpoint counts")
    parser.add_argument("--only", default="", help="only the rows with these words in their name")
    asked = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    plan = Plan(6, 20, 0.02, asked.counting) if asked.quick else Plan(100, 50, 0.2, asked.counting)
    rows: dict[str, Crew | None] = {
        "LangGraph by hand, default retries": by_hand(2),
        "LangGraph by hand, retries without end": by_hand(ENDLESS),
        "signoff, nothing told": ours,
        "signoff, limit told": told(plan.limit),
        "limiter alone, nothing told": limiter_alone,
        f"limiter alone, {PROCESSES} processes": None,
    }
    began, progress, outcomes = time.perf_counter(), Console(stderr=True), dict[str, Outcome]()
    for name, crew in rows.items():
        if asked.only in name:
            progress.print(f"{name}...")
            outcomes[name] = measure(crew, plan)
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table_of(outcomes, plan, markdown=asked.markdown))
    packages = ("signoff", "langgraph", "langchain-openai", "openai", "aiohttp")
    console.print(
        f"Python {platform.python_version()}, {', '.join(f'{name} {version(name)}' for name in packages)}; "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores; "
        f"an answer takes {plan.delay * 1000:.0f} ms; measured in {time.perf_counter() - began:.0f} s."
    )
    console.print(LEGEND)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
