"""Values into bytes and back, and nothing that would come back as something else.

LangGraph's own serializer does the work. By itself it hands out a bare dict where it may not, or cannot, rebuild an
object; here such an object is refused when it is written, and such bytes when they are read.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import deque
from collections.abc import Iterable
from enum import Enum
from functools import cache
from typing import Any, Final

import ormsgpack
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.event_hooks import SerdeEvent, register_serde_event_listener
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import SendProtocol
from pydantic import BaseModel

from signoff.checkpoints.errors import UnlistedType, Unstorable

TypeName = tuple[str, str]
"""Module and name of a class, as they stand in the bytes."""

_MESSAGES = "AIMessage ChatMessage FunctionMessage HumanMessage SystemMessage ToolMessage BaseMessage"
_PATHS = "Path PosixPath WindowsPath"
KNOWN: Final = frozenset(
    (module, name)
    for module, names in {
        "builtins": "frozenset set",
        "collections": "deque",
        "datetime": "date datetime time timedelta timezone",
        "decimal": "Decimal",
        "ipaddress": "IPv4Address IPv4Interface IPv4Network IPv6Address IPv6Interface IPv6Network",
        "langchain_core.documents.base": "Document",
        "langchain_core.messages.modifier": "RemoveMessage",
        "langgraph.store.base": "GetOp Item",
        "langgraph.types": "Command Interrupt Overwrite PregelTask Send StateSnapshot TimeoutPolicy",
        "pathlib": _PATHS,
        "pathlib._local": _PATHS,  # where Python 3.13 keeps them
        "re": "compile",
        "uuid": "UUID",
        "zoneinfo": "ZoneInfo",
        **{
            f"langchain_core.messages.{name.removesuffix('Message').lower()}": f"{name} {name}Chunk"
            for name in _MESSAGES.split()
        },
    }.items()
    for name in names.split()
)
"""The types that need no listing: values of the standard library, LangChain's messages, what LangGraph itself keeps."""

# How LangGraph marks an object in the bytes: extension codes up to 5 start with the module and name of its class.
_NAMED: Final = range(6)
_NUMPY_ARRAY: Final = 6
_DELTA_SNAPSHOT: Final = 7
_LOST_ARRAY: Final = ("numpy", "ndarray of objects or records")  # LangGraph reads it back as None, or as raw bytes

_UNPACK: Final = ormsgpack.OPT_NON_STR_KEYS
_PLAIN_ONLY: Final = (
    ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_UUID
)
_INSIDE: Final = ormsgpack.OPT_SERIALIZE_PYDANTIC
_SCALARS: Final = frozenset({bool, float, int, str, type(None)})
_PLAIN: Final = frozenset({bool, dict, float, int, list, str, tuple})
_DEEPEST: Final = 200

_log = logging.getLogger(__name__)


class StrictSerializer(SerializerProtocol):
    """LangGraph's serializer for known and listed types only; never changed once made, so any thread may use it.

    A subclass of dict, list or str that is no listed type is stored as what it extends, and a tuple as a list, as
    LangGraph does. So is a model inside a message: `model_dump` makes it a dict before anything can be told of it.
    """

    def __init__(self, types: Iterable[type | TypeName] = ()) -> None:
        self.types: frozenset[TypeName] = frozenset(map(_type_name, types))
        self._listed = self.types - KNOWN
        self._allowed = KNOWN | self.types
        self._upstream = JsonPlusSerializer(allowed_msgpack_modules=self._allowed)
        _listen()

    def with_msgpack_allowlist(self, extra: Iterable[type | TypeName]) -> StrictSerializer:
        """This serializer with more types listed."""
        types = self.types.union(map(_type_name, extra))
        return self if types <= self._allowed else StrictSerializer(types)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Kind and bytes of a value; UnlistedType or Unstorable if it would not come back as it is."""
        if type(obj) in _PLAIN:
            try:
                return "msgpack", ormsgpack.packb(obj, option=_PLAIN_ONLY)
            except ormsgpack.MsgpackEncodeError:
                pass  # there is more in it than plain values under keys of text
        try:
            kind, packed = self._upstream.dumps_typed(obj)
        except ormsgpack.MsgpackEncodeError as error:
            culprit = self._find_culprit(obj)
            raise Unstorable(_describe(culprit), str(error), "Keep plain values, models or dataclasses.") from error
        if kind == "msgpack":
            self._check(obj, packed)
        return kind, bytes(packed)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value of these bytes; UnlistedType if they hold an object of a type that is not listed."""
        if data[0] not in ("msgpack", "null", "bytes", "bytearray"):
            raise Unstorable(f"{data[0]!r} data", "this form is not read", "Import the file it comes from.")
        before = _heard.refusal
        try:
            value = self._upstream.loads_typed(data)
        except ormsgpack.MsgpackDecodeError as error:
            raise Unstorable(f"{data[0]!r} data", f"damaged ({error})", "Restore a backup.") from error
        refused = _heard.refusal
        if refused is not before and refused is not None:
            self._refuse({refused})
        return value

    def _check(self, obj: object, packed: bytes) -> None:
        """Raise if something in there would not come back: objects of unlisted types first."""
        found = _type_names(packed)
        if not self._allowed.issuperset(found):
            self._refuse(found - self._allowed)
        if not _is_tidy(obj, _INSIDE):
            _check_keys(obj)
            if not _is_tidy(obj, _INSIDE | ormsgpack.OPT_NON_STR_KEYS):
                _log.warning("Half a character (a lone surrogate) in a %s is kept as '?'", _describe(obj))
        if not self._listed.isdisjoint(found):
            # Only reading it back shows whether the constructor takes what is stored: an alias may keep it from that.
            changed = _find_change(obj, self.loads_typed(("msgpack", packed)))
            if changed is not None:
                raise Unstorable(
                    _describe(obj),
                    f"{'.'.join(map(str, changed)) or 'it'} would not come back as it is",
                    "A listed class stands at the top level of its module, and its constructor takes all its fields.",
                )

    def _refuse(self, found: set[TypeName]) -> None:
        unlisted = sorted(found - self._allowed - {_LOST_ARRAY})
        if unlisted:
            raise UnlistedType(unlisted)
        raise Unstorable(".".join(min(found)), "LangGraph does not rebuild it", "Keep it as text, numbers or lists.")

    def _find_culprit(self, value: object) -> object:
        """The innermost part that cannot be serialised."""
        for _ in range(_DEEPEST):
            bad = next((part for part in _parts(value).values() if not self._can_pack(part)), None)
            if bad is None:
                break
            value = bad
        return value

    def _can_pack(self, value: object) -> bool:
        try:
            self._upstream.dumps_typed(value)
        except ormsgpack.MsgpackEncodeError:
            return False
        return True


class _Heard(threading.local):
    """The last type that LangGraph refused to rebuild in this thread: another object each time, even for the same."""

    refusal: TypeName | None = None


_heard: Final = _Heard()


def _note(event: SerdeEvent) -> None:
    if event["kind"] in ("msgpack_blocked", "msgpack_method_blocked"):
        _heard.refusal = (event["module"], event["name"])


@cache
def _listen() -> None:
    """Hear what is refused, from the first serializer on: once for the process."""
    register_serde_event_listener(_note)


def _type_name(kind: type | TypeName) -> TypeName:
    return (kind.__module__, kind.__name__) if isinstance(kind, type) else kind


def _describe(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _type_names(packed: bytes) -> set[TypeName]:
    """The types of all objects in these bytes, at any depth."""
    found: set[TypeName] = set()

    def note(code: int, inner: bytes) -> None:
        if code in _NAMED:
            module, name, *_ = ormsgpack.unpackb(inner, ext_hook=note, option=_UNPACK)
            found.add((module, name))
        elif code == _DELTA_SNAPSHOT:
            ormsgpack.unpackb(inner, ext_hook=note, option=_UNPACK)
        elif code == _NUMPY_ARRAY and inner[2:4] in (b"|O", b"|V"):
            found.add(_LOST_ARRAY)

    ormsgpack.unpackb(packed, ext_hook=note, option=_UNPACK)
    return found


def _is_tidy(value: object, option: int) -> bool:
    """Whether all keys in there are text (if the option asks for it), and no text holds half a character."""
    try:
        ormsgpack.packb(value, default=lambda part: list(_parts(part).values()), option=option)
    except ormsgpack.MsgpackEncodeError:
        return False
    return True


def _check_keys(value: object) -> None:
    """Raise if a key in there would come back as another: a date as text, an enum member as its value."""
    if isinstance(value, dict):
        for key in value:
            if not _is_kept_as_key(key):
                raise Unstorable(f"the key {key!r:.80}", "it would come back as another one", "Use text or a number.")
    if not isinstance(value, BaseModel):  # a model makes of its fields what they were
        for part in _parts(value).values():
            if type(part) not in _SCALARS:
                _check_keys(part)


def _is_kept_as_key(key: object) -> bool:
    if isinstance(key, tuple):
        return all(map(_is_kept_as_key, key))
    return key is None or isinstance(key, (str, int, float, bytes))


def _parts(value: object) -> dict[Any, object]:
    """What is stored of a value, part by part."""
    if isinstance(value, dict):
        return value
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        own = {name: getattr(value, name, None) for name, field in fields.items() if not field.exclude}
        return own | (value.model_extra or {})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (list, tuple, deque, set, frozenset)):
        return dict(enumerate(value))
    if isinstance(value, SendProtocol):
        return {"node": value.node, "arg": value.arg}
    return {}


def _find_change(was: object, now: object) -> tuple[object, ...] | None:
    """The way to the first part that came back as something else; None if all of it is as it was."""
    if not _is_kept(type(was), type(now)):
        return ()
    if isinstance(was, str):
        return None if now == was or now == was.encode("utf-8", "replace").decode() else ()
    if isinstance(was, (int, float)):
        return None if now == was or was != was else ()
    if isinstance(was, (BaseException, set, frozenset)) or _is_known_model(was):
        return None
    mine, theirs = _parts(was), _parts(now)
    if mine.keys() != theirs.keys():
        return ()
    for name, part in mine.items():
        changed = _find_change(part, theirs[name])
        if changed is not None:
            return (name, *changed)
    return None


def _is_kept(was: type, now: type) -> bool:
    """Whether something of the first type may come back as one of the second."""
    if was is now:
        return True
    if issubclass(was, BaseException):
        return now is str
    if issubclass(was, (bytearray, memoryview)):
        return now is bytes
    if issubclass(was, tuple):
        return now is list and not hasattr(was, "_fields")
    return now in (dict, list, str, int, float) and issubclass(was, now) and not issubclass(was, Enum)


def _is_known_model(value: object) -> bool:
    return isinstance(value, BaseModel) and _type_name(type(value)) in KNOWN
