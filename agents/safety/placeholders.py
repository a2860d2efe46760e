"""Placeholders: what stands in a prompt where private data stood, and the way back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from langchain_core.messages import BaseMessage

UNTOUCHED: Final = frozenset(
    "id type index name role mime_type data base64 file_id tool_call_id tool_use_id call_id signature "
    "thought_signature encrypted_content cache_control detail status".split()
)
"""Members of content blocks that are no text: references, media, and what a provider signed."""

Change = Callable[[str], str]
"""Turns a text into another."""


class Restorer:
    """Puts the originals back into a text that arrives in pieces."""

    def __init__(self, originals: Mapping[str, str]) -> None:
        self._originals, self._held = originals, ""

    def feed(self, text: str) -> str:
        """What can be shown now; a piece that may be the beginning of a placeholder is kept back."""
        if not self._originals:
            return text
        text = self._held + text
        place = text.rfind("[")
        tail = text[place:] if place >= 0 else ""
        is_beginning = bool(tail) and any(name != tail and name.startswith(tail) for name in self._originals)
        self._held = tail if is_beginning else ""
        return put_back(text[: len(text) - len(self._held)], self._originals)

    def flush(self) -> str:
        """What was kept back; the text is over."""
        rest, self._held = self._held, ""
        return rest


def put_back(text: str, originals: Mapping[str, str]) -> str:
    """The text with each placeholder replaced by what it stands for; also within a JSON string."""
    if "[" not in text or not originals:
        return text
    parts = text.split("]")
    for place, part in enumerate(parts[:-1]):
        start = part.rfind("[")
        original = originals.get(part[start:] + "]") if start >= 0 else None
        parts[place] = f"{part}]" if original is None else part[:start] + original
    return "".join(parts)


def change_texts(value: Any, change: Change) -> Any:
    """The same JSON value with every text changed, names of members included; itself if no text changes."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        members = {
            (change(name) if isinstance(name, str) else name): change_texts(inner, change)
            for name, inner in value.items()
        }
        return value if _are_same(members, value) else members
    if isinstance(value, list | tuple):
        items = [change_texts(inner, change) for inner in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else type(value)(items)
    return value


def change_message(message: BaseMessage, change: Change, change_args: Callable[[Any], Any]) -> BaseMessage:
    """The same message with the texts changed that a model reads or wrote; itself if nothing changes."""
    changed: dict[str, Any] = {}
    new: Any
    if (new := _content(message.content, change, change_args)) is not message.content:
        changed["content"] = new
    if message.additional_kwargs and (new := _block(message.additional_kwargs, change)) is not (
        message.additional_kwargs
    ):
        changed["additional_kwargs"] = new
    for field in ("tool_calls", "invalid_tool_calls", "tool_call_chunks"):
        calls = getattr(message, field, None)
        if calls and (new := [_call(call, change, change_args) for call in calls]) != calls:
            changed[field] = new
    return message.model_copy(update=changed) if changed else message


def _content(content: Any, change: Change, change_args: Callable[[Any], Any]) -> Any:
    if isinstance(content, str):
        return change(content)
    blocks = [change(block) if isinstance(block, str) else _block(block, change, change_args) for block in content]
    return content if all(new is old for new, old in zip(blocks, content, strict=True)) else blocks


def _block(block: Any, change: Change, change_args: Callable[[Any], Any] | None = None) -> Any:
    """A content block, or another structure of a provider's, with the members changed that are text."""
    if isinstance(block, list):
        items = [_block(item, change, change_args) for item in block]
        return block if all(new is old for new, old in zip(items, block, strict=True)) else items
    if isinstance(block, str):
        return block if block.startswith("data:") else change(block)
    if not isinstance(block, dict):
        return block
    is_call = change_args is not None and block.get("type") in ("tool_use", "tool_call", "server_tool_call")
    members = {
        name: (
            inner
            if name in UNTOUCHED
            else change_args(inner)
            if change_args is not None and is_call and name in ("input", "args")
            else _block(inner, change, change_args)
        )
        for name, inner in block.items()
    }
    return block if _are_same(members, block) else members


def _call(call: Any, change: Change, change_args: Callable[[Any], Any]) -> Any:
    args = call.get("args")
    new = change(args) if isinstance(args, str) else change_args(args)
    return call if new is args else {**call, "args": new}


def _are_same(members: Mapping[Any, Any], before: Mapping[Any, Any]) -> bool:
    return len(members) == len(before) and all(name in members and members[name] is before[name] for name in before)


def json_text(value: Any) -> str:
    """The JSON text that tells whether two values are the same."""
    return json.dumps(value, sort_keys=True, default=repr)
