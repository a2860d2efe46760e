"""What a job costs beside the model: the same scripted report job done by several teams, in turn, in one run.

    python3 make.py bench -- overhead [--rounds 15] [--jobs 5] [--markdown]

Each team works in a process of its own against an endpoint of its own that answers at once. Ours keeps saver, ledger,
budgets and audit; the others keep LangGraph's AsyncSqliteSaver. Figures are per job: medians over the rounds for
times, totals for calls and bytes. The last lines are ours over each of the others, by the medians.
"""

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jobs.scripted_endpoint import ScriptedEndpoint, scripted_endpoint
from jobs.scripted_job import TEAMS
from rich.console import Console
from rich.table import Table

OURS = "signoff"
OTHERS = [team for team in TEAMS if team != OURS]
MEASURES = {
    "model calls": "calls",
    "prompt bytes": "prompt_bytes",
    "CPU ms": "cpu_ms",
    "wall ms": "wall_ms",
    "disk bytes": "disk",
}


async def work(team: str, url: str, folder: Path) -> None:
    """Do as many jobs as each line on standard input says, and tell what they took."""
    loop = asyncio.get_running_loop()
    async with TEAMS[team](url, folder) as job:
        for number in range(1_000_000):
            line = await loop.run_in_executor(None, sys.stdin.readline)
            if not line:
                return
            wall, cpu = time.perf_counter(), time.process_time()
            for place in range(int(line)):
                await job(f"job-{number}-{place}")
            spent = {"wall_ms": (time.perf_counter() - wall) * 1e3, "cpu_ms": (time.process_time() - cpu) * 1e3}
            print(json.dumps(spent), flush=True)


class Contestant:
    """A team at work in its own process."""

    def __init__(self, team: str, endpoint: ScriptedEndpoint, folder: Path) -> None:
        self.endpoint, self.folder = endpoint, folder
        folder.mkdir()
        command = [sys.executable, __file__, "--team", team, "--url", endpoint.url, "--folder", str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def do(self, jobs: int) -> dict[str, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{jobs}\n")
        self.process.stdin.flush()
        told: dict[str, float] = json.loads(self.process.stdout.readline())
        return {name: value / jobs for name, value in told.items()}

    def end(self) -> int:
        """End it; the bytes it left on disk."""
        self.process.communicate(timeout=60)
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def measure(rounds: int, jobs: int) -> dict[str, dict[str, float]]:
    """What one job took each team."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        teams = {
            team: Contestant(team, stack.enter_context(scripted_endpoint(0.0)), folder / str(place))
            for place, team in enumerate(TEAMS)
        }
        for contestant in teams.values():
            contestant.do(1)  # imports, and what else is done once
        before = {team: contestant.endpoint.counts() for team, contestant in teams.items()}
        times: dict[str, dict[str, list[float]]] = {team: defaultdict(list) for team in teams}
        for place in range(rounds):
            order = list(teams.items())
            for team, contestant in order if place % 2 else reversed(order):
                for name, value in contestant.do(jobs).items():
                    times[team][name].append(value)
        found: dict[str, dict[str, float]] = {}
        for team, contestant in teams.items():
            counts, done = contestant.endpoint.counts(), rounds * jobs
            found[team] = {
                "calls": (counts.calls - before[team].calls) / done,
                "prompt_bytes": (counts.prompt_bytes - before[team].prompt_bytes) / done,
                "disk": contestant.end() / (done + 1),
                **{name: statistics.median(values) for name, values in times[team].items()},
            }
        return found


def show(found: dict[str, dict[str, float]], *, title: str, markdown: bool) -> None:
    """Print the table."""
    columns = ["per job", *found, *(f"{OURS} ÷ {other}" for other in OTHERS)]
    rows = [
        [
            name,
            *(f"{figures[key]:,.1f}" for figures in found.values()),
            *(f"{found[OURS][key] / found[other][key]:.2f}" for other in OTHERS),
        ]
        for name, key in MEASURES.items()
    ]
    if markdown:
        print(f"{title}\n\n| {' | '.join(columns)} |\n| {' | '.join('---' for _ in columns)} |")
        print("\n".join(f"| {' | '.join(row)} |" for row in rows))
        return
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def main(arguments: Any) -> None:
    packages = ("signoff", "langgraph", "langchain-openai", "langgraph-supervisor", "langgraph-checkpoint-sqlite")
    title = f"{arguments.rounds} × {arguments.jobs} jobs; Python {platform.python_version()}, " + ", ".join(
        f"{name} {version(name)}" for name in packages
    )
    show(measure(arguments.rounds, arguments.jobs), title=title, markdown=arguments.markdown)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--jobs", type=int, default=5, help="jobs of each team in one round")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--team", choices=list(TEAMS), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.team:
        asyncio.run(work(chosen.team, chosen.url, chosen.folder))
    else:
        main(chosen)
