"""What a page reads of the ledger, in SQLite and PostgreSQL, and what a browser loads, however much there is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from html import escape
from typing import Any

import pytest
from desk_pages import ORIGIN, fill, walk
from sqlalchemy import event, update
from starlette.testclient import TestClient

from signoff.checkpoints import canonical_json
from signoff.checkpoints.jobs import Which
from signoff.checkpoints.ledger import Ledger, Person
from signoff.checkpoints.ledger.schema import approvals, proposals
from signoff.desk.web import desk_app
from signoff.desk.web.rendering import in_words

MOST_QUERIES, MOST_ROWS, MOST_BYTES = 12, 60, 150_000
LISTS = ("/", "/?tab=all", "/?tab=decided", "/?tab=snoozed", "/?team=post", "/runs", "/runs?status=waiting", "/audit")
OTHERS = ("/people", "/budgets", "/fleet", "/fleet/schedules", "/fleet/workers", "/memory", "/start")
ONE = ("/approvals/a-50w", "/approvals/a-50d", "/batches/a-50w", "/runs/r-50")


def at_the_page(ledger: Ledger, token: str = "") -> TestClient:
    token = token or ledger.people.give_key(Person("ann"), "token", days=1, by="ann")
    headers = {"authorization": f"Bearer {token}"}
    return TestClient(desk_app(ORIGIN, ledger=ledger), base_url=ORIGIN, headers=headers)


def read_by(ledger: Ledger, call: Callable[[], Any]) -> tuple[int, int]:
    """How many queries a request makes, and how many rows they give."""
    found = rows_of(ledger, call)
    return len(found), sum(map(len, found))


def rows_of(ledger: Ledger, call: Callable[[], Any]) -> list[Any]:
    """The rows of each query that a request makes."""
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
        return [connection.exec_driver_sql(statement, parameters).all() for statement, parameters in seen]


def costs(ledger: Ledger, client: TestClient, paths: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Of each page, once it was shown before, how much it reads; no page is large."""
    found = {}
    for path in paths:
        assert len(client.get(path).content) < MOST_BYTES, path
        found[path] = queries, rows = read_by(ledger, lambda path=path: client.get(path))  # type: ignore[misc]
        assert queries <= MOST_QUERIES, (path, queries)
        assert rows <= MOST_ROWS, (path, rows)
    return found


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


def test_a_page_reads_the_same_of_a_hundred_approvals_and_of_ten_thousand(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, reads, pages = list[dict[str, int]](), list[Any](), LISTS + OTHERS + ONE
    jobs, asked = 5_000, list[Any]()
    token = ledger.people.give_key(Person("ann"), "token", days=1, by="ann")
    for first, last in ((0, 100), (100, 10_000)):
        fill(ledger, first, last, of_jobs=True)
        asked.append([ledger.jobs.questions(Which(tenant="default"), most) for most in (0, 100)])
        ledger.close()
        with counted_work(monkeypatch) as done:
            client = at_the_page(ledger, token)
            reads.append(costs(ledger, client, pages))
            each = dict[str, int]()
            for path in pages:
                before = done[0]
                assert client.get(path).status_code == 200
                each[path] = done[0] - before
            work.append(each)
    assert reads[0] == reads[1]
    # How many jobs stand how is counted exactly, by an index: some 10 instructions a job.
    work[1]["/fleet"] -= 10 * jobs // 100
    more = {path: (few, many) for path, few in work[0].items() if (many := work[1][path]) > 1.3 * few}
    assert not more
    (whole, brief), (all_, first) = asked
    assert brief == whole
    assert (all_.open, all_.are_all, first.open, first.are_all) == (jobs, True, 100, False)
    assert (first.oldest, first.unknown) == (all_.oldest, all_.unknown)
    said = client.get("/fleet").text
    assert "100 questions or more wait for people, the oldest for at least" in said
    assert f"{jobs:,} jobs wait." in said
    assert sum(work[0].values()) > 0
    counts = ledger.inbox.counts(Person("ann"))
    assert (counts.mine, counts.all, counts.snoozed) == (100, 100, 0)
    assert '<span class="count">99+</span>' in client.get("/").text


def test_of_large_arguments_the_inbox_reads_what_it_shows_alone(database: str) -> None:
    long, deep = "letter " * 40_000, [{"page": number} for number in range(20_000)]
    asked = {"text": long, "to": "bob", "pages": deep, "copies": 2, "sealed": True, "stamp": None, "cc": ["cy", "dee"]}
    with closing(Ledger(database)) as ledger:
        fill(ledger, 0, 20)
        with ledger.write() as connection:
            connection.execute(update(approvals).values(shown=canonical_json(asked), args=canonical_json(asked)))
            connection.execute(update(proposals).values(args=canonical_json(asked)))
        client = at_the_page(ledger)
        whole = in_words(ledger.approvals.get("a-7w"))
        for path, number in (("/", 20), ("/?tab=decided", 20), ("/runs/r-7", 1)):
            found = [row for rows in rows_of(ledger, lambda path=path: client.get(path)) for row in rows]  # type: ignore[misc]
            assert sum(len(value) for row in found for value in row if isinstance(value, str)) < 2_000 * (number + 5)
            words = "Post letter" if "://" in database else whole
            assert client.get(path).text.count(f">{escape(words)}</a>") == number, path
        assert ledger.approvals.get("a-7w").shown == asked


def test_a_page_reads_no_more_where_a_hundred_of_one_kind_wait_in_one_run(ledger: Ledger) -> None:
    fill(ledger, 0, 100)
    with ledger.write() as connection:
        for table in (proposals, approvals):
            connection.execute(update(table).values(run_id="r-50"))
    client = at_the_page(ledger)
    costs(ledger, client, (*ONE, "/?run=r-50", "/?tenant=acme", "/?tenant=!default&older=24", "/runs"))
    assert "None of these is here." in client.get("/?tenant=acme").text
    assert "Post letter" in client.get("/?tenant=!acme&older=168").text


def test_in_postgresql_a_page_reads_no_more(address: str) -> None:
    with closing(Ledger(address)) as ledger:
        fill(ledger, 0, 100)
        client = at_the_page(ledger)
        few = costs(ledger, client, (*LISTS, "/fleet", *ONE))
        fill(ledger, 100, 1_000)
        assert costs(ledger, client, (*LISTS, "/fleet", *ONE)) == few


@pytest.mark.parametrize("mixed", [("waiting",), ("done", "done", "failed", "running", "stopped")])
def test_the_list_of_runs_takes_as_little_work_of_thousands_as_of_hundreds(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, mixed: tuple[str, ...]
) -> None:
    work = []
    for first, last in ((0, 500), (500, 4_000)):
        fill(ledger, first, last, mixed)
        ledger.close()
        with counted_work(monkeypatch) as done:
            client = at_the_page(ledger)
            assert '<span class="count">99+</span>' in client.get("/runs").text
            before = done[0]  # of the list alone: what waits in all is looked through once a minute
            for path in ("/runs", "/runs?status=failed", "/runs?status=waiting"):
                assert client.get(path, headers={"hx-request": "true"}).status_code == 200
            work.append(done[0] - before)
    assert 0 < work[1] <= 1.3 * work[0], work


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
