"""Forms made of schemas: the arguments of an action to edit, the answer to a question, the input of a team."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from signoff.checkpoints.ledger import Approval
from signoff.desk.team_options import has_many
from signoff.tools import Action, Words, form_fields
from signoff.wording import make_visible

_PREFIX: Final = "arg."
_MOST: Final = 100
"""Fields of a form."""
_ROOM: Final = 24_000
"""Characters that are sent to and fro in one."""


@dataclass(frozen=True)
class Field:
    """One field of a form."""

    name: str
    about: str
    value: str
    """As it is shown, and sent back if nobody changes it."""
    kind: Literal["text", "lines", "number", "choice", "large"] = "text"
    """large: too much to be sent to and fro."""
    choices: tuple[str, ...] = ()
    fixed: bool = False
    required: bool = False
    length: int = 0
    """Characters of the value, where that is not shown."""

    @property
    def key(self) -> str:
        """Its name in the form."""
        return f"{_PREFIX}{self.name}"


def posted(form: Mapping[str, str]) -> dict[str, str]:
    """What the fields of a form say, by their names."""
    return {name.removeprefix(_PREFIX): value for name, value in form.items() if name.startswith(_PREFIX)}


def edit_fields(approval: Approval, action: Action[Any], said: Mapping[str, str]) -> list[Field]:
    """The arguments that are asked about, to be changed; what nobody may change is shown, what is too large is told."""
    typed, found, room = posted(said), list[Field](), _ROOM
    for name, value in islice(approval.shown.items(), _MOST):
        info = action.arguments.model_fields.get(name)
        field = _field(name, info, value, fixed=name in action.fixed)
        if (length := len(field.value)) > room:
            found.append(replace(field, kind="large", value="", fixed=False, length=length))
        else:
            room -= length
            found.append(replace(field, value=typed.get(name, field.value)))
    return found


def answer_fields(action: Action[Any], said: Mapping[str, str]) -> list[Field]:
    """What a question is answered with."""
    if action.form is None:
        return []
    if action.form is Words:
        return [Field("answer", "", posted(said).get("answer", ""), "lines", required=True)]
    return input_fields(action.form, said)


def input_fields(form: type[BaseModel], said: Mapping[str, str]) -> list[Field]:
    """The fields of a model, empty or as they were typed."""
    typed, kinds = posted(said), {name: kind for name, kind, _ in form_fields(form)}
    found = []
    for name, info in form.model_fields.items():
        field, many = _field(name, info, None), has_many(info)
        about = " ".join(filter(None, (info.description or kinds.get(name, ""), "One in each line." if many else "")))
        value, kind = typed.get(name, _default(info)), "lines" if many else field.kind
        found.append(replace(field, about=about, value=value, kind=kind, required=info.is_required()))
    return found


def _default(info: FieldInfo) -> str:
    value = (
        None
        if info.is_required() or info.default_factory_takes_validated_data
        else info.get_default(call_default_factory=True)
    )
    if value in (None, "", (), [], {}):
        return ""
    return "\n".join(map(str, value)) if isinstance(value, list | tuple) else _shown(getattr(value, "value", value))


def _shown(value: Any) -> str:
    """A value in a field: a text as itself, anything else as JSON; nothing in it is unseen."""
    if isinstance(value, str):
        return make_visible(value)
    return make_visible(
        json.dumps(value, ensure_ascii=False, indent=2 if isinstance(value, dict) else None, default=str)
    )


def _field(name: str, info: FieldInfo | None, value: Any, *, fixed: bool = False) -> Field:
    about = (info.description or "") if info is not None else ""
    shown, kind = "" if value is None else _shown(value), info.annotation if info is not None else None
    choices = _choices(kind)
    if choices and (not shown or shown in choices):
        return Field(name, about, shown, "choice", choices, fixed)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Field(name, about, shown, "number", fixed=fixed)
    return Field(name, about, shown, "text" if value is None else "lines", fixed=fixed)


def _choices(kind: Any) -> tuple[str, ...]:
    if kind is bool:
        return ("true", "false")
    return tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()
