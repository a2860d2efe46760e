import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import warm
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import tool_call
from langchain_core.tools import ToolException
from pydantic import BaseModel, ValidationError

from signoff.agents.replay.cassette import Cassette
from signoff.agents.replay.exchange import Request
from signoff.checkpoints.redaction import remember_secrets
from signoff.errors import (
    MissingExtra,
    ModelRefused,
    ModelUnreachable,
    NotRecorded,
    RecordingUnreadable,
    SourcesEmpty,
    StoreError,
    UnknownPrice,
)


def asks(*words: str, model: str = "m", **options: Any) -> Request:
    return Request.of([SystemMessage("Be brief."), *map(HumanMessage, words)], options, model)


def answers(answer: Any) -> Callable[[], Awaitable[Any]]:
    async def call() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


async def never() -> Any:
    raise AssertionError("a replay made a live call")


def record(path: Path, *exchanges: tuple[Request, Any]) -> list[Any]:
    cassette = Cassette.open(path, "record")
    found: list[Any] = []
    for request, answer in exchanges:
        try:
            found.append(asyncio.run(cassette.play(request, answers(answer))))
        except Exception as error:  # the test says what it should be
            found.append(error)
    return found


def replay(cassette: Cassette, request: Request) -> Any:
    return asyncio.run(cassette.play(request, never))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tapes" / "run.jsonl"


def test_what_was_recorded_is_replayed_without_a_call(path: Path) -> None:
    said = AIMessage(
        "The sea.",
        id="x",
        tool_calls=[tool_call(name="look_up", args={"word": "mare"}, id="call_1")],
        usage_metadata={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
        response_metadata={"finish_reason": "stop", "headers": {"x-request-id": "1"}},
    )
    (recorded,) = record(path, (asks("mare?"), said))
    played = replay(Cassette.open(path, "replay"), asks("mare?"))
    assert played == recorded
    assert (played.content, played.tool_calls, played.usage_metadata) == (
        said.content,
        said.tool_calls,
        said.usage_metadata,
    )
    assert "headers" not in played.response_metadata


def test_a_tool_is_replayed_by_its_name_and_arguments(path: Path) -> None:
    record(
        path,
        (Request.of_tool("search", {"query": "tide", "limit": 3}), "twice a day"),
        (Request.of_tool("list", {}), ["a", {"b": 1}]),
    )
    cassette = Cassette.open(path, "replay")
    assert replay(cassette, Request.of_tool("list", {})) == ["a", {"b": 1}]
    assert replay(cassette, Request.of_tool("search", {"limit": 3, "query": "tide"})) == "twice a day"
    with pytest.raises(NotRecorded):
        replay(cassette, Request.of_tool("search", {"query": "tide"}))


def test_the_same_question_again_gets_the_next_answer(path: Path) -> None:
    record(path, (asks("go"), AIMessage("one")), (asks("stay"), AIMessage("x")), (asks("go"), AIMessage("two")))
    cassette = Cassette.open(path, "replay")
    assert [replay(cassette, asks("go")).content for _ in range(2)] == ["one", "two"]
    with pytest.raises(NotRecorded, match="It has this 2 times, and it is asked once more"):
        replay(cassette, asks("go"))


def test_what_differs_each_time_makes_no_difference() -> None:
    def conversation(number: int) -> list[BaseMessage]:
        call = tool_call(name="look_up", args={"word": "mare"}, id=f"call_{number}")
        return [
            HumanMessage("mare?", id=f"h{number}"),
            AIMessage("", tool_calls=[call], response_metadata={"at": number}, id=f"a{number}"),
            ToolMessage("sea", tool_call_id=f"call_{number}"),
            HumanMessage([{"type": "text", "text": "and ", "id": f"b{number}"}, {"type": "text", "text": "now?"}]),
        ]

    one = Request.of(conversation(1), {"temperature": 0, "stream": True, "timeout": 5, "user": "ann"}, "m")
    other = Request.of(conversation(2), {"temperature": 0, "stop": None}, "m")
    assert one.key == other.key


@pytest.mark.parametrize(
    "other",
    [
        asks("mare", temperature=1),
        asks("mare", model="n"),
        asks("Mare"),
        asks("mare", tools=[{"type": "function", "function": {"name": "look_up"}}]),
        asks("mare", response_format={"type": "json_object"}),
        Request.of([SystemMessage("Be long."), HumanMessage("mare")], {}, "m"),
        Request.of([SystemMessage("Be brief."), AIMessage("mare")], {}, "m"),
    ],
)
def test_what_is_asked_makes_a_difference(other: Request) -> None:
    assert other.key != asks("mare").key


def test_which_call_a_result_answers_makes_a_difference() -> None:
    def asked(first: str) -> str:
        calls = [tool_call(name="t", args={}, id="a"), tool_call(name="t", args={}, id="b")]
        return Request.of([AIMessage("", tool_calls=calls), ToolMessage("x", tool_call_id=first)], {}, "m").key

    assert asked("a") != asked("b")


def test_options_that_are_no_json_have_the_same_digest_in_every_process() -> None:
    class Form(BaseModel):
        text: str

    options: dict[str, Any] = {"response_format": Form, "callback": object(), "tags": {"b", "a"}, "top_p": float("inf")}
    assert asks("x", **options).key == asks("x", **{**options, "callback": object()}).key


@pytest.mark.parametrize(
    "error", [ModelRefused("m", "no key"), ModelUnreachable("m", "busy"), SourcesEmpty("docs", 2, ".md")]
)
def test_an_error_is_replayed_as_the_same_error(path: Path, error: Exception) -> None:
    assert record(path, (asks("go"), error)) == [error]
    with pytest.raises(type(error)) as replayed:
        replay(Cassette.open(path, "replay"), asks("go"))
    assert str(replayed.value) == str(error)
    assert vars(replayed.value) == vars(error)


class Strange(ToolException):
    def __str__(self) -> str:
        return "something odd"


@pytest.mark.parametrize("error", [KeyError("x"), ConnectionError("gone"), OSError(2, "No such file", "x"), Strange()])
def test_an_error_of_any_class_says_the_same_under_the_same_name(path: Path, error: Exception) -> None:
    record(path, (asks("a"), error))
    with pytest.raises(Exception, match=re.escape(str(error))) as raised:
        replay(Cassette.open(path, "replay"), asks("a"))
    again = raised.value
    assert (type(again).__name__, str(again)) == (type(error).__name__, str(error))
    assert isinstance(again, ToolException if isinstance(error, Strange) else type(error))


def test_arguments_that_did_not_fit_do_not_fit_again(path: Path) -> None:
    class Form(BaseModel):
        count: int
        names: list[str]

    try:
        Form.model_validate({"count": "{many}", "names": ["a", 3]})
    except ValidationError as error:
        misfit = error
    record(path, (asks("a"), misfit))
    with pytest.raises(ValidationError) as raised:
        replay(Cassette.open(path, "replay"), asks("a"))

    def told(error: ValidationError) -> list[Any]:
        return [(problem["type"], problem["loc"], problem["msg"], problem["input"]) for problem in error.errors()]

    assert told(raised.value) == told(misfit)
    assert raised.value.title == misfit.title


def test_a_tape_cannot_have_anything_else_loaded_or_raised(path: Path) -> None:
    record(path, (asks("a"), ValueError("no")))
    path.write_text(path.read_text().replace("builtins:ValueError", "subprocess:CalledProcessError"))
    with pytest.raises(Exception, match="no") as raised:
        replay(Cassette.open(path, "replay"), asks("a"))
    assert not isinstance(raised.value, subprocess.CalledProcessError)


@pytest.mark.parametrize("error", [UnknownPrice("m"), StoreError("full"), MissingExtra("x", "y")])
def test_what_is_no_answer_of_a_model_is_raised_and_not_recorded(path: Path, error: Exception) -> None:
    assert record(path, (asks("go"), error)) == [error]
    assert len(path.read_text().splitlines()) == 1


def test_secrets_are_neither_recorded_nor_needed_to_replay(path: Path) -> None:
    key, password = "sk-test-0123456789abcdefghij", "correct horse battery"
    remember_secrets(password)
    asked = asks(f"Use {key} and {password}")
    (recorded,) = record(path, (asked, AIMessage(f"I used {key}")))
    text = path.read_text()
    assert key not in text
    assert password not in text
    assert recorded.content == "I used [redacted]", "the recorded run goes on with what a replay will give"
    played = replay(Cassette.open(path, "replay"), asks("Use [redacted] and [redacted]"))
    assert played.content == recorded.content


def test_a_header_is_kept_without_secrets(path: Path) -> None:
    Cassette.open(path, "record", about={"goal": "Why?", "settings": {"api_key": "abcdefgh12345678"}})
    Cassette.open(path, "record", about={"goal": "Another?"})
    assert Cassette.open(path, "replay").about == {"goal": "Why?", "settings": {"api_key": "[redacted]"}}


def test_a_miss_says_which_words_of_which_message_differ(path: Path) -> None:
    record(
        path,
        (asks("Why does the tide rise?", "Answer in one sentence please, as short as can be."), AIMessage("moon")),
        (asks("Who pays the pilot?"), AIMessage("the ship")),
    )
    cassette = Cassette.open(path, "replay")
    with pytest.raises(NotRecorded) as missed:
        replay(cassette, asks("Why does the tide rise?", "Answer in two sentences please, as short as can be."))
    told = missed.value.difference
    assert "message 3 (human)" in told
    assert "recorded: Answer in [one sentence] please" in told
    assert "asked:    Answer in [two sentences] please" in told
    assert "message 2" not in told
    assert "never makes a live call" in str(missed.value)
    assert [str(miss) for miss in cassette.misses] == [str(missed.value)]


def test_a_miss_is_short_however_long_the_question_is(path: Path) -> None:
    record(path, *((asks("word " * 20_000 + str(number)), AIMessage("x")) for number in range(5)))
    with pytest.raises(NotRecorded) as missed:
        replay(Cassette.open(path, "replay"), asks("other " * 20_000, temperature=1, top_p=1, seed=3, n=2))
    assert len(str(missed.value)) < 3_000


def test_a_miss_on_a_tape_without_such_calls_says_so(path: Path) -> None:
    record(path, (asks("x"), AIMessage("y")))
    with pytest.raises(NotRecorded, match="no call of a tool at all"):
        replay(Cassette.open(path, "replay"), Request.of_tool("search", {}))


def test_what_was_not_asked_is_told(path: Path) -> None:
    record(
        path,
        (asks("a"), AIMessage("1")),
        (asks("b"), AIMessage("2")),
        (asks("a"), AIMessage("3")),
        (Request.of_tool("t", {}), "x"),
    )
    cassette = Cassette.open(path, "replay")
    replay(cassette, asks("a"))
    assert [request.key for request in cassette.unused] == [
        asks("b").key,
        asks("a").key,
        Request.of_tool("t", {}).key,
    ]


def test_a_torn_line_is_left_out_and_told(path: Path) -> None:
    record(path, (asks("a"), AIMessage("1")), (asks("b"), AIMessage("2")))
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    cassette = Cassette.open(path, "replay")
    assert replay(cassette, asks("a")).content == "1"
    assert len(cassette.notes) == 1
    assert "Line 3" in cassette.notes[0]
    assert Cassette.open(path, "record").notes == ()


def test_recording_goes_on_after_a_torn_line(path: Path) -> None:
    record(path, (asks("a"), AIMessage("1")))
    path.write_bytes(path.read_bytes()[:-30])
    record(path, (asks("b"), AIMessage("2")))
    cassette = Cassette.open(path, "replay")
    assert replay(cassette, asks("b")).content == "2"
    assert [request.key for request in cassette.unused] == []


@pytest.mark.parametrize("text", ["", "hello\n", '{"signoff_tape": 99, "about": {}}\n', "[]\n"])
def test_a_file_that_is_no_tape_is_refused(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(RecordingUnreadable):
        Cassette.open(path, "replay")
    if text:
        with pytest.raises(RecordingUnreadable):
            Cassette.open(path, "record")
        assert path.read_text() == text


def test_a_tape_that_is_not_there_is_refused(path: Path) -> None:
    with pytest.raises(RecordingUnreadable, match="No such file"):
        Cassette.open(path, "replay")


def test_threads_record_whole_lines(path: Path) -> None:
    cassette = Cassette.open(path, "record")
    text = "x" * 20_000

    def work(name: int) -> None:
        for number in range(20):
            asyncio.run(cassette.play(asks(f"{name} {number}"), answers(AIMessage(text))))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    played = Cassette.open(path, "replay")
    assert played.notes == ()
    assert len(played.unused) == 120
    assert replay(played, asks("5 19")).content == text


PROGRAM = """
import asyncio, sys
from langchain_core.messages import AIMessage, HumanMessage
from signoff.agents.replay.cassette import Cassette
from signoff.agents.replay.exchange import Request

async def answer():
    return AIMessage("x" * 30_000)

cassette = Cassette.open(sys.argv[1], "record")
print("open", flush=True)
for number in range(10**9 if sys.argv[3:] else 40):
    request = Request.of([HumanMessage(f"{sys.argv[2]} {number}")], {}, "m")
    asyncio.run(cassette.play(request, answer))
"""


def test_processes_record_on_one_tape_and_one_that_is_killed_loses_one_line_at_most(path: Path) -> None:
    Cassette.open(path, "record")
    command = [sys.executable, "-c", PROGRAM, str(path)]
    killed = warm.start([*command, "victim", "forever"], stdout=subprocess.PIPE)
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"open\n"
    others = [warm.start([*command, str(number)], stdout=subprocess.DEVNULL) for number in range(2)]
    assert [other.wait() for other in others] == [0, 0]
    killed.kill()
    killed.wait()
    killed.stdout.close()
    cassette = Cassette.open(path, "replay")
    assert len(cassette.notes) <= 1
    keys = [request.key for request in cassette.unused]
    for name in ("0", "1"):
        wanted = [Request.of([HumanMessage(f"{name} {number}")], {}, "m").key for number in range(40)]
        assert [key for key in keys if key in wanted] == wanted


def test_a_tape_is_readable_by_its_owner_alone(path: Path) -> None:
    record(path, (asks("x"), AIMessage("y")))
    assert os.name == "nt" or path.stat().st_mode & 0o077 == 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[1]["kind"] == "model"
    assert lines[1]["key"] == asks("x").key
