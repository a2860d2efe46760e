"""What the writer does for `put` and `put_writes`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import ormsgpack

from signoff.checkpoints.errors import LeaseLost, ThreadHeld
from signoff.checkpoints.process_identity import is_gone
from signoff.checkpoints.saver.encoding.chunks import Piece, UnwrittenPiece
from signoff.checkpoints.saver.encoding.delta import DeltaEncoder
from signoff.checkpoints.saver.encoding.encryption import RowCodec, place_of, place_of_writes
from signoff.checkpoints.saver.schema import row_id
from signoff.checkpoints.saver.thread_cache import ITEM_BYTES, Outdated, ThreadCache
from signoff.checkpoints.saver.writer import ThreadRow, Transaction

if TYPE_CHECKING:
    from signoff.checkpoints.process_identity import Fence

_LOST: Final = -1


class Lease:
    """The leases of one owner. Each is taken or renewed by a write, and numbered, so that no two are mistaken."""

    def __init__(self, owner: str, seconds: float) -> None:
        self.owner, self._seconds = owner, seconds
        self.fences: dict[str, int] = {}

    def hold(self, name: str, row: ThreadRow, transaction: Transaction) -> None:
        """Take or renew the thread's lease; ThreadHeld if another has it, LeaseLost if another had it since."""
        fence = self.fences.get(name)
        if fence is not None and (row.fence != fence or row.owner != self.owner):
            self.fences[name] = _LOST
            raise LeaseLost(name, self.owner)
        if fence is None:
            others = row.owner not in ("", self.owner) and not is_gone(row.owner)
            if others and row.owner_until > transaction.now:
                raise ThreadHeld(name, row.owner, row.owner_until)
            row.owner, row.fence = self.owner, row.fence + 1
            self.fences[name] = row.fence
        row.owner_until = transaction.now + self._seconds
        row.is_changed = True

    def start_again(self, name: str) -> None:
        """Whoever reads the newest state starts from it, and may try for the lease, or take it anew."""
        self.fences.pop(name, None)


class Release:
    """Gives a thread's lease back, if it is still held."""

    frees_space = False

    def __init__(self, lease: Lease, name: str) -> None:
        self._lease, self._name = lease, name

    def apply(self, transaction: Transaction) -> None:
        row = transaction.thread(self._name, create=False)
        if row is not None and self._lease.fences.get(self._name) == row.fence and row.owner == self._lease.owner:
            row.owner, row.owner_until, row.is_changed = "", 0.0, True

    def undo(self) -> None:
        """Nothing was told to anybody."""


@dataclass(frozen=True, slots=True)
class Target:
    """The thread that is written to, what is remembered of it, and under which conditions."""

    thread: str
    cache: ThreadCache
    codec: RowCodec
    lease: Lease | None
    fence: Fence | None


@dataclass(kw_only=True, slots=True)
class Addition(ABC):
    """Rows added to one thread, with the pieces they refer to."""

    target: Target
    encoder: DeltaEncoder
    frees_space: bool = field(default=False, init=False)
    _placed: bool = field(default=False, init=False)
    _holds: bool = field(default=False, init=False)
    _fence: int | None = field(default=None, init=False)

    def undo(self) -> None:
        """Forget the numbers that were given: the rows are not there."""
        for piece in self.encoder.fresh:
            piece.number = None
        if self._placed:
            self.target.cache.place = None
        if self.target.lease is not None and self._holds:
            if self._fence is None:
                self.target.lease.fences.pop(self.target.thread, None)
            else:
                self.target.lease.fences[self.target.thread] = self._fence

    def finish(self) -> int:
        """The rows are on disk; returns about how many bytes it takes to remember them."""
        for piece in self.encoder.fresh:
            piece.release()
        return sum([piece.size for piece in self.encoder.fresh]) + self.encoder.count * ITEM_BYTES

    def _enter(self, transaction: Transaction) -> ThreadRow:
        """The thread's row, provided that what is remembered of the thread still holds."""
        expected, fence = self.target.cache.place, self.target.fence
        if fence is not None:
            claimed = transaction.execute("SELECT owner FROM runs WHERE id = ?", (fence.run_id,)).fetchone()
            fence.check(claimed[0] if claimed else None)
        row = transaction.thread(self.target.thread, create=expected is None)
        if row is None or (expected is not None and expected != (row.no, row.era)):
            raise Outdated
        if self.target.lease is not None:
            self._fence, self._holds = self.target.lease.fences.get(self.target.thread), True
            self.target.lease.hold(self.target.thread, row, transaction)
        if expected is None:
            self.target.cache.place, self._placed = (row.no, row.era), True
        return row

    def _pack_pieces(self, row: ThreadRow) -> tuple[list[tuple[int, bytes]], list[object]]:
        """The new pieces' rows, and what stands for the values in the row that refers to them.

        Nothing has been written when this raises Outdated.
        """
        for piece in self.encoder.fresh:
            piece.number = row.take_number()
        try:
            rows = [
                (row_id(row.no, number), self.target.codec.encode(piece.packed(), f"piece:{number}"))
                for piece in self.encoder.fresh
                if (number := piece.number) is not None
            ]
            return rows, self._pack_parts()
        except UnwrittenPiece:
            self.undo()
            raise Outdated from None

    @abstractmethod
    def _pack_parts(self) -> list[object]:
        """What the row says, with what stands for the pieces it refers to."""


@dataclass(kw_only=True, slots=True)
class PutCheckpoint(Addition):
    """Stores one checkpoint."""

    ns: str
    checkpoint_id: str
    parent_id: str | None
    run: bytes | None
    values: Piece
    rest: Piece | bytes
    metadata: bytes

    def apply(self, transaction: Transaction) -> None:
        """Write the new pieces and the checkpoint's row; one with the same id is replaced."""
        row = self._enter(transaction)
        pieces, packed = self._pack_pieces(row)
        transaction.executemany("INSERT INTO saver_pieces VALUES (?, ?)", pieces)
        place = place_of(self.ns, self.checkpoint_id, self.parent_id, self.run)
        head = self.target.codec.encode(ormsgpack.packb(packed), f"head:{place}")
        metadata = self.target.codec.encode(self.metadata, f"metadata:{place}")
        transaction.execute(
            "INSERT INTO saver_checkpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (thread, ns, checkpoint_id)"
            " DO UPDATE SET parent_id = excluded.parent_id, run = excluded.run, head = excluded.head,"
            " metadata = excluded.metadata",
            (
                row_id(row.no, row.take_number()),
                row.no,
                self.ns,
                self.checkpoint_id,
                self.parent_id,
                self.run,
                head,
                metadata,
            ),
        )

    def _pack_parts(self) -> list[object]:
        packed: list[object] = []
        self.values.append_to(packed)
        if isinstance(self.rest, bytes):
            packed.append(self.rest)
        else:
            self.rest.append_to(packed)
        return packed


@dataclass(kw_only=True, slots=True)
class PutWrites(Addition):
    """Stores what one task wrote."""

    ns: str
    checkpoint_id: str
    task_id: str
    task_path: str
    writes: list[tuple[int, str, Piece]]

    def apply(self, transaction: Transaction) -> None:
        """Write the new pieces and the writes' row; the checkpoint they belong to may come later."""
        row = self._enter(transaction)
        pieces, packed = self._pack_pieces(row)
        transaction.executemany("INSERT INTO saver_pieces VALUES (?, ?)", pieces)
        found = transaction.execute(
            "SELECT id FROM saver_checkpoints WHERE thread = ? AND ns = ? AND checkpoint_id = ?",
            (row.no, self.ns, self.checkpoint_id),
        ).fetchone()
        if found is None:
            found = (row_id(row.no, row.take_number()),)
            transaction.execute(
                "INSERT INTO saver_checkpoints (id, thread, ns, checkpoint_id) VALUES (?, ?, ?, ?)",
                (found[0], row.no, self.ns, self.checkpoint_id),
            )
        number = row.take_number()
        body = self.target.codec.encode(
            ormsgpack.packb(packed, option=ormsgpack.OPT_REPLACE_SURROGATES),
            place_of_writes(number, found[0], self.task_id),
        )
        transaction.execute(
            "INSERT INTO saver_writes VALUES (?, ?, ?, ?)", (row_id(row.no, number), found[0], self.task_id, body)
        )

    def _pack_parts(self) -> list[object]:
        packed: list[object] = [self.task_path]
        for index, channel, piece in self.writes:
            packed += (index, channel)
            piece.append_to(packed)
        return packed
