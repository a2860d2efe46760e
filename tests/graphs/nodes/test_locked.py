"""What a call returned is known, and the database cannot be written just then: nothing of it is lost."""

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from signoff import Ledger
from signoff.checkpoints.process_identity import working
from signoff.errors import ActionFailed, OutcomeUnwritten

APPROVE = {"decisions": [{"type": "approve"}]}
WRITER_LOCK = 0x5169_6E0F_0000_0002


@contextmanager
def locked(database: str) -> Iterator[None]:
    """Nobody else writes meanwhile."""
    if "://" not in database:
        connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.close()
        return
    import psycopg

    with psycopg.connect(database, autocommit=True) as server:
        server.execute("SELECT pg_advisory_lock(%s)", (WRITER_LOCK,))
        yield


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    """One that waits for nobody for long."""
    opened = Ledger(database, busy_seconds=0.1)
    yield opened
    opened.close()


class Lock:
    """Locks the database from the end of a call on, until it is told to let go."""

    def __init__(self, database: str) -> None:
        self._lock: AbstractContextManager[None] = locked(database)
        self._is_held = False

    def take(self) -> None:
        self._lock.__enter__()
        self._is_held = True

    def free(self) -> None:
        if self._is_held:
            self._is_held = False
            self._lock.__exit__(None, None, None)


@pytest.fixture
def lock(database: str) -> Iterator[Lock]:
    found = Lock(database)
    yield found
    found.free()


class Listener(logging.Handler):
    """Frees the lock once somebody was told that the outcome is not written yet."""

    def __init__(self, lock: Lock, patience: int) -> None:
        super().__init__()
        self._lock, self._patience = lock, patience
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())
        if len(self.said) == self._patience:
            self._lock.free()


@contextmanager
def listening(lock: Lock, patience: int) -> Iterator[Listener]:
    listener, log = Listener(lock, patience), logging.getLogger("signoff.checkpoints.ledger.effects")
    log.addHandler(listener)
    try:
        yield listener
    finally:
        log.removeHandler(listener)


def test_the_outcome_is_written_once_the_lock_is_gone_however_long_other_writes_would_wait(
    office: Any, lock: Lock
) -> None:
    office.after_paying = lock.take
    office.start()
    with listening(lock, 2) as listener:
        result = office.answer(APPROVE)
    assert [outcome["status"] for outcome in result["outcomes"]] == ["done"]
    assert len(office.paid) == 1
    assert all('it returned {"receipt":1}' in said for said in listener.said)


def test_that_it_was_not_done_is_written_too(office: Any, lock: Lock) -> None:
    def refuse() -> None:
        lock.take()
        raise ActionFailed("pay", "no such account")

    office.before_paying = refuse
    office.start()
    with listening(lock, 1):
        result = office.answer(APPROVE)
    assert [outcome["status"] for outcome in result["outcomes"]] == ["failed"]


def test_what_could_not_be_written_is_said_and_the_same_process_writes_it_later(office: Any, lock: Lock) -> None:
    office.after_paying = lock.take
    office.start()
    with pytest.raises(OutcomeUnwritten, match=r'it returned \{"receipt":1\}.*resume the run in this process'):
        office.answer(APPROVE)
    lock.free()
    office.after_paying = lambda: None
    result = office.run(None)
    assert [outcome["status"] for outcome in result["outcomes"]] == ["done"]
    assert (len(office.paid), office.ledger.approvals.pending("r-1")) == (1, [])


def test_whoever_stops_a_call_while_the_database_is_locked_is_not_made_to_wait(office: Any, lock: Lock) -> None:
    def interrupt() -> None:
        lock.take()
        raise KeyboardInterrupt

    office.after_paying = interrupt
    office.start()
    with listening(lock, 1) as listener, pytest.raises(KeyboardInterrupt):
        office.answer(APPROVE)
    assert not listener.said
    lock.free()
    office.after_paying = lambda: None
    result = office.run(None)
    assert result["__interrupt__"][0].value["action_requests"][0]["name"] == "settle_outcome"


def test_a_claim_that_its_process_no_longer_works_on_is_taken_by_it_at_once(office: Any) -> None:
    office.start()
    (asked,) = office.ledger.approvals.pending("r-1")
    approval = office.ledger.approvals.approve(asked.id, by="ann")
    with working() as owner:
        office.ledger.effects.claim(approval, owner=owner)
    question = office.run(None)["__interrupt__"][0].value["action_requests"][0]
    assert question["name"] == "settle_outcome"
    assert "this process" not in question["description"]


def test_threads_of_one_process_do_not_take_each_others_claims(office: Any) -> None:
    called, go_on, seen = threading.Event(), threading.Event(), []

    def wait() -> None:
        called.set()
        go_on.wait(60)

    office.before_paying = wait
    office.start()
    (asked,) = office.ledger.approvals.pending("r-1")
    approval = office.ledger.approvals.approve(asked.id, by="ann")
    thread = threading.Thread(target=lambda: office.run(None))
    thread.start()
    assert called.wait(60)
    try:
        with working() as owner:
            office.ledger.effects.claim(approval, owner=owner)
    except Exception as error:
        seen.append(str(error))
    go_on.set()
    thread.join()
    assert "still calls pay" in seen[0]
    assert len(office.paid) == 1
