"""One turn of a job: its run goes on until it ends, waits for a person, fails, or is to leave off."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.runtime import RunControl

from signoff.agents.errors import RecordingUnreadable
from signoff.checkpoints import canonical_json, configured_saver, working
from signoff.checkpoints.errors import RunBusy, RunCancelled
from signoff.checkpoints.jobs import Job
from signoff.checkpoints.ledger import RunRecord
from signoff.concurrency import EndsProgram, share_loop, undisturbed
from signoff.error_base import SettingsError, SignoffError
from signoff.fleet.cancelling import end_cancelled
from signoff.fleet.driver import OF_RUN, RUN_RECORDING, Driver
from signoff.fleet.errors import RunElsewhere
from signoff.fleet.events import Event
from signoff.fleet.recording import arecord
from signoff.fleet.run import Run
from signoff.graphs import Team
from signoff.graphs.errors import InputChanged, TeamChanged
from signoff.graphs.teams import MODEL, is_ready_made, load_stored, rebuild_team, with_model

_log = logging.getLogger(__name__)
_LOOK_AGAIN: Final = 1.0
"""Seconds between looks at a turn whose last worker is still at work on it."""
_LATER: Final = 5.0
"""Seconds after which a run is tried again that somebody drives by hand."""
_SHARED: Final = 8
"""Turns that share a saver, which does one thing at a time: a turn writes for some hundredths of its time."""
_TEAMS: Final = 64
"""As many as are kept."""


@dataclass
class Underway:
    """A turn that is being done."""

    job: Job
    control: RunControl = field(default_factory=RunControl)
    driving: asyncio.Task[Any] | None = None
    heard_at: float = field(default_factory=time.monotonic)
    """When something of it was last heard, by the clock of `time.monotonic`."""
    moved_at: float = field(default_factory=time.monotonic)
    """When it last came to another step, by the same clock."""
    doing: str = "nothing"
    """What was last heard."""
    stalled: str = ""
    """In which way it makes no progress; empty if it does."""
    asked_at: float = 0.0
    """When it was told to leave off, by the same clock."""
    because: str = ""
    """Why it is to leave off; empty if it is not."""

    def leave_off(self, why: str) -> None:
        """Have it end at the next boundary of a step."""
        if not self.because:
            self.because, self.asked_at = why, time.monotonic()
        self.control.request_drain(why)

    def cut_off(self, why: str) -> None:
        """Have it end now, amid a call, which is cancelled; from any thread."""
        self.leave_off(why)
        if (driving := self.driving) is not None:
            with suppress(RuntimeError):  # its loop has ended, and it with it
                driving.get_loop().call_soon_threadsafe(driving.cancel)

    def hear(self, event: Event) -> None:
        self.heard_at = time.monotonic()
        if event.kind != "says":
            self.moved_at = self.heard_at
        if event.kind in ("turn", "says"):
            self.doing = f"{event.agent}: {event.text}"

    def stall(self, how: str) -> None:
        """It makes no progress: it is stopped, and rests until somebody resumes it."""
        self.stalled = f"{how}; last heard: {self.doing}"
        self.cut_off("it makes no progress")


class Turner:
    """Does turns, as one worker, with one ledger and one saver for all of them."""

    def __init__(self, driver: Driver, slot: str) -> None:
        self._driver, self._ledger, self.slot = driver, driver.ledger, slot
        self.underway: dict[str, Underway] = {}
        """What is being done, by the run."""
        self.takes_nothing = False
        """Whether what comes from now on is put back."""
        self.done = 0
        self._teams, self._savers = _Teams(driver), _Savers(driver)
        self._alone = asyncio.Lock()
        """Suspects are done one at a time, so that what ends its worker takes no other along, attempt for attempt."""

    async def do(self, run_id: str, number: int) -> str:
        """Do this turn; how it went, in a word."""
        share_loop()
        how = await self._take(run_id, number, alone=False)
        if how == "suspect":  # a worker ended amid it: nobody knows for which of those that it had
            async with self._alone:
                how = await self._take(run_id, number, alone=True)
        return how

    async def _take(self, run_id: str, number: int, *, alone: bool) -> str:
        take = partial(self._ledger.jobs.turns.take, run_id, number, worker=self.slot, alone=alone)
        with working() as owner:
            taken = await undisturbed(take, owner)
            while taken.how == "busy" and not self.takes_nothing:
                await asyncio.sleep(_LOOK_AGAIN)
                taken = await undisturbed(take, owner)
            job = taken.job
            if job is None or job.claim != owner:
                return taken.how
            turn = self.underway[run_id] = Underway(job)
            try:
                if taken.how == "over":
                    return await undisturbed(self._end, job, owner)
                if self.takes_nothing:
                    turn.leave_off("draining")
                return await self._turn(turn, owner)
            finally:
                del self.underway[run_id]
                self.done += 1

    async def _turn(self, turn: Underway, owner: str) -> str:
        job, turns = turn.job, self._ledger.jobs.turns
        try:
            turn.driving = asyncio.ensure_future(self._drive(turn, owner))
            status = await turn.driving
        except RunCancelled:
            return await undisturbed(self._end, job, owner)
        except (RunBusy, RunElsewhere) as error:  # somebody resumed it by hand
            await undisturbed(turns.leave, job, error=str(error), pause=_LATER)
            return "busy"
        except asyncio.CancelledError:
            if not turn.because:
                raise
            status = "running"
        except (Exception, EndsProgram) as error:
            _log.info("Job %s failed", job.name, exc_info=error)
            told = str(error) if isinstance(error, SignoffError) else f"{type(error).__name__}: {error}"
            misfit = isinstance(error, TeamChanged | InputChanged)
            left = await undisturbed(turns.leave, job, error=told, counts=True, misfit=misfit)
            return left.status if left is not None else "stale"
        return await undisturbed(self._settle, turn, status, owner)

    async def team_of(self, record: RunRecord) -> Team:
        """The team of a job's run."""
        return await self._teams.of(record)

    async def _drive(self, turn: Underway, owner: str) -> str:
        last = ""
        async with self._savers.one() as saver, AsyncExitStack() as held:
            driver = replace(self._driver, saver=saver)
            if (place := turn.job.options.get(RUN_RECORDING)) is not None:
                await held.enter_async_context(await self._recording(turn.job.run_id, str(place), driver))
            events = driver.astream(turn.job.run_id, self.team_of, owner=owner, control=turn.control)
            async with aclosing(events):
                async for event in events:
                    turn.hear(event)
                    last = event.status or last
        return last

    async def _recording(self, run_id: str, place: str, driver: Driver) -> AbstractAsyncContextManager[Any]:
        """What records the run in the file that its job names; RecordingUnreadable if that is not within the home."""
        home = await undisturbed(driver.settings.home.expanduser().resolve)
        path = await undisturbed((home / place).resolve)
        if not path.is_relative_to(home) or path.suffix != ".jsonl":
            raise RecordingUnreadable(path, f"it is no .jsonl within {home}, and nothing else is recorded in for a job")
        team = await self.team_of(await undisturbed(self._ledger.runs.get, run_id))
        return arecord(await undisturbed(Run, run_id, team, driver), path, settings=driver.settings)

    def _settle(self, turn: Underway, status: str, owner: str) -> str:
        """Write down how the turn was left."""
        job, turns = turn.job, self._ledger.jobs.turns
        if status == "done":
            left = turns.finish(job, "done")
        elif status == "stopped":
            left = turns.finish(job, "stopped", self._ledger.runs.get(job.run_id).note)
        elif status == "waiting":
            asked = self._ledger.approvals.pending(job.run_id)
            until = [approval.expires_at for approval in asked if approval.expires_at]
            left = turns.wait(job, min(until, default=""))
        elif self._ledger.jobs.wanted(self.slot).get(job.run_id) == "cancel":
            return self._end(job, owner)
        else:
            left = turns.leave(job, error=turn.stalled, rests=bool(turn.stalled))
        return left.status if left is not None else "stale"

    def _end(self, job: Job, owner: str) -> str:
        """End a job that was cancelled: what its run has open is closed."""
        try:
            end_cancelled(self._ledger, job, owner)
        except RunBusy as error:
            self._ledger.jobs.turns.leave(job, error=str(error), pause=_LATER)
            return "busy"
        return "cancelled"


@dataclass
class _Opened:
    saver: BaseCheckpointSaver[Any]
    held: AsyncExitStack
    users: int = 0


class _Savers:
    """Savers that turns share, some each: in PostgreSQL each is a connection. The last turn of one closes it."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._opened: list[_Opened] = []
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[BaseCheckpointSaver[Any]]:
        """The driver's, if it has one; else one that does not do too much yet."""
        if self._driver.saver is not None:
            yield self._driver.saver
            return
        async with self._opening:
            free = [opened for opened in self._opened if opened.users < _SHARED]
            if not free:
                held = AsyncExitStack()
                free = [_Opened(await held.enter_async_context(configured_saver(self._driver.settings)), held)]
                self._opened += free
            mine = free[0]
            mine.users += 1
        try:
            yield mine.saver
        finally:
            mine.users -= 1
            if not mine.users:
                self._opened.remove(mine)
                await asyncio.shield(mine.held.aclose())


class _Teams:
    """The teams of jobs: each is made once for all that have it alike, as that reads folders and imports modules."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._made: dict[tuple[str, str], Team] = {}
        self._making = asyncio.Lock()

    async def of(self, record: RunRecord) -> Team:
        """The team as this run has it."""
        alike = {name: value for name, value in record.options.items() if name not in OF_RUN}
        key = record.team, canonical_json(alike)
        if key not in self._made:
            async with self._making:  # many begin at once, and the first makes it for all
                if key not in self._made:
                    made = await asyncio.to_thread(self._make, *key)
                    self._made = dict([*self._made.items(), (key, made)][-_TEAMS:])
        return self._driver.team_of(record, self._made[key])

    def _make(self, name: str, text: str) -> Team:
        options, settings = json.loads(text), self._driver.settings
        if is_ready_made(name, options):
            return rebuild_team(name, options, settings)
        loaded = load_stored(options, settings)
        if loaded is None:
            remedy = "Submit it as MODULE:NAME, from a file of the project that holds .signoff."
            raise SettingsError("TEAM", f"{name!r} is somebody's own, and nothing says in which module", remedy)
        return with_model(loaded, options.get(MODEL), settings).team
