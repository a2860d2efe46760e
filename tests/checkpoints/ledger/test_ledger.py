import sqlite3
import sys
from pathlib import Path

import pytest
import warm
from sqlalchemy import text

from signoff.checkpoints import later
from signoff.checkpoints.ledger.approval import Approval, Question
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.process_identity import current_owner
from signoff.errors import (
    AlreadyDecided,
    DatabaseUnusable,
    DatabaseVersion,
    ForeignDatabase,
    RunBusy,
    UnknownApproval,
    UnknownRun,
)


def question(proposal: str = "p-1", run: str = "r-1", **args: object) -> Question:
    return Question(
        proposal_id=proposal,
        run_id=run,
        action="send",
        args=args or {"to": "ann"},
        reason="due",
        risk="external",
        proposed_by="writer",
    )


def asked(ledger: Ledger, proposal: str = "p-1", expires_in: float | None = None) -> Approval:
    ledger.runs.begin("r-1", 1, team="t", goal="g")
    return ledger.approvals.ask(question(proposal), expires_in=expires_in)


def dead_owner() -> str:
    """The owner string of a process that has ended."""
    code = "from signoff.checkpoints.process_identity import current_owner; print(current_owner())"
    ended = warm.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return str(ended.stdout).strip()


def test_asking_twice_is_one_approval(ledger: Ledger) -> None:
    assert asked(ledger) == asked(ledger)
    assert len(ledger.approvals.pending()) == 1


def test_the_first_decision_stands_and_the_second_is_told_so(ledger: Ledger) -> None:
    approval = asked(ledger)
    ledger.approvals.reject(approval.id, by="ann", reason="no")
    with pytest.raises(AlreadyDecided, match="rejected by ann at"):
        ledger.approvals.approve(approval.id, by="bob")
    assert ledger.approvals.get(approval.id).status == "rejected"


def test_what_expired_is_known_until_its_run_has_gone_on_and_asking_for_it_writes_nothing(ledger: Ledger) -> None:
    approval = asked(ledger, expires_in=60)
    ledger.runs.set_status("r-1", "waiting", "send waits")
    with ledger.write() as connection:
        connection.execute(text("UPDATE approvals SET expires_at = :at"), {"at": later(-60)})
    before = len(ledger.audit.entries())
    assert [(one.id, one.status) for one in ledger.approvals.lapsed("r-1")] == [(approval.id, "expired")]
    assert len(ledger.audit.entries()) == before
    assert ledger.approvals.get(approval.id).status == "expired"
    assert [one.id for one in ledger.approvals.lapsed()] == [approval.id]
    assert ledger.approvals.lapsed("r-2") == []
    ledger.runs.set_status("r-1", "running")
    ledger.runs.set_status("r-1", "waiting", "something else waits")
    assert ledger.approvals.lapsed() == []


def test_a_call_of_a_process_that_has_ended_is_cut_off_and_one_of_a_living_process_is_not(ledger: Ledger) -> None:
    approval = ledger.approvals.approve(asked(ledger).id, by="ann")
    ledger.effects.claim(approval, owner=current_owner())
    assert ledger.effects.cut_off("r-1") == {}
    with ledger.write() as connection:
        connection.execute(text("UPDATE effects SET claimed_by = :owner"), {"owner": dead_owner()})
    (call,) = ledger.effects.cut_off("r-0", "r-1").values()
    assert (call.action, call.status) == ("send", "claimed")
    assert "UTC by process" in call.call


def test_an_approval_that_was_not_decided_in_time_is_refused(ledger: Ledger) -> None:
    approval = asked(ledger, expires_in=-1)
    assert approval.status == "expired"
    with pytest.raises(AlreadyDecided, match="expired"):
        ledger.approvals.approve(approval.id, by="ann")
    assert ledger.approvals.pending() == []


def test_an_approval_is_bound_to_the_arguments_it_was_given_for(ledger: Ledger) -> None:
    approval = asked(ledger)
    edited = ledger.approvals.approve(approval.id, by="ann", args={"to": "bob"})
    assert (edited.args, edited.edited) == ({"to": "bob"}, True)
    assert edited.shown == {"to": "ann"}
    assert edited.args_sha256 != edited.shown_sha256


def test_an_id_may_be_shortened_to_six_characters_but_not_to_several(ledger: Ledger) -> None:
    approval = asked(ledger, "p-abcde1")
    assert ledger.approvals.get("a-abcd").id == approval.id
    with pytest.raises(UnknownApproval, match="at least six"):
        ledger.approvals.get("a-abc")
    asked(ledger, "p-abcde2")
    with pytest.raises(UnknownApproval, match="beginning of 2 approvals"):
        ledger.approvals.get("a-abcde")
    for unknown in ("a-x", "", "%", "a-_bcde1"):
        with pytest.raises(UnknownApproval):
            ledger.approvals.get(unknown)


def test_an_effect_is_claimed_once_and_its_result_kept(ledger: Ledger) -> None:
    approval = ledger.approvals.approve(asked(ledger).id, by="ann")
    first = ledger.effects.claim(approval, owner=current_owner())
    assert first.fresh
    with pytest.raises(RunBusy):
        ledger.effects.claim(approval, owner=current_owner())
    ledger.effects.finish(first.effect.key, {"sent": 1})
    second = ledger.effects.claim(approval, owner=current_owner())
    assert (second.fresh, second.effect.status, second.effect.result) == (False, "done", {"sent": 1})


def test_an_effect_whose_process_died_is_of_unknown_outcome(ledger: Ledger) -> None:
    approval = ledger.approvals.approve(asked(ledger).id, by="ann")
    ledger.effects.claim(approval, owner=dead_owner())
    again = ledger.effects.claim(approval, owner=current_owner())
    assert (again.fresh, again.effect.status) == (False, "unknown")


def test_what_was_not_approved_cannot_be_claimed(ledger: Ledger) -> None:
    pending = asked(ledger)
    with pytest.raises(AlreadyDecided, match="pending"):
        ledger.effects.claim(pending, owner=current_owner())
    rejected = ledger.approvals.reject(pending.id, by="ann")
    with pytest.raises(AlreadyDecided, match="rejected"):
        ledger.effects.claim(rejected, owner=current_owner())
    assert ledger.effects.of_run("r-1") == []


def test_a_finished_effect_cannot_be_rewritten(ledger: Ledger) -> None:
    approval = ledger.approvals.approve(asked(ledger).id, by="ann")
    effect = ledger.effects.claim(approval, owner=current_owner()).effect
    ledger.effects.finish(effect.key, {"sent": 1})
    assert ledger.effects.fail(effect.key, "no").status == "done"
    assert not ledger.effects.reclaim(effect, owner=current_owner())


def test_a_call_that_another_has_followed_changes_nothing(ledger: Ledger) -> None:
    approval = ledger.approvals.approve(asked(ledger).id, by="ann")
    first = ledger.effects.claim(approval, owner=current_owner()).effect
    lost = ledger.effects.lose(first.key, "silence", claim=first.claims)
    assert ledger.effects.reclaim(lost, owner=current_owner()) == 2
    assert ledger.effects.fail(first.key, "too late", claim=1).status == "claimed"
    assert ledger.effects.settle(first.key, "released", claim=1).status == "claimed"
    assert ledger.effects.finish(first.key, {"sent": 1}, claim=2).result == {"sent": 1}


def test_what_a_person_found_out_counts_only_while_it_is_unknown(ledger: Ledger) -> None:
    approval = ledger.approvals.approve(asked(ledger).id, by="ann")
    effect = ledger.effects.claim(approval, owner=current_owner()).effect
    assert ledger.effects.settle(effect.key, "released", claim=1).status == "claimed"


def test_a_run_is_driven_by_one_living_process(ledger: Ledger) -> None:
    ledger.runs.begin("r-1", 1, team="t", goal="g")
    ledger.runs.claim("r-1", f"{current_owner()}/a", seconds=60)
    with pytest.raises(RunBusy, match="being driven by"):
        ledger.runs.claim("r-1", f"{current_owner()}/b", seconds=60)
    ledger.runs.release("r-1", f"{current_owner()}/a")
    ledger.runs.claim("r-1", f"{current_owner()}/b", seconds=60)


def test_a_run_whose_process_died_is_taken_over_at_once(ledger: Ledger) -> None:
    ledger.runs.begin("r-1", 1, team="t", goal="g")
    ledger.runs.claim("r-1", f"{dead_owner()}/a", seconds=3600)
    ledger.runs.claim("r-1", f"{current_owner()}/b", seconds=60)


def test_a_run_whose_lease_ran_out_is_taken_over_and_the_old_owner_learns_it(ledger: Ledger) -> None:
    ledger.runs.begin("r-1", 1, team="t", goal="g")
    old, new = "elsewhere:1:1/a", f"{current_owner()}/b"
    ledger.runs.claim("r-1", old, seconds=-1)
    ledger.runs.claim("r-1", new, seconds=60)
    assert not ledger.runs.renew("r-1", old, seconds=60)
    assert ledger.runs.renew("r-1", new, seconds=60)


def test_a_run_cut_off_before_it_proposed_begins_again_as_itself(ledger: Ledger) -> None:
    assert ledger.runs.begin("r-1", 1, team="t", goal="g") == ("r-1", 1)
    assert ledger.runs.begin("r-1", 1, team="t", goal="g") == ("r-1", 1)


def test_a_thread_that_comes_back_without_memory_gets_a_new_run(ledger: Ledger) -> None:
    asked(ledger)
    assert ledger.runs.begin("r-1", 1, team="t", goal="g") == ("r-1~2", 2)


def test_an_unknown_run_is_said_to_be_unknown(ledger: Ledger) -> None:
    for unknown in ("r-9", "", "_"):
        with pytest.raises(UnknownRun):
            ledger.runs.get(unknown)


def test_every_change_is_in_the_audit_log_and_the_chain_holds(ledger: Ledger) -> None:
    approval = ledger.approvals.approve(asked(ledger).id, by="ann")
    key = ledger.effects.claim(approval, owner=current_owner()).effect.key
    ledger.effects.finish(key, {})
    assert [entry.event for entry in ledger.audit.entries("r-1")] == [
        "started",
        "proposed",
        "policy",
        "asked",
        "approved",
        "claimed",
        "done",
    ]
    assert ledger.audit.verify().ok


def test_a_changed_audit_entry_is_found(ledger: Ledger) -> None:
    asked(ledger)
    with ledger.write() as connection:
        connection.execute(text("""UPDATE audit SET body = replace(body, '"g"', '"h"') WHERE seq = 1"""))
    assert {problem.seq for problem in ledger.audit.verify().problems} == {1}


def test_a_foreign_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ForeignDatabase, match="holds the table 'photos'"):
        Ledger(path).runs.list()
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, and long enough to be looked at as one" * 20)
    before = path.read_bytes()
    with pytest.raises(ForeignDatabase, match="not a database"):
        Ledger(path).runs.list()
    assert path.read_bytes() == before
    with pytest.raises(ForeignDatabase, match="folder"):
        Ledger(tmp_path).runs.list()


def test_a_database_of_another_version_is_refused(ledger: Ledger) -> None:
    ledger.runs.list()
    with ledger.write() as connection:
        connection.execute(text("UPDATE ledger_meta SET value = '99'"))
    ledger.close()
    with pytest.raises(DatabaseVersion, match="schema version 99"):
        ledger.runs.list()


def test_a_database_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnusable, match="Cannot use the database"):
        Ledger(tmp_path / "file" / "signoff.db").runs.list()
    with pytest.raises(DatabaseUnusable, match="Cannot use the database"):
        Ledger(tmp_path / ("x" * 300)).runs.list()


def test_a_database_that_stays_locked_is_one_clear_line_and_usable_after(tmp_path: Path) -> None:
    path = tmp_path / "signoff.db"
    Ledger(path).runs.begin("r-1", 1, team="t", goal="g")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    impatient = Ledger(path, busy_seconds=0.05)
    with pytest.raises(DatabaseUnusable, match="locked"):
        impatient.runs.set_status("r-1", "done")
    holder.execute("ROLLBACK")
    holder.close()
    impatient.runs.set_status("r-1", "done")
    assert Ledger(path).runs.get("r-1").status == "done"
