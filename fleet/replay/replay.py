"""A rehearsal: a past run once more without its models, to see whether it still goes as it went.

Agents give what they gave, the supervisor's model chooses as it chose, people decide as they decided, and actions
return what they returned; nothing is called. What is real, and so what is tested: the supervisor's rules, the policy,
the gate, what agents propose in consequence of their work, the ledger.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import BaseModel, PrivateAttr
from sqlalchemy import update

from signoff.agents.agent import Agent, Task
from signoff.agents.artifacts import Artifact
from signoff.checkpoints import canonical
from signoff.checkpoints.canonical import digest
from signoff.checkpoints.ledger.approval import Approval, Person
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.schema import approvals
from signoff.checkpoints.redaction import redact
from signoff.errors import ActionFailed, SignoffError, StoreError, TeamError, WorkFailed
from signoff.fleet.replay.history import FORMAT, Story, own_arguments, read_ending
from signoff.fleet.run import Run
from signoff.graphs.approval.answers import Decision
from signoff.graphs.approval.decision import decide
from signoff.graphs.team import Team
from signoff.graphs.teams.catalog import rebuild_team
from signoff.settings import Settings
from signoff.tools.action import Action, Proposal

Turns = dict[str, deque[dict[str, Any]]]
"""What each agent did, by its role."""


@dataclass(frozen=True)
class Ending:
    """What a run came to."""

    route: list[str]
    """Roles, in the order in which they worked."""
    proposals: list[dict[str, Any]]
    """What was proposed, by whom, and what policy or people said to it."""
    outcomes: list[dict[str, Any]]
    status: str


def rehearse(
    story: Path | Story, folder: Path, *, team: Team | Callable[[], Team] | None = None
) -> tuple[Ending, Ending]:
    """Play a run again in an empty folder: what it comes to now, and what it came to.

    `team` is your own team, or what makes it; the ready-made ones are known by their names.
    """
    told = cast(Story, json.loads(story.read_text(encoding="utf-8"))) if isinstance(story, Path) else story
    if told["format"] != FORMAT:
        raise TeamError(f"The story has format {told['format']}, and this signoff knows {FORMAT}. Export it anew.")
    settings = Settings(home=folder / "home", database=str(folder / "signoff.db"), user=told["requested_by"])
    ledger = Ledger(settings.database, hooks=())
    try:
        run = _begin(told, _cast(told, _team(told, folder, settings, team), ledger), settings, ledger)
        _go_through(told, run, ledger)
        return Ending(**read_ending(run, settings)), Ending(**told["ending"])
    finally:
        ledger.close()


def _team(told: Story, folder: Path, settings: Settings, team: Team | Callable[[], Team] | None) -> Team:
    """The team as it is today."""
    if team is not None:
        return team if isinstance(team, Team) else team()
    options = dict(told["options"])
    if "sources" in options:
        options["sources"] = str(folder / "sources")
        (folder / "sources").mkdir(exist_ok=True)  # nothing is read: agents give what they gave
    return rebuild_team(told["team"], {**options, "model": "offline"}, settings)


def _cast(told: Story, team: Team, ledger: Ledger) -> Team:
    """The team with stand-ins for whatever is not its own rules: bodies, models and the world."""
    turns: Turns = defaultdict(deque)
    for turn in told["turns"]:
        turns[turn["agent"]].append(turn)
    calls = _Calls(told["calls"])
    acted = {name: replace(action, call=calls.of(name), reconcile=None) for name, action in team.actions.items()}
    agents = [_stand_in(agent, turns[agent.role], acted) for agent in team.agents]
    supervisor = replace(
        team.supervisor,
        model=_Chooser.of(told["choices"]) if told["has_chooser"] else None,
        max_turns=team.supervisor.max_turns or told["limits"]["turns"],
        max_rounds=team.supervisor.max_rounds or told["limits"]["rounds"],
    )
    return replace(team, agents=agents, supervisor=supervisor, ledger=ledger)


def _stand_in(agent: Agent[Any], turns: deque[dict[str, Any]], acted: Mapping[str, Action[Any]]) -> Agent[Any]:
    """The agent with a body that gives what it gave; what follows from that is its own still."""
    made: list[Proposal] = []

    def work(task: Task) -> Artifact:
        del task
        if not turns:
            raise WorkFailed(agent.role, "works more often than in the recorded run", final=True)
        turn = turns.popleft()
        if turn.get("cut"):
            raise StoreError("Here the recorded run was cut off.")
        if "failed" in turn:
            raise WorkFailed(agent.role, turn["failed"], final=turn["final"])
        made[:] = [Proposal.model_validate(proposal) for proposal in turn["proposes"]]
        artifact: Artifact = agent.gives.model_validate(turn["gives"])
        return artifact

    offered = {action.name for action in agent.offered}

    def propose(artifact: Artifact, task: Task) -> Sequence[Proposal]:
        by_model = [proposal for proposal in made if proposal.action in offered]
        return [*by_model, *(agent.propose(artifact, task) if agent.propose is not None else ())]

    return replace(
        agent,
        function=work,
        model=None,
        prepare=None,
        check=None,
        tools=(),
        actions=tuple(acted[action.name] for action in agent.at_gate),
        propose=propose,
    )


class _Calls:
    """The world as it was: what each call of an action came to."""

    def __init__(self, calls: Sequence[Mapping[str, Any]]) -> None:
        self._left: dict[str, deque[dict[str, Any]]] = defaultdict(deque)
        for call in calls:
            self._left[digest([call["action"], call["args"]])].append(dict(call))

    def of(self, name: str) -> Callable[[BaseModel, str], Mapping[str, Any]]:
        """What stands in for the action of this name."""

        def call(arguments: BaseModel, key: str) -> Mapping[str, Any]:
            del key
            left = self._left[digest([name, redact(arguments.model_dump(mode="json"))])]
            if not left:
                raise ActionFailed(name, "was not called with these arguments in the recorded run")
            known = left[0]
            if known["unknown"] or known["status"] in ("abandoned", "unknown", "claimed"):
                known["unknown"] -= 1
                raise OSError("nobody knew what came of it")
            left.popleft()
            if known["status"] == "failed":
                raise ActionFailed(name, known["error"])
            result: Mapping[str, Any] = known["result"]
            return result

        return call


class _Chooser(BaseChatModel):
    """The supervisor's model, choosing as it chose."""

    _left: deque[dict[str, str]] = PrivateAttr(default_factory=deque)

    @classmethod
    def of(cls, choices: Sequence[dict[str, str]]) -> _Chooser:
        """A model that makes these choices."""
        made = cls()
        made._left.extend(choices)
        return made

    @property
    def _llm_type(self) -> str:
        return "rehearsal"

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **_: Any) -> Runnable[Any, Any]:
        """The next choice, in the form that is asked for."""

        def choose(_asked: Any) -> Any:
            # A question that was not asked then is one for a person, and makes the rehearsal end otherwise.
            choice = self._left.popleft() if self._left else {"next": "person", "instructions": ""}
            parsed = schema(reason="As in the recorded run.", **choice)
            return {"raw": AIMessage(""), "parsed": parsed, "parsing_error": None} if include_raw else parsed

        return RunnableLambda(choose)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del messages, stop, run_manager, kwargs
        return ChatResult(generations=[ChatGeneration(message=AIMessage(""))])


def _begin(told: Story, team: Team, settings: Settings, ledger: Ledger) -> Run:
    """The same run, in a ledger of its own: what is derived from its id is the same."""
    run_id, _ = ledger.runs.begin(
        told["run"],
        1,
        team=team.name,
        goal=told["goal"],
        options=team.options,
        driver="local",
        requested_by=told["requested_by"],
        dry_run=told["dry_run"],
    )
    return Run.open(run_id, team=team, settings=settings)


def _go_through(told: Story, run: Run, ledger: Ledger) -> None:
    """Drive the run, and decide what was decided; what cannot be decided so any more stays open."""
    decisions = _Decisions(told)
    try:
        run.resume()
        while (found := decisions.next(run.approvals)) is not None:
            approval, decision = found
            _decide(ledger, run.team, approval, decision)
            run.resume()
    except (SignoffError, OSError):
        # What stopped it is in its note; the ending tells how far it came.
        return


class _Decisions:
    """What people decided, found again by what they decided about."""

    def __init__(self, told: Story) -> None:
        self._left: dict[str, deque[dict[str, Any]]] = defaultdict(deque)
        self._known: dict[str, dict[str, Any]] = {}
        for decision in told["decisions"]:
            self._left[_about(decision["by"], decision["action"], decision["args"])].append(decision)

    def next(self, asked: Sequence[Approval]) -> tuple[Approval, dict[str, Any]] | None:
        """Of what is asked, what was decided first; None if nothing was."""
        found: list[tuple[Approval, dict[str, Any]]] = []
        for approval in asked:
            if approval.id not in self._known:
                left = self._left[_about(approval.proposed_by, approval.action, redact(approval.proposed))]
                self._known[approval.id] = left.popleft() if left else {}
            decision = self._known[approval.id]
            expired = decision.get("status") == "expired"
            if expired or (decision.get("status", "pending") != "pending" and decision["decided_by"] != "policy"):
                found.append((approval, decision))
        return min(found, key=lambda pair: pair[1]["decided_at"], default=None)


def _about(by: str, action: str, args: Mapping[str, Any]) -> str:
    return digest([by, action, own_arguments(action, args)])


def _decide(ledger: Ledger, team: Team, approval: Approval, decision: Mapping[str, Any]) -> None:
    """Decide as it was decided: by the same people, with the same words and arguments."""
    names, roles, reason = decision["decided_by"].split(", "), frozenset(decision["roles"]), decision["reason"]
    people = [Person("") if name == str(Person("")) else Person(name, roles) for name in names]
    match decision["status"]:
        case "rejected":
            ledger.approvals.reject(approval.id, by=people[0], reason=reason)
        case "answered":
            ledger.approvals.respond(approval.id, by=people[0], message=reason)
        case "expired":
            with ledger.write() as connection:
                mine = approvals.c.id == approval.id
                connection.execute(update(approvals).where(mine).values(expires_at=canonical.later(-1)))
        case "revoked":
            ledger.approvals.approve(approval.id, by=people[0], sha256=approval.shown_sha256)
            ledger.approvals.revoke(approval.id, by=people[0], reason=reason)
        case _:
            for person in people:
                now = ledger.approvals.get(approval.id)
                if now.status == "pending":
                    args = {**now.shown, **decision["approved"]}
                    decide(ledger, now, Decision("approve", args, reason), team.rules, by=person)
