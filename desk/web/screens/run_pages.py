"""The runs and one of them: how it stands, what it has made, what it rests on, what it cost, and what became of it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from signoff.checkpoints.jobs import JOB_RUN
from signoff.checkpoints.ledger import EVERYBODY, RunRecord
from signoff.desk.errors import NotManaging
from signoff.desk.service import ENDED
from signoff.desk.team_options import is_known
from signoff.desk.web.context import MANAGER, Visit, address_of, deed, entry_number, query_of, run_at, screen
from signoff.desk.web.screens.artifact_pages import ROOMS, Room, excerpt, is_kept_here, made_in, past_at, state_of
from signoff.desk.web.screens.excerpts import fitting
from signoff.desk.web.screens.team_graph import draw
from signoff.fleet import forked_from, standings
from signoff.graphs.errors import BadAnswer

_STATES: Final = ("running", "waiting", "failed", "done", "stopped")


@screen
def runs(visit: Visit) -> Response:
    """The runs, the newest first."""
    filters, after = query_of(visit, "team", "status", "tenant"), query_of(visit, "after")["after"]
    filters["tenant"] = filters["tenant"] if visit.person.sees_all else ""
    page = visit.ledger.inbox.runs(visit.person, filters, after)
    stands = standings(visit.ledger, page.items)
    values: dict[str, Any] = {
        "filters": {name: value for name, value in filters.items() if value},
        "runs": stands,
        "about": visit.ledger.inbox.about_runs([one.id for one in page.items]),
        "states": visit.ledger.inbox.run_states(visit.person),
        "order": _STATES,
        "older": address_of("/runs", **filters, after=page.more) if page.more else "",
        "again": address_of("/runs", **filters, after=after),
        "address_of": address_of,
    }
    return visit.render("parts/runs.html" if visit.is_part else "runs.html", **values)


@screen
def run(visit: Visit) -> Response:
    """One run."""
    record, query = run_at(visit), query_of(visit, "before", "rows", "from", "at")
    (stands,) = standings(visit.ledger, [record])
    past = past_at(visit, record)
    state = past.state if past else state_of(visit, record)
    entries = visit.ledger.inbox.entries(record.id, before=entry_number(query["before"]) or 0)
    asked, plan, team = _asked(visit, record), state.get("plan", []), visit.context.team_of(record)
    values: dict[str, Any] = {
        "stands": stands,
        "record": record,
        "plan": plan,
        "drawing": draw(plan, team, "waiting" if asked and not past else ""),
        "past": past,
        "once": secrets.token_hex(8),
        "can_replay": is_kept_here(visit, record) and bool(state.get("run")),
        "is_live": record.status == "running"
        and bool(stands.record.owner or record.id in visit.context.background.alive),
        "asked": [one.approval for one in asked],
        "made": made_in(state),
        "outcomes": state.get("outcomes", []),
        "spent": visit.ledger.spending.by("agent", record.id),
        "entries": entries.items,
        "older": address_of(f"/runs/{record.id}", before=entries.more) if entries.more else "",
        "said": visit.context.background.said_at_the_end(record.root),
        "is_driven": record.root in visit.context.background.alive,
        "can_go_on": _can_go_on(visit, record, asked),
        "can_stop": _can_stop(visit, record),
        "can_fork": record.driver == "local" and not record.path and not isinstance(team, str),
        "forked_from": forked_from(record),
        "again": address_of(f"/runs/{record.id}", **query),
    }
    return _fitting(visit, values, entry_number(query["from"]) or 0, entry_number(query["rows"]) or 0)


def _fitting(visit: Visit, values: Mapping[str, Any], begin: int, first_row: int) -> Response:
    """The page with as much of what was made as fits: of a text from this character on, of tables from this row."""
    made, template = values["made"], "parts/run.html" if visit.is_part else "run.html"

    def shown(room: Room) -> Response:
        draft = excerpt(made.draft.markdown, begin, room.characters) if made.draft else None
        extracts = made.extracts(first_row, room)
        return visit.render(template, **values, draft=draft, extracts=extracts, room=room)

    return fitting(ROOMS, shown)


def _asked(visit: Visit, record: RunRecord) -> Sequence[Any]:
    """What it, or the work of an agent in it, waits for, as much as a page shows."""
    return visit.ledger.inbox.page("all", EVERYBODY, {"run": record.id}, is_brief=True).items


def _can_go_on(visit: Visit, record: RunRecord, asked: Sequence[Any]) -> bool:
    """Whether it stands still and this page can drive it: it was cut off, or all that it asked is decided."""
    context = visit.context
    still = record.status in ("running", "failed") or (record.status == "waiting" and not asked)
    still = still and not (record.owner or record.path or record.cancelled_by)
    still = still and record.id not in context.background.alive
    return still and record.driver == "local" and is_known(record) and not visit.ledger.jobs.is_at_work(record.id)


def _can_stop(visit: Visit, record: RunRecord) -> bool:
    """Whether this person can end it; the work of a job ends as all jobs do, by whoever runs the page."""
    is_open = record.status not in ENDED and not record.path and not (record.cancelled_by and record.owner)
    return is_open and (visit.may_manage or not record.id.startswith(JOB_RUN))


@deed
def cancel(visit: Visit) -> Response:
    """End a run, whoever drives it; what is under way comes to its end first."""
    record = run_at(visit)
    if record.id.startswith(JOB_RUN) and not visit.may_manage:
        raise NotManaging(MANAGER)
    visit.context.service.end(record, visit.person)
    return visit.to(f"/runs/{record.id}")


@deed
def go_on(visit: Visit) -> Response:
    """Go on with a run that was cut off or failed."""
    record = run_at(visit)
    if not _can_go_on(visit, record, _asked(visit, record)):
        raise BadAnswer("This run cannot go on from here.")
    visit.context.background.drive(record.id, lambda: visit.context.open_run(record.id))
    return visit.to(f"/runs/{record.id}")
