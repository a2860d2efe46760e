"""The report that quotes and adds nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from signoff.agents.agent import Task
from signoff.agents.artifacts import Analysis, Draft, Evidence, Quote
from signoff.agents.citations import CITATION, find_blockquotes, same_text
from signoff.agents.extractive.report import compose, with_sources
from signoff.agents.safety import find_orders

Ask = Callable[[str], Task]


def short(task: Task) -> str:
    """The text of the direct answers."""
    quotes = {quote.id: quote.text for quote in task.need(Evidence).quotes}
    return "\n".join(quotes[id] for id in task.need(Analysis).answer)


def rework(report: Task, *notes: str) -> Draft:
    return compose(replace(report, notes=notes, previous=report.need(Draft)))


def test_the_report_says_that_it_was_extracted_and_from_how_much(ask: Ask) -> None:
    draft = ask("How do I claim a refund?").need(Draft)
    assert draft.method == "extracted"
    assert draft.markdown.startswith("# How do I claim a refund?\n\n*Extracted offline by signoff, not generated:")
    assert "13 documents were searched, 3 are quoted." in draft.markdown


def test_all_that_is_quoted_is_evidence_word_for_word(ask: Ask) -> None:
    report = ask("How do I claim a refund?")
    texts = {quote.id: quote.text for quote in report.need(Evidence).quotes}
    shown = list(find_blockquotes(report.need(Draft).markdown))
    assert {quote.id for quote in shown} == set(texts)
    for quote in shown:
        assert quote.id is not None
        assert same_text(quote.text, texts[quote.id])


def test_citations_are_numbered_in_the_order_of_reading(ask: Ask) -> None:
    for question in ("How do I claim a refund?", "ferry", "Who sets the fares? What is an impeller?"):
        numbers = [quote.id for quote in find_blockquotes(ask(question).need(Draft).markdown)]
        assert numbers == list(range(1, len(numbers) + 1))


def test_the_short_answer_is_a_sentence_with_the_whole_passage_under_it(ask: Ask) -> None:
    markdown = ask("What is a storm warning?").need(Draft).markdown
    said = "A storm warning is a flag on the mast of the harbour office."
    assert f"## In short\n\n**{said}** [1]\n\n> The ferry does not sail" in markdown
    alone = ask("How long does a member of the board serve?").need(Draft).markdown.partition("## In short\n\n")[2]
    assert alone.startswith("**The board has five members")


def test_every_source_is_listed_once_and_no_heading_stands_twice_in_a_row(ask: Ask) -> None:
    markdown = ask("Why was the winter service introduced?").need(Draft).markdown
    listed = markdown.partition("## Sources")[2]
    assert listed.count("`winter-service.md`") == 1
    assert set(CITATION.findall(listed)) == set(CITATION.findall(markdown))
    under = re.findall(r"^> — (.*)|^### (.*)", markdown, re.MULTILINE)
    assert all(one != other for one, other in pairwise(under))


def test_sections_without_content_are_left_out(ask: Ask) -> None:
    markdown = ask("How long does a member of the board serve?").need(Draft).markdown
    assert re.findall(r"^## (.*)", markdown, re.MULTILINE) == ["In short", "Sources"]
    lacking = ask("Does a member of the board own a submarine?").need(Draft).markdown
    assert "## What the documents do not say\n\n- No document uses the words “own” or “submarine”." in lacking
    disagreeing = ask("Within how many days are refunds paid?").need(Draft).markdown
    assert "## Where the documents may disagree\n\n- [1] and [2] may disagree: “" in disagreeing


def test_no_heading_or_line_of_the_report_itself_is_taken_for_an_order(ask: Ask) -> None:
    for question in (
        "Within how many days are refunds paid?",
        "What is the wifi password on the ferry?",
        "Was Mongolia's capital occupied?",
        "What is the difference between the impeller and a storm warning?",
    ):
        report = ask(question)
        draft = report.need(Draft)
        notes = ("Tell it as a story that a child understands.", "Please say only what is allowed.")
        for one in (draft, rework(report, *notes), with_sources(question, draft.markdown, report.need(Evidence))):
            own = "\n".join(line for line in one.markdown.split("\n") if not line.startswith(">"))
            assert "## " in own
            for text in (own, one.markdown, json.dumps({"markdown": one.markdown}, ensure_ascii=False)):
                assert find_orders(text) == (), text


def test_a_comparison_has_a_column_for_each_side(ask: Ask) -> None:
    markdown = ask("What is the difference between the impeller and a storm warning?").need(Draft).markdown
    table = markdown.partition("## Side by side\n\n")[2].partition("\n\n")[0].split("\n")
    assert table[:2] == ["| impeller | storm warning |", "| --- | --- |"]
    left, right = table[2].strip("| ").split(" | ")
    assert "impeller" in left.lower()
    assert right.startswith("A storm warning is a flag on the mast")
    assert all(CITATION.search(cell) for cell in (left, right))


def test_what_is_only_near_is_said_to_be_so(ask: Ask) -> None:
    draft = ask("What is the wifi password on the ferry?").need(Draft)
    assert "## No sure answer\n\nNothing was judged to answer this" in draft.markdown
    assert "No document uses the words “wifi” or “password”." in draft.markdown
    assert "In short" not in draft.markdown
    assert len(list(find_blockquotes(draft.markdown))) == 3


def test_nothing_near_is_said_plainly_and_nothing_is_invented(ask: Ask) -> None:
    draft = ask("Was Mongolia's capital occupied?").need(Draft)
    assert "**Nothing was found that could be quoted.** 13 documents were searched" in draft.markdown
    assert "No document uses the words “mongolia”, “capital” or “occupied”." in draft.markdown
    assert not CITATION.search(draft.markdown)
    assert not list(find_blockquotes(draft.markdown))


def test_code_lists_and_rows_are_shown_as_what_they_are(ask: Ask) -> None:
    markdown = ask("How is the impeller replaced, and what is the fare of a bicycle?").need(Draft).markdown
    assert "> ```\n> def refund(winter, ferry):\n>     return winter.refund == ferry.refund" in markdown
    assert (
        "> | Ticket | Fare | Valid |\n> | --- | --- | --- |\n> | Adult single | 48 kroner | one day |\n> |" in markdown
    )
    season = ask("What does a season ticket cost?").need(Draft).markdown.partition("## In short\n\n")[2]
    assert season.startswith("> | Ticket | Fare | Valid |")
    assert "> | Season ticket | 1450 kroner | one year |\n>\n> [1]\n" in season
    assert (
        "> 1. Keep the ticket, e.g. the paper slip or the e-mail.\n> 2. Write"
        in ask("How do I claim a refund?").need(Draft).markdown
    )


def test_a_long_goal_makes_a_short_title(ask: Ask) -> None:
    assert len(ask("ferry " * 60).need(Draft).title) <= 121


@pytest.mark.parametrize(("note", "gone"), [("Quote [1] says nothing new.", 1), ("[2] is cut through.", 2)])
def test_a_quote_that_the_review_names_is_dropped(note: str, gone: int, ask: Ask) -> None:
    markdown = rework(ask("How do I claim a refund?"), note).markdown
    assert str(gone) not in CITATION.findall(markdown)
    assert CITATION.search(markdown)


def test_a_quote_that_the_review_wants_first_comes_first(ask: Ask) -> None:
    assert next(find_blockquotes(rework(ask("How do I claim a refund?"), "Start with [3].").markdown)).id == 3


def test_what_the_review_asks_about_comes_first(ask: Ask) -> None:
    report = ask("How do I claim a refund?")
    first = next(find_blockquotes(rework(report, "Say more about the “kiosk”.").markdown))
    assert "kiosk" in first.text
    assert "kiosk" not in next(find_blockquotes(report.need(Draft).markdown)).text


def test_a_shorter_report_keeps_the_answer_only(ask: Ask) -> None:
    report = ask("Why was the winter service introduced?")
    shorter = rework(report, "Too long.").markdown
    assert "## More from the documents" in report.need(Draft).markdown
    assert "## More from the documents" not in shorter
    assert shorter.count("> —") == 1
    assert short(report)[:60] in shorter


def test_where_the_answer_is_left_out_the_next_takes_its_place(ask: Ask) -> None:
    report = ask("How do I claim a refund?")
    assert next(find_blockquotes(rework(report, "Leave out [1].").markdown)).id == 2


def test_a_wish_that_quoting_cannot_meet_is_said_so(ask: Ask) -> None:
    markdown = rework(ask("How do I claim a refund?"), "Make it funnier!").markdown
    assert "## What the review asked for and quoting cannot do\n\n- Make it funnier!" in markdown


def test_a_model_s_text_gets_its_title_what_it_is_and_the_quotes_it_cites() -> None:
    quotes = tuple(Quote(id=n, text=f"Fact *{n}*.", source="a.md", start=0, title="A") for n in (1, 2, 3))
    evidence = Evidence(question="?", quotes=quotes, searched=5)
    draft = with_sources("the facts", "# The facts\n\nTwo [2], one [1].\n\n## Sources\n\n- made up", evidence)
    assert draft.method == "generated"
    assert draft.markdown == (
        "# The facts\n\n*Generated by a model from quoted passages and checked by signoff; the quotes are listed "
        "at the end. 5 documents were searched, 1 is cited.*\n\nTwo [2], one [1].\n\n## Sources\n\n"
        "- [2] *A*, `a.md`: “Fact \\*2\\*.”\n- [1] *A*, `a.md`: “Fact \\*1\\*.”\n"
    )


def test_no_sentence_is_the_short_answer_for_one_word_of_many_nor_lines_that_are_laid_out(ask: Ask) -> None:
    report = ask("What is a storm warning?")
    (quote, *_) = report.need(Evidence).quotes
    for text in ("We sail.\n\nA warning is read out.", "storm = warning(\n    flag)\n\nWe sail in the morning."):
        evidence = report.need(Evidence).model_copy(update={"quotes": (quote.model_copy(update={"text": text}),)})
        markdown = compose(replace(report, artifacts={**report.artifacts, "Evidence": evidence})).markdown
        assert "## In short\n\n>" in markdown
