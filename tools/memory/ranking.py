"""Ranking: the memories that hold some of these words, the best first, by SQLite's full-text search (BM25)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Final

from signoff.tools.memory.item import Remembered

_MOST_WORDS: Final = 32
_WORD: Final = re.compile(r"\w+")
_UNSPACED: Final = re.compile("([\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff])")
"""Characters of scripts without spaces between words: each is found by itself."""


def rank(memories: Sequence[Remembered], words: str) -> list[Remembered]:
    """Those that hold any of the words, in any form of English words; all, newest first, if no word is asked for."""
    asked = list(dict.fromkeys(_WORD.findall(_spaced(words))))[:_MOST_WORDS]
    if not asked:
        return sorted(memories, key=lambda memory: memory.origin.at, reverse=True)
    with closing(sqlite3.connect(":memory:")) as index:
        index.execute(
            "CREATE VIRTUAL TABLE kept USING fts5(subject, text, tokenize='porter unicode61 remove_diacritics 2')"
        )
        index.executemany(
            "INSERT INTO kept (rowid, subject, text) VALUES (?, ?, ?)",
            ((at, _spaced(memory.subject), _spaced(memory.text)) for at, memory in enumerate(memories)),
        )
        query = " OR ".join(f'"{word}"' for word in asked)
        found = index.execute(
            "SELECT rowid FROM kept WHERE kept MATCH ? ORDER BY bm25(kept, 3.0, 1.0), rowid", (query,)
        )
        return [memories[at] for (at,) in found]


def _spaced(text: str) -> str:
    return _UNSPACED.sub(r" \1 ", text)
