"""What a page reads of the ledger, in SQLite and PostgreSQL, and what a browser loads, however much there is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from desk_pages import ORIGIN
from sqlalchemy import event, insert
from starlette.testclient import TestClient

from signoff.checkpoints import configured_saver
from signoff.checkpoints.ledger import Ledger, Person
from signoff.checkpoints.ledger.schema import approvals, audit, proposals, runs
from signoff.desk.web import desk_app
from signoff.settings import load_settings

MOST_QUERIES, MOST_ROWS, MOST_BYTES = 12, 60, 150_000
LISTS = ("/", "/?tab=all", "/?tab=decided", "/?tab=snoozed", "/?team=post", "/runs", "/runs?status=waiting", "/audit")
OTHERS = ("/people", "/budgets", "/fleet", "/fleet/schedules", "/fleet/workers", "/memory", "/start")
ONE = ("/approvals/a-50w", "/approvals/a-50d", "/batches/a-50w", "/runs/r-50")


def fill(ledger: Ledger, first: int, last: int) -> None:
    """So many runs, each with an approval that waits and one that was decided."""
    rows: dict[Any, list[dict[str, object]]] = {runs: [], proposals: [], approvals: []}
    for place in range(first, last):
        at = f"2026-01-01T{place // 3600:02}:{place // 60 % 60:02}:{place % 60:02}.000000Z"
        run = {"id": f"r-{place}", "team": "post", "goal": f"goal {place}", "options": "{}", "status": "waiting"}
        rows[runs].append({**run, "driver": "graph", "created_at": at, "updated_at": at, "requested_by": "joe"})
        for kind in "wd":
            name, is_over = f"{place}{kind}", kind == "d"
            asked = {"action": "post_letter", "args": "{}", "args_sha256": "0", "reason": "", "risk": "external"}
            made = {"id": f"p-{name}", "run_id": run["id"], "proposed_by": "clerk", "created_at": at}
            rows[proposals].append({**made, **asked})
            decided = {"decided_by": "joe" if is_over else "", "decided_at": at if is_over else ""}
            row = {"id": f"a-{name}", "proposal_id": f"p-{name}", "run_id": run["id"], "shown": "{}", "args": "{}"}
            row |= {"shown_sha256": "0", "requested_at": at, "expires_at": "", **decided}
            rows[approvals].append({**row, "status": "approved" if is_over else "pending"})
    with ledger.write() as connection:
        for table, values in rows.items():
            connection.execute(insert(table), values)


def at_the_page(ledger: Ledger) -> TestClient:
    token = ledger.people.give_key(Person("ann"), "token", days=1, by="ann")
    headers = {"authorization": f"Bearer {token}"}
    return TestClient(desk_app(ORIGIN, ledger=ledger), base_url=ORIGIN, headers=headers)


def read_by(ledger: Ledger, call: Callable[[], Any]) -> tuple[int, int]:
    """How many queries a request makes, and how many rows they give."""
    seen: list[tuple[str, Any]] = []
    with ledger.read() as connection:
        engine = connection.engine

    def see(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            seen.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", see)
    try:
        assert call().status_code == 200
    finally:
        event.remove(engine, "before_cursor_execute", see)
    with ledger.read() as connection:
        rows = sum(len(connection.exec_driver_sql(statement, parameters).all()) for statement, parameters in seen)
    return len(seen), rows


def costs(ledger: Ledger, client: TestClient, paths: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Of each page, once it was shown before, how much it reads; no page is large."""
    found = {}
    for path in paths:
        assert len(client.get(path).content) < MOST_BYTES, path
        found[path] = queries, rows = read_by(ledger, lambda path=path: client.get(path))  # type: ignore[misc]
        assert queries <= MOST_QUERIES, (path, queries)
        assert rows <= MOST_ROWS, (path, rows)
    return found


def test_a_page_reads_the_same_of_a_hundred_approvals_and_of_ten_thousand(ledger: Ledger) -> None:
    fill(ledger, 0, 100)
    client = at_the_page(ledger)
    few = costs(ledger, client, LISTS + OTHERS + ONE)
    fill(ledger, 100, 10_000)
    assert costs(ledger, client, LISTS + OTHERS + ONE) == few
    counts = ledger.inbox.counts(Person("ann"))
    assert (counts.mine, counts.all, counts.snoozed) == (100, 100, 0)
    assert '<span class="count">99+</span>' in client.get("/").text


def test_in_postgresql_a_page_reads_no_more(address: str) -> None:
    with closing(Ledger(address)) as ledger:
        fill(ledger, 0, 100)
        client = at_the_page(ledger)
        few = costs(ledger, client, (*LISTS, "/fleet", *ONE))
        fill(ledger, 100, 1_000)
        assert costs(ledger, client, (*LISTS, "/fleet", *ONE)) == few


@contextmanager
def counted_work(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Counts what SQLite does, a hundred instructions at a time, on each connection that is opened from now on."""
    done, real = [0], sqlite3.connect

    def connect(*given: Any, **named: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(*given, **named)

        def count() -> int:
            done[0] += 1
            return 0

        connection.set_progress_handler(count, 100)
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", connect)
        patched.setattr(sqlite3.dbapi2, "connect", connect)
        yield done


def walk(ledger: Ledger, run: str, steps: int) -> None:
    """A run of so many steps, each with a checkpoint and an entry of the log."""
    from langgraph.checkpoint.base import empty_checkpoint

    at = "2026-01-01T00:00:00.000000Z"
    with ledger.write() as connection:
        row = {"id": run, "team": "post", "goal": "long", "options": "{}", "status": "done", "driver": "local"}
        connection.execute(insert(runs).values(**row, created_at=at, updated_at=at))
        begin = len(ledger.audit.entries())
        entry = {"at": at, "run_id": run, "event": "status", "body": "{}", "hash": "0"}
        connection.execute(insert(audit), [{**entry, "seq": begin + 1 + step} for step in range(steps)])
    config: Any = {"configurable": {"thread_id": run, "checkpoint_ns": ""}}
    with configured_saver(load_settings()) as saver:
        for step in range(steps):
            checkpoint, version = empty_checkpoint(), f"{step + 1:08}"
            checkpoint["channel_values"] = {"plan": [], "turns": step}
            checkpoint["channel_versions"] = {"plan": "00000001", "turns": version}
            config = saver.put(config, checkpoint, {"source": "loop", "step": step}, {"turns": version})


@pytest.mark.parametrize("steps", [500, pytest.param(5_000, marks=pytest.mark.hunt)])
def test_a_long_run_opens_with_as_little_work_as_a_short_one(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    walk(ledger, "r-short", 50)
    walk(ledger, "r-long", steps)
    ledger.close()
    work = {}
    with counted_work(monkeypatch) as done:
        client = at_the_page(ledger)
        for run in ("r-short", "r-long"):
            client.get(f"/runs/{run}")
            before = done[0]
            assert client.get(f"/runs/{run}").status_code == 200
            work[run] = done[0] - before
        rows = [read_by(ledger, lambda run=run: client.get(f"/runs/{run}")) for run in work]  # type: ignore[misc]
    assert work["r-short"] > 0
    assert work["r-long"] <= 1.3 * work["r-short"]
    assert rows[0] == rows[1]
