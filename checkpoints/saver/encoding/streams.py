"""What is written of a value: only the bytes that its thread does not hold yet.

A value's bytes are cut into chunks, a chunk is written once, and what stands for a value is the list of references to
its chunks; a long list is bytes again, cut and written in the same way. Models in a list come as parts of their own,
and each is a chunk. Elsewhere what is in the bytes says where a chunk ends, so that after something was put in or taken
out the same chunks are found again. Of what was written only digests and references are kept in memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import cache, partial
from itertools import islice
from operator import ne
from struct import Struct
from typing import Final, NamedTuple

from xxhash import xxh3_128_digest

REFERENCE: Final = Struct("<QII")
"""A chunk: the key of its row, where in it the chunk begins, and how many bytes it has.

A key is the number of a row with the mark of that row in its upper half.
"""
MARK: Final = Struct("<I")
"""What a row begins with: random, so that a reference does not pass for one to another row of the same number."""

INLINE_BYTES: Final = 320
"""Bytes up to this many stand in whatever holds them."""
_INLINE_LIST: Final = 32 * REFERENCE.size
_ROW_BYTES: Final = 64 * 1024  # more is given memory of its own by the system each time it is read
_OWN_ROW: Final = 4096  # so much that is new of one value has rows of its own: they go when the value goes
_LARGE_PART: Final = 32 * 1024
_LIST_BITS: Final = 8
_SMALL_BITS: Final = 9
_SMALL_BODY: Final = 8 * 1024
_TEXT_CODES: Final = (0xDA, 0xDB)
_LEAST_SHARED: Final = 16  # of that many bytes at least one was there before, or looking was in vain
_LONGEST_REST: Final = 64
_CHUNK_MEMORY: Final = 57 + REFERENCE.size
_STREAM_MEMORY: Final = 500

_seed: Final = int.from_bytes(os.urandom(8), "little")

Buffer = bytes | memoryview


digest_of: Final = partial(xxh3_128_digest, seed=_seed)
"""What tells bytes from others, in this process: nobody outside can make two alike."""

Seen = dict[bytes, bytes]
"""References to chunks that a thread was seen to hold lately, wherever: a task's write is in the next checkpoint."""


class NewRows:
    """The rows that one write adds to its thread; numbers are given as they are needed."""

    def __init__(self, take_number: Iterator[int], mark: int) -> None:
        self._numbers, self._mark = take_number, mark
        self._rows: dict[int, list[Buffer]] = {}
        self._shared, self._room = 0, 0

    def add(self, chunks: Sequence[Buffer]) -> list[bytes]:
        """Have new chunks of one value written; a reference to each."""
        is_alone = sum(map(len, chunks)) >= _OWN_ROW
        number, room = (0, 0) if is_alone else (self._shared, self._room)
        references = []
        for chunk in chunks:
            if not number or room < len(chunk):
                number, room = next(self._numbers), _ROW_BYTES
                self._rows[number] = []
            references.append(REFERENCE.pack(self._mark << 32 | number, _ROW_BYTES - room, len(chunk)))
            self._rows[number].append(chunk)
            room = max(0, room - len(chunk))
        if not is_alone:
            self._shared, self._room = number, room
        return references

    def bodies(self) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of each row."""
        mark = MARK.pack(self._mark)
        for number, chunks in self._rows.items():
            yield number, b"".join((mark, *chunks))


class Stream:
    """Bytes as they are stored: what is known of their chunks, in order. Never changed once made."""

    __slots__ = ("above", "digest", "digests", "lead", "misses", "references", "resting")

    def __init__(
        self, digest: bytes, lead: bytes, digests: list[bytes], references: bytes, above: Stream | None = None
    ) -> None:
        self.digest, self.digests, self.references = digest, digests, references
        self.lead = lead  # what they begin with, before the first chunk
        self.above = above  # the list of references, where that is stored as well
        self.misses = self.resting = 0  # whether to look for what was there before

    @property
    def head(self) -> list[object]:
        """What stands for the bytes: how they begin, how often references are looked up, and the last of them."""
        top, level = self, 0
        while top.above is not None:
            top, level = top.above, level + 1
        return [self.lead, level, top.references]

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        own = _STREAM_MEMORY + len(self.digests) * _CHUNK_MEMORY
        return own if self.above is None else own + self.above.size

    def lengths(self) -> list[int]:
        return [length for _, _, length in REFERENCE.iter_unpack(self.references)]


def store(parts: Sequence[bytes], before: Stream | None, rows: NewRows, seen: Seen | None, bits: int = 0) -> Stream:
    """Store bytes, given in parts that are chunks or in one; `before` is what was stored in their place, if anything.

    Bytes that are the same as before are the same stream. What says how much follows is no chunk, as it differs with
    every item that is added. With `bits` these bytes are a list of references.
    """
    if len(parts) > 1:
        lead, bodies = parts[0], _without_large(parts[1:])
        digests = [digest_of(body) for body in bodies]
        whole = digest_of(b"".join((lead, *digests)))
    else:
        whole = digest_of(parts[0])
    if before is not None and before.digest == whole:
        return before
    if len(parts) > 1:
        front, back = _compare(digests, before.digests) if before is not None else (0, 0)
        middle = slice(front, len(digests) - back)
        digests, bodies = digests[middle], bodies[middle]
    else:
        view = memoryview(parts[0])
        lead = b"" if bits else bytes(view[: _header_bytes(parts[0])])
        front, back, bodies = _cut_changed(view, len(lead), before, bits or _grain(view, len(view)))
        digests = [digest_of(body) for body in bodies]
    made, stored = _join(whole, lead, _Change(front, back, digests, bodies), before, rows, seen)
    if before is not None and len(parts) == 1 and not bits:
        _note(made, before, len(parts[0]), stored)
    return made


def load(lead: bytes, bodies: Sequence[Buffer], references: bytes, above: Stream | None) -> Stream:
    """What is known of bytes that were stored by somebody else, from their chunks."""
    return Stream(digest_of(b"".join((lead, *bodies))), lead, [digest_of(body) for body in bodies], references, above)


class _Change(NamedTuple):
    """New bytes as the old: the first `front` chunks of the old, others, the last `back`."""

    front: int
    back: int
    digests: list[bytes]
    bodies: Sequence[Buffer]


def _join(
    whole: bytes, lead: bytes, change: _Change, before: Stream | None, rows: NewRows, seen: Seen | None
) -> tuple[Stream, int]:
    """The stream, and how many bytes are new."""
    front, back, digests, bodies = change
    old = before.digests if before is not None else []
    held = before.references if before is not None else b""
    size, end = REFERENCE.size, len(old) - back
    places = {digest: at for at, digest in enumerate(old[front:end], front)}
    found: dict[bytes, bytes] = {}
    fresh: dict[bytes, Buffer] = {}
    for digest, body in zip(digests, bodies, strict=True):
        if digest in places:
            found[digest] = held[size * places[digest] : size * places[digest] + size]
        elif seen is not None and (known := seen.get(digest)) is not None:
            found[digest] = known
        else:
            fresh[digest] = body
    for digest, reference in zip(fresh, rows.add(list(fresh.values())), strict=True):
        found[digest] = reference
        if seen is not None:
            seen[digest] = reference
    references = b"".join((held[: size * front], *[found[digest] for digest in digests], held[size * end :]))
    above = None
    if len(references) > _INLINE_LIST:
        above = store([references], before.above if before is not None else None, rows, None, _LIST_BITS)
    made = Stream(whole, lead, [*old[:front], *digests, *old[end:]], references, above)
    return made, sum(map(len, fresh.values()))


def _note(made: Stream, before: Stream, size: int, stored: int) -> None:
    """Where next to nothing was there before, twice on end, it is not looked for during the next writes."""
    made.misses = before.misses
    if before.resting:
        made.resting = before.resting - 1
    elif (size - stored) * _LEAST_SHARED >= size:
        made.misses = 0
    else:
        made.misses += 1
        made.resting = min(2 << made.misses // 2, _LONGEST_REST) if made.misses % 2 == 0 else 0


def _without_large(parts: Sequence[bytes]) -> Sequence[Buffer]:
    """The parts, the large ones cut."""
    if max(map(len, parts)) <= _LARGE_PART:
        return parts
    bodies: list[Buffer] = []
    for part in parts:
        bodies += [part] if len(part) <= _LARGE_PART else _cut(memoryview(part), 0, len(part), _grain(part, len(part)))
    return bodies


def _compare(now: list[bytes], old: list[bytes]) -> tuple[int, int]:
    """How many of the first chunks are the same, and how many of the last."""
    front = [*map(ne, now, old), True].index(True)
    back = [*map(ne, reversed(now), reversed(old)), True].index(True)
    return front, min(back, len(now) - front, len(old) - front)


def _cut_changed(view: memoryview, start: int, before: Stream | None, bits: int) -> tuple[int, int, list[Buffer]]:
    """How many chunks of before these bytes go on with from `start` and end with, and the chunks between them."""
    stop = len(view)
    if before is None:
        return 0, 0, _cut(view, start, stop, bits)
    if before.resting:
        return 0, 0, [view[at : at + _ROW_BYTES] for at in range(start, stop, _ROW_BYTES)]
    lengths, old = before.lengths(), before.digests
    if bits > _grain(view, sum(lengths)):  # it grew: in fewer, larger chunks it is read sooner
        return 0, 0, _cut(view, start, stop, bits)
    front = back = 0
    for digest, length in zip(old, lengths, strict=True):
        if start + length > stop or digest_of(view[start : start + length]) != digest:
            break
        start, front = start + length, front + 1
    for digest, length in islice(zip(reversed(old), reversed(lengths), strict=True), len(old) - front):
        if stop - length < start or digest_of(view[stop - length : stop]) != digest:
            break
        stop, back = stop - length, back + 1
    if start < stop:  # what is between goes together with small neighbours, else there would be ever smaller ones
        if front and lengths[front - 1] < 1 << bits:
            start, front = start - lengths[front - 1], front - 1
        if back and lengths[len(old) - back] < 1 << (bits - 1):
            stop, back = stop + lengths[len(old) - back], back - 1
    return front, back, _cut(view, start, stop, bits)


def _header_bytes(body: bytes) -> int:
    """How many bytes say what follows and how long it is, the mark of the payload included."""
    return {0xC5: 4, 0xC6: 6, 0xDA: 4, 0xDB: 6, 0xDC: 4, 0xDD: 6, 0xDE: 4, 0xDF: 6}.get(body[1], 2)


def _grain(body: Buffer, size: int) -> int:
    """The bits of chunks of a value that begins so and has so many bytes: a text is mostly added to, at its end."""
    coarseness = 3 if body[1] in _TEXT_CODES else 4
    return _SMALL_BITS if size < _SMALL_BODY else min(max(size.bit_length() - coarseness, 11), 14)


_BLOCK: Final = 16 * 1024
_OVERLAP: Final = 24
_FACTOR: Final = 0xC6A4A7935BD1E995_9E3779B97F4A7 | 1
_FACTOR_BYTES: Final = (_FACTOR.bit_length() + 7) // 8


@cache
def _border(bits: int) -> re.Pattern[bytes]:
    """What marks a border in mixed bytes: met once in 2**bits of them, and never in a run of one byte."""
    return re.compile(b"\x5a[\x00-" + re.escape(bytes([(256 >> (bits - 8)) - 1])) + b"]", re.DOTALL)


def _cut(view: memoryview, start: int, stop: int, bits: int) -> list[Buffer]:
    """Chunks that end where the bytes before say so, of 2**bits bytes on average, a quarter at least, four at most.

    Multiplied by a large number, each byte is mixed with those before it. Borders are no part of the format.
    """
    least, most = 1 << (bits - 2), 4 << bits
    ends = []
    last = start
    if stop - start > least:
        find = _border(bits).finditer
        for begin in range(start, stop, _BLOCK):
            base, end = max(start, begin - _OVERLAP), min(stop, begin + _BLOCK)
            mixed = int.from_bytes(view[base:end], "little") * _FACTOR
            for match in find(mixed.to_bytes(end - base + _FACTOR_BYTES, "little"), begin - base, end - base):
                border = base + match.start()
                if border - last < least:
                    continue
                while border - last > most:
                    last += most
                    ends.append(last)
                ends.append(border)
                last = border
    while stop - last > most:
        last += most
        ends.append(last)
    if stop > last:
        ends.append(stop)
    return [view[one:other] for one, other in zip([start, *ends], ends, strict=False)]
