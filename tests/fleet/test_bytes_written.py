"""What a small job writes, counted in the write-ahead log: whole pages, and each commit all that it touched."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

import pytest

from signoff import Agent, Artifact, Ledger, Team
from signoff.agents.models.openai.chat_model import Endpoint
from signoff.checkpoints.ledger.budgets import reservations
from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.testing import ScriptedServer, gives

HEAD, FRAME_HEAD = 32, Struct(">II16x")
"""What a log begins with, and each page in it: the page's number, and the file's pages if a commit ends with it."""


class Notes(Artifact):
    text: str


class Draft(Notes):
    pass


class Report(Notes):
    pass


class Written(NamedTuple):
    """What was written to a log."""

    bytes: int
    commits: int


def written(database: Path) -> Written:
    """What was written since the log was emptied."""
    log = Path(f"{database}-wal").read_bytes()
    frame = FRAME_HEAD.size + int.from_bytes(log[8:12], "big")
    heads = [FRAME_HEAD.unpack_from(log, at) for at in range(HEAD, len(log), frame)]
    return Written(len(log), sum(pages > 0 for _, pages in heads))


def empty_log(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


@pytest.mark.parametrize("size", [100, 2000])
def test_a_job_of_three_agents_writes_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    database = tmp_path / "signoff.db"
    monkeypatch.setenv("SIGNOFF_PRICES", '{"scripted": {"input": 1, "output": 4}}')
    monkeypatch.setattr(reservations, "_LONGEST_ALONG", 3600.0)  # however long the machine takes for a step
    texts = [f"{letter} " * (size // 2) for letter in "abc"]
    answers = [kind(text=text) for kind, text in zip((Notes, Draft, Report), texts, strict=True)]

    found: list[Written] = []

    async def play(graph: Any) -> None:
        for number in range(5):
            empty_log(database)
            result = await graph.ainvoke({"goal": "Write"}, {"configurable": {"thread_id": f"r-{number}"}})
            assert result["run"]["ended"] == "done"
            found.append(written(database))

    with ScriptedServer([gives(answer) for _ in range(5) for answer in answers]) as server:
        model = Endpoint(model="scripted", base_url=server.url, api_key="test", max_retries=0)
        agents: list[Agent[Any]] = [
            Agent(role="clerk", gives=Notes, model=model),
            Agent(role="writer", needs=(Notes,), gives=Draft, model=model),
            Agent(role="editor", needs=(Draft,), gives=Report, model=model),
        ]
        with closing(Ledger(database)) as ledger, SqliteCheckpointer(database) as saver:
            team = Team(name="press", agents=agents, ledger=ledger, budget="$1")
            asyncio.run(play(team.compile(checkpointer=saver)))
            assert ledger.audit.verify().ok
    # How many pages are touched varies with where rows fall in them: the least of them tells.
    assert min(found[2:]).bytes < 175_000, found
