"""What the writer does for `put` and `put_writes`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import ormsgpack

from signoff.checkpoints.errors import LeaseLost, ThreadHeld
from signoff.checkpoints.process_identity import is_gone
from signoff.checkpoints.saver.encoding.encryption import RowCodec, place_of, place_of_writes
from signoff.checkpoints.saver.encoding.payload import Payloads
from signoff.checkpoints.saver.encoding.streams import INLINE_BYTES, MARK, NewRows, Seen, store
from signoff.checkpoints.saver.rows import ThreadReader
from signoff.checkpoints.saver.schema import row_id
from signoff.checkpoints.saver.thread_memory import REST, VALUES, Streams, ThreadMemory, ThreadRow
from signoff.checkpoints.saver.writer import Transaction

if TYPE_CHECKING:
    from signoff.checkpoints.process_identity import Fence

_LOST: Final = -1
_INLINE_IN_HEAD: Final = 640
_INLINE_IN_ROW: Final = 240
"""Bytes up to this many stand in the row that is found by its place; small rows lie many to a page."""
_MANY: Final = 64  # so many channels, and what is not large is kept together
_INLINE_OF_MANY: Final = 8 * 1024


class Lease:
    """The leases of one owner. Each is taken or renewed by a write, and numbered, so that no two are mistaken."""

    def __init__(self, owner: str, seconds: float) -> None:
        self.owner, self._seconds = owner, seconds
        self.fences: dict[str, int | None] = {}

    def hold(self, name: str, row: ThreadRow, transaction: Transaction) -> None:
        """Take or renew the thread's lease; ThreadHeld if another has it, LeaseLost if another had it since."""
        fence = self.fences.get(name)
        transaction.undoing.append(partial(self.fences.__setitem__, name, fence))
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

    def start_again(self, name: str) -> None:
        """Whoever reads the newest state starts from it, and may try for the lease, or take it anew."""
        self.fences.pop(name, None)

    def give_back(self, name: str, transaction: Transaction) -> None:
        """Let others have the thread, if it is still held."""
        row = transaction.thread(name, create=False)
        if row is not None and self.fences.get(name) == row.fence and row.owner == self.owner:
            row.owner, row.owner_until = "", 0.0
            transaction.remember(row)


def run_digest(run_id: str) -> bytes:
    """What a checkpoint's row says of the run that made it."""
    return blake2b(run_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class Target:
    """The thread that is written to, and under which conditions."""

    thread: str
    codec: RowCodec
    payloads: Payloads
    lease: Lease | None
    fence: Fence | None


@dataclass(kw_only=True, slots=True)
class Addition:
    """Rows added to one thread, with the pieces they refer to."""

    target: Target
    ns: str
    checkpoint_id: str

    def _enter(self, transaction: Transaction) -> tuple[ThreadRow, ThreadMemory, NewRows]:
        """The thread's row, for whoever may write to it, what is remembered of the thread, and a place for pieces."""
        fence, lease = self.target.fence, self.target.lease
        if fence is not None:
            claimed = transaction.execute("SELECT owner FROM runs WHERE id = ?", (fence.run_id,)).fetchone()
            fence.check(claimed[0] if claimed else None)
        row = transaction.thread(self.target.thread)
        assert row is not None
        if lease is not None:
            lease.hold(self.target.thread, row, transaction)
        memory = transaction.remember(row)
        return row, memory, NewRows(iter(row.take_number, None), int.from_bytes(row.token[: MARK.size], "little"))

    def _insert(self, transaction: Transaction, row: ThreadRow, rows: NewRows) -> None:
        pieces = [(row_id(row.no, number), self.target.codec.encode(body, number)) for number, body in rows.bodies()]
        if pieces:
            transaction.executemany("INSERT INTO saver_pieces VALUES (?, ?)", pieces)

    def _put_beside(self, transaction: Transaction, thread: int, number: int, body: bytes) -> bytes | int:
        """What stands for a row's body in the row: itself, or the number of the piece that it is if it is large."""
        if len(body) <= _INLINE_IN_ROW:
            return body
        transaction.execute("INSERT INTO saver_pieces VALUES (?, ?)", (row_id(thread, number), body))
        return number


@dataclass(kw_only=True, slots=True)
class PutCheckpoint(Addition):
    """Stores one checkpoint; what the thread holds already is referred to."""

    parent_id: str | None
    run: bytes | None
    plain: bytes
    values: dict[str, list[bytes]]
    rest: bytes
    metadata: bytes

    def __call__(self, transaction: Transaction) -> None:
        """Write the new pieces and the checkpoint's row; one with the same id is replaced."""
        target = self.target
        row, memory, rows = self._enter(transaction)
        known = memory.spaces.get(self.ns)
        before = known[0] if known is not None else self._load(transaction)
        head, now = self._store(before, rows, memory.seen)
        self._insert(transaction, row, rows)
        place = place_of(self.ns, self.checkpoint_id, self.parent_id, self.run)
        head = target.codec.encode(head, f"head:{place}")
        transaction.execute(
            "INSERT OR REPLACE INTO saver_checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                row.no,
                self.ns,
                self.checkpoint_id,
                self.parent_id,
                self.run,
                self._put_beside(transaction, row.no, row.take_number(), head),
                target.codec.encode(self.metadata, f"metadata:{place}"),
            ),
        )
        transaction.memories.put(target.thread, self.ns, now)

    def _load(self, transaction: Transaction) -> Streams:
        """What is stored of the parent, if this process does not remember the thread."""
        if self.parent_id is None:
            return {}
        reader = ThreadReader(transaction.connection, self.target.thread, self.target.codec, self.target.payloads)
        return reader.streams(self.ns, self.parent_id)

    def _store(self, before: Streams, rows: NewRows, seen: Seen) -> tuple[bytes, Streams]:
        """What stands for the checkpoint in its row, and what is to be remembered of it."""
        now: Streams = {}
        least = INLINE_BYTES if len(self.values) <= _MANY else _INLINE_OF_MANY
        entries: dict[str, object] = {}
        for name, parts in self.values.items():
            if sum(map(len, parts)) <= least:
                entries[name] = b"".join(parts)
            else:
                stream = now[name] = store(parts, before.get(name), rows, seen)
                entries[name] = stream.head
        heads: list[object] = []
        for part, body in ((VALUES, ormsgpack.packb((entries, self.plain))), (REST, self.rest)):
            if len(body) > _INLINE_IN_HEAD:
                now[part] = store([body], before.get(part), rows, None)
            heads.append(now[part].head if part in now else body)
        return ormsgpack.packb(heads), now


@dataclass(kw_only=True, slots=True)
class PutWrites(Addition):
    """Stores what one task wrote."""

    task_id: str
    task_path: str
    writes: list[tuple[int, str, list[bytes]]]

    @property
    def is_followed(self) -> bool:
        """Whether a checkpoint comes next, as after what a task returned: after a question or an error none does."""
        return all(index >= 0 for index, _, _ in self.writes)

    def __call__(self, transaction: Transaction) -> None:
        """Write the new pieces and the writes' row; the checkpoint they belong to may come later."""
        row, memory, rows = self._enter(transaction)
        packed: list[object] = [self.task_path]
        for index, channel, parts in self.writes:
            is_small = sum(map(len, parts)) <= INLINE_BYTES
            packed += (index, channel, b"".join(parts) if is_small else store(parts, None, rows, memory.seen).head)
        self._insert(transaction, row, rows)
        transaction.memories.note_seen(memory)
        number = row.take_number()
        body = self.target.codec.encode(
            ormsgpack.packb(packed, option=ormsgpack.OPT_REPLACE_SURROGATES),
            place_of_writes(number, self.ns, self.checkpoint_id, self.task_id),
        )
        held = self._put_beside(transaction, row.no, number, body)
        transaction.execute(
            "INSERT INTO saver_writes VALUES (?, ?, ?, ?, ?, ?)",
            (row.no, self.ns, self.checkpoint_id, number, self.task_id, held),
        )
