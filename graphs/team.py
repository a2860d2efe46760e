"""Team: agents, a supervisor and a policy, put together as an ordinary LangGraph graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, TypedDict, TypeVar, Unpack

from langgraph.cache.base import BaseCache
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph.types import All, Checkpointer
from pydantic import BaseModel

from signoff.agents import Agent, Artifact, Limits, Task, given_by
from signoff.agents.errors import WorkFailed
from signoff.checkpoints import configured_ledger
from signoff.checkpoints.ledger import Ledger
from signoff.checkpoints.ledger.budgets import NO_LIMIT, Budget, budget_of
from signoff.error_base import TeamError
from signoff.graphs.approval.enforcement import Actions, Enforcement
from signoff.graphs.approval.questions import CONTROLS, Account
from signoff.graphs.given import Given, InputModel, Look
from signoff.graphs.nodes.act import build_act
from signoff.graphs.nodes.agent import build_step
from signoff.graphs.nodes.child import Child, build_child
from signoff.graphs.nodes.gate import build_gate
from signoff.graphs.nodes.intake import build_finish, build_intake, read_goal
from signoff.graphs.nodes.items import build_items
from signoff.graphs.nodes.runnable import LedgerNode, TeamNode
from signoff.graphs.nodes.supervisor import Supervisor, build_supervisor
from signoff.graphs.policy.policy import Policy, Rate, Ruling
from signoff.graphs.routing.needs_and_gives import order_agents
from signoff.graphs.state import FOLLOW_PLAN, TeamInput, TeamState
from signoff.graphs.versions import Migrate, kinds_of, misfits, shape_of
from signoff.settings import Settings, load_settings
from signoff.tools import Action
from signoff.tools.broker import open_broker

A = TypeVar("A", bound=Artifact)

Builder = StateGraph[TeamState, None, TeamInput, TeamState]
"""An uncompiled team graph."""

TeamGraph = CompiledStateGraph[TeamState, None, Any, TeamState]
"""A compiled one; what it takes is the team's own `input`, or TeamInput."""


class CompileOptions(TypedDict, total=False):
    """What a graph can be compiled with; `StateGraph.compile` says what each does."""

    checkpointer: Checkpointer
    cache: BaseCache[Any] | None
    store: BaseStore | None
    interrupt_before: All | list[str] | None
    interrupt_after: All | list[str] | None
    debug: bool
    name: str | None


_OWN_NODES = {"intake", "supervisor", "gate", "act", "finish"}


@dataclass(frozen=True, kw_only=True)
class Team:
    """Agents that work on a goal, the supervisor that routes it among them, and the policy for what they propose."""

    agents: Sequence[Agent[Any]]
    supervisor: Supervisor = field(default_factory=Supervisor)
    policy: Policy = field(default_factory=Policy)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    """Policies of single roles. They can only narrow the team's: what they do not name is as the team has it."""
    dry_run: bool = False
    """Whether every run does everything but the effects."""
    budget: Budget | str | None = None
    """What one run may use before a person is asked, such as `$2`; None: `SIGNOFF_RUN_BUDGET`."""
    name: str = "team"
    input: type[BaseModel] | None = None
    """What a run is given: a pydantic model, of which the goal is the field `goal` (see `InputModel`); None: a goal."""
    look: Look | None = None
    """Looks at what a run is given before it begins, so that what is amiss is told at once; None: its types suffice."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """JSON values a ready-made team is built again from when its run is resumed."""
    version: str = ""
    """Raised where a run of an earlier one cannot simply go on, though nothing that can be compared tells so."""
    migrate: Migrate | None = None
    """Changes the state of a run that began with another version, or does not fit this one; None: it does not go on."""
    ledger: Ledger | None = None
    """Where decisions are kept; None: the database in the settings, opened by the first node that needs it."""

    def __post_init__(self) -> None:
        if others := [one for one in self.agents if not isinstance(one, Agent)]:
            raise TeamError(
                f"Among the agents of team {self.name!r} is a {type(others[0]).__name__}. Let an agent do its work: "
                "Agent(role=…, gives=…, function=…), where the function takes the task, and invokes it."
            )
        order_agents(self.agents)
        for agent in self.agents:
            if agent.role in _OWN_NODES:
                own = ", ".join(sorted(_OWN_NODES))
                raise TeamError(f"Agent role {agent.role!r} is taken: {own} are the team's own.")
        if strangers := set(self.policies) - {agent.role for agent in self.agents}:
            raise TeamError(f"Policies name {min(strangers)!r}, which is no role of the team.")
        for policy in (self.policy, *self.policies.values()):
            policy.check({**self.actions, FOLLOW_PLAN: CONTROLS[FOLLOW_PLAN]})
        self.takes.check([*_OWN_NODES, *(agent.role for agent in self.agents)])
        _ = self.run_budget

    @property
    def run_budget(self) -> Budget | None:
        """What one run may use, if the team says so; TeamError if its text cannot be read."""
        return None if self.budget is None else budget_of(self.budget, f"Team {self.name!r}")

    @cached_property
    def takes(self) -> InputModel:
        """What a run is given, by its model."""
        return InputModel(self.name, self.input, self.look)

    def read_input(self, given: Mapping[str, Any] | BaseModel | str, settings: Settings | None = None) -> Given:
        """Check what a run is to be given: values by name, the input's model, or a JSON object as text.

        BadInput names the field that does not fit. A field that is a secret (SecretName, SecretStr) takes the name of
        one in the secrets file of the settings, never a value.
        """
        return self.takes.read(given, settings)

    @cached_property
    def shape(self) -> str:
        """A digest of what the state of a run depends on."""
        within = {agent.role: agent.team.shape for agent in self.agents if isinstance(agent, TeamAgent)}
        return shape_of(self.agents, self.actions, self.input, within)

    def misfits(self, state: Mapping[str, Any]) -> list[str]:
        """What the state of a run holds that this team could not go on with, in words; empty if it can."""
        return misfits(self.agents, self.actions, state)

    @cached_property
    def kinds(self) -> dict[str, type[Artifact]]:
        """The types of the artifacts that are given in it, by name."""
        return kinds_of(self.agents)

    @cached_property
    def actions(self) -> Actions:
        """What the team's agents may propose, by name."""
        found: dict[str, Action[Any]] = {}
        for agent in self.agents:
            for action in agent.at_gate:
                if action.name in CONTROLS or found.setdefault(action.name, action) is not action:
                    raise TeamError(f"Two actions are called {action.name!r}. Give one another name, as in name='…'.")
        return found

    def graph(self) -> Builder:
        """The graph, uncompiled: LangGraph Server compiles it with its own checkpointer, you with yours."""
        return self._graph(self._ledger)

    def _graph(self, ledger: Callable[[], Ledger]) -> Builder:
        builder: Builder = StateGraph(TeamState, input_schema=self.takes.schema)
        intake = LedgerNode(
            "intake", ledger, build_intake(self.takes, self.options, ledger, self._stamp, dry_run=self.dry_run)
        )
        builder.add_node("intake", intake, input_schema=self.takes.at_intake)
        roles = [agent.role for agent in self.agents]
        limits = {agent.role: budget_of(agent.limits.budget, agent.role) for agent in self.agents}
        account = Account(ledger, self.name, self.run_budget, limits)
        supervise = build_supervisor(self.agents, self.supervisor, account, asks_plan=self._asks_plan)
        builder.add_node("supervisor", supervise, destinations=(*roles, "gate", "finish"))
        for agent in self.agents:
            builder.add_node(agent.role, self._node_of(agent, account))
            builder.add_edge(agent.role, "supervisor")
        policy = Enforcement(self.actions, self.rules, self.rates)
        gate = LedgerNode("gate", ledger, build_gate(policy, ledger))
        builder.add_node("gate", gate, destinations=("act", "gate", "supervisor"))
        act = LedgerNode("act", ledger, build_act(policy, ledger, dry_run=self.dry_run), is_long=True)
        builder.add_node("act", act, destinations=("gate", "supervisor"))
        finish = build_finish(self.actions, ledger, self.agents)
        builder.add_node("finish", LedgerNode("finish", ledger, finish))
        builder.add_edge(START, "intake")
        builder.add_edge("intake", "supervisor")
        builder.add_edge("finish", END)
        return builder

    def _stamp(self) -> tuple[str, str]:
        """What a run keeps of the team that it begins with."""
        return self.version, self.shape

    def _node_of(self, agent: Agent[Any], account: Account) -> TeamNode:
        if isinstance(agent, TeamAgent):
            return build_child(agent, self.agents, account, self.takes, agent.child(account.ledger))
        build = build_step if agent.each is None else build_items
        return build(agent, self.agents, account, self.takes)

    def rules(self, role: str, action: str, args: Mapping[str, Any]) -> Ruling:
        """What policy says of an action that this role proposes with these arguments.

        A plan that it does not name is followed without asking, unless the settings have people see it first; a
        question that it does not name is asked.
        """
        policy, known = self._policy_of(role), self.actions.get(action)
        if known is not None and known.form is not None and action not in policy.rules:
            policy = replace(policy, rules={**policy.rules, action: "ask"})
        if action == FOLLOW_PLAN and action not in policy.rules:
            return Ruling("ask" if load_settings().ask_plan else "allow", why="policy names no plan")
        return policy.ruling(action, args)

    def asking_plan(self) -> Team:
        """The same team, of whose runs a person sees the plan before anybody works by it."""
        if self._asks_plan:
            return self
        return replace(self, policy=replace(self.policy, rules={**self.policy.rules, FOLLOW_PLAN: "ask"}))

    @property
    def _asks_plan(self) -> bool:
        return self.policy.rules.get(FOLLOW_PLAN, "allow") != "allow"

    def rates(self, role: str) -> Sequence[Rate]:
        """How many actions of one run may be done, for proposals of this role."""
        return self._policy_of(role).rates

    def _policy_of(self, role: str) -> Policy:
        own = self.policies.get(role)
        return self.policy if own is None else self.policy.narrowed(own)

    def as_agent(
        self,
        *,
        gives: type[A],
        role: str = "",
        needs: tuple[type[Artifact], ...] = (),
        goal: Callable[[Task], str | Mapping[str, Any] | BaseModel] | None = None,
        limits: Limits | None = None,
    ) -> TeamAgent[A]:
        """This team as an agent of another one: its step is a run of its own, a child of the run around it.

        `gives` is the artifact that is taken from that run; TeamError if nobody in this team gives it. `role` is the
        team's name unless it is given. `goal` says what the run is given, by the task: a goal, or what `input` says;
        None: the goal of the run around it. What it uses is the agent's, whose budget is the team's unless `limits`
        names one, and its ledger is that of the team around it. What its agents propose waits for this team's policy,
        and is asked wherever the run around it asks.
        """
        return TeamAgent(
            role=role or self.name,
            gives=gives,
            needs=needs,
            function=_not_alone,
            limits=limits or Limits(budget=NO_LIMIT if self.budget is None else self.budget),
            team=self,
            goal=goal or (lambda task: task.goal),
        )

    def team_at(self, roles: Sequence[str]) -> Team:
        """The team that stands as the agent of this role, and so on; TeamError if there is none (any more)."""
        found = self
        for role in roles:
            named = {agent.role: agent.team for agent in found.agents if isinstance(agent, TeamAgent)}
            if role not in named:
                raise TeamError(f"Team {found.name!r} has no team that stands as the agent {role!r}.")
            found = named[role]
        return found

    def with_agents(self, change: Callable[[Agent[Any]], Agent[Any]]) -> Team:
        """The same with every agent changed so, also those of teams that stand as agents."""
        changed = [change(agent) for agent in self.agents]
        return replace(self, agents=[one.with_agents(change) if isinstance(one, TeamAgent) else one for one in changed])

    def with_actions(self, change: Callable[[Action[Any]], Action[Any]]) -> Team:
        """The same with every action changed so; one that several agents have stays one."""
        changed: dict[int, Action[Any]] = {}

        def once(action: Action[Any]) -> Action[Any]:
            return changed.setdefault(id(action), change(action))

        def of(agent: Agent[Any]) -> Agent[Any]:
            tools = tuple(once(given) if isinstance(given, Action) else given for given in agent.tools)
            return replace(agent, actions=tuple(map(once, agent.actions)), tools=tools)

        return self.with_agents(of)

    def compile(self, **options: Unpack[CompileOptions]) -> TeamGraph:
        """The graph, compiled with these options of `StateGraph.compile`, such as `checkpointer=`."""
        options.setdefault("name", self.name)
        return self.graph().compile(**options)

    @property
    def _ledger(self) -> Callable[[], Ledger]:
        """What gives the ledger; one of the settings is opened when it is first asked for."""
        return partial(getattr, self, "_own_ledger" if self.ledger is None else "ledger")

    @cached_property
    def _own_ledger(self) -> Ledger:
        settings = load_settings()
        open_broker(settings)  # first of all, so that its secrets leave the environment
        return configured_ledger(settings)


def _not_alone(_task: Task) -> Any:
    raise TeamError("A team that stands as an agent works in the graph of a team: Team(agents=[…]).compile(…).")


@dataclass(frozen=True, kw_only=True)
class TeamAgent(Agent[A]):
    """A team that stands as an agent; `Team.as_agent` makes it."""

    team: Team
    goal: Callable[[Task], str | Mapping[str, Any] | BaseModel]
    """What its run is given, by the task."""

    def __post_init__(self) -> None:
        if self.model is not None or self.each is not None or self.function is not _not_alone:
            raise TeamError(
                f"Agent {self.role!r} is a team, whose run is its work: it takes no model, function or each. Give them "
                "to the team's agents."
            )
        super().__post_init__()
        given = {agent.gives for agent in self.team.agents}
        given |= {kind for action in self.team.actions.values() if (kind := given_by(action)) is not None}
        if self.gives not in given:
            names = ", ".join(sorted(kind.__name__ for kind in given))
            raise TeamError(f"Team {self.team.name!r} gives no {self.gives.__name__}. It gives {names}.")

    @property
    def described(self) -> dict[str, Any]:
        return {**super().described, "body": "team"}

    def with_agents(self, change: Callable[[Agent[Any]], Agent[Any]]) -> TeamAgent[A]:
        return replace(self, team=self.team.with_agents(change))

    def child(self, ledger: Callable[[], Ledger]) -> Child:
        """Its graph over this ledger, and what its run is given."""
        return Child(self.team._graph(ledger).compile(name=self.team.name), self._order)

    def _order(self, task: Task) -> Given:
        given = self.goal(task)
        try:
            if isinstance(given, Mapping | BaseModel):
                found = self.team.read_input(given)
            else:
                found = self.team.read_input({"goal": read_goal(given)})
        except TeamError as error:
            raise WorkFailed(self.role, f"its run cannot begin: {error}", final=True) from error
        if not found.goal:
            raise WorkFailed(self.role, "its run cannot begin: its goal is empty", final=True)
        return found
