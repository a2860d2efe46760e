"""Progress over a whole run: whether the turns change anything, or go in circles. Counted from the state, no clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from signoff.agents.artifacts import Artifact, Verdict
from signoff.checkpoints.canonical import digest, digest_text
from signoff.graphs.state import Turn

NUDGE: Final = 1
"""Repetitions after which the agent is told of them."""
STRONGER: Final = 2
"""Repetitions after which a stronger model does the step."""
PAUSE: Final = 3
"""Repetitions after which a person is asked."""
IDLE_TURNS: Final = 8
"""Turns of the whole team without anything new, after which a person is asked."""
IDLE_CALLS: Final = 60
"""Calls of models without anything new, after which a person is asked."""
REMEMBERED: Final = 200
"""Turns that are looked back at."""
_NUMBER: Final = re.compile(r"\d+")


@dataclass(frozen=True)
class Circle:
    """What repeats, in words, and how often it did."""

    what: str
    times: int


def turn_given(agent: str, artifact: Artifact, value: dict[str, Any], calls: int) -> Turn:
    """What an artifact changed; of a verdict only what it asks for counts, however it is put."""
    if isinstance(artifact, Verdict) and not artifact.accepted:
        mark = digest([artifact.about, sorted(artifact.notes)])
        return Turn(agent=agent, about=artifact.about, mark=f"notes {mark}", failed=False, calls=calls)
    return Turn(agent=agent, about=type(artifact).__name__, mark=digest(value), failed=False, calls=calls)


def turn_failed(agent: str, about: str, problem: str, calls: int) -> Turn:
    """What a failure changed: nothing, but not every failure is the same; numbers in it make no difference."""
    words = _NUMBER.sub("#", problem)
    return Turn(agent=agent, about=about, mark=digest_text(words), failed=True, calls=calls)


def followed_by(trail: Sequence[Turn], turn: Turn) -> list[Turn]:
    """The trail with one more turn."""
    return [*trail[1 - REMEMBERED :], turn]


def find_circle(trail: Sequence[Turn], about: str) -> Circle:
    """How often the turns about an artifact came back to where they had been; not at all: 0 times."""
    turns = [turn for turn in trail if turn["about"] == about]
    given = [turn for turn in turns if not turn["failed"] and not turn["mark"].startswith("notes ")]
    notes = [turn for turn in turns if turn["mark"].startswith("notes ")]
    failed = [turn for turn in turns if turn["failed"]]
    found = [
        Circle(_how_it_came_back(about, given), _repeats(given)),
        Circle(f"the notes on {about} are the same as before", _repeats(notes)),
        Circle(f"{about} fails in the same way again and again", _repeats(failed)),
    ]
    return max(found, key=lambda circle: circle.times)


def find_idleness(trail: Sequence[Turn]) -> str:
    """Why a person should look at the run as a whole; empty while it gets on."""
    seen: set[tuple[str, str]] = set()
    turns = calls = 0
    for turn in trail:
        key = (turn["about"], turn["mark"])
        if key in seen or turn["failed"]:
            turns, calls = turns + 1, calls + turn["calls"]
        else:
            turns = calls = 0
        seen.add(key)
    if turns >= IDLE_TURNS:
        return f"The last {turns} turns changed nothing."
    if calls >= IDLE_CALLS:
        return f"The last {calls} calls of models, in {turns} turns, changed nothing."
    return ""


def _repeats(turns: Sequence[Turn]) -> int:
    """Turns at the end of the trail in a row, each of which came back to an earlier one."""
    seen: set[str] = set()
    repeats = 0
    for turn in turns:
        repeats = repeats + 1 if turn["mark"] in seen else 0
        seen.add(turn["mark"])
    return repeats


def _how_it_came_back(about: str, given: Sequence[Turn]) -> str:
    if len(given) > 1 and given[-1]["mark"] == given[-2]["mark"]:
        return f"{about} came back unchanged"
    return f"{about} goes to and fro between versions that were there before"
