"""What is stored of a value, remembered so that the next time only what is new is written.

What cannot be watched for edits (watch.py) is packed again each time, and its bytes are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import is_
from typing import Any, Final

from signoff.checkpoints.saver.encoding.change_detection import Marks, Watch
from signoff.checkpoints.saver.encoding.chunks import Piece, Seen, Tree, pair, payload

Pack = Callable[[Any], bytes]
"""Packs a value into the bytes of a payload."""

_WHOLE_BYTES: Final = 1024  # a list or dict up to this size is one payload
_WHOLE_ITEMS: Final = 64  # a longer one is not even tried
_WHOLE_NUMBERS: Final = 32 * 1024  # a list of numbers, such as an embedding, is one payload up to this size
_NUMBERS: Final = frozenset({int, float, bool, type(None)})
_BLOCK_ITEMS: Final = 256  # so many messages, with all that is looked at in them, stay in a processor's cache


_UNREAD: Final = object()
"""Stands for a value that was not unpacked."""


class Known:
    """A value as it is stored: its piece, and what holds its items if it has a tree of its own."""

    __slots__ = ("holder", "piece", "value")

    def __init__(self, value: Any, piece: Piece, holder: Holder | None = None) -> None:
        self.value, self.piece, self.holder = value, piece, holder


class Weaver:
    """Turns values into pieces, sharing what is stored already, and lists the pieces that are new."""

    def __init__(self, pack: Pack, seen: Seen) -> None:
        self.fresh: list[Piece] = []
        self.count = 0  # of values that were learned
        self._pack, self._seen = pack, seen
        self._expected: dict[bytes, Piece] = {}

    def expect(self, pieces: Iterable[Piece]) -> None:
        """These are stored already, and some of what comes may be the same."""
        for piece in pieces:
            value = piece.parts[0] if piece.kind == "pair" else piece
            if value.kind == "payload" and not value.inline:
                self._expected[value.digest] = value

    def know(self, value: Any, before: Holder | None = None) -> Known:
        """The value as pieces. A list or dict that stood in its place is brought up to date, and is its from now on."""
        kind = type(value)
        self.count += 1
        if kind is list or kind is dict:
            if before is not None and value and before.kind is kind and before.hold(value, self):
                return Known(value, before.tree.top, before)
            are_numbers = kind is list and set(map(type, value)) <= _NUMBERS
            body = self._pack(value) if len(value) <= _WHOLE_ITEMS or are_numbers else b""
            if value and not 0 < len(body) <= (_WHOLE_NUMBERS if are_numbers else _WHOLE_BYTES):
                holder = Holder(kind)
                if holder.hold(value, self):
                    return Known(value, holder.tree.top, holder)
                body = body or self._pack(value)
        else:
            body = self._pack(value)
        return Known(value, self._piece(body))

    def _piece(self, body: bytes) -> Piece:
        piece = payload(body)
        if piece.inline:
            return piece
        earlier = self._seen.get(piece.digest) or self._expected.get(piece.digest)
        if earlier is not None:
            return earlier
        self._seen.add(piece)
        self.fresh.append(piece)
        return piece


class _Block:
    """The watch over a run of items, and how far it had come before each of them and after the last."""

    __slots__ = ("_marks", "watch")

    def __init__(self) -> None:
        self.watch = Watch()
        self._marks: list[Marks] = [self.watch.marks]

    def end_item(self) -> None:
        """What was added since the last item ended is the watch over one more."""
        self._marks.append(self.watch.marks)

    def part(self, place: int) -> Watch:
        """The watch over one item."""
        return self.watch.part(self._marks[place], self._marks[place + 1])


class _Items:
    """The items of a list or dict, as they were when it was stored."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.holders: dict[int, Holder] = {}  # of items that are lists and dicts with trees of their own
        self.unwatched: set[int] = set()
        self._blocks: list[_Block] = []

    def learn(self, value: Any, weaver: Weaver, before: Holder | None = None) -> Piece:
        """Take a value in as it is now; returns its piece."""
        block = self._block()
        start = block.watch.marks
        is_watched = before is not None or block.watch.add(value)
        known = weaver.know(value, before)  # after the look: what is edited in between is found the next time
        if known.holder is not None:
            block.watch.cut(start)
            self.holders[len(self.values)] = known.holder
        elif not is_watched or before is not None:
            self.unwatched.add(len(self.values))
        self.values.append(value)
        block.end_item()
        return known.piece

    def take_over(self, holder: Holder | None) -> None:
        """Take an item in that was read but not unpacked: no value is it, so that nothing passes for unchanged."""
        if holder is not None:
            self.holders[len(self.values)] = holder
        else:
            self.unwatched.add(len(self.values))
        block = self._block()
        self.values.append(_UNREAD)
        block.end_item()

    def keep(self, items: _Items, place: int, value: Any) -> bool:
        """Take an item of another list or dict over, if it is this value and unchanged."""
        if items.values[place] is not value or place in items.unwatched or place in items.holders:
            return False
        part = items._blocks[place // _BLOCK_ITEMS].part(place % _BLOCK_ITEMS)
        if not part.is_unedited():
            return False
        block = self._block()
        block.watch.extend(part)
        self.values.append(value)
        block.end_item()
        return True

    def is_unedited_start_of(self, values: list[Any]) -> bool:
        """Whether these values begin with the items, and none of them was edited, as far as it is watched.

        A block at a time: this is asked at every step, and its time is that of fetching memory.
        """
        if len(self.values) > len(values) or self.unwatched:
            return False
        for number, block in enumerate(self._blocks):
            start = number * _BLOCK_ITEMS
            mine = self.values[start : start + _BLOCK_ITEMS]
            if not all(map(is_, values[start : start + _BLOCK_ITEMS], mine)) or not block.watch.is_unedited():
                return False
        return True

    def _block(self) -> _Block:
        """The block of the next item."""
        if len(self.values) == len(self._blocks) * _BLOCK_ITEMS:
            self._blocks.append(_Block())
        return self._blocks[-1]


class Holder:
    """A list or dict as it is stored: its items, and the tree of chunks over them."""

    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.tree = Tree("list" if kind is list else "dict")
        self._keys: list[str] = []
        self._items = _Items()

    def adopt(self, keys: list[str], holders: Iterable[Holder | None], pieces: list[Piece]) -> None:
        """Remember items that were read, with what holds theirs; the tree's chunks are set by the reader."""
        self._keys, self.tree.items = keys, pieces
        for holder in holders:
            self._items.take_over(holder)

    def hold(self, value: Any, weaver: Weaver) -> bool:
        """Bring items and tree up to this value; False if it is a dict with keys other than texts."""
        keys = list(value) if self.kind is dict else []
        items = list(map(value.__getitem__, keys)) if self.kind is dict else list(value)
        count = len(self._items.values)
        if keys[: len(self._keys)] == self._keys and self._items.is_unedited_start_of(items):
            if not _are_texts(keys[count:]):
                return False
            self._extend(keys, items, weaver)
            return True
        if not _are_texts(keys):
            return False
        self._compare(keys, items, weaver)
        return True

    def _extend(self, keys: list[str], items: list[Any], weaver: Weaver) -> None:
        """Take over further items; of the others only lists and dicts may have changed, in their own items."""
        pieces, count = list(self.tree.items), len(self._items.values)
        least = count
        for index, holder in list(self._items.holders.items()):
            top = holder.tree.top
            now = weaver.know(items[index], holder)
            if now.holder is not holder:  # it no longer has a tree of its own
                self._compare(keys, items, weaver)
                return
            if now.piece is not top:
                pieces[index] = self._item(keys, index, now.piece)
                least = min(least, index)
        if least < count or count < len(items) or not pieces:
            pieces += [self._item(keys, at, self._items.learn(items[at], weaver)) for at in range(count, len(items))]
            self._keys = keys
            self.tree.regrow(pieces, least, weaver.fresh)

    def _compare(self, keys: list[str], items: list[Any], weaver: Weaver) -> None:
        """Take over a value that may differ anywhere, item by item."""
        before, old_pieces = self._items, self.tree.items
        weaver.expect(old_pieces)
        now = _Items()
        used: set[int] = set()
        pieces: list[Piece] = []
        kept = 0
        for index, (item, place) in enumerate(zip(items, self._places(keys, items), strict=True)):
            if place >= 0 and now.keep(before, place, item):
                piece = old_pieces[place].parts[0] if self.kind is dict else old_pieces[place]
            else:
                holder = before.holders.get(place) if place not in used else None
                piece = now.learn(item, weaver, holder)
                if holder is not None and now.holders.get(index) is holder:
                    used.add(place)
            piece = self._item(keys, index, piece)
            if index < len(old_pieces) and piece.digest == old_pieces[index].digest:
                piece = old_pieces[index]
                kept += kept == index
            pieces.append(piece)
        self._keys, self._items = keys, now
        self.tree.regrow(pieces, kept, weaver.fresh)

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


def _are_texts(keys: list[Any]) -> bool:
    """Whether these are texts that can be stored as they are."""
    if not set(map(type, keys)) <= {str}:
        return False
    try:
        "".join(keys).encode()
    except UnicodeEncodeError:  # half a character: the serializer has its own way with those
        return False
    return True
