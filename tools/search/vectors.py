"""Vectors of an index's passages: made once for each text, kept in the index, and searched by likeness."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

from signoff.tools.search.embeddings import Embedder
from signoff.tools.search.index import Index

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH = 64
"""Vectors that are stored together."""
_LEAST = 0.2
"""Likeness below which a passage has nothing to do with a query."""
_LONGEST_QUERY = 2000

Tell = Callable[[int, int], None]
"""Is told how many vectors are made, and of how many."""


class Vectors:
    """The vectors of one index and one model. Threads and processes may share them."""

    def __init__(self, index: Index, embedder: Embedder) -> None:
        self._index, self._embedder = index, embedder
        self._lock = Lock()
        self._state: tuple[int, int] | None = None
        self._ids: list[int] = []
        self._matrix: NDArray[np.float32] | None = None

    def complete(self, tell: Tell | None = None) -> int:
        """Make the vectors that are missing and forget those of texts that are gone; how many were made."""
        import numpy as np

        missing = self._index.texts_without_vector(self._embedder.name)
        for begin in range(0, len(missing), _BATCH):
            batch = missing[begin : begin + _BATCH]
            made = [(digest, self._embedder.embed(text).astype(np.float16).tobytes()) for digest, text in batch]
            self._index.put_vectors(self._embedder.name, made)
            if tell is not None:
                tell(begin + len(batch), len(missing))
        self._index.forget_vectors()
        return len(missing)

    def nearest(self, query: str, limit: int) -> list[int]:
        """Ids of the passages that mean most nearly what the query means, best first."""
        import numpy as np

        ids, matrix = self._loaded()
        if matrix is None or not query.strip():
            return []
        likeness = matrix @ self._embedder.embed(query[:_LONGEST_QUERY])
        order = np.argsort(-likeness, kind="stable")[:limit]
        return [ids[place] for place in order if likeness[place] >= _LEAST]

    def _loaded(self) -> tuple[list[int], NDArray[np.float32] | None]:
        """The ids and their vectors, read again only after somebody wrote."""
        import numpy as np

        with self._lock:
            state = self._index.state
            if state != self._state:
                rows = self._index.vectors(self._embedder.name)
                self._ids = [id for id, _ in rows]
                stored = np.frombuffer(b"".join(vector for _, vector in rows), dtype=np.float16)
                self._matrix = stored.reshape(len(rows), -1).astype(np.float32) if rows else None
                self._state = state
            return self._ids, self._matrix
