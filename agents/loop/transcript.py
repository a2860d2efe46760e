"""The conversation of one step: what the model is told first, what was said since, and what the loop noted of it.

It is made shorter where it does not fit the model, the oldest results first, and looked at for turns that repeat. All
that the loop must know to go on later is in the messages themselves, so that a step can stop at any of them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from signoff.agents.agent import Task
from signoff.checkpoints import canonical_json

IN_TEXT = "json"
"""Id of a call that stands in the text of an answer, which has one at most."""
NOTED = "signoff"
"""Key of `additional_kwargs` under which a message carries what the loop noted of it; no provider is sent it."""
_GROWN = "stronger: "
_STUB = 400
"""A result as short as this is left as it is."""
_LEAST = 1_000
"""A text is not cut to less."""
_AGAIN = 2
"""Turns in a row that only repeat calls and get what they got before."""
_NOTHING_NEW = 6
"""Turns in a row whose results were all seen before, whatever was called."""
_ONE_CALL = 6
"""Times one call is made, whatever comes of it."""


@dataclass(frozen=True)
class Call:
    """One call of a tool, as the model made it."""

    id: str
    name: str
    args: Mapping[str, Any]
    problem: str = ""
    """Why it is no call: the arguments were no JSON object."""


class Repetition:
    """Looks at each turn and says when the step goes in circles."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        self._results: set[str] = set()
        self._again = self._nothing_new = 0

    def notice(self, turn: Sequence[tuple[str, Mapping[str, Any], str]]) -> str | None:
        """Look at a turn's calls, each a name, its arguments and its result; what is wrong, in words, or None."""
        if not turn:
            return None
        keys = [_key(name, args) for name, args, _ in turn]
        results = {hashlib.sha256(result.encode("utf-8", "backslashreplace")).hexdigest() for _, _, result in turn}
        is_old = results <= self._results
        is_again = is_old and all(self._calls[key] for key in keys)
        self._again = self._again + 1 if is_again else 0
        self._nothing_new = self._nothing_new + 1 if is_old else 0
        self._calls.update(keys)
        self._results |= results
        times, name = max((self._calls[key], call[0]) for key, call in zip(keys, turn, strict=True))
        if self._again >= _AGAIN:
            return f"it makes the same calls again, such as {name}, and gets the same results"
        if self._nothing_new >= _NOTHING_NEW:
            self._nothing_new = 0  # other words may still find something: as many turns again
            return f"its last {_NOTHING_NEW} turns brought nothing new"
        if times >= _ONE_CALL:
            return f"it called {name} with the same arguments {times} times"
        return None


def _key(name: str, args: Mapping[str, Any]) -> str:
    try:
        return f"{name} {canonical_json(args)}"
    except (TypeError, ValueError, RecursionError):
        return f"{name} {args!r}"


class Conversation:
    """Everything said in a step after the opening; it only grows, but for what `shorten` leaves out."""

    def __init__(self, said: Iterable[BaseMessage] = ()) -> None:
        self.said: list[BaseMessage] = []
        self.answers = 0
        """Answers of the model."""
        self.flags: dict[str, None] = {}
        """Orders found in what tools returned, in order."""
        self.proposed: list[dict[str, Any]] = []
        self.repetition = Repetition()
        self._noted: Counter[str] = Counter()
        for message in said:
            self._keep(message)

    def count(self, note: str) -> int:
        return self._noted[note]

    @property
    def grown(self) -> int:
        """By how many tiers the model has become stronger within the step."""
        return sum(note.startswith(_GROWN) for note in self._noted)

    def has_grown(self, why: str) -> bool:
        return bool(self._noted[_GROWN + why])

    def grow(self, why: str) -> None:
        """Note with the last message, if there is one, that a stronger model goes on."""
        note = _GROWN + why
        if self.said:
            last = self.said[-1]
            earlier = last.additional_kwargs.get(NOTED, {})
            noted = {**earlier, "notes": [*earlier.get("notes", []), note]}
            self.said[-1] = last.model_copy(update={"additional_kwargs": {**last.additional_kwargs, NOTED: noted}})
        self._noted[note] += 1

    @property
    def last_notes(self) -> tuple[str, ...]:
        return tuple(self.said[-1].additional_kwargs.get(NOTED, {}).get("notes", ())) if self.said else ()

    def shorten(self, texts: Mapping[str, str], step: int) -> dict[str, str]:
        """Make it shorter, and return the artifacts' texts, shorter; each `step`, from 1 on, takes more than the last.

        First the results of tools, but those of the last turn, become a line each; then the longest artifacts and the
        results that are left are cut to half, and then again. What was left out may be looked up again.
        """
        left, kept = _without_old_results(self.said), dict(texts)
        if step > 1 or left == self.said:
            left, kept = [_halved(message) for message in left], _halve_longest(texts)
        self.said[:] = left
        self.repetition = Repetition()
        return kept

    def answer(self, message: AIMessage) -> None:
        self._keep(message)

    def tell(self, text: str, note: str = "") -> None:
        """The loop tells the model something, and notes why."""
        self._keep(HumanMessage(text, additional_kwargs=_noting(note=note)))

    def result(
        self,
        call: Call,
        content: Any,
        *,
        note: str = "",
        flags: tuple[str, ...] = (),
        proposal: dict[str, Any] | None = None,
    ) -> None:
        """What came of a call."""
        extra = _noting(note=note, flags=flags, proposal=proposal, call=call.id)
        if call.id != IN_TEXT:
            message: BaseMessage = ToolMessage(
                content, tool_call_id=call.id, name=call.name or "unknown", additional_kwargs=extra
            )
        else:
            message = HumanMessage(f"{call.name}: {as_text(content)}", additional_kwargs=extra)
        self._keep(message)

    def _keep(self, message: BaseMessage) -> None:
        self.said.append(message)
        self.answers += isinstance(message, AIMessage)
        noted = message.additional_kwargs.get(NOTED)
        if noted:
            self._noted.update(noted.get("notes", ()))
            self.flags.update(dict.fromkeys(noted.get("flags", ())))
            proposal = noted.get("proposal")
            if proposal is not None and proposal not in self.proposed:
                self.proposed.append(proposal)


def open_step(task: Task, texts: Mapping[str, str]) -> str:
    """What the model is told first: the goal, the needed artifacts and the notes, nothing else of the run."""
    parts = [f"# Goal\n{task.goal}"]
    parts += [f"# {name}\n{text}" for name, text in texts.items()]
    if task.notes:
        parts.append("# What must change\n" + "\n".join(f"- {note}" for note in task.notes))
    if task.instructions:
        parts.append(f"# Instructions for this step\n{task.instructions}")
    return "\n\n".join(parts)


def as_text(content: Any) -> str:
    """The text of a message's content, whatever else is in it."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else [content]
    return "\n".join(
        block if isinstance(block, str) else str(block.get("text", f"[{block.get('type', 'data')}]"))
        for block in blocks
        if isinstance(block, str | dict)
    )


def _noting(
    *, note: str = "", flags: tuple[str, ...] = (), proposal: dict[str, Any] | None = None, call: str = ""
) -> dict[str, Any]:
    """The `additional_kwargs` of a message that carries this."""
    every = {"notes": [note] if note else [], "flags": list(flags), "proposal": proposal, "call": call}
    noted = {name: value for name, value in every.items() if value}
    return {NOTED: noted} if noted else {}


def _without_old_results(said: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Results before the model's last answer become a line."""
    last = max((place for place, message in enumerate(said) if isinstance(message, AIMessage)), default=0)
    return [_stub(message) if place < last else message for place, message in enumerate(said)]


def _halve_longest(texts: Mapping[str, str]) -> dict[str, str]:
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
    """Cut, but for the marks around text from outside (safety/injection.py): a line before it, and its last line."""
    opened = text.find("<untrusted ")
    body = text.find("\n", opened) + 1
    end = text.rfind("\n</untrusted ")
    if opened < 0 or not 0 < body <= end or "\n" in text[end + 1 :]:
        return _cut(text, length)
    return f"{text[:body]}{_cut(text[body:end], length)}{text[end:]}"
