"""What ready-made teams take as their lists grow: companies compared, leads written to a CRM, repositories mended.

    python3 make.py bench -- teams [--companies 100 200] [--leads 250 500] [--repositories 10 20]
        [--only TEAM ...] [--markdown]

Each run is a process of its own: code alone, or a model behind a scripted endpoint that answers at once. Every document
has a mark of its own, so that the endpoint can tell how often a company's evidence was sent; every repository has a
file of five megabytes. Whatever is asked is approved, all of a kind at once. The last columns are the larger list over
the smaller one, per item: 1.00 is linear.
"""

import argparse
import json
import platform
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from signoff.agents.roles.tables.table_report import Overview, Said
from signoff.agents.roles.tables.table_researcher import Answer, Answers
from signoff.testing import Call, ScriptedServer, gives

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "shared"))

from crates import asks, make_crate, write_knots, write_records

FIELDS = (
    "licence",
    "version",
    "price",
    "founded",
    "headquarters",
    "employees",
    "python version",
    "support",
    "regions",
    "likeness",
)
"""The last is free text, which a model finds."""
MARK = re.compile(r"mark-\d+-\w+")
RUBRIC = """
minimum = 1
columns = ["licence", "version", "price", "founded", "headquarters", "employees", "python version", "regions"]
draft = "Hello {Name},\\n{Version} is out."

[[rules]]
points = 2
name = "has support"
column = "Support"
has = "e"

[[followups]]
step = "first mail"
after_days = 0
text = "Is {Version} your last version?"
"""


def page(number: int) -> str:
    """A company's page; nothing in it stands in another one's."""
    return f"""Name: firm{number:04}
License: {("MIT", "ISC", "Apache-2.0")[number % 3]}
Version: {number % 9}.{number}
Price: ${number + 10} a month
Founded: {1950 + number % 70}
Headquarters: Port {number}
Employees: {number + 3}
Requires-Python: >=3.{8 + number % 5}
Support: by mail, desk {number}
Regions: north {number}

firm{number:04} finds fish by likeness of fin number {number}. See mark-{number}-x.
{"It is a page with some text more, as pages are. " * 20}
"""


def answered(call: Call) -> Any:
    """What the model says: of a page the free text; a sentence to each lead."""
    found = re.search(r"finds fish (by likeness of fin number \d+)", call.last)
    if found is not None:
        return gives(Answers(answers=[Answer(column="likeness", value=found[1], quote=f"finds fish {found[1]}")]))
    cell = re.search(r"\[(\d+)\] version: (\S+)", call.last)
    named = re.search(r"firm\d+", call.last)
    name = named[0] if named is not None else ""
    said = [Said(text=f"{name} is version {cell[2]}.", cells=[int(cell[1])])] if cell is not None else []
    return gives(Overview(sentences=said))


def work(team: str, url: str, folder: Path, size: int) -> dict[str, Any]:
    """One run to its end, everything approved; what it took."""
    from signoff import Run, Settings
    from signoff.graphs.teams.competitors import competitors_team
    from signoff.graphs.teams.leads import leads_team
    from signoff.graphs.teams.remediation import remediation_team

    settings = Settings(home=folder / "home", database=str(folder / "signoff.db"), model="offline")
    if url:
        model = {"base_url": url, "api_key": "none", "model": "openai:scripted"}
        settings = Settings(home=settings.home, database=settings.database, **model)  # type: ignore[arg-type]
    given: dict[str, Any] = {"sources": str(folder / "pages"), "out": str(folder / "out.md")}
    if team == "remediation":
        repos = [folder / f"repo{number}" for number in range(size)]
        given = asks(repos, folder / "advisories", [folder / "wheels"], folder / "out.md")
        made = remediation_team(settings=settings)
    elif team == "competitors":
        names = [f"firm{number:04}" for number in range(size)]
        given |= {"goal": "fish finders", "companies": names, "categories": list(FIELDS)}
        made = competitors_team(settings=settings)
    else:
        given |= {"rubric": str(folder / "rubric.toml"), "crm": str(folder / "crm.db")}
        made = leads_team(settings=settings)
    before, wall, cpu = peak_mb(), time.perf_counter(), time.process_time()
    run = Run.start(made, given, settings=settings)
    asked = Counter[str]()
    while run.approval is not None:
        asked[run.approval.action] += 1
        run.approve(approval=run.alike(), by="ann")
    took = {"s": time.perf_counter() - wall, "CPU s": time.process_time() - cpu, "memory MB": peak_mb() - before}
    assert run.status == "done", run.record.note
    return {**took, "questions": sum(asked.values())}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform != "darwin" else 1024) / 1e3


def measure(team: str, body: str, size: int) -> dict[str, float]:
    """A run in a process of its own: what it took, per item but for the questions, and what the endpoint saw."""
    with tempfile.TemporaryDirectory() as name, ScriptedServer(answered) as server:
        folder = Path(name)
        (folder / "pages").mkdir()
        (folder / "rubric.toml").write_text(RUBRIC)
        if team == "remediation":
            write_records(folder / "advisories")
            write_knots(folder / "wheels")
            for number in range(size):
                make_crate(folder / f"repo{number}", {"data.txt": f"{number} " * (5_000_000 // len(f"{number} "))})
        for number in range(size):
            (folder / "pages" / f"firm{number:04}.txt").write_text(page(number))
        command = [sys.executable, __file__, "--team", team, "--size", str(size), "--folder", name]
        command += ["--url", server.url] if body == "model" else []
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        with closing(sqlite3.connect(folder / "signoff.db")) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        told["database kB"] = (folder / "signoff.db").stat().st_size / 1e3
        sent = [json.dumps(request.body, ensure_ascii=False) for request in server.requests]
    marks = Counter(mark for body_ in sent for mark in MARK.findall(body_))
    found = {name: value / (1 if name == "questions" else size) for name, value in told.items()}
    if body == "model":
        found |= {"calls": len(sent) / size, "prompt bytes": sum(len(one.encode()) for one in sent) / size}
        found |= {"evidence sent": sum(marks.values()) / size}
        assert set(marks.values()) == {1}, f"sent more than once: {marks.most_common(3)}"
    return found


UNITS = {"s": "ms", "CPU s": "CPU ms", "memory MB": "memory kB"}


def rows(team: str, body: str, sizes: tuple[int, int]) -> list[list[str]]:
    """What both sizes took, side by side, and the ratio."""
    small, large = (measure(team, body, size) for size in sizes)
    who = f"{team}, {'a scripted model' if body == 'model' else 'code'}"
    found = []
    for name in small:
        scale = 1000 if name in UNITS else 1
        label = name if name == "questions" else f"{UNITS.get(name, name)} an item"
        ratio = f"{large[name] / small[name]:.2f}" if small[name] else "–"
        found.append([f"{who}: {label}", *(f"{scale * one[name]:,.4g}" for one in (small, large)), ratio])
    return found


def main(arguments: Any) -> None:
    packages = ", ".join(f"{name} {version(name)}" for name in ("signoff", "langgraph", "sqlite-utils"))
    sizes = {"competitors": arguments.companies, "leads": arguments.leads, "remediation": arguments.repositories}
    chosen = {team: tuple(two) for team, two in sizes.items() if team in (arguments.only or sizes)}
    title = (
        f"{'; '.join(f'{team}: {two[0]} and {two[1]}' for team, two in chosen.items())}; {len(FIELDS)} fields; "
        f"Python {platform.python_version()}, {packages}"
    )
    columns = ["", "smaller list", "larger list", "larger ÷ smaller"]
    found = [
        row
        for team, two in chosen.items()
        for body in (("code",) if team == "remediation" else ("code", "model"))
        for row in rows(team, body, two)
    ]
    table = Table(*columns, title=title, box=box.MARKDOWN if arguments.markdown else box.SIMPLE_HEAD)
    for row in found:
        table.add_row(*row)
    Console(width=250 if arguments.markdown else None).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--companies", type=int, nargs=2, default=(100, 200), metavar="NUMBER")
    parser.add_argument("--leads", type=int, nargs=2, default=(250, 500), metavar="NUMBER")
    parser.add_argument("--repositories", type=int, nargs=2, default=(10, 20), metavar="NUMBER")
    parser.add_argument("--only", nargs="+", choices=("competitors", "leads", "remediation"), metavar="TEAM")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--team", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--url", default="", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.team:
        print(json.dumps(work(chosen.team, chosen.url, chosen.folder, chosen.size)))
    else:
        main(chosen)
