"""Actions: tools that change the world outside the run. Agents propose them; only the act node calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from json import dumps
from typing import Any, Generic, Literal, NoReturn, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from signoff.error_base import TeamError
from signoff.tools.errors import ActionFailed

LoopRisk = Literal["read", "sandboxed"]
"""Runs inside an agent's loop: it changes nothing, or only what is thrown away."""
Risk = Literal["write", "external", "irreversible"]
"""Happens at the gate only: files here, the world beyond, or something that cannot be undone."""


@dataclass(frozen=True, kw_only=True)
class Touches:
    """What a tool may touch outside of the run; nothing, unless it is said here."""

    hosts: tuple[str, ...] = ()
    """Such as `api.github.com` or `*.example.org`."""
    reads: tuple[str, ...] = ()
    """Folders or files."""
    writes: tuple[str, ...] = ()
    """Folders or files."""
    secrets: tuple[str, ...] = ()
    """Names of secrets that the broker adds to its requests; the tool never sees them."""

    def __str__(self) -> str:
        """One line for the person who decides; empty if it is nothing."""
        parts = {"reads": self.reads, "writes": self.writes, "hosts": self.hosts, "secrets": self.secrets}
        return "; ".join(f"{name}: {', '.join(values)}" for name, values in parts.items() if values)


NOTHING = Touches()


@dataclass(frozen=True, kw_only=True)
class ToolLimits:
    """How much one call of a tool may take."""

    seconds: float = 60.0
    characters: int = 50_000
    """Of its result, as a model is shown it."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise TeamError(f"ToolLimits({name}={value!r}) lets no call be made. Give more than 0.")


P = TypeVar("P", bound=BaseModel)


def completed(arguments: type[P], complete: Callable[[Any], Any], *, name: str, about: str) -> type[P]:
    """A model of an action's arguments that completes what it is given before it checks it, under a name of its own."""

    def before(_cls: type[P], values: Any) -> Any:
        return complete(values)

    validator: Any = model_validator(mode="before")  # whose types know of no method that is made outside of a class
    return create_model(
        name, __base__=arguments, __doc__=about, __validators__={"_complete": validator(classmethod(before))}
    )


class Proposal(BaseModel):
    """An action an agent wants done outside: which, with what arguments, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: str = Field(description="Name of the action")
    args: dict[str, Any] = Field(description="Its arguments, JSON values only")
    reason: str = Field(default="", description="Why, in one sentence, for the person who decides")


@dataclass(frozen=True, kw_only=True)
class Action(Generic[P]):
    """A tool with an effect outside the run."""

    name: str
    description: str
    arguments: type[P]
    """Pydantic model of its arguments; what a person edits is validated against it."""
    call: Callable[[P, str], Mapping[str, Any]]
    """Does it, given the arguments and an idempotency key; returns JSON values that say what was done."""
    risk: Risk = "external"
    touches: Touches = NOTHING
    """What it may touch, as the person who decides is told."""
    limits: ToolLimits | None = None
    """With limits a call that takes longer is given up on: what came of it is then unknown, until it is known."""
    idempotent: bool = False
    """True if calling again with the same key and arguments changes nothing more."""
    reconcile: Callable[[P, str], Mapping[str, Any] | None] | None = None
    """Looks whether a call with these arguments and key took effect: its result, or None if it did not."""
    preview: Callable[[P], str] | None = None
    """What the person who decides should see, in Markdown."""
    fixed: frozenset[str] = frozenset()
    """Arguments that a person cannot edit."""
    wait: bool = True
    """Whether a model that proposes it goes on when it is known what came of it; if not, it goes on at once."""
    gives: type[BaseModel] | None = None
    """The artifact that its result is, for the agents that need it; None: what it returns is nobody's to need."""
    form: type[BaseModel] | None = None
    """What a person answers with, if it is a question (`ask_person`): it is never called, and nobody can approve it."""

    def __post_init__(self) -> None:
        if self.risk not in get_args(Risk):
            raise TeamError(
                f"Action {self.name!r}: {self.risk!r} is no risk of an action. Say one of {', '.join(get_args(Risk))}."
            )
        if self.gives is not None and not (isinstance(self.gives, type) and issubclass(self.gives, BaseModel)):
            raise TeamError(
                f"Action {self.name!r} gives {self.gives!r:.80}. Name the type of an artifact, as gives=Ticket."
            )
        config = self.arguments.model_config
        by_name = config.get("populate_by_name") or config.get("validate_by_name")
        renamed = [
            name for name, field in self.arguments.model_fields.items() if field.validation_alias and not by_name
        ]
        if renamed or (self.arguments.model_computed_fields and config.get("extra") == "forbid"):
            what = (
                f"the argument {renamed[0]!r} has an alias" if renamed else "computed fields are forbidden as arguments"
            )
            raise TeamError(
                f"Action {self.name!r}: {what}, so that {self.arguments.__name__} cannot read what it wrote. "
                "Let it be read by name, and leave computed values to the action."
            )
        for name, field in self.arguments.model_fields.items():
            if "Secret" in str(field.annotation):
                raise TeamError(
                    f"Action {self.name!r}: the argument {name!r} is a secret, and arguments are shown and kept. "
                    "Let the action read the secret itself when it is called."
                )

    def propose(self, arguments: P | Mapping[str, Any], reason: str = "") -> Proposal:
        """That it is done with these arguments, because of this reason. ValidationError if a mapping does not fit."""
        given = self.arguments.model_validate(arguments) if isinstance(arguments, Mapping) else arguments
        return Proposal(action=self.name, args=given.model_dump(mode="json"), reason=reason)


class Words(BaseModel):
    """An answer in a person's own words."""

    answer: str = Field(min_length=1, max_length=20_000)


def ask_person(
    question: str = "", form: type[BaseModel] | type[str] = str, *, name: str = "ask_person", description: str = ""
) -> Action[Any]:
    """A question to a person, which agents propose as they do an action, and whose outcome is the answer.

    Whoever proposes it gives the `question`, unless it is given here. The answer is text, in the result's `answer`, or
    a `form` with its fields; a form that is an artifact is given to the agents that need it. A person answers or
    declines, which approves nothing. Policy that does not name it asks anybody.
    """
    if not (isinstance(form, type) and (form is str or issubclass(form, BaseModel))):
        raise TeamError(f"Question {name!r}: its form is {form!r:.80}. Give str, or a pydantic model of the answer.")
    if issubclass(form, BaseModel) and not form.model_fields:
        raise TeamError(
            f"Question {name!r}: its form {form.__name__} has no fields. Give them, or let the answer be text."
        )
    own: Any = (Literal[question], question) if question else (str, Field(min_length=1, max_length=2_000))
    answer = form if issubclass(form, BaseModel) else Words

    def preview(asked: Any) -> str:
        lines = [f"- `{field}` ({kind}){about}" for field, kind, about in form_fields(answer)]
        return asked.question if answer is Words else "\n".join((asked.question, "", "Answer with:", *lines))

    def call(_asked: BaseModel, _key: str) -> NoReturn:
        raise ActionFailed(name, "it is a question, and nobody answered it")

    return Action(
        name=name,
        description=description or (f"Asks a person: {question}" if question else "Asks a person, who answers you."),
        arguments=create_model(f"{name}_question", __base__=_Asked, question=own),
        call=call,
        risk="write",
        preview=preview,
        form=answer,
    )


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "yes or no", "array": "list"}


def form_fields(form: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """Each field of a form: its name, what it may be, and what it is for, after a colon."""
    schema = form.model_json_schema()
    for name, info in form.model_fields.items():
        part = schema["properties"].get(name, {})
        choices = [part, *part.get("anyOf", ())]
        choices = [schema.get("$defs", {}).get(str(one.get("$ref", "")).rpartition("/")[2], one) for one in choices]
        listed = [" or ".join(dumps(value) for value in one["enum"]) for one in choices if "enum" in one]
        typed = [_KINDS.get(one["type"], one["type"]) for one in choices if one.get("type", "null") != "null"]
        kind = next(iter(listed or typed), "value")
        left_out = "" if info.is_required() else f"; {dumps(part.get('default'), default=str)} if left out"
        yield name, f"{kind}{left_out}", f": {info.description}" if info.description else ""


@dataclass(frozen=True, kw_only=True)
class Act:
    """One approved proposal that is being done, as the ledger knows it."""

    run_id: str
    team: str
    goal: str
    agent: str
    """Who proposed it."""
    approval_id: str
    approved_by: str
    """Everybody who agreed, or `policy`."""
    flags: tuple[str, ...] = ()
    """What whoever approved it was warned of: orders in the texts it was made from, and what only these name."""


_acting: ContextVar[Act | None] = ContextVar("signoff_act", default=None)


@contextmanager
def acting(act: Act) -> Iterator[None]:
    """What is called inside is done on this word, in threads that are started with this context too."""
    token = _acting.set(act)
    try:
        yield
    finally:
        _acting.reset(token)


def current_act() -> Act | None:
    """The act that an action is called in; None outside of any."""
    return _acting.get()
