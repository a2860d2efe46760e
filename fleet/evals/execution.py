"""How the run of a case goes on: here, or as a job of the fleet that workers of the evals do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from signoff.checkpoints import seconds_since
from signoff.checkpoints.jobs import ENDED, Job, JobStatus, NewJob, Which
from signoff.checkpoints.ledger import RUN_DRY, Ledger
from signoff.concurrency import end_of, undisturbed
from signoff.fleet.driver import RUN_RECORDING
from signoff.fleet.evals.kept_evaluations import EVALS
from signoff.fleet.queue import Fleet
from signoff.fleet.recording import arecord
from signoff.fleet.run import Run
from signoff.graphs import Team
from signoff.settings import Settings

AHEAD: Final = 500
"""Jobs that are submitted before others have ended."""
_LOOK: Final = 0.25
"""Seconds between looks at how jobs stand."""
_STANDS: Final[tuple[JobStatus, ...]] = ("waiting", "held", *ENDED)


def evals_settings(settings: Settings) -> Settings:
    """The same for the runs of evals: in a database of their own, of all tenants, and nobody is told of them."""
    database = settings.evals_database or str(settings.home / EVALS / "signoff.db")
    nobody = {"webhooks": (), "hook_command": "", "tenant": ""}
    return settings.model_copy(update={"database": database, "user": EVALS, **nobody})


@dataclass(frozen=True)
class Piece:
    """One case with one version: what it is as a job, the team, and the settings of its run."""

    job: NewJob
    team: Team
    settings: Settings


class Execution(Protocol):
    """Has runs go on."""

    async def go_on(self, piece: Piece) -> tuple[Run | None, float, str]:
        """Begin the run, or go on with it, until it ends or waits: the run, None if it never began;
        seconds of work; why it cannot go on, empty if it can.

        What is begun already, by a process that was killed, goes on from where it stands.
        """
        ...


@dataclass(frozen=True)
class Here:
    """In this process."""

    ledger: Ledger

    async def go_on(self, piece: Piece) -> tuple[Run | None, float, str]:
        job, settings, began = piece.job, piece.settings, time.monotonic()
        told: dict[str, Any] = {"team": job.team, "goal": job.goal, "driver": "local", "requested_by": EVALS}
        dry = bool(job.options.get(RUN_DRY))
        await undisturbed(
            partial(self.ledger.runs.begin_as, job.run_id, options=dict(job.options), dry_run=dry, **told)
        )
        run = await Run.aopen(job.run_id, team=replace(piece.team, ledger=self.ledger), settings=settings)
        async with arecord(run, settings.home / Path(job.options[RUN_RECORDING]), settings=settings):
            await run.aresume()
        return run, time.monotonic() - began, ""


@dataclass
class ByWorkers:
    """By workers, wherever they are."""

    fleet: Fleet
    _waited: dict[str, asyncio.Future[Job]] = field(default_factory=dict)

    async def go_on(self, piece: Piece) -> tuple[Run | None, float, str]:
        await undisturbed(self.fleet.submit, [piece.job])
        waits = asyncio.get_running_loop().create_future()
        self._waited[piece.job.run_id] = waits
        job = await waits
        team = replace(piece.team, ledger=self.fleet.ledger)
        run = await Run.aopen(job.run_id, team=team, settings=piece.settings) if job.started_at else None
        took = seconds_since(job.claimed_at) - seconds_since(job.ended_at or job.queued_at) if job.claimed_at else 0.0
        return run, took, job.error if job.status in ("parked", "cancelled", "held") else ""

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Look meanwhile how the jobs stand."""
        look = asyncio.create_task(self._look())
        try:
            yield
        finally:
            look.cancel()
            await end_of(look)

    async def _look(self) -> None:
        """Tell whoever waits for a job once it ends, waits or cannot go on; what somebody holds is waited for."""
        while True:
            if ids := [name for name, waits in self._waited.items() if not waits.done()]:
                try:
                    found = await undisturbed(self.fleet.ledger.jobs.list, Which(ids=ids, status=_STANDS))
                except Exception as error:
                    for name in ids:
                        self._tell(name, error)
                else:
                    for job in found:
                        if job.status != "held" or job.error:
                            self._tell(job.run_id, job)
            await asyncio.sleep(_LOOK)

    def _tell(self, run_id: str, found: Job | Exception) -> None:
        waits = self._waited.pop(run_id)
        if waits.done():  # whoever waited was cancelled
            return
        if isinstance(found, Exception):
            waits.set_exception(found)
        else:
            waits.set_result(found)
