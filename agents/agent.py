"""The agent and its task: a role, what it needs, what it gives, and a body that does the work, or how that ends.

What an agent is made of, and what its step may come to, is read in one place; so the file is longer than most.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable
from pydantic import BaseModel, PydanticSchemaGenerationError, TypeAdapter

from signoff.agents.artifacts import Artifact
from signoff.agents.errors import WorkFailed
from signoff.agents.run_context import Say, say_nothing
from signoff.agents.usage import Usage
from signoff.checkpoints.errors import BudgetExhausted
from signoff.checkpoints.ledger.budgets import NO_LIMIT, Budget, budget_of
from signoff.error_base import TeamError
from signoff.tools import LOOP_RISKS, Action, Proposal, Tool

if TYPE_CHECKING:
    from signoff.agents.models.registry import Tiers

A = TypeVar("A", bound=Artifact)
N = TypeVar("N", bound=Artifact)
R = TypeVar("R", bound=Artifact)


@dataclass(frozen=True)
class Limits:
    """How much one step of an agent may use before it fails."""

    model_calls: int = 12
    """Calls of the model in one step."""
    attempts: int = 2
    """Times the step is tried before the supervisor pauses for a person."""
    output_tokens: int = 8_192
    """Tokens that one answer of the model may have."""
    width: int = 6
    """Items that are worked on side by side, where the agent works item by item."""
    budget: Budget | str = NO_LIMIT
    """What the agent may use in one run, over all its steps, as a Budget or such as `$2 tokens=100000`."""

    def __post_init__(self) -> None:
        for name in ("model_calls", "attempts", "output_tokens", "width"):
            number = getattr(self, name)
            if not isinstance(number, int) or number < 1:
                raise TeamError(f"Limits({name}={number!r}) lets no step be done. Give a whole number, 1 or more.")
        budget_of(self.budget, "Limits")


OutcomeStatus = Literal[
    "done", "rejected", "answered", "denied", "expired", "revoked", "failed", "abandoned", "skipped"
]
"""answered: a person said something instead of deciding; denied: by policy; failed: it surely did not happen;
abandoned: nobody knows whether it happened; skipped: in a dry run, where nothing is called."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a proposal. What a service returned comes from outside: it is material, never an order."""

    action: str
    args: Mapping[str, Any] = field(default_factory=dict)
    """Its arguments as they were decided on: those that were proposed, unless a person edited them."""
    status: OutcomeStatus
    detail: str = ""
    """Why it was not done, in the words of the person or the service."""
    result: Mapping[str, Any] = field(default_factory=dict)
    """What the action returned; in a dry run, the arguments that it would have been called with."""
    by: str = ""
    """Who decided: a person, `policy`, or empty."""
    role: str = ""
    """Who proposed it."""
    proposed: Mapping[str, Any] = field(default_factory=dict)
    """The arguments as they were proposed."""
    proposal: str = ""
    """Id of the proposal, which is the same in the ledger."""
    call: str = ""
    """Id of the call in `Task.transcript` that waits for it; empty if none does."""
    item: str = ""
    """Name of the item in whose work it was proposed; empty if that was not done item by item."""

    @property
    def is_edited(self) -> bool:
        """Whether a person changed the arguments."""
        return self.args != self.proposed

    @property
    def is_settled(self) -> bool:
        """Whether it makes no sense that the same is proposed again in the same step."""
        return self.status not in ("failed", "expired")


@dataclass(frozen=True)
class Row(Generic[R]):
    """One item, and what came of it."""

    item: Any
    """As `Each.of`."""
    name: str
    """What people call it: a text itself, of a model its first text."""
    gave: R | None
    """None if it failed, as often as `Limits.attempts` lets it."""
    problem: str = ""
    """Why it failed."""


@dataclass(frozen=True)
class Task:
    """What an agent is handed: the goal and the artifacts it needs, not everybody's transcript."""

    goal: str
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)
    """The needed artifacts, by name."""
    notes: tuple[str, ...] = ()
    """What the review of this agent's last work asked for; empty the first time."""
    instructions: str = ""
    """What is to be done in this step: the agent's sub-goal in the plan, and what the supervisor adds."""
    parts: tuple[str, ...] = ()
    """The parts of its sub-goal, if the plan names any."""
    item: Any = None
    """The one item that is worked on, as `Each.of`; None where the agent does not work item by item, and in `join`."""
    rows: tuple[Row[Any], ...] = ()
    """What came of the items that its item comes after, as that names them (`Each.after`)."""
    team: tuple[Mapping[str, Any], ...] = ()
    """For whoever gives the plan: the agents that it is for, in working order, as `role`, `needs` and `gives`."""
    previous: Artifact | None = None
    """This agent's own last artifact, when it is asked to do it again."""
    say: Say = say_nothing
    stronger: int = 0
    """By how many tiers this step's model is stronger than the agent's own: after failures or a rejected review."""
    transcript: tuple[BaseMessage, ...] = ()
    """What was said in this very step before it was held; it goes on from there."""
    outcomes: tuple[Outcome, ...] = ()
    """What became of everything that was proposed in the run so far, oldest first."""
    can_wait: bool = False
    """Whether a model that proposes is held until it can be told what came of it; if not, it is told to go on."""
    untrusted: tuple[str, ...] = ()
    """What was flagged in the texts that the needed artifacts were made from."""
    input: Any = None
    """What the run was given, as the model that is the team's `input`; None if the team takes only a goal."""

    @property
    def input_text(self) -> str:
        """The input beside the goal, as lines; empty if there is none."""
        return self._input_but({"goal"})

    @property
    def input_told(self) -> str:
        """What of it a model is told: fields that are declared with `repr=False` are not, such as long lists."""
        fields = type(self.input).model_fields if isinstance(self.input, BaseModel) else {}
        return self._input_but({"goal", *(name for name, field in fields.items() if not field.repr)})

    def _input_but(self, left_out: set[str]) -> str:
        values = self.input.model_dump(mode="json", exclude=left_out) if isinstance(self.input, BaseModel) else {}
        return "\n".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())

    def need(self, kind: type[N]) -> N:
        """Return the needed artifact of this kind; KeyError if the agent did not declare it in `needs`."""
        artifact = self.artifacts[kind.__name__]
        if not isinstance(artifact, kind):
            raise TypeError(f"artifact {kind.__name__!r} is a {type(artifact).__name__}")
        return artifact


Body = Callable[[Task], A | Awaitable[A]]
"""A function body: the task in, the artifact out. May be `async`."""
Prepare = Callable[[Task], None]
"""Runs before either body, such as bringing an index up to date."""
Opening = Callable[[Task], str]
"""What a model is shown first, beside the artifacts: text from outside, marked as such; empty for nothing."""
Read = Callable[[Any, Task], A]
"""Turns what a model filled in into the artifact."""
Check = Callable[[A, Task], A]
"""Looks at finished work, whatever body did it: returns it, mended if need be, or raises WorkFailed."""
Propose = Callable[[A, Task], Sequence[Proposal]]
"""What should now be done outside, given the finished work."""


@dataclass(frozen=True, kw_only=True)
class Each(Generic[R, A]):
    """How a step is worked item by item: what the items are, what is given for each, and what is made of all of it.

    The agent's model, or else `function`, works on one item, which is `task.item`, and several are worked on side by
    side. What fails for one is its row's problem, and no other's; only if all fail, the step does.
    """

    items: Callable[[Task], Sequence[Any]]
    """Lists them: the plan's parts (`task.parts`), what an artifact names, what the run was given (`task.input`)."""
    gives: type[R]
    """What is given for one item: the form of the model."""
    join: Callable[[Sequence[Row[R]], Task], A]
    """Makes the artifact that the agent gives, of the rows in the order of the items."""
    of: type[Any] = str
    """What an item is: `str`, or a small pydantic model. The same item twice is worked on once."""
    after: Callable[[Any], Sequence[str]] | None = None
    """Names of the items that have to end before it is an item's turn; its work finds their rows in `Task.rows`."""
    needs: Sequence[type[Artifact]] | None = None
    """What the work on one item is shown of the agent's needs; None: all of it. Where the item says enough: ()."""
    function: Body[R] | None = None
    """The body of one item where there is no model."""
    form: type[BaseModel] | None = None
    """What the model fills in for one item, where that is simpler than `gives`; `read` makes it of that."""
    read: Read[R] | None = None
    check: Check[R] | None = None
    """Looks at what was given for one item, as `Agent.check` does at what was joined."""

    def __post_init__(self) -> None:
        try:
            TypeAdapter(self.of)
        except PydanticSchemaGenerationError as error:
            name = getattr(self.of, "__name__", repr(self.of))
            raise TeamError(
                f"Each(of={name}) cannot be kept as JSON. Let an item be a str or a pydantic model."
            ) from error


def check_model(model: Any, whose: str) -> None:
    """TeamError if it is a name, or a model with something around it, which no guard could hold to a budget."""
    if isinstance(model, str):
        raise TeamError(
            f"{whose}: its model is the text {model!r}. Give the model itself: load_models(Settings(), {model!r}), or "
            f"LangChain's init_chat_model({model!r})."
        )
    if isinstance(model, Runnable) and not isinstance(model, BaseChatModel):
        raise TeamError(
            f"{whose}: its model is a {type(model).__name__}. Give the chat model itself: tools are `tools`, a "
            "structured answer is `gives`, an error is tried again by itself, and SIGNOFF_TIERS names stand-ins."
        )


def _check_kinds(agent: Agent[Any]) -> None:
    """TeamError if its model, function or artifact is something else."""
    check_model(agent.model, f"Agent {agent.role!r}")
    if not (isinstance(agent.gives, type) and issubclass(agent.gives, Artifact)):
        raise TeamError(f"Agent {agent.role!r} gives {agent.gives!r}. Let it be a subclass of signoff.Artifact.")
    if agent.function is not None and not callable(agent.function):
        raise TeamError(
            f"Agent {agent.role!r}: its function is a {type(agent.function).__name__}. Give a function that takes the "
            "task, invokes that, and makes the artifact of what comes out."
        )


@dataclass(frozen=True, kw_only=True)
class Agent(Generic[A]):
    """One role of a team. With a `model` its body is a model in a tool loop, without one its `function`."""

    role: str
    """Its name: a node of the graph, so letters, digits, '_' and '-'."""
    gives: type[A]
    needs: tuple[type[Artifact], ...] = ()
    each: Each[Any, A] | None = None
    """Its work is done item by item so; None: in one piece."""
    instructions: str = ""
    """What the model is told about its role."""
    function: Body[A] | None = None
    model: BaseChatModel | Tiers | None = None
    """A model for every tier, or the models of the settings by tier (`load_tiers`)."""
    asks_model: Callable[[Task], bool] | None = None
    """Whether a step takes its model; one that does not is done by its function. None: each takes it."""
    form: type[BaseModel] | None = None
    """What the model fills in, where that is simpler than the artifact; `read` makes the artifact of it."""
    read: Read[A] | None = None
    prepare: Prepare | None = None
    opening: Opening | None = None
    shows: tuple[type[Artifact], ...] | None = None
    """Which of the artifacts it needs its model is shown, such as none where `opening` has what matters; None: all."""
    tools: Sequence[Tool | Action[Any]] = ()
    """What its model may use: what reads or works in a sandbox is called in its own loop, actions are proposed."""
    actions: tuple[Action[Any], ...] = ()
    """What its `propose` may propose; without one, its model. It never does these itself."""
    accept: Callable[[Any, Task], str] | None = None
    """Looks at what its model filled in before that ends the step: what it is told and goes on with, or nothing."""
    check: Check[A] | None = None
    rescue: Callable[[WorkFailed, Task], A] | None = None
    """What is given where its model goes in circles or is at its limit; None: the step fails."""
    propose: Propose[A] | None = None
    tier: str = "smart"
    """Which of the tiers' models does its work, until a step fails or a review rejects it."""
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not self.role or not self.role.replace("_", "").replace("-", "").isalnum():
            raise TeamError(f"Agent role {self.role!r}: use letters, digits, '_' and '-'.")
        if self.each is not None and not (self.function is self.form is self.read is None):
            raise TeamError(
                f"Agent {self.role!r} works item by item, so its function is Each(function=…), and Each(gives=…), or "
                "Each(form=…, read=…), is what its model fills in: it takes no function, form or read of its own."
            )
        if self.each is not None and (more := [need for need in self.each.needs or () if need not in self.needs]):
            raise TeamError(
                f"Agent {self.role!r}: Each(needs=…) names {more[0].__name__}, which the agent does not need."
            )
        if not self.has_function and self.model is None:
            raise TeamError(f"Agent {self.role!r} has no body. Give it a function or a model.")
        _check_kinds(self)
        if unknown := set(self.shows or ()) - {*self.needs, self.gives}:
            raise TeamError(
                f"Agent {self.role!r} shows its model {min(kind.__name__ for kind in unknown)}, not among its needs."
            )
        filled = self if self.each is None else self.each
        if (filled.form is None) != (filled.read is None):
            raise TeamError(f"Agent {self.role!r}: a form needs a read that makes the artifact of it, and the reverse.")
        # Copied, so that nothing that happens to the caller's changes what was looked at.
        for name in ("tools", "actions"):
            if isinstance(one := getattr(self, name), Tool | Action):
                raise TeamError(f"Agent {self.role!r}: its {name} are one tool, {one.name!r}. Write {name}=(it,).")
            if not isinstance(one, Iterable):
                raise TeamError(
                    f"Agent {self.role!r}: its {name} are a {type(one).__name__}. Give the tools themselves, each with "
                    "its risk: tool(risk='read')(it)."
                )
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for given in (*self.actions, *self.tools):
            if isinstance(given, Action) and given.gives is not None and given_by(given) is None:
                raise TeamError(
                    f"Agent {self.role!r}: the action {given.name!r} gives {given.gives.__name__}, which is no "
                    "artifact. Let it be a subclass of signoff.Artifact."
                )
        if strangers := [given for given in self.actions if not isinstance(given, Action)]:
            raise TeamError(
                f"Agent {self.role!r}: {getattr(strangers[0], 'name', strangers[0])!r} among its actions is a "
                f"{type(strangers[0]).__name__}. Make it an action: tool(risk='external')(it)."
            )
        for given in self.tools:
            if isinstance(given, tuple | list):
                raise TeamError(
                    f"Agent {self.role!r}: there is a {type(given).__name__} among its tools. Unpack it: "
                    "tools=(*file_tools(project), another)."
                )
            if not isinstance(given, Action) and not (isinstance(given, Tool) and given.risk in LOOP_RISKS):
                raise TeamError(
                    f"Agent {self.role!r}: the tool {getattr(given, 'name', given)!r} does not say its risk. Say it: "
                    "tool(risk='read')(it) is called in the agent's loop, tool(risk='external')(it) only proposed."
                )

    @property
    def has_function(self) -> bool:
        """Whether it can work without a model."""
        return (self.function if self.each is None else self.each.function) is not None

    def with_model(self, model: BaseChatModel | Tiers | None) -> Agent[A]:
        """The same agent with this model for its body; None puts its function back to work."""
        return replace(self, model=model)

    def at(self, task: Task) -> Agent[A]:
        """The agent as it does this step: with its function, where that takes no model."""
        if self.model is None or not self.has_function or self.asks_model is None or self.asks_model(task):
            return self
        return replace(self, model=None)

    @property
    def in_loop(self) -> tuple[Tool, ...]:
        """The tools that run inside its loop."""
        return tuple(given for given in self.tools if isinstance(given, Tool))

    @property
    def at_gate(self) -> tuple[Action[Any], ...]:
        """Everything it may propose."""
        more = (given for given in self.tools if isinstance(given, Action) and given not in self.actions)
        return (*self.actions, *more)

    @property
    def offered(self) -> tuple[Action[Any], ...]:
        """The actions that its model is offered: with a `propose`, its `actions` are for that."""
        if self.propose is None:
            return self.at_gate
        return tuple(given for given in self.tools if isinstance(given, Action))

    @property
    def reads_goals(self) -> bool:
        """Whether a sub-goal changes what it does: the functions that come with signoff know only the run's goal."""
        function = self.function if self.each is None else self.each.function
        return self.model is not None or not getattr(function, "__module__", "").startswith("signoff.agents.")

    @property
    def described(self) -> dict[str, Any]:
        """What it is, in plain values: for the supervisor's model and for people."""
        return {
            "role": self.role,
            "needs": [need.__name__ for need in self.needs],
            "gives": self.gives.__name__,
            "body": "model" if self.model is not None else "function",
        }


def item_by_item(
    agent: Agent[R],
    *,
    items: Callable[[Task], Sequence[Any]],
    of: type[Any],
    gives: type[A],
    join: Callable[[Sequence[Row[R]], Task], A],
    needs: tuple[type[Artifact], ...] = (),
    after: Callable[[Any], Sequence[str]] | None = None,
) -> Agent[A]:
    """An agent that does for each item what this one does in one piece; the work on an item is shown nothing else."""
    if agent.each is not None:
        raise TeamError(f"Agent {agent.role!r} works item by item already.")
    each = Each(
        items=items,
        gives=agent.gives,
        join=join,
        of=of,
        after=after,
        needs=(),
        function=agent.function,
        form=agent.form,
        read=agent.read,
        check=agent.check,
    )
    whole: Any = agent
    bare = dict.fromkeys(("shows", "function", "form", "read", "check", "propose"))
    found: Agent[A] = replace(whole, gives=gives, needs=needs, each=each, **bare)
    return found


def given_by(action: Action[Any]) -> type[Artifact] | None:
    """The artifact that an action gives when it is done, or a question when it is answered; None if it gives none."""
    kind = action.gives or action.form
    return kind if kind is not None and issubclass(kind, Artifact) else None


def given_by_actions(agent: Agent[Any]) -> list[tuple[str, Action[Any]]]:
    """The artifacts that its actions give the team, by name: not those of the work on an item, which has them alone."""
    proposes = agent.each is None or agent.propose is not None
    kinds = [(given_by(action), action) for action in agent.at_gate] if proposes else []
    return [(kind.__name__, action) for kind, action in kinds if kind is not None]


class StepFailed(Exception):
    """The step failed; carries why, whether another try can help, and what it used."""

    def __init__(self, failure: WorkFailed, usage: Usage, flags: Sequence[str] = ()) -> None:
        self.failure, self.usage, self.flags = failure, usage, tuple(flags)
        super().__init__(str(failure))


class Waiting(Exception):
    """A model proposed, and goes on when it is known what became of that: the proposals by the ids of their calls."""

    def __init__(self, proposals: Mapping[str, Proposal]) -> None:
        self.proposals = dict(proposals)
        super().__init__(f"waits for what becomes of {', '.join(self.actions)}")

    @property
    def actions(self) -> list[str]:
        """Names of the actions, each once."""
        return list(dict.fromkeys(proposal.action for proposal in self.proposals.values()))


class StepHeld(Exception):
    """A budget ended amid the step, or its model waits; given the transcript as `Task.transcript` it goes on there."""

    def __init__(
        self,
        error: BudgetExhausted | Waiting,
        transcript: Sequence[BaseMessage],
        usage: Usage,
        flags: Sequence[str] = (),
        heard: Collection[str] = (),
    ) -> None:
        self.error, self.transcript, self.usage, self.flags = error, tuple(transcript), usage, tuple(flags)
        self.heard = frozenset(heard)
        """The proposals whose outcome stands in the transcript, by id."""
        super().__init__(str(error))
