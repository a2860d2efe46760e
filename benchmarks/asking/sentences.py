"""Whether the reviewer's code finds a sentence that its quote does not bear out, and lets through one that it does."""

import tomllib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signoff import Draft, Evidence, Review, Sources, Task
from signoff.agents import Analysis, Quote
from signoff.agents.roles.checks import inspect

FILE = Path(__file__).with_name("sentences.toml")
UNKNOWN = 77
"""A citation of no quote."""


@dataclass(frozen=True)
class Judged:
    """A sentence over a quote, and whether it was accepted."""

    kind: str
    """true, a kind of falsehood, or what is wrong with its citation."""
    quote: str
    sentence: str
    accepted: bool
    why: str

    @property
    def right(self) -> bool:
        return self.accepted == (self.kind == "true")


def quotes() -> list[dict[str, Any]]:
    read = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return list(read["quotes"])


def judge(folder: Path) -> Iterator[Judged]:
    """Every sentence, before the reviewer's code. The quotes are stored as documents in an empty folder."""
    told = quotes()
    documents = folder / "documents"
    documents.mkdir()
    for number, entry in enumerate(told, 1):
        (documents / f"{number}.txt").write_text(entry["quote"] + "\n", encoding="utf-8")
    with closing(Sources.open(documents, home=folder)) as sources:
        sources.refresh()
        for number, entry in enumerate(told, 1):
            source = f"{number}.txt"
            start = sources.text(source).index(entry["quote"])
            quote = Quote(id=1, text=entry["quote"], source=source, start=start)
            faithful = entry["true"][0]
            cases = [
                *(("true", sentence, quote, 1) for sentence in entry["true"]),
                *((kind, sentence, quote, 1) for kind, sentence in entry["false"].items()),
                ("quote that is not there", faithful, quote, UNKNOWN),
                ("source that is not there", faithful, quote.model_copy(update={"source": "nowhere.txt"}), 1),
                ("words that are not there", faithful, quote.model_copy(update={"text": _turned(quote.text)}), 1),
            ]
            for kind, sentence, cited, id in cases:
                review = _review(sentence, cited, id, sources)
                yield Judged(kind, entry["quote"], sentence, review.accepted, " ".join(review.notes))


def _turned(text: str) -> str:
    """A quote with one word too few: it does not stand in its source."""
    words = text.split(" ")
    return " ".join([*words[:1], *words[2:]])


def _review(sentence: str, quote: Quote, id: int, sources: Sources) -> Review:
    markdown = f"# What is known\n\n{sentence.rstrip('.')} [{id}].\n"
    artifacts = (
        Evidence(question="What is known?", quotes=(quote,), searched=1, matched=1),
        Analysis(),
        Draft(title="What is known", markdown=markdown, method="generated"),
    )
    return inspect(Task("What is known?", {type(each).__name__: each for each in artifacts}), sources)
