"""Cancelling: a run is ended by somebody who does not drive it, whoever does; no effect of it begins from then on."""

from __future__ import annotations

from signoff.checkpoints import working
from signoff.checkpoints.errors import RunBusy
from signoff.checkpoints.jobs import Which
from signoff.checkpoints.ledger import Ledger, Status
from signoff.fleet.driver import check_whole
from signoff.fleet.errors import RunEnded
from signoff.fleet.queue import end_flagged
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
    with working() as owner:
        try:
            ledger.runs.claim(run_id, owner, seconds=_CLOSING)
        except RunBusy:
            return ledger.runs.get(run_id).status
        try:
            record = ledger.runs.get(run_id)
            if record.status not in ("done", "stopped"):
                stop_run(ledger, run_id, f"cancelled by {record.cancelled_by}")
        finally:
            ledger.runs.release(run_id, owner)
    return ledger.runs.get(run_id).status
