"""What the ledger promises whichever database it is in."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier
from typing import IO, Any

import pytest
import warm
from sqlalchemy import text

from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.schema import metadata
from signoff.errors import DatabaseGone, DatabaseUnusable, DatabaseVersion, ForeignDatabase, SettingsError

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork on this system")

ROUNDS = 10

APPEND = """
import sys
from signoff.checkpoints.ledger.ledger import Ledger
ledger = Ledger(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    with ledger.write() as connection:
        ledger.audit.append(connection, "", "people", name=str(number), role="", change="")
"""

HOLD = """
import sys
from signoff.checkpoints.ledger.ledger import Ledger
ledger = Ledger(sys.argv[1])
with ledger.write() as connection:
    ledger.audit.append(connection, "", "people", name="lost", role="", change="")
    print("ready", flush=True)
    sys.stdin.readline()
"""

FORK = """
import os, sys, threading
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.errors import DatabaseUnusable

def write(name, then=lambda: None):
    try:
        with ledger.write() as connection:
            ledger.audit.append(connection, "", "people", name=name, role="", change="")
            then()
    except DatabaseUnusable as error:
        print(name, "could not write:", error.problem, flush=True)

def stay():
    inside.set()
    leave.wait()

ledger = Ledger(sys.argv[1], busy_seconds=float(sys.argv[2]))
write("first")
inside, leave = threading.Event(), threading.Event()
if sys.argv[3] == "thread leaves":
    os.register_at_fork(before=leave.set)  # what is registered last is called first
writer = threading.Thread(target=write, args=("thread", stay), daemon=True)
writer.start()
inside.wait()
child = os.fork()
if not child:
    write("child")
    os._exit(0)
os.waitpid(child, 0)
leave.set()
writer.join()
write("parent")
print([entry.body["name"] for entry in ledger.audit.entries()])
"""


def start(stack: ExitStack, code: str, *words: object) -> warm.WarmProcess:
    """A Python process that has said it is ready."""
    command = [sys.executable, "-c", code, *map(str, words)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = stack.enter_context(warm.start(command, text=True, **pipes))
    assert open_pipe(process.stdout).readline() == "ready\n", open_pipe(process.stderr).read()
    return process


def open_pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def names(ledger: Ledger) -> list[str]:
    return [entry.body["name"] for entry in ledger.audit.entries()]


def append(ledger: Ledger, name: str) -> None:
    with ledger.write() as connection:
        ledger.audit.append(connection, "", "people", name=name, role="", change="")


def test_what_is_raised_inside_a_write_undoes_it(ledger: Ledger) -> None:
    def fail() -> None:
        with ledger.write() as connection:
            ledger.audit.append(connection, "", "people", name="ann", role="", change="")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert names(ledger) == []


def test_a_reader_sees_one_state_however_much_is_written_meanwhile(ledger: Ledger) -> None:
    append(ledger, "first")
    count = text("SELECT count(*) FROM audit")
    with ledger.read() as connection:
        assert connection.execute(count).scalar() == 1
        append(ledger, "second")
        assert connection.execute(count).scalar() == 1
    assert names(ledger) == ["first", "second"]


def test_a_second_writer_waits_and_then_says_that_it_is_locked(database: str, ledger: Ledger) -> None:
    append(ledger, "first")
    impatient = Ledger(database, busy_seconds=0.05)
    with ledger.write(), pytest.raises(DatabaseUnusable, match="locked"):
        append(impatient, "second")
    append(impatient, "third")
    assert names(ledger) == ["first", "third"]


def test_a_second_thread_waits_and_then_says_that_it_is_locked(database: str) -> None:
    ledger = Ledger(database, busy_seconds=0.05)
    with ledger.write(), pytest.raises(DatabaseUnusable, match="locked"):
        append(ledger, "second")
    assert names(ledger) == []


def test_whoever_writes_can_read_however_many_threads_wait_to_write(database: str) -> None:
    ledger, crowd = Ledger(database, busy_seconds=10), 20
    waiting = Barrier(crowd + 1)

    def wait_and_append(name: str) -> None:
        waiting.wait()
        append(ledger, name)

    with ThreadPoolExecutor(crowd) as pool:
        with ledger.write():
            done = [pool.submit(wait_and_append, str(number)) for number in range(crowd)]
            waiting.wait()
            for _ in range(100):
                assert names(ledger) == []
        for each in done:
            each.result()
    assert len(names(ledger)) == crowd


def test_processes_that_open_a_new_database_at_once_all_succeed_and_write_one_log(database: str) -> None:
    with ExitStack() as stack:
        started = [start(stack, APPEND, database, ROUNDS) for _ in range(4)]
        for process in started:
            open_pipe(process.stdin).write("go\n")
            open_pipe(process.stdin).flush()
        ended = [(process.communicate(timeout=120), process.returncode) for process in started]
    assert ended == [(("", ""), 0)] * len(started)
    entries = Ledger(database).audit.entries()
    assert [entry.seq for entry in entries] == list(range(1, 4 * ROUNDS + 1))
    assert sorted(entry.body["name"] for entry in entries) == sorted(4 * [str(number) for number in range(ROUNDS)])


def test_a_writer_that_is_killed_leaves_nothing_behind_and_holds_up_nobody(database: str, ledger: Ledger) -> None:
    append(ledger, "first")
    with ExitStack() as stack:
        process = start(stack, HOLD, database)
        process.kill()
        process.wait()
    append(ledger, "second")
    assert names(ledger) == ["first", "second"]


def test_text_that_the_database_cannot_hold_is_kept_as_escapes_and_found_again(ledger: Ledger) -> None:
    run = "r-\0-\ud800"
    ledger.runs.begin(run, 1, team="t", goal="a\0b \ud800 ü 🙂")
    record = ledger.runs.get(run)
    assert (record.id, record.goal) == ("r-\\x00-\\ud800", "a\\x00b \\ud800 ü 🙂")
    ledger.runs.set_status(run, "failed", "\0")
    assert ledger.runs.get(run).note == "\\x00"


def test_ids_may_be_longer_than_anybody_would_write(ledger: Ledger) -> None:
    run = "r-" + "ü" * 600
    ledger.runs.begin(run, 1, team="t" * 500, goal="g" * 100_000)
    ledger.runs.claim(run, "o" * 1000, seconds=60)
    assert ledger.runs.get(run).owner == "o" * 1000


def test_tables_of_somebody_else_are_refused_and_left_alone(database: str, ledger: Ledger) -> None:
    with ledger.write() as connection:
        metadata.drop_all(connection)
        connection.execute(text("CREATE TABLE people (name TEXT)"))
    with pytest.raises((ForeignDatabase, DatabaseGone), match="'people'"):
        Ledger(database).runs.list()
    with ledger.write() as connection:
        assert connection.execute(text("SELECT count(*) FROM people")).scalar() == 0


def test_a_table_that_only_looks_like_a_ledger_is_refused(database: str, ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.execute(text("DELETE FROM ledger_meta"))
    with pytest.raises(ForeignDatabase, match="'ledger_meta'"):
        Ledger(database).runs.list()


@pytest.mark.parametrize("version", [0, 99])
def test_a_database_of_another_version_is_refused(database: str, ledger: Ledger, version: int) -> None:
    with ledger.write() as connection:
        connection.execute(text(f"UPDATE ledger_meta SET value = '{version}' WHERE key = 'schema'"))
    with pytest.raises(DatabaseVersion, match=f"schema version {version}"):
        Ledger(database).runs.list()


def test_a_closed_ledger_opens_again(ledger: Ledger) -> None:
    append(ledger, "first")
    ledger.close()
    append(ledger, "second")
    assert names(ledger) == ["first", "second"]


@pytest.mark.parametrize("address", ["mysql://ann:secret@host/notes", Path("postgresql://ann:secret@host/notes")])
def test_any_other_address_is_refused_without_telling_the_password(home: Path, address: str | Path) -> None:
    with pytest.raises(SettingsError, match="postgresql://") as told:
        Ledger(address)
    assert "secret" not in str(told.value)
    assert list(home.iterdir()) == []


@forks
def test_a_fork_waits_for_transactions_of_other_threads_and_both_processes_go_on(database: str) -> None:
    ended = run_fork(database, "30", "thread leaves")
    assert ended.stdout == "['first', 'thread', 'child', 'parent']\n", ended.stderr


@forks
def test_after_a_fork_amid_a_transaction_that_did_not_end_the_child_never_writes_with_what_it_inherited(
    database: str,
) -> None:
    ended = run_fork(database, "0.2", "thread stays")
    *told, logged = ended.stdout.splitlines()
    assert logged == "['first', 'thread', 'parent']", ended.stderr
    assert len(told) == 1
    assert told[0].startswith(
        "child could not write: " + ("locked" if "://" in database else "this process was forked")
    )


def run_fork(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-W", "ignore", "-c", FORK, *words]
    return warm.run(command, capture_output=True, text=True, timeout=120)


@forks
def test_a_child_has_a_connection_of_its_own(address: str) -> None:
    code = """
import os, sys
from signoff.checkpoints.ledger.ledger import Ledger
def backend():
    with ledger.read() as connection:
        return connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
ledger = Ledger(sys.argv[1])
before = backend()
child = os.fork()
mine = backend()
os.write(1, b"%s\\n" % str(mine != before).encode())
if child:
    os.waitpid(child, 0)
    os.write(1, b"%s\\n" % str(backend() == mine).encode())
else:
    os._exit(0)
"""
    command = [sys.executable, "-W", "ignore", "-c", code, address]
    ended = warm.run(command, capture_output=True, text=True, timeout=120)
    assert ended.stdout == "True\n" * 3, ended.stderr


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes are not suspended on this system")
def test_a_writer_that_is_suspended_holds_up_others_only_as_long_as_they_wait(database: str, ledger: Ledger) -> None:
    append(ledger, "first")
    impatient = Ledger(database, busy_seconds=0.05)
    with ExitStack() as stack:
        process = start(stack, HOLD, database)
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(DatabaseUnusable, match="locked"):
            append(impatient, "second")
        assert names(impatient) == ["first"]
        os.kill(process.pid, signal.SIGCONT)
        process.communicate("go\n", timeout=60)
    assert names(ledger) == ["first", "lost"]
