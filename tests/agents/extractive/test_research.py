"""What the researcher's function finds, and how it looks up what a model found."""

from __future__ import annotations

from pathlib import Path

import pytest

from signoff.agents.agent import Task
from signoff.agents.artifacts import Evidence, Quote
from signoff.agents.citations import verify_quotes
from signoff.agents.extractive.research import gather
from signoff.tools.search.sources import Sources
from signoff.wording import make_visible


def found(question: str, ferry: Sources) -> list[str]:
    return [quote.text for quote in gather(Task(question), ferry).quotes]


def proposed(*quotes: tuple[str, str]) -> Evidence:
    return Evidence(
        question="?",
        quotes=tuple(Quote(id=n, text=text, source=source, start=-1) for n, (source, text) in enumerate(quotes, 1)),
    )


@pytest.mark.parametrize(
    "question",
    ["Why was the winter service introduced?", "How do I claim a refund?", "fares", "Wann fährt die Fähre?", "ferry"],
)
def test_every_quote_stands_in_its_document_where_it_says(question: str, ferry: Sources) -> None:
    evidence = gather(Task(question), ferry)
    assert evidence.quotes
    for place, quote in enumerate(evidence.quotes, 1):
        assert quote.id == place
        assert ferry.text(quote.source)[quote.start : quote.start + len(quote.text)] == quote.text
    assert evidence.matched == len({quote.source for quote in evidence.quotes})
    assert evidence.searched == ferry.documents


def test_the_same_sentence_in_two_documents_is_quoted_once(ferry: Sources) -> None:
    texts = found("Why was the winter service introduced?", ferry)
    assert sum("could not reach the hospital" in text for text in texts) == 1


def test_a_sentence_that_points_back_comes_with_the_one_before_it_or_not_at_all(ferry: Sources) -> None:
    for question in ("Who is the deputy of the harbour master?", "Why does the timetable follow the hospital's hours?"):
        for text in found(question, ferry):
            assert not text.startswith(("Her ", "This ", "However", "It "))


def test_steps_are_quoted_as_a_whole_with_the_sentence_that_introduces_them(ferry: Sources) -> None:
    steps = next(text for text in found("How do I claim a refund?", ferry) if text.startswith("To claim a refund:"))
    assert steps.endswith("its date and hour.")


def test_one_step_comes_with_the_others(ferry: Sources) -> None:
    (text,) = found("Should I keep the paper slip of the ticket?", ferry)
    assert text.startswith("To claim a refund:")


def test_abbreviations_cut_nothing_short(ferry: Sources) -> None:
    texts = " ".join(found("How do I claim a refund?", ferry))
    assert "cf. rule No. 7 of the tariff." in texts


def test_a_row_of_a_table_can_be_quoted(ferry: Sources) -> None:
    assert found("What is the fare of a season ticket?", ferry)[0] == (
        "Ticket: Season ticket; Fare: 1450 kroner; Valid: one year"
    )


def test_code_copyright_and_change_logs_are_not_quoted(ferry: Sources) -> None:
    texts = " ".join(found("Which refund does the winter ferry give?", ferry) + found("winter ferry", ferry))
    assert "def refund" not in texts
    assert "brass" not in " ".join(found("What is an impeller?", ferry))
    assert "Copyright" not in " ".join(found("Who has the copyright of the ferry's cooperative?", ferry))
    assert "rights reserved" not in texts
    assert "Fixed the refund form" not in texts


def test_look_alikes_are_left_out(ferry: Sources) -> None:
    evidence = gather(Task("How do I claim a refund?"), ferry)
    assert {quote.source for quote in evidence.quotes} == {"refunds.md", "refunds-leaflet.txt"}


@pytest.mark.parametrize(
    ("question", "missing"),
    [
        ("What is the capital of Mongolia?", ("capital", "mongolia")),
        ("How do I bake sourdough bread?", ("bake", "sourdough", "bread")),
        ("What is the wifi password on the ferry?", ("wifi", "password")),
        ("Which insurance covers the ferry?", ("insurance", "covers")),
        ("Who painted the queen?", ("painted",)),
        ("What did the board decide about the moon?", ()),
        ("When does the board of Stena set the fares, at its meeting in February?", ("stena",)),
        ("Which paper is the ticket printed on by the office printer?", ("printer",)),
        ("Which helicopter pilots learnt to fly at the school?", ("pilots", "learnt", "fly")),
    ],
)
def test_what_the_documents_do_not_hold_is_not_found(question: str, missing: tuple[str, ...], ferry: Sources) -> None:
    evidence = gather(Task(question), ferry)
    assert evidence.quotes == ()
    assert evidence.matched == 0
    assert evidence.missing == missing


@pytest.mark.parametrize("question", ["", "???", "the of and", "如何购买船票？", "ما هو سعر التذكرة؟", "ferry " * 2000])
def test_odd_goals_are_survived(question: str, ferry: Sources) -> None:
    evidence = gather(Task(question), ferry)
    assert evidence.question == question


def test_of_ideographs_nothing_is_said_that_an_index_of_words_cannot_know(ferry: Sources) -> None:
    assert gather(Task("船票 kayak"), ferry).missing == ("kayak",)


def test_the_same_question_finds_the_same(ferry: Sources) -> None:
    assert gather(Task("How do I claim a refund?"), ferry) == gather(Task("How do I claim a refund?"), ferry)


def test_it_tells_what_it_does(ferry: Sources) -> None:
    told: list[str] = []

    def say(text: str, /, *, done: int = 0, total: int = 0) -> None:
        told.append(text)

    gather(Task("How do I claim a refund?", say=say), ferry)
    assert told == ["searching 13 documents", "kept 3 quotes from 2 documents"]


def test_a_model_s_quote_is_replaced_by_the_stored_span(ferry: Sources) -> None:
    evidence, dropped = verify_quotes(
        proposed(
            ("refunds.md", "not even a puppy,” as  the\ntariff says."),
            (
                "winter-service.md",
                "The winter service was introduced because the islanders could not reach the hospital",
            ),
            ("refunds.md", "Refunds are paid in gold."),
            ("nowhere.md", "The ferry sails."),
            ("refunds.md", ""),
        ),
        ferry,
    )
    assert dropped == 3
    first, second = evidence.quotes
    assert (first.id, first.text, first.title, first.heading) == (
        1,
        'not even a puppy," as the tariff says.',
        "Refunds",
        "What is not refunded",
    )
    assert ferry.text("refunds.md")[first.start :].startswith(first.text)
    assert (second.id, second.heading, evidence.matched, evidence.searched) == (2, "Rationale", 2, 13)


def test_a_quote_proposed_twice_is_kept_once(ferry: Sources) -> None:
    line = ("refunds.md", "A missed crossing is not refunded.")
    evidence, dropped = verify_quotes(proposed(line, line), ferry)
    assert (len(evidence.quotes), dropped) == (1, 1)


def test_of_a_quote_put_together_from_several_places_the_sentences_that_stand_are_kept(ferry: Sources) -> None:
    missed = "A missed crossing is not refunded."
    merged = f"The winter service was introduced in a hurry. {missed} Yes."
    evidence, dropped = verify_quotes(proposed(("refunds.md", merged), ("refunds.md", missed)), ferry)
    assert [quote.text for quote in evidence.quotes] == [missed]
    assert dropped == 1


def test_a_quote_with_characters_as_a_model_is_shown_them_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "odd.md").write_text("The fer\u200dry\u202e leaves at six \u2764\ufe0f.\n")
    sources = Sources.open(folder, database=tmp_path / "odd.db")
    sources.refresh()
    text = sources.text("odd.md")
    evidence, dropped = verify_quotes(proposed(("odd.md", make_visible(text))), sources)
    assert (evidence.quotes[0].text, dropped) == (text, 0)
    sources.close()
