"""Compaction: a conversation that does not fit the model is made shorter, the oldest results first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_core.messages import AIMessage, BaseMessage

from signoff.agents.loop.transcript import NOTED, as_text

ROUNDS = 3
"""Times a step's conversation is made shorter before the step fails."""
_STUB = 400
"""A result as short as this is left as it is."""
_LEAST = 1_000
"""A text is not cut to less."""


def shorten(
    said: Sequence[BaseMessage], texts: Mapping[str, str], step: int
) -> tuple[list[BaseMessage], dict[str, str]]:
    """The conversation and the artifacts' texts, shorter; `step` counts from 1, and each takes more than the last.

    First the results of tools, but those of the last turn, become a line each; then the longest artifacts and the
    results that are left are cut to half, and then again.
    """
    left = _without_old_results(said)
    kept = dict(texts)
    if step > 1 or left == list(said):
        left = [_halved(message) for message in left]
        kept = halve_longest(texts)
    return left, kept


def _without_old_results(said: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Results before the model's last answer become a line."""
    last = max((place for place, message in enumerate(said) if isinstance(message, AIMessage)), default=0)
    return [_stub(message) if place < last else message for place, message in enumerate(said)]


def halve_longest(texts: Mapping[str, str]) -> dict[str, str]:
    """The texts with the longest cut until all together have half of what they had."""
    kept = dict(texts)
    goal = sum(map(len, kept.values())) // 2
    while kept and sum(map(len, kept.values())) > goal:
        name = max(kept, key=lambda name: len(kept[name]))
        if len(kept[name]) <= _LEAST:
            break
        kept[name] = _cut(kept[name], len(kept[name]) // 2)
    return kept


def _is_result(message: BaseMessage) -> bool:
    return bool(message.additional_kwargs.get(NOTED, {}).get("call"))


def _stub(message: BaseMessage) -> BaseMessage:
    text = as_text(message.content)
    if not _is_result(message) or len(text) <= _STUB:
        return message
    stub = f"[{len(text):,} characters were here and are left out to make room. Call it again if you need them.]"
    return message.model_copy(update={"content": stub})


def _halved(message: BaseMessage) -> BaseMessage:
    text = as_text(message.content)
    if not _is_result(message) or len(text) <= _LEAST:
        return message
    return message.model_copy(update={"content": _cut_within(text, len(text) // 2)})


def _cut(text: str, length: int) -> str:
    return f"{text[:length]}\n[cut here to make room: {len(text) - length:,} characters are left out]"


def _cut_within(text: str, length: int) -> str:
    """Cut, but for the marks around text from outside (injection.py): a line before it, and its last line."""
    opened = text.find("<untrusted ")
    body = text.find("\n", opened) + 1
    end = text.rfind("\n</untrusted ")
    if opened < 0 or not 0 < body <= end or "\n" in text[end + 1 :]:
        return _cut(text, length)
    return f"{text[:body]}{_cut(text[body:end], length)}{text[end:]}"
