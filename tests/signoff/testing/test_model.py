"""ScriptedModel is a chat model like any other."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelInvalidRequestError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from signoff.errors import MissingExtra, ReplyMisfit
from signoff.testing import ScriptedModel, calls, drops, fails, garbles, gives, hangs, refuses, says


class City(BaseModel):
    """A city."""

    name: str
    people: int = Field(default=0, ge=0)


@tool
def search(query: str) -> str:
    """Search the sources."""
    return f"results for {query}"


def whole(chunks: Any) -> AIMessageChunk:
    first, *rest = chunks
    for chunk in rest:
        first += chunk
    assert isinstance(first, AIMessageChunk)
    return first


def test_every_call_is_recorded_with_what_was_bound_to_it() -> None:
    model = ScriptedModel(["Paris"])
    model.bind_tools([search], tool_choice="any").invoke([SystemMessage("Be brief."), HumanMessage("Capital?")])
    (call,) = model.calls
    assert (call.system, call.last, call.text) == ("Be brief.", "Capital?", "Be brief.\nCapital?")
    assert call.tool_names == ("search",)
    assert call.tool_choice == "any"
    assert call.response_format is None


def test_text_and_tool_calls_join_into_one_reply() -> None:
    reply = says("Looking.") + calls("search", query="cats") + calls("search", query="dogs")
    answer = ScriptedModel([reply]).invoke("?")
    assert answer.text == "Looking."
    assert [use["args"] for use in answer.tool_calls] == [{"query": "cats"}, {"query": "dogs"}]
    assert [use["id"] for use in answer.tool_calls] == ["call_1_1", "call_1_2"]
    assert answer.response_metadata["finish_reason"] == "tool_calls"


def test_arguments_that_are_no_json_become_an_invalid_tool_call() -> None:
    answer = ScriptedModel([calls("search", "{not json") + calls("search", "[1]")]).invoke("?")
    assert answer.tool_calls == []
    assert [use["args"] for use in answer.invalid_tool_calls] == ["{not json", "[1]"]


def test_a_message_is_said_as_it_stands() -> None:
    use = {"name": "search", "args": {"query": "x"}, "id": "mine", "type": "tool_call"}
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    answer = ScriptedModel([AIMessage("Hm.", tool_calls=[use], usage_metadata=usage)]).invoke("?")
    assert (answer.text, answer.tool_calls, answer.usage_metadata) == ("Hm.", [use], usage)


def test_usage_is_counted_the_same_every_time() -> None:
    usages = [ScriptedModel(["Paris is the capital."]).invoke("What is it?").usage_metadata for _ in range(2)]
    assert usages == [{"input_tokens": 3, "output_tokens": 6, "total_tokens": 9}] * 2
    exact = ScriptedModel([says("Paris").using(1_200, 300)]).invoke("?").usage_metadata
    assert exact == {"input_tokens": 1_200, "output_tokens": 300, "total_tokens": 1_500}


def test_a_stream_comes_in_pieces_that_make_up_the_answer() -> None:
    reply = says("A sentence of some length, so that it is cut.") + calls("search", query="cats and dogs")
    chunks = list(ScriptedModel([reply]).stream("?"))
    assert sum(bool(chunk.text) for chunk in chunks) > 3
    answer, once = whole(chunks), ScriptedModel([reply]).invoke("?")
    assert (answer.text, answer.tool_calls) == (once.text, once.tool_calls)
    assert answer.usage_metadata == once.usage_metadata
    assert answer.response_metadata == once.response_metadata


def test_asyncio_callers_get_the_same() -> None:
    async def ask(model: ScriptedModel) -> tuple[str, str]:
        said = await model.ainvoke("?")
        return said.text, whole([chunk async for chunk in model.astream("?")]).text

    assert asyncio.run(ask(ScriptedModel(["Paris", "in the spring"]))) == ("Paris", "in the spring")


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
def test_structured_output_comes_by_every_method(method: Any) -> None:
    model = ScriptedModel([gives(City(name="Paris", people=2)), City(name="Rome"), {"name": "Oslo", "people": 1}])
    asked = model.with_structured_output(City, method=method)
    answers = [asked.invoke("?") for _ in range(3)]
    assert answers == [City(name="Paris", people=2), City(name="Rome"), City(name="Oslo", people=1)]


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_a_broken_structured_answer_is_kept_beside_its_error(method: Any) -> None:
    model = ScriptedModel([says("no json") if method == "json_schema" else calls("City", people=-1)])
    answer = model.with_structured_output(City, method=method, include_raw=True).invoke("?")
    assert isinstance(answer, dict)
    assert isinstance(answer["raw"], AIMessage)
    assert answer["parsed"] is None
    assert answer["parsing_error"] is not None


def test_a_value_that_does_not_fit_what_was_asked_for_is_refused() -> None:
    asked = ScriptedModel([gives({"name": 3})]).with_structured_output(City)
    with pytest.raises(ReplyMisfit, match=r"3 is not of type 'string' \(at \$\.name\)"):
        asked.invoke("?")
    with pytest.raises(ReplyMisfit, match="asks for no structured output"):
        ScriptedModel([City(name="Paris")]).invoke("?")
    with pytest.raises(ReplyMisfit, match=r"fits none of the tools \['search'\]"):
        ScriptedModel([City(name="Paris")]).bind_tools([search]).invoke("?")


def test_structured_output_names_the_extra_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(MissingExtra, match=r"install .*\[testing\]"):
        ScriptedModel([City(name="Paris")]).with_structured_output(City).invoke("?")
    assert ScriptedModel(["Paris"]).invoke("?").text == "Paris"


def test_the_doubles_are_loaded_only_by_those_who_ask_for_them() -> None:
    code = "import sys, signoff; sys.exit('signoff.testing' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_value_goes_to_the_tool_named_like_its_class() -> None:
    class Town(City):
        """A smaller city."""

    model = ScriptedModel([City(name="Paris"), Town(name="Dole"), {"name": "Oslo"}]).bind_tools([City, Town, search])
    assert [model.invoke("?").tool_calls[0]["name"] for _ in range(2)] == ["City", "Town"]
    with pytest.raises(ReplyMisfit, match=r"fits \['City', 'Town'\] of the tools"):
        model.invoke("?")


STRATEGIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "by tool": (ToolStrategy(City), {}),
    "by schema": (ProviderStrategy(City), {}),
    "left to the agent, without a profile": (City, {}),
    "left to the agent, with a profile": (City, {"profile": {"structured_output": True}}),
}


@pytest.mark.parametrize("how", STRATEGIES)
@pytest.mark.parametrize("value", [City(name="Paris"), {"name": "Paris", "people": 0}])
def test_an_agent_searches_and_then_gives_structured_output(how: str, value: Any) -> None:
    strategy, fields = STRATEGIES[how]
    model = ScriptedModel([calls("search", query="capital"), gives(value)], **fields)
    agent = create_agent(model, tools=[search], system_prompt="Be brief.", response_format=strategy)
    state = agent.invoke({"messages": [HumanMessage("Capital of France?")]})
    assert state["structured_response"] == City(name="Paris")
    assert "results for capital" in model.calls[1].text
    by_schema = model.calls[0].response_format is not None
    assert by_schema == (how in ("by schema", "left to the agent, with a profile"))
    assert model.calls[0].tool_names == (("search",) if by_schema else ("search", "City"))


def test_an_agent_streams_the_pieces_of_its_model() -> None:
    agent = create_agent(ScriptedModel(["A sentence of some length, so that it is cut."]), tools=[search])
    pieces = [
        message.text
        for message, _ in agent.stream({"messages": [HumanMessage("?")]}, stream_mode="messages")
        if isinstance(message, AIMessageChunk)
    ]
    assert len(pieces) > 3
    assert "".join(pieces) == "A sentence of some length, so that it is cut."


def test_a_refusal_has_no_content() -> None:
    for answer in (ScriptedModel([refuses("No.")]).invoke("?"), whole(ScriptedModel([refuses("No.")]).stream("?"))):
        assert (answer.text, answer.additional_kwargs["refusal"]) == ("", "No.")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (fails(400), ModelInvalidRequestError),
        (fails(401), ModelAuthenticationError),
        (fails(429, retry_after=1), ModelRateLimitError),
        (fails(503), ModelAPIError),
        (hangs(), ModelTimeoutError),
        (drops(), ModelConnectionError),
        (garbles(), ValueError),
    ],
)
def test_a_fault_raises_what_every_provider_raises(fault: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        ScriptedModel([fault]).invoke("?")
    with pytest.raises(error):
        list(ScriptedModel([fault]).stream("?"))


def test_a_stream_that_is_dropped_ends_half_way() -> None:
    seen: list[str] = []
    with pytest.raises(ModelConnectionError):
        seen.extend(chunk.text for chunk in ScriptedModel([drops("A sentence of some length.")]).stream("?"))
    assert "".join(seen) == "A sentence of so"
