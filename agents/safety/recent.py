"""What was found out about a text lately, by the text's digest: prompts and documents are read again and again."""

from __future__ import annotations

import hashlib
import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """A bounded memory that threads share; the oldest quarter goes when it is full."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[bytes, T] = {}
        self._keeping = threading.Lock()

    def get(self, key: bytes) -> T | None:
        """What was kept, or None."""
        return self._kept.get(key)

    def keep(self, key: bytes, value: T) -> T:
        """Keep this, and return it."""
        with self._keeping:
            if len(self._kept) >= self._most:
                for oldest in list(self._kept)[: self._most // 4 + 1]:
                    del self._kept[oldest]
            self._kept[key] = value
        return value


def text_key(text: str, options: str = "") -> bytes:
    """Digest of a text and of what it is looked through for."""
    return hashlib.blake2b(f"{options}\n{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
