"""The words of a script: what a scripted model says, and the ways it fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from langchain_core.messages import AIMessage
from pydantic import BaseModel

from signoff.testing.call import Call

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
