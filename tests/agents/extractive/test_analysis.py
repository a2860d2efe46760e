"""What the analyst's function makes of evidence."""

from __future__ import annotations

from collections.abc import Callable

from signoff.agents.agent import Task
from signoff.agents.artifacts import Analysis, Evidence, Quote
from signoff.agents.extractive.analysis import analyse

Ask = Callable[[str], Task]


def test_the_first_quote_is_the_answer_and_the_others_stand_by_document(ask: Ask) -> None:
    report = ask("How do I claim a refund?")
    analysis, quotes = report.need(Analysis), report.need(Evidence).quotes
    assert analysis.answer == (1,)
    assert [id for theme in analysis.themes for id in theme.quotes] == [quote.id for quote in quotes[1:]]
    named = {quote.id: quote.title for quote in quotes}
    assert all(named[id] == theme.title for theme in analysis.themes for id in theme.quotes)


def test_where_nothing_is_sure_there_is_no_answer_and_nothing_is_left_out() -> None:
    quotes = tuple(Quote(id=n, text=f"The ferry {n}.", source="a.md", start=0) for n in (1, 2))
    analysis = analyse(Task("?", {"Evidence": Evidence(question="?", quotes=quotes, sure=False)}))
    assert analysis.answer == ()
    assert [(theme.title, theme.quotes) for theme in analysis.themes] == [("a.md", (1, 2))]


def test_documents_that_disagree_are_named(ask: Ask) -> None:
    report = ask("Within how many days are refunds paid?")
    (conflict,) = report.need(Analysis).conflicts
    assert {conflict.first, conflict.second} == {1, 2}
    assert "14 days" in conflict.why
    assert "30 days" in conflict.why


def test_words_that_no_document_uses_and_parts_that_nothing_has_are_gaps(ask: Ask) -> None:
    gaps = ask("Who sets the fares? Which paint covers the hull's kayak?").need(Analysis).gaps
    assert gaps == (
        "No document uses the words “paint”, “covers” or “kayak”.",
        "No quoted passage has enough of the words of “Which paint covers the hull's kayak?”.",
    )
