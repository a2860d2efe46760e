"""A process that is stopped amid its work is not dead: it goes on when it wakes, and nobody may have taken its place.

Where nobody can tell, on another host, it is replaced after a while; then what it still writes is refused.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from os import kill
from pathlib import Path
from typing import Any, Self

import pytest
import warm

from signoff import Ledger, Policy, Run, Team
from signoff.checkpoints import canonical, configured_ledger, open_saver
from signoff.errors import DatabaseUnusable, RunBusy
from signoff.settings import load_settings

PROGRAMS = Path(__file__).parent / "programs"
sys.path.append(str(PROGRAMS))

from payments import Bank, build_team  # noqa: E402  # of the programs that are killed

LONG_AGO = "2001-01-01T00:00:00.000000Z"


class Desk:
    """This process, which resumes what another has begun."""

    def __init__(self, database: str, folder: Path) -> None:
        self.database, self.bank = database, Bank(folder / "bank")
        self.ledger: Ledger = configured_ledger(load_settings())

    def team(self, **bank: Any) -> Team:
        return replace(build_team(replace(self.bank, **bank), self.ledger), policy=Policy({"pay": "allow"}))

    def open(self, run_id: str, **bank: Any) -> Run:
        return Run.open(run_id, team=self.team(**bank))

    @property
    def paid(self) -> int:
        return len(self.bank.paid("ann"))

    def date_back(self) -> None:
        """As if every claim had run out long ago, or as if this process's clock were ahead."""
        with self.ledger.write() as connection:
            connection.exec_driver_sql(f"UPDATE runs SET owner_until = '{LONG_AGO}' WHERE owner <> ''")
            connection.exec_driver_sql(f"UPDATE effects SET claimed_until = '{LONG_AGO}' WHERE status = 'claimed'")

    def written(self, run_id: str) -> tuple[Any, ...]:
        """Everything that a driver writes: checkpoints, audit entries and the run."""
        with open_saver(self.database) as saver:
            checkpoints = [found.config for found in saver.list({"configurable": {"thread_id": run_id}})]
        entries = [entry for entry in self.ledger.audit.entries(run_id) if entry.event != "ended late"]
        run = self.ledger.runs.get(run_id)
        return checkpoints, entries, (run.status, run.note, run.updated_at, run.owner)


@pytest.fixture
def desk(database: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("SIGNOFF_DATABASE", database)
    opened = Desk(database, home)
    yield opened
    opened.ledger.close()


class Frozen:
    """A process that was stopped amid a run."""

    def __init__(self, process: warm.WarmProcess, run_id: str) -> None:
        self.process, self.run_id = process, run_id

    def wake(self) -> str:
        """Let it go on to its end; its last word."""
        kill(self.process.pid, signal.SIGCONT)
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.stdout is not None
        return str(self.process.stdout.read()).strip()


def stop(pid: int) -> None:
    """Stop it, but not while it holds the lock of the database: its threads write signs of life now and then."""
    while True:
        kill(pid, signal.SIGSTOP)
        probe = Ledger(load_settings().database_name, busy_seconds=0.2)
        try:
            with probe.write():
                return
        except DatabaseUnusable:
            kill(pid, signal.SIGCONT)
        finally:
            probe.close()


@contextmanager
def frozen(place: str, *host: str) -> Iterator[Frozen]:
    command = [sys.executable, str(PROGRAMS / "frozen.py"), str(Path.cwd()), place, *host]
    with warm.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            run_id = process.stdout.readline().strip()
            assert process.stdout.readline() == "waits\n"
            stop(process.pid)
            yield Frozen(process, run_id)
        finally:
            process.kill()


@pytest.mark.parametrize("place", ["work", "claimed", "pay"])
def test_a_stopped_process_keeps_its_run_whatever_the_clock_says(desk: Desk, place: str) -> None:
    with frozen(place) as other:
        desk.date_back()
        with pytest.raises(RunBusy, match=rf"driven by process {other.process.pid} \(stopped\)\. .*kill -CONT"):
            desk.open(other.run_id).resume()
        assert other.wake() == "done"
    assert (desk.open(other.run_id).resume().status, desk.paid) == ("done", 1)


@pytest.mark.parametrize("hours", [2, -2])
def test_a_clock_that_is_wrong_takes_nothing_from_who_lives(
    desk: Desk, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(hours=hours)

    hosts = ["another-host"] if "://" in desk.database else []  # where the server's clock counts, not that of who asks
    with frozen("pay", *hosts) as other:
        with monkeypatch.context() as wrong:
            wrong.setattr(canonical, "datetime", Wrong)
            with pytest.raises(RunBusy):
                desk.open(other.run_id, kind="reconcile").resume()
        assert other.wake() == "done"
    assert desk.paid == 1


@pytest.mark.parametrize("kind", ["plain", "reconcile", "idempotent"])
def test_a_stopped_call_is_not_made_by_another_even_if_its_run_can_be_taken(desk: Desk, kind: str) -> None:
    with frozen("pay") as other:
        desk.date_back()
        with desk.ledger.write() as connection:
            connection.exec_driver_sql("UPDATE runs SET owner = ''")
        with pytest.raises(RunBusy, match=rf"Process {other.process.pid} \(stopped\) still calls pay"):
            desk.open(other.run_id, kind=kind).resume()
        other.wake()
    assert (desk.open(other.run_id, kind=kind).resume().status, desk.paid) == ("done", 1)


def test_a_process_that_was_ended_while_stopped_is_replaced_at_once(desk: Desk) -> None:
    with frozen("pay") as other:
        other.process.kill()
        other.process.wait()
        run = desk.open(other.run_id, kind="reconcile").resume()
    assert (run.status, desk.paid) == ("done", 1)


@pytest.mark.parametrize("place", ["work", "pay"])
def test_a_process_elsewhere_that_is_replaced_while_stopped_writes_nothing_more(desk: Desk, place: str) -> None:
    with frozen(place, "another-host") as other:
        with pytest.raises(RunBusy, match="on another-host"):
            desk.open(other.run_id).resume()
        desk.date_back()
        run = desk.open(other.run_id, kind="reconcile").resume()
        assert (run.status, desk.paid) == ("done", 1)
        before = desk.written(other.run_id)
        assert other.wake().startswith("RunBusy")
    assert desk.written(other.run_id) == before


@pytest.mark.parametrize("kind", ["reconcile", "idempotent"])
def test_a_process_elsewhere_that_is_replaced_between_its_claim_and_its_call_does_not_call(
    desk: Desk, kind: str
) -> None:
    with frozen("claimed", "another-host") as other:
        desk.date_back()
        run = desk.open(other.run_id, kind=kind).resume()
        assert (run.status, desk.paid) == ("done", 1)
        assert other.wake().startswith("RunBusy")
    assert desk.paid == 1
    (effect,) = desk.ledger.effects.of_run(other.run_id)
    assert (effect.status, effect.claims, effect.earlier) == ("done", 2, "")


def test_a_claim_elsewhere_is_not_read_back_before_its_call_had_time_to_arrive(desk: Desk) -> None:
    with frozen("pay", "another-host") as other:
        with desk.ledger.write() as connection:
            connection.exec_driver_sql("UPDATE runs SET owner = ''")
        seconds = "-30 seconds"
        just_over = (
            f"strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '{seconds}')"
            if "://" not in desk.database
            else "to_char(clock_timestamp() AT TIME ZONE 'UTC' - interval '30 s', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        )
        with desk.ledger.write() as connection:
            connection.exec_driver_sql(f"UPDATE effects SET claimed_until = {just_over}")
        with pytest.raises(RunBusy, match="on another-host still calls pay"):
            desk.open(other.run_id, kind="reconcile").resume()
        assert desk.paid == 0


def test_a_call_that_was_given_up_for_lost_and_is_done_after_all_is_logged_told_and_shown(desk: Desk) -> None:
    with frozen("pay", "another-host") as other:
        desk.date_back()
        desk.open(other.run_id, kind="reconcile").resume()
        other.wake()
    (effect,) = desk.ledger.effects.of_run(other.run_id)
    assert (effect.status, effect.claims, desk.paid) == ("done", 2, 2)
    assert "call 1 of it was done too" in effect.earlier
    (late,) = [entry for entry in desk.ledger.audit.entries(other.run_id) if entry.event == "ended late"]
    assert (late.body["claim"], late.body["status"], late.body["result"]) == (1, "done", {"receipt": effect.key})
    assert desk.ledger.audit.verify().ok
