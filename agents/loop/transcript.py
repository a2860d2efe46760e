"""The conversation of one step: what the model is told first, what was said since, and what the loop noted of it.

It is made shorter where it does not fit the model, the oldest results first, and looked at for turns that repeat. All
that the loop must know to go on later is in the messages themselves, so that a step can stop at any of them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from signoff.agents.agent import Outcome, Task
from signoff.checkpoints import canonical_json
from signoff.tools import Proposal
from signoff.wording import make_visible

IN_TEXT = "json"
"""Id of a call that stands in the text of an answer, which has one at most."""
_NOTED = "signoff"
"""Key of `additional_kwargs` under which a message carries what the loop noted of it."""
_GROWN = "stronger: "
_SHORTENED, _HALVED = "shortened", "halved"
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


@dataclass(frozen=True)
class Result:
    """What came of a call."""

    content: Any
    """Text, or a list of content blocks."""
    flags: tuple[str, ...] = ()
    """Orders that were found in it: nobody may follow them."""
    proposal: dict[str, Any] | None = None
    """What the call proposes, when the step is at its end."""
    waits: Proposal | None = None
    """What the call proposes now: the content is only known when it is known what became of that."""
    outcome: Outcome | None = None
    """What became of what the call proposed."""
    fits: bool = True
    """False if the call's arguments are none of its action."""
    is_steady: bool = False
    """Whether the same call would bring the same again in this step."""
    same_as: str = ""
    """Mark of the result that it points back to."""


Seen = tuple[str, str, str]
"""One call as it is looked at for repetition: a mark of the name and the arguments, the name, a mark of the result."""


class Repetition:
    """Looks at each turn and says when the step goes in circles."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        self._results: set[str] = set()
        self._again = self._nothing_new = 0

    def notice(self, turn: Sequence[Seen]) -> str | None:
        """Look at what came of a turn's calls; what is wrong, in words, or None."""
        if not turn:
            return None
        keys, results = [key for key, _, _ in turn], {result for _, _, result in turn}
        is_old = results <= self._results
        is_again = is_old and all(self._calls[key] for key in keys)
        self._again = self._again + 1 if is_again else 0
        self._nothing_new = self._nothing_new + 1 if is_old else 0
        self._calls.update(keys)
        self._results |= results
        times, name = max((self._calls[key], name) for key, name, _ in turn)
        if self._again >= _AGAIN:
            return f"it makes the same calls again, such as {name}, and gets the same results"
        if self._nothing_new >= _NOTHING_NEW:
            self._nothing_new = 0  # other words may still find something: as many turns again
            return f"its last {_NOTHING_NEW} turns brought nothing new"
        if times >= _ONE_CALL:
            return f"it called {name} with the same arguments {times} times"
        return None


def key_of(name: str, args: Mapping[str, Any]) -> str:
    """The same for the same call or proposal, and for no other."""
    try:
        return _mark_of(f"{name} {canonical_json(args)}")
    except (TypeError, ValueError, RecursionError):
        return _mark_of(f"{name} {args!r}")


def mark_of(content: Any) -> str:
    """The same for the same content of a result."""
    return _mark_of(as_text(content))


def _mark_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:24]


class Conversation:
    """Everything said in a step after the opening; it only grows, but for what `shorten` leaves out."""

    def __init__(self, said: Iterable[BaseMessage] = ()) -> None:
        self.said: list[BaseMessage] = []
        self.answers = 0
        """Answers of the model."""
        self.flags: dict[str, None] = {}
        """Orders found in what tools returned, in order."""
        self.proposed: list[dict[str, Any]] = []
        self.heard: set[str] = set()
        """The proposals whose outcome the model was told in the step, by id."""
        self.settled: dict[str, str] = {}
        """Those of them that are not to be proposed again, id by key."""
        self.noted: Counter[str] = Counter()
        """How often each thing was noted with a message."""
        self.steady: dict[str, str] = {}
        """Marks of the results that still stand here and would be the same again, by the key of their call."""
        self._repetition = Repetition()
        self._turn: list[Seen] = []
        """What came of the last answer's calls, until it was looked at."""
        for message in said:
            self.add(message)

    @property
    def grown(self) -> int:
        """By how many tiers the model has become stronger within the step."""
        return sum(note.startswith(_GROWN) for note in self.noted)

    def has_grown(self, why: str) -> bool:
        return bool(self.noted[_GROWN + why])

    def grow(self, why: str) -> None:
        """Note that a stronger model goes on."""
        self._note(_GROWN + why)

    def _note(self, note: str) -> None:
        """Note it with the last message, if there is one."""
        if self.said:
            last = self.said[-1]
            earlier = noted_in(last)
            noted = {**earlier, "notes": [*earlier.get("notes", []), note]}
            self.said[-1] = last.model_copy(update={"additional_kwargs": {**last.additional_kwargs, _NOTED: noted}})
        self.noted[note] += 1

    def find_circle(self) -> str | None:
        """Look at what came of the last answer's calls, once; what is wrong, in words, or None."""
        turn, self._turn = self._turn, []
        return self._repetition.notice(turn)

    @property
    def last_notes(self) -> tuple[str, ...]:
        return tuple(noted_in(self.said[-1]).get("notes", ())) if self.said else ()

    @property
    def times_shortened(self) -> int:
        return self.noted[_SHORTENED]

    def shortened(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The artifacts' texts as much shorter as they were made in the step so far."""
        kept = dict(texts)
        for _ in range(self.noted[_HALVED]):
            kept = _halve_longest(kept)
        return kept

    def shorten(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Make it shorter, and return the artifacts' texts, shorter; each time takes more than the last.

        First the results of tools, but those of the last turn, become a line each; then the longest artifacts and the
        results that are left are cut to half, and then again. What was left out may be looked up again.
        """
        left, kept = _without_old_results(self.said), dict(texts)
        is_more = self.times_shortened > 0 or left == self.said
        if is_more:
            left, kept = [_shorter(message, _LEAST, _half) for message in left], _halve_longest(texts)
        self.said[:] = left
        for note in (_SHORTENED, _HALVED)[: 1 + is_more]:
            self._note(note)
        self._look_afresh()
        return kept

    def _look_afresh(self) -> None:
        """What was left out may be looked up again, which is no circle."""
        self._repetition, self._turn, self.steady = Repetition(), [], {}

    def add(self, message: BaseMessage) -> None:
        if isinstance(message, AIMessage):
            self.answers += 1
            self.find_circle()  # of the turn before, if the step was held since
        self.said.append(message)
        noted = noted_in(message)
        if "seen" in noted:
            key, name, result = noted["seen"]
            self._turn.append((key, name, result))
            if noted.get("steady"):
                self.steady[key] = result
        if "outcome" in noted:
            self.heard.add(noted["outcome"])
            if "settled" in noted:
                self.settled[noted["settled"]] = noted["outcome"]
        notes = noted.get("notes", ())
        self.noted.update(notes)
        if _SHORTENED in notes:
            self._look_afresh()
        self.flags.update(dict.fromkeys(noted.get("flags", ())))
        proposal = noted.get("proposal")
        if proposal is not None and proposal not in self.proposed:
            self.proposed.append(proposal)

    def tell(self, text: str, note: str = "") -> None:
        """The loop tells the model something, and notes why."""
        self.add(HumanMessage(text, additional_kwargs=_noting(note)))

    def add_result(self, call: Call, result: Result, note: str = "") -> None:
        """`note` says what was wrong with the call; it is not looked at for repetition then."""
        told = result.outcome
        extra = _noting(
            note,
            flags=list(result.flags),
            proposal=result.proposal,
            call=call.id,
            seen=None if note else [key_of(call.name, call.args), call.name, result.same_as or mark_of(result.content)],
            steady=result.is_steady,
            outcome=told.proposal if told is not None else "",
            settled=key_of(told.action, told.proposed) if told is not None and told.is_settled else "",
        )
        if call.id == IN_TEXT:
            self.add(HumanMessage(f"{call.name}: {as_text(result.content)}", additional_kwargs=extra))
        else:
            name = call.name or "unknown"
            self.add(ToolMessage(result.content, tool_call_id=call.id, name=name, additional_kwargs=extra))


def open_step(task: Task, texts: Mapping[str, str]) -> str:
    """What the model is told first: the goal, the needed artifacts and the notes, nothing else of the run."""
    parts = [f"# Goal\n{task.goal}", *([f"# Input\n{task.input_told}"] if task.input_told else [])]
    parts += [f"# {name}\n{text}" for name, text in texts.items()]
    if task.notes:
        parts.append("# What must change\n" + "\n".join(f"- {make_visible(note)}" for note in task.notes))
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


def noted_in(message: BaseMessage) -> Mapping[str, Any]:
    """What the loop noted of a message; no provider is sent it."""
    noted: Mapping[str, Any] = message.additional_kwargs.get(_NOTED, {})
    return noted


def _noting(note: str, **more: Any) -> dict[str, Any]:
    """The `additional_kwargs` of a message that carries this; what is empty is left out."""
    noted = {name: value for name, value in {"notes": [note] if note else [], **more}.items() if value}
    return {_NOTED: noted} if noted else {}


def _without_old_results(said: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Results before the model's last answer become a line."""
    last = max((place for place, message in enumerate(said) if isinstance(message, AIMessage)), default=0)
    return [_shorter(message, _STUB, _stub) if place < last else message for place, message in enumerate(said)]


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


def _shorter(message: BaseMessage, least: int, shorten: Callable[[str], str]) -> BaseMessage:
    """The message, shorter if it is a result of more characters than this."""
    text = as_text(message.content)
    if not noted_in(message).get("call") or len(text) <= least:
        return message
    return message.model_copy(update={"content": shorten(text)})


def _stub(text: str) -> str:
    return f"[{len(text):,} characters were here and are left out to make room. Call it again if you need them.]"


def cut_to(text: str, length: int) -> str:
    """The text, or its beginning and how much is left out."""
    return text if len(text) <= length else _cut(text, length)


def _cut(text: str, length: int) -> str:
    return f"{text[:length]}\n[cut here to make room: {len(text) - length:,} characters are left out]"


def _half(text: str) -> str:
    """Half of it and the marks around text from outside (safety/injection.py): a line before it, and its last line."""
    opened = text.find("<untrusted ")
    body = text.find("\n", opened) + 1
    end = text.rfind("\n</untrusted ")
    if opened < 0 or not 0 < body <= end or "\n" in text[end + 1 :]:
        return _cut(text, len(text) // 2)
    return f"{text[:body]}{_cut(text[body:end], len(text) // 2)}{text[end:]}"
