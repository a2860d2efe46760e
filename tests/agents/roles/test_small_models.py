"""What the roles do so that small models can fill them: short forms, and one question at a time."""

from typing import Any

import pytest

from signoff.agents.agent import Task
from signoff.agents.artifacts import Analysis, Conflict, Draft, Evidence, Quote, Review, Theme
from signoff.agents.models.guarded import guard
from signoff.agents.models.registry import Tiers
from signoff.agents.models.settings import CallSettings
from signoff.agents.roles.analyst import Clash, Group, Sorting, analyst
from signoff.agents.roles.reviewer import Judgement, reviewer
from signoff.agents.roles.writer import Section, Sentence, Text, writer
from signoff.agents.runner import do_work
from signoff.settings import Settings
from signoff.testing import ScriptedModel
from signoff.tools.search.sources import Sources

MISSED = "A missed crossing is not refunded."
EVIDENCE = Evidence(question="What is refunded?", quotes=(Quote(id=1, text=MISSED, source="refunds.md", start=0),))
FALSE = "Whoever comes too late gets another ticket at once"


def written(text: Text, **analysis: Any) -> str:
    """The report that the writer makes of what its model filled in."""
    agent = writer()
    assert agent.read is not None
    task = Task("What is refunded?", {"Evidence": EVIDENCE, "Analysis": Analysis(**analysis)})
    return agent.read(text, task).markdown


def test_every_sentence_of_the_writer_carries_its_citations() -> None:
    text = Text(
        title="Refunds",
        answer=[Sentence(text="Missed crossings are not refunded.", quotes=[1, 1])],
        sections=[Section(heading="# Rules", sentences=[Sentence(text="It is a rule [1] of theirs", quotes=[])])],
    )
    body = written(text).partition("## Sources")[0]
    assert "Missed crossings are not refunded [1]." in body
    assert "## Rules\n\nIt is a rule of theirs [1]" in body


def test_what_the_writer_says_twice_stands_in_the_report_once() -> None:
    twice = Sentence(text="Missed crossings are not refunded.", quotes=[1])
    text = Text(title="Refunds", answer=[twice], sections=[Section(heading="Again", sentences=[twice])])
    report = written(text)
    assert report.count("Missed crossings") == 1
    assert "Again" not in report


def test_a_sentence_that_was_said_amid_others_does_not_stand_there_again() -> None:
    both = Sentence(text="Missed crossings are not refunded. That is a rule of theirs.", quotes=[1])
    again = Sentence(text="That is a rule of theirs.", quotes=[1])
    for other in (again, Sentence(text="That is a rule of theirs [1].", quotes=[1])):
        assert written(Text(title="Refunds", answer=[both, other])).count("rule of theirs") == 1
    yes = [Sentence(text=f"Yes. {name} is refunded.", quotes=[1]) for name in ("A dog", "A cat")]
    assert "A cat is refunded" in written(Text(title="Refunds", answer=yes))


def test_the_gaps_of_the_analysis_are_added_to_the_report() -> None:
    text = Text(title="Refunds", answer=[Sentence(text="Missed crossings are not refunded.", quotes=[1])])
    report = written(text, gaps=("How long a refund takes.",))
    assert "## What the documents do not say\n\n- How long a refund takes." in report


def test_the_analyst_s_form_becomes_an_analysis() -> None:
    agent = analyst()
    assert agent.read is not None
    sorting = Sorting(
        answer=[1, 1],
        themes=[Group(title="Rules", quotes=[1], summary="None.")],
        conflicts=[Clash(first=1, second=1, why="The same."), Clash(first=1, second=2, why="Not so.")],
        gaps=[" "],
    )
    assert agent.read(sorting, Task("What?")) == Analysis(
        answer=(1,),
        themes=(Theme(title="Rules", quotes=(1,), summary="None."),),
        conflicts=(Conflict(first=1, second=2, why="Not so."),),
    )


def judge(
    ferry: Sources, answers: list[str], *, previous: Review | None = None, accepts: bool = True, is_small: bool = True
) -> tuple[Review, int]:
    """What the reviewer makes of a draft with one true and one false sentence, and how often its model was asked."""
    start = ferry.text("refunds.md").index(MISSED)
    evidence = EVIDENCE.model_copy(update={"quotes": (EVIDENCE.quotes[0].model_copy(update={"start": start}),)})
    markdown = f"# Refunds\n\nA missed crossing is not refunded [1]. {FALSE} [1].\n"
    draft = Draft(title="Refunds", markdown=markdown, method="generated")
    artifacts = {"Evidence": evidence, "Analysis": Analysis(), "Draft": draft}
    model = ScriptedModel([Judgement(accepted=accepts).model_dump_json(), *answers])
    terms = CallSettings.of(Settings(json_actions=is_small))
    agent = reviewer(ferry, model=Tiers({"": guard(model, settings=terms)}))
    work = do_work(agent, Task("Is a missed crossing refunded?", artifacts, previous=previous))
    assert isinstance(work.artifact, Review)
    return work.artifact, len(model.calls)


YES, NO = '{"supported": "yes"}', '{"supported": "no"}'


def test_a_small_model_is_asked_of_each_sentence_and_its_doubt_sends_the_draft_back(ferry: Sources) -> None:
    review, asked = judge(ferry, [YES, NO])
    assert asked == 3
    assert not review.accepted
    [note] = review.notes
    assert note.startswith(f"“{FALSE}.” may not be what [1] says")


def test_what_a_small_model_thinks_of_a_whole_draft_is_not_heard_it_is_asked_of_each_sentence(ferry: Sources) -> None:
    review, asked = judge(ferry, [YES, YES], accepts=False)
    assert (review.accepted, review.notes, asked) == (True, (), 3)
    large = judge(ferry, [], accepts=False, is_small=False)
    assert (large[0].accepted, large[1]) == (False, 1)


def test_a_doubt_that_stays_is_shown_but_does_not_send_the_draft_back_again(ferry: Sources) -> None:
    review, _ = judge(ferry, [YES, NO], previous=Review(accepted=False))
    assert review.accepted
    assert [check.name for check in review.checks if not check.passed] == ["sentences"]


@pytest.mark.parametrize("answer", [YES, "I am not sure.", "{}"])
def test_what_is_no_plain_no_is_no_doubt(ferry: Sources, answer: str) -> None:
    review, _ = judge(ferry, [answer, answer])
    assert review.accepted
    assert review.checks[-1].name == "sentences"
