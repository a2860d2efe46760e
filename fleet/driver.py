"""Driving: a run goes on by its id alone, from wherever it stands, until it ends or waits for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.types import StateSnapshot

from signoff.agents import run_span
from signoff.checkpoints import Fence, configured_ledger, configured_saver, readable_text, working
from signoff.checkpoints.errors import RunBusy, StoreError
from signoff.checkpoints.ledger import RUN_INPUT, SETTLE_OUTCOME, Fenceable, Ledger, RunRecord
from signoff.checkpoints.ledger.budgets import Budget
from signoff.concurrency import attend
from signoff.error_base import SignoffError
from signoff.fleet.errors import OwnModels, RunElsewhere
from signoff.fleet.events import Watch, look_away, read_events
from signoff.graphs import Team
from signoff.graphs.approval import first_decided
from signoff.graphs.teams import rebuild_team
from signoff.settings import Settings, load_settings
from signoff.tools.broker import open_broker

RUN_BUDGET: Final = "run budget"
"""Where a run's options keep what it may use; no team can have such an option by accident."""
_LEASE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Driver:
    """Drives the runs of one ledger, several at once if threads of several call it."""

    ledger: Ledger
    settings: Settings
    saver: BaseCheckpointSaver[Any] | None = None
    """An open saver that all runs share; None: that of the settings is opened for each."""

    @classmethod
    def open(cls, settings: Settings | None = None, ledger: Ledger | None = None) -> Driver:
        """A driver by the settings, on their ledger unless another is given."""
        settings = settings or load_settings()
        open_broker(settings)  # first of all, so that its secrets leave the environment
        return cls(ledger or configured_ledger(settings), settings)

    def team_of(self, record: RunRecord, team: Team | None = None) -> Team:
        """The team as this run has it. A ready-made one is built again; any other must be given."""
        options = dict(record.options)
        budget = options.pop(RUN_BUDGET, None)
        options.pop(RUN_INPUT, None)
        team = team or rebuild_team(record.team, options, self.settings)
        return replace(
            team, ledger=self.ledger, budget=team.budget if budget is None else Budget.model_validate(budget)
        )

    def change_model(self, record: RunRecord, name: str) -> RunRecord:
        """Have this model do all of the run's work from now on, and later too; it is built before anything is kept.

        UnknownModel if there is none of this name, OwnModels if the team is not one that is built by the settings.
        """
        if "model" not in record.options:
            raise OwnModels(record.id, record.team)
        changed = replace(record, options={**record.options, "model": name})
        self.team_of(changed)
        self.ledger.runs.change_options(record.id, changed.options, by=self.settings.user_name)
        return changed

    def drive(self, run_id: str, team: Team | None = None, *, watch: Watch = look_away) -> None:
        """Go on until the run ends or waits for a person; RunBusy if another process drives it.

        `team` is what `team_of` gave; InputChanged if it no longer takes what the run was given. An error that nobody
        can work around is noted with the run, and raised. Whatever interrupts the caller cancels what is under way: the
        run is cut off, and can be resumed.
        """
        record = self.ledger.runs.get(run_id)
        team = team or self.team_of(record)
        team.takes.restore(record.goal, record.input)
        attend(partial(self._drive, run_id, team), watch)

    def _drive(self, run_id: str, team: Team, watch: Watch) -> None:
        with self._held(run_id) as fence:
            try:
                self._go_on(fence, team, watch)
            except (RunBusy, RunElsewhere):
                raise
            except Exception as error:
                note = str(error) if isinstance(error, SignoffError) else f"{type(error).__name__}: {error}"
                with suppress(StoreError, RunBusy):  # the first error is the one to tell
                    self.ledger.runs.set_status(run_id, "failed", readable_text(note))
                raise

    @contextmanager
    def _held(self, run_id: str) -> Iterator[Fence]:
        """Hold the run, renewed in the background; whoever was replaced meanwhile is refused at the next write."""
        runs = self.ledger.runs
        with working() as owner:
            fence = runs.claim(run_id, owner, seconds=_LEASE_SECONDS)
            try:
                with self.ledger.keep_alive.renewing(
                    lambda _: runs.renew(run_id, owner, seconds=_LEASE_SECONDS), run_id
                ):
                    yield fence
            finally:
                with suppress(StoreError):  # a claim that cannot be given back is nobody's: nobody is at work on it
                    runs.release(run_id, owner)

    def _go_on(self, fence: Fence, team: Team, watch: Watch) -> None:
        runs, run_id = self.ledger.runs, fence.run_id
        with self._fenced_saver(fence) as saver:
            graph, config = team.compile(checkpointer=saver), {**_config(run_id), "recursion_limit": 100_000}
            snapshot = graph.get_state(config)
            begun = snapshot.created_at is not None
            # `next` is empty after a crash between a task's writes and the next checkpoint; `tasks` is not.
            asked_again = self._asked_again(run_id, graph, snapshot)
            if begun and not snapshot.tasks and asked_again is None:
                return self._close(run_id, snapshot.values)
            if snapshot.interrupts and self._waits(snapshot):
                return None
            record = runs.get(run_id)
            if not begun and record.driver != "local":
                raise RunElsewhere(run_id)
            runs.set_status(run_id, "running")
            start, since = None if begun else {**record.input, "goal": record.goal}, asked_again or config
            with run_span(run_id, team.name):
                for mode, part in graph.stream(start, since, stream_mode=["custom", "updates"], durability="sync"):
                    for event in read_events(mode, part):
                        watch(event)
            if runs.get(run_id).status == "running":
                self._note_end(run_id, graph.get_state(config).values)
            return None

    def _asked_again(self, run_id: str, graph: Any, now: StateSnapshot) -> RunnableConfig | None:
        """From where an ended run goes on, because somebody took back what they had said of a call; None otherwise.

        That is the last question about it: what the run did since was nothing outside, and is done again.
        """
        open_calls = {(effect.key, effect.claims) for effect in self.ledger.effects.of_run(run_id) if effect.is_open}
        if not open_calls or not now.values.get("run", {}).get("ended"):
            return None
        for past in graph.get_state_history(_config(run_id)):
            asked = past.values["proposals"][0] if past.next == ("gate",) else None
            args = asked["args"] if asked is not None and asked["action"] == SETTLE_OUTCOME else {}
            if (args.get("effect"), args.get("claim")) in open_calls:
                config: RunnableConfig = past.config
                return config
        return None

    def _note_end(self, run_id: str, values: Mapping[str, Any]) -> None:
        """Say in the ledger that the run has ended, if it still says something else.

        Its last node does, unless a crash fell between that and the checkpoint: then the node is not executed again.
        A run that failed after its last checkpoint was kept has not failed.
        """
        current = values.get("run", {})
        is_over = self.ledger.runs.get(run_id).status in ("done", "stopped")
        if current.get("id") == run_id and current["ended"] and not is_over:
            last = next((said.text for said in values["messages"] if said.id == f"{run_id}-finish"), "")
            self.ledger.runs.set_status(run_id, current["ended"], last)

    def _waits(self, snapshot: StateSnapshot) -> bool:
        """Whether nothing that is asked was decided, and the thread shows it as it stands."""
        first, *others = snapshot.values["proposals"]
        asked = self.ledger.approvals.of_proposal(first["id"])
        shown = [(question.value["approval_id"], question.value["args_sha256"]) for question in snapshot.interrupts]
        return (
            asked is not None
            and asked.status == "pending"
            and (asked.id, asked.shown_sha256) in shown
            and first_decided(self.ledger, others) is None
        )

    def _close(self, run_id: str, values: Mapping[str, Any]) -> None:
        """A thread that was ended from outside, before its run was at its end, is a run that was stopped."""
        if values.get("run", {}).get("ended"):
            return self._note_end(run_id, values)
        for approval in self.ledger.approvals.pending(run_id):
            self.ledger.approvals.close(approval.id, by="policy", reason="the thread was ended")
        note = "The thread was ended from outside; nothing more is done."
        return self.ledger.runs.set_status(run_id, "stopped", note)

    @contextmanager
    def _fenced_saver(self, fence: Fence) -> Iterator[BaseCheckpointSaver[Any]]:
        """The saver for this claim alone: with one that was replaced not even the last step is written."""
        with configured_saver(self.settings) if self.saver is None else nullcontext(self.saver) as saver:
            yield saver.fenced(fence, self.ledger.database) if isinstance(saver, Fenceable) else saver


def read_state(run_id: str, settings: Settings) -> dict[str, Any]:
    """The state of a run's graph at its last checkpoint, whatever team it has; empty before the first."""
    with configured_saver(settings) as saver:
        found = saver.get_tuple(_config(run_id))
    return dict(found.checkpoint["channel_values"]) if found else {}


def _config(run_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": run_id.partition("~")[0]}}
