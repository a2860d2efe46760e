"""Recording a run with what it comes to, and playing it again from its recording, to see whether it still goes so.

Models and tools answer as they answered, actions return what they returned, people decide as they decided; nothing is
called. What is real, and so what is tested: the team, its functions, its rules and its policy, the gate, the ledger.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy import update

from signoff.agents import Payer, paying
from signoff.agents.models import OFFLINE, choose_model, tiers_of
from signoff.agents.replay import Cassette
from signoff.checkpoints import configured_ledger, later, redact
from signoff.checkpoints.errors import StoreError
from signoff.checkpoints.ledger import RUN_INPUT, SETTLE_OUTCOME, Approval, Ledger, Person
from signoff.checkpoints.ledger.schema import approvals
from signoff.concurrency import undisturbed
from signoff.error_base import SignoffError
from signoff.fleet.driver import RUN_PLAN
from signoff.fleet.history import read_state
from signoff.fleet.run import Run
from signoff.graphs import RAISE_BUDGET, Team
from signoff.graphs.teams import rebuild_team
from signoff.settings import Settings, load_settings
from signoff.tools.errors import ActionFailed

_NOT_KEPT = frozenset(
    "home database evals_database encryption_key user api_key secrets webhooks webhook_secret hook_command "
    "hook_events traces traces_content mcp_servers mcp_token approval_hours confirm_seconds".split()
)
"""Settings that are no part of the run: where things are kept, who people are, secrets, which programs are started.

They are not recorded, and not taken from a recording either: somebody else may have made it.
"""
_TOLD_OF_OUTCOMES = ("role", "action", "status", "by", "detail", "result")


@dataclass(frozen=True)
class Ending:
    """What a run came to."""

    route: list[str]
    """Roles, in the order in which they worked."""
    artifacts: dict[str, Any]
    """What they gave last, by name."""
    proposals: list[dict[str, Any]]
    """What was proposed, by whom, and what policy or people said to it."""
    outcomes: list[dict[str, Any]]
    status: str


@contextmanager
def record(run: Run, path: Path | str, *, settings: Settings | None = None) -> Iterator[Cassette]:
    """Write down what models and tools answer while the run is driven inside, and what it has come to at the end.

    A file that is there already is recorded on: the run goes on.
    """
    recording = _Recording(run, Path(path), settings or load_settings())
    cassette = recording.begin()
    try:
        with paying(Payer(ledger=recording.ledger, cassette=cassette)):
            yield cassette
    finally:
        recording.end(cassette)


@asynccontextmanager
async def arecord(run: Run, path: Path | str, *, settings: Settings | None = None) -> AsyncIterator[Cassette]:
    """`record` for an event loop."""
    settings = settings if settings is not None else await undisturbed(load_settings)
    recording = _Recording(run, Path(path), settings)
    cassette = await undisturbed(recording.begin)
    try:
        with paying(Payer(ledger=recording.ledger, cassette=cassette)):
            yield cassette
    finally:
        await undisturbed(recording.end, cassette)


@dataclass(frozen=True)
class _Recording:
    """How a recording is begun and ended, which reads and writes files and databases."""

    run: Run
    path: Path
    settings: Settings

    @cached_property
    def ledger(self) -> Ledger:
        return self.run.team.ledger or configured_ledger(self.settings)

    def begin(self) -> Cassette:
        record, team = self.run.record, self.run.team
        kept = self.settings.model_dump(mode="json", exclude=set(_NOT_KEPT))
        about = {
            "team": record.team,
            "goal": record.goal,
            "settings": {**kept, "model": _full_name(team, self.settings)},
            "run": record.id.partition("~")[0],
            "input": record.input,
            "options": {name: value for name, value in record.options.items() if name in team.options},
            "requested_by": record.requested_by,
            "dry_run": record.dry_run,
            "ask_plan": RUN_PLAN in record.options or load_settings().ask_plan,
        }
        return Cassette.open(self.path, "record", about=about)

    def end(self, cassette: Cassette) -> None:
        with suppress(StoreError, sqlite3.Error):  # what goes wrong with the run is the one thing to tell
            cassette.end(_end(self.run, self.ledger, self.settings))


def replay(
    recording: Path, folder: Path, *, team: Team | Callable[[], Team] | None = None
) -> tuple[Ending, Ending | None]:
    """Play a run again in an empty folder: what it comes to now, and what it came to, if that was written down.

    `team` is your own team, or what makes it; the ready-made ones are known by their names. NotRecorded if a model or a
    tool is asked what the recorded one was not.
    """
    cassette = Cassette.open(recording, "replay")
    about, told = cassette.about, cassette.ending or {"decisions": {}, "calls": {}}
    known = settings_of(about)
    here = {"home": folder / "home", "database": str(folder / "signoff.db"), "user": about.get("requested_by")}
    settings = load_settings(**known | here)
    ledger = Ledger(settings.database, hooks=())
    try:
        today = _offline(_team(about, settings, team), told["calls"], settings, ledger)
        run_id, _ = ledger.runs.begin(
            about.get("run", "r-replayed"),  # what is derived from its id, such as that of an approval, is the same
            1,
            team=today.name,
            goal=about["goal"],
            options={
                **today.options,
                **({RUN_INPUT: about.get("input", {})} if today.input is not None else {}),
                **({RUN_PLAN: True} if about.get("ask_plan") is True else {}),
            },
            driver="local",
            requested_by=settings.user_name,
            dry_run=about.get("dry_run", True),
        )
        run = Run.open(run_id, team=today, settings=settings)
        with paying(Payer(ledger=ledger, cassette=cassette)):
            _go_through(run, cassette, told["decisions"], ledger)
        if cassette.misses:
            raise cassette.misses[0]
        now = Ending(**_end(run, ledger, settings)["ending"])
        return now, Ending(**told["ending"]) if "ending" in told else None
    finally:
        ledger.close()


def settings_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a recorded run, with something for a key: no model is loaded without one, and none is called."""
    told = about.get("settings", {})
    known = {name: told[name] for name in Settings.model_fields if name in told and name not in _NOT_KEPT}
    if known.get("model") == OFFLINE:  # functions search and fetch for themselves, and what they found is not recorded
        known |= {"search": "", "search_url": "", "web_fetch": False}
    return {**known, "api_key": "replayed"}


def _full_name(team: Team, settings: Settings) -> str:
    """The model's name, also where the endpoint was asked for it: a replay cannot ask."""
    chosen, model = choose_model(settings), team.supervisor.model
    if ":" in chosen or model is None or settings.tiers:
        return chosen
    return f"{chosen}:{tiers_of(model).model('').model_name}"


def _end(run: Run, ledger: Ledger, settings: Settings) -> dict[str, Any]:
    """What a run has come to, and what people and the world said on the way, as JSON without secrets."""
    state, children = read_state(run.id, settings), run.children
    outcomes = state.get("outcomes", [])
    ids = [
        found
        for each in (state, *(read_state(run.id, settings, child.place) for child in children))
        for found in (
            *(outcome["proposal"] for outcome in each.get("outcomes", [])),
            *(proposal["id"] for proposal in each.get("proposals", [])),
        )
    ]
    everything = [found for found in map(ledger.approvals.of_proposal, ids) if found is not None]
    asked = [found for found in everything if found.action != RAISE_BUDGET]  # a replay spends nothing
    in_doubt = [found.proposed["effect"] for found in asked if found.action == SETTLE_OUTCOME]
    done = [step["agent"] for step in state.get("plan", []) if step["status"] != "pending"]
    ending = Ending(
        route=[role for role in done if role != "person"],
        artifacts={name: artifact["value"] for name, artifact in state.get("artifacts", {}).items()},
        proposals=[
            {
                "by": found.proposed_by,
                "action": found.action,
                "args": found.proposed,
                "status": found.status,
                "decided_by": found.decided_by,
            }
            for found in asked
        ],
        outcomes=[
            {name: outcome[name] for name in _TOLD_OF_OUTCOMES}
            for outcome in outcomes
            if outcome["action"] != RAISE_BUDGET
        ],
        status=run.status,
    )
    told = {
        "ending": asdict(ending),
        "budgets": [found.status for found in everything if found.action == RAISE_BUDGET],
        "decisions": {found.id: _decision(found) for found in asked if _was_decided(found)},
        "calls": {
            effect.key: {
                "status": effect.status,
                "result": effect.result,
                "error": effect.error,
                "in_doubt": in_doubt.count(effect.key),
            }
            for one in (run.id, *(child.id for child in children))
            for effect in ledger.effects.of_run(one)
        },
    }
    redacted: dict[str, Any] = redact(told)
    return redacted


def _was_decided(asked: Approval) -> bool:
    """Whether people decided it, or let it expire."""
    return asked.status == "expired" or (asked.status != "pending" and asked.decided_by != "policy")


def _decision(asked: Approval) -> dict[str, Any]:
    return {
        "status": asked.status,
        "by": asked.decided_by,
        "at": asked.decided_at,
        "reason": asked.decision_reason,
        "args": asked.args if asked.edited else None,
        # Whoever decided had what was asked for, from the ledger or from a server that vouched for it.
        "roles": [need.role for need in asked.authority.requirements],
    }


def _team(about: Mapping[str, Any], settings: Settings, team: Team | Callable[[], Team] | None) -> Team:
    """The team as it is today."""
    if team is not None:
        return team if isinstance(team, Team) else team()
    here = {"sources": str(settings.sources or ""), "model": settings.model}
    options = {"out": str(settings.out), **about.get("options", {}), **here}
    return rebuild_team(str(about.get("team", "")), options, settings)


def _offline(team: Team, calls: Mapping[str, Mapping[str, Any]], settings: Settings, ledger: Ledger) -> Team:
    """The team with stand-ins for what its actions call."""
    known = {key: dict(call) for key, call in calls.items()}
    stands_in = team.with_actions(lambda action: replace(action, call=_as_recorded(action.name, known), reconcile=None))
    supervisor = replace(
        team.supervisor,
        max_turns=team.supervisor.max_turns or settings.max_turns,
        max_rounds=team.supervisor.max_rounds or settings.max_rounds,
    )
    return replace(stands_in, supervisor=supervisor, ledger=ledger)


def _as_recorded(name: str, calls: Mapping[str, dict[str, Any]]) -> Callable[[BaseModel, str], Mapping[str, Any]]:
    """What stands in for the action of this name: it comes to what it came to, by its idempotency key."""

    def call(_arguments: BaseModel, key: str) -> Mapping[str, Any]:
        known = calls.get(key)
        if known is None:
            raise ActionFailed(name, "was not called with these arguments in the recorded run")
        if known["in_doubt"] or known["status"] in ("abandoned", "unknown", "claimed"):
            known["in_doubt"] -= 1
            raise OSError("nobody knew what came of it")
        if known["status"] == "failed":
            raise ActionFailed(name, known["error"])
        result: Mapping[str, Any] = known["result"]
        return result

    return call


def _go_through(run: Run, cassette: Cassette, decisions: Mapping[str, Mapping[str, Any]], ledger: Ledger) -> None:
    """Drive the run, and decide what was decided, in that order; what nobody decided stays open."""
    left = len(cassette.unused) + 1
    while len(cassette.unused) < left:  # a run that failed was resumed if more was asked after that
        left = len(cassette.unused)
        try:
            run.resume()
            while asked := [approval for approval in run.approvals if approval.id in decisions]:
                first = min(asked, key=lambda approval: decisions[approval.id]["at"])
                _decide(run, first, decisions[first.id], ledger)
            return
        except (SignoffError, OSError):
            # What stopped it is in its note; the ending tells how far it came.
            if cassette.misses or not cassette.unused:
                return


def _decide(run: Run, asked: Approval, told: Mapping[str, Any], ledger: Ledger) -> None:
    """Decide as it was decided, by the same people with the same words and arguments, and go on."""
    roles, reason = frozenset(told["roles"]), told["reason"]
    people = [Person("") if name == str(Person("")) else Person(name, roles) for name in told["by"].split(", ")]
    match told["status"]:
        case "rejected":
            run.reject(reason, approval=asked.id, by=people[0])
        case "answered":
            run.respond(reason, approval=asked.id, by=people[0])
        case "approved":
            for person in people:
                for now in (approval for approval in run.approvals if approval.id == asked.id):
                    args = None if told["args"] == now.shown else told["args"]
                    run.approve(approval=asked.id, by=person, args=args, reason=reason)
        case "expired":
            with ledger.write() as connection:
                mine = approvals.c.id == asked.id
                connection.execute(update(approvals).where(mine).values(expires_at=later(-1)))
            run.resume()
        case _:
            ledger.approvals.approve(asked.id, by=people[0], sha256=asked.shown_sha256)
            ledger.approvals.revoke(asked.id, by=people[0], reason=reason)
            run.resume()
