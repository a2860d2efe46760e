"""A value's bytes, after a mark that says which form they have; what a serializer makes is kept as it makes it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import orjson
import ormsgpack
from langgraph.checkpoint.serde.base import SerializerProtocol

from signoff.checkpoints.saver.encoding.kinds import LEAVES
from signoff.checkpoints.saver.encoding.packing import pack_plain
from signoff.checkpoints.saver.encoding.serializer import StrictSerializer
from signoff.checkpoints.saver.encoding.streams import INLINE_BYTES

_MARKS: Final = {"msgpack": b"m", "null": b"n", "bytes": b"b", "bytearray": b"a"}
_KINDS: Final = {mark[0]: kind for kind, mark in _MARKS.items()}
_MSGPACK: Final = _MARKS["msgpack"][0]
_OTHER: Final = b"x"  # then the length of the kind's name, the name, and the bytes
_WITH_ARRAYS: Final = b"y"  # then the length of a list in 4 bytes, the list, and the bytes
_BYTES_MARKS: Final = (b"\xc4", b"\xc5", b"\xc6")
_BOXES: Final = frozenset({dict, list, tuple})
NO_VALUES: Final = ormsgpack.packb({})
_MANY: Final = 64


def _is_small(value: object) -> bool:
    return type(value) not in (str, bytes) or len(value) <= INLINE_BYTES  # type: ignore[arg-type]  # they have a length


class Payloads:
    """Packs values with a serializer, and unpacks them."""

    def __init__(self, serde: SerializerProtocol) -> None:
        self.serde = serde
        self._strict = serde if type(serde) is StrictSerializer else None

    def pack(self, value: Any) -> list[bytes]:
        """The bytes in parts; the first begins with the mark. A bytearray among lists and dicts is to stay one."""
        if self._strict is None:
            kind, body = self.serde.dumps_typed(value)
            return [(_MARKS.get(kind) or _OTHER + bytes([len(kind)]) + kind.encode()) + body]
        kind, parts = self._strict.dumps_parts(value)
        mark = _MARKS[kind]
        if type(value) in _BOXES and any(code in part for part in parts for code in _BYTES_MARKS):
            mark = with_bytearrays(_ways_to_bytearrays(value))
        return [mark + parts[0], *parts[1:]]

    def pack_whole(self, value: Any) -> bytes:
        return b"".join(self.pack(value))

    def take_plain(self, values: dict[str, Any]) -> bytes:
        """Take the small values out of a dict; their bytes, which are packed in one call with their names.

        Where there are many, all of them are, unless one is more than plain.
        """
        if self._strict is None:
            return NO_VALUES
        if len(values) > _MANY and (packed := pack_plain(values)) is not None and not _ways_to_bytearrays(values):
            values.clear()
            return packed
        plain = {name: value for name, value in values.items() if type(value) in LEAVES and _is_small(value)}
        packed = pack_plain(plain)
        if packed is None:
            return NO_VALUES
        for name in plain:
            del values[name]
        return packed

    def unpack_facts(self, body: bytes | memoryview) -> Any:
        """The same, where there is hardly ever more in them than plain values."""
        if body[0] == _MSGPACK and self._strict is not None:
            try:
                return ormsgpack.unpackb(memoryview(body)[1:], option=ormsgpack.OPT_NON_STR_KEYS)
            except ormsgpack.MsgpackDecodeError:
                pass  # something of a class, or damaged
        return self.unpack(body)

    def unpack(self, body: bytes | memoryview) -> Any:
        """The value in these bytes."""
        first = body[0]
        if first == _MSGPACK and self._strict is not None:
            return self._strict.loads_packed(memoryview(body)[1:])
        if (kind := _KINDS.get(first)) is not None:
            return self.serde.loads_typed((kind, bytes(body[1:])))
        if body[:1] == _OTHER:
            end = 2 + body[1]
            return self.serde.loads_typed((bytes(body[2:end]).decode(), bytes(body[end:])))
        end = 5 + int.from_bytes(body[1:5], "big")
        value = self.serde.loads_typed(("msgpack", bytes(body[end:])))
        for way in ormsgpack.unpackb(body[5:end]):
            _make_bytearray(value, way)
        return value


def with_bytearrays(ways: list[list[Any]]) -> bytes:
    """The mark of a packed value, of whose bytes these are to become bytearrays."""
    if not ways:
        return _MARKS["msgpack"]
    listed = ormsgpack.packb(ways, option=ormsgpack.OPT_NON_STR_KEYS)
    return _WITH_ARRAYS + len(listed).to_bytes(4, "big") + listed


def _ways_to_bytearrays(value: Any) -> list[list[Any]]:
    """The keys and places that lead to each bytearray among these lists and dicts."""
    found: list[list[Any]] = []
    pending: list[tuple[list[Any], Any]] = [([], value)]
    while pending:
        way, box = pending.pop()
        held = list(box.values()) if type(box) is dict else list(box)
        if not held or _are_numbers(held):
            continue
        kinds = set(map(type, held))
        if kinds.isdisjoint(_HELD) or (len(held) > _FEW and _holds_no_bytes(held)):
            continue
        for place, item in list(dict.copy(box).items()) if type(box) is dict else enumerate(held):
            if type(item) is bytearray:
                found.append([*way, place])
            elif type(item) in _BOXES:
                pending.append(([*way, place], item))
    return found


_HELD: Final = _BOXES | {bytearray}
_FEW: Final = 8


def _are_numbers(items: Sequence[Any]) -> bool:
    """Whether all are numbers: added up, which is far quicker than to look at the type of each."""
    if type(items[0]) not in (float, int):
        return False
    try:
        sum(items)
    except Exception:  # whatever it is: what stands after the numbers, such as an array, is added in its own way
        return False
    return True


def _holds_no_bytes(items: list[Any]) -> bool:
    """Whether there are surely no bytes in there: JSON has none, and is made in C."""
    if type(items[0]) in (list, tuple) and items[0] and type(items[0][0]) is float:
        return False  # of those it makes texts, digit by digit
    try:
        orjson.dumps(items, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS)
    except TypeError:
        return False
    return True


def _make_bytearray(value: Any, way: Sequence[Any]) -> None:
    """Make what stands there one; where another thread was at work when it was packed, it may be something else."""
    box = value
    with suppress(LookupError, TypeError):
        for place in way[:-1]:
            box = box[_as_key(place)]
        last = _as_key(way[-1])
        if isinstance(box[last], bytes):
            box[last] = bytearray(box[last])


def _as_key(place: Any) -> Any:
    """A key that is a tuple was packed as a list."""
    return tuple(map(_as_key, place)) if type(place) is list else place
