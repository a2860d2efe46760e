"""An agent's node: one step of its work, from the assignment in the state to the artifact in the state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.config import get_stream_writer

from signoff.agents.agent import Agent, Task
from signoff.agents.artifacts import Verdict
from signoff.agents.usage import NO_USAGE, add_usage
from signoff.agents.work import StepFailed, Work, ado_work, do_work
from signoff.graphs.control import store_proposal
from signoff.graphs.routing import rejections
from signoff.graphs.state import StoredArtifact, TeamState, Update, end_step, unheard, what_was_said


def build_step(agent: Agent[Any], agents: Sequence[Agent[Any]]) -> RunnableLambda[TeamState, Update]:
    """The node of one agent, for sync and async graphs."""

    def step(state: TeamState) -> Update:
        try:
            return _done(agent, state, do_work(agent, _task(agent, agents, state)))
        except StepFailed as failed:
            return _failed(agent, state, failed)

    async def astep(state: TeamState) -> Update:
        try:
            return _done(agent, state, await ado_work(agent, _task(agent, agents, state)))
        except StepFailed as failed:
            return _failed(agent, state, failed)

    return RunnableLambda(step, afunc=astep, name=agent.role)


def _task(agent: Agent[Any], agents: Sequence[Agent[Any]], state: TeamState) -> Task:
    write = get_stream_writer()

    def say(text: str, /, *, done: int = 0, total: int = 0) -> None:
        write({"agent": agent.role, "says": text, "done": done, "total": total})

    artifacts, name = state["artifacts"], agent.gives.__name__
    previous = artifacts.get(name)
    return Task(
        goal=state["run"]["goal"],
        artifacts={need.__name__: need.model_validate(artifacts[need.__name__]["value"]) for need in agent.needs},
        notes=(
            *rejections(agents, artifacts).get(name, ()),
            *(what_was_said(outcome) for outcome in unheard(state, agent.role)),
        ),
        instructions=state["assignment"]["instructions"],
        previous=agent.gives.model_validate(previous["value"]) if previous else None,
        say=say,
    )


def _done(agent: Agent[Any], state: TeamState, work: Work) -> Update:
    artifacts, name = state["artifacts"], agent.gives.__name__
    stored = StoredArtifact(
        by=agent.role,
        version=artifacts[name]["version"] + 1 if name in artifacts else 1,
        built_on={need.__name__: artifacts[need.__name__]["version"] for need in agent.needs},
        value=work.artifact.model_dump(mode="json"),
    )
    run_id, turn, rounds = state["run"]["id"], state["turns"], dict(state.get("rounds", {}))
    if isinstance(work.artifact, Verdict) and not work.artifact.accepted:
        rounds[work.artifact.about] = rounds.get(work.artifact.about, 0) + 1
    proposed = [
        store_proposal(run_id, agent.role, turn * 100 + place, proposal)
        for place, proposal in enumerate(work.proposals)
    ]
    brief = work.artifact.brief()
    note = brief.splitlines()[0].lstrip("# ")[:200] if brief else ""
    return {
        "artifacts": {**artifacts, name: stored},
        "proposals": [*state.get("proposals", []), *proposed],
        "rounds": rounds,
        "heard": [*state.get("heard", []), *(outcome["proposal"] for outcome in unheard(state, agent.role))],
        "plan": end_step(state["plan"], agent.role, "completed", note),
        "messages": [AIMessage(brief, name=agent.role, id=f"{run_id}-{turn}-{agent.role}")],
        "usage": add_usage(state.get("usage", NO_USAGE), work.usage),
    }


def _failed(agent: Agent[Any], state: TeamState, failed: StepFailed) -> Update:
    failure = failed.failure
    return {
        "plan": end_step(state["plan"], agent.role, "failed", failure.problem, final=failure.final),
        "usage": add_usage(state.get("usage", NO_USAGE), failed.usage),
    }
