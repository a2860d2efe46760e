"""ScriptedServer answers the real ChatOpenAI over real HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from signoff.errors import NotScripted, ReplyMisfit, ScriptError
from signoff.testing import Call, ScriptedModel, ScriptedServer, calls, gives, refuses, says


class City(BaseModel):
    """A city."""

    name: str
    people: int = Field(default=0, ge=0)


@tool
def search(query: str) -> str:
    """Search the sources."""
    return f"results for {query}"


def client(server: ScriptedServer, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(**{"model": "scripted", "base_url": server.url, "api_key": "test", "max_retries": 0, **options})


def whole(chunks: Any) -> AIMessageChunk:
    first, *rest = chunks
    for chunk in rest:
        first += chunk
    assert isinstance(first, AIMessageChunk)
    return first


def test_a_text_is_answered_with_its_usage() -> None:
    with ScriptedServer(["Paris"]) as server:
        answer = client(server).invoke("Capital of France?")
    assert answer.text == "Paris"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 7
    assert answer.response_metadata["finish_reason"] == "stop"


def test_both_doubles_see_the_same_call_and_say_the_same() -> None:
    script = [says("Looking.") + calls("search", query="cats") + calls("search", query="dogs")]
    messages = [SystemMessage("Be brief."), HumanMessage("Capital?")]
    model = ScriptedModel(script)
    near = model.bind_tools([search]).invoke(messages)
    with ScriptedServer(script) as server:
        far = client(server).bind_tools([search]).invoke(messages)
    assert (near.text, near.tool_calls) == (far.text, far.tool_calls)
    assert near.usage_metadata is not None
    assert far.usage_metadata is not None
    assert near.usage_metadata["total_tokens"] == far.usage_metadata["total_tokens"]
    assert [(call.text, call.tools, call.number) for call in model.calls] == [
        (call.text, call.tools, call.number) for call in server.calls
    ]


def test_requests_are_recorded_as_they_came() -> None:
    with ScriptedServer(["Paris"]) as server:
        client(server, temperature=0.5).invoke("Capital?")
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer test"
    assert request.body["temperature"] == 0.5
    assert request.body["messages"] == [{"role": "user", "content": "Capital?"}]


def test_broken_arguments_reach_the_client_as_an_invalid_tool_call() -> None:
    with ScriptedServer([calls("search", "{not json")]) as server:
        answer = client(server).invoke("?")
    assert answer.invalid_tool_calls[0]["args"] == "{not json"


def test_a_stream_comes_in_pieces_with_its_usage_last() -> None:
    reply = says("A sentence of some length, so that it is cut.") + calls("search", query="cats and dogs")
    with ScriptedServer([reply, reply, reply]) as server:
        model = client(server)
        chunks = list(model.stream("?", stream_usage=True))
        once, silent = model.invoke("?"), whole(model.stream("?"))
    assert sum(bool(chunk.text) for chunk in chunks) > 3
    answer = whole(chunks)
    assert (answer.text, answer.tool_calls[0]["args"]) == (once.text, once.tool_calls[0]["args"])
    assert answer.usage_metadata is not None
    assert once.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == once.usage_metadata["total_tokens"]
    assert answer.response_metadata["finish_reason"] == "tool_calls"
    assert silent.usage_metadata is None


def test_asyncio_callers_get_the_same() -> None:
    async def ask(model: ChatOpenAI) -> tuple[str, str]:
        said = await model.ainvoke("?")
        return said.text, whole([chunk async for chunk in model.astream("?")]).text

    with ScriptedServer(["Paris", "in the spring"]) as server:
        assert asyncio.run(ask(client(server))) == ("Paris", "in the spring")


# ChatOpenAI dumps the parsed object of a stream as if it were none.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
@pytest.mark.parametrize("streaming", [False, True])
def test_structured_output_comes_by_every_method(method: Any, streaming: bool) -> None:
    with ScriptedServer([City(name="Paris", people=2), {"name": "Oslo", "people": 1}]) as server:
        asked = client(server, streaming=streaming).with_structured_output(City, method=method)
        assert [asked.invoke("?") for _ in range(2)] == [City(name="Paris", people=2), City(name="Oslo", people=1)]
    assert [request.body.get("stream", False) for request in server.requests] == [streaming] * 2


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("model_name", ["scripted", "gpt-4o"])
@pytest.mark.parametrize("strategy", [ToolStrategy(City), ProviderStrategy(City), City])
def test_an_agent_searches_and_then_gives_structured_output(model_name: str, strategy: Any, streaming: bool) -> None:
    with ScriptedServer([calls("search", query="capital"), gives(City(name="Paris"))]) as server:
        model = client(server, model=model_name, streaming=streaming)
        agent = create_agent(model, tools=[search], response_format=strategy)
        state = agent.invoke({"messages": [HumanMessage("Capital of France?")]})
    assert state["structured_response"] == City(name="Paris")
    assert "results for capital" in server.calls[1].text
    by_schema = isinstance(strategy, ProviderStrategy) or (strategy is City and model_name == "gpt-4o")
    assert ("response_format" in server.requests[0].body) == by_schema


def test_an_agent_streams_the_pieces_of_its_model() -> None:
    with ScriptedServer(["A sentence of some length, so that it is cut."]) as server:
        agent = create_agent(client(server), tools=[search])
        pieces = [
            message.text
            for message, _ in agent.stream({"messages": [HumanMessage("?")]}, stream_mode="messages")
            if isinstance(message, AIMessageChunk)
        ]
    assert len(pieces) > 3
    assert "".join(pieces) == "A sentence of some length, so that it is cut."


def test_a_team_shares_one_server_and_roles_keep_their_scripts_apart() -> None:
    script = {role: [f"{role} {turn}" for turn in range(20)] for role in ("researcher", "analyst", "writer")}

    def work(role: str) -> list[str]:
        model = client(server)
        return [model.invoke([SystemMessage(f"You are the {role}."), HumanMessage("Go.")]).text for _ in range(20)]

    with ScriptedServer(script) as server, ThreadPoolExecutor(3) as pool:
        assert dict(zip(script, pool.map(work, script), strict=True)) == script


def test_a_function_answers_by_what_the_prompt_says() -> None:
    def answer(call: Call) -> Any:
        return calls("search", query=call.last) if "search" in call.tool_names else f"heard {call.last}"

    with ScriptedServer(answer) as server:
        assert client(server).invoke("cats").text == "heard cats"
        assert client(server).bind_tools([search]).invoke("cats").tool_calls[0]["args"] == {"query": "cats"}


def test_a_refusal_arrives_in_its_own_field() -> None:
    with ScriptedServer([refuses("No."), refuses("No.")]) as server:
        answer = client(server).invoke("?")
        assert (answer.text, answer.additional_kwargs["refusal"]) == ("", "No.")
        with pytest.raises(Exception, match=r"No\.") as caught:
            client(server).with_structured_output(City).invoke("?")
    assert type(caught.value).__name__ == "OpenAIRefusalError"


def test_ten_megabytes_arrive_whole() -> None:
    text = "0123456789" * 1_000_000
    with ScriptedServer([text, text]) as server:
        assert client(server).invoke("?").text == text
        assert whole(client(server).stream("?")).text == text


def test_an_unscripted_call_fails_the_client_and_the_block() -> None:
    with (
        pytest.raises(NotScripted, match="Call 1 is not scripted"),
        ScriptedServer([]) as server,
        pytest.raises(openai.BadRequestError, match=r"Call 1 is not scripted.*'Capital of Spain\?'"),
    ):
        client(server, max_retries=2).invoke("Capital of Spain?")
    assert len(server.calls) == 1


def test_a_value_that_does_not_fit_the_clients_schema_fails_the_block() -> None:
    with (
        pytest.raises(ReplyMisfit, match=r"'people' is a required property"),
        ScriptedServer([{"name": "x"}]) as server,
        pytest.raises(openai.BadRequestError, match="cannot be answered"),
    ):
        client(server).with_structured_output(City).invoke("?")


def test_what_a_scripted_function_raises_comes_out_of_the_block() -> None:
    def broken(call: Call) -> Any:
        raise ZeroDivisionError("my own mistake")

    with (
        pytest.raises(ZeroDivisionError, match="my own mistake"),
        ScriptedServer(broken) as server,
        pytest.raises(openai.BadRequestError),
    ):
        client(server).invoke("?")


def test_an_exception_in_the_script_is_refused() -> None:
    with (
        pytest.raises(ReplyMisfit, match="cannot cross HTTP"),
        ScriptedServer([KeyError()]) as server,
        pytest.raises(openai.BadRequestError),
    ):
        client(server).invoke("?")


def test_an_exception_of_the_test_itself_is_not_covered_up() -> None:
    with pytest.raises(openai.BadRequestError), ScriptedServer([]) as server:
        client(server).invoke("?")


def test_models_are_listed() -> None:
    with (
        ScriptedServer([], models=("small", "large")) as server,
        openai.OpenAI(base_url=server.url, api_key="test") as api,
    ):
        assert [model.id for model in api.models.list()] == ["small", "large"]


def test_only_the_holder_of_the_key_is_answered() -> None:
    with ScriptedServer(["Paris"], key="right") as server:
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
            client(server, api_key="wrong").invoke("?")
        assert server.calls == ()
        assert client(server, api_key="right").invoke("?").text == "Paris"
    assert len(server.requests) == 2


def test_the_responses_api_is_refused_with_the_way_out() -> None:
    with ScriptedServer(["Paris"]) as server:
        with pytest.raises(openai.NotFoundError, match="set use_responses_api=False"):
            client(server, use_responses_api=True).invoke("?")
        assert client(server, model="gpt-5-pro", use_responses_api=False).invoke("?").text == "Paris"


@pytest.mark.parametrize("body", ["{not json", "[]", "{}", '{"model": "x", "messages": [{"role": "nobody"}]}', ""])
def test_a_request_that_is_none_gets_status_400(body: str) -> None:
    with ScriptedServer([]) as server:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://").removesuffix("/v1"))
        connection.request("POST", "/v1/chat/completions", body)
        response = connection.getresponse()
        assert response.status == 400
        assert "no chat completion request" in json.loads(response.read())["error"]["message"]
        connection.close()


def test_one_connection_serves_many_requests() -> None:
    with ScriptedServer([]) as server:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://").removesuffix("/v1"))
        used = set()
        for path in ("/v1/models", "/v1/nothing", "/v1/models"):
            connection.request("GET", path)
            used.add(connection.sock)
            connection.getresponse().read()
        assert len(used) == 1
        connection.close()


def test_a_connection_of_an_asyncio_client_ends_with_its_answer() -> None:
    with ScriptedServer([]) as server:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://").removesuffix("/v1"))
        connection.request("GET", "/v1/models", headers={"X-Stainless-Async": "async:asyncio"})
        response = connection.getresponse()
        assert (response.getheader("Connection"), response.will_close) == ("close", True)
        response.close()


def test_nothing_stays_open_after_the_block() -> None:
    before = set(threading.enumerate())
    with ScriptedServer(["one", "two"]) as server:
        client(server).invoke("?")
        list(client(server).stream("?"))
        url = server.url
    assert set(threading.enumerate()) <= before
    with pytest.raises(openai.APIConnectionError):
        ChatOpenAI(model="scripted", base_url=url, api_key="test", max_retries=0).invoke("?")
    with pytest.raises(ScriptError, match="only inside its `with` block"):
        _ = server.url
