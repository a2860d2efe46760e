"""Work item by item: the items are listed, sent out side by side, brought to the gate together, and joined.

The supervisor sends them out, so that the graph stays as it is: supervisor and agents. The agent's node is entered for
one item at a time, of which it returns the row and nothing else; and in the whole state to list the items, to ask what
they need to be asked, or to make the artifact of all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import Any, cast

from pydantic import TypeAdapter

from signoff.agents import (
    NO_USAGE,
    Agent,
    Artifact,
    Each,
    Row,
    StepFailed,
    StepHeld,
    Task,
    Usage,
    Waiting,
    Work,
    add_usage,
    ado_work,
    do_work,
)
from signoff.agents.errors import WorkFailed
from signoff.checkpoints import check_storable, digest
from signoff.checkpoints.errors import BudgetExhausted
from signoff.graphs.approval.answers import misfit
from signoff.graphs.approval.questions import Account, ask_for_budget
from signoff.graphs.given import InputModel
from signoff.graphs.nodes.agent import (
    charged,
    checking_plan,
    driven,
    given,
    note_of,
    outcomes_of,
    proposed,
    said_by_item,
    say_as,
    task_of,
)
from signoff.graphs.nodes.runnable import TeamNode
from signoff.graphs.routing.assigning import growth_of
from signoff.graphs.routing.needs_and_gives import order_agents, rejections
from signoff.graphs.routing.planning import sub_goal
from signoff.graphs.routing.sending import Rows, Sent, is_at_items, rows_of
from signoff.graphs.state import ItemRow, StoredProposal, TeamState, Update, end_step, is_awaited, unheard
from signoff.wording import counted, one_line

_TOLD = 3
"""Failures that are told when every item failed."""


class ItemList(Artifact):
    """What there is to do, as JSON; it is never among the team's artifacts."""

    items: tuple[Any, ...]
    after: dict[str, list[str]]
    """Names of the items that end before another, by its name."""


def build_items(agent: Agent[Any], agents: Sequence[Agent[Any]], account: Account, takes: InputModel) -> TeamNode:
    """The node of an agent that works item by item."""
    ordered = order_agents(agents)
    steps = _Steps(checking_plan(agent, ordered), ordered, account, takes)

    def step(state: TeamState) -> Update:
        if "item" in state:
            with steps.at_item(cast(Sent, state)) as (task, update):
                update |= steps.finish(cast(Sent, state), task, do_work(steps.worker, task))
            return update
        update = steps.ask(state)
        for part in steps.parts(state) if not update else ():
            with driven(steps.agent, ordered, account, takes, state) as (task, update):
                update |= steps.end(state, task, do_work(part, task))
            if update:
                break
        return steps.close(state, update)

    async def astep(state: TeamState) -> Update:
        if "item" in state:
            with steps.at_item(cast(Sent, state)) as (task, update):
                update |= steps.finish(cast(Sent, state), task, await ado_work(steps.worker, task))
            return update
        update = steps.ask(state)
        for part in steps.parts(state) if not update else ():
            with driven(steps.agent, ordered, account, takes, state) as (task, update):
                update |= steps.end(state, task, await ado_work(part, task))
            if update:
                break
        return steps.close(state, update)

    return TeamNode(agent.role, step, astep, account.prepare, width=agent.limits.width)


class _Steps:
    """What is done in the node of one agent."""

    def __init__(self, agent: Agent[Any], agents: Sequence[Agent[Any]], account: Account, takes: InputModel) -> None:
        self.agent, self._agents, self._account, self._takes = agent, agents, account, takes
        self._each = each = cast(Each[Any, Any], agent.each)
        self._kind: TypeAdapter[Any] = TypeAdapter(each.of)
        whole = replace(agent, each=None, model=None, function=self._list)
        self._joiner = replace(whole, prepare=None)
        self._lister = replace(whole, gives=ItemList, check=None, propose=None)
        self.worker = replace(
            agent,
            each=None,
            gives=each.gives,
            needs=agent.needs if each.needs is None else tuple(each.needs),
            function=each.function,
            form=each.form,
            read=each.read,
            check=each.check,
            propose=None,
            actions=agent.actions if agent.propose is None else (),
        )
        """Does one item; always the same object, as what its model is offered is kept for it."""

    # In the whole state

    def ask(self, state: TeamState) -> Update:
        """Bring to the gate what the items wait for: first whether a budget is raised, once for all whom it stopped."""
        rows = rows_of(state, self.agent)
        stopped = {name: row for name, row in rows.items() if row["status"] == "stopped"}
        if stopped:
            asked = next(iter(stopped.values()))["proposals"]
            now: dict[str, ItemRow] = {
                name: {**row, "status": "open", "proposals": []} for name, row in stopped.items()
            }
        elif any(row["status"] == "proposed" for row in rows.values()):
            asked = [proposal for row in rows.values() for proposal in row["proposals"]]
            now = {
                name: {**row, "status": "waiting" if row["status"] == "proposed" else row["status"], "proposals": []}
                for name, row in rows.items()
            }
        else:
            return {}
        return {"proposals": [*state.get("proposals", []), *asked], "items": {self.agent.role: now}}

    def parts(self, state: TeamState) -> tuple[Agent[Any], ...]:
        """What is to do: to join the items, or to list them, and to join them at once if there are none."""
        at_items = is_at_items(state, self.agent)
        rows = rows_of(state, self.agent) if at_items else {}
        join = replace(self._joiner, function=partial(self._join, rows))
        return (join,) if at_items else (self._lister, join)

    def end(self, state: TeamState, task: Task, work: Work) -> Update:
        """What finished work in the whole state changes; nothing if no items were listed."""
        if isinstance(work.artifact, ItemList):
            rows = self._open(state, work.artifact, task.untrusted)
            gone = dict.fromkeys(rows_of(state, self.agent).keys() - rows.keys())
            return {"items": {self.agent.role: {**gone, **rows}}} if rows else {}
        rows = rows_of(state, self.agent) if is_at_items(state, self.agent) else {}
        flags = (*work.flags, *(flag for row in rows.values() for flag in row["flags"]))
        update = given(self.agent, self._agents, state, task, replace(work, flags=tuple(dict.fromkeys(flags))))
        failed = sum(row["status"] == "failed" for row in rows.values())
        note = f"{counted(len(rows), 'item')}, {failed} failed" if failed else counted(len(rows), "item")
        told = f"{note_of(work.artifact.brief(), task.stronger)} ({note})".strip()
        update["plan"] = end_step(state["plan"], self.agent.role, "completed", told)
        if proposals := [proposal for row in rows.values() for proposal in row["proposals"]]:
            update["proposals"] = [*update.get("proposals", state.get("proposals", [])), *proposals]
        now = {name: {**row, "is_joined": True, "proposals": []} for name, row in rows.items()}
        return {**update, "items": {self.agent.role: now}}

    def close(self, state: TeamState, update: Update) -> Update:
        """The update of a step that ended; where it failed as its items were joined, they are kept for the next."""
        role = self.agent.role
        if "items" in update or role in (update.get("held") or {}) or not is_at_items(state, self.agent):
            return update
        now = {name: {**row, "is_joined": True} for name, row in rows_of(state, self.agent).items()}
        return {**update, "items": {role: now}}

    def _list(self, task: Task) -> ItemList:
        listed, kind, role = self._each.items(task), self._each.of, self.agent.role
        if isinstance(listed, str) or not isinstance(listed, Sequence):
            problem = f"its items are a {type(listed).__name__}, not a list or tuple of {_called(kind)}"
            raise WorkFailed(role, problem, final=True)
        kept = []
        for item in listed:
            if isinstance(item, str) and not item.strip():
                raise WorkFailed(role, "one of its items is an empty text", final=True)
            try:
                kept.append(self._kept(item))
            except Exception as error:  # a validator is somebody else's code
                problem = f"{item!r:.80} among its items does not fit Each(of={_called(kind)}): {misfit(error)}"
                raise WorkFailed(role, problem, final=True) from error
        return ItemList(items=tuple(kept), after=_order(role, self._each.after, self._kind, _named(kept)))

    def _kept(self, item: Any) -> Any:
        """An item as JSON, of which the same item is read again."""
        self._kind.validate_python(item, strict=True)
        kept = self._kind.dump_python(item, mode="json")
        check_storable(kept)
        if self._kind.validate_python(kept) != item:
            raise ValueError("read back from JSON it is another item")
        return kept

    def _open(self, state: TeamState, listed: ItemList, flags: Sequence[str]) -> dict[str, ItemRow]:
        """Rows of the items, and flags of what they were listed from; what was given for an unchanged one stands."""
        role, artifacts, before = self.agent.role, state["artifacts"], rows_of(state, self.agent)
        versions = {need.__name__: artifacts[need.__name__]["version"] for need in self.worker.needs}
        told = sub_goal(artifacts, role)
        goal, parts = told.goal, told.parts
        rejected = rejections(self._agents, artifacts).get(self.agent.gives.__name__, ())
        rows, named, said = dict[str, ItemRow](), _named(listed.items), said_by_item(state, role)
        places = {name: place for place, name in enumerate(named)}
        for name in TopologicalSorter(listed.after).static_order():
            known, item, after = before.get(name), named[name], listed.after[name]
            notes = [*rejected, *said.get(name, ())]
            row = ItemRow(
                item=item,
                place=places[name],
                status="open",
                note="",
                tries=0,
                gave=known["gave"] if known is not None else {},
                notes=notes,
                held=[],
                heard=[],
                proposals=[],
                flags=list(flags),
                usage=NO_USAGE,
                unbooked=NO_USAGE,
                is_over=False,
                is_joined=False,
                basis=digest([item, versions, goal if item in parts else [goal, *parts], notes]),
                after=after,
            )
            stands = known is not None and known["status"] == "done" and known["basis"] == row["basis"]
            stands = stands and all(rows[one]["status"] == "done" for one in after)
            rows[name] = {**known, "place": row["place"], "is_joined": False} if known and stands else row
        return rows

    def _join(self, rows: Rows, task: Task) -> Any:
        failed = [f"{name}: {row['note']}" for name, row in rows.items() if row["status"] == "failed"]
        if rows and len(failed) == len(rows):
            told = "; ".join(failed[:_TOLD]) + ("; …" if len(failed) > _TOLD else "")
            which = f"all {len(rows)} items" if len(rows) > 1 else "its one item"
            raise WorkFailed(self.agent.role, f"{which} failed: {told}", final=True)
        return self._each.join(_read(rows, self._each, self._kind), task)

    # At one item

    @contextmanager
    def at_item(self, state: Sent) -> Iterator[tuple[Task, Update]]:
        """What is to do for it, and the update, which gets its row if it was held or failed."""
        name, task, update = state["item"], self._task(state), Update()
        row = rows_of(state, self.agent)[name]
        share = 0 if row["is_over"] else state["of"]
        payer = self._account.payer(state["run"]["id"], self.agent.role, task.say, name, share)
        try:
            with charged(payer):
                yield task, update
        except StepHeld as held:
            doing = f"{self.agent.role} was at work on {one_line(name)[:80]}, one of {counted(state['of'], 'item')}."
            if not isinstance(held.error, BudgetExhausted):
                asked: Update = {"status": "proposed", "proposals": self._proposed(state, task, held, held.error)}
            elif held.error.scope.startswith("item:"):
                task.say("its share of the budget is used up; it goes on after the others")
                asked = {"status": "open", "is_over": True}
            else:
                asked = {"status": "stopped", "proposals": [ask_for_budget(state, held.error, payer, doing)]}
            heard = [*row["heard"], *(found for found in sorted(held.heard) if found not in row["heard"])]
            asked |= {"held": list(held.transcript), "heard": heard, "flags": list(held.flags)}
            update |= self._row(state, held.usage, asked)
        except StepFailed as failed:
            update |= self._row(state, failed.usage, self._failed(state, task, failed))

    def finish(self, state: Sent, task: Task, work: Work) -> Update:
        """The row of an item whose work is done."""
        flags = list(dict.fromkeys((*task.untrusted, *work.flags)))
        proposals = [(proposal, "") for proposal in work.proposals]
        task.say("done")
        done: Update = {
            "status": "done",
            "note": note_of(work.artifact.brief(), task.stronger),
            "gave": work.artifact.model_dump(mode="json"),
            "held": [],
            "proposals": proposed(self.agent, self._agents, state, task, proposals, flags, state["item"]),
            "flags": flags,
        }
        return self._row(state, work.usage, done)

    def _task(self, state: Sent) -> Task:
        name, role = state["item"], self.agent.role
        row = rows_of(state, self.agent)[name]
        run = state["run"]
        if self._takes.kind is not None:
            run = {**run, "input": self._account.ledger().runs.get(run["id"]).input}
        seen: Sent = {**state, "run": run, "heard": [*state.get("heard", []), *row["heard"]]}
        task = task_of(replace(self.worker, gives=self.agent.gives), self._agents, self._takes, seen)
        tried = ""
        if self.agent.model is not None and row["tries"]:
            tried = f"Your last try failed: {row['note']}. Do it in another way."
        told, growth = sub_goal(state["artifacts"], role), growth_of(self.agent)
        if row["item"] in told.parts:  # the others are none of its business
            task = replace(
                task, instructions=f"{told.goal}{task.instructions.removeprefix(told.told)}".strip(), parts=()
            )
        return replace(
            task,
            item=self._kind.validate_python(row["item"]),
            rows=tuple(_read(state.get("ended", {}), self._each, self._kind)),
            untrusted=tuple(dict.fromkeys((*task.untrusted, *state.get("untrusted", ()), *row["flags"]))),
            notes=tuple(row["notes"]),
            previous=self._each.gives.model_validate(row["gave"]) if row["gave"] else None,
            instructions="\n".join(filter(None, (task.instructions, tried))),
            say=say_as(role, one_line(name)[:80]),
            stronger=max(task.stronger, min(row["tries"] // self.agent.limits.attempts, growth)),
            transcript=tuple(row["held"]),
            outcomes=outcomes_of(seen, role, name),
        )

    def _proposed(self, state: Sent, task: Task, held: StepHeld, waiting: Waiting) -> list[StoredProposal]:
        flags = list(dict.fromkeys((*task.untrusted, *held.flags)))
        calls = [(proposal, call) for call, proposal in waiting.proposals.items()]
        return proposed(self.agent, self._agents, state, task, calls, flags, state["item"])

    def _failed(self, state: Sent, task: Task, failed: StepFailed) -> Update:
        """It is tried again, as often as a step is, and then its row says why."""
        row, failure = rows_of(state, self.agent)[state["item"]], failed.failure
        tries = row["tries"] + 1
        is_last = failure.final or tries >= self.agent.limits.attempts * (1 + growth_of(self.agent))
        task.say(f"{'failed' if is_last else 'is tried again'}: {failure.problem}")
        awaited = (told for told in unheard(state, self.agent.role, state["item"]) if is_awaited(told))
        return {
            "status": "failed" if is_last else "open",
            "note": failure.problem,
            "tries": tries,
            "held": [],
            "heard": list(dict.fromkeys((*row["heard"], *(told["proposal"] for told in awaited)))),
            "flags": list(failed.flags),
        }

    def _row(self, state: Sent, used: Usage, changed: Update) -> Update:
        """The item's row, and nothing else: what other items write at the same time stays theirs."""
        name = state["item"]
        row = rows_of(state, self.agent)[name]
        usage = {"usage": add_usage(row["usage"], used), "unbooked": add_usage(row["unbooked"], used)}
        return {"items": {self.agent.role: {name: {**row, **usage, **changed}}}}


def _order(
    role: str, find: Callable[[Any], Sequence[str]] | None, kind: TypeAdapter[Any], named: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Which items each comes after; WorkFailed if that can never be."""
    after = {name: [*dict.fromkeys(find(kind.validate_python(item)) if find else ())] for name, item in named.items()}
    for name, others in after.items():
        if unknown := [one for one in others if one not in named]:
            problem = f"{name!r} among its items comes after {unknown[0]!r}, which is none of them"
            raise WorkFailed(role, problem, final=True)
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        problem = f"its items come after each other in a circle: {', '.join(error.args[1])}"
        raise WorkFailed(role, problem, final=True) from error
    return after


def _read(rows: Rows, each: Each[Any, Any], kind: TypeAdapter[Any]) -> list[Row[Any]]:
    """Rows as work is handed them."""
    return [
        Row(
            item=kind.validate_python(row["item"]),
            name=name,
            gave=each.gives.model_validate(row["gave"]) if row["status"] == "done" else None,
            problem=row["note"] if row["status"] == "failed" else "",
        )
        for name, row in rows.items()
    ]


def _called(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _named(items: Sequence[Any]) -> dict[str, Any]:
    """The items by name, each once: a text itself, of an object its first text; numbered where that is not enough."""
    named = dict[str, Any]()
    for item in items:
        values = item.values() if isinstance(item, dict) else (item,)
        name = first = next((value for value in values if isinstance(value, str) and value.strip()), str(item))
        number = 1
        while name in named and named[name] != item:
            number += 1
            name = f"{first} ({number})"
        named[name] = item
    return named
