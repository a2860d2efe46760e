"""A script: the replies of a model in order, or one such list for each agent of a team."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from langchain_core.messages import AIMessage
from pydantic import BaseModel

from signoff.errors import NotScripted, ReplyMisfit
from signoff.testing.call import Call
from signoff.testing.replies import Drop, Failure, Fault, Garble, Hang, Item, Reply, ToolUse

Script: TypeAlias = Item | Iterable[Item] | Mapping[str, Item | Iterable[Item]]
"""Replies in order (any iterable, endless ones too); a function that answers every call; or such scripts by key."""

Pick: TypeAlias = Callable[[Call], str]
"""Names the script, of several, that answers this call."""

Played: TypeAlias = Reply | Fault | BaseException
"""What an entry of a script comes to in the end."""


class Player:
    """Records calls and answers each with the next entry of its script; threads may share it.

    A mapping is a set of scripts by key, and the key the prompt mentions first picks the script, unless `pick` does.
    """

    def __init__(self, script: Script, pick: Pick | None = None) -> None:
        scripts = script if isinstance(script, Mapping) else {"": script}
        self._lines = {key: _lines(entries) for key, entries in scripts.items()}
        self._pick = pick or (self._mentioned_first if isinstance(script, Mapping) else lambda _: "")
        self._calls: list[Call] = []
        self._lock = threading.Lock()

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls so far."""
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
        return itertools.repeat(entries) if _is_function(entries) else iter((entries,))
    return iter(entries)


def _is_function(item: object) -> bool:
    return callable(item) and not isinstance(item, type)


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


def _excerpt(call: Call, width: int = 160) -> str:
    """The start of the last message, for an error."""
    text = " ".join(call.last.split())
    return text if len(text) <= width else f"{text[:width]}…"
