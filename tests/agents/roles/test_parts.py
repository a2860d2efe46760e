"""One part of a question: what of it is shown, kept, struck and looked for next."""

from __future__ import annotations

from typing import Any

import pytest
from harbour import passages

from signoff.agents.agent import Task
from signoff.agents.artifacts import Quote, Said
from signoff.agents.models.guarded import guard
from signoff.agents.models.registry import Tiers
from signoff.agents.models.settings import CallSettings
from signoff.agents.roles.deep import deep_planner, deep_researcher
from signoff.agents.roles.parts import Found, Notes, PartWork
from signoff.agents.roles.researcher import researcher
from signoff.agents.runner import do_work
from signoff.settings import Settings
from signoff.testing import Call, ScriptedModel, calls, gives
from signoff.tools.search.sources import Sources

STORM = "When does the ferry not sail in a storm?"


def quote(number: int, text: str) -> Quote:
    return Quote(id=0, text=text, source=f"{number}.md", start=0)


def said(text: str, *quotes: int) -> Said:
    return Said(text=text, quotes=quotes)


def test_passages_are_numbered_once_and_shown_as_far_as_there_is_room_one_at_least() -> None:
    part = PartWork("How?", "How?")
    long, short = quote(1, "a" * 90), quote(2, "b" * 20)
    assert [(one.id, one.source) for one in part.show([long, short], 100)] == [(1, "1.md")]
    assert [(one.id, one.source) for one in part.show([long, short], 100)] == [(2, "2.md")]
    assert part.show([long, short], 100) == []
    assert [one.id for one in PartWork("How?", "How?").show([long], 10)] == [1]


def test_what_cites_nothing_that_was_shown_is_not_kept_and_nothing_is_kept_twice() -> None:
    part = PartWork("How tall?", "How tall?")
    part.show([quote(1, "The mast is nine metres tall.")])
    tall = said("The mast is nine metres tall.", 1)
    part.take(Notes(sentences=(tall, tall, said("It is old.", 7), said("It is red.", *()))))
    part.take(Notes(sentences=(tall,)))
    assert part.said == [tall]


def test_sentences_are_kept_one_by_one_without_scraps() -> None:
    part = PartWork("How tall?", "How tall?")
    part.show([quote(1, "The mast is nine metres tall. It is white.")])
    two = said("The mast is nine metres tall. The mast is white.", 1)
    scraps = (
        said("1. The mast is white.", 1),
        said("Ship | The mast", 1),
        said("It says so here:", 1),
        said("Nine metres", 1),
    )
    part.take(Notes(sentences=(two, *scraps)))
    assert [one.text for one in part.said] == ["The mast is nine metres tall.", "The mast is white."]


def test_what_was_answered_is_not_said_to_be_open() -> None:
    part = PartWork("How tall is it?", "How tall is it, and how old?")
    part.show([quote(1, "The mast is nine metres tall.")])
    tall = said("The mast is nine metres tall.", 1)
    asked = (
        "What is asked and no passage answers",
        "How tall is it?",
        "how tall is it, and how old?",
        "The mast is nine metres tall.",
        "Who built it?",
        " ",
    )
    part.take(Notes(sentences=(tall,), open=asked))
    assert part.open == ("Who built it?",)


def test_words_of_a_passage_are_no_lead_but_a_name_in_it_is() -> None:
    part = PartWork("How tall?", "How tall?")
    part.show([quote(1, "The mast is nine metres tall, as rule seven of the tariff says.")])
    copied = "The mast is nine metres tall"
    told = "the way the documents would put it"
    assert part.take(Notes(sentences=(), leads=(copied, told, "rule seven of the tariff"))) == [
        "rule seven of the tariff"
    ]


def test_a_lead_is_followed_once_however_it_is_written() -> None:
    part = PartWork("How tall?", "How tall?")
    assert part.take(Notes(sentences=(), leads=("The Mast", " the  mast ", "?", "sails", "ropes", "knots"))) == [
        "the mast", "sails", "ropes"
    ]  # fmt: skip
    assert part.take(Notes(sentences=(), leads=("The mast", "knots"))) == ["knots"]


def test_what_is_found_for_a_part_is_among_its_quotes_whatever_was_written() -> None:
    part = PartWork("How tall?", "How tall?")
    part.show([quote(number, f"The mast number {number} is tall.") for number in range(1, 7)])
    part.take(Notes(sentences=(said("Mast 5 is tall.", 5),)))
    found = part.found(sure=False)
    assert [(one.id, one.by) for one in found.quotes] == [(5, ""), (1, "search"), (2, "search"), (3, "search")]
    assert found.sure
    assert part.found(sure=False, problem="it broke").open == ()
    assert PartWork("How tall?", "How tall?").found(sure=False).open == ("How tall?",)


def work(
    ferry: Sources, script: Any, part: str = STORM, rounds: int = 3, **settings: Any
) -> tuple[Found, ScriptedModel]:
    """What comes of a part of a question to the ferry's documents."""
    model = ScriptedModel(script)
    tiers = Tiers({"": guard(model, settings=CallSettings.of(Settings(**settings)))})
    agent = deep_researcher(ferry, researcher(ferry), model=tiers, rounds=rounds)
    assert agent.each is not None
    assert agent.each.function is not None
    found = agent.each.function(Task(goal=f"{STORM} Who decides?", item=part))
    assert isinstance(found, Found)
    return found, model


def test_a_part_of_which_no_document_says_anything_is_done_without_a_call(ferry: Sources) -> None:
    found, model = work(ferry, [], part="Zeppelin?")
    assert (found.said, found.quotes, found.open, model.calls) == ((), (), ("Zeppelin?",), ())


def test_a_small_model_is_shown_fewer_passages(ferry: Sources) -> None:
    none = gives(Notes(sentences=()))
    counts = [
        work(ferry, [none], rounds=1, context_tokens=size)[1].calls[0].text.count("\n[") for size in (512, 100_000)
    ]
    assert counts[0] < counts[1]


def test_a_later_round_that_fails_leaves_what_was_written_before_and_is_said(ferry: Sources) -> None:
    wind = "The ferry does not sail when the wind is stronger than 20 metres per second."

    def first(call: Call) -> Any:
        number = next(at for at, text in passages(call).items() if "does not sail" in text)
        return gives(Notes(sentences=(said(wind, number),), leads=("refunds.md",)))

    found, model = work(ferry, [first, "no", "no", "no", "no", "no"])
    assert [one.text for one in found.said] == [wind]
    assert "in round 2" in found.problem
    assert wind.rstrip(".") in model.calls[1].text
    assert "Waves matter less" not in model.calls[1].text


@pytest.mark.parametrize(
    ("parts", "kept"),
    [
        (["Who decides?", "who  decides?", "When?", "", "—"], ("Who decides?", "When?")),
        (["Why " * 300], (("Why " * 300)[:500],)),
        ([], (STORM, "Who decides?")),
    ],
)
def test_the_parts_of_a_plan_are_questions_each_once(parts: list[str], kept: tuple[str, ...]) -> None:
    agent = deep_planner(model=ScriptedModel([calls("Parts", parts=parts)]))
    team = ({"role": "researcher", "needs": [], "gives": "Evidence"}, {"role": "writer", "needs": [], "gives": "Draft"})
    plan = do_work(agent, Task(goal=f"{STORM} Who decides?", team=team)).artifact
    assert [(step["agent"], tuple(step["parts"])) for step in plan.model_dump(mode="json")["steps"]] == [
        ("researcher", kept), ("writer", ())
    ]  # fmt: skip
