"""What a team is given: the fields of a pydantic model, of which the goal is one. Kept as JSON, read again from it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages
from pydantic import (
    BaseModel,
    Field,
    PydanticUserError,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    ValidationError,
    create_model,
)
from pydantic_core import PydanticSerializationError, to_jsonable_python
from typing_extensions import TypedDict

from signoff.checkpoints import canonical_json, check_storable, read_once, readable_text, redact, redact_text
from signoff.checkpoints.ledger import RUN_TENANT
from signoff.error_base import SettingsError, TeamError
from signoff.graphs.errors import BadInput, InputChanged
from signoff.graphs.state import TeamInput, TeamState
from signoff.settings import Settings, load_settings
from signoff.tools.broker import SecretName, secret_names
from signoff.wording import place_of

GOAL: Final = "goal"
_SECRETS: Final = (SecretName, SecretStr, SecretBytes, Secret)
_SHOWN: Final = 60
"""Characters of a value in a goal that nobody wrote, and in an error."""
_SHORTEST: Final = 4
"""Characters of a secret; what is shorter is also part of other words."""
_PLACE: Final = re.compile(r"\{(\w+)\}")


def field_of(place: str) -> str:
    """The field in which this place is, of those that errors name."""
    return re.split("[.,]", place, maxsplit=1)[0]


Look = Callable[[Any, bool], None]
"""Looks whether a run can work with what it is given, an input's model: files that can be read, a server that answers.

It is told whether the run is a dry one; SettingsError, such as of `--rubric`, says why it cannot.
"""


@dataclass(frozen=True)
class Given:
    """What a run is given, checked."""

    goal: str
    values: Mapping[str, Any] = field(default_factory=dict)
    """The fields of the team's input beside the goal, as JSON; of a secret the name."""


@dataclass(frozen=True)
class InputModel:
    """A team's input: its pydantic model, None for a team that takes only a goal, and what follows from it.

    The goal is the model's field `goal`. Where its default names other fields in braces, such as
    `"Find leads for {campaign}"`, and is not replaced, their values stand there. A model without such a field is given
    a goal beside it, and without one the goal is the first line of its docstring, or its name, with the values.
    """

    team: str
    kind: type[BaseModel] | None = None
    look: Look | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The fields beside the goal."""
        return tuple(name for name in self._fields if name != GOAL)

    @property
    def _fields(self) -> Mapping[str, Any]:
        return {} if self.kind is None else self.kind.model_fields

    def check(self, taken: Collection[str]) -> None:
        """TeamError unless the model can be an input; `taken` are the names of the graph's nodes."""
        if self.kind is None:
            return
        if not isinstance(self.kind, type) or not issubclass(self.kind, BaseModel) or issubclass(self.kind, RootModel):
            raise TeamError(
                f"Team {self.team!r}: input={self.kind!r} is no pydantic model with fields. Give its class."
            )
        for name, info in self._fields.items():
            place = f"{self.kind.__name__}.{name}"
            if name != GOAL and name in (*TeamState.__annotations__, *taken):
                raise TeamError(f"{place}: the team has something of that name itself. Name the field otherwise.")
            if info.alias or info.validation_alias or info.serialization_alias:
                raise TeamError(
                    f"{place} has an alias, and an input is known by its fields' names alone. Take it away."
                )
            if info.exclude:
                raise TeamError(f"{place} is excluded from what is written, and an input is kept. Take that away.")
            if _may_be_secret(info.annotation, set()) and _may_be_text(info.annotation):
                raise TeamError(f"{place} may be a text or a secret, which look the same. Make it a SecretName.")
        if self.kind.model_config.get("extra") == "allow":
            raise TeamError(f"{self.kind.__name__} allows extra fields, and an input has those alone that it declares.")
        try:
            self.kind.model_json_schema()
        except PydanticUserError as error:
            problem = readable_text(str(error)).splitlines()[0]
            raise TeamError(f"Team {self.team!r}: {self.kind.__name__} has no JSON schema: {problem}") from error

    def read(
        self, given: Mapping[str, Any] | BaseModel | str, settings: Settings | None = None, *, known: bool = False
    ) -> Given:
        """Check what a run is given: values by name, the model itself, or a JSON object as text.

        BadInput names the field that does not fit. A secret is the name of one in the secrets file of `settings`
        (None: those of the environment), unless it is `known` from when it was given first.
        """
        values = self._values(given)
        goal = values.pop(GOAL, "") if GOAL not in self._fields else ""
        for name in values.keys() - self._fields.keys():
            takes = ", ".join((GOAL, *self.names))
            raise BadInput(self.team, name, f"is no field of its input, which has {takes}")
        if self.kind is None:
            return self._kept(goal or values.get(GOAL, ""), {})
        self._check_storable(values)
        try:
            model = self.kind.model_validate_json(_as_text(values))
        except ValidationError as error:
            raise BadInput(self.team, *self._first(error, values)) from None
        secrets = {**(dict(_secrets_of(given)) if not isinstance(given, str) else {}), **dict(_secrets_of(model))}
        if secrets and not known:
            self._check_secrets(secrets, settings)
        kept = self._values(model)
        goal = kept.pop(GOAL, "") or goal
        if GOAL not in self._fields and not goal:
            goal = self._named_goal(kept)
        elif GOAL in self._fields and goal == self._fields[GOAL].default:
            goal = _PLACE.sub(lambda found: _said(kept[found[1]]) if found[1] in kept else found[0], goal)
        open_values = redact(kept if not secrets else _plain(model, hide=True))
        for name in () if known else kept:
            if not any(field_of(place) == name for place in secrets) and open_values[name] != kept[name]:
                raise BadInput(
                    self.team, name, "looks like a secret, and none is kept in an input. Make the field a SecretName"
                )
        checked = self._kept(goal, kept)
        self._check_lasting(checked)
        return checked

    def look_at(self, given: Given, *, dry_run: bool) -> None:
        """Look, once before a run begins, whether it can work with this; BadInput says what is to be mended first."""
        if self.look is None:
            return
        try:
            self.look(self.restore(given.goal, given.values), dry_run)
        except SettingsError as error:
            field = error.setting.removeprefix("--")
            if field not in self._fields:
                raise
            raise BadInput(self.team, field, f"{error.problem}. {error.remedy.rstrip('.')}") from error

    def given_in(self, state: Mapping[str, Any]) -> dict[str, Any] | None:
        """The fields beside the goal as they came into the graph, as JSON; None for a team that takes only a goal."""
        if self.kind is None:
            return None
        return self._values({name: state[name] for name in self.names if name in state})

    def restore(self, goal: str, values: Mapping[str, Any]) -> BaseModel | None:
        """The model of what `read` gave; InputChanged if it does not fit any more. What has no field is left out."""
        if self.kind is None:
            return None
        kept = {name: value for name, value in values.items() if name in self._fields}
        try:
            return self.kind.model_validate_json(_as_text(kept | ({GOAL: goal} if GOAL in self._fields else {})))
        except ValidationError as error:
            raise InputChanged(self.kind.__name__, *self._first(error, values)) from None

    @cached_property
    def schema(self) -> Any:
        """What the graph takes: the fields, beside what every team takes."""
        if self.kind is None:
            return TeamInput
        more: dict[str, Any] = {
            "messages": (
                Annotated[list[AnyMessage], add_messages],
                Field([], description="Said before; may be empty."),
            ),
            "dry_run": (bool, Field(False, description="Do everything but the effects.")),
        }
        if GOAL not in self._fields:
            more[GOAL] = (str, Field("", description="What the team is to do; empty means what the fields say."))
        made: Any = create_model(self.kind.__name__, __base__=self.kind, __doc__=self.kind.__doc__, **more)
        return made

    @cached_property
    def at_intake(self) -> Any:
        """What the first node sees: the state, and the fields as they were given."""
        if self.kind is None:
            return TeamState
        hints = {**get_type_hints(TeamState, include_extras=True), **dict.fromkeys(self.names, Any)}
        made: Any = TypedDict("TeamState", hints, total=False)  # type: ignore[misc]  # its fields are known only now
        return made

    def _values(self, given: Mapping[str, Any] | BaseModel | str) -> dict[str, Any]:
        """What was given as JSON values by name."""
        if isinstance(given, str):
            given = self._parsed(given)
        if isinstance(given, BaseModel) and not (self.kind is not None and isinstance(given, self.kind)):
            expected = "goal" if self.kind is None else self.kind.__name__
            raise BadInput(self.team, "", f"is a {type(given).__name__}, not a {expected}")
        try:
            return {name: _plain(value) for name, value in _members(given)}
        except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
            raise BadInput(self.team, "", f"is no JSON: {readable_text(str(error)).splitlines()[0]}") from None

    def _parsed(self, text: str) -> dict[str, Any]:
        try:
            found = read_once(text)
        except ValueError as error:
            raise BadInput(self.team, "", f"is no JSON: {error}") from None
        if not isinstance(found, dict):
            raise BadInput(self.team, "", f'is a JSON {type(found).__name__}, not an object such as {{"goal": …}}')
        return found

    def _kept(self, goal: Any, values: Mapping[str, Any]) -> Given:
        """What can be kept as it is; BadInput otherwise."""
        self._check_storable({GOAL: goal, **values})
        if not isinstance(goal, str):
            raise BadInput(self.team, GOAL, f"is a {type(goal).__name__}, and should be text")
        if not goal.strip() and self.kind is not None:
            raise BadInput(self.team, GOAL, "is empty. Say what the team is to do")
        return Given(goal.strip(), values)

    def _check_storable(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            try:
                check_storable(value)
            except (ValueError, TypeError, OverflowError, RecursionError) as error:
                raise BadInput(self.team, name, f"cannot be kept: {readable_text(str(error))}") from None
            if f'"{RUN_TENANT}":' in canonical_json(value):  # by which a run's tenant is found among its options
                raise BadInput(self.team, name, f"has a {RUN_TENANT!r} in it, which is how a run says whose it is")

    def _named_goal(self, values: Mapping[str, Any]) -> str:
        """The goal that nobody wrote, of a model without one."""
        assert self.kind is not None
        about = (self.kind.__dict__.get("__doc__") or self.kind.__name__).strip().splitlines()[0].rstrip(".: ")
        told = ", ".join(
            f"{name} = {_said(value)}" for name, value in values.items() if value not in (None, "", [], {})
        )
        return f"{about}: {told}" if told else about

    def _check_secrets(self, secrets: Mapping[str, Any], settings: Settings | None) -> None:
        known = secret_names(settings or load_settings())
        for place, name in secrets.items():
            if not known:
                raise BadInput(
                    self.team, place, "takes the name of a secret, and SIGNOFF_SECRETS names no file with one"
                )
            if name not in known:  # it may be a value: it is not shown
                raise BadInput(
                    self.team, place, f"takes the name of a secret, never a value; known: {', '.join(known)}"
                )

    def _check_lasting(self, given: Given) -> None:
        """BadInput unless what is kept is the same when it is read again: a run is known by what it was given."""
        try:
            again = self.restore(given.goal, given.values)
        except InputChanged as changed:
            raise BadInput(self.team, changed.field, changed.problem) from None
        for name, value in {} if again is None else self._values(again).items():
            if value != (given.goal if name == GOAL else given.values[name]):
                problem = "becomes another each time it is read. Its validators must leave alone what they gave"
                raise BadInput(self.team, name, problem)

    def _first(self, error: ValidationError, values: Mapping[str, Any]) -> tuple[str, str]:
        """The first of these fields that is wrong, and why, without what may be secret: a validator may tell that."""
        first = error.errors(include_url=False)[0]
        place = place_of(part for part in first["loc"] if "[" not in str(part))
        reason = first["msg"].removeprefix("Value error, ").replace("Input should", "it should")
        if first["type"] == "missing":
            return place, "is missing"
        hidden = {name for name, info in self._fields.items() if _may_be_secret(info.annotation, set())}
        for text in sorted({text for name in hidden for text in _texts_in(values.get(name))}, key=len, reverse=True):
            reason = reason.replace(text, "…").replace(repr(text)[1:-1], "…")
        is_open = field_of(place) in self._fields.keys() - hidden
        shown = redact_text(repr(first["input"])) if is_open else "what it says"
        value = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
        return place, f"{value} is not usable ({reason})" if place else reason


def _members(given: Mapping[str, Any] | BaseModel) -> Iterator[tuple[str, Any]]:
    if isinstance(given, BaseModel):
        yield from given.model_dump(round_trip=True, by_alias=True).items()
    else:
        for name, value in given.items():
            if not isinstance(name, str):
                raise TypeError(f"the name {name!r} is not text")
            yield name, value


def _plain(value: Any, *, hide: bool = False) -> Any:
    """A value as JSON. Of a secret its text, which is a name, or nothing of it."""
    if isinstance(value, _SECRETS):
        if hide:
            return ""
        found = value if isinstance(value, str) else value.get_secret_value()
        return str(found) if isinstance(found, str) else to_jsonable_python(found)
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(round_trip=True, by_alias=True), hide=hide)
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name), hide=hide) for each in fields(value)}
    if isinstance(value, Mapping):
        return {_key(name): _plain(inner, hide=hide) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, hide=hide) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(inner, hide=hide) for inner in value), key=json.dumps)
    return to_jsonable_python(value)


def _key(name: Any) -> str:
    found = to_jsonable_python(name)
    return found if isinstance(found, str) else json.dumps(found)


def _secrets_of(value: Any, place: Sequence[str | int] = ()) -> Iterator[tuple[str, Any]]:
    """The secrets in a model, by where they stand in it."""
    if isinstance(value, _SECRETS):
        yield place_of(place), value if isinstance(value, str) else value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name, inner in {**value.__dict__, **(value.model_extra or {})}.items():
            yield from _secrets_of(inner, (*place, name))
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from _secrets_of(getattr(value, each.name), (*place, each.name))
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _secrets_of(name, (*place, "(key)"))
            yield from _secrets_of(inner, (*place, str(name)))
    elif isinstance(value, list | tuple | set | frozenset):
        for number, inner in enumerate(value):
            yield from _secrets_of(inner, (*place, number))


def _may_be_secret(annotation: Any, seen: set[Any]) -> bool:
    """Whether a secret may stand somewhere in it."""
    if isinstance(annotation, type) and issubclass(annotation, _SECRETS):
        return True
    inner = list(get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in seen:
        seen.add(annotation)
        inner += [info.annotation for info in annotation.model_fields.values()]
    return any(_may_be_secret(one, seen) for one in inner)


def _may_be_text(annotation: Any) -> bool:
    """Whether it is a choice, and plain text one of it."""
    inner = get_args(annotation)
    is_choice = get_origin(annotation) in (Union, UnionType)
    return (is_choice and not {str, Any}.isdisjoint(inner)) or any(map(_may_be_text, inner))


def _texts_in(value: Any) -> Iterator[str]:
    """All texts in a JSON value that are long enough for a secret."""
    if isinstance(value, str) and len(value) >= _SHORTEST:
        yield value
    elif isinstance(value, Mapping):
        yield from (text for pair in value.items() for each in pair for text in _texts_in(each))
    elif isinstance(value, list):
        yield from (text for each in value for text in _texts_in(each))


def _said(value: Any) -> str:
    """A value within a sentence."""
    if isinstance(value, list):
        text = ", ".join(map(_said, value))
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _as_text(values: Mapping[str, Any]) -> str:
    return json.dumps(values)
