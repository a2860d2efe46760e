"""Ending jobs that were cancelled: what their runs have open is closed."""

from __future__ import annotations

from typing import Final

from signoff.checkpoints import working
from signoff.checkpoints.errors import RunBusy
from signoff.checkpoints.jobs import Job
from signoff.checkpoints.ledger import Ledger
from signoff.graphs.nodes import stop_run

_CLOSING: Final = 60.0
"""Seconds for which a run is held while it is closed."""


def end_flagged(ledger: Ledger) -> None:
    """End the jobs that are to be cancelled and that no worker has: what their runs have open is closed."""
    for job in ledger.jobs.flagged():
        with working() as owner:
            taken = ledger.jobs.turns.take(job.run_id, job.turn, owner, worker="")
            if taken.how != "over" or taken.job is None or taken.job.claim != owner:
                continue
            try:
                end_cancelled(ledger, taken.job, owner)
            except RunBusy:  # it is driven by hand; it ends when that has
                ledger.jobs.turns.leave(taken.job)


def end_cancelled(ledger: Ledger, job: Job, owner: str) -> None:
    """Close the run of a job whose turn this owner has, and end the job; RunBusy if somebody drives the run."""
    now = ledger.jobs.get(job.run_id)
    why = f"cancelled by {now.wanted_by}" if now is not None and now.wanted_by else "cancelled by its deadline"
    ledger.runs.claim(job.run_id, owner, seconds=_CLOSING)
    try:
        if ledger.runs.get(job.run_id).status not in ("done", "stopped"):
            stop_run(ledger, job.run_id, why)
    finally:
        ledger.runs.release(job.run_id, owner)
    ledger.jobs.turns.finish(job, "cancelled", why)
