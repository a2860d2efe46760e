"""One exchange of a cassette: what was asked of a model or a tool, as it reads each time, and what came back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, Final, Literal

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage, message_to_dict, messages_from_dict
from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from signoff.checkpoints import digest, redact
from signoff.error_base import SignoffError

Kind = Literal["model", "tool"]

_NOT_ASKED: Final = frozenset(
    "stream stream_options stream_usage timeout request_timeout max_retries run_manager callbacks config headers "
    "extra_headers metadata user idempotency_key prompt_cache_key ls_structured_output_format".split()
)
"""Options of a call that do not change what is asked: how it is sent, and for whom."""
_PASSING: Final = frozenset(("id", "index", "created", "created_at", "timestamp"))
"""Parts of a content block that differ each time."""
_OURS: Final = "signoff.errors"
_ERRORS_FROM: Final = ("builtins", _OURS, "langchain_core.exceptions", "langchain_core.tools.base", "openai")
"""Modules whose errors a cassette may raise again: nothing else that a file names is ever loaded."""


@dataclass(frozen=True)
class Request:
    """What is asked, without what differs each time (ids, times, transport) and without secrets."""

    kind: Kind
    body: Mapping[str, Any]

    @classmethod
    def of(cls, messages: Sequence[BaseMessage], kwargs: Mapping[str, Any], model: str, item: str = "") -> Request:
        """A call of a chat model: its messages, and the tools, form and sampling options it is bound to.

        `item` is the one that it is made for, where several are worked on side by side.
        """
        names: dict[str, str] = {}
        options = {name: _plain(value) for name, value in kwargs.items() if name not in _NOT_ASKED}
        body = {
            "model": model,
            "messages": [_canonical(message, names) for message in messages],
            "options": {name: value for name, value in options.items() if value not in (None, [], {})},
        }
        return cls("model", redact(body | ({"item": item} if item else {})))

    @classmethod
    def of_tool(cls, name: str, args: Mapping[str, Any], item: str = "") -> Request:
        body = {"tool": name, "args": _plain(args)}
        return cls("tool", redact(body | ({"item": item} if item else {})))

    @cached_property
    def key(self) -> str:
        """The digest that the same question always has."""
        return digest([self.kind, self.body])

    @property
    def parts(self) -> Iterator[tuple[str, str]]:
        """Its parts, each with a name, as texts that can be compared."""
        if "item" in self.body:
            yield "item", str(self.body["item"])
        if self.kind == "tool":
            yield "tool", str(self.body["tool"])
            yield "args", _text(self.body["args"])
            return
        yield "model", str(self.body["model"])
        for number, message in enumerate(self.body["messages"], start=1):
            more = {name: value for name, value in message.items() if name not in ("role", "content")}
            yield f"message {number} ({message['role']})", _text(message["content"]) + (_text(more) if more else "")
        for name, value in sorted(self.body["options"].items()):
            yield name, _text(value)

    def __str__(self) -> str:
        if self.kind == "tool":
            return f"tool {self.body['tool']} {_text(self.body['args'])[:120]}"
        last = self.body["messages"][-1] if self.body["messages"] else {"content": ""}
        said = " ".join(_text(last["content"]).split())
        return f"model {self.body['model']}, {len(self.body['messages'])} messages, the last: {said[:120]!r}"


@dataclass(frozen=True)
class Exchange:
    """A request, and what came of it: `reply` or `error`, as JSON."""

    request: Request
    reply: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, request: Request, answer: Any) -> Exchange:
        """The exchange that ended in this message, value or exception."""
        if isinstance(answer, Exception):
            return cls(request, error=redact(_kept_error(answer)))
        return cls(request, reply=redact(_kept_reply(answer)))

    @classmethod
    def read(cls, line: Mapping[str, Any]) -> Exchange:
        """The exchange of a cassette's line; KeyError or TypeError if it is none."""
        return cls(Request(line["kind"], line["request"]), line.get("reply"), line.get("error"))

    @property
    def line(self) -> dict[str, Any]:
        """It as a line of a cassette."""
        found = {"reply": self.reply} if self.error is None else {"error": self.error}
        return {"kind": self.request.kind, "key": self.request.key, "request": self.request.body, **found}

    def answer(self) -> Any:
        """What came back, once more; raises the error if that is what came."""
        if self.error is not None:
            raise _made_error(self.error)
        reply = dict(self.reply or {})
        return messages_from_dict([reply["message"]])[0] if "message" in reply else reply.get("value")


def _canonical(message: BaseMessage, names: dict[str, str]) -> dict[str, Any]:
    """A message as it is asked; calls of tools are numbered, since their ids differ each time."""
    found: dict[str, Any] = {"role": message.type, "content": _content(message.content)}
    if message.name:
        found["name"] = message.name
    if isinstance(message, AIMessage) and message.tool_calls:
        found["tool_calls"] = [
            {"call": _number(call["id"], names), "name": call["name"], "args": _plain(call["args"])}
            for call in message.tool_calls
        ]
    if isinstance(message, ToolMessage):
        found["answers"] = _number(message.tool_call_id, names)
    return found


def _number(call_id: str | None, names: dict[str, str]) -> str:
    return names.setdefault(call_id or "", f"call {len(names) + 1}")


def _content(content: Any) -> Any:
    """The content of a message; blocks that are all text are one text."""
    if isinstance(content, str):
        return content
    blocks = [
        {name: _plain(value) for name, value in block.items() if name not in _PASSING}
        if isinstance(block, Mapping)
        else {"type": "text", "text": str(block)}
        for block in content
    ]
    if all(block.get("type") == "text" and isinstance(block.get("text"), str) for block in blocks):
        return "".join(str(block["text"]) for block in blocks)
    return blocks


def _plain(value: Any) -> Any:
    """The value as JSON; what is none is told by its type alone, which is the same each time."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(inner) for inner in value), key=_text)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, type) and issubclass(value, BaseModel):
        return value.model_json_schema()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _kept_reply(answer: Any) -> dict[str, Any]:
    if isinstance(answer, BaseMessage):
        metadata = {name: value for name, value in answer.response_metadata.items() if name != "headers"}
        kept = message_to_dict(answer.model_copy(update={"response_metadata": metadata}))
        return {"message": _json(kept)}
    return {"value": _json(answer)}


def _json(value: Any) -> Any:
    """The value as it reads back from a file; what is no JSON is kept as the text that a model would be shown."""
    if isinstance(value, Mapping | list | tuple | BaseModel):
        return json.loads(json.dumps(value, default=_as_json))
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return str(value)


def _as_json(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def _kept_error(error: Exception) -> dict[str, Any]:
    """What it says and what it is: its classes, nearest first, as some may not be there when it is raised again."""
    if isinstance(error, ValidationError):
        problems = [_json(dict(problem)) for problem in error.errors(include_url=False, include_context=False)]
        return {"classes": ["pydantic:ValidationError"], "message": error.title, "problems": problems}
    classes = [f"{_module_of(kind)}:{kind.__qualname__}" for kind in type(error).__mro__ if issubclass(kind, Exception)]
    attributes = {name: value for name, value in vars(error).items() if _is_json(value)}
    return {"classes": classes, "message": str(error), "attributes": attributes}


def _module_of(kind: type[Exception]) -> str:
    """Where a file says that the class is: ours are all in `signoff.errors`, wherever they are defined."""
    return _OURS if issubclass(kind, SignoffError) else kind.__module__


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


def _made_error(kept: Mapping[str, Any]) -> Exception:
    if "problems" in kept:
        return _made_validation_error(kept)
    message, name = str(kept["message"]), str(kept["classes"][0]).rpartition(":")[2].rpartition(".")[2]
    kind = next(filter(None, map(_known_class, kept["classes"])), Exception)
    error: Exception = kind.__new__(kind)
    error.args = (message,)
    vars(error).update(kept.get("attributes", {}))
    if kind.__name__ == name and str(error) == message:
        return error
    # A model may have been told its name and what it says: both have to be the same.
    same: type[Exception] = type(name, (kind,), {"__str__": lambda _: message})
    again = same.__new__(same, message)
    again.args = (message,)
    vars(again).update(vars(error))
    return again


def _known_class(place: str) -> type[Exception] | None:
    """The class of errors that this names, if it is one that may be raised again."""
    module, _, name = place.partition(":")
    if module.startswith("signoff."):
        module = _OURS
    if not any(module == known or module.startswith(f"{known}.") for known in _ERRORS_FROM):
        return None
    try:
        found = getattr(import_module(module), name, None)
    except ImportError:
        return None
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def _made_validation_error(kept: Mapping[str, Any]) -> ValidationError:
    problems: list[InitErrorDetails] = [
        {
            "type": PydanticCustomError(problem["type"], "{said}", {"said": problem["msg"]}),
            "loc": tuple(problem["loc"]),
            "input": problem.get("input"),
        }
        for problem in kept["problems"]
    ]
    return ValidationError.from_exception_data(kept["message"], problems)
