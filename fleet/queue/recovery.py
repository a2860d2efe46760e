"""What a dead worker leaves behind goes back into the queue: by a short process that takes its name, and no work.

DBOS gives back what a worker of one name had when a process of that name starts; whether a row is taken by then, it
compares when it writes. So sweeping a worker that lives, by mistake, does nothing twice: its turns are found taken.
Run as `python -m signoff.fleet.queue.recovery SLOT`, with SIGNOFF_DATABASE set.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any, Final

from signoff.checkpoints import later, working
from signoff.checkpoints.jobs import APPLICATION, QUEUE, VERSION, Silences, Slot, Which, address_of, serializer
from signoff.checkpoints.ledger import Ledger
from signoff.settings import Settings, load_settings

_log = logging.getLogger(__name__)
_SECONDS: Final = 60.0
"""What a sweep may take; what it did not come to, the next one does."""
_LOOKS: Final = 0.1
_KEPT: Final = 3_600.0
"""Seconds that the row of a turn is kept once it was done."""
_SOME: Final = 500
_CONNECTIONS: Final = 4
"""Kept to the queue: what is written to it of a turn is its begin and its end."""
_UNMOVED: Final = 120.0
"""Seconds after which it is looked whether a job's turn is in the queue at all."""


def sweep(ledger: Ledger, settings: Settings, silences: Silences) -> None:
    """End the workers of this machine that give no sign of life, and put back what dead ones had.

    A worker elsewhere is dead once it gave no sign of life for its lease. Of several who sweep, each dead one is one's.
    `silences`: the same each time.
    """
    for slot in silences.overdue(ledger.workers.all()):
        _log.warning("Worker %s (process %d) gives no sign of life: it is ended.", slot.slot, slot.pid)
        with suppress(ProcessLookupError):
            os.kill(slot.pid, signal.SIGKILL)
    with working() as owner:
        for slot in ledger.workers.lost(owner):
            if _put_back(slot, settings):
                ledger.workers.leave(slot)


def restore(ledger: Ledger) -> None:
    """Put into the queue what should be there for a while and is not, as where a database was restored.

    To be called in a process where DBOS was launched.
    """
    from dbos import DBOS

    missed = ledger.jobs.unmoved(_UNMOVED)
    rows = DBOS.list_workflows(workflow_ids=[job.turn_id for job in missed], load_input=False) if missed else []
    there = {row.workflow_id for row in rows if row.status in ("ENQUEUED", "PENDING", "DELAYED")}
    for job in missed:
        if job.turn_id not in there:
            ledger.jobs.turns.restore(job)


def hasten(ledger: Ledger) -> None:
    """Have what is to be tried again in a moment come now, where the clock was set back: its row waits by the old time.

    To be called in a process where DBOS was launched.
    """
    from dbos import DBOS

    pauses = {job.turn_id for job in ledger.jobs.list(Which(status=("queued",)))}
    for row in DBOS.list_workflows(status="DELAYED", queue_name=QUEUE, load_input=False) if pauses else ():
        if row.workflow_id in pauses:
            DBOS.set_workflow_delay(row.workflow_id, delay_seconds=0)


def clear() -> None:
    """Delete rows of turns that were done a while ago, some at a time, which nobody needs.

    To be called in a process where DBOS was launched.
    """
    from dbos import DBOS

    over: dict[str, Any] = {"status": ["SUCCESS", "ERROR", "CANCELLED"], "queue_name": QUEUE, "limit": _SOME}
    found = DBOS.list_workflows(**over, completed_before=later(-_KEPT), load_input=False, load_output=False)
    if found:
        DBOS.delete_workflows([row.workflow_id for row in found])


def _put_back(slot: Slot, settings: Settings) -> bool:
    """Whether all that this worker had is in the queue again."""
    command = [sys.executable, "-m", __name__, slot.slot]
    around = {**os.environ, "SIGNOFF_DATABASE": str(settings.database_name)}
    try:
        ended = subprocess.run(command, env=around, capture_output=True, text=True, timeout=2 * _SECONDS)
    except subprocess.TimeoutExpired:
        _log.warning("What worker %s had is not all put back yet: it takes long.", slot.slot)
        return False
    if ended.returncode:
        _log.warning("What worker %s had is not all put back yet: %s", slot.slot, ended.stderr.strip()[-500:])
    return ended.returncode == 0


def main(slot: str) -> int:
    """Put back what the worker of this slot had; 1 if something of it is left after a while."""
    from dbos import DBOS

    settings = load_settings()
    launch(settings, slot, queues=())
    until = time.monotonic() + _SECONDS
    try:
        while left := DBOS.list_workflows(status="PENDING", executor_id=slot, limit=1, load_input=False):
            if time.monotonic() > until:
                sys.stderr.write(f"{left[0].workflow_id} is left\n")
                return 1
            time.sleep(_LOOKS)
    finally:
        DBOS.destroy()
    return 0


def launch(settings: Settings, slot: str, *, queues: tuple[str, ...]) -> None:
    """Start DBOS in this process, as the worker of this slot, taking work from these queues."""
    how = serializer()
    from dbos import DBOS

    logging.getLogger("dbos").handlers.clear()  # they hold on to what was standard error when they were made
    DBOS(
        config={
            "name": APPLICATION,
            "system_database_url": address_of(str(settings.database_name)),
            "application_version": VERSION,
            "executor_id": slot,
            "serializer": how,
            "sys_db_pool_size": _CONNECTIONS,
            "log_level": "ERROR",
            "console_log_level": "ERROR",
        }
    )
    DBOS.listen_queues(queues)
    DBOS.launch()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
