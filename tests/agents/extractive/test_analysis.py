"""What the analyst's function makes of evidence."""

from __future__ import annotations

from collections.abc import Callable

from signoff.agents.agent import Task
from signoff.agents.artifacts import Analysis, Evidence, Quote
from signoff.agents.extractive.analysis import analyse

Ask = Callable[[str], Task]


def short(task: Task) -> str:
    """The text of the direct answers."""
    quotes = {quote.id: quote.text for quote in task.need(Evidence).quotes}
    return "\n".join(quotes[id] for id in task.need(Analysis).answer)


def analysed(goal: str, *quotes: Quote, missing: tuple[str, ...] = ()) -> Analysis:
    evidence = Evidence(question=goal, quotes=quotes, searched=9, matched=len(quotes), missing=missing)
    return analyse(Task(goal, {"Evidence": evidence}))


def quote(id: int, text: str, source: str = "a.md", heading: str = "", title: str = "A", score: float = 1.0) -> Quote:
    return Quote(id=id, text=text, source=source, start=id * 100, heading=heading, title=title, score=score)


def test_the_answer_is_the_quote_that_gives_the_reason(ask: Ask) -> None:
    assert "because the islanders could not reach the hospital" in short(ask("Why was the winter service introduced?"))


def test_every_quote_is_in_one_theme_named_by_its_document(ask: Ask) -> None:
    report = ask("How do I claim a refund?")
    grouped = [id for theme in report.need(Analysis).themes for id in theme.quotes]
    assert sorted(grouped) == [quote.id for quote in report.need(Evidence).quotes]
    assert {theme.title for theme in report.need(Analysis).themes} == {"Refunds", "REFUNDS IN SHORT"}


def test_quotes_of_one_document_are_grouped_by_its_headings() -> None:
    themes = analysed(
        "ferry", quote(1, "A ferry.", heading="Ships › Big"), quote(2, "The ferry.", heading="Ships › Small › Old")
    ).themes
    assert [(theme.title, theme.quotes) for theme in themes] == [("Big", (1,)), ("Small", (2,))]


def test_documents_of_one_title_are_told_apart() -> None:
    themes = analysed(
        "ferry", quote(1, "A ferry.", source="a/read.md"), quote(2, "The ferry.", source="b/read.md")
    ).themes
    assert {theme.title for theme in themes} == {"A (a/read.md)", "A (b/read.md)"}


def test_there_are_never_more_than_six_themes() -> None:
    many = [quote(n, f"The ferry number {n}.", source=f"{n}.md", title=f"T{n}") for n in range(1, 12)]
    themes = analysed("ferry", *many, quote(12, "Another ferry.", source="1.md", title="T1")).themes
    assert len(themes) <= 6
    assert themes[-1].title == "Other documents"
    assert sum(len(theme.quotes) for theme in themes) == 12


def test_documents_that_disagree_are_named(ask: Ask) -> None:
    report = ask("Within how many days are refunds paid?")
    (conflict,) = report.need(Analysis).conflicts
    assert {conflict.first, conflict.second} == {1, 2}
    assert "14 days" in conflict.why
    assert "30 days" in conflict.why


def test_words_no_document_uses_are_a_gap(ask: Ask) -> None:
    gaps = ask("What is the capital of Mongolia?").need(Analysis).gaps
    assert gaps[0] == "No document uses the words “capital” or “mongolia”."


def test_words_used_only_elsewhere_are_a_gap() -> None:
    assert analysed("Do dogs pay on the ferry?", quote(1, "Dogs travel on the ferry.")).gaps == (
        "No quoted passage uses the word “pay”.",
    )


def test_a_question_for_a_figure_that_no_quote_gives_has_no_direct_answer() -> None:
    analysis = analysed("How many seats does the ferry have?", quote(1, "The seats of the ferry are blue."))
    assert analysis.answer == ()
    assert analysis.gaps == ("No quoted passage gives a figure.",)


def test_a_part_of_the_goal_that_nothing_answers_is_a_gap() -> None:
    gaps = analysed(
        "Who sets the fares? Which paint covers the hull?", quote(1, "The board sets the fares in May.")
    ).gaps
    assert "Nothing that was found answers “Which paint covers the hull?”." in gaps


def test_each_part_of_the_goal_gets_its_answer(ask: Ask) -> None:
    report = ask("Who decides whether the ferry sails in a storm? What is an impeller?")
    assert "Ines Okafor" in short(report)
    assert "rubber wheel" in short(report)


def test_nothing_found_is_analysed_honestly() -> None:
    analysis = analysed("Is the ferry green?")
    assert (analysis.answer, analysis.themes, analysis.conflicts) == ((), (), ())
    assert analysis.gaps == ("No passage speaks of enough of the question to be quoted.",)


def test_the_order_of_the_evidence_does_not_matter_for_what_is_found() -> None:
    one, other = quote(1, "The ferry sails at six.", score=2), quote(2, "The ferry is blue.", source="b.md", title="B")
    assert analysed("ferry", one, other).themes == analysed("ferry", other, one).themes
