"""The endpoint in front of a model speaks OpenAI's shape on a unix socket, charges who pays, and then says no more."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import replace
from typing import Any

import pytest

from signoff import Ledger
from signoff.agents.models.guarded import guard
from signoff.agents.models.openai.endpoint import Door, open_door
from signoff.agents.models.settings import CallSettings
from signoff.agents.run_context import Payer, paying
from signoff.checkpoints.ledger.budgets import Budget
from signoff.settings import Settings
from signoff.testing import ScriptedModel, calls, fails, says

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

ASKED: dict[str, Any] = {
    "model": "any",
    "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hm?"}],
}


class Line(http.client.HTTPConnection):
    """HTTP on the socket."""

    def __init__(self, door: Door) -> None:
        super().__init__("127.0.0.1", timeout=20)
        self._door = door

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._door.socket))


def ask(door: Door, asked: Any, path: str = "/v1/chat/completions", method: str = "POST") -> tuple[int, Any]:
    line = Line(door)
    raw = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    line.request(method, path, raw)
    answer = line.getresponse()
    said = answer.read().decode()
    line.close()
    return answer.status, json.loads(said) if said.startswith("{") else said


@pytest.fixture
def payer(ledger: Ledger) -> Payer:
    return Payer(ledger=ledger, run_id="r-1", team="code", role="coder", budgets={"run": Budget(tokens=300_000)})


def model(*replies: Any) -> tuple[ScriptedModel, Any]:
    scripted = ScriptedModel(list(replies))
    return scripted, guard(scripted, settings=CallSettings.of(Settings(model_retries=0)))


def test_an_answer_has_openais_shape_and_what_it_used(payer: Payer) -> None:
    scripted, guarded = model(says("Hello.").using(7, 3))
    with paying(payer), open_door(guarded) as door:
        status, told = ask(door, {**ASKED, "max_completion_tokens": 50, "stop": "END", "user": "me", "n": 9})
    assert status == 200
    assert told["choices"][0]["message"]["content"] == "Hello."
    assert (told["object"], told["choices"][0]["finish_reason"]) == ("chat.completion", "stop")
    assert told["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert scripted.calls[0].system == "Be short."
    [spent] = payer.ledger.spending.by("agent")
    assert (spent.name, spent.calls) == ("coder", 1)
    assert not door.socket.exists()


def test_tools_go_through_and_their_calls_come_back(payer: Payer) -> None:
    spec = {"type": "function", "function": {"name": "bash", "description": "Runs.", "parameters": {"type": "object"}}}
    scripted, guarded = model(calls("bash", command="ls"))
    said = {"role": "assistant", "content": None, "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "pwd"}'}}
    ]}  # fmt: skip
    result = {"role": "tool", "tool_call_id": "1", "content": "/work"}
    with paying(payer), open_door(guarded) as door:
        _, told = ask(door, {**ASKED, "messages": [*ASKED["messages"], said, result], "tools": [spec]})
    (call,) = told["choices"][0]["message"]["tool_calls"]
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("bash", {"command": "ls"})
    assert told["choices"][0]["finish_reason"] == "tool_calls"
    assert scripted.calls[0].tool_names == ("bash",)
    assert scripted.calls[0].last == "/work"


def test_a_stream_is_the_whole_answer_in_one_piece(payer: Payer) -> None:
    _, guarded = model(says("Hello."))
    with paying(payer), open_door(guarded) as door:
        _, told = ask(door, {**ASKED, "stream": True})
    first, last = [line.removeprefix("data: ") for line in told.splitlines() if line]
    assert json.loads(first)["choices"][0]["delta"]["content"] == "Hello."
    assert last == "[DONE]"


def test_when_the_budget_is_at_its_end_every_further_call_is_refused(payer: Payer) -> None:
    scripted, guarded = model(says("one").using(10, 2_500), says("two"))
    with paying(replace(payer, budgets={"run": Budget(tokens=3_000)})), open_door(guarded) as door:
        assert ask(door, {**ASKED, "max_tokens": 2_600})[0] == 200
        status, told = ask(door, {**ASKED, "max_tokens": 2_600})
        assert (status, told["error"]["code"]) == (401, "insufficient_quota")
        assert ask(door, {**ASKED, "max_tokens": 1})[0] == 401
    assert (len(scripted.calls), door.usage["calls"]) == (1, 1)
    assert "budget" in door.refused


def test_what_is_no_request_is_refused_and_the_next_is_answered(payer: Payer) -> None:
    _, guarded = model(says("Hello."))
    with paying(payer), open_door(guarded) as door:
        assert ask(door, b"{nothing")[0] == 400
        assert ask(door, b"[1]")[0] == 400
        assert ask(door, {"messages": [{"role": "nobody"}]})[0] == 400
        assert ask(door, ASKED, "/v1/embeddings")[0] == 404
        assert ask(door, b"", "/v1/files", "GET")[0] == 404
        assert ask(door, b"", "/v1/models", "GET")[1]["data"][0]["id"] == "scripted"
        assert ask(door, ASKED, "http://127.0.0.1:3128/v1/chat/completions")[0] == 200
    assert door.usage["calls"] == 1


def test_an_endpoint_behind_it_that_fails_is_told_as_that(payer: Payer) -> None:
    _, guarded = model(fails(500), fails(400))
    with paying(payer), open_door(guarded) as door:
        assert ask(door, ASKED)[0] == 503
        assert ask(door, ASKED)[0] == 400
