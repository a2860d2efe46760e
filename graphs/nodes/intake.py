"""The two ends of a run: intake finds the goal and opens the run, finish closes it and says what came of it."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage
from langchain_core.runnables import RunnableConfig

from signoff.agents import NO_USAGE, Agent, current_payer, given_by
from signoff.checkpoints import check_storable, readable_text
from signoff.checkpoints.errors import UnknownRun
from signoff.checkpoints.ledger import DONE_WITHOUT, RUN_CHILD, RUN_FORK, RUN_INPUT, RUN_TENANT, Ledger, Person
from signoff.error_base import TeamError
from signoff.graphs.errors import BadInput
from signoff.graphs.given import GOAL, Given, InputModel
from signoff.graphs.invocation import calling_person, is_own_run, thread_of
from signoff.graphs.state import (
    ASKS_TO_GO_ON,
    OWN_QUESTIONS,
    CurrentRun,
    NodeWithConfig,
    StoredOutcome,
    TeamState,
    Told,
    Update,
    ended_steps,
    is_awaited,
    is_undone,
    question_over,
)
from signoff.settings import load_settings
from signoff.tools import Action
from signoff.tools.storage import Workspaces

_INJECTED = "do-not-render-"
"""Prefix of the ids of messages that agent-chat-ui adds by itself, such as a made-up answer to an open tool call."""


_MOST_TOLD = 5
"""Outcomes of one kind that a run tells one by one when it ends."""


def build_intake(
    takes: InputModel,
    options: Mapping[str, Any],
    ledger: Callable[[], Ledger],
    stamp: Callable[[], tuple[str, str]],
    *,
    dry_run: bool,
) -> NodeWithConfig:
    """The node that every run starts at; `dry_run` makes every run one, `stamp` tells the team's version and shape."""

    def intake(state: TeamState, config: RunnableConfig) -> Update:
        dropped = [RemoveMessage(id=message.id or "") for message in state.get("messages", []) if _is_injected(message)]
        messages = [message for message in state.get("messages", []) if not _is_injected(message)]
        current = state.get("run")
        child = _as_child(ledger(), config)
        calls_nothing = dry_run or state.get("dry_run", False) is not False  # anything unclear calls nothing
        calls_nothing = calls_nothing or (child is not None and child.dry_run)
        fields = takes.given_in(state)
        found = _new_goal(state, messages, current) or _new_input(state, messages, current, fields)
        if found is None and current is not None and calls_nothing and not current["ended"]:
            # A run that began for real and shall now call nothing is another one.
            begun_dry = ledger().runs.get(current["id"]).dry_run
            found = None if begun_dry else (current["goal"], current["message"])
        if found is None:
            if current is None:
                raise BadInput(
                    takes.team, "", 'has no goal. Give {"goal": "…"} or {"messages": […]} with a human message'
                )
            return {"messages": dropped}
        goal, message = found
        thread = thread_of(config) or uuid.uuid4().hex[:12]
        given = Given(goal)
        if fields is not None:
            known = _is_begun(ledger(), thread, fields)
            given = takes.read({**fields, GOAL: goal} if goal else fields, known=known)
            if not known:
                takes.look_at(given, dry_run=calls_nothing)
        if current is not None and not current["ended"] and is_own_run(current["id"], config):
            stop_run(ledger(), current["id"], "another goal replaced this one")
        after = current["number"] if current else 0
        caller = _caller(ledger(), config)
        by = child.requested_by if child is not None else caller.name
        kept = {**options, **({RUN_INPUT: given.values} if fields is not None else {})}
        kept |= {**({RUN_TENANT: caller.tenant} if caller.tenant else {}), **(child.options if child else {})}
        run_id, number = ledger().runs.begin(
            thread, after + 1, team=takes.team, goal=given.goal, options=kept, requested_by=by, dry_run=calls_nothing
        )
        run = CurrentRun(id=run_id, number=number, goal=given.goal, message=message, ended="")
        run["version"], run["shape"] = stamp()
        if fields is not None:
            run |= {"input": dict(given.values), "given": fields}
        if child is not None:
            run["told"] = child.told
        said = dropped if message else [*dropped, _said(run)]
        # An answer to what the former run asked may still arrive.
        over = question_over() if current is not None and not current["ended"] else {}
        left: Update = {role: {} for role in state.get("items") or {}}
        return {**_fresh(run, "" if message else goal), **over, "items": left, "messages": said}

    return intake


def _caller(ledger: Ledger, config: RunnableConfig) -> Person:
    """Who begins a run. What a schedule of LangGraph Server tells is their name alone: the ledger says their roles."""
    caller = calling_person(config)
    return ledger.people.known(caller) if caller.name and not caller.roles else caller


class _Child(NamedTuple):
    """What a run is that is the work of a step of another."""

    requested_by: str
    dry_run: bool
    options: dict[str, Any]
    told: Told


def _as_child(ledger: Ledger, config: RunnableConfig) -> _Child | None:
    """None if it is one of its own; whoever drives it says so, never its state nor its configuration."""
    step = current_payer()
    if step is None or step.hires is None:
        return None
    at = str(config.get("configurable", {}).get("checkpoint_ns") or "").rpartition("|")[0]
    around, path = ledger.runs.get(step.run_id), [list(each) for each in step.path]
    kept: dict[str, Any] = {RUN_CHILD: {"path": path, "at": at}}
    kept |= {name: around.options[name] for name in (RUN_TENANT, RUN_FORK) if around.options.get(name)}
    return _Child(around.requested_by, around.dry_run, kept, cast(Told, step.hires.told))


def build_finish(
    actions: Mapping[str, Action[Any]], ledger: Callable[[], Ledger], agents: Sequence[Agent[Any]] = ()
) -> NodeWithConfig:
    """The node that ends every run; `actions` and `agents` are those of the team."""

    def finish(state: TeamState, config: RunnableConfig) -> Update:
        run, outcomes = state["run"], state.get("outcomes", [])
        last = outcomes[-1] if outcomes else None
        # Whoever waited for an outcome, or needed what it would have given, was done or skipped knowing it.
        undone = last is not None and is_undone(last) and not is_awaited(last)
        ended: Literal["done", "stopped"] = "stopped" if undone and not _goes_without(last, actions) else "done"
        text = "\n".join(_lines([outcome for outcome in outcomes if outcome["action"] not in ASKS_TO_GO_ON]))
        if outcomes and outcomes[-1]["action"] in ASKS_TO_GO_ON and ended == "stopped":
            text = f"{text}\nStopped by {outcomes[-1]['by'] or 'a person'}. {outcomes[-1]['detail']}".strip()
        elif ended == "done":
            text = f"{_left_out(state)}\n{text}".strip()
        else:
            text = "\n".join((text, *_failures(state)))
        if failed := [why for agent in agents if (why := _undone(agent, state))]:
            ended, text = "stopped", "\n".join((*failed, text)).strip()
        text = text or "Done."
        if is_own_run(run["id"], config):
            text = f"{text}{_throw_away(thread_of(config))}"
            ledger().runs.set_status(run["id"], ended, text)
        message = AIMessage(text, name="supervisor", id=f"{run['id']}-finish")
        return {"run": {**run, "ended": ended}, "messages": [message]}

    return finish


def _undone(agent: Agent[Any], state: TeamState) -> str:
    """Why what this agent gave does not reach the goal, as it says itself; empty if it may."""
    stored = state.get("artifacts", {}).get(agent.gives.__name__)
    return agent.gives.model_validate(stored["value"]).undone() if stored is not None else ""


def _failures(state: TeamState) -> list[str]:
    """Who failed when they worked last, as after a rejection: what else they would have proposed nobody knows."""
    last = {step["agent"]: step for step in ended_steps(state.get("plan", []))}
    return [f"{role} failed: {step['note']}" for role, step in last.items() if step["status"] == "failed"]


def _goes_without(outcome: StoredOutcome | None, actions: Mapping[str, Action[Any]]) -> bool:
    """Whether a run is done all the same without this: what needs it was skipped, or nobody had to answer."""
    action = actions.get(outcome["action"]) if outcome is not None else None
    return action is not None and (given_by(action) is not None or action.form is not None)


def _left_out(state: TeamState) -> str:
    """What was not done of a run that is done, and why; empty if that is nothing."""
    skips = [step for step in state.get("plan", []) if step["status"] == "skipped"]
    outcomes = state.get("outcomes", [])
    undone = dict.fromkeys(
        one["action"]
        for place, one in enumerate(outcomes)
        if is_undone(one)
        and one["action"] not in OWN_QUESTIONS
        and not any(later["action"] == one["action"] and not is_undone(later) for later in outcomes[place:])
    )
    names = [*(step["agent"] for step in skips), *undone]
    lines = [f"{step['agent']} was skipped: {step['note']}" for step in skips]
    return "\n".join((f"{DONE_WITHOUT}{', '.join(names)}.", *lines)) if names else ""


def _throw_away(thread: str) -> str:
    """Remove the workspace that the run's tools shared; empty, or what to tell if it cannot be."""
    workspaces = Workspaces(load_settings().home)
    try:
        workspaces.remove(thread)
    except OSError as error:
        return f"\n(Its workspace in {str(workspaces.folder)!r} cannot be removed: {error.strerror}.)"
    return ""


def _new_goal(state: TeamState, messages: Sequence[AnyMessage], current: CurrentRun | None) -> tuple[str, str] | None:
    """The goal to start on and the id of its message; None if the thread stays at what it has."""
    goal = read_goal(state.get("goal", ""))
    if goal and (
        current is None or goal != _given_goal(current) or (current["ended"] and not _newer(messages, current))
    ):
        return goal, ""
    said = _newer(messages, current)
    if said is not None and (current is None or current["ended"]):
        return read_goal(said.text), said.id or ""
    return None


def _new_input(
    state: TeamState, messages: Sequence[AnyMessage], current: CurrentRun | None, fields: Mapping[str, Any] | None
) -> tuple[str, str] | None:
    """The goal, which may be empty, and the id of its message, if the fields of the input are what is new."""
    if fields is None or (
        current is not None
        and fields == current.get("given", {})
        and (not current["ended"] or _newer(messages, current) is not None)
    ):
        return None
    if current is not None and current["message"]:
        return current["goal"], current["message"]
    return read_goal(state.get("goal", "")), ""


def _is_begun(ledger: Ledger, thread: str, fields: Mapping[str, Any]) -> bool:
    """Whether this is the beginning of a run that the ledger knows already: its input was checked when it was given."""
    try:
        record = ledger.runs.get(thread)
    except UnknownRun:
        return False
    return (record.id, record.driver, record.input) == (thread, "local", fields)


def read_goal(goal: Any) -> str:
    """The goal without blanks around it; TeamError if it is no text that can be kept."""
    try:
        check_storable(goal)
    except (ValueError, TypeError) as error:
        raise TeamError(f"The goal cannot be kept: {readable_text(str(error))}. Give it as text.") from error
    if not isinstance(goal, str):
        raise TeamError(f"The goal is a {type(goal).__name__}. Give it as text.")
    return goal.strip()


def _given_goal(run: CurrentRun) -> str:
    """The goal as it was given in the state's `goal`, empty if it came in a message."""
    return "" if run["message"] else run["goal"]


def _newer(messages: Sequence[AnyMessage], current: CurrentRun | None) -> HumanMessage | None:
    """The last human message, unless it is the one the present goal came from."""
    human = [message for message in messages if isinstance(message, HumanMessage) and message.text.strip()]
    if not human or (current is not None and human[-1].id in (current["message"], _said(current).id)):
        return None
    return human[-1]


def _said(run: CurrentRun) -> HumanMessage:
    return HumanMessage(run["goal"], id=f"{run['id']}-goal")


def _fresh(run: CurrentRun, goal: str) -> Update:
    """A new run's state; the goal as it was given, empty if it was not or in a message."""
    return {
        "goal": goal,
        "run": run,
        "plan": [],
        "followed": "",
        "artifacts": {},
        "proposals": [],
        "outcomes": [],
        "heard": [],
        "dry_run": False,
        "assignment": {"agent": "", "reason": "", "instructions": "", "stronger": 0},
        "turns": 0,
        "turn_limit": 0,
        "rounds": {},
        "trail": [],
        "held": {},
        "shown": {},
        "asked_again": "",
        "usage": NO_USAGE,
    }


def stop_run(ledger: Ledger, run_id: str, why: str, note: str = "") -> None:
    """Close what is still open of a run, and of its children, and note that they are stopped."""
    for approval in ledger.approvals.pending(run_id):
        ledger.approvals.close(approval.id, by="policy", reason=why)
    inside = [child.id for child in ledger.runs.children(run_id) if child.status in ("running", "waiting")]
    for stopped in (*reversed(inside), run_id):
        for effect in ledger.effects.of_run(stopped):
            if effect.status == "unknown":
                unknown = f"{why} before anybody said whether it happened"
                ledger.effects.settle(effect.key, "abandoned", claim=effect.claims, error=unknown)
        ledger.runs.set_status(stopped, "stopped", note or why)


def _is_injected(message: AnyMessage) -> bool:
    return (message.id or "").startswith(_INJECTED)


def _lines(outcomes: Sequence[StoredOutcome]) -> Iterator[str]:
    """What came of each; of many of one kind, where the first stands, how many they were."""
    kinds = [f"{one['action']} {one['status']}{_by(one)}" for one in outcomes]
    counts = Counter(kinds)
    for place, (kind, outcome) in enumerate(zip(kinds, outcomes, strict=True)):
        if counts[kind] <= _MOST_TOLD:
            yield _line(outcome)
        elif kind not in kinds[:place]:
            yield f"{kind}, {counts[kind]} times"


def _line(outcome: StoredOutcome) -> str:
    told = [value for value in outcome["result"].values() if isinstance(value, str)]
    detail = outcome["detail"] or next(iter(told), "")
    return f"{outcome['action']} {outcome['status']}{_by(outcome)}" + (f": {detail}" if detail else "")


def _by(outcome: StoredOutcome) -> str:
    return f" by {outcome['by']}" if outcome["by"] else ""
