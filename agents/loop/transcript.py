"""The conversation of one step: what the model is told first, what was said since, and what the loop noted of it.

All that the loop must know to go on later is in the messages themselves, so that a step can stop at any of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from signoff.agents.agent import Task

IN_TEXT = "json"
"""Id of a call that stands in the text of an answer, which has one at most."""
NOTED = "signoff"
"""Key of `additional_kwargs` under which a message carries what the loop noted of it; no provider is sent it."""
_GROWN = "stronger: "


@dataclass(frozen=True)
class Call:
    """One call of a tool, as the model made it."""

    id: str
    name: str
    args: Mapping[str, Any]
    problem: str = ""
    """Why it is no call: the arguments were no JSON object."""


class Conversation:
    """Everything said in a step after the opening; it only grows, but for what `compaction` leaves out."""

    def __init__(self, said: Iterable[BaseMessage] = ()) -> None:
        self.said: list[BaseMessage] = []
        self.answers = 0
        """Answers of the model."""
        self.flags: dict[str, None] = {}
        """Orders found in what tools returned, in order."""
        self.proposed: list[dict[str, Any]] = []
        self._noted: Counter[str] = Counter()
        for message in said:
            self._keep(message)

    def count(self, note: str) -> int:
        """How often this was noted."""
        return self._noted[note]

    @property
    def grown(self) -> int:
        """By how many tiers the model has become stronger within the step."""
        return sum(note.startswith(_GROWN) for note in self._noted)

    def has_grown(self, why: str) -> bool:
        """Whether it became stronger for this reason."""
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
        """What was noted with the last message."""
        return tuple(self.said[-1].additional_kwargs.get(NOTED, {}).get("notes", ())) if self.said else ()

    def answer(self, message: AIMessage) -> None:
        """The model said this."""
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
    noted: dict[str, Any] = {}
    if note:
        noted["notes"] = [note]
    if flags:
        noted["flags"] = list(flags)
    if proposal is not None:
        noted["proposal"] = proposal
    if call:
        noted["call"] = call
    return {NOTED: noted} if noted else {}
