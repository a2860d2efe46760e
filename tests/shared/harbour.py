"""Ten questions of several parts about a harbour, and a model that reads, follows leads and writes as it is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from signoff.testing import Call, Reply, gives

FACTS = {
    "lighthouse": "The lighthouse of Hova is 41 metres tall and stands on the north pier.",
    "ferry": "The ferry to Hova leaves at seven in the morning from berth four.",
    "pilot": "Ships longer than 80 metres must take a pilot on board. The fees are in tariff.md.",
    "tariff": "A pilotage costs 300 euros for each hour on the bridge. Who is exempt is said in exempt.md.",
    "exempt": "Lifeboats pay nothing for a pilotage, at whatever hour.",
    "crane": "The crane of the shipyard lifts 90 tonnes at most.",
    "dredging": "The basin is dredged every third winter to a depth of nine metres.",
    "tides": "The tidal range at the quay is two metres at springs.",
    "museum": "The museum shows a whaling boat that was built in 1884.",
    "customs": "Customs may inspect cargo within 48 hours after landing.",
    "storm": "After a gale warning the sluice must be shut within one hour.",
    "fuel": "Fuel is sold at the east jetty on weekdays only.",
}
"""What each document says; `mark` adds what no sentence of the model repeats, so that the passage itself is known."""

PARTS = {
    "How tall is the lighthouse of Hova?": ("lighthouse",),
    "When does the ferry leave for Hova?": ("ferry",),
    "Which ships must take a pilot, and what are the fees?": ("pilot", "tariff", "exempt"),
    "How much does the crane of the shipyard lift?": ("crane",),
    "How often is the basin dredged?": ("dredging",),
    "What is the tidal range at the quay at springs?": ("tides",),
    "Which boat does the museum show?": ("museum",),
    "When may customs inspect cargo?": ("customs",),
    "What happens to the sluice after a gale warning?": ("storm",),
    "Where is fuel sold at the jetty?": ("fuel",),
    "Who was the first harbourmaster?": (),
}
"""The parts of the questions, and the documents that answer each."""

_NAMES = list(PARTS)
QUESTIONS = [
    [_NAMES[0], _NAMES[1]],
    [_NAMES[2]],
    [_NAMES[3], _NAMES[4], _NAMES[5]],
    [_NAMES[6], _NAMES[10]],
    [_NAMES[7], _NAMES[8], _NAMES[9], _NAMES[0]],
    [_NAMES[2], _NAMES[7]],
    _NAMES[:6],
    [_NAMES[1], _NAMES[10], _NAMES[2]],
    _NAMES[5:10],
    _NAMES,
]


def mark(name: str) -> str:
    """What stands in a document's passage and in nothing that a model writes."""
    return f"Filed under {name[::-1]}-{len(name)}."


def write_documents(folder: Path) -> Path:
    folder.mkdir()
    for name, text in FACTS.items():
        (folder / f"{name}.md").write_text(f"# {name.title()}\n\n{text} {mark(name)}\n")
    for number in range(8):
        (folder / f"garden{number}.md").write_text(f"# Garden {number}\n\nBed {number} has roses and apple trees.\n")
    return folder


def goal_of(call: Call) -> str:
    found = re.search(r"^# Goal\n(.*)$", call.text, re.MULTILINE)
    assert found is not None
    return found[1]


def role_of(call: Call) -> str:
    found = re.match(r"You are the (\w+) of a team", call.system)
    assert found is not None, call.text
    return found[1]


def passages(call: Call) -> dict[int, str]:
    """The passages that a prompt shows, by their numbers."""
    return {
        int(number): text for number, text in re.findall(r"^\[(\d+)\] [^\n]*\n([^\n]+)", call.text, flags=re.MULTILINE)
    }


def research(call: Call) -> Reply:
    """A sentence for each passage that answers the part, and the documents that one names for leads."""
    wanted = [FACTS[name] for name in PARTS.get(goal_of(call), ())]
    shown = passages(call).items()
    sentences = [
        {"text": f"{fact.split('. ')[0].rstrip('.')}.", "quotes": [number]}
        for number, text in shown
        for fact in wanted
        if fact in text
    ]
    leads = [name for fact in wanted for _, text in shown if fact in text for name in re.findall(r"\w+\.md", text)]
    return gives({"sentences": sentences, "leads": leads, "open": []})


def write(call: Call) -> Reply:
    """A title, and what the first section begins with."""
    found = re.search(r"^s1 (.*?) ((?:\[\d+\])+)\.?$", call.text, re.MULTILINE)
    answer = []
    if found is not None:
        numbers = [int(number) for number in re.findall(r"\d+", found[2])]
        answer = [{"text": f"In short, it is so: {found[1].rstrip('.')}.", "quotes": numbers}]
    return gives({"title": "The harbour of Hova", "answer": answer, "leave_out": []})


def answering(parts: list[str], more: Mapping[str, Callable[[Call], Any]] | None = None) -> Callable[[Call], Any]:
    """A model that splits the goal into these parts; `more` answers for some roles in its place."""
    script: dict[str, Callable[[Call], Any]] = {
        "planner": lambda _: gives({"parts": parts}),
        "researcher": research,
        "writer": write,
        "reviewer": lambda _: gives({"accepted": True, "notes": []}),
        **(more or {}),
    }
    return lambda call: script[role_of(call)](call)
