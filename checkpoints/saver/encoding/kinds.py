"""How LangGraph packs the objects of a class: by its fields, as a named tuple, as what the object dumps of itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from functools import cache
from inspect import getattr_static
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, RootModel

LEAVES: Final = frozenset({str, bytes, int, float, bool, type(None)})
"""Classes whose objects hold nothing and never change."""

_PACKED_OTHERWISE: Final = (Collection, date, time, timedelta, tzinfo, Decimal, UUID, Enum, PurePath)
_ASKED_FIRST: Final = ("model_dump", "get_secret_value", "dict")
"""Methods whose answer LangGraph packs of any object that has one, in place of its fields."""


@cache
def is_packed_by_fields(kind: Any) -> bool:
    """Whether LangGraph packs an object field by field, as it does with dataclasses unless they are more than that."""
    if issubclass(kind, _PACKED_OTHERWISE) or not dataclasses.is_dataclass(kind):
        return False
    names = {field.name for field in dataclasses.fields(kind)} | set(dir(kind))
    is_sent = {"node", "arg"} <= names
    return not (is_sent or any(callable(getattr(kind, name, None)) for name in (*_ASKED_FIRST, "_asdict")))


@cache
def is_named_tuple(kind: Any) -> bool:
    """Whether LangGraph packs a tuple of this class by the names of its items."""
    return issubclass(kind, tuple) and "_fields" in vars(kind) and not any(hasattr(kind, name) for name in _ASKED_FIRST)


@cache
def field_count(kind: Any) -> int:
    """How many fields a model has whose dump is its fields as they stand, if those are plain; 0 if there is more to it.

    Then its dict can be packed at once: nothing of somebody's is called meanwhile, so no other thread comes between.
    """
    if not issubclass(kind, BaseModel) or issubclass(kind, RootModel):
        return 0
    own = getattr_static(kind, "__getattribute__") is object.__getattribute__
    fields = kind.model_fields
    is_renamed = kind.model_config.get("serialize_by_alias") or any(field.exclude for field in fields.values())
    if not own or is_renamed or kind.model_dump is not BaseModel.model_dump:
        return 0
    return 0 if _is_serialized(kind.__pydantic_core_schema__) else len(fields)


def _is_serialized(schema: Any) -> bool:
    """Whether something in a model is packed as more than it is: by functions of somebody's, or as text."""
    if isinstance(schema, Mapping):
        return bool(
            schema.get("serialization")
            or schema.get("computed_fields")
            or schema.get("serialization_exclude")
            or schema.get("serialization_exclude_if")
            or any(map(_is_serialized, schema.values()))
        )
    return isinstance(schema, (list, tuple)) and any(map(_is_serialized, schema))
