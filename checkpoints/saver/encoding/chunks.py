"""What a stored value is made of: pieces, each written once and shared by every checkpoint that still holds it.

A small value is one payload, as the serializer packs it. A list or dict is a tree of chunks over the payloads of its
items. Where a chunk ends depends on what is in it, not on where it stands, so that adding, removing or editing
an item changes its own chunk and the path above it, and leaves all the others as they are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from typing import Final, Literal

import ormsgpack

Kind = Literal["payload", "list", "dict", "branch", "pair"]
"""A payload; a chunk of list items; a chunk of dict items; a chunk of chunks; one key with its value."""

INLINE_BYTES: Final = 96
"""A piece up to this size stands in whatever refers to it; a larger one gets a row of its own."""

_REFERENCE_BYTES: Final = 5
_CHUNK_BYTES: Final = 512  # what a chunk aims at, where its items stand in it
_REFERENCE_COST: Final = _CHUNK_BYTES // 32  # a chunk of references aims at 32 of them
_LEAST_ITEMS: Final = 4  # so that every level is smaller than the one below
_MOST_ITEMS: Final = 128  # so that a list of equal items is cut as well
_TAGS: Final = {"list": b"L", "dict": b"D", "branch": b"B"}
_KINDS: Final[dict[int, Kind]] = {tag[0]: kind for kind, tag in _TAGS.items()}  # type: ignore[misc]  # keys of _TAGS


class Piece:
    """One piece. It knows what it holds until it is written; afterwards only its number in its thread."""

    __slots__ = ("body", "cost", "digest", "inline", "key", "kind", "number", "parts", "size")

    def __init__(
        self, kind: Kind, digest: bytes, size: int, *, body: bytes | None = None, parts: Sequence[Piece] = ()
    ) -> None:
        self.kind, self.digest, self.size = kind, digest, size
        self.body: bytes | None = body
        self.parts: Sequence[Piece] = parts
        self.key = ""
        self.number: int | None = None  # the number of its row, once it has one
        self.inline = size <= INLINE_BYTES
        self.cost = size if self.inline else _REFERENCE_COST

    @property
    def ends_chunk(self) -> bool:
        """Whether a chunk ends with this piece: so decided that chunks come out near the size they aim at."""
        return int.from_bytes(self.digest[:2], "big") * _CHUNK_BYTES < self.cost << 16

    def append_to(self, packed: list[object]) -> None:
        """Append what stands for this piece in whatever refers to it: its number, or itself."""
        if self.kind == "pair":
            packed.append(self.key)
            self.parts[0].append_to(packed)
        elif self.inline:
            packed.append(self.packed())
        elif self.number is None:
            raise UnwrittenPiece
        else:
            packed.append(self.number)

    def packed(self) -> bytes:
        """The bytes that are stored for it."""
        if self.body is not None:
            return self.body
        packed: list[object] = []
        for part in self.parts:
            part.append_to(packed)
        return _TAGS[self.kind] + ormsgpack.packb(packed, option=ormsgpack.OPT_REPLACE_SURROGATES)

    def release(self) -> None:
        """Let go of a payload's bytes, now that its row is on disk."""
        if self.number is not None:
            self.body = None


class UnwrittenPiece(Exception):
    """A piece refers to another whose write failed: what refers to it has to be put together again."""


class Seen:
    """Pieces that a thread's checkpoints were seen to hold, by digest; those not met for long are forgotten."""

    _MOST: Final = 4096

    def __init__(self) -> None:
        self._young: dict[bytes, Piece] = {}
        self._old: dict[bytes, Piece] = {}

    def get(self, digest: bytes) -> Piece | None:
        piece = self._young.get(digest)
        if piece is None:
            piece = self._old.get(digest)
            if piece is not None:
                self.add(piece)
        return piece

    def add(self, piece: Piece) -> None:
        """Remember a piece that has, or will have, a row."""
        if len(self._young) >= max(self._MOST, len(self._old)):
            self._old, self._young = self._young, {}
        self._young[piece.digest] = piece


def payload(body: bytes) -> Piece:
    return Piece("payload", blake2b(body, digest_size=16).digest(), len(body), body=body)


def pair(key: str, value: Piece) -> Piece:
    """The item of a dict."""
    digest = blake2b(key.encode() + b"\0" + value.digest, digest_size=16).digest()
    size = len(key) + 1 + (value.size if value.inline else _REFERENCE_BYTES)
    piece = Piece("pair", digest, size, parts=(value,))
    piece.key, piece.inline, piece.cost = key, True, len(key) + value.cost
    return piece


def unpack(body: bytes) -> tuple[Kind, list[int | bytes | str]]:
    """What a chunk's bytes say: its kind, and for each part a number, its bytes, or (before a dict's value) its key."""
    return _KINDS[body[0]], ormsgpack.unpackb(memoryview(body)[1:])


def is_payload(body: bytes) -> bool:
    """Whether these are the bytes of a payload rather than of a chunk."""
    return body[0] not in _KINDS


@dataclass(slots=True)
class _Level:
    """The chunks over one row of pieces: where each starts, and the chunk."""

    starts: list[int] = field(default_factory=list)
    chunks: list[Piece] = field(default_factory=list)


@dataclass(slots=True)
class Tree:
    """The chunks of one list or dict, level by level, and the items they were cut from."""

    kind: Literal["list", "dict"]
    items: list[Piece] = field(default_factory=list)
    _levels: list[_Level] = field(default_factory=list)

    @property
    def top(self) -> Piece:
        return self._levels[-1].chunks[0]

    def regrow(self, items: list[Piece], kept: int, store: Callable[[Piece], Piece]) -> None:
        """Hold these items, of which the first `kept` are those that it held; `store` is given each new chunk.

        It returns the chunk, or the same as it is stored already. It gets a chunk after what that refers to.
        """
        self.items = items
        row, kind, number = items, self.kind, 0
        while True:
            if number == len(self._levels):
                self._levels.append(_Level())
            level = self._levels[number]
            kept = _cut(level, row, kept, kind, store)
            if len(level.chunks) == 1:
                del self._levels[number + 1 :]
                return
            row, kind, number = level.chunks, "branch", number + 1  # type: ignore[assignment]  # the level's kind

    def adopt(self, rows: list[tuple[list[int], list[Piece]]]) -> None:
        """Take over chunks that were read: for each level, from the items up, where each starts and the chunk."""
        self._levels = [_Level(starts, chunks) for starts, chunks in rows]


def _cut(level: _Level, row: list[Piece], kept: int, kind: Kind, store: Callable[[Piece], Piece]) -> int:
    """Cut a row of pieces into chunks, reusing those that are unchanged; returns how many leading chunks stayed."""
    whole = 0  # leading chunks that lie in what was kept, with the piece that ended them
    while whole < len(level.starts) and _end(level, whole) <= kept:
        whole += 1
    if whole and whole == len(level.starts) and not _ended(level.chunks[-1]):
        whole -= 1  # it ended only because the row did
    earlier = {chunk.digest: chunk for chunk in islice(level.chunks, whole, None)}
    start = level.starts[whole] if whole < len(level.starts) else (_end(level, whole - 1) if whole else 0)
    del level.starts[whole:], level.chunks[whole:]
    position = start
    end = len(row)
    while position < end or not level.chunks:
        stop = position
        while stop < end:
            stop += 1
            count = stop - position
            if count >= _MOST_ITEMS or (count >= _LEAST_ITEMS and row[stop - 1].ends_chunk):
                break
        chunk = chunk_of(kind, row[position:stop])
        known = earlier.get(chunk.digest)
        if known is not None or not chunk.inline:
            chunk = known or store(chunk)
        level.starts.append(position)
        level.chunks.append(chunk)
        position = stop
    return whole


def _end(level: _Level, index: int) -> int:
    return level.starts[index] + len(level.chunks[index].parts)


def _ended(chunk: Piece) -> bool:
    count = len(chunk.parts)
    return count >= _MOST_ITEMS or (count >= _LEAST_ITEMS and chunk.parts[-1].ends_chunk)


def chunk_of(kind: Kind, parts: list[Piece]) -> Piece:
    """The chunk of these parts."""
    digest = blake2b(kind.encode() + b"".join([part.digest for part in parts]), digest_size=16).digest()
    size = 3 + sum([part.size + 3 if part.inline else _REFERENCE_BYTES for part in parts])
    return Piece(kind, digest, size, parts=parts)
