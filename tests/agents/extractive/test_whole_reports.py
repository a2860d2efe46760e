"""Whole reports, judged as a reader would."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from signoff.agents.agent import Task
from signoff.agents.artifacts import Analysis, Computation, Draft, Evidence, Review
from signoff.agents.citations import find_blockquotes, flatten
from signoff.agents.extractive.report import with_sources
from signoff.agents.figures import figures_section
from signoff.tools.publishing.formats import format_of, render
from signoff.tools.search import Sources

Ask = Callable[[str], Task]


def short(task: Task) -> str:
    """The text of the direct answers."""
    quotes = {quote.id: quote.text for quote in task.need(Evidence).quotes}
    return "\n".join(quotes[id] for id in task.need(Analysis).answer)


ANSWERS = [
    ("Why was the winter service introduced?", "winter-service.md", "could not reach the hospital"),
    ("How do I claim a refund?", "refunds.md", "Keep the ticket"),
    ("Within how many days are refunds paid?", "refunds.md", "0 days"),
    ("Who decides whether the ferry sails in a storm?", "governance.md", "Ines Okafor"),
    ("How many members does the board have?", "governance.md", "five members"),
    ("How long does a member of the board serve?", "governance.md", "three years"),
    ("When does the board set the fares?", "governance.md", "February"),
    ("What is an impeller?", "engine.rst", "rubber wheel"),
    ("What is a storm warning?", "storms.md", "flag on the mast"),
    ("Does the ferry sail in a strong wind?", "storms.md", "when the wind is stronger than 20"),
    ("What is the fare of a season ticket?", "fares.csv", "1450 kroner"),
    ("Are dogs refunded?", "refunds.md", "never refunded"),
    ("Wann fährt die Fähre im Sommer?", "fahrplan.md", "jede Stunde"),
]


@pytest.mark.parametrize(("question", "source", "words"), ANSWERS)
def test_the_short_answer_quotes_the_right_passage(question: str, source: str, words: str, ask: Ask) -> None:
    report = ask(question)
    assert report.need(Review).accepted
    assert source in {quote.source for quote in report.need(Evidence).quotes}
    assert words in short(report)


@pytest.mark.parametrize("question", [question for question, _, _ in ANSWERS] + ["ferry", "winter"])
def test_no_passage_stands_in_a_report_twice(question: str, ask: Ask) -> None:
    said = Counter(flatten(quote.text) for quote in find_blockquotes(ask(question).need(Draft).markdown))
    assert said.total()
    assert max(said.values()) == 1


def test_a_question_is_answered_in_a_moment(ask: Ask) -> None:
    ask("How do I claim a refund?")
    begun = time.process_time()
    for question, _, _ in ANSWERS:
        ask(question)
    assert time.process_time() - begun < len(ANSWERS)


def test_the_same_question_gets_the_same_report(ask: Ask) -> None:
    assert ask("How do I claim a refund?").artifacts == ask("How do I claim a refund?").artifacts


COMPUTED = Analysis(computations=(Computation(title="Fares", sql="select 48", columns=("fare",), rows=((48,),)),))


def test_a_report_that_signoff_wrote_is_no_source_of_the_next(ask: Ask, tmp_path: Path) -> None:
    report = ask("Within how many days are refunds paid?")
    draft = report.need(Draft)
    generated = with_sources(draft.title, "Refunds are paid in time [1].", report.need(Evidence))
    for name, raw in {
        "extracted.md": draft.markdown.encode(),
        "generated.md": generated.markdown.encode(),
        "computed.md": f"# Fares\n\n{figures_section(COMPUTED)}\n".encode(),
        "extracted.html": render(format_of("report.html"), draft.markdown, {})[0],
    }.items():
        (tmp_path / name).write_bytes(raw)
    (tmp_path / "rule.md").write_text("# Refunds\n\nRefunds are paid within 14 days, says signoff.\n")
    sources = Sources.open(tmp_path, home=tmp_path / ".signoff")
    told = sources.refresh()
    assert sources.paths() == ["rule.md"]
    assert {skip.path for skip in told.skipped} == {"computed.md", "extracted.md", "generated.md", "extracted.html"}
    assert all("a report that signoff wrote" in skip.reason for skip in told.skipped)
    sources.close()
