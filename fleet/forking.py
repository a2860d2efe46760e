"""Forks: a run begins as another one stood between two of its steps, and goes its own way from there.

What the other one has done is not done again: the ledger knows it for the fork, too.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from langchain_core.runnables import RunnableConfig
from langgraph.types import StateSnapshot

from signoff.checkpoints import configured_saver
from signoff.checkpoints.jobs import DEFAULT_TENANT
from signoff.checkpoints.ledger import RUN_CLIENT, RUN_FORK, RUN_TENANT, Ledger, RunRecord
from signoff.fleet.driver import check_whole
from signoff.fleet.errors import NoSuchStep, RunExists
from signoff.graphs import Team, as_run
from signoff.settings import Settings

_DIGITS: Final = 10
"""Of the number of a step there are fewer; more are the id of a checkpoint."""


@dataclass(frozen=True)
class Moment:
    """Where a run stood between two steps."""

    id: str
    """Of the checkpoint."""
    step: int
    at: str
    next: tuple[str, ...]
    """The nodes of the graph that come next."""
    made: tuple[str, ...]
    """The artifacts that there were."""
    settled: int
    """Proposals of which something had come."""


def moments_of(
    run_id: str, team: Team, settings: Settings, *, before: str = "", most: int = 20
) -> tuple[list[Moment], str]:
    """Where a fork of this run can begin, the newest first; and what comes before these, empty: nothing."""
    found, last = list[StateSnapshot](), _at(run_id, before) if before else None
    with configured_saver(settings) as saver:
        graph = team.compile(checkpointer=saver)
        found.extend(graph.get_state_history(_at(run_id), before=last, limit=most + 2))
    amid = [past for past in found if _is_amid(past)]  # its end is none
    last_shown = amid[most - 1] if len(amid) > most else found[-1] if len(found) > most + 1 else None
    return [_moment(past) for past in amid[:most]], _id_of(last_shown) if last_shown else ""


def moments_at(run_id: str, at: str, team: Team, settings: Settings) -> list[Moment]:
    """Where a fork begins that is to begin at the step of this number, or at this checkpoint.

    Empty if the run never stood there; several if some program of yours has set it back, and it went on anew.
    """
    is_number = at.isdecimal() and len(at) < _DIGITS
    with configured_saver(settings) as saver:
        graph = team.compile(checkpointer=saver)
        if is_number:
            found = list(graph.get_state_history(_at(run_id), filter={"step": int(at)}))
        else:
            found = [graph.get_state(_at(run_id, at))]
    return [_moment(past) for past in found if _is_amid(past)]


def fork_run(
    ledger: Ledger, run_id: str, at: str, *, team: Team, settings: Settings, dry_run: bool = False, new: str = ""
) -> str:
    """Begin a run as this one stood at a moment of it; the id of the new one, which nobody drives yet.

    In the name of the settings' user, with a budget of its own, and what is to be decided is asked anew. NoSuchStep if
    the run did not stand there, ChildRun if it is the work of an agent in another one. `new` is the id that it is to
    have: RunExists if there is a run of this id.
    """
    record = ledger.runs.get(run_id)
    check_whole(record)
    new = new or f"r-{secrets.token_hex(4)}"
    if ledger.runs.some([new]):
        raise RunExists(new)
    with configured_saver(settings) as saver:
        past = team.compile(checkpointer=saver).get_state(_at(record.id, at)) if at else None
        kept = saver.get_tuple(_at(record.id, at)) if past is not None and _is_amid(past) else None
        if kept is None:
            raise NoSuchStep(record.id, at)
        values = as_run(kept.checkpoint["channel_values"], new)
        checkpoint: Any = {**kept.checkpoint, "channel_values": values}
        told: Any = {"source": "fork", "step": kept.metadata.get("step", 0), "parents": {}}
        saver.put(_at(new), checkpoint, told, kept.checkpoint["channel_versions"])
    known = {"team": record.team, "goal": record.goal, "driver": "local", "requested_by": settings.user_name}
    options = _options(ledger, record, at)
    if not ledger.runs.begin_as(new, options=options, dry_run=dry_run or record.dry_run, **known):
        raise RunExists(new)
    return new


def _options(ledger: Ledger, record: RunRecord, at: str) -> dict[str, Any]:
    """Those of the run, and whose it is; the conversation that it belongs to is not the fork's."""
    kept = {name: value for name, value in record.options.items() if name != RUN_CLIENT}
    job = ledger.jobs.get(record.id)
    if job is not None and job.tenant != DEFAULT_TENANT:
        kept[RUN_TENANT] = job.tenant
    return {**kept, RUN_FORK: {"of": [record.id, *forked_from(record)], "at": at}}


def forked_from(record: RunRecord) -> Sequence[str]:
    """The run that this one was forked from, and those before that; empty if it was not."""
    fork: Mapping[str, Any] = record.options.get(RUN_FORK, {})
    return list(fork.get("of", ()))


def _is_amid(past: StateSnapshot) -> bool:
    """Whether the run was begun then, and not at its end."""
    run = past.values.get("run") if past.created_at is not None and past.next else None
    return bool(run and not run["ended"])


def _moment(past: StateSnapshot) -> Moment:
    step = (past.metadata or {}).get("step", 0)
    made = tuple(past.values.get("artifacts") or ())
    settled = len(past.values.get("outcomes") or ())
    return Moment(_id_of(past), step, past.created_at or "", past.next, made, settled)


def _id_of(past: StateSnapshot) -> str:
    return str(past.config["configurable"]["checkpoint_id"])


def _at(run_id: str, checkpoint: str = "") -> RunnableConfig:
    at = {"checkpoint_id": checkpoint} if checkpoint else {}
    return {"configurable": {"thread_id": run_id, "checkpoint_ns": "", **at}}
