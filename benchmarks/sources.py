"""Indexing and searching a folder: seconds, bytes, milliseconds.

`python3 make.py bench -- sources 10000` measures the full size.
"""

import random
import sqlite3
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from signoff import Sources

STARTS = ("har", "ti", "bo", "lo", "pi", "ma", "se", "wa")
ENDS = ("bour", "de", "at", "ck", "lot", "ster", "cret", "ter", "gen", "rin", "dal", "min", "tor", "nes")
WORDS = [start + end for start in STARTS for end in ENDS]
SEARCHES = 200


def write_documents(folder: Path, number: int, chance: random.Random) -> int:
    """Make documents of a few sections each; returns their bytes."""
    written = 0
    for place in range(number):
        sections = []
        for section in range(chance.randint(2, 8)):
            sentences = [" ".join(chance.choices(WORDS, k=14)).capitalize() + "." for _ in range(chance.randint(3, 9))]
            sections.append(f"## Section {section}\n\n{' '.join(sentences)}\n")
        text = f"# Document {place}\n\n" + "\n".join(sections)
        (folder / f"document-{place}.md").write_text(text)
        written += len(text)
    return written


def seconds(work: object) -> float:
    began = time.perf_counter()
    work()  # type: ignore[operator]  # any callable
    return time.perf_counter() - began


def main(number: int) -> None:
    chance = random.Random(7)
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home, "documents")
        folder.mkdir()
        size = write_documents(folder, number, chance)
        sources = Sources.open(folder, home=Path(home))
        first = seconds(sources.refresh)
        again = seconds(sources.refresh)
        queries = [" ".join(chance.choices(WORDS, k=4)) for _ in range(SEARCHES)]
        times = sorted(1000 * seconds(lambda query=query: sources.search(query, limit=50)) for query in queries)
        stored = sum(path.stat().st_size for path in Path(home, "sources").iterdir())
        table = Table(
            title=f"signoff {version('signoff')}, SQLite {sqlite3.sqlite_version}, Python {sys.version.split()[0]}"
        )
        for column in ("documents", "passages", "MB", "index MB", "index s", "again s", "p50 ms", "p95 ms"):
            table.add_column(column, justify="right")
        table.add_row(
            f"{sources.documents:,}",
            f"{sources.passages:,}",
            f"{size / 1e6:.1f}",
            f"{stored / 1e6:.1f}",
            f"{first:.1f}",
            f"{again:.2f}",
            f"{statistics.median(times):.1f}",
            f"{times[int(0.95 * len(times))]:.1f}",
        )
        Console().print(table)
        sources.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
