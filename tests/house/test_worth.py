"""The judge of answers from documents judges right: what it counts, and what it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from asking import papers, plants, scoring, sentences
from asking.bm25 import read_plainly
from asking.corpora import corpora
from asking.scoring import Question, Scored, Shown, figures, holds, score
from asking.ways import Report, shown_in

PIPE = "Packages may not contain “named pipes”."


def shown(*blocks: str, everything: str = "", **more: object) -> Shown:
    return replace(Shown(blocks, everything or "\n".join(blocks), marked=False, cpu=0.0), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "is_held"),
    [
        ('Policy: > Packages *may not*\n> contain "named pipes". [1]', True),
        ("Packages may not contain any named pipes.", False),
        ("Packages may contain named pipes.", False),
        ("Subpackages may not contain named pipes.", False),
    ],
)
def test_a_passage_counts_where_it_stands_word_for_word(text: str, is_held: bool) -> None:
    assert holds(text, ["not these words", PIPE]) is is_held


def test_a_place_is_that_of_the_first_block_that_holds_any_of_the_passages_of_a_part() -> None:
    question = Question("rules", "?", (("no such", "beta two"), ("gamma",), ("delta",), ("epsilon",)))
    scored = score(question, shown("alpha", "alpha beta two", "gamma", "gamma", everything="alpha … delta …"))
    assert scored.places == (2, 3, 0, None)
    assert [scored.within(most) for most in (1, 2, 3, 8)] == [0, 1, 2, 2]
    assert scored.anywhere == 3


def test_questions_without_an_answer_count_only_where_they_are_marked() -> None:
    answered = Question("rules", "one", (("alpha",),))
    told = [
        score(answered, shown("alpha")),
        score(answered, shown("beta", marked=True)),
        score(answered, shown()),
        score(Question("rules", "none"), shown("alpha", marked=True)),
        score(Question("rules", "neither"), shown("alpha")),
        score(Question("rules", "several", (("alpha",), ("beta",))), shown("beta", "gamma")),
    ]
    counted = figures(told)
    assert counted["answer first"] == "1 of 3"
    assert (counted["silent"], counted["wrongly marked"], counted["unanswerable marked"]) == (
        "1 of 3",
        "1 of 3",
        "1 of 2",
    )
    assert (counted["parts in eight"], counted["computed of tables"]) == ("1 of 2", "–")


@pytest.mark.parametrize(
    ("computed", "is_right"),
    [
        ("mean 16.43908281998631", True),
        ("16.44", True),
        ("16.4", True),
        ("16.5", False),
        ("16", False),
        ("116.44", False),
    ],
)
def test_a_number_is_computed_if_it_is_the_value_as_far_as_it_is_written(computed: str, is_right: bool) -> None:
    question = Question("office", "mean of temp_max", value=16.4391)
    assert Scored(question, shown("16.4391", computed=computed), ()).is_computed is is_right


def test_large_numbers_count_with_their_commas_too() -> None:
    question = Question("office", "sum", value=620129.0)
    assert Scored(question, shown(computed="| Fossil Fuels | 620,129 |"), ()).is_computed
    assert not Scored(question, shown(computed="| Fossil Fuels | 620,128 |"), ()).is_computed


def test_what_was_kept_apart_cannot_slip_into_the_open_file(tmp_path: Path) -> None:
    asked = [Question("rules", f"Question {number}?") for number in range(20)]
    kept = next(question for question in asked if question.kept)
    file = tmp_path / scoring.OPEN.name
    file.write_text(f'[[questions]]\ncorpus = "rules"\nask = "{kept.ask}"\n', encoding="utf-8")
    with pytest.raises(ValueError, match="belongs into the other file"):
        scoring.read_questions(file)


def test_every_question_that_is_not_kept_apart_is_of_a_corpus_and_asked_once() -> None:
    questions = [*scoring.read_questions(scoring.OPEN), *scoring.read_questions(scoring.FRESH)]
    assert {question.corpus for question in questions} == set(corpora())
    assert len({question.ask for question in questions}) == len(questions)


def test_no_passage_of_what_was_kept_apart_stands_in_what_is_open() -> None:
    told = [passage for question in scoring.read_questions(scoring.OPEN) for part in question.parts for passage in part]
    told += [entry["quote"] for entry in sentences.quotes()]
    told += [one.old for one in plants.contradictions()] + [one.after for one in plants.orders()]
    kept = {passage for question in scoring.read_questions(scoring.KEPT) for part in question.parts for passage in part}
    assert kept
    assert [passage for passage in kept if any(holds(one, [passage]) or holds(passage, [one]) for one in told)] == []


def test_blocks_numbers_and_disagreements_are_read_out_of_a_report() -> None:
    told = shown_in(
        "# Which?\n\n*2 documents were searched.*\n\n"
        "## From the tables\n\n### t.csv\n\n| mean |\n| --- |\n| 16.44 |\n\n"
        "## In short\n\n**Under 80, and none of the others.** [1]\n\n> [2] A footnote: under 80. [1]\n\n"
        "## More\n\n### Other\n\n> Under 60. [2]\n\n- [1] and [2] may disagree: “80” in one, “60” in the other.\n",
        0.0,
    )
    assert told.computed == "t.csv\nmean\n16.44"
    assert told.blocks == ("[2] A footnote: under 80. [1]", "Under 60. [2]")
    assert told.disagreements == ("[1] and [2] may disagree: “80” in one, “60” in the other.",)
    assert not told.marked


def test_a_real_report_is_read_as_it_is_meant(tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    for name, days in (("old", 14), ("new", 30)):
        (documents / f"{name}.md").write_text(f"# Refunds\n\nA refund is paid within {days} days of a written claim.\n")
    way = Report(documents, tmp_path / "home")
    asked = plants.Contradiction("figure", "", "", "within 14 days", "within 30 days", "When is a refund paid?")
    found = plants.Found(asked, way.ask(asked.ask))
    assert (found.both, found.said, found.shown.marked) == (True, True, False)
    nearest = way.ask("Which painter was paid for the ceiling of the Sistine chapel?")
    assert (bool(nearest.blocks), nearest.marked) == (True, True)


def test_only_a_line_with_the_numbers_of_both_sides_says_that_they_disagree() -> None:
    asked = plants.Contradiction("figure", "", "", "under 80", "under 60", "?")
    blocks = ("It is under 80. [1]", "It is under 60. [2]", "Others. [3]")
    for line, is_said in (("[1] and [2] may disagree.", True), ("[1] and [3] may disagree.", False)):
        assert plants.Found(asked, shown(*blocks, disagreements=(line,))).said is is_said
    assert not plants.Found(asked, shown(*blocks[:1], disagreements=("[1] and [2] may disagree.",))).both


def test_what_is_planted_stands_in_the_copy_and_the_documents_stay_as_they_were(tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    papers.write_papers(documents)
    (documents / "rules.html").write_text("<p>It must be kept under\n80 characters.</p>", encoding="utf-8")
    before = {file: file.read_bytes() for file in documents.rglob("*") if file.is_file()}
    planted: list[plants.Contradiction | plants.Hidden] = [
        plants.Contradiction("figure", "", "rules.html", "under 80 characters", "under 60 characters", "?"),
        *(one for one in plants.contradictions() if one.corpus == "office"),
        *(one for one in plants.orders() if one.corpus == "office"),
    ]
    plants.plant(documents, planted, tmp_path / "planted")
    assert {file: file.read_bytes() for file in before} == before
    assert "under 60" in read_plainly(tmp_path / "planted" / "rules-edition-1.html")
    for number, one in enumerate(planted, 1):
        file = tmp_path / "planted" / one.file
        if isinstance(one, plants.Contradiction):
            edition = read_plainly(file.with_name(f"{file.stem}-edition-{number}{file.suffix}"))
            assert holds(read_plainly(file), [one.old])
            assert holds(edition, [one.new])
            assert not holds(edition, [one.old])
        else:
            assert holds(read_plainly(file), [plants.ORDER])


def test_a_place_that_a_document_does_not_have_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "rules.txt").write_text("Under 80 characters.", encoding="utf-8")
    wrong = plants.Contradiction("figure", "", "rules.txt", "under 81 characters", "under 60 characters", "?")
    with pytest.raises(ValueError, match="does not have 'under 81 characters'"):
        plants.plant(tmp_path / "documents", [wrong], tmp_path / "planted")


def test_the_reviewer_s_code_rejects_nearly_all_that_is_wrong_and_accepts_what_is_true(tmp_path: Path) -> None:
    judged = list(sentences.judge(tmp_path))
    faulty = [one for one in judged if one.kind.endswith("not there")]
    assert len(faulty) == 3 * len(sentences.quotes())
    assert all(one.right for one in faulty)
    false = [one for one in judged if one.kind != "true" and one not in faulty]
    true = [one for one in judged if one.kind == "true"]
    assert sum(one.right for one in true) >= 0.95 * len(true)
    assert sum(one.right for one in false) >= 0.6 * len(false)
