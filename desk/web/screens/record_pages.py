"""The record: the audit log, what was spent, and the people with their roles and keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from signoff.agents import budgets_of
from signoff.checkpoints import today
from signoff.checkpoints.ledger import Person
from signoff.desk.errors import NotThere
from signoff.desk.web.context import Visit, address_of, deed, entry_number, for_all, managed, query_of, screen
from signoff.error_base import SettingsError
from signoff.graphs.errors import BadAnswer
from signoff.tools.errors import UnknownMemory
from signoff.tools.memory import Memory, Remembered
from signoff.wording import counted

_DAYS: Final = 90
"""How long a token is good that is given on the page."""
_SHOWN: Final = 20
_NOTHING_GIVEN: Final[dict[str, Any]] = {"told": "", "token": ""}


@screen
@for_all
def audit(visit: Visit) -> Response:
    """The newest entries of the log, of all runs or of one."""
    return _show(visit)


@deed
@for_all
def verify(visit: Visit) -> Response:
    """Read the whole log, and say whether it is what was written."""
    head = visit.form.get("head", "").strip()
    try:
        found = visit.ledger.audit.verify(*([head] if head else []))
    except SettingsError:
        raise BadAnswer(f"{head!r:.80} is no head. It is NUMBER:HASH, as this page shows the one of now.") from None
    return _show(visit, found=found, head=head)


def _show(visit: Visit, **values: Any) -> Response:
    asked = query_of(visit, "run", "before")
    page = visit.ledger.inbox.entries(asked["run"], before=entry_number(asked["before"]) or 0, who=visit.person)
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
@for_all
def people(visit: Visit) -> Response:
    """Who has which role, and who can sign in."""
    page = visit.ledger.inbox.people(query_of(visit, "after")["after"])
    more = address_of("/people", after=page.more) if page.more else ""
    return visit.render("people.html", people=page.items, more=more, may_manage=visit.may_manage, **_NOTHING_GIVEN)


@deed
@for_all
@managed
def change_people(visit: Visit) -> Response:
    """Give a role or a token, or take them; a token is shown once, in this answer alone."""
    known, form, by = visit.ledger.people, visit.form, visit.person.name
    name, role, shown = form.get("name", "").strip(), form.get("role", "").strip(), dict(_NOTHING_GIVEN)
    match form.get("verb"):
        case "give":
            did = known.give(name, role, by=by)
            shown["told"] = f"{name} {'has' if did else 'had already'} the role {role}."
        case "take":
            did = known.take(name, role, by=by)
            shown["told"] = f"{name} {'no longer has' if did else 'did not have'} the role {role}."
        case "token":
            shown["token"] = known.give_key(Person(name), "token", days=_DAYS, by=by)
            shown["told"] = f"{name} signs in with this for {_DAYS} days. It is shown once, and kept nowhere:"
        case "take tokens":
            number = known.take_keys(name=name, by=by)
            shown["told"] = f"{counted(number, 'token')} and browsers of {name} are good for nothing any more."
        case verb:
            raise BadAnswer(f"{verb!r:.20} is nothing that can be done to people.")
    if name == by and form.get("verb") == "take tokens":
        return visit.to("/sign-in")
    page = visit.ledger.inbox.people()
    more = address_of("/people", after=page.more) if page.more else ""
    return visit.render("people.html", people=page.items, more=more, may_manage=True, **shown)


@screen
@for_all
def memory(visit: Visit) -> Response:
    """What teams remember of the runs of whoever looks, the newest first."""
    asked = query_of(visit, "team", "run", "after")
    known = _seen(visit, Memory.open(visit.context.settings).list(team=asked["team"] or None, run=asked["run"] or None))
    ids = [one.id for one in known]
    begin = ids.index(asked["after"]) + 1 if asked["after"] in ids else 0
    shown = known[begin : begin + _SHOWN]
    more = address_of("/memory", **{**asked, "after": shown[-1].id}) if known[begin + _SHOWN :] else ""
    filters = {name: asked[name] for name in ("team", "run") if asked[name]}
    return visit.render(
        "memory.html", memories=shown, more=more, total=len(known), filters=filters, may_manage=visit.may_manage
    )


def _seen(visit: Visit, memories: Sequence[Remembered]) -> list[Remembered]:
    """Those that were learned in runs of a tenant of theirs, the last first."""
    whose = {run: visit.ledger.tenant_of(run) for run in {one.origin.run_id for one in memories}}
    return [one for one in reversed(memories) if visit.sees(whose[one.origin.run_id])]


@deed
@for_all
@managed
def forget(visit: Visit) -> Response:
    """Delete a memory for good."""
    known = Memory.open(visit.context.settings)
    try:
        found = known.find(visit.request.path_params["id"])
    except UnknownMemory:
        raise NotThere("memory") from None
    if not _seen(visit, [found]):
        raise NotThere("memory")
    known.forget([found], by=visit.person.name, why=visit.form.get("reason", "").strip())
    return visit.to("/memory")


@screen
@for_all
def budgets(visit: Visit) -> Response:
    """What was spent today, within which limits, and on the days before."""
    day = today()
    limits = {level: str(limit) for level, limit in budgets_of(visit.context.settings).items()}
    return visit.render("budgets.html", day=day, limits=limits, spent=visit.ledger.inbox.spent(day))
