"""A restored copy does not repeat what the original did since: it looks, or asks, before it calls anything."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from signoff import Ledger, Policy, Run, SqliteCheckpointer, Team
from signoff.checkpoints import configured_ledger
from signoff.settings import load_settings

sys.path.append(str(Path(__file__).parent / "programs"))

from payments import Bank, build_team  # of the programs that are killed

ASK, ALLOW = Policy({"pay": "ask"}), Policy({"pay": "allow"})


@pytest.fixture
def at(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has this process work in another database from now on."""
    del home

    def work_in(name: str) -> None:
        monkeypatch.setenv("SIGNOFF_DATABASE", name)

    work_in("original.db")
    return work_in


def team(policy: Policy, kind: Any = "plain", **bank: Any) -> Team:
    return replace(
        build_team(replace(Bank(Path("bank")), kind=kind, **bank), configured_ledger(load_settings())), policy=policy
    )


def paid() -> int:
    return len(Bank(Path("bank")).paid("ann"))


def back_up() -> None:
    with SqliteCheckpointer("original.db") as saver:
        saver.backup("copy.db")


def settle(run: Run, happened: str) -> Run:
    (asked,) = run.approvals
    assert asked.action == "settle_outcome"
    assert "the original may have called it since" in asked.reason
    return run.approve(args={**asked.shown, "happened": happened}, by="ann")


def original_goes_on(policy: Policy, kind: Any) -> str:
    """A run of which a backup is made before its action is called."""
    run = Run.start(team(policy, kind), "ann", drive=False)
    if policy is ASK:
        run.resume()
    back_up()
    if policy is ASK:
        run.approve(by="ann")
    else:
        run.resume()
    assert (run.status, paid()) == ("done", 1)
    return run.id


def copy_goes_on(run_id: str, policy: Policy, kind: Any) -> Run:
    run = Run.open(run_id, team=team(policy, kind))
    return run.approve(by="ann") if policy is ASK else run.resume()


@pytest.mark.parametrize("policy", [ASK, ALLOW], ids=["asked", "allowed"])
@pytest.mark.parametrize("kind", ["reconcile", "idempotent"])
def test_what_the_original_did_is_found_out_by_the_copy(at: Any, policy: Policy, kind: str) -> None:
    run_id = original_goes_on(policy, kind)
    at("copy.db")
    assert (copy_goes_on(run_id, policy, kind).status, paid()) == ("done", 1)


@pytest.mark.parametrize("policy", [ASK, ALLOW], ids=["asked", "allowed"])
def test_where_nothing_can_be_looked_up_a_person_is_asked(at: Any, policy: Policy) -> None:
    run_id = original_goes_on(policy, "plain")
    at("copy.db")
    run = copy_goes_on(run_id, policy, "plain")
    assert paid() == 1
    assert (settle(run, "yes").status, paid()) == ("done", 1)


def test_what_the_original_did_not_do_is_done_by_the_copy(at: Any) -> None:
    run = Run.start(team(ALLOW, "reconcile"), "ann", drive=False)
    back_up()
    at("copy.db")
    assert (Run.open(run.id, team=team(ALLOW, "reconcile")).resume().status, paid()) == ("done", 1)


def test_a_call_that_was_under_way_in_the_original_is_not_taken_for_one_of_the_copy(at: Any) -> None:
    class SlowBank(Bank):
        def pay(self, payment: Any, key: str) -> Any:
            back_up()
            return super().pay(payment, key)

    slow = replace(build_team(SlowBank(Path("bank")), configured_ledger(load_settings())), policy=ALLOW)
    run = Run.start(slow, "ann")
    assert (run.status, paid()) == ("done", 1)
    at("copy.db")
    copied = Run.open(run.id, team=team(ALLOW)).resume()
    assert (settle(copied, "yes").status, paid()) == ("done", 1)


def test_a_copy_says_so_once_and_stays_whole(at: Any) -> None:
    run = Run.start(team(ASK), "ann")
    back_up()
    with sqlite3.connect("copy.db") as copy:
        (marked,) = copy.execute("SELECT value FROM ledger_meta WHERE key = 'copied_at'").fetchone()
    at("copy.db")
    ledger = configured_ledger(load_settings())
    assert ledger.runs.get(run.id).copied_at == ""  # reading changes nothing
    ledger.runs.set_status(run.id, "running")
    ledger.close()
    again = Ledger("copy.db")
    assert again.runs.get(run.id).copied_at == marked
    again.runs.set_status(run.id, "waiting")
    assert [entry.body for entry in again.audit.entries(run.id) if entry.event == "copied"] == [{"copied_at": marked}]
    assert again.audit.verify().ok
    again.close()
    assert Ledger("original.db").runs.get(run.id).copied_at == ""


def test_a_first_write_that_is_undone_leaves_the_mark(at: Any) -> None:
    run = Run.start(team(ASK), "ann")
    back_up()
    ledger = Ledger("copy.db")
    with pytest.raises(ZeroDivisionError), ledger.write():
        1 / 0  # noqa: B018
    ledger.runs.set_status(run.id, "running")
    assert ledger.runs.get(run.id).copied_at
    ledger.close()


def test_a_copy_that_nothing_marked_is_marked_by_hand(at: Any) -> None:
    run = Run.start(team(ALLOW), "ann", drive=False)
    Path("copy.db").write_bytes(b"")
    with sqlite3.connect("original.db") as original, sqlite3.connect("copy.db") as copy:
        original.backup(copy)
    run.resume()
    at("copy.db")
    told = subprocess.run(
        [sys.executable, "-m", "signoff", "db", "restored"], capture_output=True, text=True, check=True
    )
    assert told.stdout == f"Told 1 open run: {run.id}.\n"
    copied = Run.open(run.id, team=team(ALLOW)).resume()
    assert (settle(copied, "yes").status, paid()) == ("done", 1)


def test_a_copy_on_a_server_finds_out_what_the_original_did(
    server: Any, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_DATABASE", address)
    run = Run.start(team(ALLOW), "ann", drive=False)
    run._driver.ledger.close()
    configured_ledger(load_settings()).close()
    original = conninfo_to_dict(address)["dbname"]
    copy = f"{original}_copy"
    execute(server, f"CREATE DATABASE {copy} TEMPLATE {original}")
    try:
        assert (Run.open(run.id, team=team(ALLOW)).resume().status, paid()) == ("done", 1)
        monkeypatch.setenv("SIGNOFF_DATABASE", str(server.get_uri(database=copy)))
        ledger = configured_ledger(load_settings())
        assert ledger.mark_copied() == (run.id,)
        copied = Run.open(run.id, team=team(ALLOW)).resume()
        assert (settle(copied, "yes").status, paid()) == ("done", 1)
        ledger.close()
    finally:
        execute(server, f"DROP DATABASE {copy} WITH (FORCE)")


def execute(server: Any, statement: str) -> None:
    import psycopg

    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(statement.encode())
