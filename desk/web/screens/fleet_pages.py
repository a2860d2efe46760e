"""The fleet: what people ask of it, its jobs, the schedules with their next firings, and the workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final, get_args
from zoneinfo import ZoneInfo

from starlette.responses import Response

from signoff.checkpoints import seconds_since
from signoff.checkpoints.jobs import DEFAULT_TENANT, STATUSES, Asked, Hour, JobStatus, Schedule, Which, make_tables
from signoff.desk.errors import NotThere
from signoff.desk.web.context import Visit, address_of, deed, for_all, managed, query_of, screen
from signoff.fleet.queue import Fleet, overview_of
from signoff.graphs.errors import BadAnswer

_SHOWN: Final = 20
"""Jobs, schedules or workers that are shown together."""
_NEXT: Final = 5
"""Firings of a schedule that are shown."""
_WIDE, _HIGH = 20, 72
"""Of the bar of an hour, with the gap to the next, in the units of the drawing; the highest is so high."""
_CHANGES: Final[dict[str, tuple[Callable[[Fleet, Which], Asked], tuple[JobStatus, ...]]]] = {
    "cancel": (Fleet.cancel, ("queued", "running", "waiting", "held")),
    "retry": (Fleet.retry, ("parked",)),
    "drain": (Fleet.hold, ("queued", "running")),
    "resume": (Fleet.resume, ("held",)),
}
"""What can be done to jobs, and to those that stand how: as the command line does it."""


@screen
def fleet(visit: Visit) -> Response:
    """The five questions, and the newest jobs."""
    which, filters = _which(visit)
    found = overview_of(visit.ledger, Which(tenant=which.tenant, team=which.team), is_brief=True)
    listed = visit.ledger.jobs.newest(which, _SHOWN)[::-1]
    values: dict[str, Any] = {
        "found": found,
        "states": [(status, found.counts.get(status, 0)) for status in STATUSES],
        "filters": {name: value for name, value in filters.items() if value},
        "jobs": listed,
        "more": (
            sum(visit.ledger.jobs.counts(which).values()) if filters["status"] or filters["error"] else found.total
        )
        - len(listed),
        "again": address_of("/fleet", **filters),
        "bars": _bars(found.figures.hours),
        "address_of": address_of,
        "changes": {status: [verb for verb, (_, among) in _CHANGES.items() if status in among] for status in STATUSES},
        "may_manage": visit.may_manage,
    }
    return visit.render("parts/fleet.html" if visit.is_part else "fleet/overview.html", **values)


@dataclass(frozen=True)
class Bars:
    """What ended in each of some hours, as bars; their parts, from below, are what was done, given up, and stopped."""

    hours: Sequence[Hour]

    wide, high = _WIDE, _HIGH

    @property
    def most(self) -> int:
        return max(hour.total for hour in self.hours)

    def sum_of(self, kind: str) -> int:
        return sum(getattr(hour, kind) for hour in self.hours)

    def parts(self) -> Iterator[tuple[str, int, float, float]]:
        """Of each part its kind, the number of its hour, where it begins from above, and how high it is."""
        for number, hour in enumerate(self.hours):
            top = float(_HIGH)
            for kind in ("done", "parked", "others"):
                high = _HIGH * getattr(hour, kind) / self.most if self.most else 0.0
                top -= high
                if high:
                    yield kind, number, round(top, 1), round(high, 1)


def _bars(hours: Sequence[Hour]) -> Bars | None:
    """None where nothing has ended."""
    return Bars(hours) if any(hour.total for hour in hours) else None


def _which(visit: Visit) -> tuple[Which, dict[str, str]]:
    filters = query_of(visit, "tenant", "team", "status", "error")
    if not visit.sees(filters["tenant"]):
        filters["tenant"] = min(visit.person.tenants) or DEFAULT_TENANT
    known = tuple(status for status in get_args(JobStatus) if status == filters["status"])
    return Which(tenant=filters["tenant"], team=filters["team"], status=known, error=filters["error"]), filters


@deed
@managed
def change_job(visit: Visit) -> Response:
    """Cancel, retry, hold or resume one job."""
    run, verb = visit.request.path_params["run"], visit.form.get("verb", "")
    job = visit.ledger.jobs.get(run)
    if job is None or not visit.sees(job.tenant):
        raise NotThere("job")
    if verb not in _CHANGES:
        raise BadAnswer(f"{verb!r:.20} is nothing that can be done to a job.")
    change, among = _CHANGES[verb]
    settings = visit.context.settings.model_copy(update={"user": visit.person.name})
    make_tables(visit.ledger, settings.database_name)
    asked = change(Fleet(visit.ledger, settings), Which(tenant=job.tenant, ids=(job.run_id,), status=among))
    if not (asked.at_once or asked.soon or asked.begun):
        raise BadAnswer(f"Job {job.name} is {job.status}: there is nothing to {verb}.")
    return visit.to("/fleet")


@screen
def schedules(visit: Visit) -> Response:
    """When what is submitted."""
    after = query_of(visit, "after")["after"]
    left = [one for one in visit.ledger.schedules.all() if visit.sees(one.tenant) and one.name > after]
    shown = left[:_SHOWN]
    more = address_of("/fleet/schedules", after=shown[-1].name) if len(left) > len(shown) else ""
    firings = {one.name: [] if one.paused_by else _firings(one) for one in shown}
    return visit.render(
        "fleet/schedules.html", schedules=shown, firings=firings, more=more, may_manage=visit.may_manage
    )


def _firings(schedule: Schedule) -> list[str]:
    """Its next moments, by its own clock."""
    since = datetime.fromisoformat(schedule.next_at) - timedelta(seconds=1)
    zone = ZoneInfo(schedule.zone)
    return [f"{at.astimezone(zone):%a %Y-%m-%d %H:%M}" for at in islice(schedule.firings(since), _NEXT)]


@deed
@managed
def change_schedule(visit: Visit) -> Response:
    """Pause a schedule, have it go on, or submit its job now."""
    name, by = visit.request.path_params["name"], visit.person.name
    known = visit.ledger.schedules
    if not any(one.name == name and visit.sees(one.tenant) for one in known.all()):
        raise NotThere("schedule")
    match visit.form.get("verb"):
        case "pause":
            known.pause(name, by=by)
        case "resume":
            known.go_on(name, by=by)
        case "run":
            make_tables(visit.ledger, visit.context.settings.database_name)
            known.run_now(name, by=by)
            return visit.to("/fleet")
        case verb:
            raise BadAnswer(f"{verb!r:.20} is nothing that can be done to a schedule.")
    return visit.to("/fleet/schedules")


@screen
@for_all
def workers(visit: Visit) -> Response:
    """Who does the jobs."""
    found = visit.ledger.workers.all()
    limits = visit.ledger.jobs.limits.all()
    late = {slot.slot for slot in found if seconds_since(slot.until) > 0}
    left = visit.ledger.jobs.counts(Which(status=("queued", "running")))
    return visit.render("fleet/workers.html", workers=found, late=late, limits=limits, left=left)
