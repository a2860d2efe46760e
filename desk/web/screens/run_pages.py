"""The runs and one of them: how it stands, what it has made, what it rests on, what it cost, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError
from starlette.responses import Response

from signoff.agents import Draft, Table
from signoff.agents.artifacts import Evidence, Review
from signoff.checkpoints.ledger import EVERYBODY, RunRecord
from signoff.desk.errors import NotThere
from signoff.desk.tables import amid, stored_of, tables_in
from signoff.desk.team_options import is_known
from signoff.desk.web.context import PageContext, Visit, address_of, deed, entry_number, query_of, run_at, screen
from signoff.desk.web.screens.team_graph import draw
from signoff.fleet import read_state, standings
from signoff.graphs.errors import BadAnswer
from signoff.tools.errors import UnknownSource

_MOST_ROWS: Final = 50
"""Rows of a table that are shown."""
_MOST_QUOTES: Final = 60
_STATES: Final = ("running", "waiting", "failed", "done", "stopped")


@screen
def runs(visit: Visit) -> Response:
    """The runs, the newest first."""
    filters, after = query_of(visit, "team", "status"), query_of(visit, "after")["after"]
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
    record, query = run_at(visit), query_of(visit, "before", "rows")
    before, first_row = query["before"], entry_number(query["rows"]) or 0
    (stands,) = standings(visit.ledger, [record])
    state = _state_of(visit.context, record)
    entries = visit.ledger.inbox.entries(record.id, before=entry_number(before) or 0)
    asked = _asked(visit, record)
    values: dict[str, Any] = {
        "stands": stands,
        "record": record,
        "plan": state.get("plan", []),
        "drawing": draw(state.get("plan", []), visit.context.team_of(record), "waiting" if asked else ""),
        "is_live": record.status == "running"
        and bool(stands.record.owner or record.id in visit.context.background.alive),
        "asked": [one.approval for one in asked],
        "made": _artifacts(state),
        "outcomes": state.get("outcomes", []),
        "spent": visit.ledger.spending.by("agent", record.id),
        "entries": entries.items,
        "older": address_of(f"/runs/{record.id}", before=entries.more) if entries.more else "",
        "said": visit.context.background.said_at_the_end(record.root),
        "is_driven": record.root in visit.context.background.alive,
        "can_go_on": _can_go_on(visit, record, asked),
        "most_rows": _MOST_ROWS,
        "first_row": first_row,
    }
    return visit.render("parts/run.html" if visit.is_part else "run.html", **values)


def _state_of(context: PageContext, record: RunRecord) -> Mapping[str, Any]:
    root = context.ledger.runs.get(record.root) if record.path else record
    return read_state(record.root, context.settings, record.place) if root.driver == "local" else {}


def _asked(visit: Visit, record: RunRecord) -> Sequence[Any]:
    """What it, or the work of an agent in it, waits for, as much as a page shows."""
    return visit.ledger.inbox.page("all", EVERYBODY, {"run": record.id}).items


def _can_go_on(visit: Visit, record: RunRecord, asked: Sequence[Any]) -> bool:
    """Whether it stands still and this page can drive it: it was cut off, or all that it asked is decided."""
    context = visit.context
    still = record.status in ("running", "failed") or (record.status == "waiting" and not asked)
    still = still and not record.owner and not record.path and record.id not in context.background.alive
    return still and record.driver == "local" and is_known(record) and not visit.ledger.jobs.is_at_work(record.id)


def _artifacts(state: Mapping[str, Any]) -> dict[str, Any]:
    """What was made, by what it can be shown as; all else as JSON."""
    stored = {name: one["value"] for name, one in (state.get("artifacts") or {}).items()}
    tables = tables_in(state)
    made: dict[str, Any] = {"draft": None, "quotes": [], "review": None, "tables": tables, "others": {}}
    for name, value in stored.items():
        try:
            match name:
                case "Draft":
                    made["draft"] = Draft.model_validate(value)
                case "Evidence":
                    made["quotes"] = list(Evidence.model_validate(value).quotes[:_MOST_QUOTES])
                case "Review":
                    made["review"] = Review.model_validate(value)
                case _ if name not in tables:
                    made["others"][name] = value
        except ValidationError:  # a team's own of that name
            made["others"][name] = value
    return made


@screen
def cell(visit: Visit) -> Response:
    """What a cell of a table rests on, each span amid its document."""
    record, found = _table_of(visit)
    opened = found.numbered(visit.request.path_params["number"])
    if opened is None:
        raise NotThere("cell")
    stored = stored_of(record, visit.context.settings)
    facts = [(fact.value, [amid(span, stored) for span in fact.spans]) for fact in opened.facts]
    return visit.render("parts/cell.html", cell=opened, facts=facts)


@screen
def quote(visit: Visit) -> Response:
    """A quote amid its document."""
    record = run_at(visit)
    quotes = _artifacts(_state_of(visit.context, record))["quotes"]
    found = next((one for one in quotes if one.id == visit.request.path_params["number"]), None)
    if found is None:
        raise NotThere("quote")
    return visit.render("parts/quote.html", quote=found, amid=_around(visit.context, record, found))


def _around(context: PageContext, record: RunRecord, found: Any) -> tuple[str, str] | None:
    """What stands before and after a quote, if it still stands where it was found."""
    try:
        text = stored_of(record, context.settings)(found.source)
    except UnknownSource:
        return None
    end = found.start + len(found.text)
    if found.start < 0 or text[found.start : end] != found.text:
        return None
    return text[max(0, found.start - 200) : found.start], text[end : end + 200]


def _table_of(visit: Visit) -> tuple[RunRecord, Table]:
    record = run_at(visit)
    found = tables_in(_state_of(visit.context, record)).get(visit.request.path_params["table"])
    if found is None:
        raise NotThere("table")
    return record, found


@deed
def go_on(visit: Visit) -> Response:
    """Go on with a run that was cut off or failed."""
    record = run_at(visit)
    if not _can_go_on(visit, record, _asked(visit, record)):
        raise BadAnswer("This run cannot go on from here.")
    visit.context.background.drive(record.id, lambda: visit.context.open_run(record.id))
    return visit.to(f"/runs/{record.id}")
