"""Starting a run: of a team that is served here, by a form of its input; or as another one stood at a step of it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, Field as InputField, ValidationError
from starlette.responses import Response

from signoff.checkpoints import digest
from signoff.desk.errors import NotThere
from signoff.desk.service import forkable
from signoff.desk.team_options import read_field
from signoff.desk.web.context import Visit, address_of, deed, query_of, run_at, screen
from signoff.desk.web.screens.fields import Field, input_fields, posted
from signoff.error_base import SignoffError
from signoff.fleet import moments_of
from signoff.fleet.errors import RunExists
from signoff.graphs import FileToWrite, Folder, Team, field_of
from signoff.graphs.errors import BadInput
from signoff.graphs.teams import TEAMS, load_team, new_team, takes_input
from signoff.settings import Settings, load_settings

_STEPS: Final = 20
"""Steps, or effects, that are shown together."""
_GOAL: Final = "What the team is to do"


class ReportInput(BaseModel):
    """A report of what a folder of documents says about a question."""

    goal: str = InputField(min_length=1, description="The question")
    sources: Folder = InputField(min_length=1, description="Folder of documents")
    out: FileToWrite = InputField("report.md", description="File that the report goes to once it is signed off")


class GoalInput(BaseModel):
    """A team that takes a goal."""

    goal: str = InputField(min_length=1, description=_GOAL)


@screen
def start(visit: Visit) -> Response:
    """The teams that can be given something to do here."""
    offered = []
    for name in visit.context.teams_offered:
        try:
            offered.append((name, _about(_form_of(name, visit.context.settings)), ""))
        except SignoffError as error:
            offered.append((name, "", str(error)))
    return visit.render("start/teams.html", offered=offered)


def _about(form: type[BaseModel]) -> str:
    return " ".join((form.__dict__.get("__doc__") or "").split())


@screen
def fill_in(visit: Visit) -> Response:
    """The form of one team."""
    return _show(visit, _named(visit))


@deed
def begin(visit: Visit) -> Response:
    """Start a run with what the form says, in the name of whoever sent it and of their tenant, and show it."""
    name, said = _named(visit), posted(visit.form)
    try:
        team, given = _read(name, said, visit.context.settings)
        how: Any = {option: visit.form.get(option) == "yes" for option in ("dry_run", "ask_plan")}
        whose, person = visit.form.get("tenant", ""), visit.person
        person = person.only_of(whose) if whose in _tenants(visit) else person
        run = visit.context.service.begin(team, given, person, run_id=_run_of(visit), **how)
    except RunExists as error:  # the form came twice
        return visit.to(f"/runs/{error.run_id}")
    except SignoffError as error:
        problem, field = str(error), field_of(error.field) if isinstance(error, BadInput) else ""
        return _show(visit, name, status=422, problem=problem, wrong=field)
    return visit.to(f"/runs/{run.id}")


def _tenants(visit: Visit) -> list[str]:
    """The tenants of which they choose the one that a run is for; none where there is no choice."""
    own = sorted(visit.person.tenants - {"*", ""})
    return own if len(own) > 1 else []


def _run_of(visit: Visit) -> str:
    """The id of the run that this form begins, however often it comes; empty: any."""
    once = visit.form.get("once", "")
    return f"r-{digest([visit.person.name, once])[:12]}" if once else ""


@screen
def choose_step(visit: Visit) -> Response:
    """Where a fork of a run can begin, and what will happen."""
    record, asked = run_at(visit), query_of(visit, "before", "at")
    team, settings = forkable(visit.context.service, record), visit.context.settings
    moments, more = moments_of(record.id, team, settings, before=asked["before"], most=_STEPS)
    values: dict[str, Any] = {
        "record": record,
        "moments": moments,
        "older": address_of(f"/runs/{record.id}/fork", before=more) if more else "",
        "at": asked["at"],
        "once": secrets.token_hex(8),
        "effects": visit.ledger.effects.of_run(record.id, newest=_STEPS),
        "more_effects": visit.ledger.effects.count(record.id) - _STEPS,
    }
    return visit.render("start/fork.html", **values)


@deed
def fork(visit: Visit) -> Response:
    """Begin a run as another one stood, and show it."""
    record, is_dry = run_at(visit), visit.form.get("dry_run") == "yes"
    at, run_id = visit.form.get("at", ""), _run_of(visit)
    try:
        return visit.to(f"/runs/{visit.context.service.fork(record, at, visit.person, dry_run=is_dry, run_id=run_id)}")
    except RunExists as error:  # the form came twice
        return visit.to(f"/runs/{error.run_id}")


def _named(visit: Visit) -> str:
    name = visit.request.path_params["team"]
    if name not in visit.context.teams_offered:
        raise NotThere("team")
    return str(name)


def _show(visit: Visit, name: str, *, status: int = 200, problem: str = "", wrong: str = "") -> Response:
    form = _form_of(name, visit.context.settings)
    fields = input_fields(form, visit.form)
    if "goal" not in form.model_fields:
        goal = posted(visit.form).get("goal", "")
        fields = [Field("goal", _GOAL, goal), *fields]
    values: dict[str, Any] = {"name": name, "about": _about(form), "fields": fields, "problem": problem, "wrong": wrong}
    once = visit.form.get("once") or secrets.token_hex(8)
    return visit.render("start/team.html", status, **values, said=visit.form, once=once, tenants=_tenants(visit))


def _form_of(name: str, settings: Settings) -> type[BaseModel]:
    """What the team takes; the report's is known before there is a team for its sources."""
    return ReportInput if name == "report" else _team(name, settings, {}).input or GoalInput


def _team(name: str, settings: Settings, given: Mapping[str, Any]) -> Team:
    """The team; the report's is made for its sources."""
    if name == "report":
        known = {field: value for field in settings.model_fields_set if (value := getattr(settings, field)) is not None}
        return new_team(name, load_settings(**{**known, "sources": given["sources"], "out": given["out"]}))
    return new_team(name, settings) if takes_input(name) else load_team(name, settings).team


def _read(name: str, said: Mapping[str, str], settings: Settings) -> tuple[Team, Any]:
    """The team, and what it is given; BadInput names the field that does not fit."""
    if name == "report":
        given = _values(ReportInput, said)
        try:
            read = ReportInput.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"is not usable ({first['msg'].removeprefix('Value error, ')})"
            raise BadInput(name, str(first["loc"][0]), problem) from None
        return _team(name, settings, {"sources": read.sources, "out": read.out}), read.goal
    team = _team(name, settings, {})
    if team.input is None:
        if not said.get("goal", "").strip():
            raise BadInput(name, "goal", "is missing")
        return team, said["goal"].strip()
    given = _values(team.input, said)
    return team, {**given, "goal": said["goal"].strip()} if said.get("goal", "").strip() else given


def _values(form: type[BaseModel], said: Mapping[str, str]) -> dict[str, Any]:
    """What the fields say; one that is left empty is not given."""
    return {
        name: read_field(said[name], field, name)
        for name, field in form.model_fields.items()
        if said.get(name, "").strip()
    }


def offered_here(named: tuple[str, ...], *, is_own: bool) -> tuple[str, ...]:
    """The teams that runs can be started of: those that are named, and on one's own machine the ready-made ones."""
    return tuple(dict.fromkeys((*named, *(TEAMS if is_own else ()))))
