"""What the clock decides, where it jumps or nobody looked for a while: nothing fires twice, and it is told."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from signoff.checkpoints import canonical
from signoff.checkpoints.jobs import NewJob, Which, make_tables, schedules
from signoff.checkpoints.ledger.approval import Question
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.process_identity import current_owner
from signoff.errors import Tampered

NOON = datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)
JOB = NewJob(id="any", team="office", goal="report", options={})
Set = Callable[[timedelta], None]
"""Sets the clock to so long after noon."""


@pytest.fixture
def fleet(tmp_path: Any) -> Any:
    """A ledger in a file, which goes by the clock of its machine."""
    opened = Ledger(tmp_path / "signoff.db")
    make_tables(opened, str(tmp_path / "signoff.db"))
    yield opened
    opened.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Set:
    def set_to(after: timedelta) -> None:
        monkeypatch.setattr(canonical, "now", lambda: canonical.moment_of(NOON + after))

    set_to(timedelta())
    return set_to


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


@pytest.mark.parametrize(
    ("policy", "made"),
    [
        ({}, ["12:15"]),
        ({"catch_up": 10}, []),
        ({"newest_only": False, "overlap": "allow"}, [f"12:{number:02}" for number in range(1, 16)]),
        ({"newest_only": False, "overlap": "allow", "catch_up": 120}, ["12:14", "12:15"]),
        ({"newest_only": False, "overlap": "queue-one"}, ["12:01", "12:02"]),
    ],
)
def test_when_all_workers_were_away_for_fifteen_firings_each_schedule_keeps_its_policy(
    fleet: Ledger, clock: Set, policy: dict[str, Any], made: list[str]
) -> None:
    fleet.schedules.add("each", "* * * * *", JOB, by="joe", **policy)
    clock(minutes(15))
    assert fleet.schedules.fire() == [f"each@2026-01-31T{moment}Z" for moment in made]
    assert fleet.schedules.fire() == []
    assert fleet.schedules.all()[0].told == f"{len(made)} submitted" + (
        f", {15 - len(made)} left out" if len(made) < 15 else ""
    )


def test_nobody_waits_while_what_was_missed_in_a_year_is_counted(
    fleet: Ledger, clock: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.schedules.add("each", "* * * * *", JOB, by="joe")
    asked, found = list[datetime](), schedules.firings

    def counted(cron: str, zone: str, since: datetime) -> Iterator[datetime]:
        for at in found(cron, zone, since):
            asked.append(at)
            yield at

    monkeypatch.setattr(schedules, "firings", counted)
    clock(timedelta(days=365))
    assert fleet.schedules.fire() == ["each@2027-01-31T12:00Z"]
    assert len(asked) < 1_100
    (schedule,) = fleet.schedules.all()
    assert (schedule.told, schedule.last_at[:16]) == ("1 submitted, more than 1059 left out", "2027-01-31T12:00")


def test_a_clock_that_jumps_an_hour_to_and_fro_fires_nothing_twice(fleet: Ledger, clock: Set) -> None:
    fleet.schedules.add("each", "* * * * *", JOB, by="joe", overlap="allow")
    made = []
    for after in (0, 1, 2, 62, 63, 3, 4, 5, -56, 6, 64, 65):
        clock(minutes(after))
        made += fleet.schedules.fire()
    assert made == [f"each@2026-01-31T{moment}Z" for moment in ("12:01", "12:02", "13:02", "13:03", "13:04", "13:05")]
    assert sorted(job.id for job in fleet.jobs.list(Which())) == sorted(made)


def test_a_question_expires_at_its_moment_once_is_told_so_and_stays_so_when_the_clock_is_set_back(
    fleet: Ledger, clock: Set
) -> None:
    fleet.jobs.submit([JOB], by="joe")
    taken = fleet.jobs.turns.take(JOB.run_id, 1, f"{current_owner()}/x", worker="host/1").job
    assert taken is not None
    question = Question("p-1", JOB.run_id, "pay", {"to": "ann"}, "due", "external", "clerk")
    asked = fleet.approvals.ask(question, expires_in=1800.0)
    fleet.jobs.turns.wait(taken, asked.expires_at)
    for after in (-60, 0, 29):
        clock(minutes(after))
        assert [one.id for one in fleet.approvals.pending()] == [asked.id]
    for after in (60, 0, 61):
        clock(minutes(after))
        assert fleet.approvals.pending() == []
    (told,) = [entry for entry in fleet.audit.entries(JOB.run_id) if entry.event == "expired"]
    assert told.at == canonical.moment_of(NOON + minutes(60))
    job = fleet.jobs.get(JOB.run_id)
    assert job is not None
    assert (job.status, job.answers) == ("queued", 1)


def test_a_schedule_that_was_spoiled_keeps_no_other_from_firing(fleet: Ledger, clock: Set) -> None:
    for name in ("first", "spoiled", "zuletzt"):
        fleet.schedules.add(name, "* * * * *", JOB, by="joe")
    with fleet.write() as connection:
        connection.execute(text("UPDATE schedules SET options = '[' WHERE name = 'spoiled'"))
    clock(minutes(1))
    with pytest.raises(Tampered):
        fleet.schedules.fire()
    assert sorted(job.id.partition("@")[0] for job in fleet.jobs.list(Which())) == ["first", "zuletzt"]
