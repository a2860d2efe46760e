"""Driving: a run goes on by its id alone, from wherever it stands, until it ends or waits for a person."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl
from langgraph.types import StateSnapshot

from signoff.agents import run_span
from signoff.checkpoints import Fence, configured_ledger, configured_saver, readable_text, working
from signoff.checkpoints.errors import RunBusy, RunCancelled, StoreError
from signoff.checkpoints.ledger import (
    RUN_CLIENT,
    RUN_DRY,
    RUN_FORK,
    RUN_INPUT,
    RUN_TENANT,
    SETTLE_OUTCOME,
    Fenceable,
    Ledger,
    RunRecord,
    told_of,
)
from signoff.checkpoints.ledger.budgets import Budget
from signoff.concurrency import end_of, stream, undisturbed
from signoff.error_base import SignoffError, TeamError
from signoff.fleet.errors import ChildRun, OwnInterrupt, OwnModels, RunElsewhere
from signoff.fleet.events import Event, Watch, look_away, read_events
from signoff.fleet.history import config_of
from signoff.graphs import Team, TeamGraph, is_current, migration
from signoff.graphs.approval import first_decided
from signoff.graphs.errors import TeamChanged
from signoff.graphs.nodes import stop_run
from signoff.graphs.teams import rebuild_team
from signoff.settings import Settings, load_settings
from signoff.tools import Action
from signoff.tools.broker import open_broker

RUN_BUDGET: Final = "run budget"
"""Where a run's options keep what it may use; no team can have such an option by accident."""
RUN_PLAN: Final = "run plan"
"""Where a run's options keep that a person sees its plan first."""
RUN_RESULTS: Final = "run results"
"""Where they keep what actions return in it, by name, in place of being called; with that, no action of it is."""
RUN_RECORDING: Final = "run recording"
"""Where those of a job keep the file, within the settings' home, that whoever drives its run records it in."""
OF_RUN: Final = frozenset(
    {RUN_BUDGET, RUN_PLAN, RUN_INPUT, RUN_TENANT, RUN_CLIENT, RUN_DRY, RUN_FORK, RUN_RESULTS, RUN_RECORDING}
)
"""What a run's options say of it alone: runs whose other options are the same have the same team."""
_LEASE_SECONDS: Final = 60.0
_LOOK: Final = 1.0
"""Seconds between looks whether somebody wants a run to end."""
_PATIENCE: Final = 30.0
"""Seconds that it then has to come to its next step."""
TeamOf = Callable[[RunRecord], Awaitable[Team]]
"""Builds the team as this run has it."""


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
        budget, asks_plan = record.options.get(RUN_BUDGET), record.options.get(RUN_PLAN, False)
        options = {name: value for name, value in record.options.items() if name not in OF_RUN}
        team = team or rebuild_team(record.team, options, self.settings)
        team = team.asking_plan() if asks_plan else team
        if (results := record.options.get(RUN_RESULTS)) is not None:
            team = team.with_actions(partial(_returning, results))
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
        """Go on until the run ends or waits for a person, as `astream` does, and tell `watch` of it."""
        for event in self.stream(run_id, team):
            watch(event)

    def stream(self, run_id: str, team: Team | None = None) -> Iterator[Event]:
        """The same for a caller without an event loop: the run goes on in the background while this waits."""
        return stream(self.astream(run_id, team))

    async def astream(
        self, run_id: str, team: Team | TeamOf | None = None, *, owner: str = "", control: RunControl | None = None
    ) -> AsyncGenerator[Event, None]:
        """Go on until the run ends or waits for a person, and tell of it as it happens; RunBusy if another drives it.

        `team` is what `team_of` gave, or what gives it. An error that nobody can work around is noted with the run, and
        raised. Whoever closes this, or is cancelled, cancels the call that is under way; the run can be resumed.
        `control` has it leave off at the next boundary of a step. `owner` is who holds it, as `working` gave it; empty:
        a new one.
        """
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        driving = asyncio.create_task(self._drive(run_id, team, events.put_nowait, owner, control))
        driving.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            await driving
        finally:
            driving.cancel()
            await end_of(driving)

    async def _drive(
        self, run_id: str, team: Team | TeamOf | None, watch: Watch, owner: str, control: RunControl | None
    ) -> None:
        record = await undisturbed(self.ledger.runs.get, run_id)
        if record.cancelled_by:
            raise RunCancelled(run_id, record.cancelled_by)
        check_whole(record)
        if not isinstance(team, Team):
            team = await (team(record) if team is not None else undisturbed(self.team_of, record))
        team.takes.restore(record.goal, record.input)  # InputChanged if it no longer takes what the run was given
        async with self._held(run_id, owner) as fence:
            try:
                async with _heeding(self.ledger, run_id, control) as control:
                    await self._go_on(fence, record, team, watch, control)
            except (RunBusy, RunCancelled, RunElsewhere, TeamChanged):
                raise
            except Exception as error:
                note = str(error) if isinstance(error, SignoffError) else f"{type(error).__name__}: {error}"
                with suppress(StoreError, RunBusy):  # the first error is the one to tell
                    await undisturbed(self.ledger.runs.set_status, run_id, "failed", readable_text(note))
                raise
        watch(await undisturbed(self._stands, run_id))

    def _stands(self, run_id: str) -> Event:
        record = self.ledger.runs.get(run_id)
        asked = tuple(self.ledger.approvals.pending(run_id))
        return Event("stands", text=record.note, status=record.status, approvals=asked)

    @asynccontextmanager
    async def _held(self, run_id: str, owner: str) -> AsyncIterator[Fence]:
        """Hold the run, renewed in the background; whoever was replaced meanwhile is refused at the next write."""
        runs, fences = self.ledger.runs, list[Fence]()

        def claim() -> Fence:
            fences.append(runs.claim(run_id, owner, seconds=_LEASE_SECONDS))
            return fences[0]

        def give_back() -> None:
            with suppress(StoreError):  # what cannot be written now is as soon as it can be
                self.ledger.budgets.settled(run_id)
            with suppress(StoreError):  # a claim that cannot be given back is nobody's: nobody is at work on it
                runs.release(run_id, owner)

        with nullcontext(owner) if owner else working() as owner:
            try:
                fence = await undisturbed(claim)
                with self.ledger.keep_alive.renewing(
                    lambda _: runs.renew(run_id, owner, seconds=_LEASE_SECONDS), run_id
                ):
                    yield fence
            finally:
                if fences:  # also if this was cancelled before it heard so
                    await undisturbed(give_back)

    async def _go_on(
        self, fence: Fence, record: RunRecord, team: Team, watch: Watch, control: RunControl | None
    ) -> None:
        runs, run_id = self.ledger.runs, fence.run_id
        async with self._fenced_saver(fence) as saver:
            graph, config = team.compile(checkpointer=saver), config_of(run_id)
            snapshot = await graph.aget_state(config)
            begun = snapshot.created_at is not None
            # `next` is empty after a crash between a task's writes and the next checkpoint; `tasks` is not.
            asked_again = await self._asked_again(run_id, graph, snapshot) if begun else None
            if begun and not is_current(team, snapshot.values):
                snapshot = await self._migrated(graph, team, snapshot, saver)
            if begun and not snapshot.tasks and asked_again is None:
                return await undisturbed(self._close, run_id, snapshot.values)
            _check_asked(run_id, snapshot)
            if snapshot.interrupts and await self._waits(run_id, snapshot, saver):
                return None
            if not begun and record.driver != "local":
                raise RunElsewhere(run_id)
            if begun or record.status != "running":
                await undisturbed(runs.set_status, run_id, "running")
            start: Any = None if begun else {**record.input, "goal": record.goal}
            since: RunnableConfig = {**(asked_again or config), "recursion_limit": 100_000}
            with run_span(run_id, team.name):
                async for place, mode, part in graph.astream(
                    start,
                    since,
                    stream_mode=["custom", "updates"],
                    durability="sync",
                    subgraphs=True,
                    control=control,
                ):
                    for event in read_events(place, mode, part):
                        watch(event)
            if (await undisturbed(runs.get, run_id)).status == "running":
                snapshot = await graph.aget_state(config)
                _check_asked(run_id, snapshot)
                await undisturbed(self._note_end, run_id, snapshot.values)
            return None

    async def _migrated(
        self, graph: TeamGraph, team: Team, snapshot: StateSnapshot, saver: BaseCheckpointSaver[Any]
    ) -> StateSnapshot:
        """The run as this version of its team goes on with it; TeamChanged if it cannot. Its supervisor looks anew."""
        run_id, state = snapshot.values["run"]["id"], snapshot.values
        more, is_open = list[str](), ("running", "waiting")
        for child in await undisturbed(self.ledger.runs.children, run_id):
            found = await saver.aget_tuple(config_of(run_id, child.place)) if child.status in is_open else None
            if found is not None:
                more += _misfits_of(team, child, found.checkpoint["channel_values"])
        changes = await undisturbed(migration, team, state, more)
        if changes is None:
            return snapshot
        await graph.aupdate_state(config_of(run_id), changes, as_node="intake")
        return await graph.aget_state(config_of(run_id))

    async def _asked_again(self, run_id: str, graph: TeamGraph, now: StateSnapshot) -> RunnableConfig | None:
        """From where an ended run goes on, because somebody took back what they had said of a call; None otherwise.

        That is the last question about it: what the run did since was nothing outside, and is done again.
        """
        effects = await undisturbed(self.ledger.effects.of_run, run_id)
        open_calls = {(effect.key, effect.claims) for effect in effects if effect.is_open}
        if not open_calls or not now.values.get("run", {}).get("ended"):
            return None
        async for past in graph.aget_state_history(config_of(run_id)):
            asked = past.values["proposals"][0] if past.next == ("gate",) else None
            args = asked["args"] if asked is not None and asked["action"] == SETTLE_OUTCOME else {}
            if (args.get("effect"), args.get("claim")) in open_calls:
                return past.config
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

    async def _waits(self, run_id: str, snapshot: StateSnapshot, saver: BaseCheckpointSaver[Any]) -> bool:
        """Whether nothing that is asked was decided, and the thread shows it as it stands."""
        values, asks = snapshot.values, snapshot.interrupts[0].value["run_id"]
        if asks != run_id:  # a child of it
            place = (await undisturbed(self.ledger.runs.get, asks)).place
            found = await saver.aget_tuple(config_of(run_id, place))
            values = found.checkpoint["channel_values"] if found is not None else {}
        _, *others = values.get("proposals") or [None]

        def waits() -> bool:
            if first_decided(self.ledger, others) is not None:
                return False
            shown = [part for asked in snapshot.interrupts for part in asked.value.get("batch") or [asked.value]]
            asked = {approval.id: approval.shown_sha256 for approval in self.ledger.approvals.pending(run_id)}
            return all(asked.get(part["approval_id"]) == part["args_sha256"] for part in shown)

        return await undisturbed(waits)

    def _close(self, run_id: str, values: Mapping[str, Any]) -> None:
        """A thread that was ended from outside, before its run was at its end, is a run that was stopped."""
        if values.get("run", {}).get("ended"):
            return self._note_end(run_id, values)
        note = "The thread was ended from outside; nothing more is done."
        return stop_run(self.ledger, run_id, "the thread was ended", note)

    @asynccontextmanager
    async def _fenced_saver(self, fence: Fence) -> AsyncIterator[BaseCheckpointSaver[Any]]:
        """The saver for this claim alone: with one that was replaced not even the last step is written."""
        async with configured_saver(self.settings) if self.saver is None else nullcontext(self.saver) as saver:
            if isinstance(saver, Fenceable):
                saver = await undisturbed(saver.fenced, fence, self.ledger.database)  # it looks where the files are
            yield saver


def _check_asked(run_id: str, snapshot: StateSnapshot) -> None:
    """OwnInterrupt if something in an agent asked the thread by itself: no decision in the ledger can answer that."""
    for asked in snapshot.interrupts:
        if not (isinstance(asked.value, dict) and "run_id" in asked.value):
            raise OwnInterrupt(run_id, asked.value)


@asynccontextmanager
async def _heeding(ledger: Ledger, run_id: str, control: RunControl | None) -> AsyncIterator[RunControl]:
    """Leave off at the next step once somebody wants the run to end, and close it; whoever gave `control` sees to it.

    A call that goes on for long is cut off.
    """
    if control is not None:
        with suppress(GraphDrained):
            yield control
        return
    control, driving, wanted = RunControl(), asyncio.current_task(), list[str]()

    async def look() -> None:
        while not wanted:
            await asyncio.sleep(_LOOK)
            with suppress(StoreError):  # it is looked again
                wanted.extend(filter(None, [(await undisturbed(ledger.runs.get, run_id)).cancelled_by]))
        control.request_drain("cancelled")
        await asyncio.sleep(_PATIENCE)
        if driving is not None:
            driving.cancel()

    looking = asyncio.create_task(look())
    try:
        with suppress(GraphDrained):
            yield control
    except asyncio.CancelledError:
        if not wanted or driving is None or driving.uncancel():
            raise
    except RunCancelled as error:
        wanted.append(error.by)
    finally:
        looking.cancel()
        await end_of(looking)
    if wanted:
        await undisturbed(stop_run, ledger, run_id, f"cancelled by {wanted[0]}")


def _misfits_of(team: Team, child: RunRecord, state: Mapping[str, Any]) -> list[str]:
    """What of the work of an agent that is a team does not fit it any more."""
    roles = [role for _, role in child.path]
    try:
        return [f"in the work of {'/'.join(roles)}, {problem}" for problem in team.team_at(roles).misfits(state)]
    except TeamError as error:
        return [str(error)]


def check_whole(record: RunRecord) -> None:
    """ChildRun if it is not driven by itself."""
    if record.path:
        raise ChildRun(record.id, record.root, told_of(record.path))


def _returning(results: Mapping[str, Mapping[str, Any]], action: Action[Any]) -> Action[Any]:
    """What stands in for an action: it returns what is given for it, and calls nothing."""
    result = results.get(action.name, {})
    return replace(action, call=lambda _arguments, _key: result, reconcile=None)
