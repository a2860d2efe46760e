"""Objects out of the bytes in which LangGraph keeps them.

LangGraph hands out a bare dict, a list or a text where it may not, or cannot, make an object again: of a class that was
renamed, say. It would be stored as that for good at the next step, so here it is an error.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Set
from importlib import import_module
from typing import Any, Final, NoReturn, get_args, get_type_hints

import ormsgpack
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import ValidationError

from signoff.checkpoints.errors import ClassChanged, UnlistedType, Unstorable

TypeName = tuple[str, str]
"""Module and name of a class, as they stand in the bytes."""

# How LangGraph marks an object: up to 5 the bytes are the module and name of its class, and what that is called with.
NAMED: Final = range(6)
ONE, SEVERAL, BY_NAME, _METHOD, *_MODELS = NAMED
MODEL: Final = _MODELS[-1]
NUMPY_ARRAY: Final = 6
DELTA_SNAPSHOT: Final = 7

UNPACK: Final = ormsgpack.OPT_NON_STR_KEYS
_LARGE: Final = b"\xc9"
_NOTHING: Final = ormsgpack.packb(None)


def rebuild(packed: bytes | memoryview, allowed: Set[TypeName], strict: Set[TypeName] = frozenset()) -> Any:
    """The value of these bytes. Models of `strict` types are not made if something of them would be missing.

    Raises UnlistedType for a type that is not allowed, ClassChanged for one that does not take what is stored.
    """
    reading = _Reading(allowed, strict)
    try:
        if packed[:1] == _LARGE and packed[1:6] == max(0, len(packed) - 6).to_bytes(4, "big") + bytes([NUMPY_ARRAY]):
            return reading.make(NUMPY_ARRAY, memoryview(packed)[6:])  # an array and nothing else, with one copy fewer
        return ormsgpack.unpackb(packed, ext_hook=reading.make, option=UNPACK)
    except ormsgpack.MsgpackDecodeError as error:
        if reading.error is not None:
            raise reading.error from reading.error.__cause__
        raise Unstorable("'msgpack' data", f"damaged ({error})", "Restore a backup.") from error


class _Reading:
    """One value that is read. MessagePack does not hand on what goes wrong when an object is made: it is kept here."""

    __slots__ = ("_allowed", "_strict", "error")

    def __init__(self, allowed: Set[TypeName], strict: Set[TypeName]) -> None:
        self._allowed, self._strict = allowed, strict
        self.error: Exception | None = None

    def make(self, code: int, packed: bytes | memoryview) -> Any:
        """The object that LangGraph marked so; called for those in it first."""
        try:
            if code in NAMED:
                module, name, held, *_ = ormsgpack.unpackb(packed, ext_hook=self.make, option=UNPACK)
                type_name = (module, name)
                if type_name not in self._allowed:
                    _refuse(module, name)
                return _make_named(code, module, name, held, is_strict=type_name in self._strict)
            if code == DELTA_SNAPSHOT:
                held = ormsgpack.unpackb(packed, ext_hook=self.make, option=UNPACK)
                return _make_unnamed(code, _NOTHING)._replace(value=held)
            return _make_unnamed(code, packed)
        except Exception as error:
            self.error = self.error or error
            raise


def _refuse(module: str, name: str) -> NoReturn:
    loaded = sys.modules.get(module)
    if loaded is not None and name not in vars(loaded):
        raise ClassChanged((module, name), f"there is no {name} in {module} any more")
    raise UnlistedType([(module, name)])


def _make_unnamed(code: int, packed: bytes | memoryview) -> Any:
    if code == NUMPY_ARRAY and (numpy := sys.modules.get("numpy")) is not None:
        kind, shape, order, body = ormsgpack.unpackb(packed)
        return numpy.frombuffer(body, numpy.dtype(kind)).reshape(shape, order=order)
    made = JsonPlusSerializer().loads_typed(("msgpack", ormsgpack.packb(ormsgpack.Ext(code, bytes(packed)))))
    if made is None:
        what = "an array" if code == NUMPY_ARRAY else f"an object that is marked {code}"
        raise Unstorable(what, "LangGraph cannot read it here", "Install numpy, or the LangGraph that wrote it.")
    return made


def _make_named(code: int, module: str, name: str, held: Any, *, is_strict: bool) -> Any:
    if code == _METHOD and (module, name) != ("datetime", "datetime"):
        raise Unstorable(f"{module}.{name}", "LangGraph does not rebuild it", "Keep it as text, numbers or lists.")
    try:
        kind = getattr(sys.modules.get(module) or import_module(module), name)
        if code in _MODELS:
            return _make_model(kind, held, is_strict=is_strict)
        if code == BY_NAME:
            return kind(**held)
        if code == SEVERAL:
            return kind(*held) if name != "Send" else kind(*held[:2], timeout=held[2] if len(held) > 2 else None)
        if code == _METHOD:
            return kind.fromisoformat(held)
        try:
            return kind(held)
        except TypeError:
            if kind not in (set, frozenset):
                raise
            return kind(map(_as_tuple, held))
    except Exception as error:
        raise ClassChanged((module, name), in_one_line(error)) from error


def _as_tuple(item: Any) -> Any:
    """An item of a set: what was read as a list was a tuple."""
    return tuple(map(_as_tuple, item)) if type(item) is list else item


def _make_model(kind: Any, held: dict[str, Any], *, is_strict: bool) -> Any:
    """A model of what it dumped; one that its own checks refuse is made without them, as LangGraph does."""
    try:
        model = kind(**held)
    except Exception:
        construct: Callable[..., Any] | None = getattr(kind, "model_construct", getattr(kind, "construct", None))
        if construct is None:
            raise
        model = construct(**held)
        if is_strict and not _is_whole(model):
            raise
        return model
    if is_strict and not hasattr(kind, "construct") and not _is_whole(model):  # a model would have seen to those in it
        raise TypeError("it was a model, and what it is now makes nothing of the models in it")
    return model


def _is_whole(model: Any) -> bool:
    """Whether it has all its fields, and none of them is the bare dump of what should be an object, or hold some."""
    fields = getattr(type(model), "model_fields", None)
    hints = get_type_hints(type(model)) if fields is None else {name: fields[name].annotation for name in fields}
    return all(
        hasattr(model, name) and not (_names_class(hint) and _is_filled(getattr(model, name)))
        for name, hint in hints.items()
    )


def _names_class(hint: Any) -> bool:
    """Whether an annotation names a class with fields."""
    return hasattr(hint, "model_fields") or dataclasses.is_dataclass(hint) or any(map(_names_class, get_args(hint)))


def _is_filled(value: Any) -> bool:
    return type(value) in (dict, list) and bool(value)


def in_one_line(error: Exception) -> str:
    """What an error says; pydantic's without the values that it quotes."""
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    named = "" if isinstance(error, (TypeError, ImportError, AttributeError)) else f"{type(error).__name__}: "
    return f"{named}{error}".partition("\n")[0]
