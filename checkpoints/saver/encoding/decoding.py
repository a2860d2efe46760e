"""From stored pieces back to values, and to what the next checkpoint is compared with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel

from signoff.checkpoints.saver.encoding.change_detection import LEAVES
from signoff.checkpoints.saver.encoding.chunks import Kind, Piece, Tree, chunk_of, is_payload, pair, payload, unpack
from signoff.checkpoints.saver.encoding.delta import StoredContainer

Fetch = Callable[[Collection[int]], Mapping[int, bytes]]
"""The bytes of the thread's pieces with these numbers."""

Unpack = Callable[[bytes], Any]
"""The value in the bytes of a payload."""

Part = int | bytes
"""What stands for a piece in a chunk: its number, or its bytes."""


@dataclass(slots=True)
class _Open:
    """A list or dict read down to its items: its chunks, level by level from the items up."""

    kind: Kind
    keys: list[str]
    parts: list[Part]
    levels: list[list[tuple[Part, int]]]  # for each level its chunks: what stands for it, and how many parts it has


class Decoder:
    """Reads values of one thread. What was fetched is kept for as long as the reader is.

    With `many` checkpoints to read, what they share is unpacked once: each gets copies of its own.
    """

    def __init__(self, fetch: Fetch, unpack_value: Unpack, *, many: bool = False) -> None:
        self._fetch, self._unpack, self._many = fetch, unpack_value, many
        self._bodies: dict[int, bytes] = {}
        self.count = 0  # of items whose pieces were read to be remembered
        self._originals: dict[int, Original | None] = {}

    def values(self, part: Part, *, only: Collection[str] | None = None) -> dict[str, Any]:
        """The dict that this stands for; `only` names the keys that are wanted."""
        opened = self._open(part)
        wanted = [at for at, key in enumerate(opened.keys) if only is None or key in only]
        parts = [opened.parts[at] for at in wanted]
        return {
            opened.keys[at]: self._value(part, body)
            for at, part, body in zip(wanted, parts, self._bodies_of(parts), strict=True)
        }

    def value(self, part: Part) -> Any:
        return self._value(part, self._bodies_of([part])[0])

    def keys(self, part: Part) -> list[str]:
        """The keys of the dict that this stands for; no value is read."""
        return self._open(part).keys

    def container(self, part: Part) -> StoredContainer:
        """The list or dict of this, as it is stored. Values are not unpacked: none passes for unchanged."""
        opened = self._open(part)
        items: list[StoredContainer | None] = []
        pieces: list[Piece] = []
        for at, (item, body) in enumerate(zip(opened.parts, self._bodies_of(opened.parts), strict=True)):
            if is_payload(body):
                piece = payload(body)
                if type(item) is int:
                    piece.number, piece.body = item, None
                items.append(None)
            else:
                container = self.container(item)
                piece = container.tree.top
                items.append(container)
            pieces.append(pair(opened.keys[at], piece) if opened.kind == "dict" else piece)
        self.count += len(items)
        remembered = StoredContainer(dict if opened.kind == "dict" else list)
        remembered.adopt(opened.keys, items, pieces)
        _adopt(remembered.tree, pieces, opened)
        return remembered

    def reachable(self, parts: Collection[Part]) -> set[int]:
        """The numbers of all pieces that these lead to, their own included."""
        found = {part for part in parts if type(part) is int}
        pending = [part for part in parts if type(part) is bytes] + list(self._fetch(found).values())
        while pending:
            numbers: set[int] = set()
            for body in pending:
                if not is_payload(body):
                    for part in unpack(body)[1]:
                        if type(part) is int:
                            numbers.add(part)
                        elif type(part) is bytes and not is_payload(part):
                            pending.append(part)  # a chunk that stands in another
            numbers -= found
            found |= numbers
            pending = list(self._fetch(numbers).values()) if numbers else []
        return found

    def _value(self, part: Part, body: bytes) -> Any:
        if is_payload(body):
            return self._shared(part, body) if self._many and type(part) is int else self._unpack(body)
        opened = self._open(part)
        items = [self._value(*item) for item in zip(opened.parts, self._bodies_of(opened.parts), strict=True)]
        return dict(zip(opened.keys, items, strict=True)) if opened.kind == "dict" else items

    def _shared(self, number: int, body: bytes) -> Any:
        if number not in self._originals:
            value = self._unpack(body)
            self._originals[number] = Original(value) if Original.can_be(value) else None
        original = self._originals[number]
        return self._unpack(body) if original is None else original.copy()

    def _open(self, part: Part) -> _Open:
        kind, parts = unpack(self._bodies_of([part])[0])
        levels: list[list[tuple[Part, int]]] = [[(part, len(parts) // (2 if kind == "dict" else 1))]]
        while kind == "branch":
            row = cast(list[Part], parts)
            parts = []
            chunks: list[tuple[Part, int]] = []
            for number, body in zip(row, self._bodies_of(row), strict=True):
                kind, below = unpack(body)
                parts += below
                chunks.append((number, len(below) // (2 if kind == "dict" else 1)))
            levels.append(chunks)
        levels.reverse()
        if kind == "dict":
            return _Open(kind, cast(list[str], parts[::2]), cast(list[Part], parts[1::2]), levels)
        return _Open(kind, [], cast(list[Part], parts), levels)

    def _bodies_of(self, parts: Sequence[Part]) -> list[bytes]:
        missing = {part for part in parts if type(part) is int and part not in self._bodies}
        if missing:
            self._bodies.update(self._fetch(missing))
        return [part if type(part) is bytes else self._bodies[cast(int, part)] for part in parts]


def _adopt(tree: Tree, pieces: list[Piece], opened: _Open) -> None:
    """Give the tree the chunks as they are stored."""
    row: list[Piece] = pieces
    kind: Kind = opened.kind
    rows = []
    for level in opened.levels:
        starts: list[int] = []
        chunks: list[Piece] = []
        start = 0
        for part, count in level:
            chunk = chunk_of(kind, row[start : start + count])
            if type(part) is int:
                chunk.number = part
            starts.append(start)
            chunks.append(chunk)
            start += count
        rows.append((starts, chunks))
        row, kind = chunks, "branch"
    tree.adopt(rows)


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
