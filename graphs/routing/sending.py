"""Sending: which items of an agent that works item by item are worked on next, side by side, and how far they are."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from langgraph.types import Send

from signoff.agents import NO_USAGE, Agent, add_usage
from signoff.graphs.routing.planning import PLAN
from signoff.graphs.state import ItemRow, StoredOutcome, TeamState, Update

_SENT = ("assignment", "turns", "usage")
"""What the work on an item is handed of the state, beside the run, its own outcomes and the artifacts that it needs."""

_WHOLE = ("given", "input")
"""What the run was given, often the items' names: the work on an item finds it in the ledger."""

Rows = Mapping[str, ItemRow]

_OPEN = ("open", "waiting", "proposed", "stopped")
_STEPS = 16
"""In about so many steps of the graph all items are sent, however many: each step keeps what is known of all."""


class Sent(TeamState, total=False):
    """What the node is entered with for one item: as much of the state as that takes."""

    item: str
    """Its name; `items` has its row alone."""
    of: int
    """How many items there are."""
    untrusted: list[str]
    """What was flagged in the artifacts that the items were listed from, shown or not."""
    ended: Rows
    """The rows of the items that it comes after."""


@dataclass(frozen=True)
class Going:
    """How the work on the items goes on."""

    sent: list[Send]
    """Those that are worked on now; none: they are asked about, or joined."""
    update: Update
    """What was used until now."""
    told: str
    """How far they are."""


def is_at_items(state: TeamState, agent: Agent[Any]) -> bool:
    """Whether the agent is amid its items."""
    return agent.each is not None and any(not row["is_joined"] for row in rows_of(state, agent).values())


def go_on(state: TeamState, agent: Agent[Any]) -> Going:
    """Send out those that are worked on now, each when those that it comes after have ended.

    As many as are worked on side by side; of very many more, which the node begins one after the other. Those whose
    share of the budget is used up are left until the others have ended, or wait. Nothing is sent once a budget has
    ended: somebody is asked first.
    """
    found = rows_of(state, agent)
    booked: dict[str, ItemRow] = {
        name: {**row, "unbooked": NO_USAGE} for name, row in found.items() if row["unbooked"]["calls"]
    }
    rows = {**found, **booked}
    used = reduce(add_usage, (found[name]["unbooked"] for name in booked), NO_USAGE)
    free = {name: row for name, row in rows.items() if not any(rows[one]["status"] in _OPEN for one in row["after"])}
    ready = {name: row for name, row in free.items() if row["status"] in ("open", "waiting")}
    first = {name: row for name, row in ready.items() if not row["is_over"]} or ready
    if any(row["status"] == "stopped" for row in rows.values()):
        first = {}
    needs = agent.needs if agent.each is None or agent.each.needs is None else agent.each.needs
    names = {need.__name__ for need in needs} | {PLAN}
    kept = {
        **{name: state[name] for name in _SENT if name in state},  # type: ignore[literal-required]  # all are its fields
        "run": {name: value for name, value in state["run"].items() if name not in _WHOLE},
        "artifacts": {name: stored for name, stored in state["artifacts"].items() if name in names},
        "of": len(rows),
        "untrusted": [flag for need in agent.needs for flag in state["artifacts"][need.__name__].get("flags", ())],
    }
    chosen = [*first.items()][: max(agent.limits.width, math.ceil(len(rows) / _STEPS))]
    own = _own(state, agent.role)
    sent = [
        Send(
            agent.role,
            {
                **kept,
                **own(name),
                "item": name,
                "items": {agent.role: {name: row}},
                "ended": {one: rows[one] for one in row["after"]},
            },
        )
        for name, row in chosen
    ]
    update: Update = {}
    if used["calls"]:
        update = {"usage": add_usage(state.get("usage", NO_USAGE), used), "items": {agent.role: booked}}
    return Going(sent, update, tell_items(rows))


def _own(state: TeamState, role: str) -> Callable[[str], Update]:
    """What came of an item's own proposals: with all of them what is stored would grow with the items' square."""
    own, heard = defaultdict[str, list[StoredOutcome]](list), set(state.get("heard", []))
    for one in state.get("outcomes", []):
        if one["role"] == role and "item" in one:
            own[one["item"]].append(one)

    def of(item: str) -> Update:
        return {
            "outcomes": own.get(item, []),
            "heard": sorted({one["proposal"] for one in own.get(item, ())} & heard),
        }

    return of


def tell_items(rows: Rows) -> str:
    """How far the items are, in words."""
    count = Counter(row["status"] for row in rows.values())
    waiting = count["proposed"] + count["waiting"] + count["stopped"]
    more = ((count["failed"], "failed"), (waiting, "waiting"))
    return ", ".join([f"{count['done']} of {len(rows)} done", *(f"{number} {what}" for number, what in more if number)])


def rows_of(state: TeamState, agent: Agent[Any]) -> dict[str, ItemRow]:
    """The agent's rows by name, in the order of the items."""
    rows = (state.get("items") or {}).get(agent.role) or {}
    return dict(sorted(rows.items(), key=lambda found: found[1]["place"]))
