"""The inbox, one approval, a batch of them; and deciding, by the same function as the command line's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, get_args

from pydantic import ValidationError
from starlette.responses import Response

from signoff.agents.artifacts import Evidence
from signoff.checkpoints import canonical_json, later
from signoff.checkpoints.errors import AlreadyDecided, ChangedSince, NotAllowed, UnknownApproval
from signoff.checkpoints.ledger import EVERYBODY, Approval, Ledger, Person, RunRecord, Tab
from signoff.desk.cli.question import read_change, read_value
from signoff.desk.deciding import Answer, Verdict, answers_to, may_not, record_verdict
from signoff.desk.web.context import Form, PageContext, Visit, address_of, approval_at, deed, query_of, screen
from signoff.desk.web.screens.artifact_pages import send_file
from signoff.desk.web.screens.excerpts import BATCHES, LARGEST, SPACES, Asked, Space, fitting, part_of
from signoff.desk.web.screens.fields import Field, answer_fields, edit_fields, posted
from signoff.error_base import RunError
from signoff.fleet import read_state
from signoff.graphs import FOLLOW_PLAN
from signoff.graphs.approval import CONTROLS, batch_of, batch_sha256, describe, exactly, is_batched
from signoff.graphs.errors import BadAnswer
from signoff.tools import Action
from signoff.wording import as_block

_FILTERS: Final = ("team", "action", "risk", "run", "tenant", "older")
_AGES: Final = {"1": "an hour", "24": "a day", "168": "a week"}
"""Hours that something has waited, to see only what has waited longer."""
_RISKS: Final = ("write", "external", "irreversible", "question")
_MOST_QUOTES: Final = 30
_STATUS: Final = {AlreadyDecided: 409, ChangedSince: 409, NotAllowed: 403}
"""What HTTP calls a decision that does not count."""
_HOURS: Final = {"1": "1 hour", "24": "1 day", "168": "1 week"}
"""How long something can be put off."""


@screen
def inbox(visit: Visit) -> Response:
    """What waits, or was decided."""
    tab: Tab = next((known for known in get_args(Tab) if known == visit.request.query_params.get("tab")), "mine")
    filters, at = query_of(visit, *_FILTERS), query_of(visit, "after", "done")
    filters["older"] = filters["older"] if filters["older"] in _AGES else ""
    page = visit.ledger.inbox.page(tab, visit.person, filters, at["after"], is_brief=True)
    values: dict[str, Any] = {
        "tab": tab,
        "filters": {name: value for name, value in filters.items() if value},
        "page": page,
        "older": address_of("/", tab=tab, **filters, after=page.more) if page.more else "",
        "again": address_of("/", tab=tab, **filters, after=at["after"]),
        "address_of": address_of,
        "may_not": lambda one: may_not(one, visit.person),
        "last": None if page.items else _last_decision(visit.context, visit.person),
        "at_work": 0 if page.items else visit.ledger.inbox.run_states(visit.person)["running"],
        "ages": _AGES,
        "risks": _RISKS,
        "done": _done(visit, at["done"]),
    }
    return visit.render("parts/inbox.html" if visit.is_part else "inbox.html", **values)


def _last_decision(context: PageContext, person: Person) -> Approval | None:
    found = context.ledger.inbox.page("decided", person, is_brief=True).items
    return found[0].approval if found else None


def _done(visit: Visit, approval_id: str) -> Approval | None:
    """What was decided just now: looked up, so that no address can claim it, nor tell of another tenant's."""
    found = visit.ledger.inbox.find(approval_id) if approval_id else None
    return found if found and visit.ledger.inbox.run(visit.person, found.run_id) else None


@screen
def approval(visit: Visit) -> Response:
    """All of one approval, and the forms that decide it."""
    found = approval_at(visit)
    if visit.is_part:
        return visit.render("parts/standing.html", **_standing(found, visit.person))
    return _show(visit, found)


def _show(
    visit: Visit,
    found: Approval,
    *,
    status: int = 200,
    problem: str = "",
    said: Form | None = None,
) -> Response:
    record = visit.ledger.runs.get(found.root)
    action, unknown = visit.context.action_of(found, record)
    is_open = found.status == "pending"
    fields: list[Field] = []
    if is_open and action is not None:
        fields = answer_fields(action, said or {}) if found.is_question else edit_fields(found, action, said or {})
    entries = visit.ledger.inbox.entries(found.run_id, about=found.id)
    others = _others(visit.ledger, found)[0] if is_open else []
    asked = Asked.of(found, action)
    values: dict[str, Any] = {
        **_standing(found, visit.person),
        "whole": f"/approvals/{found.id}/whole",
        "unknown": unknown,
        "fields": fields,
        "answers": [answer for answer in answers_to(found) if answer.verb != "edit" or _can_edit(answer, fields)],
        "needs_reason": _needs_reason(found),
        "quotes": _quotes(visit.context, found, record),
        "entries": entries.items,
        "name_of": _name_of,
        "problem": problem,
        "said": {"verb": "", "reason": "", **(said or {})},
        "hours": _HOURS,
        "alike": _alike(visit.context, record, [found, *others]) if others else (),
        "done": _done(visit, query_of(visit, "done")["done"]),
    }

    def shown(space: Space) -> Response:
        passages, exact = asked.within(space), part_of(asked.exact, space.characters)
        is_whole = all(one.is_whole for one in passages)
        return visit.render(
            "approval.html", status, **values, space=space, passages=passages, exact=exact, is_whole=is_whole
        )

    return fitting(SPACES, shown, LARGEST + 6 * sum(map(len, (said or {}).values())))  # what they typed is theirs


@screen
def whole(visit: Visit) -> Response:
    """All of one approval as a file; or its arguments alone, byte for byte what the digest is of."""
    found = approval_at(visit)
    if visit.request.query_params.get("as") == "json":
        return send_file(f"{found.id}-arguments", "json", "application/json", canonical_json(found.shown))
    action, unknown = visit.context.action_of(found, visit.ledger.runs.get(found.root))
    texts = [describe(found, action), *([unknown] if unknown else [])]
    texts += ["Its arguments, exactly:", as_block(exactly(found.shown), "json"), f"Their digest: {found.shown_sha256}"]
    if found.shown_sha256 != found.proposed_sha256:
        texts += ["As they were proposed:", as_block(exactly(found.proposed), "json")]
    if found.edited:
        texts += ["As they were approved:", as_block(exactly(found.args), "json")]
    return send_file(found.id, "md", "text/markdown", "\n\n".join(texts) + "\n")


def _can_edit(answer: Answer, fields: Sequence[Field]) -> bool:
    """Whether this page has a form for it: without the action nobody knows what fits."""
    return bool(answer.changes) or any(not field.fixed for field in fields)


def _standing(found: Approval, person: Person) -> dict[str, Any]:
    return {"approval": found, "may_not": may_not(found, person), "agreed": [vote.name for vote in found.votes]}


def _needs_reason(found: Approval) -> bool:
    """Whether a reject says why: whoever proposed it may do better then."""
    return found.action == FOLLOW_PLAN or (found.action not in CONTROLS and not found.is_question)


def _quotes(context: PageContext, found: Approval, record: RunRecord) -> list[Any]:
    """The quotes that the run has found until now."""
    place = context.ledger.runs.get(found.run_id).place if found.path else ""
    if record.driver != "local":
        return []
    stored = (read_state(record.id, context.settings, place).get("artifacts") or {}).get("Evidence")
    try:
        return list(Evidence.model_validate(stored["value"]).quotes[:_MOST_QUOTES]) if stored else []
    except ValidationError:  # something else of this name
        return []


def _others(ledger: Ledger, found: Approval) -> tuple[list[Approval], bool]:
    """What else waits of its kind in its run, first what was asked first, as much as a page reads; is there more?"""
    page = ledger.inbox.page("all", EVERYBODY, {"run": found.run_id, "action": found.action})
    return [one.approval for one in page.items if one.approval.id != found.id], bool(page.more)


def _alike(context: PageContext, record: RunRecord, waiting: Sequence[Approval]) -> tuple[Approval, ...]:
    """What of this is asked in one question with the first; nothing if that is asked alone."""
    first, team = waiting[0], context.team_of(record)
    if first.action in CONTROLS or isinstance(team, str):
        return ()
    team = team.team_at([role for _, role in first.path])
    asked = batch_of(waiting, team.actions.get(first.action), team.rules)
    return tuple(sorted(asked, key=lambda one: (one.requested_at, one.id))) if len(asked) > 1 else ()


def _of_kind(context: PageContext, first: Approval) -> Callable[[Approval], bool]:
    """Tells whether one may be decided together with the first, as the page would show them; be that decided."""
    team = context.team_of(context.ledger.runs.get(first.root))
    if isinstance(team, str):
        return lambda _: False
    team, kind = team.team_at([role for _, role in first.path]), (first.run_id, first.proposed_by, first.action)
    action = team.actions.get(first.action)
    return lambda one: (one.run_id, one.proposed_by, one.action) == kind and is_batched(one, action, team.rules)


@deed
def decide(visit: Visit) -> Response:
    """Decide one approval, and show the next."""
    found, said = approval_at(visit), visit.form
    try:
        now = _decide(visit.context, found, visit.person, said)
    except RunError as error:
        status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 422)
        return _show(visit, visit.ledger.approvals.get(found.id), status=status, problem=str(error), said=said)
    if now.status != "pending":
        visit.context.go_on(now)
    following = visit.ledger.inbox.next_of(visit.person, now)
    return visit.to(f"/approvals/{following}?done={now.id}" if following else f"/?done={now.id}")


def _decide(context: PageContext, found: Approval, person: Person, form: Mapping[str, str]) -> Approval:
    """Write down what a form says."""
    verb, said = form.get("verb", ""), form.get("reason", "").strip()
    way = next((one for one in answers_to(found) if _name_of(one) == verb), None)
    if verb == "revoke":
        way = Answer("revoke", "it is taken back")
    if way is None:
        raise BadAnswer(f"{verb!r:.40} is no way to answer this.")
    if way.verb == "reject" and not said and _needs_reason(found):
        raise BadAnswer("Say why you reject it: whoever proposed it reads that.")
    if way.verb in ("approve", "edit") and len(form.get("sha256", "")) != len(found.shown_sha256):
        raise BadAnswer("The form does not say what you saw.")
    if way.verb == "respond" and not found.is_question and not said:
        raise BadAnswer("Say what the agent is told.")

    def made(action: Action[Any]) -> Any:
        if found.is_question:
            return {name: value for name, value in posted(form).items() if value.strip()} or said
        changes = way.changes or edited(found, action, form)
        return read_change({**found.shown, **changes}, found, action)

    verdict = Verdict(kind=way.verb, by=person, said=said, sha256=form.get("sha256", ""))
    return record_verdict(context.ledger, found, verdict, lambda: context.open_run(found.root), made)


def _name_of(answer: Answer) -> str:
    """How a form names it; of several edits each by what it sets."""
    return answer.verb + "".join(f" {name}={value}" for name, value in answer.changes.items())


def edited(found: Approval, action: Action[Any], form: Mapping[str, str]) -> dict[str, Any]:
    """The arguments that a form changes; what it sends back as it was shown stays as it is, to the byte."""
    changes, typed = {}, posted(form)
    for shown in edit_fields(found, action, {}):
        value = typed.get(shown.name)
        if value is not None and not shown.fixed and value != shown.value.replace("\r\n", "\n"):
            changes[shown.name] = read_value(value, found.shown.get(shown.name))
    return changes


@deed
def snooze(visit: Visit) -> Response:
    """Put it off; not a denial, and for oneself alone."""
    found, hours = approval_at(visit), visit.form.get("hours", "")
    if hours and hours not in _HOURS:
        raise BadAnswer(f"{hours!r:.20} is no time to put it off.")
    until = later(float(hours) * 3600) if hours else ""
    visit.ledger.inbox.snooze(found.id, visit.person.name, until)
    following = visit.ledger.inbox.next_of(visit.person, found) if hours else found.id
    return visit.to(f"/approvals/{following}" if following else "/")


@screen
def batch(visit: Visit) -> Response:
    """Several of one kind, item by item."""
    return _show_batch(visit, approval_at(visit), {})


@deed
def decide_batch(visit: Visit) -> Response:
    """Decide those that are chosen, each by itself: one that cannot be decided keeps no other from it."""
    first, form = approval_at(visit), visit.form
    chosen = {name.removeprefix("item."): sha256 for name, sha256 in form.items() if name.startswith("item.")}
    problem = "" if chosen else "Choose some of them. Nothing was decided."
    if form.get("verb") not in ("approve", "reject"):
        problem = "Approve or reject them. Nothing was decided."
    if form.get("verb") == "reject" and not form.get("reason", "").strip():
        problem = "Say why you reject them: whoever proposed them reads that. Nothing was decided."
    if problem:
        return _show_batch(visit, first, {}, problem=problem, status=422)
    results, is_any_over, may_be_batched = dict[str, str](), False, _of_kind(visit.context, first)
    for name, sha256 in chosen.items():
        try:
            one = visit.ledger.approvals.get(name)
            if visit.ledger.inbox.run(visit.person, one.run_id) is None:
                raise UnknownApproval(name)
            if one.root != first.root:
                raise BadAnswer(f"{one.id} is of another run.")
            if len(chosen) > 1 and not may_be_batched(one):
                raise BadAnswer(f"{one.id} is not one question with the others. Decide it alone.")
            now = _decide(visit.context, one, visit.person, {**form, "sha256": sha256})
            results[one.id] = "your answer counts, and more is needed" if now.status == "pending" else now.status
            is_any_over = is_any_over or now.status != "pending"
        except RunError as error:
            results[name] = str(error)
    if is_any_over:
        visit.context.go_on(first)
    return _show_batch(visit, first, results)


def _show_batch(
    visit: Visit,
    first: Approval,
    results: Mapping[str, str],
    *,
    problem: str = "",
    status: int = 200,
) -> Response:
    record = visit.ledger.runs.get(first.root)
    first = visit.ledger.approvals.get(first.id) if results else first
    action, _ = visit.context.action_of(first, record)
    others, is_more = _others(visit.ledger, first)
    waiting = [first, *others] if first.status == "pending" else others
    alike = (_alike(visit.context, record, waiting) or tuple(waiting[:1])) if waiting else ()
    asked = [Asked.of(one, action) for one in alike]
    values: dict[str, Any] = {
        "first": first,
        "told": [(name, _done(visit, name), said) for name, said in results.items()],
        "may_not": may_not(first, visit.person),
        "problem": problem,
    }

    def shown(space: Space) -> Response:
        beside = [(one.approval, one.within(replace(space, items=space.characters))) for one in asked[: space.items]]
        listed = [(one, passages, all(told.is_whole for told in passages)) for one, passages in beside]
        digest = batch_sha256([one for one, *_ in listed]) if listed else ""
        more = is_more or len(asked) > len(listed)
        return visit.render("batch.html", status, **values, asked=listed, digest=digest, is_more=more)

    return fitting(BATCHES, shown)
