"""An agent's node: one step of its work, from the assignment in the state to the artifact in the state."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer
from pydantic_core import to_jsonable_python

from signoff.agents import (
    NO_USAGE,
    Agent,
    Artifact,
    Evidence,
    Outcome,
    Payer,
    Say,
    StepFailed,
    StepHeld,
    Task,
    Usage,
    Verdict,
    Waiting,
    Work,
    WorkPlan,
    add_usage,
    ado_work,
    do_work,
    paying,
)
from signoff.agents.models import UnguardedCalls, charging
from signoff.agents.safety import Origins, find_orders, flags_of, strings_in
from signoff.graphs.approval.questions import Account, ask_for_budget, store_proposal
from signoff.graphs.given import InputModel
from signoff.graphs.nodes.runnable import TeamNode
from signoff.graphs.routing.assigning import followed_by, turn_failed, turn_given
from signoff.graphs.routing.needs_and_gives import (
    answered_verdicts,
    not_accepted,
    order_agents,
    rejections,
    revise_plan,
    told_of_before,
)
from signoff.graphs.routing.planning import DEAF, PLAN, at_work, check_plan, members_of, sub_goal, told_by_plan
from signoff.graphs.state import (
    OWN_QUESTIONS,
    StoredArtifact,
    StoredOutcome,
    StoredProposal,
    TeamState,
    Told,
    Update,
    end_step,
    is_awaited,
    unheard,
    what_was_said,
)
from signoff.tools import Proposal

_UNGUARDED = UnguardedCalls()
_WARNINGS = 20
"""On one proposal; the first ones tell enough."""


def build_step(agent: Agent[Any], agents: Sequence[Agent[Any]], account: Account, takes: InputModel) -> TeamNode:
    """The node of an agent that works in one piece."""
    ordered = order_agents(agents)
    agent = checking_plan(agent, ordered)

    def step(state: TeamState) -> Update:
        with driven(agent, ordered, account, takes, state) as (task, update):
            update |= given(agent, ordered, state, task, do_work(agent, task))
        return update

    async def astep(state: TeamState) -> Update:
        with driven(agent, ordered, account, takes, state) as (task, update):
            update |= given(agent, ordered, state, task, await ado_work(agent, task))
        return update

    return TeamNode(agent.role, step, astep, account.prepare)


def checking_plan(agent: Agent[Any], ordered: Sequence[Agent[Any]]) -> Agent[Any]:
    """The same agent; if it gives the plan, what it gives is looked at."""
    return replace(agent, check=partial(check_plan, agent, ordered)) if agent.gives is WorkPlan else agent


@contextmanager
def driven(
    agent: Agent[Any], agents: Sequence[Agent[Any]], account: Account, takes: InputModel, state: TeamState
) -> Iterator[tuple[Task, Update]]:
    """What is to do, and the update, which gets what became of a step that was held or failed."""
    task, update = task_of(agent, agents, takes, state), Update()
    payer = account.payer(state["run"]["id"], agent.role, task.say)
    if told_by_plan(state["artifacts"], agent.role) and not agent.reads_goals:
        task.say(f"has a goal of its own in the plan, but {DEAF}")
    try:
        with charged(payer):
            yield task, update
    except StepHeld as held:
        update |= _held(agent, agents, state, task, held, payer)
    except StepFailed as failed:
        update |= _failed(agent, state, task, failed)


@contextmanager
def charged(payer: Payer) -> Iterator[None]:
    """Whatever is called inside is charged to the run, and gives signs of life meanwhile."""
    signs_of_life = payer.ledger.keep_alive.renewing(payer.ledger.runs.beat, payer.run_id, soon=True)
    with paying(payer), charging(_UNGUARDED), signs_of_life:
        yield


def say_as(role: str, item: str = "") -> Say:
    """What tells those who watch what this role does, and for which item."""
    write = get_stream_writer()

    def say(text: str, /, *, done: int = 0, total: int = 0) -> None:
        write({"agent": role, "says": f"{item}: {text}" if item else text, "done": done, "total": total})

    return say


def task_of(agent: Agent[Any], agents: Sequence[Agent[Any]], takes: InputModel, state: TeamState) -> Task:
    """What the agent is handed."""
    artifacts, name, told = state["artifacts"], agent.gives.__name__, state["run"].get("told")
    outcomes = outcomes_of(state, agent.role)
    previous, assignment, mine = artifacts.get(name), state["assignment"], sub_goal(artifacts, agent.role)
    plans_for = members_of(agents)[0] if name == PLAN else []
    before = previous["value"] if previous else told["previous"] if told and told["gives"] == name else {}
    others = plans_for if agent.form is None else []  # whose form says nothing of agents would only be led astray
    listed = [f"The team's agents, in working order: {json.dumps(others)}"] if others else []
    return Task(
        goal=state["run"]["goal"],
        input=takes.restore(state["run"]["goal"], state["run"].get("input", {})),
        artifacts={need.__name__: need.model_validate(artifacts[need.__name__]["value"]) for need in agent.needs},
        notes=(
            *(told["notes"] if told and told["gives"] == name else ()),
            *rejections(agents, artifacts).get(name, ()),
            *(said for told in said_by_item(state, agent.role).values() for said in told),
        ),
        instructions="\n".join(
            filter(None, (told and told["instructions"], mine.told, *listed, assignment["instructions"]))
        ),
        parts=mine.parts,
        team=tuple(plans_for),
        previous=agent.gives.model_validate(before) if before else None,
        say=say_as(agent.role),
        stronger=assignment.get("stronger", 0),
        transcript=tuple((state.get("held") or {}).get(agent.role, ())),
        outcomes=outcomes,
        can_wait=True,
        untrusted=tuple(
            dict.fromkeys(
                [
                    *(told["flags"] if told else ()),
                    *(
                        flag
                        for shown in (*(need.__name__ for need in agent.needs), name, *((PLAN,) if mine.told else ()))
                        if shown in artifacts
                        for flag in artifacts[shown].get("flags", ())
                    ),
                ]
                # A model's loop looks at what it is told of them.
                + [
                    flag
                    for source, text in _said_outside(outcomes)
                    if agent.model is None
                    for flag in flags_of(text, source)
                ]
            )
        ),
    )


def outcomes_of(state: TeamState, role: str, item: str = "") -> tuple[Outcome, ...]:
    """What became of all that agents proposed, as an agent is handed it; a held step of its role waits for some."""
    awaited = {outcome["proposal"] for outcome in unheard(state, role, item) if is_awaited(outcome)}
    return tuple(
        Outcome(
            action=outcome["action"],
            args=outcome.get("args", {}),
            proposed=outcome.get("proposed", {}),
            status=outcome["status"],
            detail=outcome["detail"],
            result=outcome["result"],
            by=outcome["by"],
            role=outcome["role"],
            proposal=outcome["proposal"],
            call=outcome.get("call", "") if outcome["proposal"] in awaited else "",
            item=outcome.get("item", ""),
        )
        for outcome in state.get("outcomes", [])
        if outcome["action"] not in OWN_QUESTIONS
    )


def _said_outside(outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    """What services said of the actions that were called: which action, and its words."""
    said = [(one.action, one.result, one.detail) for one in outcomes if one.status in ("done", "failed", "abandoned")]
    return [(action, json.dumps([dict(result), detail], ensure_ascii=False)) for action, result, detail in said]


def said_by_item(state: TeamState, role: str) -> dict[str, list[str]]:
    """What people said of what the role proposed, and it has not heard yet, by the item in whose work it was."""
    said: dict[str, list[str]] = {}
    for outcome in unheard(state, role):
        if not is_awaited(outcome):
            said.setdefault(outcome.get("item", ""), []).append(what_was_said(outcome))
    return said


def given(agent: Agent[Any], agents: Sequence[Agent[Any]], state: TeamState, task: Task, work: Work) -> Update:
    """What finished work changes."""
    artifacts, name = state["artifacts"], agent.gives.__name__
    flags = list(dict.fromkeys((*task.untrusted, *work.flags)))
    stored = StoredArtifact(
        by=agent.role,
        version=artifacts[name]["version"] + 1 if name in artifacts else 1,
        built_on={need.__name__: artifacts[need.__name__]["version"] for need in agent.needs},
        value=work.artifact.model_dump(mode="json"),
        flags=flags,
    )
    if told := told_by_plan(artifacts, agent.role):
        stored["told"] = told
    if answers := answered_verdicts(agents, artifacts, agent.role):
        stored["answers"] = answers
    brief = work.artifact.brief()
    # Who works because a person said something does not go in circles.
    trail = [] if any(not is_awaited(told) for told in unheard(state, agent.role)) else (state.get("trail") or [])
    calls = work.usage["calls"] + _answers_before(task)
    update: Update = {
        "artifacts": {**artifacts, name: stored},
        "plan": end_step(state["plan"], agent.role, "completed", note_of(brief, task.stronger)),
        "messages": [AIMessage(brief, name=agent.role, id=f"{state['run']['id']}-{state['turns']}-{agent.role}")],
        "trail": followed_by(trail, turn_given(agent.role, work.artifact, stored["value"], calls)),
        **_ended(agent, state, work.usage),
        **_proposing(state, proposed(agent, agents, state, task, [(one, "") for one in work.proposals], flags)),
        **_hearing(state, unheard(state, agent.role)),
    }
    # What did not change is left out: a saver looks at every value that is given to it.
    again = PLAN if name == PLAN and name in artifacts else ""
    if isinstance(work.artifact, Verdict) and not work.artifact.accepted:
        again = work.artifact.about
    if again:
        rounds = state.get("rounds", {})
        update["rounds"] = {**rounds, again: rounds.get(again, 0) + 1}
    return update


def proposed(
    agent: Agent[Any],
    agents: Sequence[Agent[Any]],
    state: TeamState,
    task: Task,
    proposals: Sequence[tuple[Proposal, str]],
    flags: Sequence[str],
    item: str = "",
) -> list[StoredProposal]:
    """Proposals as they go to the gate, each given with the id of the call that waits for it, empty if none does."""
    proposals = [each for each in proposals if each[1] or not _was_asked(each[0], agent, task, item)]
    if not proposals:
        return []
    # Counted over all that was proposed in this work: the same once more, in one step, is another proposal.
    before = (outcome for outcome in state.get("outcomes", []) if outcome["role"] == agent.role)
    first = state["turns"] * 100 + sum(outcome.get("item", "") == item for outcome in before)
    stored = []
    origins, undone = _origins(task, state["run"].get("told")), not_accepted(agents, state, agent.role)
    for place, (proposal, call) in enumerate(proposals, first):
        seen = [*told_of_before(undone, proposal), *flags]
        own = origins.flags(proposal.args)
        warnings = list(dict.fromkeys((*seen[: _WARNINGS - len(own)], *own)))
        one = store_proposal(state["run"]["id"], agent.role, place, proposal, warnings, item)
        stored.append(StoredProposal(**one, call=call) if call else one)
    return stored


def _proposing(state: TeamState, stored: Sequence[StoredProposal]) -> Update:
    return {"proposals": [*state.get("proposals", []), *stored]} if stored else {}


def _was_asked(proposal: Proposal, agent: Agent[Any], task: Task, item: str) -> bool:
    """Whether it is a question that was asked in this run, but for other items: nobody is asked the same twice."""
    if not any(action.name == proposal.action and action.form is not None for action in agent.at_gate):
        return False
    before = (outcome for outcome in task.outcomes if outcome.item in ("", item))
    return any((one.action, one.proposed) == (proposal.action, proposal.args) for one in before)


def _hearing(state: TeamState, told: Sequence[StoredOutcome]) -> Update:
    return {"heard": [*state.get("heard", []), *(outcome["proposal"] for outcome in told)]} if told else {}


def _answers_before(task: Task) -> int:
    """Answers that the model gave in the step before it was held."""
    return sum(isinstance(message, AIMessage) for message in task.transcript)


def _ended(agent: Agent[Any], state: TeamState, usage: Usage) -> Update:
    """What the step used; nothing of it is held any more."""
    update: Update = {"usage": add_usage(state.get("usage", NO_USAGE), usage)} if usage["calls"] else {}
    held = state.get("held") or {}
    if agent.role in held:
        update["held"] = {role: said for role, said in held.items() if role != agent.role}
    return update


def _origins(task: Task, told: Told | None) -> Origins:
    """The texts behind the proposals of a step: a person is told of orders in them, and of what only such a text names.

    What a run was `told` is no person's wish but for the part that says so: its goal was made by a program.
    """
    read = [("item", strings_in(to_jsonable_python(task.item))), *_said_outside(task.outcomes)]
    read += [(name, strings_in(artifact.model_dump(mode="json"))) for name, artifact in task.artifacts.items()]
    wish = f"{task.goal}\n{task.input_text}"
    if told is not None:
        read, wish = [*read, ("the goal", wish)], told["wish"]
    ordering = [(name, text) for name, text in read if find_orders(text)]
    cited = {address for artifact in task.artifacts.values() for address in _cited(artifact)}
    return Origins(goal=wish, untrusted=ordering, works=read, cited=cited)


def _cited(artifact: Artifact) -> Iterator[str]:
    """Addresses of the pages that were quoted."""
    for quote in artifact.quotes if isinstance(artifact, Evidence) else ():
        yield from filter(None, (quote.source, quote.origin.rpartition(", fetched ")[0]))


def note_of(brief: str, stronger: int) -> str:
    """The work's first line, and how strong a model it took."""
    line = brief.splitlines()[0].lstrip("# ")[:200] if brief else ""
    return f"{line} (by a stronger model, +{stronger})".strip() if stronger else line


def _failed(agent: Agent[Any], state: TeamState, task: Task, failed: StepFailed) -> Update:
    failure, stronger = failed.failure, state["assignment"].get("stronger", 0)
    note = f"{failure.problem} (with a stronger model, +{stronger})" if stronger else failure.problem
    turn = turn_failed(agent.role, agent.gives.__name__, failure.problem, failed.usage["calls"] + _answers_before(task))
    return {
        "plan": end_step(state["plan"], agent.role, "failed", note, final=failure.final),
        "trail": followed_by(state.get("trail") or [], turn),
        **_ended(agent, state, failed.usage),
        **_hearing(state, [told for told in unheard(state, agent.role) if is_awaited(told)]),
    }


def _held(
    agent: Agent[Any], agents: Sequence[Agent[Any]], state: TeamState, task: Task, held: StepHeld, payer: Payer
) -> Update:
    """Keep what was said: the step goes on from there once the budget is raised, or every outcome is known."""
    usage = add_usage(state.get("usage", NO_USAGE), held.usage)
    update: Update = {
        "held": {**(state.get("held") or {}), agent.role: list(held.transcript)},
        "usage": usage,
        **_hearing(state, [told for told in unheard(state, agent.role) if told["proposal"] in held.heard]),
    }
    if isinstance(held.error, Waiting):
        proposals = [(proposal, call) for call, proposal in held.error.proposals.items()]
        flags = list(dict.fromkeys((*task.untrusted, *held.flags)))
        return {**update, **_proposing(state, proposed(agent, agents, state, task, proposals, flags))}
    doing = f"{agent.role} was at work: {state['assignment']['reason']}"
    asked = ask_for_budget({**state, "usage": usage}, held.error, payer, doing)
    return {
        **update,
        "proposals": [*state.get("proposals", []), asked],
        "plan": revise_plan(state["plan"], at_work(agents, state["artifacts"]), state["artifacts"], None),
    }
