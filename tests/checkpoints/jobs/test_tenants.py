"""What is one tenant's, no other finds: by no question that can be put to a ledger that is opened for that other."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from signoff.checkpoints.canonical import later
from signoff.checkpoints.errors import OtherTenant, UnknownApproval, UnknownRun
from signoff.checkpoints.jobs import NewJob, Which, make_tables
from signoff.checkpoints.ledger.approval import Person, Question
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.schema import RUN_TENANT, metadata
from signoff.checkpoints.process_identity import current_owner
from signoff.error_base import SettingsError

JOB = NewJob(id="a-1", team="office", goal="acme's goal", options={"secret of": "acme"}, tenant="acme")
TENANTS = ("acme", "bolt", "default")


def fill(ledger: Ledger, tenant: str) -> str:
    """A job of this tenant with a run, a question, an effect, a call of a model, a budget and a schedule; its run."""
    job = replace(JOB, tenant=tenant, goal=f"{tenant}'s goal", options={"secret of": tenant})
    ledger.jobs.submit([job, replace(job, id="a-2")], by=f"{tenant}-joe")
    taken = ledger.jobs.turns.take(job.run_id, 1, f"{current_owner()}/{tenant}", worker="host/1")
    assert taken.how == "mine"
    for number in (1, 2):
        args = {"to": f"{tenant}-ann"}
        asked = Question(f"p-{tenant}-{number}", job.run_id, "pay", args, f"{tenant} owes", "external", "clerk")
        approval = ledger.approvals.ask(asked, expires_in=3600.0)
        if number == 1:
            ledger.approvals.approve(approval.id, by=f"{tenant}-bea")
            ledger.effects.claim(ledger.approvals.get(approval.id), owner=current_owner())
    ledger.schedules.add(f"{tenant}-weekly", "0 8 * * 1", job, by=f"{tenant}-joe")
    ledger.jobs.limits.set("tenant", tenant, 3, by=f"{tenant}-joe")
    told = {"scope": f"run:{job.run_id}", "nusd": 7, "tokens": 7, "steps": 7, "ms": 7}
    call: dict[str, Any] = {
        "at": "2026-01-31T09:30:00.000000Z",
        "day": "2026-01-31",
        "run_id": job.run_id,
        "team": f"{tenant}-team",
    }
    call |= {"role": "clerk", "tier": "", "model": f"{tenant}-model", "endpoint": "", "outcome": "ok", "assumed": False}
    numbers = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "nusd", "dearest_nusd", "ms")
    call |= dict.fromkeys(numbers, 7) | {"id": f"u-{tenant}"}
    with ledger.write() as connection:
        connection.execute(metadata.tables["budgets"].insert().values(**told))
        connection.execute(metadata.tables["usage"].insert().values(**call))
    return job.run_id


@pytest.fixture
def runs(database: str, ledger: Ledger) -> dict[str, str]:
    make_tables(ledger, database)
    return {tenant: fill(ledger, tenant) for tenant in TENANTS}


@pytest.fixture
def of(database: str, runs: dict[str, str]) -> Iterator[Callable[[str], Ledger]]:
    opened = {tenant: Ledger(database, hooks=(), tenant=tenant) for tenant in TENANTS}
    yield opened.__getitem__
    for ledger in opened.values():
        ledger.close()


def looks(ledger: Ledger, run: str, approval: str) -> list[Any]:
    """Every question that is put to a ledger, without one and with the names of what is somebody else's."""
    everything: list[Callable[[], Any]] = [
        lambda: ledger.runs.list(),
        lambda: ledger.runs.get(run),
        lambda: ledger.runs.get(run[:6]),
        lambda: ledger.runs.children(run),
        lambda: ledger.runs.open_threads(),
        lambda: ledger.approvals.pending(),
        lambda: ledger.approvals.pending(run),
        lambda: ledger.approvals.get(approval),
        lambda: ledger.effects.of_run(run),
        lambda: ledger.effects.cut_off(run),
        lambda: ledger.budgets.standing(f"run:{run}"),
        lambda: ledger.spending.by("run"),
        lambda: ledger.spending.by("model"),
        lambda: ledger.spending.by("team"),
        lambda: ledger.spending.by("agent", run),
        lambda: ledger.jobs.list(Which()),
        lambda: ledger.jobs.list(Which(tenant="acme")),
        lambda: ledger.jobs.list(Which(ids=["a-1", run])),
        lambda: ledger.jobs.newest(Which(), 50),
        lambda: ledger.jobs.get(run),
        lambda: ledger.jobs.counts(Which()),
        lambda: ledger.jobs.counts_by_tenant(),
        lambda: ledger.jobs.figures(Which(), hour=1e9, day=1e9),
        lambda: ledger.jobs.questions(Which()),
        lambda: ledger.jobs.wanted("host/1"),
        lambda: ledger.jobs.heard(run),
        lambda: ledger.jobs.limits.all(),
        lambda: ledger.jobs.unmoved(-1.0),
        lambda: ledger.jobs.flagged(),
        lambda: ledger.schedules.all(),
        lambda: ledger.notices.list(),
        lambda: ledger.alerts.now(),
        lambda: ledger.people.all() if hasattr(ledger.people, "all") else (),
    ]
    found = []
    for look in everything:
        try:
            found.append(look())
        except (UnknownRun, UnknownApproval) as error:
            found.append(type(error).__name__)
    with ledger.read() as connection:
        for table in metadata.tables.values():
            found.append(connection.execute(table.select()).all())
            if "run_id" in table.c:
                found.append(
                    connection.execute(text(f"SELECT * FROM {table.name} WHERE run_id = :run"), {"run": run}).all()
                )
    return found


def test_two_hundred_looks_of_each_tenant_find_nothing_of_the_others_and_all_of_their_own(
    ledger: Ledger, runs: dict[str, str], of: Callable[[str], Ledger]
) -> None:
    pending = {tenant: ledger.approvals.pending(run)[0].id for tenant, run in runs.items()}
    looked = 0
    for mine in TENANTS:
        for other in TENANTS:
            found = looks(of(mine), runs[other], pending[other])
            looked += len(found)
            for number, one in enumerate(found):
                told = repr(one)
                for foreign in set(TENANTS) - {mine}:
                    marks = (f"{foreign}'s", f"{foreign}-", f"'{foreign}'", pending[foreign])
                    leaked = [mark for mark in marks if mark in told]
                    assert not leaked, (mine, other, number, leaked, told[:500])
                if mine != other:
                    assert runs[other] not in told, (mine, other, number, told[:500])
        own = of(mine)
        assert [run.id for run in own.runs.list()] == [runs[mine]]
        assert own.approvals.get(pending[mine]).run_id == runs[mine]
        assert own.jobs.counts(Which()) == {"running": 1, "queued": 1}
        assert [one.name for one in own.schedules.all()] == [f"{mine}-weekly"]
        assert own.spending.by("model")[0].name == f"{mine}-model"
        assert own.budgets.standing(f"run:{runs[mine]}").spent.tokens == 7
        assert {row.event for row in _audit(own)} >= {"submitted", "started"}
    assert looked > 400


def _audit(ledger: Ledger) -> list[Any]:
    with ledger.read() as connection:
        return list(connection.execute(metadata.tables["audit"].select()))


def test_a_ledger_of_one_tenant_changes_nothing_and_its_name_is_checked(
    database: str, runs: dict[str, str], of: Callable[[str], Ledger]
) -> None:
    with pytest.raises(OtherTenant, match="looked at, and changes nothing"):
        of("bolt").jobs.cancel(Which(), by="joe")
    with pytest.raises(OtherTenant, match="is no tenant's name"):
        Ledger(database, tenant="x' OR '1'='1")


def test_a_run_that_does_no_job_is_of_the_tenant_that_it_names_or_the_usual_one(
    ledger: Ledger, runs: dict[str, str], of: Callable[[str], Ledger]
) -> None:
    run, _ = ledger.runs.begin("r-plain", 1, team="office", goal="pay")
    assert run in {one.id for one in of("default").runs.list()}
    assert run not in {one.id for one in of("acme").runs.list()}
    named, _ = ledger.runs.begin("r-named", 1, team="office", goal="pay", options={RUN_TENANT: "acme"})
    assert named in {one.id for one in of("acme").runs.list()}
    assert not {named} & {one.id for who in ("default", "bolt") for one in of(who).runs.list()}
    quoting, _ = ledger.runs.begin(
        "r-quoting", 1, team="office", goal="pay", options={"run input": {"note": f'"{RUN_TENANT}":"acme"'}}
    )
    assert [quoting in {one.id for one in of(who).runs.list()} for who in TENANTS] == [False, False, True]
    assert ledger.tenant_of(named) == "acme"
    assert [of(who).tenant_of(named) for who in TENANTS] == ["acme", "", ""], "what is hidden is not the usual tenant's"
    assert [ledger.tenant_of(one) for one in (run, *runs.values())] == ["default", *TENANTS]


def test_the_role_of_the_usual_tenant_is_that_of_no_tenant_in_particular(ledger: Ledger, runs: dict[str, str]) -> None:
    plain, _ = ledger.runs.begin("r-plain", 1, team="office", goal="pay")
    nobody, usual = Person("ann"), Person("ann", frozenset({"tenant:default"}))
    assert (usual.tenants, usual.tenant) == (nobody.tenants, nobody.tenant)
    for run in (plain, *runs.values()):
        assert (ledger.inbox.run(usual, run) is None) == (ledger.inbox.run(nobody, run) is None), run
    with pytest.raises(SettingsError, match=r"default, acme"):
        _ = Person("ann", frozenset({"tenant:default", "tenant:acme"})).tenant


def test_a_run_stays_its_tenants_once_the_row_of_its_job_was_dropped(
    ledger: Ledger, runs: dict[str, str], of: Callable[[str], Ledger]
) -> None:
    below = {tenant: f"{run}.a2" for tenant, run in runs.items()}
    for tenant, run in runs.items():
        ledger.runs.begin_as(below[tenant], options={}, team="office", goal="look", requested_by="", driver="local")
        job = ledger.jobs.get(run)
        assert job is not None
        assert ledger.jobs.turns.finish(job, "done") is not None
    before = ledger.audit.verify().problems  # of budgets and calls that `fill` wrote past the log
    assert ledger.jobs.ended.drop(later(60.0), by="joe") == 3
    for mine, run in runs.items():
        assert ledger.jobs.get(run) is None
        assert {one.id for one in of(mine).runs.list()} == {run, below[mine]}
        assert [ledger.tenant_of(one) for one in (run, below[mine])] == [mine, mine]
        for other in TENANTS:
            person = Person("ann", frozenset({f"tenant:{other}"} if other != "default" else ()))
            assert (ledger.inbox.run(person, run) is not None) == (mine == other), (mine, other)
    assert ledger.audit.verify().problems == before
