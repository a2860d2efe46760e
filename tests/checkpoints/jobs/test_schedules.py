"""Each firing of a schedule is one job, whoever looks; what was missed, and what overlaps, follows its policy."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from sqlalchemy import text

from signoff.checkpoints.canonical import moment_of
from signoff.checkpoints.jobs import NewJob, Which, make_tables
from signoff.checkpoints.jobs.schedules import firings
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.errors import BadSchedule, Tampered, UnknownSchedule

JOB = NewJob(id="any", team="office", goal="report", options={"out": "/x/{id}.md"})


@pytest.fixture
def fleet(database: str, ledger: Ledger) -> Ledger:
    make_tables(ledger, database)
    return ledger


def missed(ledger: Ledger, minutes: float, **policy: Any) -> None:
    """A schedule of every minute whose firings nobody has looked at for so long."""
    ledger.schedules.add("each", "* * * * *", JOB, by="joe", **policy)
    at = moment_of(datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=minutes))
    with ledger.write() as connection:
        connection.execute(text("UPDATE schedules SET next_at = :at"), {"at": at})


def test_a_firing_is_one_job_whoever_looks_and_is_named_by_its_moment(fleet: Ledger) -> None:
    missed(fleet, 0)
    (made,) = fleet.schedules.fire()
    assert fleet.schedules.fire() == []
    (job,) = fleet.jobs.list(Which())
    assert (job.id, made.startswith("each@2"), job.submitted_by) == (made, True, "schedule each")
    assert job.options["out"] == f"/x/{made}.md"
    (schedule,) = fleet.schedules.all()
    assert schedule.told == "1 submitted"
    assert schedule.next_at > schedule.last_at
    with fleet.write() as connection:  # a clock that was set back, or another worker that has not seen it
        connection.execute(text("UPDATE schedules SET next_at = :at"), {"at": schedule.last_at})
    assert fleet.schedules.fire() == []


def test_of_what_was_missed_only_the_newest_is_made_up_for_unless_all_is_wanted_within_the_window(
    fleet: Ledger,
) -> None:
    missed(fleet, 30)
    assert len(fleet.schedules.fire()) == 1
    assert fleet.schedules.all()[0].told.startswith("1 submitted, ")
    missed(fleet, 300, newest_only=False, catch_up=330, overlap="allow")
    assert len(fleet.schedules.fire()) in (4, 5, 6)
    missed(fleet, 300, catch_up=0)
    assert len(fleet.schedules.fire()) <= 1


@pytest.mark.parametrize(("overlap", "made"), [("skip", 1), ("queue-one", 2), ("allow", 4)])
def test_jobs_that_overlap_are_left_out_wait_or_are_submitted(fleet: Ledger, overlap: Any, made: int) -> None:
    missed(fleet, 3, newest_only=False, overlap=overlap)
    assert len(fleet.schedules.fire()) == made


def test_a_schedule_that_is_paused_submits_nothing_and_goes_on_with_what_is_next(fleet: Ledger) -> None:
    missed(fleet, 5)
    fleet.schedules.pause("each", by="ann")
    assert fleet.schedules.fire() == []
    fleet.schedules.go_on("each", by="ann")
    assert fleet.schedules.fire() == []
    fleet.schedules.run_now("each", by="ann")
    assert len(fleet.jobs.list(Which())) == 1
    fleet.schedules.remove("each", by="ann")
    with pytest.raises(UnknownSchedule, match="signoff schedule list"):
        fleet.schedules.run_now("each", by="ann")


def test_a_tenants_schedule_is_replaced_by_one_of_its_own_alone(fleet: Ledger) -> None:
    fleet.schedules.add("each", "* * * * *", JOB, by="joe")
    fleet.schedules.add("each", "0 8 * * 1", JOB, by="joe")
    with pytest.raises(BadSchedule, match="'each' is one of tenant 'default', which would be gone"):
        fleet.schedules.add("each", "* * * * *", replace(JOB, tenant="acme"), by="joe")
    assert [(one.cron, one.tenant) for one in fleet.schedules.all()] == [("0 8 * * 1", "default")]


def test_a_moment_that_somebody_spoiled_in_the_database_is_told_as_such(fleet: Ledger) -> None:
    fleet.schedules.add("each", "* * * * *", JOB, by="joe")
    with fleet.write() as connection:
        connection.execute(text("UPDATE schedules SET next_at = '2026-01-31 soon'"))
    with pytest.raises(Tampered, match="2026-01-31 soon"):
        fleet.schedules.fire()


def test_a_span_is_filled_with_what_is_not_there(fleet: Ledger) -> None:
    fleet.schedules.add("hourly", "0 * * * *", JOB, by="joe")
    first, last = datetime(2026, 1, 31, 8, tzinfo=UTC), datetime(2026, 1, 31, 10, 30, tzinfo=UTC)
    assert fleet.schedules.backfill("hourly", first, last, by="ann") == [
        f"hourly@2026-01-31T{hour}:00Z" for hour in ("08", "09", "10")
    ]
    assert fleet.schedules.backfill("hourly", first, last, by="ann") == []


def test_it_goes_by_the_clock_of_its_zone_also_where_that_is_changed() -> None:
    since = datetime(2026, 3, 27, 12, tzinfo=UTC)
    found = list(islice(firings("0 8 * * *", "Europe/Berlin", since), 3))
    assert [f"{at:%d %H:%M}" for at in found] == ["28 07:00", "29 06:00", "30 06:00"]


@pytest.mark.parametrize(
    ("cron", "moments"),
    [
        ("30 2 * * *", ["24 00:30", "25 00:30", "26 01:30"]),  # the second half past two of that night is none
        ("30 * * * *", ["24 23:30", "25 00:30", "25 01:30", "25 02:30"]),
    ],
)
def test_in_the_hour_that_comes_twice_a_time_of_day_is_one_firing_and_every_hour_is_two(
    cron: str, moments: list[str]
) -> None:
    since = datetime(2026, 10, 24, 23 if "*" in cron.split()[1] else 0, tzinfo=UTC)
    found = islice(firings(cron, "Europe/Berlin", since), len(moments))
    assert [f"{at:%d %H:%M}" for at in found] == moments


@pytest.mark.parametrize(("cron", "zone"), [("* * *", "UTC"), ("61 * * * *", "UTC"), ("* * * * *", "Mars/Olympus")])
def test_what_is_no_time_is_refused_before_it_is_kept(cron: str, zone: str) -> None:
    with pytest.raises(BadSchedule):
        firings(cron, zone, datetime.now(UTC))
