"""How to tell exactly whether a value is still what it was.

People edit values in place: they set an old message's text, or add a key to a dict deep inside. So a value is never
taken for unchanged because it is the same object. Each dict, list and instance in it is remembered together with
the very objects that stood in it; it is unchanged only if each of them still stands where it stood.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Set
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from functools import cache
from inspect import getattr_static
from itertools import chain
from operator import attrgetter, is_
from pathlib import PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel

_DEEPEST: Final = 64
LEAVES: Final = frozenset({str, bytes, int, float, bool, type(None)})
"""Classes whose objects hold nothing and never change."""

_ZONES: Final = frozenset({type(None), timezone, ZoneInfo})
_UNEDITABLE: Final = _ZONES | {
    *(date, timedelta, Decimal, UUID),
    *(PosixPath, WindowsPath, PurePosixPath, PureWindowsPath),
}
_PACKED_OTHERWISE: Final = (Collection, date, time, timedelta, tzinfo, Decimal, UUID, Enum, PurePath)
_ASKED_FIRST: Final = ("model_dump", "get_secret_value", "dict")
"""Methods whose answer LangGraph packs of any object that has one, in place of its fields."""

_dict_of: Final = attrgetter("__dict__")
_extra_of: Final = attrgetter("__pydantic_extra__")

Marks = tuple[int, ...]
"""How much a detector held at some point."""


class _Undetectable(Exception):
    """A value that may be edited in ways that cannot be seen from outside."""


class ChangeDetector:
    """Every container in some values that can be edited, and what stood in each."""

    __slots__ = (
        *("_boxes", "_lengths", "_cells", "_keyed", "_keys", "_empty"),
        *("_instances", "_kinds", "_dicts", "_bare", "_given", "_extras"),
    )

    def __init__(self) -> None:
        self._boxes: list[Collection[Any]] = []  # lists, and the values of dicts and instances
        self._lengths: list[int] = []
        self._cells: list[Any] = []
        self._keyed: list[dict[Any, Any]] = []
        self._keys: list[Any] = []
        self._empty: list[Collection[Any]] = []  # most containers in messages are empty, which is told faster
        self._instances: list[Any] = []  # their classes and their dicts can be replaced as well
        self._kinds: list[type] = []
        self._dicts: list[dict[str, Any]] = []
        self._bare: list[BaseModel] = []  # most models were given nothing beside their fields
        self._given: list[BaseModel] = []  # these were, and it can be replaced
        self._extras: list[dict[str, Any]] = []

    def is_unedited(self) -> bool:
        """Whether the same objects stand in every container; whole runs of C code, as this is asked at every step."""
        return (
            all(map(is_, map(type, self._instances), self._kinds))
            and all(map(is_, map(_dict_of, self._instances), self._dicts))
            and not any(map(_extra_of, self._bare))
            and all(map(is_, map(_extra_of, self._given), self._extras))
            and list(map(len, self._boxes)) == self._lengths
            and all(map(is_, chain.from_iterable(self._boxes), self._cells))
            and not any(self._empty)
            and all(map(is_, chain.from_iterable(self._keyed), self._keys))
        )

    @property
    def marks(self) -> Marks:
        """How much is watched so far: what lies between two marks was added between them."""
        return (
            len(self._boxes),
            len(self._cells),
            len(self._keyed),
            len(self._keys),
            len(self._empty),
            len(self._instances),
            len(self._bare),
            len(self._given),
        )

    def part(self, start: Marks, end: Marks) -> ChangeDetector:
        """What was added between two marks, on its own."""
        part = ChangeDetector()
        part._boxes, part._lengths = self._boxes[start[0] : end[0]], self._lengths[start[0] : end[0]]
        part._cells = self._cells[start[1] : end[1]]
        part._keyed, part._keys = self._keyed[start[2] : end[2]], self._keys[start[3] : end[3]]
        part._empty = self._empty[start[4] : end[4]]
        part._instances, part._kinds = self._instances[start[5] : end[5]], self._kinds[start[5] : end[5]]
        part._dicts = self._dicts[start[5] : end[5]]
        part._bare = self._bare[start[6] : end[6]]
        part._given, part._extras = self._given[start[7] : end[7]], self._extras[start[7] : end[7]]
        return part

    def extend(self, other: ChangeDetector) -> None:
        """Watch what the other watches as well."""
        self._boxes += other._boxes
        self._lengths += other._lengths
        self._cells += other._cells
        self._keyed += other._keyed
        self._keys += other._keys
        self._empty += other._empty
        self._instances += other._instances
        self._kinds += other._kinds
        self._dicts += other._dicts
        self._bare += other._bare
        self._given += other._given
        self._extras += other._extras

    def add(self, value: Any) -> bool:
        """Watch everything in the value that can be edited; False, and nothing added, if that cannot be seen."""
        if type(value) in LEAVES:
            return True
        before = self.marks
        try:
            self._look(value, 0)
        except _Undetectable:
            self.cut(before)
            return False
        return True

    def cut(self, marks: Marks) -> None:
        """Watch only what was watched at that mark."""
        del self._boxes[marks[0] :], self._lengths[marks[0] :], self._cells[marks[1] :]
        del self._keyed[marks[2] :], self._keys[marks[3] :], self._empty[marks[4] :]
        del self._instances[marks[5] :], self._kinds[marks[5] :], self._dicts[marks[5] :]
        del self._bare[marks[6] :], self._given[marks[7] :], self._extras[marks[7] :]

    def _look(self, value: Any, depth: int) -> None:
        """Watch what can be edited in there. Another thread may be editing it: each container is copied once."""
        kind = type(value)
        if kind is not dict and kind is not list and (kind in LEAVES or _is_fixed(value, kind)):
            return
        if depth == _DEEPEST:
            raise _Undetectable
        if issubclass(kind, tuple):
            if kind is not tuple and not is_named_tuple(kind):
                raise _Undetectable
            for item in value:
                self._look(item, depth + 1)
            return
        inside: Collection[Any] = value
        cells: list[Any]
        if kind is list:
            cells = value.copy()
        else:
            attributes = value if kind is dict else self._enter(value, kind, depth)
            inside = attributes.values()
            held = attributes.copy()
            cells = list(held.values())
            if held and not issubclass(kind, BaseModel):  # there names are never changed but by force, and time counts
                self._keyed.append(attributes)
                self._keys += held
        if not cells:
            self._empty.append(inside)
            return
        self._boxes.append(inside)
        self._lengths.append(len(cells))
        self._cells += cells
        for item in cells:
            kind = type(item)
            if (kind is dict or kind is list) and not item:
                self._empty.append(item)
            elif kind not in LEAVES:
                self._look(item, depth + 1)

    def _enter(self, instance: Any, kind: type, depth: int) -> dict[str, Any]:
        """Watch which class and which dict of attributes an instance has; returns that dict."""
        fields = _fields_of(kind)
        if fields is None:
            raise _Undetectable
        attributes: dict[str, Any] = instance.__dict__
        if not attributes.keys() >= fields:
            raise _Undetectable  # the class has what is missing here
        self._instances.append(instance)
        self._kinds.append(kind)
        self._dicts.append(attributes)
        if isinstance(instance, BaseModel):
            extra = instance.__pydantic_extra__
            if extra:
                self._given.append(instance)
                self._extras.append(extra)
                self._look(extra, depth + 1)
            else:
                self._bare.append(instance)
        return attributes


def _is_fixed(value: Any, kind: type) -> bool:
    """Whether nothing of this can be edited."""
    if kind is datetime or kind is time:
        return type(value.tzinfo) in _ZONES
    if issubclass(kind, Enum):
        return getattr_static(kind, "value") is getattr_static(Enum, "value") and type(value.value) in LEAVES
    return kind in _UNEDITABLE


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
def _fields_of(kind: Any) -> Set[str] | None:
    """The attributes that what is packed of an instance depends on alone; None if there may be more to it."""
    if getattr_static(kind, "__getattribute__") is not object.__getattribute__:
        return None
    if issubclass(kind, BaseModel):
        is_plain = kind.model_dump is BaseModel.model_dump and not _calls_functions(kind.__pydantic_core_schema__)
        return frozenset() if is_plain else None
    if not is_packed_by_fields(kind):
        return None
    fields = {field.name for field in dataclasses.fields(kind)}
    is_computed = any(hasattr(type(getattr_static(kind, name, None)), "__get__") for name in fields)
    return None if is_computed else fields


def _calls_functions(schema: Any) -> bool:
    """Whether a model is packed by functions of somebody's, which may look at anything: by those of a field, too."""
    if isinstance(schema, Mapping):
        how = schema.get("serialization") or {}
        return bool(
            "function" in how
            or schema.get("computed_fields")
            or schema.get("serialization_exclude_if")
            or any(map(_calls_functions, schema.values()))
        )
    return isinstance(schema, (list, tuple)) and any(map(_calls_functions, schema))
