"""How to tell exactly whether a value is still what it was.

People edit values in place: they set an old message's text, or add a key to a dict deep inside. So a value is never
taken for unchanged because it is the same object. Each dict, list and instance in it is remembered together with
the very objects that stood in it; it is unchanged only if each of them still stands where it stood.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from itertools import chain
from operator import is_
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

_DEEPEST: Final = 64
LEAVES: Final = frozenset({str, bytes, int, float, bool, type(None)})
"""Classes whose objects hold nothing and never change."""

_UNEDITABLE: Final = (date, time, timedelta, tzinfo, Decimal, UUID, Enum, PurePath)

Marks = tuple[int, int, int, int, int, int]
"""How much a detector held at some point."""


class _Undetectable(Exception):
    """A value that may be edited in ways that cannot be seen from outside."""


class ChangeDetector:
    """Every container in some values that can be edited, and what stood in each."""

    __slots__ = ("_boxes", "_cells", "_dicts", "_empty", "_instances", "_keyed", "_keys", "_kinds", "_lengths")

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

    def is_unedited(self) -> bool:
        """Whether the same objects stand in every container; whole runs of C code, as this is asked at every step."""
        return (
            all(map(is_, map(type, self._instances), self._kinds))
            and all(map(is_, map(vars, self._instances), self._dicts))
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

    def _look(self, value: Any, depth: int) -> None:
        kind = type(value)
        if kind in LEAVES or isinstance(value, _UNEDITABLE):
            return
        if depth == _DEEPEST:
            raise _Undetectable
        inside: Collection[Any]
        if kind is dict:
            inside = value.values()
            if value:
                self._keyed.append(value)
                self._keys += value
        elif kind is list:
            inside = value
        elif isinstance(value, tuple):
            for item in value:
                self._look(item, depth + 1)
            return
        elif isinstance(value, BaseModel):
            if not _is_plain(kind):
                raise _Undetectable
            inside = self._enter(value)
            if value.__pydantic_extra__ is not None:
                self._look(value.__pydantic_extra__, depth + 1)
        elif dataclasses.is_dataclass(value) and _has_only_attributes(kind):
            inside = self._enter(value)
        else:
            raise _Undetectable
        if not inside:
            self._empty.append(inside)
            return
        self._boxes.append(inside)
        self._lengths.append(len(inside))
        self._cells += inside
        for item in inside:
            kind = type(item)
            if not item and (kind is dict or kind is list):
                self._empty.append(item)
            elif kind not in LEAVES:
                self._look(item, depth + 1)

    def _enter(self, instance: Any) -> Collection[Any]:
        attributes: dict[str, Any] = vars(instance)
        self._instances.append(instance)
        self._kinds.append(type(instance))
        self._dicts.append(attributes)
        return attributes.values()


def _has_only_attributes(kind: type) -> bool:
    """Whether nothing of an instance stands elsewhere than in its dict: in slots, or as items."""
    return not issubclass(kind, Collection) and not any(vars(base).get("__slots__") for base in kind.__mro__)


_plain: dict[type, bool] = {}


def _is_plain(kind: type[BaseModel]) -> bool:
    """Whether what is packed of such a model depends on its fields alone, and they stay in one dict."""
    known = _plain.get(kind)
    if known is None:
        decorators = kind.__pydantic_decorators__
        known = _plain[kind] = (
            kind.model_dump is BaseModel.model_dump
            and not decorators.field_serializers
            and not decorators.model_serializers
            and not decorators.computed_fields
            and not kind.model_config.get("validate_assignment")  # pydantic then makes a new dict with each change
        )
    return known
