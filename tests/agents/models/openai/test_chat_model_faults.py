"""What can go wrong with a call, for `ChatOpenAI` and `Endpoint` alike: the same errors, with all that they tell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import openai
import pydantic
import pytest
from langchain_core.exceptions import ModelConnectionError, ModelRateLimitError, ModelTimeoutError
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_openai.chat_models import base as known
from pydantic import BaseModel

from signoff.agents.models.openai.chat_model import Endpoint
from signoff.agents.models.openai.errors import MalformedAnswer
from signoff.testing import Item, ScriptedServer, drops, fails, garbles, hangs, refuses, says


class City(BaseModel):
    """A city."""

    name: str


def invoke(model: Any) -> Any:
    return model.invoke("Hi")


def ainvoke(model: Any) -> Any:
    return asyncio.run(model.ainvoke("Hi"))


def stream(model: Any) -> Any:
    return list(model.stream("Hi"))


def astream(model: Any) -> Any:
    async def gather() -> list[Any]:
        return [chunk async for chunk in model.astream("Hi")]

    return asyncio.run(gather())


Ask = Callable[[Any], Any]

whole = pytest.mark.parametrize("ask", [invoke, ainvoke])
streamed = pytest.mark.parametrize("ask", [stream, astream])
each_way = pytest.mark.parametrize("ask", [invoke, ainvoke, stream, astream])
both = pytest.mark.parametrize("kind", [ChatOpenAI, Endpoint])
WAYS: Sequence[Ask] = (invoke, ainvoke, stream, astream)


def model_at(server: ScriptedServer, kind: type[BaseChatModel] = Endpoint, **options: Any) -> BaseChatModel:
    given: dict[str, Any] = {"model": "scripted", "base_url": server.url, "api_key": "test", "timeout": 5.0}
    return kind(**{**given, "max_retries": 0, **options})


def error_of(ask: Ask, kind: type[BaseChatModel], *script: Item, **options: Any) -> Any:
    with ScriptedServer(script) as server, pytest.raises(Exception) as caught:  # the caller looks
        ask(model_at(server, kind, **options))
    return caught.value


STATUSES: Sequence[tuple[Item, type[Exception]]] = [
    (fails(400, "no such parameter"), known.OpenAIInvalidRequestError),
    (fails(400, "prompt is too long: 9 > 8"), known.OpenAIContextOverflowError),
    (fails(401, "wrong key", code="invalid_api_key"), known.OpenAIAuthenticationError),
    (fails(403), known.OpenAIPermissionDeniedError),
    (fails(404, "no such model"), known.OpenAIModelNotFoundError),
    (fails(408), openai.APIStatusError),
    (fails(409), openai.ConflictError),
    (fails(413), openai.APIStatusError),
    (fails(422), openai.UnprocessableEntityError),
    (fails(429, retry_after=7, headers={"x-request-id": "r1"}), known.OpenAIRateLimitError),
    (fails(500, "oops"), known.OpenAIAPIError),
    (fails(529, "overloaded"), known.OpenAIAPIError),
]


@pytest.mark.parametrize(
    ("failure", "wanted", "ask"),
    # Each status by one of the ways, and one of them by all.
    [(*status, WAYS[place % 4]) for place, status in enumerate(STATUSES)] + [(*STATUSES[9], way) for way in WAYS],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_error_status_raises_the_same_error(failure: Item, wanted: type[Exception], ask: Ask) -> None:
    theirs, ours = (error_of(ask, kind, failure) for kind in (ChatOpenAI, Endpoint))
    assert type(ours) is type(theirs)
    assert issubclass(type(ours), wanted)
    for name in ("message", "body", "code", "type", "param", "status_code", "request_id"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.response.json() == theirs.response.json()
    unlike = {"date", "content-length", "connection"}
    assert {k: v for k, v in ours.response.headers.items() if k not in unlike} == {
        k: v for k, v in theirs.response.headers.items() if k not in unlike
    }


@each_way
def test_a_prompt_that_is_too_long_is_told_by_its_code(ask: Ask) -> None:
    error = error_of(ask, Endpoint, fails(400, "Too long", code="context_length_exceeded"))
    assert isinstance(error, known.OpenAIContextOverflowError)


@both
def test_a_rate_limit_tells_when_to_come_back(kind: type[BaseChatModel]) -> None:
    error = error_of(invoke, kind, fails(429, retry_after=7))
    assert issubclass(type(error), ModelRateLimitError)
    assert error.response.headers["retry-after"] == "7"
    assert error.response.headers["x-ratelimit-remaining-requests"] == "0"


def test_no_error_holds_the_key() -> None:
    error = error_of(invoke, Endpoint, fails(401), api_key="very-secret")
    assert "very-secret" not in repr([error, error.body, error.request.headers, error.response.headers, vars(error)])


@both
@each_way
@pytest.mark.parametrize("drop", [drops(), drops("The first half of this never ends.")], ids=["at once", "halfway"])
def test_a_dropped_connection_is_a_connection_error(kind: type[BaseChatModel], ask: Ask, drop: Item) -> None:
    error = error_of(ask, kind, drop)
    assert isinstance(error, openai.APIConnectionError)
    assert isinstance(error, ModelConnectionError) or kind is ChatOpenAI


@both
@each_way
def test_nobody_there_is_a_connection_error(kind: type[BaseChatModel], ask: Ask) -> None:
    with ScriptedServer([]) as server:
        model = model_at(server, kind)
    with pytest.raises(known.OpenAIConnectionError):
        ask(model)


@both
@each_way
def test_no_answer_is_a_timeout(kind: type[BaseChatModel], ask: Ask) -> None:
    error = error_of(ask, kind, hangs(), timeout=0.05)
    assert isinstance(error, known.OpenAITimeoutError)
    assert isinstance(error, ModelTimeoutError)


@each_way
def test_no_answer_in_the_total_time_is_a_timeout(ask: Ask) -> None:
    assert isinstance(error_of(ask, Endpoint, hangs(), timeout=None, total_timeout=0.05), known.OpenAITimeoutError)


PAGES: dict[str, Item] = {
    "cut JSON": garbles(),
    "a page": garbles("<html><h1>Welcome to the proxy</h1></html>", content_type="text/html"),
    "an empty body": garbles(""),
    "a list": garbles("[1, 2]"),
    "null": garbles("null"),
    "no choices": garbles('{"object": "chat.completion"}'),
    "choices that are null": garbles('{"choices": null}'),
    "an error": garbles('{"error": {"message": "The model is loading."}}'),
    "letters of no alphabet": garbles("\udcff{}".encode("utf-8", "surrogateescape").decode("latin-1")),
}


@both
@pytest.mark.parametrize(
    ("page", "ask"), [(page, WAYS[place % 2]) for place, page in enumerate(PAGES.values())], ids=PAGES.keys()
)
def test_what_is_no_completion_is_an_error_of_value_or_type(kind: type[BaseChatModel], page: Item, ask: Ask) -> None:
    error = error_of(ask, kind, page)
    assert isinstance(error, ValueError | TypeError)
    assert kind is ChatOpenAI or (isinstance(error, MalformedAnswer) and error.status_code == 200)


@whole
@pytest.mark.parametrize("choices", ["[]", '[{"index": 0}]', '["Paris"]'])
def test_a_completion_without_a_message_is_malformed(ask: Ask, choices: str) -> None:
    error = error_of(ask, Endpoint, garbles(f'{{"choices": {choices}}}'))
    assert isinstance(error, MalformedAnswer)
    assert "choice" in str(error)


@both
@streamed
def test_a_stream_with_a_broken_event_is_an_error_of_value(kind: type[BaseChatModel], ask: Ask) -> None:
    error = error_of(ask, kind, garbles())
    assert isinstance(error, ValueError)
    assert kind is ChatOpenAI or isinstance(error, MalformedAnswer)


@both
@streamed
def test_a_page_instead_of_a_stream_is_an_error_of_value(kind: type[BaseChatModel], ask: Ask) -> None:
    error = error_of(ask, kind, garbles("<html>Hello</html>", content_type="text/html"))
    assert isinstance(error, ValueError)
    assert kind is ChatOpenAI or isinstance(error, MalformedAnswer)


@both
@streamed
def test_an_error_in_a_stream_is_raised(kind: type[BaseChatModel], ask: Ask) -> None:
    error = error_of(ask, kind, garbles('{"error": {"message": "Overloaded", "code": "busy"}}'))
    assert type(error) is openai.APIError
    assert (error.message, error.code) == ("Overloaded", "busy")


@both
@whole
@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        (says('{"name": "Be', finish="length"), openai.LengthFinishReasonError),
        (says("", finish="content_filter"), openai.ContentFilterFinishReasonError),
        (says("not JSON"), pydantic.ValidationError),
        (says('{"town": "Bern"}'), pydantic.ValidationError),
        (says(""), ValueError),
        (refuses("I will not."), known.OpenAIRefusalError),
        (garbles(), ValueError),
        (fails(429), known.OpenAIRateLimitError),
        (drops(), known.OpenAIConnectionError),
    ],
    ids=["cut", "withheld", "no JSON", "misfit", "empty", "refused", "garbled", "limited", "dropped"],
)
def test_structured_output_fails_the_same_way(
    kind: type[BaseChatModel], ask: Ask, reply: Item, wanted: type[Exception]
) -> None:
    with ScriptedServer([reply]) as server, pytest.raises(wanted):
        ask(model_at(server, kind).with_structured_output(City))


@both
@streamed
@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        (says('{"name": "Be', finish="length"), openai.LengthFinishReasonError),
        (says("", finish="content_filter"), openai.ContentFilterFinishReasonError),
        (says("not JSON"), ValueError),
    ],
    ids=["cut", "withheld", "no JSON"],
)
def test_streamed_structured_output_fails_the_same_way(
    kind: type[BaseChatModel], ask: Ask, reply: Item, wanted: type[Exception]
) -> None:
    with ScriptedServer([reply]) as server, pytest.raises(wanted):
        ask(model_at(server, kind).with_structured_output(City))


@both
@each_way
def test_an_answer_of_ten_megabytes_is_read(kind: type[BaseChatModel], ask: Ask) -> None:
    long = "Zürich 東京 " * 700_000
    with ScriptedServer([long]) as server:
        answer = ask(model_at(server, kind, timeout=60.0))
    text = "".join(str(chunk.content) for chunk in answer) if isinstance(answer, list) else answer.content
    assert text == long
    assert len(text.encode()) > 10_000_000


@whole
def test_an_answer_too_long_for_any_model_is_not_read(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signoff.agents.models.openai.connections.MOST_BYTES", 100_000)
    error = error_of(ask, Endpoint, garbles(json.dumps("x" * 200_000)))
    assert isinstance(error, MalformedAnswer)
    assert "100,000 bytes" in str(error)


@both
@pytest.mark.parametrize("fault", [fails(400), fails(401), fails(404), fails(422), garbles()])
def test_what_cannot_pass_is_not_tried_again(kind: type[BaseChatModel], fault: Item) -> None:
    with ScriptedServer([fault, "Never asked for."]) as server:
        with pytest.raises((openai.APIError, ValueError)):
            invoke(model_at(server, kind, max_retries=3))
        assert len(server.requests) == 1


@both
def test_a_pause_longer_than_anybody_waits_is_not_waited_for(kind: type[BaseChatModel]) -> None:
    with ScriptedServer([fails(429, retry_after=3600)]) as server:
        with pytest.raises(openai.RateLimitError):
            invoke(model_at(server, kind, max_retries=3))
        assert len(server.requests) == 1
