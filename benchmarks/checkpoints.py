"""What a checkpoint costs: ours, LangGraph's own SQLite savers, memory and a bare INSERT, side by side in one run.

One superstep is what LangGraph does in one: `put_writes` of a new 1 kB message, then `put` of the state with it.
`python3 make.py bench -- checkpoints` takes about 4 minutes and 2 GB of disk; with `--quick` it takes seconds.
"""

import argparse
import asyncio
import math
import multiprocessing
import os
import platform
import shutil
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NamedTuple

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from rich import box
from rich.console import Console
from rich.table import Table
from savers.contestants import (
    ASYNC,
    BARE,
    MEMORY,
    OFFICIAL,
    OFFICIAL_ASYNC,
    OURS,
    OURS_ASYNC,
    READABLE,
    SAVERS,
    Clocks,
    Conversation,
    opened,
)
from savers.states import STATES, table_of_states

RATIOS = {"ours ÷ official": (OURS, OFFICIAL), "async ÷ async": (OURS_ASYNC, OFFICIAL_ASYNC)}

LEGEND = (
    "N: messages of 1 kB in the state. A superstep: put_writes and put. CPU: of the whole process, with a saver's own "
    "threads. Threads: tasks of one event loop for the async savers, OS threads for the others. The bare INSERT writes "
    "one message and commits (WAL, synchronous=FULL), once for put_writes and once for put, and keeps no state."
)
Figures = dict[str, dict[str, list[float]]]
"""What was measured: by row of the table, by saver; the table shows medians."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    sizes: tuple[int, ...] = (50, 200, 1000, 5000)  # messages in the state
    grown: tuple[int, ...] = (50, 200, 1000)  # supersteps from the first message on
    grown_further: int = 5000  # only where the file is linear: an official one would have 13 GB
    listed: tuple[int, ...] = (200, 1000)
    samples: int = 20
    crowds: tuple[tuple[int, int], ...] = ((1, 50), (50, 10), (500, 3))  # threads, supersteps of each
    processes: tuple[int, int, int] = (4, 10, 10)  # processes, threads of each, supersteps of each
    rounds: int = 3


QUICK = Plan((50, 200), (50,), 200, (50,), 7, ((1, 20), (20, 5)), (2, 3, 5), 1)


def no_figures(*rows: str) -> Figures:
    """An empty table, with these rows first."""
    figures: Figures = defaultdict(lambda: defaultdict(list))
    for row in rows:
        _ = figures[row]
    return figures


async def measure_growth(folder: Path, plan: Plan) -> Figures:
    """Grow one thread by a message at a time: bytes of the closed file, and seconds to list it."""
    rows = {size: f"file bytes ÷ messages' bytes, N = {size:,}" for size in (*plan.grown, plan.grown_further)}
    figures, dumps = no_figures(*rows.values()), JsonPlusSerializer().dumps_typed
    for size, row in rows.items():
        home = folder / f"growth-{size}"
        home.mkdir()
        async with opened(home, *(SAVERS if size in plan.grown else (OURS,))) as savers:
            talks = {name: Conversation(name, saver) for name, saver in savers.items()}
            for talk in talks.values():
                await talk.begin()
            for _ in range(size - 1):
                for talk in talks.values():
                    await talk.step()
            for _ in range(plan.rounds if size <= 200 else 1):
                for name in READABLE if size in plan.listed else ():
                    figures[f"list {size:,} checkpoints, s"][name].append(await talks[name].list_all())
        for name, talk in talks.items():
            if name != MEMORY:
                stored = sum(path.stat().st_size for path in home.glob(f"{name}.db*"))
                figures[row][name].append(stored / sum(len(dumps(message)[1]) for message in talk.messages))
        shutil.rmtree(home)
    return figures


async def measure_steps(folder: Path, plan: Plan) -> Figures:
    """Cost of a superstep, and of reading the latest, in threads whose state already holds so many messages."""
    measures = ("put ms", "put CPU ms", "superstep ms", "superstep CPU ms", "read latest ms")
    figures = no_figures(*(f"{measure}, N = {size:,}" for measure in measures for size in plan.sizes))
    for size in plan.sizes:
        async with opened(folder, *SAVERS) as savers:
            talks = {name: Conversation(name, saver, f"of-{size}") for name, saver in savers.items()}
            for talk in talks.values():
                await talk.begin(size)
                await talk.step()
            for _ in range(plan.samples):
                for name, talk in talks.items():
                    writes, put = await talk.step()
                    taken = (put.wall, put.cpu, writes.wall + put.wall, writes.cpu + put.cpu)
                    for measure, value in zip(measures, taken, strict=False):
                        figures[f"{measure}, N = {size:,}"][name].append(value)
            for _ in range(7):
                for name in READABLE:
                    figures[f"{measures[-1]}, N = {size:,}"][name].append(await talks[name].read())
    first, last = min(plan.sizes), max(plan.sizes)
    for name in SAVERS:
        least, most = (statistics.median(figures[f"superstep CPU ms, N = {size:,}"][name]) for size in (first, last))
        figures[f"superstep CPU, N = {last:,} ÷ N = {first:,}"][name].append(most / least)
    return figures


class Crowd(NamedTuple):
    """How many threads fared: when they began and ended, and milliseconds of each superstep."""

    began: float
    ended: float
    taken: list[float]


async def run_crowd(name: str, saver: Any, label: str, threads: int, steps: int) -> Crowd:
    """Let so many threads take supersteps at once: as tasks if the saver is asynchronous, else as OS threads."""
    talks = [Conversation(name, saver, f"{label}-{number}") for number in range(threads)]
    taken: list[float] = []
    for talk in talks:
        await talk.begin()

    async def converse(talk: Conversation) -> None:
        for _ in range(steps):
            taken.append(sum(part.wall for part in await talk.step(with_cpu=False)))

    def converse_in_thread(talk: Conversation, start: threading.Event) -> None:
        start.wait()
        with suppress(StopIteration):
            converse(talk).send(None)  # runs to its end: nothing in it waits, so it needs no event loop

    if name in ASYNC:
        began = time.time()
        await asyncio.gather(*map(converse, talks))
    else:
        start = threading.Event()
        workers = [threading.Thread(target=converse_in_thread, args=(talk, start)) for talk in talks]
        for worker in workers:
            worker.start()
        began = time.time()
        start.set()
        for worker in workers:
            worker.join()
    ended = time.time()
    assert len(taken) == threads * steps, "a thread failed"
    for talk in talks if name in READABLE else ():
        await talk.read()
    return Crowd(began, ended, taken)


def add_crowd(figures: Figures, of: str, name: str, crowd: Crowd) -> None:
    percentiles = statistics.quantiles(crowd.taken, n=100, method="inclusive")
    figures[f"supersteps/s, {of}"][name].append(len(crowd.taken) / (crowd.ended - crowd.began))
    for percent in (50, 99):
        figures[f"superstep p{percent} ms, {of}"][name].append(percentiles[percent - 1])


async def measure_crowds(folder: Path, plan: Plan) -> Figures:
    figures = no_figures()
    async with opened(folder, *SAVERS) as savers:
        for turn in range(plan.rounds):
            for threads, steps in plan.crowds:
                for name, saver in savers.items():
                    crowd = await run_crowd(name, saver, f"{turn}-{threads}", threads, steps)
                    add_crowd(figures, f"{threads} threads" if threads > 1 else "1 thread", name, crowd)
    return figures


def be_one_of_many(name: str, folder: Path, number: int, plan: Plan, line: Barrier, answers: "Queue[Crowd]") -> None:
    """One process of `measure_processes`: waits in line until all are there, then runs a crowd of its own."""

    async def go() -> Crowd:
        _, threads, steps = plan.processes
        async with opened(folder, name) as savers:
            await Conversation(name, savers[name], f"warm-{number}").begin()
            line.wait(60)
            return await run_crowd(name, savers[name], f"of-{number}", threads, steps)

    answers.put(asyncio.run(go()))


def measure_processes(folder: Path, plan: Plan) -> Figures:
    """Several processes on one file, each with a crowd of its own."""
    figures, (count, threads, _) = no_figures(), plan.processes
    multiprocessing.set_forkserver_preload(["signoff.checkpoints.saver.saver", "langgraph.checkpoint.sqlite.aio"])
    for turn in range(plan.rounds):
        for name in (OURS, OURS_ASYNC, OFFICIAL, OFFICIAL_ASYNC, BARE):
            home = folder / f"processes-{turn}-{name}"
            home.mkdir()
            line = multiprocessing.Barrier(count)
            answers: Queue[Crowd] = multiprocessing.Queue()
            shared = [(name, home, number, plan, line, answers) for number in range(count)]
            started = [multiprocessing.Process(target=be_one_of_many, args=each) for each in shared]
            for process in started:
                process.start()
            crowds = [answers.get(timeout=120) for _ in started]
            for process in started:
                process.join()
            began, ended = min(each.began for each in crowds), max(each.ended for each in crowds)
            all_of_them = Crowd(began, ended, [one for crowd in crowds for one in crowd.taken])
            add_crowd(figures, f"{count} processes × {threads} threads", name, all_of_them)
    return figures


def sync_milliseconds(folder: Path) -> float:
    """Median of a 4 kB write with fsync: no durable commit can be faster."""
    times = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(50):
            began = Clocks()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            times.append(began.passed().wall)
    return statistics.median(times)


def table_of(sections: list[Figures], *, markdown: bool) -> Table:
    table = Table("medians", box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    for column in (*SAVERS, *RATIOS):
        table.add_column(column, justify="right", no_wrap=True)
    for figures in sections:
        for row, samples in figures.items():
            measured = {name: statistics.median(values) for name, values in samples.items()}
            ratios = [measured[a] / measured[b] if {a, b} <= set(measured) else None for a, b in RATIOS.values()]
            table.add_row(row, *(shown(figure) for figure in [*map(measured.get, SAVERS), *ratios]))
        if not markdown:
            table.add_section()
    return table


def shown(figure: float | None) -> str:
    """Three digits that count."""
    if figure is None:
        return "–"
    if figure >= 100 or figure == 0:
        return f"{figure:,.0f}"
    return f"{figure:.{max(0, 2 - math.floor(math.log10(figure)))}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: only to see that it works")
    parser.add_argument("--markdown", action="store_true", help="print the table for a document")
    parser.add_argument("--folder", help="where to write: a folder on a real disk, if the usual one is in memory")
    parser.add_argument("--states", nargs="*", help="only states of many shapes: those with one of these words, or all")
    asked = parser.parse_args()
    if asked.states is not None:
        names = [name for name in STATES if not asked.states or any(word in name for word in asked.states)]
        with tempfile.TemporaryDirectory(dir=asked.folder) as home:
            Console(width=None if sys.stdout.isatty() else 160).print(table_of_states(Path(home), names))
        return
    multiprocessing.set_start_method("forkserver" if hasattr(os, "fork") else "spawn")  # never with our threads in it
    plan, began, progress = QUICK if asked.quick else Plan(), time.perf_counter(), Console(stderr=True)
    with tempfile.TemporaryDirectory(dir=asked.folder) as home:
        folder = Path(home)
        synced = sync_milliseconds(folder)
        progress.print("growing threads...")
        sections = [asyncio.run(measure_growth(folder, plan))]
        progress.print("taking supersteps...")
        sections.append(asyncio.run(measure_steps(folder, plan)))
        progress.print("many threads at once...")
        sections.append(asyncio.run(measure_crowds(folder, plan)))
        progress.print("several processes...")
        sections.append(measure_processes(folder, plan))
        progress.print("states of many shapes...")
        states = table_of_states(folder, list(STATES)[:: 7 if asked.quick else 1])
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table_of(sections, markdown=asked.markdown))
    console.print(states)
    packages = ("signoff", "langgraph", "langgraph-checkpoint", "langgraph-checkpoint-sqlite", "aiosqlite")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    console.print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {versions}; {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} cores; a 4 kB write with fsync takes {synced:.2g} ms here; "
        f"measured in {time.perf_counter() - began:.0f} s."
    )
    console.print(LEGEND)


if __name__ == "__main__":
    main()
