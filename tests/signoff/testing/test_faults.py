"""What the real ChatOpenAI makes of each fault; `signoff.testing.script` documents it."""

from __future__ import annotations

import json
import threading
from typing import Any

import openai
import pydantic
import pytest
from langchain_core import exceptions as core
from langchain_openai import ChatOpenAI
from langchain_openai.chat_models import base as langchain_openai
from pydantic import BaseModel

from signoff.testing import Item, Reply, ScriptedServer, drops, fails, garbles, hangs, says


class City(BaseModel):
    """A city."""

    name: str


def client(server: ScriptedServer, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(**{"model": "scripted", "base_url": server.url, "api_key": "test", "max_retries": 0, **options})


STATUSES = [
    (fails(400), langchain_openai.OpenAIInvalidRequestError, openai.BadRequestError, core.ModelInvalidRequestError),
    (fails(401), langchain_openai.OpenAIAuthenticationError, openai.AuthenticationError, core.ModelAuthenticationError),
    (
        fails(403),
        langchain_openai.OpenAIPermissionDeniedError,
        openai.PermissionDeniedError,
        core.ModelPermissionDeniedError,
    ),
    (fails(404), langchain_openai.OpenAIModelNotFoundError, openai.NotFoundError, core.ModelNotFoundError),
    (fails(429), langchain_openai.OpenAIRateLimitError, openai.RateLimitError, core.ModelRateLimitError),
    (fails(500), langchain_openai.OpenAIAPIError, openai.InternalServerError, core.ModelAPIError),
    (fails(503), langchain_openai.OpenAIAPIError, openai.InternalServerError, core.ModelAPIError),
    (
        fails(400, "prompt is too long: 9 tokens > 8"),
        langchain_openai.OpenAIContextOverflowError,
        openai.BadRequestError,
        core.ContextOverflowError,
    ),
    (drops(), langchain_openai.OpenAIConnectionError, openai.APIConnectionError, core.ModelConnectionError),
    (drops("Paris"), langchain_openai.OpenAIConnectionError, openai.APIConnectionError, core.ModelConnectionError),
]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("fault", "error", "of_openai", "of_core"), STATUSES)
def test_a_fault_raises_its_exception(
    fault: Item, error: type[Exception], of_openai: type[Exception], of_core: type[Exception], streaming: bool
) -> None:
    assert issubclass(error, of_openai)
    assert issubclass(error, of_core)
    with ScriptedServer([fault]) as server, pytest.raises(error):
        client(server, streaming=streaming).invoke("?")


@pytest.mark.parametrize("status", [408, 409, 422])
def test_other_statuses_raise_an_error_of_openai_only(status: int) -> None:
    with ScriptedServer([fails(status)]) as server, pytest.raises(openai.APIStatusError) as caught:
        client(server).invoke("?")
    assert not isinstance(caught.value, core.ModelError)


def test_an_error_says_what_the_server_said() -> None:
    failure = fails(402, "No money left.", code="insufficient_quota", headers={"x-request-id": "r1"})
    with ScriptedServer([failure]) as server, pytest.raises(openai.APIStatusError, match=r"No money left\.") as caught:
        client(server).invoke("?")
    assert (caught.value.code, caught.value.request_id) == ("insufficient_quota", "r1")


def test_a_rate_limit_says_when_to_come_back() -> None:
    with ScriptedServer([fails(429, retry_after=7)]) as server, pytest.raises(openai.RateLimitError) as caught:
        client(server).invoke("?")
    headers = caught.value.response.headers
    assert headers["retry-after"] == "7"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-tokens"] == "7s"


@pytest.mark.parametrize("fault", [fails(429, retry_after=0.01), fails(500, headers={"retry-after-ms": "10"})])
def test_a_client_that_retries_gets_the_answer(fault: Item) -> None:
    with ScriptedServer([fault, fault, "Paris"]) as server:
        assert client(server, max_retries=2).invoke("?").text == "Paris"
    assert [request.headers["x-stainless-retry-count"] for request in server.requests] == ["0", "1", "2"]


def test_an_answer_that_hangs_runs_into_the_clients_time_out() -> None:
    before = set(threading.enumerate())
    with ScriptedServer([hangs(), hangs("late"), "Paris"]) as server:
        for number in (1, 2):
            with pytest.raises(langchain_openai.OpenAITimeoutError):
                client(server, timeout=openai.Timeout(10, read=0.05)).invoke("?")
            server.wait_for_calls(number)
        assert client(server).invoke("?").text == "Paris"
    assert issubclass(langchain_openai.OpenAITimeoutError, core.ModelTimeoutError)
    assert issubclass(langchain_openai.OpenAITimeoutError, openai.APITimeoutError)
    assert set(threading.enumerate()) <= before


def test_a_hanging_answer_comes_when_it_is_released() -> None:
    with ScriptedServer([hangs("late"), hangs()]) as server:
        asked = threading.Thread(target=lambda: said.append(client(server).invoke("?").text))
        said: list[str] = []
        asked.start()
        server.wait_for_calls(1)
        assert said == []
        server.release()
        asked.join(10)
        assert said == ["late"]
        with pytest.raises(openai.APIConnectionError):
            client(server).invoke("?")


def test_waiting_for_a_call_that_never_comes_times_out() -> None:
    with ScriptedServer([]) as server, pytest.raises(TimeoutError, match="0 of 1 calls"):
        server.wait_for_calls(1, timeout=0.01)


def test_a_server_that_closes_lets_a_hanging_client_go() -> None:
    errors: list[Exception] = []

    def ask(model: ChatOpenAI) -> None:
        try:
            model.invoke("?")
        except openai.APIConnectionError as error:
            errors.append(error)

    with ScriptedServer([hangs()]) as server:
        asked = threading.Thread(target=ask, args=(client(server),))
        asked.start()
        server.wait_for_calls(1)
    asked.join(10)
    assert len(errors) == 1


def test_a_stream_that_is_dropped_ends_half_way() -> None:
    with ScriptedServer([drops("A sentence of some length.")]) as server:
        seen: list[str] = []
        with pytest.raises(langchain_openai.OpenAIConnectionError):
            seen.extend(chunk.text for chunk in client(server).stream("?"))
    assert "".join(seen) == "A sentence of so"


@pytest.mark.parametrize("streaming", [False, True])
def test_broken_json_raises_a_decode_error_and_is_not_retried(streaming: bool) -> None:
    with ScriptedServer([garbles()]) as server, pytest.raises(json.JSONDecodeError):
        client(server, streaming=streaming, max_retries=2).invoke("?")
    assert len(server.calls) == 1


def test_a_page_in_place_of_an_answer_raises_value_error() -> None:
    page = garbles("<html>Sign in</html>", content_type="text/html")
    with ScriptedServer([page]) as server, pytest.raises(ValueError, match="Unexpected response type"):
        client(server).invoke("?")


def test_json_that_is_something_else_raises_type_error() -> None:
    with (
        ScriptedServer([garbles('{"hello": 1}')]) as server,
        pytest.raises(TypeError, match="null value for 'choices'"),
    ):
        client(server).invoke("?")


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_an_answer_that_was_cut_says_so(finish: Any) -> None:
    with ScriptedServer([says("Par", finish=finish)]) as server:
        answer = client(server).invoke("?")
    assert (answer.text, answer.response_metadata["finish_reason"]) == ("Par", finish)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (says('{"name": "Par', finish="length"), openai.LengthFinishReasonError),
        (says("", finish="content_filter"), openai.ContentFilterFinishReasonError),
        (says("Paris, of course."), pydantic.ValidationError),
        (says('{"title": "Paris"}'), pydantic.ValidationError),
        (says(""), ValueError),
    ],
)
def test_structured_output_that_fails_raises_its_exception(reply: Reply, error: type[Exception]) -> None:
    with ScriptedServer([reply]) as server, pytest.raises(error):
        client(server).with_structured_output(City).invoke("?")


def test_an_empty_answer_is_an_answer() -> None:
    with ScriptedServer([""]) as server:
        assert client(server).invoke("?").text == ""
