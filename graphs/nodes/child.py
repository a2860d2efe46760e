"""The node of a team that stands as an agent: its work is a run of its own, in the graph of that team.

That graph works within the node, on the thread of the graph around it and in a namespace of its own. What it asks is
asked there; once that is decided the node is done again, and the run in it goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, cast

from langchain_core.runnables import Runnable

from signoff.agents import (
    NO_USAGE,
    Agent,
    Artifact,
    Hired,
    Payer,
    StepFailed,
    Task,
    Work,
    add_usage,
    ado_work,
    current_payer,
    do_work,
    paying,
)
from signoff.agents.errors import WorkFailed
from signoff.agents.safety import flags_of
from signoff.checkpoints import digest
from signoff.graphs.approval.questions import Account
from signoff.graphs.given import Given, InputModel
from signoff.graphs.nodes.agent import driven, given
from signoff.graphs.nodes.runnable import TeamNode
from signoff.graphs.routing.needs_and_gives import order_agents
from signoff.graphs.state import RAISE_BUDGET, TeamState, Told, Update


class Child(NamedTuple):
    """A team that stands as an agent, as its node needs it."""

    graph: Runnable[Any, Any]
    """Compiled without a checkpointer: it uses that of the graph around it."""
    order: Callable[[Task], Given]
    """What its run is given."""


class Ordered(Artifact):
    """What a run is given, as JSON; it is never among the team's artifacts."""

    goal: str
    values: dict[str, Any]


def build_child(
    agent: Agent[Any], agents: Sequence[Agent[Any]], account: Account, takes: InputModel, child: Child
) -> TeamNode:
    """The node of an agent whose work is a run of another team."""
    ordered = order_agents(agents)
    steps = _Steps(agent, child.order)

    def step(state: TeamState) -> Update:
        with driven(agent, ordered, account, takes, state) as (task, update):
            with steps.hiring(state, task, do_work(steps.orders, task)) as start:
                ended = child.graph.invoke(start)
            with steps.of(ended, state, update) as (reader, finished):
                update |= given(agent, ordered, state, task, finished(do_work(reader, task)))
        return update

    async def astep(state: TeamState) -> Update:
        with driven(agent, ordered, account, takes, state) as (task, update):
            with steps.hiring(state, task, await ado_work(steps.orders, task)) as start:
                ended = await child.graph.ainvoke(start)
            with steps.of(ended, state, update) as (reader, finished):
                update |= given(agent, ordered, state, task, finished(await ado_work(reader, task)))
        return update

    return TeamNode(agent.role, step, astep, account.prepare)


class _Steps:
    """What is done in the node of one agent."""

    def __init__(self, agent: Agent[Any], order: Callable[[Task], Given]) -> None:
        self._agent, self._order, self._name = agent, order, agent.gives.__name__
        self.orders: Agent[Any] = Agent(role=agent.role, gives=Ordered, function=self._ordered, prepare=agent.prepare)

    def _ordered(self, task: Task) -> Ordered:
        order = self._order(task)
        return Ordered(goal=order.goal, values=dict(order.values))

    @contextmanager
    def hiring(self, state: TeamState, task: Task, order: Work) -> Iterator[dict[str, Any]]:
        """What the run is given; what works inside belongs to it."""
        run, payer, ordered = state["run"], cast(Payer, current_payer()), cast(Ordered, order.artifact)
        around = run.get("told")
        wish = around["wish"] if around else f"{task.goal}\n{task.input_text}"
        made = {"the goal": ordered.goal, "the input": json.dumps(ordered.values, ensure_ascii=False)}
        found = (flag for name, text in made.items() if text not in wish for flag in flags_of(text, name))
        told = Told(
            wish=wish,
            flags=list(dict.fromkeys((*task.untrusted, *found))),
            instructions="\n".join(filter(None, (*task.notes, task.instructions))),
            gives=self._name,
            notes=list(task.notes),
            previous=task.previous.model_dump(mode="json") if task.previous is not None else {},
        )
        name = f"{run['id']}.{digest([self._agent.role, state['turns']])[:8]}"
        with paying(replace(payer, hires=Hired(name, cast(dict[str, Any], told)))):
            yield {**ordered.values, "goal": ordered.goal}

    @contextmanager
    def of(
        self, ended: TeamState, state: TeamState, update: Update
    ) -> Iterator[tuple[Agent[Any], Callable[[Work], Work]]]:
        """Who reads what the run has given, and what makes of that the work of the step; what it used is the step's.

        Whoever refused it more of a budget that is not its own alone, refused it to the run around it.
        """
        used, stored = ended.get("usage", NO_USAGE), ended["artifacts"].get(self._name)
        for last in ended.get("outcomes", [])[-1:]:
            refused = last["action"] == RAISE_BUDGET and last["status"] != "done"
            own = f"child:{ended['run']['id']}/"
            if refused and not last.get("args", {}).get("scope", "").startswith(own):
                update["outcomes"] = [*state.get("outcomes", []), last]
        flags, agent = stored.get("flags", []) if stored is not None else [], self._agent
        reader: Agent[Any] = Agent(
            role=agent.role,
            gives=agent.gives,
            needs=agent.needs,
            function=partial(self._read, ended),
            tools=agent.tools,
            actions=agent.actions,
            check=agent.check,
            propose=agent.propose,
        )
        try:
            yield (
                reader,
                lambda work: replace(work, usage=add_usage(work.usage, used), flags=(*work.flags, *flags)),
            )
        except StepFailed as failed:
            raise StepFailed(failed.failure, add_usage(failed.usage, used), failed.flags) from failed

    def _read(self, ended: TeamState, _task: Task) -> Artifact:
        run, stored = ended["run"], ended["artifacts"].get(self._name)
        if run["ended"] != "done":
            why = ended["messages"][-1].text
            raise WorkFailed(self._agent.role, f"its run {run['id']} was stopped: {why}", final=True)
        if stored is None:
            raise WorkFailed(self._agent.role, f"its run {run['id']} is done without a {self._name}")
        found: Artifact = self._agent.gives.model_validate(stored["value"])
        return found
