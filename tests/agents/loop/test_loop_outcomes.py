"""What becomes of answers that are of no use: each has an outcome with a name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from pydantic import Field

from signoff import Agent, Artifact, Limits, Task
from signoff.agents.models.guarded import guard
from signoff.agents.models.registry import Tiers
from signoff.agents.runner import StepFailed, do_work
from signoff.errors import StepStuck
from signoff.testing import ScriptedModel, ScriptedServer, calls, gives, refuses, says
from signoff.tools.tool import tool


class Story(Artifact):
    """A story."""

    text: str
    pages: int = Field(default=1, le=9)


@tool(risk="read")
def look_up(word: str) -> str:
    """Look a word up."""
    return f"{word} means sea"


@tool(risk="read")
def read_long(place: str) -> str:
    """Read a long text."""
    return f"{place}: " + "sea " * 2_000


DONE = gives(Story(text="waves"))
MISFIT = calls("Story", text="waves", pages=99)
TASK = Task(goal="a tale")


def teller(model: Any, **more: Any) -> Agent[Story]:
    return Agent(role="teller", gives=Story, instructions="Tell it.", model=model, **more)


def tiers(weak: ScriptedModel, strong: ScriptedModel) -> Tiers:
    return Tiers({"fast": guard(weak, tier="fast"), "smart": guard(strong, tier="smart")})


def failure(model: Any, task: Task = TASK, **more: Any) -> StepFailed:
    with pytest.raises(StepFailed) as failed:
        do_work(teller(model, **more), task)
    return failed.value


def test_a_form_that_does_not_fit_is_given_again_after_a_word_on_the_field() -> None:
    model = ScriptedModel([MISFIT, DONE])
    assert do_work(teller(model), TASK).artifact == Story(text="waves")
    assert "pages: Input should be less than or equal to 9" in model.calls[1].last
    assert len(model.calls[1].last) < 300


def test_a_form_that_does_not_fit_twice_is_given_by_a_stronger_model() -> None:
    weak, strong = ScriptedModel([MISFIT, MISFIT]), ScriptedModel([DONE])
    assert do_work(teller(tiers(weak, strong), tier="fast"), TASK).artifact == Story(text="waves")
    assert (len(weak.calls), len(strong.calls)) == (2, 1)


def test_a_form_that_never_fits_is_a_failed_step_that_names_the_field() -> None:
    failed = failure(ScriptedModel([MISFIT] * 9))
    assert "gave no valid Story: pages" in failed.failure.problem
    assert failed.usage["calls"] == 2
    failed = failure(tiers(ScriptedModel([MISFIT] * 9), ScriptedModel([MISFIT] * 9)), tier="fast")
    assert failed.usage["calls"] == 3


def test_an_answer_that_was_cut_is_asked_for_once_more_and_shorter() -> None:
    model = ScriptedModel([says("It was a dark and", finish="length"), DONE])
    assert do_work(teller(model, limits=Limits(output_tokens=50)), TASK).artifact == Story(text="waves")
    assert "cut at 50 tokens" in model.calls[1].last
    assert "shorter" in model.calls[1].last


def test_a_call_that_was_cut_is_not_shown_to_the_model_again() -> None:
    cut = AIMessage(
        "",
        invalid_tool_calls=[
            {"name": "Story", "args": '{"text": "wa', "id": "a", "error": "cut", "type": "invalid_tool_call"}
        ],
        response_metadata={"finish_reason": "length"},
    )
    model = ScriptedModel([cut, DONE])
    assert do_work(teller(model), TASK).artifact == Story(text="waves")
    assert not any(isinstance(m, AIMessage) and m.invalid_tool_calls for m in model.calls[1].messages)


def test_an_answer_that_is_cut_twice_is_a_failed_step_that_names_the_limit() -> None:
    failed = failure(ScriptedModel([says("It was", finish="length")] * 9), limits=Limits(output_tokens=50))
    assert "cut twice at its limit of 50 tokens" in failed.failure.problem
    assert failed.usage["calls"] == 2


def test_an_answer_of_ten_megabytes_is_a_cut_one_and_hardly_any_of_it_is_kept() -> None:
    huge = calls("Story", text="x" * 10_000_000)
    model = ScriptedModel([huge, DONE])
    assert do_work(teller(model), TASK).artifact == Story(text="waves")
    assert len(model.calls[1].text) < 10_000
    assert "limit" in failure(ScriptedModel([says("x" * 10_000_000)] * 2)).failure.problem


def test_the_tokens_an_answer_may_have_go_with_the_call() -> None:
    with ScriptedServer([DONE]) as server:
        model = ChatOpenAI(model="scripted", base_url=server.url, api_key="test", max_retries=0)
        do_work(teller(model, limits=Limits(output_tokens=321)), TASK)
        (request,) = [request for request in server.requests if request.method == "POST"]
    assert 321 in (request.body.get("max_tokens"), request.body.get("max_completion_tokens"))


def test_an_empty_answer_is_asked_for_once_more() -> None:
    model = ScriptedModel(["", DONE])
    assert do_work(teller(model), TASK).artifact == Story(text="waves")
    assert "was empty" in model.calls[1].last
    failed = failure(ScriptedModel([""] * 9))
    assert "twice with nothing" in failed.failure.problem
    assert failed.usage["calls"] == 2


def test_a_refusal_is_final_and_not_asked_again() -> None:
    failed = failure(ScriptedModel([refuses("I cannot tell that."), DONE]))
    assert failed.failure.final
    assert "I cannot tell that." in failed.failure.problem


def test_a_refusal_goes_to_a_stronger_model_once() -> None:
    weak, strong = ScriptedModel([refuses("No.")]), ScriptedModel([DONE])
    assert do_work(teller(tiers(weak, strong), tier="fast"), TASK).artifact == Story(text="waves")
    failed = failure(tiers(ScriptedModel([refuses("No.")]), ScriptedModel([refuses("Never.")])), tier="fast")
    assert failed.failure.final
    assert "Never." in failed.failure.problem


def test_a_prompt_that_is_too_long_loses_its_oldest_results_first() -> None:
    model = ScriptedModel(
        [calls("read_long", place="one"), calls("read_long", place="two"), ContextOverflowError("too long"), DONE]
    )
    assert do_work(teller(model, tools=(read_long,)), TASK).artifact == Story(text="waves")
    before, after = model.calls[2].messages, model.calls[3].messages
    assert "left out to make room" in str(after[3].content)
    assert after[5].content == before[5].content


def test_a_prompt_that_is_still_too_long_loses_half_of_its_longest_artifacts() -> None:
    model = ScriptedModel([ContextOverflowError("too long"), ContextOverflowError("too long"), DONE])
    task = Task(goal="a tale", artifacts={"Long": Story(text="sea " * 5_000), "Short": Story(text="salt")})
    do_work(teller(model), task)
    sizes = [len(call.messages[1].text) for call in model.calls]
    assert sizes[1] < 0.6 * sizes[0]
    assert sizes[2] < 0.6 * sizes[1]
    assert "cut here to make room" in model.calls[1].messages[1].text
    assert "salt" in model.calls[2].messages[1].text
    assert model.calls[2].messages[1].text.count("</untrusted") == model.calls[0].messages[1].text.count("</untrusted")


@pytest.mark.parametrize("as_json", ["false", "true"])
def test_a_result_that_alone_is_too_long_is_cut_within_its_marks(as_json: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_JSON_ACTIONS", as_json)
    first, last = (calls("read_long", place="one"), DONE)
    if as_json == "true":
        first = gives({"tool": "read_long", "arguments": {"place": "one"}})
        last = gives({"tool": "give_Story", "arguments": {"text": "waves"}})
    model = ScriptedModel([first, ContextOverflowError("too long"), last])
    do_work(teller(model, tools=(read_long,)), TASK)
    whole, cut = model.calls[1].last, model.calls[2].last
    assert len(cut) < 0.6 * len(whole)
    assert cut.splitlines()[-1] == whole.splitlines()[-1]
    assert cut.splitlines()[-1].startswith("</untrusted")


def test_a_prompt_that_never_fits_is_final() -> None:
    model = ScriptedModel([ContextOverflowError("too long")] * 9)
    failed = failure(model)
    assert failed.failure.final
    assert "too long" in failed.failure.problem
    assert len(model.calls) == 4


def test_words_instead_of_a_call_are_answered_once_with_what_is_wanted() -> None:
    model = ScriptedModel(["Once upon a time.", DONE])
    assert do_work(teller(model), TASK).artifact == Story(text="waves")
    assert "Call Story" in model.calls[1].last


def test_the_limit_of_calls_is_named() -> None:
    failed = failure(
        ScriptedModel([calls("look_up", word=word) for word in "abcdef"]),
        tools=(look_up,),
        limits=Limits(model_calls=3),
    )
    assert "limit of 3 calls in one step" in failed.failure.problem
    assert failed.usage["calls"] == 3


SAME = calls("look_up", word="x")


def test_the_same_call_again_and_again_is_met_with_a_word_first() -> None:
    model = ScriptedModel([SAME, SAME, SAME, DONE])
    assert do_work(teller(model, tools=(look_up,)), TASK).artifact == Story(text="waves")
    assert "You go in circles" in model.calls[3].last
    assert not any("circles" in call.last for call in model.calls[:3])


def test_then_a_stronger_model_goes_on_for_the_rest_of_the_step() -> None:
    weak, strong = ScriptedModel([SAME] * 4), ScriptedModel([calls("look_up", word="y"), DONE])
    work = do_work(teller(tiers(weak, strong), tier="fast", tools=(look_up,)), TASK)
    assert work.artifact == Story(text="waves")
    assert (len(weak.calls), len(strong.calls)) == (4, 2)


def test_then_the_step_is_stuck_and_says_why() -> None:
    failed = failure(ScriptedModel([SAME] * 9), tools=(look_up,))
    assert isinstance(failed.failure, StepStuck)
    assert "same calls again, such as look_up" in failed.failure.reason
    assert failed.usage["calls"] == 4
    both = tiers(ScriptedModel([SAME] * 9), ScriptedModel([SAME] * 9))
    assert failure(both, tier="fast", tools=(look_up,)).usage["calls"] == 5


def test_to_and_fro_between_two_calls_is_noticed() -> None:
    script = [calls("look_up", word=word) for word in "abababab"]
    model = ScriptedModel([*script[:4], DONE])
    do_work(teller(model, tools=(look_up,)), TASK)
    assert "You go in circles" in model.calls[4].last
    assert isinstance(failure(ScriptedModel(script), tools=(look_up,)).failure, StepStuck)


def test_turns_that_bring_nothing_new_are_noticed_though_each_call_is_another() -> None:
    @tool(risk="read")
    def search(word: str) -> str:
        """Search."""
        return "Nothing found."

    model = ScriptedModel([*(calls("search", word=word) for word in "abcdefg"), DONE])
    do_work(teller(model, tools=(search,)), TASK)
    assert "brought nothing new" in model.calls[7].last
    assert not any("circles" in call.last for call in model.calls[:5])


def test_one_call_over_and_over_is_noticed_though_its_result_changes() -> None:
    seen: list[int] = []

    @tool(risk="read")
    def ask_clock(zone: str) -> str:
        """Ask the clock."""
        seen.append(1)
        return f"{len(seen)} o'clock"

    model = ScriptedModel([*[calls("ask_clock", zone="here")] * 6, DONE])
    do_work(teller(model, tools=(ask_clock,)), TASK)
    assert "6 times" in model.calls[6].last


def test_different_calls_with_new_results_are_no_circle() -> None:
    model = ScriptedModel([*(calls("look_up", word=word) for word in "abcdefghij"), DONE])
    do_work(teller(model, tools=(look_up,)), TASK)
    assert not any("circles" in call.text for call in model.calls)


def test_a_task_may_begin_with_a_stronger_model() -> None:
    weak, strong = ScriptedModel([DONE]), ScriptedModel([DONE])
    do_work(teller(tiers(weak, strong), tier="fast"), replace(TASK, stronger=1))
    assert (len(weak.calls), len(strong.calls)) == (0, 1)
