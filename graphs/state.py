"""The state of a team's graph: plain JSON values and messages, so that any saver and any client can read it.

All that a run holds is told here, field by field, which is why this file is longer than most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, Protocol

from langchain_core.messages import AnyMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph.message import add_messages
from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict  # pydantic makes no schema of typing's before Python 3.12

from signoff.agents import OutcomeStatus, Usage
from signoff.checkpoints import canonical, digest
from signoff.checkpoints.ledger import SETTLE_OUTCOME, Approval


class StoredArtifact(TypedDict):
    """An artifact as the state keeps it."""

    by: str
    """Role of the agent that gave it."""
    version: int
    """From 1; raised each time it is given."""
    built_on: dict[str, int]
    """Versions of the needed artifacts it was made from."""
    value: dict[str, Any]
    """The artifact's fields, JSON values."""
    flags: NotRequired[list[str]]
    """Orders that were found in what it was made from, or in what that was made from."""
    told: NotRequired[str]
    """Digest of the sub-goal in the plan that it was made for; empty if there was none."""
    answers: NotRequired[dict[str, int]]
    """Versions of the verdicts that did not accept what an action gave, where this was made after them."""


SUPERVISOR = "supervisor"
"""Who asks whether to go on, and whom the calls of the supervisor's own model are charged to."""
CONTINUE_RUN = "continue_run"
RAISE_BUDGET = "raise_budget"
FOLLOW_PLAN = "follow_plan"
ASKS_TO_GO_ON = (CONTINUE_RUN, RAISE_BUDGET, FOLLOW_PLAN)
"""The team's own questions that end the run if they are answered with no."""
OWN_QUESTIONS = (*ASKS_TO_GO_ON, SETTLE_OUTCOME)
"""Everything that the team asks by itself: no agent proposed it."""

StepStatus = Literal["completed", "failed", "in_progress", "pending", "skipped"]


class PlanStep(TypedDict):
    """One line of the plan: what was done, is being done, is still to do, or skipped: what it needs will not come."""

    agent: str
    gives: str
    status: StepStatus
    note: str
    final: bool
    """Failed so that trying again as it is cannot help."""


class StoredProposal(TypedDict):
    """A proposal that waits for the gate."""

    id: str
    action: str
    args: dict[str, Any]
    reason: str
    by: str
    flags: NotRequired[list[str]]
    """Orders that were found in what it was made from; a person is asked about it, whatever policy allows."""
    call: NotRequired[str]
    """Id of the call of a model that waits for its outcome, in the step that is held for it."""
    item: NotRequired[str]
    """Name of the item in whose work it was proposed."""
    problem: NotRequired[str]
    """Why the last answer did not decide it; the next question says so."""


class StoredOutcome(TypedDict):
    """What became of a proposal."""

    proposal: str
    action: str
    args: NotRequired[dict[str, Any]]
    """Its arguments as they were decided on."""
    proposed: NotRequired[dict[str, Any]]
    """Its arguments as they were proposed."""
    role: str
    """Who proposed it."""
    call: NotRequired[str]  # as of the proposal
    item: NotRequired[str]  # as of the proposal
    status: OutcomeStatus
    detail: str
    by: str
    """Who decided: a person, 'policy', or empty."""
    result: dict[str, Any]
    gave: NotRequired[str]  # name of the artifact that its result became


ItemStatus = Literal["open", "proposed", "stopped", "waiting", "done", "failed"]
"""open: to be worked on, for the first time or again; proposed: until the proposals of all come together;
stopped: a budget ended; waiting: a person is asked, and it goes on after that."""


class ItemRow(TypedDict):
    """One item of an agent that works item by item, and how far it is."""

    item: Any
    """A text, or an object: JSON."""
    place: int
    """From 0, in the order of the items."""
    status: ItemStatus
    note: str
    """What was given in short, or why it failed."""
    tries: int
    """Times that it failed."""
    gave: dict[str, Any]
    """The fields of what was given for it, JSON values; empty as long as there is nothing."""
    notes: list[str]
    """What has to change in what was given for it before."""
    held: list[AnyMessage]
    """What was said in its work until it was held."""
    heard: list[str]
    """The proposals whose outcomes stand in that."""
    proposals: list[StoredProposal]
    """Not yet at the gate."""
    flags: list[str]
    """Orders that were found in what it was made from."""
    usage: Usage
    """Of all its work."""
    unbooked: Usage
    """The part of it that is not in the run's usage yet."""
    is_over: bool
    """Whether its share of the budget is used up: it goes on after the others, from what they leave."""
    is_joined: bool
    """Whether its step has ended; the row is kept for when the agent works again and nothing has changed for it."""
    basis: str
    """Digest of what it was made from."""
    after: list[str]
    """Names of the items that end before it is worked on."""


Items = dict[str, dict[str, ItemRow]]
"""Rows by role, then by the name of the item."""


def merge_items(kept: Items, changed: Mapping[str, Mapping[str, ItemRow | None]]) -> Items:
    """Rows that are worked on side by side, together; a row of None is dropped, and a role without any loses all."""
    merged = dict(kept)
    for role, rows in changed.items():
        both = {**merged.get(role, {}), **rows} if rows else {}
        merged[role] = {name: row for name, row in both.items() if row is not None}
    return merged


class Assignment(TypedDict):
    """The supervisor's decision: who works next, why, and with what instructions."""

    agent: str
    reason: str
    instructions: str
    stronger: NotRequired[int]
    """By how many tiers this step's model is stronger than the agent's own."""


class Turn(TypedDict):
    """What an ended turn changed, for whoever looks for loops."""

    agent: str
    about: str
    """The artifact it was about; of a verdict that rejects, the artifact that goes back."""
    mark: str
    """Digest of what it gave, or of what it failed with."""
    failed: bool
    calls: int
    """Calls of models that it took."""


class Told(TypedDict):
    """What the step was told whose work a run is: its own agents hear it, too."""

    wish: str
    """What people said that they want; the goal of the run may hold what others wrote."""
    flags: list[str]
    """Orders that were found in what its goal was made from."""
    instructions: str
    gives: str
    """The artifact that it is to give."""
    notes: list[str]
    """What has to change in what was given before; for the agent that gives it."""
    previous: dict[str, Any]
    """The fields of what was given before; empty the first time."""


class CurrentRun(TypedDict):
    """The run that the thread is at."""

    id: str
    number: int
    """From 1; a thread that gets another goal after the first has another run."""
    goal: str
    message: str
    """Id of the human message the goal came from, empty if it was given as a goal."""
    ended: Literal["", "done", "stopped"]
    input: NotRequired[dict[str, Any]]
    """What it was given beside the goal, checked and with the defaults, by the fields of the team's input."""
    given: NotRequired[dict[str, Any]]
    """The same as it came, so that another input is known as one."""
    version: NotRequired[str]  # of the team with which it began, or to which it was migrated
    shape: NotRequired[str]  # of that team (versions.py)
    told: NotRequired[Told]
    """Of a run that is the work of an agent: what that agent's step was told beside the goal."""


@with_config(ConfigDict(use_attribute_docstrings=True))
class TeamInput(TypedDict, total=False):
    """What a run starts from: a goal, or a conversation whose last human message is the goal."""

    goal: str
    """What the team is to do or to find out. It may be left out if `messages` end with it."""
    messages: Annotated[list[AnyMessage], add_messages]
    """A conversation; its last human message is the goal, unless there is a `goal`."""
    dry_run: bool
    """True: everything is done but the effects. As it was given; the ledger knows whether the run is one."""


@with_config(ConfigDict(use_attribute_docstrings=True))
class TeamState(TeamInput, total=False):
    """Everything a team knows of its run."""

    run: CurrentRun
    plan: list[PlanStep]
    """What was done and what is to do."""
    followed: str
    """Digest of the plan that is followed; empty if none was decided."""
    artifacts: dict[str, StoredArtifact]
    """What the agents gave, by the name of its type."""
    proposals: list[StoredProposal]
    """Not settled yet; the first is at the gate."""
    outcomes: list[StoredOutcome]
    heard: list[str]
    """The proposals whose agents have gone on, or worked again, since they were told what came of them."""
    assignment: Assignment
    turns: int
    """Agent turns taken."""
    turn_limit: int
    rounds: dict[str, int]
    """How often each artifact was rejected."""
    trail: list[Turn]
    """The turns since a person last took part."""
    held: dict[str, list[AnyMessage]]
    """What was said in a step whose budget ended, or whose model waits for outcomes, by role; it goes on from there."""
    items: Annotated[Items, merge_items]
    """How far the agents are that work item by item, by role and item."""
    shown: dict[str, str]
    """Digest of the arguments that the question at the gate shows, by proposal: of each where it is a batch, else where
    they are not as proposed."""
    settled_at: str
    """When the last question on the thread was settled; an answer meant for it may still arrive."""
    asked_again: str
    """When an answer that might have been meant for an earlier question was asked for again; empty otherwise."""
    usage: Usage


Update = dict[str, Any]
"""What a node changes in the state."""


class NodeWithConfig(Protocol):
    """A node that needs to know its thread."""

    def __call__(self, state: TeamState, config: RunnableConfig) -> Any:
        """The update, or a Command with it."""


def plan_step(agent: str, gives: str, status: StepStatus, note: str = "", *, final: bool = False) -> PlanStep:
    return PlanStep(agent=agent, gives=gives, status=status, note=note, final=final)


def end_step(
    plan: Sequence[PlanStep], agent: str, status: Literal["completed", "failed"], note: str, *, final: bool = False
) -> list[PlanStep]:
    """The plan with the agent's step in progress ended so."""
    return [
        plan_step(agent, step["gives"], status, note, final=final)
        if step["status"] == "in_progress" and step["agent"] == agent
        else step
        for step in plan
    ]


def ended_steps(plan: Sequence[PlanStep]) -> list[PlanStep]:
    """The part of the plan that is history."""
    return [step for step in plan if step["status"] in ("completed", "failed")]


def renamed(proposal: StoredProposal, run_id: str) -> StoredProposal:
    """The same as another proposal, of this run, which nobody has decided."""
    identity = digest([run_id, proposal["id"], proposal["action"], proposal["args"]])
    return {**proposal, "id": f"p-{identity[:12]}"}


def as_run(values: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """A state as that of another run, which begins where this one stood: what waited at the gate is proposed anew."""
    was = values["run"]

    def anew(proposals: Sequence[StoredProposal]) -> list[StoredProposal]:
        return [renamed(one, run_id) for one in proposals if one["action"] not in OWN_QUESTIONS]

    changed = {
        "run": {**was, "id": run_id, "number": 1},
        "proposals": anew(values.get("proposals", ())),
        "shown": {},
        "asked_again": "",
        "items": {
            role: {name: {**row, "proposals": anew(row["proposals"])} for name, row in rows.items()}
            for role, rows in values.get("items", {}).items()
        },
        "messages": [
            message.model_copy(update={"id": f"{run_id}-goal"}) if message.id == f"{was['id']}-goal" else message
            for message in values.get("messages", ())
        ],
    }
    return {name: changed.get(name, value) for name, value in values.items()}


def is_about(approval: Approval, proposal: StoredProposal, run_id: str) -> bool:
    """Whether the approval is about just this proposal: the state can be edited."""
    known = (approval.proposal_id, approval.run_id, approval.action, approval.proposed)
    return known == (proposal["id"], run_id, proposal["action"], proposal["args"])


def settle_first(
    state: Mapping[str, Any],
    status: OutcomeStatus,
    *,
    by: str,
    detail: str = "",
    args: Mapping[str, Any] | None = None,
    result: Mapping[str, Any] | None = None,
    give: Callable[[StoredOutcome], tuple[StoredOutcome, Update]] | None = None,
) -> Update:
    """The first proposal is settled so, and its tool call in the conversation answered.

    `args` are those that were decided on, if not as proposed; `give` makes an artifact of the result.
    """
    first, *others = state["proposals"]
    outcome = StoredOutcome(
        proposal=first["id"],
        action=first["action"],
        args=first["args"] if args is None else dict(args),
        proposed=first["args"],
        role=first["by"],
        status=status,
        detail=detail,
        by=by,
        result=dict(result or {}),
    )
    if "call" in first:
        outcome["call"] = first["call"]
    if "item" in first:
        outcome["item"] = first["item"]
    outcome, given = (outcome, Update()) if give is None else give(outcome)
    why = f": {outcome['detail']}" if outcome["detail"] else ""
    said = f"{outcome['action']} {status}" + (f" by {by}" if by else "") + why
    message = ToolMessage(
        content=f"{said}.".replace("..", "."),
        tool_call_id=outcome["proposal"],
        name=outcome["action"],
        id=f"outcome-{outcome['proposal']}",
        status="success" if status == "done" or (status == "answered" and outcome["result"]) else "error",
    )
    return {
        "proposals": others,
        "outcomes": [*state.get("outcomes", []), outcome],
        "messages": [message],
        **given,
        **question_over(),
    }


def question_over() -> Update:
    """The question at the gate is settled: nothing of it stays, but when that was."""
    return {"shown": {}, "asked_again": "", "settled_at": canonical.now()}


def was_refused(state: TeamState) -> bool:
    """Whether a person answered with no when the team last asked whether it may go on.

    A plan that is rejected with a reason goes back to the agent that made it.
    """
    outcomes = state.get("outcomes", [])
    if not outcomes or outcomes[-1]["action"] not in ASKS_TO_GO_ON or outcomes[-1]["status"] == "done":
        return False
    last = outcomes[-1]
    goes_back = last["status"] == "rejected" and last["detail"] and last["role"] != SUPERVISOR
    return not (last["action"] == FOLLOW_PLAN and goes_back)


def unheard(state: TeamState, role: str = "", item: str | None = None) -> list[StoredOutcome]:
    """What whoever made a proposal (or this role, or its work on this item) has not heard yet, and shall.

    That is what a held step waits for, whatever it is; else what people said about proposals, with a reason.
    """
    heard = set(state.get("heard", []))
    return [
        outcome
        for outcome in state.get("outcomes", [])
        if (is_awaited(outcome) or (outcome["status"] in ("rejected", "answered") and outcome["detail"]))
        and (is_awaited(outcome) or not outcome.get("gave"))
        and outcome["proposal"] not in heard
        and role in ("", outcome["role"])
        and item in (None, outcome.get("item", ""))
    ]


def is_awaited(outcome: StoredOutcome) -> bool:
    """Whether the step that proposed it was held for it."""
    return bool(outcome.get("call"))


def is_undone(outcome: StoredOutcome) -> bool:
    """Whether it was not done; a question is, when it was answered."""
    return outcome["status"] not in ("done", "skipped") and not (outcome["status"] == "answered" and outcome["result"])


def what_was_said(outcome: StoredOutcome) -> str:
    """Why a proposal was not done, as its agent reads it."""
    return f"{outcome['action']} was {outcome['status']} by {outcome['by']}: {outcome['detail']}"
