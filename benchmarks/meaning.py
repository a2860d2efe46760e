"""Search by words and by meaning: how often the passage that answers is among the first, and what it costs.

The questions of `questions.py` ask about this project's docs in other words than those of the docs.
"""

import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from questions import QUESTIONS
from rich.console import Console
from rich.table import Table

from signoff import Sources
from signoff.tools.search.embeddings import MiniLM

DOCS = Path(__file__).parent.parent / "docs"
FIRST = (1, 3, 5, 10)


def place_of(answer: tuple[str, str], sources: Sources, question: str) -> int:
    """Where the first passage of the page and heading stands among 50; 0 if nowhere."""
    page, heading = answer
    for place, passage in enumerate(sources.search(question, limit=50), 1):
        if passage.source == page and heading.lower() in passage.heading.lower():
            return place
    return 0


def main(docs: Path) -> None:
    table = Table(title=f"signoff {version('signoff')}, {len(QUESTIONS)} questions, Python {sys.version.split()[0]}")
    for column in (
        "search",
        *(f"in first {most}" for most in FIRST),
        "mean 1/place",
        "index CPU s",
        "p50 ms",
        "passages",
    ):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as home:
        for name, embedder in (("words", None), ("words and meaning", MiniLM())):
            sources = Sources.open(docs, database=Path(home, f"{name}.db"), embedder=embedder)
            began = time.process_time()
            sources.refresh()
            spent = time.process_time() - began
            places, times = [], []
            for question, *answer in QUESTIONS:
                asked = time.perf_counter()
                places.append(place_of((answer[0], answer[1]), sources, question))
                times.append(1000 * (time.perf_counter() - asked))
            table.add_row(
                name,
                *(f"{sum(0 < place <= most for place in places) / len(places):.0%}" for most in FIRST),
                f"{statistics.mean(1 / place if place else 0 for place in places):.2f}",
                f"{spent:.1f}",
                f"{statistics.median(times):.0f}",
                f"{sources.passages:,}",
            )
            sources.close()
    Console(width=120).print(table)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS)
