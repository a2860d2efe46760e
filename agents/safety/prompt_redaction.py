"""Private data and secrets are taken out of a prompt before it leaves, and private data is put back.

Secrets are not put back. A model never needs one, and an argument in which a placeholder silently became a secret
again would carry it into a proposal, onto a screen and into the ledger; so what was a secret stays `[redacted]`.
Private data is: `Write to [EMAIL_1]` in a model's answer becomes the address again before anybody sees the answer.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar, cast

from langchain_core.messages import BaseMessage

from signoff.agents.safety.pii import KINDS, PLACEHOLDER, Span, find_private, replace_spans
from signoff.checkpoints import REDACTED, readable_text, redact, redact_text

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
    return PLACEHOLDER.sub(lambda found: originals.get(found[0], found[0]), text) if originals else text


def change_texts(value: Any, change: Change) -> Any:
    """The same JSON value with every text changed, names of members included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change_texts(name, change): change_texts(inner, change) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(change_texts(inner, change) for inner in value)
    return value


def change_message(message: BaseMessage, change: Change, change_args: Callable[[Any], Any]) -> BaseMessage:
    """The same message with the texts changed that a model reads or wrote; itself if nothing changes."""
    new = {
        "content": _content(message.content, change, change_args),
        "additional_kwargs": _block(message.additional_kwargs, change, change_args),
    }
    for name in ("tool_calls", "invalid_tool_calls", "tool_call_chunks"):
        new[name] = [_call(call, change, change_args) for call in getattr(message, name, ())]
    changed = {name: value for name, value in new.items() if value != getattr(message, name, [])}
    return message.model_copy(update=changed) if changed else message


def _content(content: Any, change: Change, change_args: Callable[[Any], Any]) -> Any:
    if isinstance(content, str):
        return change(content)
    return [change(block) if isinstance(block, str) else _block(block, change, change_args) for block in content]


def _block(block: Any, change: Change, change_args: Callable[[Any], Any]) -> Any:
    """A content block, or another structure of a provider's, with the members changed that are text."""
    if isinstance(block, list):
        return [_block(item, change, change_args) for item in block]
    if isinstance(block, str):
        return block if block.startswith("data:") else change(block)
    if not isinstance(block, dict):
        return block
    changed = dict(block)
    args = ("input", "args") if block.get("type") in ("tool_use", "tool_call", "server_tool_call") else ()
    for name, inner in block.items():
        if name not in UNTOUCHED:
            changed[name] = change_args(inner) if name in args else _block(inner, change, change_args)
    return changed


def _call(call: Any, change: Change, change_args: Callable[[Any], Any]) -> Any:
    args = call.get("args")
    return {**call, "args": change(args) if isinstance(args, str) else change_args(args)}


def _json_text(value: Any) -> str:
    """The JSON text that tells whether two values are the same."""
    return json.dumps(value, sort_keys=True, default=repr)


T = TypeVar("T")


class Recent(Generic[T]):
    """A bounded memory that threads share; the oldest quarter goes when it is full."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[bytes, T] = {}
        self._keeping = threading.Lock()

    def get(self, key: bytes) -> T | None:
        return self._kept.get(key)

    def keep(self, key: bytes, value: T) -> T:
        with self._keeping:
            if len(self._kept) >= self._most:
                for oldest in list(self._kept)[: self._most // 4 + 1]:
                    del self._kept[oldest]
            self._kept[key] = value
        return value


def text_key(text: str, options: str = "") -> bytes:
    """Digest of a text and of what it is looked through for."""
    return hashlib.blake2b(f"{options}\n{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


M = TypeVar("M", bound=BaseMessage)


@dataclass(frozen=True)
class Hidden:
    """Messages that may leave, what was taken out of them, and the way back."""

    messages: list[BaseMessage]
    found: Mapping[str, int]
    """How often something was taken out, by kind; `secret` for secrets."""
    originals: Mapping[str, str] = field(repr=False)
    """What each placeholder stands for; never a secret."""

    def restore(self, message: M) -> M:
        """The model's answer with the private data put back: in its text, its tool calls and their JSON."""
        if not self.originals:
            return message
        return cast(M, change_message(message, self.restore_text, lambda args: change_texts(args, self.restore_text)))

    def restore_text(self, text: str) -> str:
        return put_back(text, self.originals)

    def restorer(self) -> Restorer:
        return Restorer(self.originals)


@dataclass(frozen=True)
class PromptRedaction:
    """What is taken out of a prompt; by default secrets only."""

    secrets: bool = True
    pii: frozenset[str] = frozenset()
    """Kinds of private data: credit_card, email, iban, ip, mac, phone, ssn."""

    def __post_init__(self) -> None:
        if unknown := sorted(self.pii - KINDS):
            known = f"secrets, pii, none, or kinds of pii: {', '.join(sorted(KINDS))}"
            raise ValueError(f"{unknown[0]!r} is nothing that can be redacted; use {known}")

    @classmethod
    def read(cls, words: Sequence[str]) -> PromptRedaction:
        """What a setting names: `secrets`, `pii` (all kinds), single kinds, or `none`; ValueError if not."""
        chosen = {word.strip().lower() for word in ([words] if isinstance(words, str) else words) if word.strip()}
        if "none" in chosen and len(chosen) > 1:
            raise ValueError("'none' stands alone: name what to redact, or only 'none'")
        kinds = chosen - {"secrets", "pii", "none"} | (KINDS if "pii" in chosen else set())
        return cls(secrets=not chosen or "secrets" in chosen, pii=frozenset(kinds))

    def hide(self, messages: Sequence[BaseMessage]) -> Hidden:
        """The messages as they may leave. The given ones stay as they are; one that holds nothing is used itself.

        Placeholders are numbered in the order of the prompt, so that a prompt that only grows keeps its beginning.
        """
        if not self.secrets and not self.pii:
            return Hidden(list(messages), {}, {})
        hiding = _Hiding(self, messages)
        hidden = [change_message(message, hiding.hide_text, hiding.hide_args) for message in messages]
        originals = {name: value for value, name in hiding.names.items()}
        return Hidden(hidden, MappingProxyType(dict(hiding.found)), MappingProxyType(originals))


class _Hiding:
    """One prompt being hidden."""

    def __init__(self, redaction: PromptRedaction, messages: Iterable[BaseMessage]) -> None:
        self._redaction, self._messages = redaction, messages
        self._taken: frozenset[str] | None = None
        self.found: Counter[str] = Counter()
        self.names: dict[str, str] = {}
        self._numbers: dict[str, Iterator[int]] = {}

    def hide_text(self, text: str) -> str:
        """The text without secrets and with placeholders for private data; itself if there is neither."""
        if not text:
            return text
        options = f"{self._redaction.secrets} {' '.join(sorted(self._redaction.pii))}"
        key = text_key(text, options)
        spans = _seen.get(key)
        if spans is None:
            hidden = self._hide_secrets(text)
            spans = find_private(hidden, self._redaction.pii)
            if hidden is text:
                _seen.keep(key, spans)
            text = hidden
        if not spans:
            return text
        # What stands beside a name, such as `tokens=10.20.30.40`, may look like a secret only once it has no digits.
        return self._hide_secrets(replace_spans(text, spans, lambda span: self._placeholder(span, text)))

    def hide_args(self, args: Any) -> Any:
        """Arguments of a tool call, or another JSON value: there the names of members tell secrets, too."""
        if self._redaction.secrets:
            redacted = redact(args)
            before, after = _json_text(args), _json_text(redacted)
            if after != before:
                self.found["secret"] += max(1, after.count(REDACTED) - before.count(REDACTED))
                args = redacted
        return change_texts(args, self.hide_text)

    def _hide_secrets(self, text: str) -> str:
        if not self._redaction.secrets:
            return text
        hidden = redact_text(text)
        if hidden == text or (not text.isascii() and hidden == readable_text(text)):
            return text
        self.found["secret"] += max(1, hidden.count(REDACTED) - text.count(REDACTED))
        return hidden

    def _placeholder(self, span: Span, text: str) -> str:
        value = text[span.start : span.end]
        self.found[span.kind] += 1
        if value not in self.names:
            if self._taken is None:  # a placeholder that somebody wrote himself must not be filled in
                self._taken = frozenset(PLACEHOLDER.findall(" ".join(map(_words, self._messages))))
            numbers = self._numbers.setdefault(span.kind, count(1))
            names = (f"[{span.kind.upper()}_{number}]" for number in numbers)
            self.names[value] = next(name for name in names if name not in self._taken)
        return self.names[value]


_seen: Final = Recent[tuple[Span, ...]](20_000)
"""Where private data stands in texts without secrets: a prompt is sent again with every call of a step.

A secret that becomes known only after a text was sent is not looked for in that text again."""


def _words(message: BaseMessage) -> str:
    """Everything a message says, to look for placeholders in it."""
    names = ("content", "additional_kwargs", "tool_calls", "invalid_tool_calls")
    return repr([getattr(message, name, ()) for name in names])
