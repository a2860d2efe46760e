"""Questions, and how what was shown for one is scored: by code, word for word."""

import hashlib
import re
import statistics
import tomllib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPEN = Path(__file__).with_name("questions.toml")
KEPT = Path(__file__).with_name("kept.toml")
"""A third of the questions, which nobody who works on the search has seen; chosen by the hash of the question."""
FRESH = Path(__file__).with_name("fresh.toml")
"""Questions about other documents, written before anything was asked of these."""


@dataclass(frozen=True)
class Question:
    """A question about a corpus. Of each part any one of its passages answers; without parts nothing does.

    With a `value` it is about a table, and that number must be computed.
    """

    corpus: str
    ask: str
    parts: tuple[tuple[str, ...], ...] = ()
    value: float | None = None

    @property
    def kept(self) -> bool:
        return hashlib.sha256(self.ask.encode()).digest()[6] % 3 == 0


@dataclass(frozen=True)
class Shown:
    """What somebody gets to see for a question."""

    blocks: tuple[str, ...]
    """The passages shown, in order."""
    everything: str
    """All that is shown, in one text."""
    marked: bool
    """Whether it says that the documents do not answer, or that nothing was judged to."""
    cpu: float
    """Seconds."""
    computed: str = ""
    """What was computed of tables."""
    disagreements: tuple[str, ...] = ()
    """What is said to disagree, a line each."""
    flags: tuple[str, ...] = ()
    """What whoever decides is warned of."""


@dataclass(frozen=True)
class Scored:
    question: Question
    shown: Shown
    places: tuple[int | None, ...]
    """Of each part: which block holds it, 1 for the first; 0 for elsewhere in what is shown, None for nowhere."""

    def within(self, most: int) -> int:
        """How many parts stand in the first so many blocks."""
        return sum(place is not None and 0 < place <= most for place in self.places)

    @property
    def anywhere(self) -> int:
        return sum(place is not None for place in self.places)

    @property
    def silent(self) -> bool:
        return not self.shown.blocks

    @property
    def is_computed(self) -> bool:
        """Whether the number asked for is among those computed, in three digits or more."""
        numbers = re.findall(r"\d[\d,]*(?:\.\d+)?", self.shown.computed)
        return self.question.value is not None and any(_is_rounded(each, self.question.value) for each in numbers)


def read_questions(file: Path) -> list[Question]:
    """The questions of a file; ValueError if one is not as it must be, or belongs into the other file."""
    found = []
    for entry in tomllib.loads(file.read_text(encoding="utf-8")).get("questions", []):
        parts = entry.get("parts") or ([entry["answer"]] if "answer" in entry else [])
        question = Question(entry["corpus"], entry["ask"], tuple(map(_passages, parts)), entry.get("value"))
        if file.name != FRESH.name and question.kept != (file.name == KEPT.name):
            raise ValueError(f"{file.name}: {question.ask!r} belongs into the other file")
        found.append(question)
    return found


def _is_rounded(number: str, value: float) -> bool:
    """Whether a number as it is shown is this value, as far as both are written out."""
    plain = number.replace(",", "")
    decimals = min(len(text.partition(".")[2]) for text in (plain, repr(value)))
    return len(plain.replace(".", "")) >= 3 and abs(float(plain) - value) <= 0.51 * 10**-decimals


def _passages(part: Any) -> tuple[str, ...]:
    return tuple([part] if isinstance(part, str) else part)


def even(text: str) -> str:
    """The words of a text, one blank apart: white space, quotation marks and marks of Markdown do not count."""
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text)))


def holds(text: str, passages: Iterable[str]) -> bool:
    """Whether any of the passages stands in the text, word for word."""
    words = f" {even(text)} "
    return any(f" {even(passage)} " in words for passage in passages)


def score(question: Question, shown: Shown) -> Scored:
    places: list[int | None] = []
    for passages in question.parts:
        place = next((place for place, block in enumerate(shown.blocks, 1) if holds(block, passages)), None)
        places.append(0 if place is None and holds(shown.everything, passages) else place)
    return Scored(question, shown, tuple(places))


def figures(scored: Sequence[Scored]) -> dict[str, str]:
    """The figures of one way over all questions."""
    single = [each for each in scored if len(each.question.parts) == 1]
    several = [each for each in scored if len(each.question.parts) > 1]
    never = [each for each in scored if not each.question.parts and each.question.value is None]
    tables = [each for each in scored if each.question.value is not None]
    parts = sum(len(each.question.parts) for each in several)

    def of(number: int, total: int) -> str:
        return f"{number} of {total}" if total else "–"

    def characters(most: int) -> str:
        return (
            f"{statistics.median(sum(map(len, each.shown.blocks[:most])) for each in single):,.0f}" if single else "–"
        )

    return {
        "answer first": of(sum(each.within(1) for each in single), len(single)),
        "in three": of(sum(each.within(3) for each in single), len(single)),
        "in eight": of(sum(each.within(8) for each in single), len(single)),
        "anywhere": of(sum(each.anywhere for each in single), len(single)),
        "silent": of(sum(each.silent for each in single), len(single)),
        "wrongly marked": of(sum(each.shown.marked for each in single), len(single)),
        "unanswerable marked": of(sum(each.shown.marked for each in never), len(never)),
        "parts in eight": of(sum(each.within(8) for each in several), parts),
        "parts anywhere": of(sum(each.anywhere for each in several), parts),
        "computed of tables": of(sum(each.is_computed for each in tables), len(tables)),
        "said to disagree": of(sum(bool(each.shown.disagreements) for each in scored), len(scored)),
        "warned of orders": of(sum(bool(each.shown.flags) for each in scored), len(scored)),
        "characters, first": characters(1),
        "characters, three": characters(3),
        "characters, eight": characters(8),
        "CPU ms a question": f"{1000 * statistics.mean(each.shown.cpu for each in scored):,.0f}",
    }
