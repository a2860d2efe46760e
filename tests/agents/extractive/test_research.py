"""What the researcher's function finds, and how it looks up what a model found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


def test_what_answers_is_quoted_whole_and_best_first(ferry: Sources) -> None:
    steps = found("How do I claim a refund?", ferry)[0]
    assert steps.startswith("To claim a refund:\n\n1. Keep the ticket")
    assert "its date and hour.\n\nRefunds are paid within 14 days" in steps
    assert found("What is the fare of a season ticket?", ferry)[0].endswith(
        "Ticket: Season ticket; Fare: 1450 kroner; Valid: one year"
    )
    assert "all rights reserved" in " ".join(found("Who has the copyright of the ferry's cooperative?", ferry))


def test_a_list_of_changes_does_not_answer_unless_changes_are_asked_for(ferry: Sources) -> None:
    assert gather(Task("the refund form of the winter service"), ferry).quotes[0].source != "CHANGELOG.md"
    assert gather(Task("What was fixed in the refund form?"), ferry).quotes[0].source == "CHANGELOG.md"


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Callable[..., Sources]]:
    """Opens a folder of these texts."""
    opened: list[Sources] = []

    def open_sources(**texts: str) -> Sources:
        folder = tmp_path / "papers"
        folder.mkdir()
        for name, text in texts.items():
            (folder / f"{name}.md").write_text(text)
        opened.append(Sources.open(folder, database=tmp_path / "papers.db"))
        opened[-1].refresh()
        return opened[-1]

    yield open_sources
    for sources in opened:
        sources.close()


RULE = "The captain pays back a ticket within {} days after the crossing, and the office {} keep a copy of the ticket."


def test_what_stands_twice_is_quoted_once_and_both_sides_of_editions_that_differ_stay(
    library: Callable[..., Sources],
) -> None:
    sources = library(
        one=RULE.format(14, "must"),
        same=RULE.format(14, "must") + " Ask at the quay.",
        copy=RULE.format(14, "must"),
        later=RULE.format(30, "must"),
        denied=RULE.format(14, "must not"),
        softer=RULE.format(14, "should"),
        spelt=RULE.format("fourteen", "must"),
    )
    texts = found("When does the captain pay back a ticket?", sources)
    assert len([text for text in texts if text.startswith(RULE.format(14, "must"))]) in (1, 2)  # 2: with its last words
    assert texts.count(RULE.format(14, "must")) <= 1
    for other in (RULE.format(30, "must"), RULE.format(14, "must not"), RULE.format(14, "should")):
        assert other in texts


STANDING = (
    "The race was run in the rain on a wet road between the harbour and the old mill. "
    "Two thousand people stood beside the road and saw the runners come in, 127 of them after dark."
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Joan Benoit finished ahead of Grete Waitz.", "Grete Waitz finished ahead of Joan Benoit."),
        ("The hill slowed them before the wind.", "The wind slowed them before the hill."),
        ("It was won by Wietse in three hours.", "It was won by Viktor in three hours."),
        ("The first of them had the number 125.", "The first of them had the number 127."),
        ("The last of them may wait on the road.", "The last of them must wait on the road."),
    ],
    ids=["names swapped", "words swapped", "another name", "a figure that stands elsewhere", "a duty"],
)
def test_an_edition_that_puts_one_sentence_otherwise_is_not_taken_for_a_repetition(
    one: str, other: str, library: Callable[..., Sources]
) -> None:
    sources = library(one=f"{STANDING} {one}", other=f"{STANDING} {other}", same=f"{STANDING} So it was. {one}")
    texts = found("Who came in after the race on the wet road?", sources)
    assert sorted(text.removeprefix(STANDING).strip().removeprefix("So it was. ") for text in texts) == sorted(
        {one, other}
    )


def test_each_side_of_a_comparison_and_each_part_of_a_question_is_quoted_if_anything_is_said_of_it(
    library: Callable[..., Sources],
) -> None:
    many = {f"ferry{n}": f"# Ferry {n}\n\nThe ferry has a rule for the ferry's deck, number {n}.\n" for n in range(12)}
    sources = library(**many, bus="# Bus\n\nThe bus has wheels.\n", engine="# Pump\n\nAn impeller is a wheel.\n")
    assert "The bus has wheels." in found("What is the difference between the ferry and the bus?", sources)
    evidence = gather(
        Task("Which rule does the ferry's deck have? What is an impeller? Who owns the submarine?"), sources
    )
    assert "An impeller is a wheel." in [quote.text for quote in evidence.quotes]
    assert (evidence.sure, evidence.unmet, evidence.missing) == (
        True,
        ("Who owns the submarine?",),
        ("owns", "submarine"),
    )


@pytest.mark.parametrize(
    ("question", "missing"),
    [
        ("How do I bake sourdough bread with dogs?", ("bake", "sourdough", "bread")),
        ("What is the wifi password on the ferry?", ("wifi", "password")),
        ("Which insurance covers the ferry?", ("insurance", "covers")),
        ("Which helicopter pilots learnt to fly at the school?", ("pilots", "learnt", "fly")),
    ],
)
def test_where_nothing_is_judged_to_answer_the_nearest_are_shown_as_that(
    question: str, missing: tuple[str, ...], ferry: Sources
) -> None:
    evidence = gather(Task(question), ferry)
    assert not evidence.sure
    assert 1 <= len(evidence.quotes) <= 3
    assert evidence.missing == missing


def test_where_no_document_has_a_word_of_the_question_there_is_nothing_near(ferry: Sources) -> None:
    evidence = gather(Task("Was Mongolia's capital occupied?"), ferry)
    assert (evidence.sure, evidence.quotes, evidence.matched) == (False, (), 0)
    assert evidence.missing == ("mongolia", "capital", "occupied")


@pytest.mark.parametrize("question", ["", "???", "the of and", "如何购买船票？", "ما هو سعر التذكرة؟", "ferry " * 2000])
def test_odd_goals_are_survived(question: str, ferry: Sources) -> None:
    evidence = gather(Task(question), ferry)
    assert evidence.question == question


def test_scripts_without_spaces_are_searched_too(ferry: Sources) -> None:
    evidence = gather(Task("孩子的船票多少钱？"), ferry)
    assert [quote.source for quote in evidence.quotes] == ["tickets-zh.txt"]


def test_the_same_question_finds_the_same(ferry: Sources) -> None:
    assert gather(Task("How do I claim a refund?"), ferry) == gather(Task("How do I claim a refund?"), ferry)


def test_it_tells_what_it_does(ferry: Sources) -> None:
    told: list[str] = []

    def say(text: str, /, *, done: int = 0, total: int = 0) -> None:
        told.append(text)

    gather(Task("How do I claim a refund?", say=say), ferry)
    assert told == ["searching 13 documents", "kept 3 quotes from 3 documents"]


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


def test_what_is_asked_in_other_words_than_the_documents_have_is_found(library: Callable[..., Sources]) -> None:
    leave = "Everybody has 27 working days of holiday. A doctor's note is needed from the fourth day of sickness."
    many = {f"log{n}": f"A visitor of day {n} wrote into the visitors' book of the third floor." for n in range(20)}
    sources = library(leave=leave, **many)
    for asked in ("How much vacation is there?", "Is a certificate of illness needed?", "time off"):
        evidence = gather(Task(asked), sources)
        assert (evidence.sure, evidence.quotes[0].text) == (True, leave), asked
    assert gather(Task("How much vacation is there?"), sources).missing == ()
    assert gather(Task("zeppelin of the visitors of the third floor"), sources).missing == ("zeppelin",)


def test_what_has_far_less_of_the_question_is_left_out(library: Callable[..., Sources]) -> None:
    near = [f"The tenant pays the water of the house, in part {n}, to the city." for n in range(4)]
    far = [f"The {name} of the city paints the tower." for name in ("mayor", "clerk", "painter", "guild", "youth")]
    sources = library(**{f"text{n}": text for n, text in enumerate([*near, *far])})
    assert sorted(found("Who pays the water of a house to the city?", sources)) == near
    guessed = found("Who pays the water of a house to the city in the province or the shire?", sources)
    assert len(guessed) == 8  # the best has half of this, and nobody knows which of them answers
    several = found("Who pays the water of a house? Who paints the tower? Who owns the garage?", sources)
    assert set(several).intersection(far)


def test_a_name_that_no_document_has_is_not_answered(library: Callable[..., Sources]) -> None:
    tower = "The tower has a lift for visitors, which PostgreSQL has nothing to do with."
    sources = library(tower=tower, street="The street ends at the tower.")
    answers = {
        "How do I get to the lift of the tower?": True,
        "How do I get to the lift of the tower with Uber?": False,
        "Has the lift of the tower to do with Postgres?": True,  # another way to write it
        "How Do I Get to the Lift of the Tower in June?": True,  # a title: all words have capitals
    }
    assert {asked: gather(Task(asked), sources).sure for asked in answers} == answers


def test_a_question_for_a_number_is_answered_by_what_has_one(library: Callable[..., Sources]) -> None:
    words = "A visitor of the tower is old enough if the guard of the tower believes that the visitor is."
    number = "A visitor of the tower is asked by the guard of the tower whether the visitor is fourteen."
    sources = library(words=words, number=number)
    assert found("Is a visitor of the tower old enough?", sources)[0] == words
    assert found("How old must a visitor of the tower be?", sources)[0] == number


def test_where_no_number_is_there_a_question_for_one_is_not_answered(library: Callable[..., Sources]) -> None:
    sources = library(words="The age of a visitor of the tower matters: a visitor of the tower must be of age.")
    assert gather(Task("Why does the age of a visitor of the tower matter?"), sources).sure
    assert not gather(Task("How many years is the age of a visitor of the tower?"), sources).sure


def test_what_points_back_to_the_answer_is_shown_after_it(library: Callable[..., Sources]) -> None:
    cached = (
        f"Set the cache of loggers at the first use to make it fast. {'It is a setting as others are. ' * 14}".strip()
    )
    drawbacks = (
        f"This has two drawbacks: later changes do nothing, and nothing can be pickled. {'So it is. ' * 45}".strip()
    )
    sources = library(fast=f"# Fast\n\n{cached}\n\n{drawbacks}\n", other="# Rest\n\nNobody knows the rest.\n")
    assert found("Why not cache loggers at the first use?", sources) == [cached, drawbacks]


def test_a_passage_that_ends_with_a_colon_is_followed_by_the_table_that_it_introduces(
    library: Callable[..., Sources],
) -> None:
    fares = "The fare of a crossing depends on the season, and the office sells tickets at these prices:"
    table = "| When | Kroner |\n| --- | --- |\n| summer | 95 |\n| winter | 60 |"
    sources = library(fares=f"# Fares\n\n{fares}\n\n{table}\n\n# Dogs\n\nDogs are kept on a leash.\n")
    texts = found("What does the fare of a crossing depend on?", sources)
    assert texts[0] == fares
    assert texts[1].startswith("When: summer; Kroner: 95")
    assert len(texts) == len(set(texts))
