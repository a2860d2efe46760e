"""The hash chain of the audit log: how an entry's hash follows from the one before, and how a head is written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from signoff.checkpoints.canonical import canonical_json, digest_text

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
