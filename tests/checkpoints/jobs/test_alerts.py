"""Whatever is wrong with a fleet as a whole is told once when it begins, and once when it is over."""

from collections.abc import Collection, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from signoff.checkpoints import later
from signoff.checkpoints.jobs import ALERTS, NewJob, Which, make_tables
from signoff.checkpoints.ledger.approval import Question
from signoff.checkpoints.ledger.budgets.amounts import Amount
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.notifications import Notice
from signoff.checkpoints.process_identity import current_owner
from signoff.errors import SettingsError
from signoff.settings import Settings, load_settings

JOB = NewJob(id="a-1", team="office", goal="pay", options={})


class Pager:
    """A hook that takes everything."""

    name = "pager"
    events: Collection[str] = ("alert", "cleared")
    delays: tuple[float, ...] = ()
    time_limit = 1.0

    def prepare(self) -> None:
        pass

    def send(self, notice: Notice) -> None:
        pass


@pytest.fixture
def fleet(database: str) -> Iterator[Ledger]:
    ledger = Ledger(database, hooks=[Pager()])
    make_tables(ledger, database)
    yield ledger
    ledger.close()


def say(ledger: Ledger, sql: str, **values: Any) -> None:
    with ledger.write() as connection:
        connection.execute(text(sql), values)


def told(ledger: Ledger) -> list[str]:
    return [notice.event for notice in reversed(ledger.notices.list())]


def begin(ledger: Ledger, name: str) -> Settings:
    """Have something be wrong; the settings by which it is, and nothing else."""
    none: dict[str, float] = dict.fromkeys(ALERTS, 0.0)
    settings = load_settings(alerts=none | {name: 2.0 if name == "failures" else 1.0})
    ledger.jobs.submit([JOB, NewJob(id="a-2", team="office", goal="pay", options={})], by="joe")
    old = later(-90.0)
    if name == "failures":
        say(ledger, "UPDATE jobs SET status = 'parked', ended_at = :now", now=later(-1.0))
    elif name in ("queue_age", "no_worker"):
        say(ledger, "UPDATE jobs SET queued_at = :old", old=old)
    elif name == "approval_age":
        job = ledger.jobs.turns.take(JOB.run_id, 1, f"{current_owner()}/x", worker="host/1")
        assert job.how == "mine"
        ledger.approvals.ask(
            Question("p-1", JOB.run_id, "pay", {"to": "ann"}, "due", "external", "clerk"), expires_in=None
        )
        say(ledger, "UPDATE approvals SET requested_at = :old", old=old)
    else:
        settings = load_settings(alerts=none | {name: 0.5}, day_budget="$2")
        spend(ledger, 1.0)
    return settings


def spend(ledger: Ledger, usd: float) -> None:
    day = later(0.0)[:10]
    amount = Amount(nusd=int(usd * 1e9))
    columns = ", ".join(Amount._fields)
    values = ", ".join(f":{unit}" for unit in Amount._fields)
    say(ledger, "DELETE FROM budgets")
    say(
        ledger,
        f"INSERT INTO budgets (scope, {columns}) VALUES (:scope, {values})",
        scope=f"day:{day}",
        **amount._asdict(),
    )


def end(ledger: Ledger, name: str) -> None:
    """Have it be over."""
    if name == "failures":
        ledger.jobs.retry(Which(ids=["a-1"]), by="ann")
    elif name == "queue_age":
        ledger.jobs.hold(Which(), by="ann")
    elif name == "no_worker":
        ledger.workers.join("host:boot:1:1:1", places=1)
    elif name == "approval_age":
        for one in ledger.approvals.pending():
            ledger.approvals.reject(one.id, by="ann")
    else:
        spend(ledger, 0.1)


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_is_told_once_however_many_look_and_once_when_it_is_over(fleet: Ledger, name: str) -> None:
    settings = begin(fleet, name)
    other = Ledger(fleet.database, hooks=[Pager()])
    if "://" in str(fleet.database):
        other = fleet
    assert fleet.alerts.now(settings)[0].since == ""
    for each in (fleet, other, fleet):
        (found,) = each.alerts.look(settings)
        assert (found.name, bool(found.since), bool(found.says)) == (name, True, True)
    assert told(fleet) == ["alert"]
    end(fleet, name)
    for each in (other, fleet):
        assert each.alerts.look(settings) == ()
    assert told(fleet) == ["alert", "cleared"]
    assert fleet.notices.list()[0].run_id == ""


def test_what_is_set_to_nothing_is_never_told_and_the_rest_is_as_usual() -> None:
    assert load_settings(alerts={"queue_age": 0}).alert_limits["queue_age"] == 0
    assert load_settings().alert_limits["no_worker"] == 60.0


@pytest.mark.usefixtures("home")
def test_an_alert_that_there_is_not_is_told_with_how_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_ALERTS", '{"load": 3}')
    with pytest.raises(SettingsError, match=r'SIGNOFF_ALERTS: .*load.* Write it as \{"failures": 10'):
        load_settings()
