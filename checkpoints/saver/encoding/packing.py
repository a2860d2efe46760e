"""Plain values and known models, checked and packed in C: no function of Python's is called in between.

Whatever is more than that is none of this file's: the serializer looks into it.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import ormsgpack

from signoff.checkpoints.saver.encoding.kinds import field_count
from signoff.checkpoints.saver.encoding.rebuilding import MODEL, ONE

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


_PLAIN_ONLY: Final = (
    ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_UUID
)
_PLAIN: Final = frozenset({bool, dict, float, int, list, str, tuple})
_SEQUENCES: Final = frozenset({deque, frozenset, set})
_KEYS: Final = frozenset({bool, bytes, float, int, str, type(None)})


def pack_plain(obj: Any) -> bytes | None:
    """The bytes of plain values, checked and packed in C; None if there is more in there."""
    kind = type(obj)
    try:
        if kind in _PLAIN:
            return ormsgpack.packb(obj, option=_PLAIN_ONLY)
        if kind in _SEQUENCES:
            return ormsgpack.packb(
                ormsgpack.Ext(ONE, ormsgpack.packb((kind.__module__, kind.__name__, tuple(obj)), option=_PLAIN_ONLY))
            )
    except ormsgpack.MsgpackEncodeError:
        if kind is dict and (held := dict.copy(obj)) and set(map(type, held)) <= _KEYS:
            return _pack_by_numbers(held)
    except RuntimeError:
        pass  # another thread is editing it
    return None


def _pack_by_numbers(held: dict[Any, Any]) -> bytes | None:
    """The bytes of a dict whose keys are not all texts; None if its values are not plain."""
    try:
        ormsgpack.packb(list(held.values()), option=_PLAIN_ONLY)
        return ormsgpack.packb(held, option=_PLAIN_ONLY | ormsgpack.OPT_NON_STR_KEYS)
    except ormsgpack.MsgpackEncodeError:
        return None


def pack_model(model: Any, kind: Any) -> bytes | None:
    """The bytes of a known model that holds plain values, as LangGraph marks it; None if there is more to it."""
    if not (count := field_count(kind)) or (kind.__module__, kind.__name__) not in KNOWN:
        return None
    held, extra = model.__dict__, model.__pydantic_extra__
    if extra:
        held = {**held, **extra}
        count = len(held)
    if len(held) != count:
        return None
    try:
        packed = ormsgpack.packb((kind.__module__, kind.__name__, held, "model_validate_json"), option=_PLAIN_ONLY)
    except ormsgpack.MsgpackEncodeError:
        return None
    return ormsgpack.packb(ormsgpack.Ext(MODEL, packed))


def box_header(count: int, *, is_dict: bool) -> bytes:
    """What a list or dict of so many items begins with."""
    if count < 16:
        return bytes([(0x80 if is_dict else 0x90) | count])
    code = 0xDE if is_dict else 0xDC
    return bytes([code]) + count.to_bytes(2, "big") if count < 1 << 16 else bytes([code + 1]) + count.to_bytes(4, "big")
