"""Rows for a CRM: what is to be proposed, what became of it, and what stands there now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from signoff.agents.agent import Outcome, Task
from signoff.agents.artifacts import Check, Part, Table, evidence, markdown
from signoff.tools import Action
from signoff.tools.crm import CRM, AddressedRow, Row, names_suppressed
from signoff.tools.errors import CrmFailed
from signoff.wording import as_words

R = TypeVar("R", bound=Row)


class Tally(Part):
    """What became of all proposals of one kind."""

    approved: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    unknown: int = 0
    rejected: int = 0
    """By a person, by policy, or because nobody decided in time."""
    not_called: int = 0
    """Of a dry run."""

    @property
    def adds_up(self) -> bool:
        """Whether each that was approved is one of the others."""
        done = self.created + self.updated + self.unchanged + self.refused
        return done + self.not_called == self.approved and not self.unknown


def outcomes_of(task: Task, action: Action[Any] | None, *statuses: str) -> list[Outcome]:
    """What became of the proposals of this action, of each row the last, with one of these statuses if any is named."""
    last = {one.args.get("key", one.proposal): one for one in task.outcomes if action and one.action == action.name}
    return [one for one in last.values() if not statuses or one.status in statuses]


def tally(task: Task, action: Action[Any] | None) -> Tally:
    """The outcomes of an action that writes rows, counted."""
    found = outcomes_of(task, action)
    changes = [str(one.result.get("change")) for one in found if one.status == "done"]
    counts = {name: changes.count(name) for name in ("created", "updated", "unchanged")}
    by = {name: sum(one.status == name for one in found) for name in ("done", "failed", "abandoned", "skipped")}
    return Tally(
        **counts,
        approved=sum(by.values()),
        refused=by["failed"],
        unknown=by["abandoned"] + by["done"] - sum(counts.values()),
        not_called=by["skipped"],
        rejected=len(found) - sum(by.values()),
    )


def unsaid(task: Task, action: Action[Any], rows: Sequence[R]) -> list[R]:
    """Those of these rows that were not proposed in this run: what was decided is not asked again."""
    said: dict[Any, list[Any]] = {}
    for one in task.outcomes:
        if one.action == action.name:
            said.setdefault(one.proposed.get("key"), []).append(one.proposed.get("properties"))
    return [row for row in rows if row.properties not in said.get(row.key, ())]


def planned(wanted: Sequence[AddressedRow], taken: Sequence[AddressedRow], crm: CRM, today: str) -> Planned:
    """What is to be written of rows that are `planned`, each with its `due` day, and of those that are taken back.

    Nothing of what was sent or cancelled before; and what was planned before and is due by now stands apart.
    """
    properties = dict.fromkeys(name for row in (*wanted, *taken) for name in row.properties)
    found = crm.find([row.key for row in (*wanted, *taken)], [*properties])
    stands = {key: record.properties.get("status", "") for key, record in found.items()}
    rows = [row.over(found.get(row.key)) for row in wanted if stands.get(row.key, "planned") == "planned"]
    is_due = {row.key: row.key in stands and row.properties["due"] <= today for row in rows}
    due, later = ([row for row in rows if is_due[row.key] is wanted] for wanted in (True, False))
    over = [row.over(found[row.key]) for row in taken if stands.get(row.key) == "planned"]
    return Planned(tuple(later), tuple(due), tuple(over))


class Planned(NamedTuple):
    """Messages that are planned: later ones, those that are due, and those that are cancelled."""

    later: tuple[AddressedRow, ...]
    due: tuple[AddressedRow, ...]
    cancelled: tuple[AddressedRow, ...]


def check_rows(task: Task, action: Action[Any], crm: CRM) -> tuple[Check, ...]:
    """Whether all that was approved is accounted for, stands in the CRM as it was approved, and stands there once."""
    done, counted = outcomes_of(task, action, "done"), tally(task, action)
    rows = {str(one.args["key"]): AddressedRow.model_validate(one.args) for one in done}
    names = list(dict.fromkeys(name for row in rows.values() for name in row.properties))
    try:
        found, problem = crm.find(list(rows), names), ""
    except CrmFailed as error:
        found, problem = {}, str(error)
    apart = [row.name for key, row in rows.items() if key not in found or not found[key].holds(row)]
    differs = [f"{one.args['name']} ({', '.join(one.result['differs'])})" for one in done if one.result.get("differs")]
    return (
        Check(
            name="Created, updated, unchanged and refused are together what was approved.",
            passed=counted.adds_up,
            detail="" if counted.adds_up else str(counted.model_dump()),
        ),
        Check(
            name=f"Each row reads back as it was approved, and stands there once ({len(rows)} rows).",
            passed=not (apart or differs or problem),
            detail="; ".join(filter(None, (problem, ", ".join(apart), ", ".join(differs)))),
        ),
    )


def check_outgoing(rows: Sequence[Row], entries: frozenset[str]) -> Check:
    """Whether nothing that goes out names anybody who is suppressed, looked for in what goes out itself."""
    named = [f"{row.name}: {entry}" for row in rows if (entry := names_suppressed([row.name, row.properties], entries))]
    return Check(
        name="Nothing that goes out names anybody who is suppressed.", passed=not named, detail=", ".join(named)
    )


def dashboard(told: Mapping[str, Any], table: Table) -> str:
    """A summary in Markdown: what was counted, each list and table of it, and the table with its evidence."""
    counts = [
        f"- {as_words(name)}: {as_words(str(value))}" for name, value in told.items() if isinstance(value, int | str)
    ]
    sections = [_section(name, value) for name, value in told.items() if value and isinstance(value, dict | list)]
    table_of_it = f"## Table\n\n{markdown(table)}\n\n## Evidence\n\n{evidence(table)}"
    return "\n\n".join([f"# {as_words(table.title)}", "\n".join(counts), *sections, table_of_it]) + "\n"


def _section(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "\n".join([f"## {_capital(name)}", "", *(f"- {as_words(str(one))}" for one in value)])
    if all(isinstance(one, int) for one in value.values()):
        lines = [f"- {as_words(str(row).replace('_', ' '))}: {number}" for row, number in value.items()]
        return "\n".join([f"## {_capital(name)}", "", *lines])
    lines = [f"- **{as_words(row)}**: {as_words(_one(one))}" for row, one in value.items()]
    return "\n".join([f"## {_capital(name)}", "", *lines])


def _one(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_one(inner)}" for name, inner in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _capital(name: str) -> str:
    return as_words(name[:1].upper() + name[1:])
