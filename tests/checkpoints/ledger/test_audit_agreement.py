"""The tables say what the audit log says: whoever changes a row behind the ledger's back is found by the log."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import Table, delete, insert, select, update

from signoff.checkpoints.ledger import schema as tables
from signoff.checkpoints.ledger.approval import Authority, Person, Question, Requirement
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.redaction import REDACTED
from signoff.errors import NotAllowed

FINANCE = Authority((Requirement("finance"),), quorum=2, four_eyes=True)


def question(number: int, run: str = "r-1", **args: object) -> Question:
    return Question(f"p-{number}", run, "pay", args or {"to": "ann", "euros": number}, "due today", "external", "clerk")


def live_through(ledger: Ledger) -> None:
    """Everything that can happen to an approval and to an effect."""
    for name in ("ann", "bob", "eve"):
        ledger.people.give(name, "finance", by="root")
    ledger.people.give("eve", "sales", by="root")
    ledger.people.take("eve", "finance", by="root")
    ledger.runs.begin("r-1", 1, team="office", goal="pay ann, password=hunter2", requested_by="joe")
    ledger.runs.begin("r-2", 1, team="office", goal="pay bob", requested_by="joe", dry_run=True)
    approvals, effects = ledger.approvals, ledger.effects

    paid = approvals.allow(question(1), why="small")
    called = effects.claim(paid, owner="host:1:1").effect
    key = called.key
    effects.lose(key, "the line went dead")
    effects.record_read_back(key, "it did not happen")
    assert effects.reclaim(called, owner="host:1:1")
    effects.finish(key, {"receipt": 1})

    agreed = approvals.ask(question(2), expires_in=3600, authority=FINANCE, why="large")
    approvals.approve(agreed.id, by="ann")
    approvals.approve(agreed.id, by="bob", args={"to": "ann", "euros": 3})
    approvals.approve(agreed.id, by="ann")
    unpaid = effects.claim(approvals.get(agreed.id), owner="host:1:1").effect.key
    effects.fail(unpaid, "no such account")
    with pytest.raises(NotAllowed):
        approvals.approve(approvals.ask(question(3), expires_in=None, authority=FINANCE).id, by="joe")
    approvals.approve("a-3", by="bob")

    approvals.reject(approvals.ask(question(4), expires_in=None).id, by="ann", reason="not due")
    approvals.respond(approvals.ask(question(5), expires_in=None).id, by="ann", message="to whom?")
    approvals.ask(question(6), expires_in=-1)
    approvals.revoke(approvals.approve(approvals.ask(question(7), expires_in=None).id, by="ann").id, by="ann")
    approvals.deny(question(8), why="never")
    approvals.ask(question(9, token="hunter2"), expires_in=None)
    edited = approvals.approve(approvals.ask(question(10, "r-2"), expires_in=None).id, by="ann", args={"to": "joe"})
    effects.skip(edited)
    lost = effects.claim(approvals.allow(question(11)), owner="host:1:1").effect.key
    effects.lose(lost, "the line went dead")
    effects.settle(lost, "abandoned", claim=1, error="given up by ann, Bearer mF_9.B5f-4.1JqM")
    again = effects.claim(approvals.allow(question(13)), owner="host:1:1").effect
    effects.lose(again.key, "the line went dead")
    assert effects.reclaim(again, owner="host:1:1")
    strange = question(12, note="é\u0000😀")
    approvals.approve(approvals.ask(strange, expires_in=None).id, by=Person("añb"), reason="\ud800")
    ledger.runs.set_status("r-1", "waiting", "pay waits")
    ledger.runs.set_status("r-1", "running")


def place(table: Table, key: str) -> Any:
    return next(iter(table.primary_key)) == key


CHANGES: list[tuple[Table, str, Mapping[str, Any], str]] = [
    (tables.runs, "r-1", {"team": "other"}, "run r-1: its team is 'other', but the log says 'office'"),
    (tables.runs, "r-2", {"goal": "pay eve"}, "its goal"),
    (tables.runs, "r-2", {"dry_run": False}, "its dry_run"),
    (tables.runs, "r-1", {"requested_by": "ann"}, "its requested_by"),
    (tables.runs, "r-1", {"status": "done"}, "its status"),
    (tables.proposals, "p-2", {"args": '{"to":"eve"}'}, "proposal p-2: its args were changed"),
    (tables.proposals, "p-2", {"args_sha256": "0" * 64}, "its args_sha256"),
    (tables.proposals, "p-2", {"action": "pay_all"}, "its action"),
    (tables.proposals, "p-2", {"run_id": "r-2"}, "its run_id"),
    (tables.proposals, "p-2", {"proposed_by": "chief"}, "its proposed_by"),
    (tables.proposals, "p-2", {"risk": "write"}, "its risk"),
    (
        tables.approvals,
        "a-4",
        {"status": "approved"},
        "approval a-4: its status is 'approved', but the log says 'rejected'",
    ),
    (
        tables.approvals,
        "a-9",
        {"status": "approved", "decided_by": "ann"},
        "its status is 'approved', but the log says 'pending'",
    ),
    (tables.approvals, "a-2", {"decided_by": "eve"}, "its decided_by"),
    (tables.approvals, "a-2", {"args": '{"to":"eve"}'}, "its args were changed"),
    (tables.approvals, "a-2", {"args_sha256": "0" * 64}, "its args_sha256"),
    (tables.approvals, "a-3", {"shown": '{"to":"eve"}'}, "its shown were changed"),
    (tables.approvals, "a-3", {"shown_sha256": "0" * 64}, "its shown_sha256"),
    (tables.approvals, "a-3", {"authority": "{}"}, "its authority"),
    (tables.approvals, "a-3", {"authority": "nothing"}, "its authority"),
    (tables.approvals, "a-2", {"expires_at": ""}, "its expires_at"),
    (tables.approvals, "a-3", {"run_id": "r-2"}, "its run_id"),
    (tables.approvals, "a-4", {"reason": "fine"}, "its reason"),
    (tables.votes, "a-3", {"name": "eve"}, "vote a-3 eve: the log does not tell of it"),
    (tables.votes, "a-3", {"args_sha256": "0" * 64}, "its args_sha256"),
    (tables.people, "eve", {"role": "finance"}, "role eve finance: the log does not tell of it"),
]


def test_what_the_ledger_itself_does_agrees(ledger: Ledger) -> None:
    live_through(ledger)
    found = ledger.audit.verify()
    assert found.problems == ()
    assert found.entries > 60
    assert "hunter2" not in str(list(ledger.audit.export()))


def test_any_row_that_was_changed_behind_the_ledgers_back_is_found(ledger: Ledger) -> None:
    live_through(ledger)
    for table, key, values, what in CHANGES:
        with ledger.read() as connection:
            before = connection.execute(select(table).where(place(table, key))).mappings().one()
        with ledger.write() as connection:
            connection.execute(update(table).where(place(table, key)).values(**values))
        told = [problem.what for problem in ledger.audit.verify().problems]
        assert any(what in each for each in told), (table.name, values, told)
        assert all(key in each for each in told), told
        changed = {**before, **values}
        where = [column == changed[column.name] for column in table.primary_key]
        with ledger.write() as connection:
            connection.execute(update(table).where(*where).values(**before))
        assert ledger.audit.verify().ok


def test_an_effect_that_was_changed_is_found(ledger: Ledger) -> None:
    live_through(ledger)
    effects = tables.effects
    with ledger.read() as connection:
        (before,) = connection.execute(select(effects).where(effects.c.status == "done")).mappings()
    for values in (
        *({"status": "failed"}, {"result": '{"receipt":2}'}, {"error": "no"}, {"action": "pay_all"}),
        *({"approval_id": "a-2"}, {"run_id": "r-2"}),
    ):
        with ledger.write() as connection:
            connection.execute(update(effects).where(effects.c.key == before["key"]).values(**values))
        (told,) = ledger.audit.verify().problems
        assert f"effect {before['key']}: its {next(iter(values))}" in told.what
        with ledger.read() as connection:
            assert (
                "effect"
                in connection.execute(select(tables.audit.c.body).where(tables.audit.c.seq == told.seq)).scalar_one()
            )
        with ledger.write() as connection:
            connection.execute(update(effects).where(effects.c.key == before["key"]).values(**before))
    assert ledger.audit.verify().ok


@pytest.mark.parametrize("table", [tables.effects, tables.votes, tables.people], ids=lambda table: str(table.name))
def test_a_row_that_is_gone_or_that_nobody_wrote_is_found(ledger: Ledger, table: Table) -> None:
    live_through(ledger)
    with ledger.read() as connection:
        kept = dict(connection.execute(select(table)).mappings().first() or {})
    where = [column == kept[column.name] for column in table.primary_key]
    with ledger.write() as connection:
        connection.execute(delete(table).where(*where))
    (told,) = ledger.audit.verify().problems
    assert told.what.endswith("the log tells of it, but it is gone")
    last = list(table.primary_key)[-1].name
    with ledger.write() as connection:
        connection.execute(insert(table).values(**kept))
        connection.execute(insert(table).values(**{**kept, last: "nobody's"}))
    (told,) = ledger.audit.verify().problems
    assert (told.seq, told.last) == (0, 0)
    assert "nobody's: the log does not tell of it" in told.what


def test_entries_of_the_log_that_are_deleted_leave_their_rows_behind(ledger: Ledger) -> None:
    """Cutting off the log with its head is found by the rows, unless these are put back as well."""
    live_through(ledger)
    before = ledger.audit.head()
    ledger.approvals.reject("a-9", by="ann", reason="no")
    with ledger.write() as connection:
        connection.execute(delete(tables.audit).where(tables.audit.c.seq > int(before.partition(":")[0])))
        connection.execute(
            update(tables.ledger_meta).where(tables.ledger_meta.c.key == "audit_head").values(value=before)
        )
    told = [problem.what for problem in ledger.audit.verify().problems]
    assert told
    assert all("approval a-9" in what for what in told)


def test_a_large_log_is_read_run_by_run(ledger: Ledger) -> None:
    with ledger.write() as connection:
        for number in range(450):
            connection.execute(
                insert(tables.runs).values(
                    id=f"r-{number}",
                    team="t",
                    goal="g",
                    options="{}",
                    status="running",
                    driver="graph",
                    created_at="",
                    updated_at="",
                )
            )
            if number != 321:
                ledger.audit.append(connection, f"r-{number}", "started", team="t", goal="g")
    (told,) = ledger.audit.verify().problems
    assert told.what == "run r-321: the log does not tell of it"


def test_a_text_that_says_of_itself_that_it_was_redacted_is_compared_all_the_same(ledger: Ledger) -> None:
    ledger.runs.begin("r-1", 1, team="office", goal=f"pay ann, {REDACTED}")
    assert ledger.audit.verify().ok
    with ledger.write() as connection:
        connection.execute(update(tables.runs).values(goal="pay eve"))
    assert [problem.what for problem in ledger.audit.verify().problems] != []
