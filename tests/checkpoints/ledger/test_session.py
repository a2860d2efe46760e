"""Threads that write at once share a commit, and nothing else."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import OperationalError

from signoff.checkpoints.ledger.ledger import Ledger
from signoff.errors import DatabaseUnusable, UnknownRun

CROWD = 30


@contextmanager
def told(what: str, listener: "Callback") -> Iterator[None]:
    """The listener is told of what every connection does."""
    event.listen(Engine, what, listener)
    try:
        yield
    finally:
        event.remove(Engine, what, listener)


class Callback:
    """Counts the commits, and fails them if it is told to."""

    def __init__(self, *, failing: bool = False) -> None:
        self.seen, self.failing = 0, failing

    def __call__(self, connection: Connection) -> None:
        self.seen += 1
        if self.failing:
            raise OperationalError("COMMIT", None, Exception("the disk is full"))


def append(ledger: Ledger, name: str, *, fails: bool = False) -> None:
    with ledger.write() as connection:
        ledger.audit.append(connection, "", "people", name=name, role="", change="")
        if fails:
            raise UnknownRun(name)


def names(ledger: Ledger) -> set[str]:
    return {entry.body["name"] for entry in ledger.audit.entries()}


def crowd(ledger: Ledger, pool: ThreadPoolExecutor, failing: int = 0) -> "list[Future[None]]":
    """Many threads that all want to write while another does."""
    waiting = threading.Barrier(CROWD + 1)

    def work(number: int) -> None:
        waiting.wait()
        append(ledger, str(number), fails=bool(failing) and number % failing == 0)

    with ledger.write():
        done = [pool.submit(work, number) for number in range(CROWD)]
        waiting.wait()
    return done


def test_threads_that_wait_to_write_share_a_few_commits(ledger: Ledger) -> None:
    append(ledger, "first")
    counted = Callback()
    with ThreadPoolExecutor(CROWD) as pool, told("commit", counted):
        for each in crowd(ledger, pool):
            each.result()
    assert len(names(ledger)) == CROWD + 1
    assert counted.seen <= CROWD // 3
    assert ledger.audit.verify().ok


def test_what_is_raised_in_one_turn_undoes_that_turn_alone(ledger: Ledger) -> None:
    append(ledger, "first")
    with ThreadPoolExecutor(CROWD) as pool:
        ended = [each.exception() for each in crowd(ledger, pool, failing=3)]
    assert [isinstance(error, UnknownRun) for error in ended] == [number % 3 == 0 for number in range(CROWD)]
    assert names(ledger) == {"first", *(str(number) for number in range(CROWD) if number % 3)}
    assert ledger.audit.verify().ok


def test_a_statement_that_fails_in_one_turn_undoes_that_turn_alone(ledger: Ledger) -> None:
    append(ledger, "first")

    def spoil() -> None:
        with ledger.write() as connection:
            ledger.audit.append(connection, "", "people", name="lost", role="", change="")
            connection.execute(text("INSERT INTO audit (seq) VALUES (1)"))

    with ThreadPoolExecutor(CROWD) as pool:
        with ledger.write():
            good = [pool.submit(append, ledger, str(number)) for number in range(5)]
            bad = pool.submit(spoil)
            good += [pool.submit(append, ledger, str(number)) for number in range(5, 10)]
        for each in good:
            each.result()
        assert isinstance(bad.exception(), DatabaseUnusable)
    assert names(ledger) == {"first", *map(str, range(10))}


def test_a_commit_that_fails_is_told_to_everybody_in_it_and_nothing_stays(ledger: Ledger) -> None:
    append(ledger, "first")
    with ThreadPoolExecutor(CROWD) as pool:
        done: list[Future[None]] = []
        with told("commit", Callback(failing=True)):
            with pytest.raises(DatabaseUnusable, match="full"):
                done = crowd_then_fail(ledger, pool, done)
            ended = [each.exception() for each in done]
    assert len(ended) == CROWD
    assert {getattr(error, "problem", error) for error in ended} == {"the disk is full"}
    assert names(ledger) == {"first"}
    append(ledger, "last")
    assert names(ledger) == {"first", "last"}


def crowd_then_fail(ledger: Ledger, pool: ThreadPoolExecutor, done: "list[Future[None]]") -> "list[Future[None]]":
    done += [pool.submit(append, ledger, str(number)) for number in range(CROWD)]
    append(ledger, "mine")
    return done


def test_what_was_written_in_a_turn_is_on_disk_when_it_ends(ledger: Ledger, database: str) -> None:
    other = Ledger(database)

    def work(number: int) -> bool:
        append(ledger, str(number))
        return str(number) in names(other)

    with ThreadPoolExecutor(CROWD) as pool:
        assert all(pool.map(work, range(2 * CROWD)))
    other.close()
