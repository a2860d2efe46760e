"""What is read of a run's checkpoints: how it stands, or stood after one of its steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

from signoff.checkpoints import configured_ledger, configured_saver
from signoff.fleet.errors import NoSuchStep
from signoff.settings import Settings

FIRST: Final = "first"
"""Where a run began, whichever checkpoint that is."""


@dataclass(frozen=True)
class Past:
    """How a run stood after a step."""

    id: str
    """Of the checkpoint."""
    step: int
    at: str
    state: Mapping[str, Any]
    before: str
    """The checkpoint before it; empty if it is the first."""
    after: str
    """The one after it; empty if it is the last."""

    @property
    def is_amid(self) -> bool:
        """Whether the run had begun then, and not ended: it can be played again from here."""
        run = self.state.get("run")
        return bool(run and not run["ended"])


def read_state(run_id: str, settings: Settings, place: str = "") -> dict[str, Any]:
    """The state of a run's graph at its last checkpoint, whatever team it has; empty before the first.

    That of a child of it is at another `place` of the same thread. UnknownRun, by the settings of one tenant, if it is
    another's: checkpoints lie together, and the ledger says whose they are.
    """
    with _saver_for(run_id, settings) as saver:
        return state_in(saver, run_id, place)


def state_in(saver: BaseCheckpointSaver[Any], run_id: str, place: str = "") -> dict[str, Any]:
    """The same of a saver that is open."""
    found = saver.get_tuple(config_of(run_id, place))
    return dict(found.checkpoint["channel_values"]) if found else {}


def past_of(run_id: str, at: str, settings: Settings, place: str = "") -> Past:
    """How a run stood at a checkpoint of it, or at the `first` at which it had begun; NoSuchStep if it has none such.

    That of a child of it is at another `place` of the same thread. UnknownRun as `read_state` has it.
    """
    with _saver_for(run_id, settings) as saver:
        found = _first(saver, run_id, place) if at == FIRST else saver.get_tuple(config_of(run_id, place, at))
        if found is None:
            raise NoSuchStep(run_id, at)
        step, mine = int(found.metadata.get("step", 0)), _id_of(found.config)
        later = saver.list(config_of(run_id, place), filter={"step": step + 1})
        after = next((_id_of(one.config) for one in later if _id_of(one.parent_config) == mine), "")
        state = dict(found.checkpoint["channel_values"])
        return Past(mine, step, str(found.checkpoint["ts"]), state, _id_of(found.parent_config), after)


def _first(saver: BaseCheckpointSaver[Any], run_id: str, place: str) -> CheckpointTuple | None:
    """The first with a state of its own: of a fork that is what it was forked from."""
    for told in ({"source": "fork"}, {"step": 0}):
        for found in saver.list(config_of(run_id, place), filter=told):
            return found
    return None


def _id_of(config: RunnableConfig | None) -> str:
    return str(config["configurable"]["checkpoint_id"]) if config else ""


@contextmanager
def _saver_for(run_id: str, settings: Settings) -> Iterator[BaseCheckpointSaver[Any]]:
    """The saver of the settings, to read this run with; UnknownRun as `read_state` has it."""
    if settings.tenant:
        with closing(configured_ledger(settings)) as ledger:
            ledger.runs.get(run_id)
    with configured_saver(settings) as saver:
        yield saver


def config_of(run_id: str, place: str = "", at: str = "") -> RunnableConfig:
    """Where a run's checkpoints are, or `at` this one of them."""
    named = {"checkpoint_id": at} if at else {}
    return {"configurable": {"thread_id": run_id.partition("~")[0], "checkpoint_ns": place, **named}}
