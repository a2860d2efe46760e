"""What differs between a question and the nearest one on a tape, in words that fit on a screen."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Final

from signoff.agents.replay.exchange import Request

_LONGEST: Final = 4_000
"""Words of a part that are compared from the first that differs."""
_SHOWN: Final = 24
"""Words on each side of a difference."""
_PARTS: Final = 3
_WIDTH: Final = 300
"""Characters that are shown of one difference."""


def describe_difference(asked: Request, known: Iterable[Request]) -> str:
    """How the question differs from the most similar one; says so if there is none of its kind."""
    same_kind = [request for request in known if request.kind == asked.kind]
    if not same_kind:
        return f"It has no call of a {asked.kind} at all."
    nearest = max(same_kind, key=lambda request: _likeness(asked, request))
    if nearest.key == asked.key:
        times = sum(request.key == asked.key for request in same_kind)
        return f"It has this {'once' if times == 1 else f'{times} times'}, and it is asked once more."
    asked_parts, known_parts = dict(asked.parts), dict(nearest.parts)
    names = [name for name in {**known_parts, **asked_parts} if asked_parts.get(name) != known_parts.get(name)]
    lines = [_describe_part(name, known_parts.get(name), asked_parts.get(name)) for name in names[:_PARTS]]
    if len(names) > _PARTS:
        lines.append(f"  and {len(names) - _PARTS} more parts differ: {', '.join(names[_PARTS:])[:_WIDTH]}")
    return "\n".join([f"The nearest it has: {nearest}", *lines])


def _likeness(asked: Request, known: Request) -> tuple[float, float]:
    """How many parts are the same, then how much the first that is not is alike."""
    asked_parts, known_parts = dict(asked.parts), dict(known.parts)
    names = asked_parts.keys() | known_parts.keys()
    different = [name for name in sorted(names) if asked_parts.get(name) != known_parts.get(name)]
    if not different:
        return 1.0, 1.0
    first, second = asked_parts.get(different[0], ""), known_parts.get(different[0], "")
    return 1 - len(different) / len(names), SequenceMatcher(None, first[:_LONGEST], second[:_LONGEST]).quick_ratio()


def _describe_part(name: str, known: str | None, asked: str | None) -> str:
    if known is None or asked is None:
        there, what = ("asked", asked) if known is None else ("recorded", known)
        return f"  {name}: only in what was {there}: {_cut(what or '')}"
    before, after = _first_difference(known.split(), asked.split())
    return f"  {name}:\n    - recorded: {_cut(before)}\n    + asked:    {_cut(after)}"


def _first_difference(known: list[str], asked: list[str]) -> tuple[str, str]:
    """The words around the first difference, on both sides; what differs is in brackets."""
    same = next((at for at, pair in enumerate(zip(known, asked, strict=False)) if pair[0] != pair[1]), None)
    start = min(len(known), len(asked)) if same is None else same
    known_rest, asked_rest = known[start : start + _LONGEST], asked[start : start + _LONGEST]
    codes = SequenceMatcher(None, known_rest[:200], asked_rest[:200], autojunk=False).get_opcodes()
    _, _, known_end, _, asked_end = next((code for code in codes if code[0] != "equal"), ("", 0, 0, 0, 0))
    before = known[max(0, start - 6) : start]

    def shown(words: list[str], end: int) -> str:
        changed = " ".join(words[: min(end, _SHOWN)]) + (" …" if end > _SHOWN else "")
        return " ".join((*before, f"[{changed}]", *words[end : end + 4]))

    return shown(known_rest, known_end), shown(asked_rest, asked_end)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"
