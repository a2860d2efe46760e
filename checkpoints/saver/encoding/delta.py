"""What is stored of a value, remembered so that the next time only what is new is written.

What change_detection.py cannot tell edits of is packed again each time, and its bytes are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import is_
from typing import Any, Final

from signoff.checkpoints.saver.encoding.change_detection import ChangeDetector, Marks
from signoff.checkpoints.saver.encoding.chunks import Piece, Seen, Tree, pair, payload

Pack = Callable[[Any], bytes]
"""Packs a value into the bytes of a payload."""

_WHOLE_BYTES: Final = 1024  # a list or dict up to this size is one payload
_WHOLE_ITEMS: Final = 64  # a longer one is not even tried
_WHOLE_NUMBERS: Final = 32 * 1024  # a list of numbers, such as an embedding, is one payload up to this size
_BOXES: Final = frozenset({list, dict, tuple})
_NUMBERS: Final = frozenset({int, float, bool, type(None)})
_MOST_LEVELS: Final = 32  # lists and dicts within each other that have trees; what lies deeper is one payload
_BLOCK_ITEMS: Final = 256  # so many messages, with all that is looked at in them, stay in a processor's cache


_UNREAD: Final = object()
"""Stands for a value that was not unpacked."""


class DeltaEncoder:
    """Turns values into pieces, sharing what is stored already, and lists the pieces that are new.

    With `whole` each value is one payload: whoever packs it is to have all of it in hand, and nothing stands beside.
    """

    def __init__(self, pack: Pack, seen: Seen, *, whole: bool = False) -> None:
        self.fresh: list[Piece] = []
        self.count = 0  # of values that were learned
        self.whole = whole
        self._pack, self._seen = pack, seen
        self._expected: dict[bytes, Piece] = {}
        self._level = 0

    def expect(self, pieces: Iterable[Piece]) -> None:
        """These are stored already, and some of what comes may be the same."""
        for piece in pieces:
            value = piece.parts[0] if piece.kind == "pair" else piece
            if value.kind == "payload" and not value.inline:
                self._expected[value.digest] = value

    def encode(
        self, value: Any, before: StoredContainer | None = None, *, is_seen_through: bool = False
    ) -> tuple[Piece, StoredContainer | None]:
        """The value's piece, and what holds its items if it has a tree of its own.

        A list or dict that stood in its place is brought up to date, and is its from now on. In a value that is seen
        through there is no bytearray.
        """
        kind: type = type(value)
        self.count += 1
        if kind not in _BOXES or self.whole or self._level == _MOST_LEVELS:
            return self._piece(self._pack(value)), None
        kind = dict if kind is dict else list  # which is what a tuple is read back as
        value = kind(value)  # another thread may be editing it
        if before is not None and value and before.kind is kind and self._update(before, value):
            return before.tree.top, before
        are_numbers = kind is list and set(map(type, value)) <= _NUMBERS
        body = self._pack(value) if len(value) <= _WHOLE_ITEMS or are_numbers else b""
        is_small = 0 < len(body) <= (_WHOLE_NUMBERS if are_numbers else _WHOLE_BYTES)
        if value and not (is_small and (is_seen_through or are_numbers or not _holds_bytearray(value))):
            container = StoredContainer(kind)
            if self._update(container, value):
                return container.tree.top, container
        return self._piece(body or self._pack(value)), None

    def _update(self, container: StoredContainer, value: list[Any] | dict[Any, Any]) -> bool:
        self._level += 1
        is_done = container.update(value, self)
        self._level -= 1
        return is_done

    def _piece(self, body: bytes) -> Piece:
        piece = payload(body)
        return piece if piece.inline else self.store(piece)

    def store(self, piece: Piece) -> Piece:
        """The piece as it is stored already, or itself, which is stored with what is fresh."""
        earlier = self._seen.get(piece.digest) or self._expected.get(piece.digest)
        if earlier is not None and earlier.kind == piece.kind:
            return earlier
        self._seen.add(piece)
        self.fresh.append(piece)
        return piece


class _Block:
    """The change detector of a run of items, and how far it had come before each of them and after the last."""

    __slots__ = ("_marks", "detector")

    def __init__(self) -> None:
        self.detector = ChangeDetector()
        self._marks: list[Marks] = [self.detector.marks]

    def end_item(self) -> None:
        """What was added since the last item ended is about one more."""
        self._marks.append(self.detector.marks)

    def part(self, place: int) -> ChangeDetector:
        return self.detector.part(self._marks[place], self._marks[place + 1])


class _Items:
    """The items of a list or dict, as they were when it was stored."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.containers: dict[int, StoredContainer] = {}  # of items that are lists and dicts with trees of their own
        self.undetectable: set[int] = set()
        self._blocks: list[_Block] = []

    def learn(self, value: Any, encoder: DeltaEncoder, before: StoredContainer | None = None) -> Piece:
        """Take a value in as it is now; returns its piece."""
        block = self._block()
        start = block.detector.marks
        is_detectable = not encoder.whole and before is None and block.detector.add(value)
        # After the look: what is edited in between is found the next time.
        piece, container = encoder.encode(value, before, is_seen_through=is_detectable)
        if container is not None:
            block.detector.cut(start)
            self.containers[len(self.values)] = container
        elif not is_detectable:
            self.undetectable.add(len(self.values))
        self.values.append(value)
        block.end_item()
        return piece

    def take_over(self, container: StoredContainer | None) -> None:
        """Take an item in that was read but not unpacked: no value is it, so that nothing passes for unchanged."""
        if container is not None:
            self.containers[len(self.values)] = container
        else:
            self.undetectable.add(len(self.values))
        block = self._block()
        self.values.append(_UNREAD)
        block.end_item()

    def keep(self, items: _Items, place: int, value: Any) -> bool:
        """Take an item of another list or dict over, if it is this value and unchanged."""
        if items.values[place] is not value or place in items.undetectable or place in items.containers:
            return False
        part = items._blocks[place // _BLOCK_ITEMS].part(place % _BLOCK_ITEMS)
        if not part.is_unedited():
            return False
        block = self._block()
        block.detector.extend(part)
        self.values.append(value)
        block.end_item()
        return True

    def is_unedited_start_of(self, values: list[Any]) -> bool:
        """Whether these values begin with the items, and none of them was edited, as far as that is seen.

        A block at a time: this is asked at every step, and its time is that of fetching memory.
        """
        if len(self.values) > len(values) or self.undetectable:
            return False
        for number, block in enumerate(self._blocks):
            start = number * _BLOCK_ITEMS
            mine = self.values[start : start + _BLOCK_ITEMS]
            if not all(map(is_, values[start : start + _BLOCK_ITEMS], mine)) or not block.detector.is_unedited():
                return False
        return True

    def _block(self) -> _Block:
        """The block of the next item."""
        if len(self.values) == len(self._blocks) * _BLOCK_ITEMS:
            self._blocks.append(_Block())
        return self._blocks[-1]


class StoredContainer:
    """A list or dict as it is stored: its items, and the tree of chunks over them."""

    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.tree = Tree("list" if kind is list else "dict")
        self._keys: list[str] = []
        self._items = _Items()

    def adopt(self, keys: list[str], containers: Iterable[StoredContainer | None], pieces: list[Piece]) -> None:
        """Remember items that were read, with what holds theirs; the tree's chunks are set by the reader."""
        self._keys, self.tree.items = keys, pieces
        for container in containers:
            self._items.take_over(container)

    def update(self, value: Any, encoder: DeltaEncoder) -> bool:
        """Bring items and tree up to this value, a copy of ours; False if it is a dict with keys other than texts."""
        keys = list(value) if self.kind is dict else []
        items = list(value.values()) if self.kind is dict else value
        count = len(self._items.values)
        if keys[: len(self._keys)] == self._keys and self._items.is_unedited_start_of(items):
            if not _are_texts(keys[count:]):
                return False
            self._extend(keys, items, encoder)
            return True
        if not _are_texts(keys):
            return False
        self._compare(keys, items, encoder)
        return True

    def _extend(self, keys: list[str], items: list[Any], encoder: DeltaEncoder) -> None:
        """Take over further items; of the others only lists and dicts may have changed, in their own items."""
        pieces, count = list(self.tree.items), len(self._items.values)
        least = count
        for index, container in list(self._items.containers.items()):
            top = container.tree.top
            piece, now = encoder.encode(items[index], container)
            if now is not container:  # it no longer has a tree of its own
                self._compare(keys, items, encoder)
                return
            if piece is not top:
                pieces[index] = self._item(keys, index, piece)
                least = min(least, index)
        if least < count or count < len(items) or not pieces:
            pieces += [self._item(keys, at, self._items.learn(items[at], encoder)) for at in range(count, len(items))]
            self._keys = keys
            self.tree.regrow(pieces, least, encoder.store)

    def _compare(self, keys: list[str], items: list[Any], encoder: DeltaEncoder) -> None:
        """Take over a value that may differ anywhere, item by item."""
        before, old_pieces = self._items, self.tree.items
        encoder.expect(old_pieces)
        now = _Items()
        used: set[int] = set()
        pieces: list[Piece] = []
        kept = 0
        for index, (item, place) in enumerate(zip(items, self._places(keys, items), strict=True)):
            if place >= 0 and now.keep(before, place, item):
                piece = old_pieces[place].parts[0] if self.kind is dict else old_pieces[place]
            else:
                container = before.containers.get(place) if place not in used else None
                piece = now.learn(item, encoder, container)
                if container is not None and now.containers.get(index) is container:
                    used.add(place)
            piece = self._item(keys, index, piece)
            if index < len(old_pieces) and piece.digest == old_pieces[index].digest:
                piece = old_pieces[index]
                kept += kept == index
            pieces.append(piece)
        self._keys, self._items = keys, now
        self.tree.regrow(pieces, kept, encoder.store)

    def _places(self, keys: list[str], items: list[Any]) -> list[int]:
        """Where each item stood before, or what stood in its place; -1 if it is new."""
        if self.kind is dict:
            by_key = {key: index for index, key in enumerate(self._keys)}
            return [by_key.get(key, -1) for key in keys]
        by_identity = {id(item): index for index, item in enumerate(self._items.values)}
        places = [by_identity.get(id(item), -1) for item in items]
        moved = set(places)
        return [
            index if place < 0 and index < len(self._items.values) and index not in moved else place
            for index, place in enumerate(places)
        ]

    def _item(self, keys: list[str], index: int, piece: Piece) -> Piece:
        return pair(keys[index], piece) if self.kind is dict else piece


def _holds_bytearray(value: list[Any] | dict[Any, Any]) -> bool:
    """Whether a bytearray is among these lists and dicts: packed by itself it comes back as one, with them as bytes."""
    pending: list[Any] = [value]
    while pending:
        held = pending.pop()
        items = list(held.values()) if type(held) is dict else list(held)
        kinds = set(map(type, items))
        if bytearray in kinds:
            return True
        if not kinds.isdisjoint(_BOXES):
            pending += [item for item in items if type(item) in _BOXES]
    return False


def _are_texts(keys: list[Any]) -> bool:
    """Whether these are texts that can be stored as they are."""
    if not set(map(type, keys)) <= {str}:
        return False
    try:
        "".join(keys).encode()
    except UnicodeEncodeError:  # half a character: the serializer has its own way with those
        return False
    return True
