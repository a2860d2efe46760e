"""What is stored of a value, remembered so that the next time only what is new is written.

What cannot be watched for edits (watch.py) is packed again each time, and its bytes are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import is_
from typing import Any, Final

from signoff.checkpoints.pieces import Piece, Seen, Tree, pair, payload
from signoff.checkpoints.watch import LEAVES, NOTHING, Marks, Watch, watch

Pack = Callable[[Any], bytes]
"""Packs a value into the bytes of a payload."""

_WHOLE_BYTES: Final = 1024  # a list or dict up to this size is one payload
_WHOLE_ITEMS: Final = 64  # a longer one is not even tried


class Known:
    """A value as it is stored. `watch` is None if it cannot be watched, or has a holder that sees to that."""

    __slots__ = ("holder", "piece", "value", "watch")

    def __init__(
        self, value: Any, piece: Piece, *, watch: Watch | None = NOTHING, holder: Holder | None = None
    ) -> None:
        self.value, self.piece, self.watch, self.holder = value, piece, watch, holder


class Weaver:
    """Turns values into pieces, sharing what is stored already, and lists the pieces that are new."""

    def __init__(self, pack: Pack, seen: Seen) -> None:
        self.fresh: list[Piece] = []
        self._pack, self._seen = pack, seen

    def know(self, value: Any, before: Holder | None = None) -> Known:
        """The value as pieces. A list or dict that stood in its place is brought up to date, and is its from now on."""
        kind = type(value)
        if kind in LEAVES:
            return Known(value, self._piece(self._pack(value)))
        if kind is list or kind is dict:
            if before is not None and value and before.kind is kind and before.hold(value, self):
                return Known(value, before.tree.top, watch=None, holder=before)
            body = self._pack(value) if len(value) <= _WHOLE_ITEMS else b""
            if value and not 0 < len(body) <= _WHOLE_BYTES:
                holder = Holder(kind)
                if holder.hold(value, self):
                    return Known(value, holder.tree.top, watch=None, holder=holder)
                body = body or self._pack(value)
        else:
            body = self._pack(value)
        return Known(value, self._piece(body), watch=watch(value))

    def piece_of(self, value: Any) -> Piece:
        """The value as pieces; nothing of it is remembered, as nothing will stand in its place."""
        if type(value) is list or type(value) is dict:
            return self.know(value).piece
        return self._piece(self._pack(value))

    def _piece(self, body: bytes) -> Piece:
        piece = payload(body)
        if piece.inline:
            return piece
        earlier = self._seen.get(piece.digest)
        if earlier is not None:
            return earlier
        self._seen.add(piece)
        self.fresh.append(piece)
        return piece


class Holder:
    """A list or dict as it is stored: its items, and the tree of chunks over them."""

    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.tree = Tree("list" if kind is list else "dict")
        self._keys: list[str] = []
        self._items: list[Any] = []
        self._watch = Watch()
        self._marks: list[Marks] = [self._watch.marks]  # before each item, and after the last
        self._holders: dict[int, Holder] = {}  # of items that are lists and dicts with trees of their own
        self._unwatched: set[int] = set()

    def adopt(self, keys: list[str], known: list[Known], pieces: list[Piece]) -> None:
        """Remember items that were read; the tree's chunks are set by the reader."""
        self._keys, self.tree.items = keys, pieces
        self._add(known)

    def count_same(self, values: dict[str, Any]) -> int:
        """How many items come from what is remembered, not from another reading of it: the same, or with one in it."""
        same = 0
        for index, key in enumerate(self._keys):
            value = values.get(key)
            if value is not None and type(value) not in LEAVES:
                holder = self._holders.get(index)
                same += value is self._items[index] or (holder is not None and holder._has_first_of(value))
        return same

    def hold(self, value: Any, weaver: Weaver) -> bool:
        """Bring items and tree up to this value; False if it is a dict with keys other than texts."""
        keys, items = (list(value), list(value.values())) if self.kind is dict else ([], list(value))
        count = len(self._items)
        if (
            count <= len(items)
            and not self._unwatched
            and keys[:count] == self._keys
            and all(map(is_, items, self._items))
            and self._watch.is_unedited()
        ):
            if not _are_texts(keys[count:]):
                return False
            self._extend(keys, items[count:], weaver)
            return True
        if not _are_texts(keys):
            return False
        self._compare(keys, items, weaver)
        return True

    def _extend(self, keys: list[str], added: list[Any], weaver: Weaver) -> None:
        """Take over further items; of the others only lists and dicts may have changed, in their own items."""
        pieces, count = self.tree.items, len(self._items)
        least = count
        for index, holder in list(self._holders.items()):
            top = holder.tree.top
            now = weaver.know(self._items[index], holder)
            if now.holder is not holder:  # it no longer has a tree of its own
                self._compare(keys, self._items + added, weaver)
                return
            if now.piece is not top:
                pieces[index] = self._item(keys, index, now.piece)
                least = min(least, index)
        if least < count or added or not pieces:
            fresh = [weaver.know(item) for item in added]
            pieces += [self._item(keys, count + offset, known.piece) for offset, known in enumerate(fresh)]
            self._keys = keys
            self._add(fresh)
            self.tree.regrow(pieces, least, weaver.fresh)

    def _compare(self, keys: list[str], items: list[Any], weaver: Weaver) -> None:
        """Take over a value that may differ anywhere, item by item."""
        places, old_pieces = self._places(keys, items), self.tree.items
        used: set[int] = set()
        known: list[Known] = []
        pieces: list[Piece] = []
        kept = 0
        for index, (item, place) in enumerate(zip(items, places, strict=True)):
            now = None
            if place >= 0 and place not in used:
                now = self._unedited(place, item)
                holder = self._holders.get(place)
                if now is None:
                    now = weaver.know(item, holder)
                if now.holder is holder:
                    used.add(place)
            if now is None:
                now = weaver.know(item)
            known.append(now)
            piece = self._item(keys, index, now.piece)
            if index < len(old_pieces) and piece.digest == old_pieces[index].digest:
                piece = old_pieces[index]
                kept += kept == index
            pieces.append(piece)
        self._keys, self._items = keys, []
        self._watch, self._marks = Watch(), [NOTHING.marks]
        self._holders, self._unwatched = {}, set()
        self._add(known)
        self.tree.regrow(pieces, kept, weaver.fresh)

    def _places(self, keys: list[str], items: list[Any]) -> list[int]:
        """Where each item stood before, or what stood in its place; -1 if it is new."""
        if self.kind is dict:
            by_key = {key: index for index, key in enumerate(self._keys)}
            return [by_key.get(key, -1) for key in keys]
        by_identity = {id(item): index for index, item in enumerate(self._items)}
        places = [by_identity.get(id(item), -1) for item in items]
        moved = set(places)
        return [
            index if place < 0 and index < len(self._items) and index not in moved else place
            for index, place in enumerate(places)
        ]

    def _unedited(self, place: int, item: Any) -> Known | None:
        """What was remembered of the item that stood there, if it is the same and unchanged."""
        if self._items[place] is not item or place in self._unwatched or place in self._holders:
            return None
        watch = self._watch.part(self._marks[place], self._marks[place + 1])
        if not watch.is_unedited():
            return None
        piece = self.tree.items[place]
        return Known(item, piece.parts[0] if self.kind is dict else piece, watch=watch)

    def _item(self, keys: list[str], index: int, piece: Piece) -> Piece:
        return pair(keys[index], piece) if self.kind is dict else piece

    def _add(self, added: Iterable[Known]) -> None:
        """Remember further items."""
        for known in added:
            index = len(self._items)
            self._items.append(known.value)
            if known.holder is not None:
                self._holders[index] = known.holder
            elif known.watch is None:
                self._unwatched.add(index)
            else:
                self._watch.extend(known.watch)
            self._marks.append(self._watch.marks)

    def _has_first_of(self, value: Any) -> bool:
        first = next(iter(value.values() if type(value) is dict else value if type(value) is list else ()), None)
        return first is not None and bool(self._items) and first is self._items[0]


def _are_texts(keys: Iterable[Any]) -> bool:
    return set(map(type, keys)) <= {str}
