"""Cancelling: a run is ended by somebody who does not drive it, whoever does; no effect of it begins from then on."""

from __future__ import annotations

from contextlib import suppress

from signoff.checkpoints import working
from signoff.checkpoints.errors import RunBusy
from signoff.checkpoints.jobs import Job, Which
from signoff.checkpoints.ledger import Ledger, Status
from signoff.fleet.driver import check_whole
from signoff.fleet.errors import RunEnded
from signoff.graphs.nodes import stop_run

_CLOSING = 60.0


def cancel_run(ledger: Ledger, run_id: str, *, by: str) -> Status:
    """End this run, or the job whose run it is; how it stands now.

    What it asks is closed, and no effect of it begins any more. One that a process drives ends there at the next step:
    it is "running" until then. RunEnded if it has ended, ChildRun if it is the work of an agent in another one.
    """
    job = ledger.jobs.get(run_id)
    if job is not None:
        if job.is_over:
            raise RunEnded(run_id, job.status)
        ledger.jobs.cancel(Which(ids=[run_id]), by=by)
        end_flagged(ledger)
        return ledger.runs.get(run_id).status if job.started_at else "stopped"
    record = ledger.runs.get(run_id)
    check_whole(record)
    if record.status in ("done", "stopped"):
        raise RunEnded(record.id, record.status)
    ledger.runs.cancel(record.id, by=by)
    return end_cancelled_run(ledger, record.id)


def end_cancelled_run(ledger: Ledger, run_id: str) -> Status:
    """Close a run that is to end, unless somebody drives it, who then does; how it stands now."""
    with working() as owner, suppress(RunBusy):
        _close(ledger, run_id, owner, f"cancelled by {ledger.runs.get(run_id).cancelled_by}")
    return ledger.runs.get(run_id).status


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
    _close(ledger, job.run_id, owner, why)
    ledger.jobs.turns.finish(job, "cancelled", why)


def _close(ledger: Ledger, run_id: str, owner: str, why: str) -> None:
    """Stop a run, unless it has ended; RunBusy if somebody drives it."""
    ledger.runs.claim(run_id, owner, seconds=_CLOSING)
    try:
        if ledger.runs.get(run_id).status not in ("done", "stopped"):
            stop_run(ledger, run_id, why)
    finally:
        ledger.runs.release(run_id, owner)
