"""A script: the replies of a model in order, or one such list for each agent, and the words it is written in."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from pydantic import BaseModel

from signoff.error_base import NotScripted, ReplyMisfit


@dataclass(frozen=True)
class Call:
    """What was asked of the model, the same whether it came in-process or by HTTP."""

    messages: tuple[BaseMessage, ...]
    tools: tuple[dict[str, Any], ...] = ()
    """Tools bound to the call, in OpenAI's function format."""
    tool_choice: Any = None
    response_format: dict[str, Any] | None = None
    """`{"type": "json_schema", …}` when structured output was asked for by schema."""
    model: str = ""
    number: int = 0
    """Counts from 1, over all scripts of one double."""

    @property
    def text(self) -> str:
        """Everything the prompt says, one message after the other."""
        return "\n".join(str(message.text) for message in self.messages)

    @property
    def system(self) -> str:
        """What the system messages say: usually the agent's instructions."""
        return "\n".join(str(message.text) for message in self.messages if isinstance(message, SystemMessage))

    @property
    def last(self) -> str:
        """What the last message says."""
        return str(self.messages[-1].text) if self.messages else ""

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Names of the tools bound to the call."""
        return tuple(str(tool["function"]["name"]) for tool in self.tools if "function" in tool)


Finish = Literal["stop", "length", "tool_calls", "content_filter"]
"""Why the model stopped, in OpenAI's words."""

Value: TypeAlias = BaseModel | Mapping[str, Any]
"""Structured output: a pydantic object, or the JSON object itself."""


@dataclass(frozen=True)
class ToolUse:
    """One tool call of a reply."""

    name: str
    arguments: str
    """JSON text, or whatever a model sends in its place."""
    id: str | None = None
    """None lets the double count one up."""


@dataclass(frozen=True)
class Reply:
    """One answer of the model. `+` joins two: `says("Looking.") + calls("search", query="x")`."""

    text: str = ""
    tools: tuple[ToolUse, ...] = ()
    value: Value | None = None
    refusal: str | None = None
    finish: Finish | None = None
    """None means 'tool_calls' when there are any, else 'stop'."""
    tokens: tuple[int, int] | None = None
    """Reported input and output tokens; None counts one for every four characters begun."""

    def __add__(self, other: Reply) -> Reply:
        return Reply(
            text=self.text + other.text,
            tools=self.tools + other.tools,
            value=other.value if self.value is None else self.value,
            refusal=other.refusal if self.refusal is None else self.refusal,
            finish=other.finish or self.finish,
            tokens=other.tokens or self.tokens,
        )

    def using(self, input_tokens: int, output_tokens: int) -> Reply:
        """The same reply, reporting these token counts."""
        return replace(self, tokens=(input_tokens, output_tokens))


@dataclass(frozen=True)
class Failure:
    """An HTTP error instead of an answer."""

    status: int
    message: str
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hang:
    """No answer until the server is released or the client gives up; after a release, this reply."""

    reply: Reply | None


@dataclass(frozen=True)
class Drop:
    """A connection that is closed before the answer, or half-way through this reply."""

    reply: Reply | None


@dataclass(frozen=True)
class Garble:
    """Status 200 with a body that is not what the protocol promises."""

    body: str
    content_type: str


Fault: TypeAlias = Failure | Hang | Drop | Garble
"""A way to fail that a network model has; the wire carries it, `ScriptedModel` raises its exception."""

Respond: TypeAlias = Callable[[Call], "Item"]
"""A function that answers a call as it sees fit."""

Item: TypeAlias = (
    str | Reply | Fault | AIMessage | BaseModel | Mapping[str, Any] | BaseException | type[BaseException] | Respond
)
"""One entry of a script. Text is said, an object or mapping given, an exception raised, a function asked."""


def says(text: str, *, finish: Finish | None = None) -> Reply:
    """A text; `finish="length"` for one that was cut, `finish="content_filter"` for one that was withheld.

    Where a call of `ChatOpenAI` asks for structured output by schema, those two raise `openai.LengthFinishReasonError`
    and `openai.ContentFilterFinishReasonError`, a text that does not fit `pydantic.ValidationError`, and an empty text
    `ValueError`; elsewhere they are ordinary answers.
    """
    return Reply(text=text, finish=finish)


def calls(tool: str, raw: str | None = None, /, **arguments: Any) -> Reply:
    """A tool call. `raw` is sent in place of the arguments' JSON: `calls("search", "{not json")`.

    The tool need not be bound: models invent tools, and a script can too.
    """
    return Reply(tools=(ToolUse(tool, json.dumps(arguments) if raw is None else raw),))


def gives(value: Value) -> Reply:
    """Structured output, sent the way the call asks for it (by tool or by schema) and checked against its schema."""
    return Reply(value=value)


def refuses(reason: str) -> Reply:
    """A refusal: no content, the reason in the field `refusal`.

    `ChatOpenAI` keeps it in `additional_kwargs["refusal"]`; where a call asks for structured output by schema,
    it raises `langchain_openai.chat_models.base.OpenAIRefusalError`.
    """
    return Reply(refusal=reason)


def fails(
    status: int,
    message: str | None = None,
    *,
    code: str | None = None,
    retry_after: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> Failure:
    """An HTTP error. `retry_after` is in seconds; the openai client takes 0 for unset and waits half a second.

    `ChatOpenAI.invoke` raises, once its retries are used up, from `langchain_openai.chat_models.base`:

    =======================  ===========================
    400                      OpenAIInvalidRequestError
    400 "prompt is too long" OpenAIContextOverflowError
    401                      OpenAIAuthenticationError
    403                      OpenAIPermissionDeniedError
    404                      OpenAIModelNotFoundError
    429 (retried)            OpenAIRateLimitError
    500 and above (retried)  OpenAIAPIError
    =======================  ===========================

    Each is also the class of the `openai` package it is named after, and one of `langchain_core.exceptions`
    (`ModelAuthenticationError`, …), which is what `ScriptedModel` raises. Other statuses raise the `openai` class only.
    """
    waits = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    return Failure(status, message or f"Scripted failure {status}.", code, {**waits, **(headers or {})})


def hangs(reply: str | Reply | None = None) -> Hang:
    """No answer until `server.release()` or the client gives up; then this reply, or a closed connection.

    `ChatOpenAI.invoke` raises `langchain_openai.chat_models.base.OpenAITimeoutError` after its `timeout` (retried);
    `ScriptedModel` raises `langchain_core.exceptions.ModelTimeoutError` at once.
    """
    return Hang(says(reply) if isinstance(reply, str) else reply)


def drops(reply: str | Reply | None = None) -> Drop:
    """A connection closed without an answer, or after the first half of this reply.

    `ChatOpenAI.invoke` raises `langchain_openai.chat_models.base.OpenAIConnectionError` (retried; not retried
    once a stream has begun); `ScriptedModel` raises `langchain_core.exceptions.ModelConnectionError`.
    """
    return Drop(says(reply) if isinstance(reply, str) else reply)


def garbles(body: str = '{"id": "chatcmpl-1", "choices": [{"mess', *, content_type: str = "application/json") -> Garble:
    """Status 200 with a broken body: cut JSON, or a page of a wrong address with `content_type="text/html"`.

    `ChatOpenAI.invoke` raises `json.JSONDecodeError` for broken JSON, `ValueError` for a page and `TypeError` for JSON
    that is something else, and retries none of them; `ScriptedModel` raises `json.JSONDecodeError`.
    """
    return Garble(body, content_type)


Script: TypeAlias = Item | Iterable[Item] | Mapping[str, Item | Iterable[Item]]
"""Replies in order (any iterable, endless ones too); a function that answers every call; or such scripts by key."""

Pick: TypeAlias = Callable[[Call], str]
"""Names the script, of several, that answers this call."""

Played: TypeAlias = Reply | Fault | BaseException
"""What an entry of a script comes to in the end."""


class Player:
    """Records calls and answers each with the next entry of its script; threads may share it."""

    def __init__(self, script: Script, pick: Pick | None = None) -> None:
        scripts = script if isinstance(script, Mapping) else {"": script}
        self._lines = {key: _lines(entries) for key, entries in scripts.items()}
        self._pick = pick or (self._mentioned_first if isinstance(script, Mapping) else lambda _: "")
        self._calls: list[Call] = []
        self._lock = threading.Lock()

    @property
    def calls(self) -> tuple[Call, ...]:
        with self._lock:
            return tuple(self._calls)

    def record(self, call: Call) -> Call:
        """Keep a call and give it its number."""
        with self._lock:
            numbered = replace(call, number=len(self._calls) + 1)
            self._calls.append(numbered)
        return numbered

    def play(self, call: Call) -> Played:
        """Answer a recorded call; NotScripted when there is no reply for it."""
        key = self._pick(call)
        if key not in self._lines:
            raise NotScripted(call.number, f"its prompt picks none of {sorted(self._lines)!r}", _excerpt(call))
        with self._lock:
            item = next(self._lines[key], None)
        if item is None:
            name = f"script {key!r}" if key else "the script"
            raise NotScripted(call.number, f"{name} has no reply left", _excerpt(call))
        return _played(item, call)

    def _mentioned_first(self, call: Call) -> str:
        prompt = call.text.casefold()
        places = {key: prompt.find(key.casefold()) for key in self._lines}
        return min((key for key in places if places[key] >= 0), key=lambda key: (places[key], -len(key)), default="")


def _lines(entries: Item | Iterable[Item]) -> Iterator[Item]:
    """The entries one by one; a function on its own answers for ever, any other single entry once."""
    if isinstance(entries, str | BaseModel | Mapping | type) or not isinstance(entries, Iterable):
        is_function = callable(entries) and not isinstance(entries, type)
        return itertools.repeat(entries) if is_function else iter((entries,))
    return iter(entries)


def _played(item: Item, call: Call) -> Played:
    if isinstance(item, Reply | Failure | Hang | Drop | Garble | BaseException):
        return item
    if isinstance(item, str):
        return Reply(text=item)
    if isinstance(item, AIMessage):
        return _replayed(item)
    if isinstance(item, BaseModel | Mapping):
        return Reply(value=item)
    if isinstance(item, type):
        if issubclass(item, BaseException):
            return item()
        raise ReplyMisfit(call.number, item, "a class is no reply")
    if callable(item):
        return _played(item(call), call)
    raise ReplyMisfit(call.number, item, f"a {type(item).__name__} is no reply")


def _replayed(message: AIMessage) -> Reply:
    """The reply that makes a model say this message."""
    tools = [ToolUse(use["name"], json.dumps(use["args"]), use["id"]) for use in message.tool_calls]
    tools += [ToolUse(use["name"] or "", use["args"] or "", use["id"]) for use in message.invalid_tool_calls]
    usage = message.usage_metadata
    return Reply(
        text=str(message.text),
        tools=tuple(tools),
        finish=message.response_metadata.get("finish_reason"),
        tokens=(usage["input_tokens"], usage["output_tokens"]) if usage else None,
    )


def _excerpt(call: Call) -> str:
    """The start of the last message, for an error."""
    text = " ".join(call.last.split())
    return text if len(text) <= 160 else f"{text[:160]}…"
