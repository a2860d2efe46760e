"""What LangGraph Server is given for a graph: built once, though it is asked for at every look at a thread."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from signoff import report_team
from signoff.graphs.teams import server_graph
from signoff.tools.search import Sources


def test_a_graph_is_built_once_and_again_when_settings_or_folder_are_others(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "docs").mkdir()
    built: list[Any] = []

    def build() -> Any:
        built.append(report_team("docs").graph())
        return built[-1]

    graph = server_graph(build)
    assert asyncio.run(graph()) is asyncio.run(graph()) is built[0]
    monkeypatch.setenv("SIGNOFF_OUT", "other.md")
    assert asyncio.run(graph()) is asyncio.run(graph()) is built[1]
    (home / "elsewhere" / "docs").mkdir(parents=True)
    monkeypatch.chdir(home / "elsewhere")
    assert asyncio.run(graph()) is built[2]
    assert len(built) == 3


def test_documents_that_were_read_before_are_opened_without_a_connection(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "tides.md").write_text("# Tides\n\nThe moon pulls the water.\n")
    Sources.open(home).refresh()
    made: list[Any] = []
    connect: Any = sqlite3.connect

    def noted(*given: Any, **more: Any) -> Any:
        made.append(given)
        return connect(*given, **more)

    monkeypatch.setattr(sqlite3, "connect", noted)
    sources = Sources.open(home)
    assert made == []
    assert [hit.source for hit in sources.search("moon")] == ["tides.md"]
    assert made
