"""Values into bytes and back, and nothing that would come back as something else.

LangGraph's own serializer makes the bytes. What it reads back itself is a bare dict where it may not, or cannot,
rebuild an object; here such an object is refused when it is written, and such bytes are an error when they are read.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import deque
from collections.abc import Iterable
from enum import Enum
from functools import cache
from typing import Any, Final

import ormsgpack
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import SendProtocol
from pydantic import BaseModel

from signoff.checkpoints.errors import ClassChanged, UnlistedType, Unstorable
from signoff.checkpoints.saver.encoding.kinds import LEAVES, is_named_tuple, is_packed_by_fields
from signoff.checkpoints.saver.encoding.packing import KNOWN as KNOWN, box_header, pack_model, pack_plain
from signoff.checkpoints.saver.encoding.rebuilding import (
    BY_NAME,
    DELTA_SNAPSHOT,
    NAMED,
    NUMPY_ARRAY,
    ONE,
    SEVERAL,
    UNPACK,
    TypeName,
    in_one_line,
    rebuild,
)
from signoff.error_base import SignoffError

_SNAPSHOT: Final = ("langgraph.checkpoint.serde.types", "_DeltaSnapshot")
_LOST_ARRAY: Final = ("numpy", "ndarray of objects or records")  # LangGraph reads it back as None, or as raw bytes

_INSIDE: Final = ormsgpack.OPT_SERIALIZE_PYDANTIC | ormsgpack.OPT_NON_STR_KEYS
_PARTED: Final = 3  # so deep lists of models are looked for
_DEEPEST_BOX: Final = 256  # lists and dicts within each other: one more than MessagePack has
_DEEPEST_OBJECT: Final = 500
_PLAINER: Final = "Keep it as text, numbers or lists."

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

    def with_msgpack_allowlist(self, extra: Iterable[type | TypeName]) -> StrictSerializer:
        """This serializer with more types listed."""
        types = self.types.union(map(_type_name, extra))
        return self if types <= self._allowed else type(self)(types)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Kind and bytes of a value; UnlistedType or Unstorable if it would not come back as it is."""
        kind, parts = self.dumps_parts(obj)
        return kind, b"".join(parts)

    def dumps_parts(self, obj: Any) -> tuple[str, list[bytes]]:
        """Kind and bytes of a value, as `dumps_typed` has them, each model in a list as a part of its own.

        The first part says what follows. Plain values are packed in one call, which is what they are at one moment.
        """
        packed = pack_plain(obj)
        if packed is not None:
            return "msgpack", [packed]
        own: Any = type(obj)
        if is_model(own) and (packed := pack_model(obj, own)) is not None:
            return "msgpack", [b"", packed]
        if type(obj) in (dict, list):
            try:
                parts = self._parts(obj, 0)
            except (ormsgpack.MsgpackEncodeError, RuntimeError, SignoffError):
                parts = []  # another thread is editing it; or it is refused, which is told of the whole
            if parts:
                return "msgpack", parts
        kind, body = self._dump_whole(obj)
        return kind, [body]

    def _parts(self, box: list[Any] | dict[str, Any], depth: int) -> list[bytes]:
        """The bytes of a list or dict: its models, and its lists of models, as parts; none if there are no such."""
        is_dict = type(box) is dict
        items: list[Any] = list(dict.copy(box).items()) if is_dict else list.copy(box)  # type: ignore[arg-type]
        if is_dict and set(map(type, box)) != {str}:
            return []
        parts = [box_header(len(items), is_dict=is_dict)]
        run: list[Any] = []
        for entry in items:
            item = entry[1] if is_dict else entry
            if not (is_dict and type(item) not in (list, dict)) and (inner := self._part(item, depth)):
                if run:
                    parts.append(self._run(run, is_dict=is_dict))
                    run = []
                parts += [ormsgpack.packb(entry[0]), *inner] if is_dict else inner
            else:
                run.append(entry)
        if len(parts) > 1 and run:
            parts.append(self._run(run, is_dict=is_dict))
        return parts if len(parts) > 1 else []

    def _part(self, item: Any, depth: int) -> list[bytes]:
        """The parts of what is one by itself: a model, or a list or dict that has some."""
        kind: Any = type(item)
        if kind is list or kind is dict:
            first = next(iter(item if kind is list else item.values()), None) if depth < _PARTED and item else None
            return self._parts(item, depth + 1) if first is not None and type(first) not in LEAVES else []
        if not is_model(kind):
            return []
        packed = pack_model(item, kind)
        return [packed if packed is not None else self._dump_whole([item])[1][1:]]

    def _run(self, run: list[Any], *, is_dict: bool) -> bytes:
        """The bytes of some items, without what says how many they are."""
        items: Any = dict(run) if is_dict else run
        packed = pack_plain(items)
        return (packed if packed is not None else self._dump_whole(items)[1])[
            len(box_header(len(run), is_dict=is_dict)) :
        ]

    def _dump_whole(self, obj: Any) -> tuple[str, bytes]:
        try:
            kind, packed = self._pack(obj)
        except (ormsgpack.MsgpackEncodeError, RecursionError) as error:
            raise self._explain(obj, error) from error
        if kind == "msgpack":
            self._check(obj, packed)
        return kind, bytes(packed)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value of these bytes; UnlistedType if they hold an object of a type that is not listed."""
        if data[0] not in ("msgpack", "null", "bytes", "bytearray"):
            raise Unstorable(f"{data[0]!r} data", "this form is not read", "Import the file it comes from.")
        if data[0] == "msgpack":
            return self.loads_packed(data[1])
        return self._upstream.loads_typed(data)

    def loads_packed(self, packed: bytes | memoryview) -> Any:
        """The value of what `dumps_typed` made as "msgpack"."""
        return rebuild(packed, self._allowed, self._listed)

    def _check(self, obj: object, packed: bytes) -> None:
        """Raise if something in there would not come back: objects of unlisted types first."""
        found = _type_names(packed)
        if not self._allowed.issuperset(found):
            self._refuse(found - self._allowed)
        if b"?" in packed and _has_half_characters(obj):
            _log.warning("Half a character (a lone surrogate) in a %s is kept as '?'", _describe(obj))
        if not self._listed.isdisjoint(found):
            changed = self._changed_part(obj, packed)
            if changed is not None:
                raise Unstorable(
                    _describe(obj),
                    f"{'.'.join(map(str, changed)) or 'it'} would not come back as it is",
                    "A listed class stands at the top level of its module, and its constructor takes all its fields.",
                )

    def _changed_part(self, obj: object, packed: bytes) -> tuple[object, ...] | None:
        """The way to the first part that would not come back as it is; None if all of it would.

        Only reading it back shows whether the constructor takes what is stored: an alias may keep it from that.
        """
        try:
            changed = _find_change(obj, self.loads_packed(packed))
        except ClassChanged:
            return ()
        if changed is not None and self._pack(obj)[1] != packed:
            return None  # another thread is editing it: what is stored is what it was
        return changed

    def _refuse(self, found: set[TypeName]) -> None:
        unlisted = sorted(found - self._allowed - {_LOST_ARRAY})
        if unlisted:
            raise UnlistedType(unlisted)
        raise Unstorable(".".join(min(found)), "LangGraph does not rebuild it", _PLAINER)

    def _pack(self, obj: Any) -> tuple[str, bytes]:
        kind: Any = type(obj)
        return self._upstream.dumps_typed(obj if is_model(kind) else self._still(obj))

    def _still(self, value: Any, level: int = 0) -> Any:
        """The value with all in it that another thread may edit while it is packed copied, or packed.

        MessagePack reads lists and dicts as they are, and a list that becomes shorter meanwhile would end the process.
        """
        top = [value]
        pending: list[tuple[Any, Any, int]] = [(top, 0, 0)]
        while pending:
            box, place, depth = pending.pop()
            part = box[place]
            kind = type(part)
            if depth == _DEEPEST_BOX or level == _DEEPEST_OBJECT:
                raise RecursionError
            if issubclass(kind, dict):
                box[place] = held = dict.copy(part)
                _check_keys(held)
                pending += [(held, key, depth + 1) for key, item in held.items() if type(item) not in LEAVES]
            elif issubclass(kind, list) or kind is tuple:
                box[place] = items = list.copy(part) if kind is not tuple else list(part)
                pending += [(items, at, depth + 1) for at, item in enumerate(items) if type(item) not in LEAVES]
            elif (named := _named_parts(part, kind)) is not None:
                code, parts = named
                packed = self._upstream.dumps_typed((kind.__module__, kind.__name__, self._still(parts, level + 1)))[1]
                box[place] = ormsgpack.Ext(code, packed)
            elif _type_name(kind) == _SNAPSHOT:
                box[place] = part._replace(value=self._still(part.value, level + 1))
        return top[0]

    def _explain(self, value: object, error: Exception) -> Unstorable:
        """The error that names the innermost part that cannot be packed."""
        way: set[int] = set()
        while not _is_endless(error) and (bad := [part for part in _parts(value).values() if not self._can_pack(part)]):
            way.add(id(value))
            value = bad[0]
            if id(value) in way:
                error = RecursionError()
        if isinstance(value, BaseModel) and not _is_endless(error):
            try:
                self._pack([value.model_dump()])
            except Exception as cause:  # whatever it is: LangGraph keeps to itself why a model cannot be dumped
                error = cause
        problem = "it is nested too deeply, or holds itself" if _is_endless(error) else in_one_line(error)
        return Unstorable(_describe(value), problem, "Keep plain values, models or dataclasses.")

    def _can_pack(self, value: object) -> bool:
        try:
            self._pack(value)
        except (ormsgpack.MsgpackEncodeError, RecursionError):
            return False
        return True


def _type_name(kind: type | TypeName) -> TypeName:
    return (kind.__module__, kind.__name__) if isinstance(kind, type) else kind


def _describe(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _type_names(packed: bytes) -> set[TypeName]:
    """The types of all objects in these bytes, at any depth."""
    found: set[TypeName] = set()

    def note(code: int, inner: bytes) -> None:
        if code in NAMED:
            module, name, *_ = ormsgpack.unpackb(inner, ext_hook=note, option=UNPACK)
            found.add((module, name))
        elif code == DELTA_SNAPSHOT:
            ormsgpack.unpackb(inner, ext_hook=note, option=UNPACK)
        elif code == NUMPY_ARRAY and inner[2:4] in (b"|O", b"|V"):
            found.add(_LOST_ARRAY)

    ormsgpack.unpackb(packed, ext_hook=note, option=UNPACK)
    return found


@cache
def is_model(kind: Any) -> bool:
    """Whether objects of this class are packed as a copy that they make."""
    return issubclass(kind, BaseModel)


def _is_endless(error: Exception) -> bool:
    return isinstance(error, RecursionError) or "Recursion limit" in str(error) or "Circular" in str(error)


def _named_parts(value: Any, kind: Any) -> tuple[int, Any] | None:
    """How LangGraph marks an object that other threads may edit, and what it packs of it; None if it is another."""
    if is_packed_by_fields(kind):
        return BY_NAME, {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if is_named_tuple(kind) and _type_name(kind) != _SNAPSHOT:
        return BY_NAME, value._asdict()
    if kind in (set, frozenset, deque):
        return ONE, tuple(value)
    if _type_name(kind) == ("langgraph.types", "Send"):
        return SEVERAL, (value.node, value.arg) if value.timeout is None else (value.node, value.arg, value.timeout)
    return None


def _check_keys(held: dict[Any, Any]) -> None:
    """Raise if a key in there would come back as another: a date as text, an enum member as its value."""
    for key in held:
        if type(key) is not str and not _is_kept_as_key(key):
            raise Unstorable(f"the key {key!r:.80}", "it would come back as another one", "Use text or a number.")


def _has_half_characters(value: object) -> bool:
    """Whether some text in there holds half a character, as MessagePack has only whole ones."""
    try:
        ormsgpack.packb(value, option=_INSIDE)
    except ormsgpack.MsgpackEncodeError:
        pass  # for another reason, perhaps
    else:
        return False
    pending = [value]
    while pending:
        value = pending.pop()
        parts = _parts(value)
        for part in (value, *parts):
            try:
                str.encode(part) if isinstance(part, str) else None
            except UnicodeEncodeError:
                return True
        pending += parts.values()
    return False


def _is_kept_as_key(key: object) -> bool:
    if isinstance(key, tuple):
        return all(map(_is_kept_as_key, key))
    return key is None or isinstance(key, (str, int, float, bytes))


def _parts(value: object) -> dict[Any, object]:
    """What is stored of a value, part by part; a dict of its own, as another thread may be editing the value."""
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        own = {name: getattr(value, name, None) for name, field in fields.items() if not field.exclude}
        return own | (value.model_extra or {})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (list, tuple, deque, set, frozenset)):
        return dict(enumerate(value))
    if type(value) not in LEAVES and isinstance(value, SendProtocol):  # a slow question, asked of every part
        return {"node": value.node, "arg": value.arg}
    return {}


def _find_change(was: object, now: object) -> tuple[object, ...] | None:
    """The way to the first part that came back as something else; None if all of it is as it was."""
    pending: list[tuple[tuple[object, ...], object, object]] = [((), was, now)]
    while pending:
        way, was, now = pending.pop()
        if not _is_kept(type(was), type(now)):
            return way
        if isinstance(was, str):
            if now not in (was, was.encode("utf-8", "replace").decode()):
                return way
        elif isinstance(was, (int, float)):
            if now != was and was == was:
                return way
        elif not isinstance(was, (BaseException, set, frozenset)) and not _is_known_model(was):
            mine, theirs = _parts(was), _parts(now)
            if mine.keys() != theirs.keys():
                return way
            pending += [((*way, name), part, theirs[name]) for name, part in reversed(mine.items())]
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
