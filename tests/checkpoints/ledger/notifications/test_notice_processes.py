"""Several processes share an outbox: whoever is killed, whatever is due is sent, by one of them at a time."""

import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import warm

from signoff.checkpoints.ledger.notifications.hooks import Webhook


def in_a_child(code: str, *args: str) -> warm.WarmProcess:
    """Another process, with the names of test_notices.py."""
    here = str(Path(__file__).parent)
    start = f"import os, signal, sys; sys.path.insert(0, {here!r}); from test_notices import *"
    return warm.start([sys.executable, "-c", f"{start}; {code}", *args])


def test_a_process_killed_while_it_sends_leaves_the_notice_to_the_next(
    database: str, opened: Any, receiver: Any
) -> None:
    receiver.hold.clear()
    code = "ledger = Ledger(sys.argv[1], hooks=[Webhook(sys.argv[2])]); asked(ledger); ledger.notices.wait()"
    child = in_a_child(code, database, receiver.url)
    first = receiver.arrived.get(timeout=60)
    child.kill()
    child.wait()
    receiver.hold.set()
    ledger = opened(Webhook(receiver.url))
    assert ledger.notices.wait(20)
    assert receiver.ids == [first, first]


def test_a_process_killed_after_the_commit_leaves_the_notice_to_the_next(
    database: str, opened: Any, receiver: Any
) -> None:
    code = (
        "die = lambda notice: os.kill(os.getpid(), signal.SIGKILL);"
        "ledger = Ledger(sys.argv[1], hooks=[Own(die, Webhook(sys.argv[2]).name)]);"
        "asked(ledger); ledger.notices.wait()"
    )
    assert in_a_child(code, database, receiver.url).wait(60) == -signal.SIGKILL
    ledger = opened(Webhook(receiver.url))
    assert ledger.notices.wait(20)
    assert len(receiver.got) == 1


def test_several_processes_send_each_notice_once(database: str, opened: Any, receiver: Any) -> None:
    opened().runs.begin("r-1", 1, team="t", goal="the goal")
    code = (
        "ledger = Ledger(sys.argv[1], hooks=[Webhook(sys.argv[2])]);"
        "[asked(ledger, int(sys.argv[3]) + number) for number in range(20)]; ledger.notices.wait()"
    )
    children = [in_a_child(code, database, receiver.url, str(1000 * child)) for child in range(3)]
    assert [child.wait(120) for child in children] == [0, 0, 0]
    assert len(receiver.ids) == 60
    assert len(set(receiver.ids)) == 60


@pytest.mark.parametrize("first", ["ledger.notices.wait()", "pass"], ids=["at rest", "while it sends"])
def test_a_forked_child_sends_by_itself(database: str, receiver: Any, first: str) -> None:
    code = (
        f"ledger = Ledger(sys.argv[1], hooks=[Webhook(sys.argv[2])]); asked(ledger, 1); {first};"
        "pid = os.fork(); asked(ledger, 3 if pid else 2); ledger.notices.wait();"
        "sys.exit(os.waitpid(pid, 0)[1] if pid else 0)"
    )
    assert in_a_child(code, database, receiver.url).wait(120) == 0
    assert sorted(notice["approval"]["id"] for notice in receiver.got) == ["a-1", "a-2", "a-3"]


def test_a_program_ends_though_a_hook_hangs(database: str, receiver: Any) -> None:
    receiver.hold.clear()
    code = "ledger = Ledger(sys.argv[1], hooks=[Webhook(sys.argv[2], time_limit=3600)]); asked(ledger)"
    assert in_a_child(code + "; ledger.notices.wait(0.1)", database, receiver.url).wait(60) == 0
    assert in_a_child(code + "; ledger.close()", database, receiver.url).wait(60) == 0
