"""A script answers in order, by role, and says plainly what it has no answer for."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from signoff.errors import NotScripted, ReplyMisfit
from signoff.testing import Call, ScriptedModel, calls, says


def test_replies_come_in_the_order_they_were_written() -> None:
    model = ScriptedModel(["one", says("two"), AIMessage("three")])
    assert [model.invoke("?").text for _ in range(3)] == ["one", "two", "three"]


def test_a_call_without_a_reply_says_which_it_was_and_what_it_asked() -> None:
    model = ScriptedModel(["Paris"])
    model.invoke("Capital of France?")
    with pytest.raises(NotScripted, match=r"Call 2 is not scripted.*no reply left.*'Capital of Spain\?'") as caught:
        model.invoke("Capital of Spain?")
    assert caught.value.call == 2


def test_a_lone_function_answers_every_call() -> None:
    model = ScriptedModel(lambda call: f"{call.number}: {call.last.upper()}")
    assert [model.invoke(text).text for text in ("a", "b")] == ["1: A", "2: B"]


def test_a_function_in_a_list_answers_one_call() -> None:
    model = ScriptedModel([lambda call: calls("search", query=call.last), "done"])
    assert model.invoke("cats").tool_calls[0]["args"] == {"query": "cats"}
    assert model.invoke("cats").text == "done"


def test_an_endless_script_never_runs_out() -> None:
    model = ScriptedModel(itertools.repeat("again"))
    assert {model.invoke("?").text for _ in range(50)} == {"again"}


def test_an_exception_is_raised_where_it_stands() -> None:
    model = ScriptedModel([KeyError("gone"), TimeoutError, "back"])
    with pytest.raises(KeyError, match="gone"):
        model.invoke("?")
    with pytest.raises(TimeoutError):
        model.invoke("?")
    assert model.invoke("?").text == "back"


def test_the_role_a_prompt_mentions_first_picks_the_script() -> None:
    model = ScriptedModel({"researcher": ["found", "found more"], "writer": "written"})
    assert (
        model.invoke([SystemMessage("You are the Writer."), HumanMessage("The researcher found x.")]).text == "written"
    )
    assert model.invoke([SystemMessage("You are the researcher. The writer waits.")]).text == "found"
    assert model.invoke([HumanMessage("researcher, again")]).text == "found more"
    with pytest.raises(NotScripted, match="script 'writer' has no reply left"):
        model.invoke("writer?")
    with pytest.raises(NotScripted, match=r"picks none of \['researcher', 'writer'\]"):
        model.invoke("reviewer?")


def test_of_two_roles_at_one_place_the_longer_name_is_meant() -> None:
    model = ScriptedModel({"write": "no", "writer": "yes"})
    assert model.invoke("writer!").text == "yes"


def test_a_function_can_pick_the_script() -> None:
    def by_tool(call: Call) -> str:
        return "tools" if call.tool_names else "plain"

    model = ScriptedModel({"plain": ["talk"], "tools": ["act"]}, pick=by_tool)
    bound = model.bind_tools([{"type": "function", "function": {"name": "f", "parameters": {}}}])
    assert (model.invoke("?").text, bound.invoke("?").text) == ("talk", "act")


def test_what_is_no_reply_is_refused() -> None:
    with pytest.raises(ReplyMisfit, match="a int is no reply"):
        ScriptedModel([42]).invoke("?")  # type: ignore[list-item]  # the mistake under test
    with pytest.raises(ReplyMisfit, match="a class is no reply"):
        ScriptedModel([dict]).invoke("?")  # type: ignore[list-item]  # the mistake under test


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hasty_threads")
def test_threads_share_a_script_without_losing_or_repeating_a_reply() -> None:
    def lines() -> Iterator[str]:
        for number in range(400):
            os.stat(".")  # a system call, during which another thread comes in if it can
            yield str(number)

    model = ScriptedModel(lines())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: model.invoke("?").text, range(400)))
    assert sorted(answers, key=int) == [str(number) for number in range(400)]
    assert [call.number for call in model.calls] == list(range(1, 401))
