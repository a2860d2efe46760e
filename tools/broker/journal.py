"""The broker's journal: one line for each request, without queries, headers, contents or secrets."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 1_000_000
"""Size at which the file becomes `broker.log.1`, in place of the one before."""
_LONGEST: Final = 500


class Journal:
    """A file of JSON lines that only its owner may read. Several brokers may write to one."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self.path, self._most = path, most_bytes

    def write(self, **facts: str | int) -> None:
        """Add a line; long texts are cut."""
        told = {key: fact[:_LONGEST] if isinstance(fact, str) else fact for key, fact in facts.items()}
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, **told}, ensure_ascii=True) + "\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        handle = os.open(self.path, flags, 0o600)
        try:
            os.write(handle, line.encode())
            size = os.fstat(handle).st_size
        finally:
            os.close(handle)
        if size > self._most:
            os.replace(self.path, self.path.with_name(f"{self.path.name}.1"))
