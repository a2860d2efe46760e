"""The record: the audit log, what was spent, and the people with their roles and keys."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from signoff.agents import budgets_of
from signoff.checkpoints import today
from signoff.desk.web.context import Visit, address_of, deed, entry_number, query_of, screen


@screen
def audit(visit: Visit) -> Response:
    """The newest entries of the log, of all runs or of one."""
    return _show(visit)


@deed
def verify(visit: Visit) -> Response:
    """Read the whole log, and say whether it is what was written."""
    head = visit.form.get("head", "").strip()
    return _show(visit, found=visit.ledger.audit.verify(*([head] if head else [])), head=head)


def _show(visit: Visit, **values: Any) -> Response:
    asked = query_of(visit, "run", "before")
    page = visit.ledger.inbox.entries(asked["run"], before=entry_number(asked["before"]) or 0)
    shown: dict[str, Any] = {
        "entries": page.items,
        "older": address_of("/audit", run=asked["run"], before=page.more) if page.more else "",
        "run": asked["run"],
        "newest": visit.ledger.audit.head(),
        "found": None,
        "head": "",
    }
    return visit.render("audit.html", **{**shown, **values})


@screen
def people(visit: Visit) -> Response:
    """Who has which role, and who can sign in."""
    page = visit.ledger.inbox.people(query_of(visit, "after")["after"])
    more = address_of("/people", after=page.more) if page.more else ""
    return visit.render("people.html", people=page.items, more=more)


@screen
def budgets(visit: Visit) -> Response:
    """What was spent today, within which limits, and on the days before."""
    day = today()
    limits = {level: str(limit) for level, limit in budgets_of(visit.context.settings).items()}
    return visit.render("budgets.html", day=day, limits=limits, spent=visit.ledger.inbox.spent(day))
