"""A step keeps to the size of its model: the same is not looked up twice, results and answers fit what it takes."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.exceptions import ContextOverflowError

from signoff import Agent, Artifact, Task
from signoff.agents.models.guarded import guard
from signoff.agents.models.registry import Tiers
from signoff.agents.models.settings import CallSettings
from signoff.agents.runner import do_work
from signoff.errors import TeamError
from signoff.settings import Settings
from signoff.testing import ScriptedModel, calls, gives
from signoff.tools.tool import Tool, tool

USED: list[str] = []


class Story(Artifact):
    """A story."""

    text: str


DONE = gives(Story(text="waves"))
TASK = Task(goal="a tale")
SEA, SAND = calls("look_up", word="sea"), calls("look_up", word="sand")


@pytest.fixture(autouse=True)
def _nothing_used() -> None:
    USED.clear()


def dictionary(*, steady: bool = True, length: int = 10) -> Tool:
    @tool(risk="read", steady=steady)
    def look_up(word: str) -> str:
        """Look a word up."""
        USED.append(word)
        if word == "gone" and USED.count(word) == 1:
            raise ConnectionError("the line dropped")
        return f"{word} means {word[::-1] * length}"

    return look_up


def teller(script: list[Any], look_up: Tool, **settings: Any) -> tuple[Agent[Story], ScriptedModel]:
    model = ScriptedModel(script)
    tiers = Tiers({"": guard(model, settings=CallSettings.of(Settings(**settings)))})
    return Agent(role="teller", gives=Story, model=tiers, tools=(look_up,)), model


def test_what_was_looked_up_before_is_pointed_back_to_and_not_looked_up_again() -> None:
    agent, model = teller([SEA, SAND, SEA, DONE], dictionary())
    do_work(agent, TASK)
    assert USED == ["sea", "sand"]
    assert model.calls[3].last.endswith("As before: look_up was called so in this step, and is not called again. "
                                        "Its result is above.")  # fmt: skip
    assert "sea means" in model.calls[3].text


def test_the_same_call_twice_in_one_answer_is_made_once() -> None:
    agent, model = teller([SEA + SEA + SAND, DONE], dictionary())
    do_work(agent, TASK)
    assert sorted(USED) == ["sand", "sea"]
    assert model.calls[1].text.count("As before: look_up is called once") == 1


def test_a_call_that_failed_is_made_again() -> None:
    gone = calls("look_up", word="gone")
    agent, model = teller([gone, gone, DONE], dictionary())
    do_work(agent, TASK)
    assert USED == ["gone", "gone"]
    assert "gone means" in model.calls[2].last


def test_what_a_tool_gives_anew_each_time_is_asked_each_time() -> None:
    agent, _ = teller([SEA, SAND, SEA, DONE], dictionary(steady=False))
    do_work(agent, TASK)
    assert USED == ["sea", "sand", "sea"]


def test_what_was_left_out_to_make_room_is_looked_up_again() -> None:
    agent, _ = teller([SEA, SAND, ContextOverflowError("too long"), SEA, DONE], dictionary(length=500))
    do_work(agent, TASK)
    assert USED == ["sea", "sand", "sea"]


def test_an_action_cannot_be_steady() -> None:
    with pytest.raises(TeamError, match="'steady' is for tools of the loop"):
        tool(risk="external", steady=True)(print)  # type: ignore[call-overload]  # that is what is tested


@pytest.mark.parametrize(("settings", "longest"), [({"context_tokens": 2_000}, 2_000), ({}, 40_000)])
def test_results_are_cut_to_what_the_model_takes(settings: dict[str, Any], longest: int) -> None:
    agent, model = teller([SEA, DONE], dictionary(length=30_000), **settings)
    do_work(agent, TASK)
    [shown] = [message for message in model.calls[1].messages if message.type == "tool"]
    assert longest <= len(str(shown.text)) <= max(longest + 400, 51_000)


def test_the_text_that_a_model_is_shown_first_is_cut_to_what_it_takes() -> None:
    model = ScriptedModel([DONE])
    tiers = Tiers({"": guard(model, settings=CallSettings.of(Settings(context_tokens=1_000)))})
    do_work(Agent(role="teller", gives=Story, model=tiers, opening=lambda _: "sea " * 2_000), TASK)
    assert "7,000 characters are left out" in model.calls[0].text
    assert len(model.calls[0].text) < 3_000


def test_a_model_says_itself_what_it_takes_and_the_smallest_of_a_chain_counts() -> None:
    small, large = (ScriptedModel([], profile={"max_input_tokens": size}) for size in (4_000, 90_000))
    terms = CallSettings.of(Settings())
    chain = guard(large, small, settings=terms)
    assert (chain.longest_text, chain.most_tokens(8_192)) == (4_000, 1_000)
    assert guard(ScriptedModel([]), settings=terms).most_tokens(8_192) == 8_192
    told = guard(large, settings=CallSettings.of(Settings(context_tokens=2_000)))
    assert (told.longest_text, told.most_tokens(100)) == (2_000, 100)
