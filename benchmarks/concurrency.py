"""What many model calls and jobs at once cost in one process: ours beside ChatOpenAI and a graph written by hand.

Each figure comes from a process of its own, on an endpoint in another that answers 0.2 s after it is asked; ours and
theirs take turns. `python3 make.py bench -- concurrency` takes about 10 minutes on a quiet machine, `--quick` seconds.
"""

import argparse
import asyncio
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jobs.scripted_endpoint import ScriptedEndpoint, scripted_endpoint
from rich import box
from rich.console import Console
from rich.table import Table

OURS, THEIRS = "Endpoint", "ChatOpenAI"
TEAM, BY_HAND, LEAN, SUPERVISED = "signoff", "LangGraph by hand", "the same, lean client", "langgraph-supervisor"
LEGEND = (
    "A call: a conversation of 2 kB and an answer of 1 kB. A job: the scripted report of jobs/scripted_job.py, "
    "four agents and two searches; checkpoints are kept on disk, and with signoff a ledger, budgets, rates and audit "
    "besides. CPU: of the process with all its threads. Memory: its peak, less what it was before the first job. "
    "Garbage is collected less often than by default, for all alike, unless --own-gc is given."
)


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    calls: tuple[tuple[int, int], ...] = ((1, 300), (100, 2000), (1000, 5000))  # in flight, in all
    jobs: tuple[int, ...] = (100, 1000)
    delay: float = 0.2
    rounds: int = 3


QUICK = Plan(((1, 10), (20, 40)), (4,), 0.01, 1)


@dataclass(frozen=True)
class Spent:
    """What so many calls or jobs at once took."""

    wall: float
    cpu_ms: float
    """Of each."""
    memory_kb: float
    """For each."""
    calls: float = 0
    """Of each job."""
    prompt_kb: float = 0


async def measured(tasks: Callable[[], Awaitable[Any]], count: int, endpoint: ScriptedEndpoint) -> Spent:
    """Do this, which does `count` things, and see what it took."""
    gc.collect()
    before, memory = endpoint.counts(), peak_kb()
    wall, cpu = time.perf_counter(), time.process_time()
    await tasks()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    after = endpoint.counts()
    return Spent(
        wall,
        1000 * cpu / count,
        (peak_kb() - memory) / count,
        (after.calls - before.calls) / count,
        (after.prompt_bytes - before.prompt_bytes) / 1000 / count,
    )


async def measure_calls(name: str, at_once: int, count: int, endpoint: ScriptedEndpoint) -> Spent:
    """So many calls in all, with so many in flight at any time."""
    from langchain_core.messages import HumanMessage, SystemMessage
    from langchain_openai import ChatOpenAI

    from signoff.agents.models.openai.chat_model import Endpoint

    kind = {OURS: Endpoint, THEIRS: ChatOpenAI}[name]
    model = kind(model="scripted", base_url=endpoint.url, api_key="none", timeout=120)
    prompt = [SystemMessage("You are the analyst of a team."), HumanMessage("The tide rises and falls. " * 75)]
    left = iter(range(count))

    async def call() -> None:
        for _ in left:
            await model.ainvoke(prompt)

    async def crowd() -> None:
        await asyncio.gather(*(call() for _ in range(at_once)))

    await model.ainvoke(prompt)
    return await measured(crowd, count, endpoint)


async def measure_jobs(name: str, count: int, endpoint: ScriptedEndpoint, folder: Path) -> Spent:
    """So many jobs, all at once."""
    from jobs.scripted_job import TEAMS

    async with TEAMS[name](endpoint.url, folder) as job:

        async def crowd() -> None:
            await asyncio.gather(*(job(f"job-{number}") for number in range(count)))

        await job("warm")
        return await measured(crowd, count, endpoint)


def be_measured(asked: dict[str, Any]) -> None:
    """One process of the benchmark: measure one thing and print it."""
    allow_many_files()
    # As a program with a thousand jobs does: with Python's own thresholds, looking for garbage among all that lives
    # takes a seventh of the CPU of the graph written by hand, and more of ours.
    if not os.environ.get("BENCH_OWN_GC"):
        gc.set_threshold(50_000, 20, 20)

    async def go() -> Spent:
        with tempfile.TemporaryDirectory(dir=asked["folder"]) as folder:
            endpoint = ScriptedEndpoint(asked["url"])
            if "at_once" in asked:
                return await measure_calls(asked["name"], asked["at_once"], asked["count"], endpoint)
            return await measure_jobs(asked["name"], asked["count"], endpoint, Path(folder))

    print(json.dumps(asdict(asyncio.run(go()))))


def in_a_process(delay: float, **asked: Any) -> Spent:
    """Measure it in a process of its own, with an endpoint of its own."""
    with scripted_endpoint(delay) as endpoint:
        command = [sys.executable, __file__, "--measure", json.dumps({**asked, "url": endpoint.url})]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=3600)
    return Spent(**json.loads(done.stdout.splitlines()[-1]))


def peak_kb() -> float:
    """Most memory that this process had so far."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1024 if sys.platform == "darwin" else float(most)


def allow_many_files() -> None:
    """A connection for each call in flight, as far as the system lets a process have them."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536) if hard != resource.RLIM_INFINITY else 65_536, hard))
    assert soft <= hard or hard == resource.RLIM_INFINITY


def calls_table(plan: Plan, progress: Console, look: box.Box, folder: str | None) -> Table:
    table = Table("CPU ms for one call", THEIRS, OURS, "ours ÷ theirs", box=look)
    for at_once, count in plan.calls:
        taken: dict[str, list[float]] = defaultdict(list)
        for turn in range(plan.rounds):
            progress.print(f"{at_once:,} calls in flight, round {turn + 1}...")
            for name in (THEIRS, OURS):
                delay = 0.0 if at_once == 1 else plan.delay
                spent = in_a_process(delay, name=name, at_once=at_once, count=count, folder=folder)
                taken[name].append(spent.cpu_ms)
        theirs, ours = statistics.median(taken[THEIRS]), statistics.median(taken[OURS])
        table.add_row(f"{at_once:,} in flight", f"{theirs:.2f}", f"{ours:.2f}", f"{ours / theirs:.2f}")
    return table


def jobs_table(plan: Plan, names: list[str], progress: Console, look: box.Box, folder: str | None) -> Table:
    columns = ("jobs at once", "team", "wall s", "CPU ms a job", "memory kB a job", "calls a job", "prompts kB a job")
    table = Table(*columns, "wall ÷ by hand", "CPU ÷ by hand", box=look)
    for count in plan.jobs:
        taken: dict[str, list[Spent]] = defaultdict(list)
        for turn in range(plan.rounds):
            for name in names:
                progress.print(f"{count:,} jobs at once, {name}, round {turn + 1}...")
                taken[name].append(in_a_process(plan.delay, name=name, count=count, folder=folder))
        medians = {
            name: Spent(
                *(statistics.median(values) for values in zip(*(asdict(s).values() for s in spent), strict=True))
            )
            for name, spent in taken.items()
        }
        for name, spent in medians.items():
            figures = (spent.wall, spent.cpu_ms, spent.memory_kb, spent.calls, spent.prompt_kb)
            hand = medians[BY_HAND]
            ratios = (spent.wall / hand.wall, spent.cpu_ms / hand.cpu_ms)
            table.add_row(f"{count:,}", name, *(f"{f:,.1f}" for f in figures), *(f"{r:.2f}" for r in ratios))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few calls and jobs, one round: only to see that it works")
    parser.add_argument("--markdown", action="store_true", help="print the tables for a document")
    parser.add_argument("--supervisor", action="store_true", help="measure langgraph-supervisor too")
    parser.add_argument("--rounds", type=int, help="measure so many times, and take the median")
    parser.add_argument("--folder", help="where to write: a folder on a real disk, if the usual one is in memory")
    parser.add_argument("--own-gc", action="store_true", help="leave Python's garbage collection as it is")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.own_gc:
        os.environ["BENCH_OWN_GC"] = "1"
    if asked.measure:
        be_measured(json.loads(asked.measure))
        return
    plan, began, progress = QUICK if asked.quick else Plan(), time.perf_counter(), Console(stderr=True)
    plan = Plan(plan.calls, plan.jobs, plan.delay, asked.rounds or plan.rounds)
    look = box.MARKDOWN if asked.markdown else box.SIMPLE_HEAD
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(calls_table(plan, progress, look, asked.folder))
    names = [BY_HAND, LEAN, TEAM, *([SUPERVISED] if asked.supervisor else [])]
    console.print(jobs_table(plan, names, progress, look, asked.folder))
    packages = ("signoff", "aiohttp", "openai", "langchain-openai", "langgraph", "langgraph-checkpoint-sqlite")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    console.print(
        f"Python {platform.python_version()}, {versions}; {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end; "
        f"median of {plan.rounds}; measured in {time.perf_counter() - began:.0f} s."
    )
    console.print(LEGEND)


if __name__ == "__main__":
    main()
