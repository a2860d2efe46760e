"""Work item by item, as whoever runs it sees it: while it goes on, afterwards, and in a notebook."""

from pathlib import Path
from typing import Any

TEAM = """
from pydantic import BaseModel

from signoff import Agent, Artifact, Each, Run, Task, Team


class Trip(BaseModel):
    goal: str = "look at towns"
    towns: list[str]


class Found(Artifact):
    text: str


class Table(Artifact):
    lines: tuple[str, ...]


def look(task: Task) -> Found:
    if task.item == "Bonn":
        raise ValueError("no road")
    return Found(text=task.item)


each = Each(
    items=lambda task: task.input.towns,
    gives=Found,
    function=look,
    join=lambda rows, task: Table(lines=tuple(row.name for row in rows if row.gave)),
)
team = Team(name="towns", input=Trip, agents=[Agent(role="scout", gives=Table, each=each)])
"""


def test_how_many_items_are_done_and_why_one_failed_is_told_wherever_a_run_is_shown(home: Path, signoff: Any) -> None:
    (home / "towns_of_items.py").write_text(TEAM)
    said = signoff("run", "towns_of_items:team", "--towns", "Ulm", "--towns", "Bonn", "--towns", "Jena")
    assert said.code == 0, said.err
    for line in ("scout: 0 of 3 done", "scout: Ulm: done", "scout: Bonn: failed: ValueError: no road", "scout: 2 of 3"):
        assert line in said.err
    (run,) = signoff("runs", "--json").json
    shown = signoff("show", run["id"]).out
    assert "Table is ready. (3 items, 1 failed)" in shown
    assert "scout failed at Bonn: ValueError: no road" in shown
    rows = signoff("show", run["id"], "--json").json["state"]["items"]["scout"]
    assert [(name, row["status"]) for name, row in rows.items()] == [
        ("Ulm", "done"),
        ("Bonn", "failed"),
        ("Jena", "done"),
    ]
    import towns_of_items  # type: ignore[import-not-found]  # just written

    opened = towns_of_items.Run.open(run["id"], team=towns_of_items.team)
    assert "(3 items, 1 failed)" in opened._repr_markdown_()
