"""Whether the audit log is what was written: every break in its chain, and where it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row

from signoff.checkpoints.canonical import canonical_json, digest_text


@dataclass(frozen=True)
class Problem:
    """Where something is wrong with the log, and what."""

    seq: int
    """The first entry it is about; 0 if the log has none for it."""
    last: int
    """The last entry it is about."""
    what: str
    """It in a plain sentence, without its full stop."""


@dataclass(frozen=True)
class Verification:
    """What reading the whole log found."""

    entries: int
    head: str
    """Number and hash of the last entry there is: worth keeping where a writer of the database cannot reach."""
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class ChainReader:
    """Takes the entries in the order of their numbers, and holds no more of them than the last one's hash.

    An entry can only be checked against the one before it. So a broken link says that the entry was changed, or that
    some before it were written anew as a chain of their own; and an entry after a gap is taken as it is. `kept` are
    heads that were noted down elsewhere.
    """

    def __init__(self, kept: Iterable[Head] = ()) -> None:
        self.entries, self.head = 0, EMPTY
        self.problems: list[Problem] = []
        self._kept: dict[int, set[str]] = {}
        for head in kept:
            self._kept.setdefault(head.seq, set()).add(head.hash)
        self._proven = 0
        self._broken: tuple[int, int] | None = None

    def read(self, row: Row[Any]) -> None:
        """Check one entry."""
        self.entries += 1
        texts = (row.at, row.run_id, row.event, row.body, row.hash)
        if not isinstance(row.seq, int) or not all(isinstance(text, str) for text in texts):
            place = self.head.seq + 1
            return self._report(place, place, f"near number {place} there is a row that is no entry")
        if row.seq <= self.head.seq:
            why = "its number is there twice" if row.seq > 0 else "numbers begin with 1"
            return self._report(row.seq, row.seq, f"entry {row.seq} was inserted: {why}")
        if row.seq > self.head.seq + 1:
            missing = _entries(self.head.seq + 1, row.seq - 1)
            what = f"{missing} missing; without that, entry {row.seq} cannot be checked"
            self._report(self.head.seq + 1, row.seq - 1, what)
        elif link(self.head.hash, row.seq, row.at, row.run_id, row.event, row.body) != row.hash:
            if row.seq > 1 and link(FIRST, row.seq, row.at, row.run_id, row.event, row.body) == row.hash:
                what = f"entry {row.seq} begins a new chain: when it was written, the head was gone or unreadable"
                self._report(row.seq, row.seq, what)
            else:
                self._broken = (self._broken[0] if self._broken else row.seq, row.seq)
        else:
            self._tell_broken()
        self.head = Head(row.seq, row.hash)
        self._compare_kept()
        return None

    def end(self, head: str | None) -> None:
        """Check the end of the log against the head that the database keeps beside it."""
        self._tell_broken()
        last = self.head.seq
        for seq in sorted(seq for seq in self._kept if seq > last):
            self._report(
                last + 1, seq, f"{_entries(last + 1, seq)} missing at the end: a head was kept of number {seq}"
            )
        if head is None:
            return self._report(last, last, "the head is missing, so nothing tells whether the log was cut off")
        kept = Head.parse(head)
        if kept is None:
            self._report(last, last, f"the head was changed: {head!r:.100} is none")
        elif kept.seq > last:
            self._report(last + 1, kept.seq, f"{_entries(last + 1, kept.seq)} missing at the end: the log was cut off")
        elif kept.seq < last:
            what = f"after entry {kept.seq} there are more than the head knows of: inserted, or the head was changed"
            self._report(kept.seq + 1, last, what)
        elif kept.hash != self.head.hash:
            self._report(last, last, f"the head does not agree with entry {last}: one of the two was changed")
        return None

    def _compare_kept(self) -> None:
        """An entry that is not what was kept of it tells that it, or one before it, was rewritten."""
        hashes = self._kept.pop(self.head.seq, None)
        if hashes is None:
            return
        if hashes == {self.head.hash}:
            self._proven = self.head.seq
        else:
            since = f"after entry {self._proven}, up to it" if self._proven else "up to it"
            what = f"entry {self.head.seq} is not the one whose head was kept: the log was rewritten {since}"
            self._report(self._proven + 1, self.head.seq, what)

    def _tell_broken(self) -> None:
        """Report the entries in a row that do not follow as one."""
        if self._broken is None:
            return
        (first, last), self._broken = self._broken, None
        if first != last:
            what = f"entries {first} to {last} do not follow from one another: changed, moved or renumbered"
        elif first == 1:
            what = "entry 1 was changed after it was written"
        else:
            what = f"entry {first} does not follow from entry {first - 1}: it was changed, or what is before it was"
        self.problems.append(Problem(first, last, what))

    def _report(self, seq: int, last: int, what: str) -> None:
        self._tell_broken()
        self.problems.append(Problem(seq, last, what))


def _entries(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


FIRST: Final = "0" * 64
"""What the first entry follows from."""
_HEAD: Final = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")


def link(before: str, seq: int, at: str, run_id: str, event: str, body: str) -> str:
    """Hash of an entry: the digest of `[before, seq, at, run_id, event, body]`, with `body` as the JSON text it has.

    The text goes in as it stands, so that no other spelling of the same value passes for what was written.
    """
    return digest_text(f"{canonical_json([before, seq, at, run_id, event])[:-1]},{body}]")


@dataclass(frozen=True)
class Head:
    """The newest entry's number and hash: whoever keeps it elsewhere can tell whether the log still leads to it."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head | None:
        """A head as it is written, `12:9f86d0…`; None if the text is none."""
        found = _HEAD.fullmatch(text.strip())
        return cls(int(found[1]), found[2]) if found else None


EMPTY: Final = Head(0, FIRST)
"""The head of a log without entries."""
