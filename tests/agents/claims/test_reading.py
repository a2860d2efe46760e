"""What a sentence is taken apart into."""

from __future__ import annotations

import pytest

from signoff.agents.claims.reading import date_of, language_of, read, stem


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("after 120 minutes", "after two hours"),
        ("0.2 seconds", "200 ms"),
        ("1,240 households", "1240 households"),
        ("€5", "5 euros"),
        ("on 30 June 2027", "on 2027-06-30"),
        ("twenty-five percent", "25 %"),
        ("12 months", "one year"),
        ("two thirds", "2 thirds"),
        ("five hundred rows", "500 rows"),
        ("60 °C", "60 degrees"),
    ],
)
def test_figures_that_are_written_otherwise_are_the_same(one: str, other: str) -> None:
    (first,), (second,) = (read(f"It is {text}.")[0].figures for text in (one, other))
    assert first.is_borne_out(second)
    assert second.is_borne_out(first)


@pytest.mark.parametrize(
    ("one", "other"),
    [("30 days", "30 hours"), ("$5", "€5"), ("version 3.1", "version 3.10"), ("in May 2024", "in May 2025")],
)
def test_figures_that_only_look_alike_are_not_the_same(one: str, other: str) -> None:
    (first,), (second,) = (read(f"It is {text}.")[0].figures for text in (one, other))
    assert not first.is_borne_out(second)


def test_what_is_less_precise_is_borne_out_by_what_is_more_so() -> None:
    (month,), (day,) = (read(f"It ended in {text}.")[0].figures for text in ("May 2024", "the night of 3 May 2024"))
    assert month.is_borne_out(day)
    assert not day.is_borne_out(month)


@pytest.mark.parametrize(
    ("sentence", "modal", "denied"),
    [
        ("Dogs must not enter.", "must", True),
        ("Dogs are forbidden to enter.", "must", True),
        ("No dog may enter.", "must", True),
        ("Dogs need not be registered.", "may", False),
        ("Registering a dog is not required.", "may", False),
        ("Dogs shouldn't enter.", "should", True),
        ("Dogs have to be registered.", "must", False),
        ("Dogs can't swim.", "must", True),
        ("Dogs swim without help.", "", True),
        ("Nobody swims without help.", "", False),
    ],
)
def test_how_strongly_something_is_asked_or_denied(sentence: str, modal: str, denied: bool) -> None:
    clause = read(sentence)[0]
    assert (clause.modal, clause.denied) == (modal, denied)


def test_code_is_one_word_whatever_stands_in_it() -> None:
    (clause,) = read("The option `--no-cache` and the setting `must_retry=3` exist.")
    assert {"--no-cache", "must_retry=3"} <= clause.names
    assert (clause.figures, clause.denied, clause.modal) == ((), False, "")


@pytest.mark.parametrize(("one", "other"), [("encrypted", "encryption"), ("kept", "keeps"), ("approval", "approves")])
def test_forms_of_a_word_are_one(one: str, other: str) -> None:
    assert stem(one) == stem(other)


def test_a_date_is_found_however_it_is_written() -> None:
    assert date_of("no date") == ""
    assert date_of("Minutes of 18 March 2025") == date_of("no date", "minutes_2025_03_18.md") == "2025-03-18"
    assert date_of("Rules, March 2025") == "2025-03"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("It was in an office, so it is kept.", "english"),
        ("Backups run nightly.", "english"),
        ("In der Wohnung ist das so.", "german"),
        ("Le locataire a un délai de trois mois pour quitter le logement.", "others"),
        ("El contrato dura en todo caso tres meses.", "others"),
        ("契約は三ヶ月です。", "others"),
    ],
)
def test_a_language_is_known_by_its_function_words(text: str, language: str) -> None:
    assert language_of(text) == language
