"""The same promises for `ChatOpenAI` and for our lean `Endpoint`: whoever swaps one for the other notices nothing."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from signoff.agents.models.openai.chat_model import Endpoint
from signoff.testing import Item, ScriptedServer, calls, fails, garbles, gives, refuses, says


class City(BaseModel):
    """A city."""

    name: str = Field(description="What it is called")
    people: int


@tool
def search(query: str) -> str:
    """Search."""
    return query


def invoke(model: Any, said: Any) -> Any:
    return model.invoke(said)


def ainvoke(model: Any, said: Any) -> Any:
    return asyncio.run(model.ainvoke(said))


def stream(model: Any, said: Any) -> Any:
    chunks = list(model.stream(said))
    return sum(chunks[1:], chunks[0])


def astream(model: Any, said: Any) -> Any:
    async def gather() -> Any:
        chunks = [chunk async for chunk in model.astream(said)]
        return sum(chunks[1:], chunks[0])

    return asyncio.run(gather())


Ask = Callable[[Any, Any], Any]
"""A way to call a model."""

whole = pytest.mark.parametrize("ask", [invoke, ainvoke])
each_way = pytest.mark.parametrize("ask", [invoke, ainvoke, stream, astream])
both = pytest.mark.parametrize("kind", [ChatOpenAI, Endpoint])


def model_at(server: ScriptedServer, kind: type[BaseChatModel] = Endpoint, **options: Any) -> BaseChatModel:
    given: dict[str, Any] = {"model": "scripted", "base_url": server.url, "api_key": "test", "timeout": 5.0}
    return kind(**{**given, "max_retries": 0, "stream_usage": True, **options})


def said(answer: AIMessage) -> dict[str, Any]:
    """All of a message that does not differ from call to call."""
    content = answer.model_dump(exclude={"id"})
    content["response_metadata"].pop("id", None)
    return json.loads(json.dumps(content).replace("call_1_", "call_N_").replace("call_2_", "call_N_"))  # type: ignore[no-any-return]


def completion(**fields: Any) -> str:
    message = {"role": "assistant", "content": "Paris"}
    choices = [{"index": 0, "message": message, "delta": message, "finish_reason": "stop"}]
    return json.dumps(
        {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": choices, **fields}
    )


USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 12},
}

ANSWERS: dict[str, Item] = {
    "a text": "Paris, the capital of France.",
    "an empty text": "",
    "a cut text": says("Par", finish="length"),
    "a withheld text": says("", finish="content_filter"),
    "a tool call": calls("search", query="Paris"),
    "a text and two tool calls": says("Looking.") + calls("search", query="a") + calls("search", query="b"),
    "a tool call that is no JSON": calls("search", "{not json"),
    "token counts": says("Paris").using(321, 45),
    "letters of all kinds": 'Zürich "東京" \\ \n 🙂',
}


@each_way
@pytest.mark.parametrize("reply", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_makes_the_same_message(reply: Item, ask: Ask) -> None:
    with ScriptedServer([reply, reply]) as server:
        theirs, ours = (ask(model_at(server, kind).bind_tools([search]), "Hi") for kind in (ChatOpenAI, Endpoint))
    assert said(ours) == said(theirs)


@each_way
@both
def test_cached_and_reasoning_tokens_are_counted(kind: type[BaseChatModel], ask: Ask) -> None:
    with ScriptedServer([garbles(completion(usage=USAGE))]) as server:
        used = ask(model_at(server, kind), "Hi").usage_metadata
    assert used == {
        "input_tokens": 100,
        "output_tokens": 20,
        "total_tokens": 120,
        "input_token_details": {"cache_read": 64},
        "output_token_details": {"reasoning": 12},
    }


@both
def test_a_stream_comes_in_pieces_and_every_piece_is_told(kind: type[BaseChatModel]) -> None:
    class Listener(BaseCallbackHandler):
        def on_llm_new_token(self, token: Any, **_: Any) -> None:
            heard.append(token)

    heard: list[str] = []
    with ScriptedServer(["one two three four five six", "one two three four five six"]) as server:
        model = model_at(server, kind)
        pieces = [str(chunk.content) for chunk in model.stream("Hi", config={"callbacks": [Listener()]})]
        assert [token for token in heard if token] == [piece for piece in pieces if piece] != []
        heard.clear()
        assert astream(model.with_config(callbacks=[Listener()]), "Hi").content == "".join(heard) == "".join(pieces)


@both
def test_a_stream_can_be_left_before_its_end(kind: type[BaseChatModel]) -> None:
    with ScriptedServer(["a word or two " * 50, "Then this."]) as server:
        model = model_at(server, kind)
        for chunk in model.stream("Hi"):
            if chunk.content:
                break
        assert model.invoke("Hi").content == "Then this."


def test_a_request_says_the_same() -> None:
    conversation = [
        SystemMessage("Be brief."),
        HumanMessage("Capital of «France»?"),
        AIMessage("", tool_calls=[{"name": "search", "args": {"query": "France"}, "id": "c1"}]),
        ToolMessage("Paris", tool_call_id="c1"),
    ]
    options: dict[str, Any] = {
        "temperature": 0.5,
        "max_tokens": 100,
        "seed": 7,
        "stop": ["END"],
        "default_headers": {"X-Team": "signoff"},
        "default_query": {"version": "1"},
        "organization": "org",
        "extra_body": {"min_p": 0.1},
    }
    with ScriptedServer([fails(404)] * 10) as server:  # a query is no route of this server, and it records all the same
        for kind in (ChatOpenAI, Endpoint):
            model = model_at(server, kind, **options)
            for bound in (model.bind_tools([search], tool_choice="any", strict=True), model.bind(stop=["X"])):
                for ask in (invoke, stream):
                    with pytest.raises(Exception, match="404"):
                        ask(bound, conversation)
        requests = server.requests
    for theirs, ours in zip(requests[:4], requests[4:], strict=True):
        assert (ours.path, ours.body) == (theirs.path, theirs.body)
        for name in ("authorization", "x-team", "openai-organization", "content-type"):
            assert ours.headers[name] == theirs.headers[name]


@both
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # ChatOpenAI's own, about its own object
def test_structured_output_is_read_from_a_stream(kind: type[BaseChatModel]) -> None:
    async def gather() -> list[Any]:
        return [part async for part in reader.astream("Hi")]

    with ScriptedServer([gives(City(name="Bern", people=130_000))] * 2) as server:
        reader = model_at(server, kind).with_structured_output(City)
        assert list(reader.stream("Hi")) == asyncio.run(gather()) == [City(name="Bern", people=130_000)]


@both
@whole
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_structured_output_is_read_by_every_method(kind: type[BaseChatModel], ask: Ask, method: Any) -> None:
    with ScriptedServer([gives(City(name="Bern", people=130_000))]) as server:
        reader = model_at(server, kind).with_structured_output(City, method=method, include_raw=True)
        answer = ask(reader, "Answer in JSON.")
    assert answer["parsed"] == City(name="Bern", people=130_000)
    assert answer["raw"].usage_metadata["output_tokens"] > 0


def test_structured_output_is_asked_for_in_the_same_words() -> None:
    asked = []
    for kind in (ChatOpenAI, Endpoint):
        with ScriptedServer([gives(City(name="Bern", people=1))] * 3) as server:
            model = model_at(server, kind)
            for form in (City, City.model_json_schema(), {"title": "Town", "type": "object", "properties": {}}):
                with_schema = model.with_structured_output(form, method="json_schema")
                with_schema.invoke("Hi")
            asked.append([request.body["response_format"] for request in server.requests])
    assert asked[0] == asked[1]


@whole
@both
def test_a_refusal_is_kept_on_the_message(kind: type[BaseChatModel], ask: Ask) -> None:
    with ScriptedServer([refuses("I cannot help with that.")]) as server:
        answer = ask(model_at(server, kind), "Hi")
    assert (answer.content, answer.additional_kwargs["refusal"]) == ("", "I cannot help with that.")


@pytest.mark.parametrize("ask", [stream, astream])
def test_a_refusal_is_not_lost_in_a_stream(ask: Ask) -> None:
    with ScriptedServer([refuses("I cannot help with that, sorry.")]) as server:
        assert ask(model_at(server), "Hi").additional_kwargs["refusal"] == "I cannot help with that, sorry."


@both
def test_several_answers_are_given(kind: type[BaseChatModel]) -> None:
    two = json.loads(completion())["choices"] * 2
    with ScriptedServer([garbles(completion(choices=two))]) as server:
        assert len(model_at(server, kind).generate([[HumanMessage("Hi")]]).generations[0]) == 2


@both
@whole
def test_a_failed_call_is_tried_again_as_often_as_asked(kind: type[BaseChatModel], ask: Ask) -> None:
    with ScriptedServer([fails(429, retry_after=0.01), fails(500, headers={"Retry-After": "0.01"}), "Paris"]) as server:
        assert ask(model_at(server, kind, max_retries=2), "Hi").content == "Paris"
        assert len(server.requests) == 3


@both
def test_a_key_may_be_a_function(kind: type[BaseChatModel]) -> None:
    async def fetch_key() -> str:
        return "fetched"

    with ScriptedServer(["Paris", "Paris"], key="fetched") as server:
        assert invoke(model_at(server, kind, api_key=lambda: "fetched"), "Hi").content == "Paris"
        assert ainvoke(model_at(server, kind, api_key=fetch_key), "Hi").content == "Paris"


@both
def test_all_headers_are_kept_on_request(kind: type[BaseChatModel]) -> None:
    with ScriptedServer(["Paris"]) as server:
        headers = model_at(server, kind, include_response_headers=True).invoke("Hi").response_metadata["headers"]
    assert "application/json" in {name.lower(): value for name, value in headers.items()}["content-type"]


def test_no_client_of_openai_is_built() -> None:
    def clients() -> list[Any]:
        return [found for found in gc.get_objects() if type(found) in (openai.OpenAI, openai.AsyncOpenAI)]

    before = {id(client): client for client in clients()}
    with ScriptedServer(["Paris", "Paris"]) as server:
        model = model_at(server).bind_tools([search])
        assert invoke(model, "Hi").content == astream(model, "Hi").content == "Paris"
    assert [client for client in clients() if id(client) not in before] == []


@both
def test_a_model_without_a_key_is_refused(kind: type[BaseChatModel]) -> None:
    with pytest.raises(Exception, match="OPENAI_API_KEY"):
        kind(model="scripted")


@pytest.mark.parametrize("options", [{}, {"base_url": "http://127.0.0.1:9/v1"}, {"stream_usage": False}])
def test_streams_tell_usage_in_the_same_cases(options: dict[str, Any]) -> None:
    theirs, ours = (kind(model="scripted", api_key="test", **options) for kind in (ChatOpenAI, Endpoint))
    assert ours.stream_usage == theirs.stream_usage


def test_the_responses_api_goes_the_way_of_chatopenai() -> None:
    with ScriptedServer([]) as server:
        for ask in (invoke, ainvoke, stream, astream):
            with pytest.raises(Exception, match="ScriptedServer has"):
                ask(model_at(server, use_responses_api=True), "Hi")
        assert {request.path for request in server.requests} == {"/v1/responses"}


def test_a_changed_copy_calls_as_changed() -> None:
    with ScriptedServer(["Paris"]) as server:
        model_at(server).model_copy(update={"model_name": "other"}).invoke("Hi")
        assert server.calls[0].model == "other"
