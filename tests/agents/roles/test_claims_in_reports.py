"""What a model's report says that its quotes do not: it goes back twice, then it is struck, and the run goes on."""

from __future__ import annotations

from typing import Any

import pytest

from signoff.agents.agent import Task
from signoff.agents.artifacts import Analysis, Conflict, Draft, Evidence, Quote, Review, Said, WrittenPart
from signoff.agents.roles.analyst import Sorting, analyst
from signoff.agents.roles.checks import inspect
from signoff.agents.roles.writer import Section, Sentence, Text, writer

RULE = "Backups must not be encrypted in either of the two regions. They are kept for 30 days."
LATER = "Backups are kept for 90 days in both regions."
EVIDENCE = Evidence(
    question="?",
    quotes=(Quote(id=1, text=RULE, source="vault.md", start=0), Quote(id=2, text=LATER, source="new.md", start=0)),
)
GOAL = "How long are backups kept?"
TRUE = Sentence(text="They are kept for 30 days.", quotes=[1])
FALSE = [
    Sentence(text="Backups must be encrypted in both regions.", quotes=[1]),
    Sentence(text="Backups are kept for 30 hours.", quotes=[1]),
    Sentence(text="Backups may be encrypted in the two regions.", quotes=[1]),
    Sentence(text="Backups were kept in 1984.", quotes=[1]),
    Sentence(text="Backups are kept by Otto.", quotes=[1]),
]


def written(
    *sentences: Sentence, times: int = 0, analysis: Analysis | None = None, about: Evidence = EVIDENCE
) -> Draft:
    """The draft that a model's sentences become when the last one came back, for the `times`-th time."""
    agent = writer()
    assert agent.read is not None
    text = Text(
        title="Backups", answer=list(sentences[:1]), sections=[Section(heading="More", sentences=[*sentences[1:]])]
    )
    previous = Draft(title="", markdown="", method="generated", returned=times - 1) if times else None
    notes = ("“So.” is not borne out by [1]: it is not.",) if times else ()
    artifacts = {"Evidence": about, "Analysis": analysis or Analysis()}
    return agent.read(text, Task(GOAL, artifacts, notes=notes, previous=previous))


def reviewed(draft: Draft, about: Evidence = EVIDENCE) -> Review:
    return inspect(Task(GOAL, {"Evidence": about, "Analysis": Analysis(), "Draft": draft}), None)


@pytest.mark.parametrize("false", FALSE)
def test_a_false_sentence_goes_back_twice_and_is_then_struck_and_listed(false: Sentence) -> None:
    for times in (0, 1):
        draft = written(false, TRUE, times=times)
        review = reviewed(draft)
        assert draft.returned == times
        assert not review.accepted
        [note] = [note for note in review.notes if "not borne out" in note]
        assert note.startswith(f"“{false.text}” is not borne out by [1]: ")
    draft = written(false, TRUE, times=2)
    body, _, struck = draft.markdown.partition("## Struck: not borne out by the sources")
    assert false.text.rstrip(".") not in body
    assert TRUE.text.rstrip(".") in body
    assert false.text in struck
    assert reviewed(draft).accepted, reviewed(draft).notes


def test_where_every_sentence_is_struck_the_quotes_themselves_are_shown() -> None:
    only = EVIDENCE.model_copy(update={"quotes": EVIDENCE.quotes[:1]})
    draft = written(*FALSE, times=2, about=only)
    body = draft.markdown.partition("## Struck")[0]
    assert "> Backups must not be encrypted" in body
    assert len(draft.struck) == len(FALSE)
    assert reviewed(draft, only).accepted, reviewed(draft, only).notes


def test_what_a_model_writes_under_the_heading_of_what_was_struck_is_compared_like_all_else() -> None:
    markdown = f"# B\n\nKept for 30 days [1].\n\n## Struck: not borne out by the sources\n\n- {FALSE[0].text} [1]\n"
    assert not reviewed(Draft(title="B", markdown=markdown, method="generated")).accepted


def test_a_sentence_without_a_citation_rests_on_those_of_its_paragraph() -> None:
    markdown = "# B\n\nBackups must be encrypted in both regions. They are kept for 30 days [1].\n"
    review = reviewed(Draft(title="B", markdown=markdown, method="generated"))
    assert [check.name for check in review.checks if not check.passed] == ["claims"]


def test_quotes_that_disagree_are_named_though_no_model_said_so() -> None:
    analysis = agent_check(Sorting(answer=[1], themes=[]))
    [conflict] = analysis.conflicts
    assert (conflict.first, conflict.second, conflict.why) == (1, 2, "“30 days” in one, “90 days” in the other")
    line = "- [1] and [2] may disagree: “30 days” in one, “90 days” in the other."
    assert line in written(TRUE).markdown
    assert written(TRUE, analysis=analysis).markdown.count("may disagree:") == 1
    assert reviewed(written(TRUE)).accepted


def agent_check(sorting: Sorting) -> Analysis:
    """What the analyst makes of what its model filled in."""
    agent = analyst()
    assert agent.read is not None
    assert agent.check is not None
    task = Task(GOAL, {"Evidence": EVIDENCE})
    return agent.check(agent.read(sorting, task), task)


def test_a_report_that_cites_both_sides_and_does_not_say_that_they_disagree_goes_back() -> None:
    markdown = "# B\n\nThey are kept for 30 days [1].\n\nIn both regions they are kept for 90 days [2].\n"
    review = reviewed(Draft(title="B", markdown=markdown, method="generated"))
    assert any("[1] and [2] may disagree" in note for note in review.notes)


def test_what_a_model_said_of_a_disagreement_stands_in_the_report() -> None:
    told: dict[str, Any] = {"first": 2, "second": 1, "why": "The new rules changed it"}
    markdown = written(TRUE, analysis=Analysis(conflicts=(Conflict(**told),))).markdown
    assert markdown.count("may disagree: ") == 1


def test_what_was_written_of_a_part_and_is_not_borne_out_is_struck_at_once_as_no_writer_could_mend_it() -> None:
    thirty, hours = (Said(text=f"Backups are kept for 30 {unit}.", quotes=(1,)) for unit in ("days", "hours"))
    part = WrittenPart(question=GOAL, said=(thirty, hours), quotes=(1,))
    about = EVIDENCE.model_copy(update={"parts": (part,)})
    sections = [Sentence(text=one.text, quotes=[1]) for one in part.said]
    draft = written(Sentence(text="In short, backups are kept for 30 days.", quotes=[1]), *sections, about=about)
    body, _, struck = draft.markdown.partition("## Struck")
    assert "30 days" in body
    assert "30 hours" not in body
    assert "30 hours" in struck
    wrong = Sentence(text="In short, backups are kept for 30 weeks.", quotes=[1])
    assert "30 weeks" in written(wrong, *sections, about=about).markdown.partition("## Struck")[0]


def test_a_language_that_is_not_read_is_said_to_be_not_compared_and_does_not_count_as_checked() -> None:
    markdown = (
        "# B\n\nLes sauvegardes sont gardées pour trente jours dans la région [1].\n\nThey are kept for 30 days [1].\n"
    )
    review = reviewed(Draft(title="B", markdown=markdown, method="generated"))
    [check] = [check for check in review.checks if check.name == "claims"]
    assert review.accepted
    assert not check.passed
    assert check.detail.startswith("1 of 2 sentences were not compared with their quotes")
    assert "Les sauvegardes" in check.detail
