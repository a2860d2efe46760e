"""Copies of values that were unpacked, several times as fast as unpacking them again."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from signoff.checkpoints.saver.encoding.change_detection import LEAVES


class Original:
    """A value to be handed out in copies; it is handed out to nobody itself."""

    __slots__ = ("_fields", "_value")

    def __init__(self, value: Any) -> None:
        self._value = value
        held = vars(value).items() if isinstance(value, BaseModel) else ()
        self._fields = [name for name, item in held if type(item) not in LEAVES]

    @staticmethod
    def can_be(value: Any) -> bool:
        """Whether a copy has everything of its own that can be edited."""
        kind = type(value)
        if kind in LEAVES:
            return True
        if kind is dict:
            return all(type(key) in LEAVES for key in value) and all(map(Original.can_be, value.values()))
        if kind is list:
            return all(map(Original.can_be, value))
        if isinstance(value, BaseModel) and kind.__copy__ is BaseModel.__copy__:
            parts = [*vars(value).values(), *(value.__pydantic_extra__ or {}).values()]
            return not value.__pydantic_private__ and all(map(Original.can_be, parts))
        return False

    def copy(self) -> Any:
        """A value of its own that equals this one."""
        if not isinstance(self._value, BaseModel):
            return _copy_of(self._value)
        return _copy_model(self._value, self._fields)


def _copy_model(model: BaseModel, fields: list[str]) -> BaseModel:
    twin = model.__copy__()  # its dict of fields, its extra fields and its set of fields are new
    own = vars(twin)
    for name in fields:
        item = own[name]
        own[name] = _copy_of(item)
    extra = twin.__pydantic_extra__
    if extra:
        for name, item in extra.items():
            extra[name] = _copy_of(item)
    return twin


def _copy_of(value: Any) -> Any:
    kind = type(value)
    if kind in LEAVES:
        return value
    if kind is dict:
        if not value:
            return {}  # as most are in messages
        return {key: item if type(item) in LEAVES else _copy_of(item) for key, item in value.items()}
    if kind is list:
        return [item if type(item) in LEAVES else _copy_of(item) for item in value]
    return _copy_model(value, list(vars(value)))
