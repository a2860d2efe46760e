"""A run: one goal given to one team, driven in this process until it ends or waits for a person."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.types import StateSnapshot

from signoff.agents.run_context import budgets_of
from signoff.agents.tracing import run_span
from signoff.agents.usage import NO_USAGE, Usage
from signoff.checkpoints.canonical import readable_text
from signoff.checkpoints.ledger.approval import Approval, Person
from signoff.checkpoints.ledger.budgets.model import Budget, budget_of
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.runs import RunRecord, Status
from signoff.checkpoints.opening import configured_ledger, configured_saver
from signoff.checkpoints.process_identity import current_owner
from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.errors import NothingAsked, RunBusy, RunElsewhere, SeveralAsked, SignoffError, StoreError, UnknownApproval
from signoff.fleet.events import Event, Watch, read_events
from signoff.fleet.notebook import run_html, run_markdown
from signoff.graphs.approval.answers import Decision, read_edit
from signoff.graphs.approval.decision import decide
from signoff.graphs.approval.opening import first_decided
from signoff.graphs.approval.questions import CONTROLS
from signoff.graphs.nodes.intake import read_goal
from signoff.graphs.state import PlanStep
from signoff.graphs.team import Team
from signoff.graphs.teams.catalog import rebuild_team
from signoff.settings import Settings, load_settings
from signoff.tools.action import Action
from signoff.tools.broker.broker import open_broker

_LEASE_SECONDS = 60.0
_BUDGET = "run budget"
"""Where a run's options keep what it may use; no team can have such an option by accident."""


def _look_away(_event: Event) -> None:
    """Watch nothing."""


class Run:
    """A handle on one run. In a notebook it shows itself."""

    def __init__(self, run_id: str, team: Team, settings: Settings, ledger: Ledger) -> None:
        self.id = run_id
        self.team, self._settings, self._ledger = team, settings, ledger
        self._values: dict[str, Any] | None = None
        self._shown = self._pending()

    @classmethod
    def start(
        cls,
        team: Team,
        goal: str,
        *,
        settings: Settings | None = None,
        watch: Watch = _look_away,
        drive: bool = True,
        dry_run: bool = False,
        budget: Budget | str | None = None,
    ) -> Run:
        """Give a goal to a team and drive the run until it ends or waits for a person.

        A dry run does everything but the effects: whatever is approved is not called. `budget` is what the run may use
        before a person is asked, such as `$2`, None as the team has it; whoever resumes the run keeps to it.
        """
        options = dict(team.options)
        if budget is not None:
            options[_BUDGET] = budget_of(budget, "Run.start").model_dump(exclude_none=True)
        settings = settings or load_settings()
        open_broker(settings)  # first of all, so that its secrets leave the environment
        ledger = team.ledger or configured_ledger(settings)
        thread = f"r-{secrets.token_hex(4)}"
        run_id, _ = ledger.runs.begin(
            thread,
            1,
            team=team.name,
            goal=read_goal(goal),
            options=options,
            driver="local",
            requested_by=settings.user_name,
            dry_run=dry_run or team.dry_run,
        )
        run = cls(run_id, _with(team, ledger, ledger.runs.get(run_id)), settings, ledger)
        return run.resume(watch=watch) if drive else run

    @classmethod
    def open(cls, run_id: str, *, team: Team | None = None, settings: Settings | None = None) -> Run:
        """The run with this id. A ready-made team is built again; your own must be given to resume it."""
        settings = settings or load_settings()
        open_broker(settings)  # first of all, so that its secrets leave the environment
        ledger = (team.ledger if team else None) or configured_ledger(settings)
        record = ledger.runs.get(run_id)
        options = {name: value for name, value in record.options.items() if name != _BUDGET}
        team = team or rebuild_team(record.team, options, settings)
        return cls(record.id, _with(team, ledger, record), settings, ledger)

    def resume(self, *, watch: Watch = _look_away) -> Run:
        """Go on from wherever the run stands, until it ends or waits for a person; RunBusy if another process does."""
        with self._held() as check_held:
            try:
                self._drive(watch, check_held)
            except (RunBusy, RunElsewhere):
                raise
            except Exception as error:
                note = str(error) if isinstance(error, SignoffError) else f"{type(error).__name__}: {error}"
                with suppress(StoreError):  # the first error is the one to tell
                    self._ledger.runs.set_status(self.id, "failed", readable_text(note))
                raise
        self._shown = self._pending()
        return self

    def approve(
        self,
        *,
        approval: str | None = None,
        by: str | Person | None = None,
        args: Mapping[str, Any] | None = None,
        reason: str = "",
        watch: Watch = _look_away,
    ) -> Run:
        """Approve what this handle last saw asked, as shown or with edited arguments, and go on.

        `approval` is the id of one of several questions, which must be named. Edited arguments are all of them; those
        that nobody may change can be left out. AlreadyDecided if somebody was faster:
        what is asked by then is another question. BadAnswer if edited arguments do not fit or policy denies them,
        NotAllowed if this person may not decide it, ChangedSince if it was edited since.
        """
        asked = self._asked(approval)
        action = self.action(asked.action)
        fixed = {name: asked.shown[name] for name in action.fixed if name in asked.shown}
        edited = asked.shown if args is None else read_edit({**fixed, **args}, asked, action)
        return self._decide(asked, Decision("approve", edited, reason), by, watch)

    def reject(
        self,
        reason: str = "",
        *,
        approval: str | None = None,
        by: str | Person | None = None,
        watch: Watch = _look_away,
    ) -> Run:
        """Reject what this handle last saw asked, and go on; with a reason the agent may propose otherwise."""
        return self._decide(self._asked(approval), Decision("reject", {}, reason), by, watch)

    def respond(
        self, message: str, *, approval: str | None = None, by: str | Person | None = None, watch: Watch = _look_away
    ) -> Run:
        """Say something instead of deciding, and go on: it is not done, and the agent reads the message."""
        return self._decide(self._asked(approval), Decision("respond", {}, message), by, watch)

    def wait_for_notices(self, seconds: float) -> bool:
        """Give whoever is to be told of this run so long to be told; whether nothing is left to send.

        What is left is sent by the next process that uses the ledger.
        """
        return self._ledger.notices.wait(seconds)

    def action(self, name: str) -> Action[Any]:
        """The action of this name: one of the team's, or one of its own questions."""
        return CONTROLS.get(name) or self.team.actions[name]

    @property
    def record(self) -> RunRecord:
        """The run as the ledger knows it now."""
        return self._ledger.runs.get(self.id)

    @property
    def status(self) -> Status:
        """Where the run stands."""
        return self.record.status

    @property
    def approval(self) -> Approval | None:
        """What a person is asked now, if anything; the first of several questions."""
        return next(iter(self.approvals), None)

    @property
    def approvals(self) -> tuple[Approval, ...]:
        """Everything that a person is asked now, oldest first."""
        self._shown = self._pending()
        return self._shown

    @property
    def values(self) -> dict[str, Any]:
        """The state of the graph at its last checkpoint, empty before the first."""
        if self._values is None:
            self._values = read_state(self.id, self._settings)
        return self._values

    @property
    def artifacts(self) -> dict[str, Any]:
        """The artifacts by name, each as its agent's type."""
        types = {agent.gives.__name__: agent.gives for agent in self.team.agents}
        stored = self.values.get("artifacts", {})
        return {name: types[name].model_validate(artifact["value"]) for name, artifact in stored.items()}

    @property
    def plan(self) -> list[PlanStep]:
        """What was done and what is to do."""
        return list(self.values.get("plan", []))

    @property
    def usage(self) -> Usage:
        """What the run's model calls used."""
        usage: Usage = self.values.get("usage") or NO_USAGE
        return usage

    @property
    def budget(self) -> Budget:
        """What the run may use before a person is asked, without what was added since."""
        given = self.team.run_budget
        return budgets_of(self._settings)["run"] if given is None else given

    def _repr_markdown_(self) -> str:
        return run_markdown(self.record, self.plan, self.approvals, self.artifacts)

    def _repr_html_(self) -> str | None:
        return run_html(self._repr_markdown_(), self.artifacts, self._settings.home)

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.status}: {self.record.goal!r}>"

    def _pending(self) -> tuple[Approval, ...]:
        return tuple(self._ledger.approvals.pending(self.id))

    def _asked(self, approval_id: str | None) -> Approval:
        """What this handle last saw asked: a decision is about that, whatever is asked by now."""
        if not self._shown:
            raise NothingAsked(self.id, self.status)
        if approval_id is None and len(self._shown) > 1:
            raise SeveralAsked(self.id, [f"{asked.id} ({asked.action})" for asked in self._shown])
        if approval_id is None:
            return self._shown[0]
        for asked in self._shown:
            if asked.id == approval_id:
                return asked
        raise UnknownApproval(approval_id)

    def _decide(self, asked: Approval, decision: Decision, by: str | Person | None, watch: Watch) -> Run:
        decide(self._ledger, asked, decision, self.team.rules, by=by or self._settings.user_name)
        return self.resume(watch=watch)

    def _drive(self, watch: Watch, check_held: Callable[[], None]) -> None:
        with self._graph() as (graph, config):
            snapshot = graph.get_state(config)
            begun = snapshot.created_at is not None
            # `next` is empty after a crash between a task's writes and the next checkpoint; `tasks` is not.
            if begun and not snapshot.tasks:
                return self._close(snapshot.values)
            if snapshot.interrupts and self._waits(snapshot):
                return None
            if not begun and self.record.driver != "local":
                raise RunElsewhere(self.id)
            self._ledger.runs.set_status(self.id, "running")
            start = None if begun else {"goal": self.record.goal}
            self._values = None
            with run_span(self.id, self.team.name):
                for mode, part in graph.stream(start, config, stream_mode=["custom", "updates"], durability="sync"):
                    check_held()
                    for event in read_events(mode, part):
                        watch(event)
            if self.status == "running":
                self._note_end(graph.get_state(config).values)
            return None

    def _note_end(self, values: Mapping[str, Any]) -> None:
        """Say in the ledger that the run has ended, if it still says that it goes on.

        Its last node does, unless a crash fell between that and the checkpoint: then the node is not executed again.
        """
        current = values.get("run", {})
        if current.get("id") == self.id and current["ended"] and self.status == "running":
            last = next((said.text for said in values["messages"] if said.id == f"{self.id}-finish"), "")
            self._ledger.runs.set_status(self.id, current["ended"], last)

    def _waits(self, snapshot: StateSnapshot) -> bool:
        """Whether nothing that is asked was decided, and the thread shows it as it stands."""
        first, *others = snapshot.values["proposals"]
        asked = self._ledger.approvals.of_proposal(first["id"])
        shown = [(question.value["approval_id"], question.value["args_sha256"]) for question in snapshot.interrupts]
        return (
            asked is not None
            and asked.status == "pending"
            and (asked.id, asked.shown_sha256) in shown
            and first_decided(self._ledger, others) is None
        )

    def _close(self, values: Mapping[str, Any]) -> None:
        """A thread that was ended from outside, before its run was at its end, is a run that was stopped."""
        if values.get("run", {}).get("ended"):
            self._note_end(values)
            return
        for approval in self._pending():
            self._ledger.approvals.close(approval.id, by="policy", reason="the thread was ended")
        self._ledger.runs.set_status(self.id, "stopped", "The thread was ended from outside; nothing more is done.")

    @contextmanager
    def _graph(self) -> Iterator[tuple[Any, RunnableConfig]]:
        with configured_saver(self._settings) as saver, _fenced(saver) as fenced:
            yield self.team.compile(checkpointer=fenced), {**_config(self.id), "recursion_limit": 100_000}

    @contextmanager
    def _held(self) -> Iterator[Callable[[], None]]:
        """Hold the run's lease, renewed in the background; yields a check that raises RunBusy once it is lost.

        A process that was suspended for longer than the lease finds it lost when it wakes.
        """
        owner = f"{current_owner()}/{secrets.token_hex(4)}"
        self._ledger.runs.claim(self.id, owner, seconds=_LEASE_SECONDS)
        ended, renewed = threading.Event(), [time.time()]

        def renew() -> None:
            if not self._ledger.runs.renew(self.id, owner, seconds=_LEASE_SECONDS):
                raise RunBusy(self.id, self.record.owner or "another process")
            renewed[0] = time.time()

        def keep() -> None:
            while not ended.wait(_LEASE_SECONDS / 4):
                with suppress(StoreError, RunBusy):  # who drives the run finds out before its next step
                    renew()

        def check() -> None:
            if time.time() - renewed[0] > _LEASE_SECONDS / 2:
                renew()

        keeper = threading.Thread(target=keep, name=f"lease of {self.id}", daemon=True)
        keeper.start()
        try:
            yield check
        finally:
            ended.set()
            keeper.join()
            with suppress(StoreError):  # a lease that cannot be given back runs out
                self._ledger.runs.release(self.id, owner)


def _with(team: Team, ledger: Ledger, record: RunRecord) -> Team:
    """The team as this run has it."""
    budget = record.options.get(_BUDGET)
    return replace(team, ledger=ledger, budget=team.budget if budget is None else Budget.model_validate(budget))


def read_state(run_id: str, settings: Settings) -> dict[str, Any]:
    """The state of a run's graph at its last checkpoint, whatever team it has; empty before the first."""
    with configured_saver(settings) as saver:
        found = saver.get_tuple(_config(run_id))
    return dict(found.checkpoint["channel_values"]) if found else {}


@contextmanager
def _fenced(saver: BaseCheckpointSaver[Any]) -> Iterator[BaseCheckpointSaver[Any]]:
    """The saver for this process alone: one that was suspended and replaced cannot write even the step it was in."""
    if not isinstance(saver, SqliteCheckpointer):
        yield saver
        return
    with saver.leased(current_owner(), seconds=_LEASE_SECONDS) as leased:
        yield leased


def _config(run_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": run_id.partition("~")[0]}}
