"""A worker: a process that takes turns of jobs from the queue, several at once, until it is told to stop."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from signoff.checkpoints import configured_saver, working
from signoff.checkpoints.db import is_address
from signoff.checkpoints.errors import StoreError
from signoff.checkpoints.jobs import QUEUE, TURN, Silences, Which, make_tables, set_up_queue
from signoff.error_base import SettingsError
from signoff.fleet.cancelling import end_flagged
from signoff.fleet.driver import Driver
from signoff.fleet.queue.overview import TO_DO
from signoff.fleet.queue.recovery import clear, hasten, launch, restore, sweep
from signoff.fleet.queue.turn import Turner, Underway
from signoff.settings import Settings

_log = logging.getLogger(__name__)
GRACE_SECONDS: Final = 20.0
"""What the turns under way have to come to a boundary once the worker is to stop; then their calls are cut off."""
_PATIENCE: Final = 30.0
"""The same for a job that is to be cancelled or held."""
_LOOK: Final = 0.25
"""Seconds between looks at what is wanted of the jobs under way."""
PATIENCE_SECONDS: Final = 1_800.0
"""Seconds after which a turn of which nothing was heard makes no progress, if nobody says otherwise."""
_STEPS: Final = 4
"""So many times that a turn may be heard of and come to no other step: the same call again and again, say."""
_FIRE: Final = 1.0
"""Seconds between looks at the schedules."""
_JUMP: Final = 5
"""By so many seconds a clock that is only kept right is never set."""
_MOMENT: Final = 0.05
_SWEEP: Final = 10.0
"""Seconds between looks after dead workers and jobs that nobody has, and until what failed is tried again."""
_GARBAGE: Final = (50_000, 20, 20)
"""Of the garbage collection: by Python's own, what many jobs keep is looked through again and again."""
_TO_END: Final = 5.0
"""Seconds that turns whose calls were cut off have to be put back."""


class Worker:
    """One worker. `run` takes the whole process: DBOS is there once in it."""

    def __init__(
        self, settings: Settings, places: int, *, until_idle: bool = False, patience: Mapping[str, float] | None = None
    ) -> None:
        """`places`: how many turns at once; `until_idle`: it ends once no job is left that a worker could do.

        `patience`: seconds by team, "" for all others, after which a turn of which nothing was heard makes no progress.
        """
        if settings.tenant:
            raise SettingsError("SIGNOFF_TENANT", "a worker does the jobs of all tenants", "Leave it out for workers.")
        self._driver = Driver.open(settings)
        self._settings, self._ledger = settings, self._driver.ledger
        self._places, self._until_idle = places, until_idle
        self._patience = {"": PATIENCE_SECONDS, **(patience or {})}
        self._stop, self._is_idle = threading.Event(), False
        self._ahead = time.time() - time.monotonic()
        """How far the clock is ahead of that of `time.monotonic`, which does not jump."""

    def stop(self) -> None:
        """Take nothing new, and end once what is under way has come to a boundary; from any thread, or a signal."""
        self._stop.set()

    def run(self, told: Callable[[str], object] = lambda _: None) -> int:
        """Work until `stop`; how many turns were done. `told` is given a line for people now and then."""
        make_tables(self._ledger, self._settings.database_name)
        with ExitStack() as held:
            held.callback(gc.set_threshold, *gc.get_threshold())
            gc.set_threshold(*_GARBAGE)
            owner, saver = held.enter_context(working()), None
            if not is_address(self._settings.database_name):  # one file's is for all threads and loops
                saver = held.enter_context(configured_saver(self._settings))
            slot = self._ledger.workers.join(owner, places=self._places)
            turner = Turner(replace(self._driver, saver=saver), slot.slot)
            try:
                with self._ledger.keep_alive.renewing(lambda _: self._ledger.workers.beat(slot), slot.slot):
                    self._launch(turner, slot.slot)
                    self._ledger.jobs.refit(slot.slot)
                    told(f"Worker {slot.slot} takes up to {self._places} jobs at once. Ctrl-C ends it.")
                    self._watch(turner)
                    self._ledger.workers.drain(slot)
                    self._drain(turner, told)
            finally:
                with suppress(StoreError):
                    self._ledger.workers.leave(slot)
        return turner.done

    def _launch(self, turner: Turner, slot: str) -> None:
        from dbos import DBOS

        async def turn(run_id: str, number: int) -> str:
            return await turner.do(run_id, number)

        DBOS.workflow(name=TURN, max_recovery_attempts=None)(turn)
        launch(self._settings, slot, queues=(QUEUE,))
        set_up_queue(DBOS.register_queue, self._places)

    def _watch(self, turner: Turner) -> None:
        """See to what is to be done now and then, until the worker is to stop; what fails keeps nothing waiting."""
        ledger = self._ledger
        duties: tuple[tuple[float, Callable[[], object]], ...] = (
            (_LOOK, partial(self._see_to, turner)),
            (_FIRE, partial(self._note_clock, turner.slot)),
            (_FIRE, ledger.schedules.fire),
            (_SWEEP, partial(sweep, ledger, self._settings, Silences(turner.slot))),
            (_SWEEP, partial(restore, ledger)),
            (_SWEEP, clear),
            (_SWEEP, partial(end_flagged, ledger)),
            (_SWEEP, partial(ledger.alerts.look, self._settings)),
            (_LOOK, partial(self._note_idle, turner)),
        )
        due = [0.0] * len(duties)
        while not self._is_idle and not self._stop.wait(_LOOK):
            for number, (every, duty) in enumerate(duties):
                if due[number] <= time.monotonic():
                    due[number] = time.monotonic() + (every if _tried(duty) else _SWEEP)

    def _see_to(self, turner: Turner) -> None:
        underway = dict(turner.underway)
        for run_id, wanted in (self._ledger.jobs.wanted(turner.slot) if underway else {}).items():
            if (turn := underway.get(run_id)) is None:
                continue  # it was left, or taken, since it was looked
            if not turn.because:
                turn.leave_off(wanted)
            elif time.monotonic() > turn.asked_at + _PATIENCE:
                turn.cut_off(wanted)
        for turn in underway.values():
            if not turn.because and (how := self._stands_still(turn)):
                _log.warning("Job %s makes no progress and rests: %s; last heard: %s", turn.job.name, how, turn.doing)
                turn.stall(how)

    def _stands_still(self, turn: Underway) -> str:
        """In which way a turn makes no progress; empty if it does. What a model or an action did last is looked up."""
        limit, now = self._patience.get(turn.job.team, self._patience[""]), time.monotonic()
        if now - turn.moved_at > _STEPS * limit:
            return f"it came to no other step for {_STEPS * limit:g} s"
        if now - turn.heard_at <= limit:
            return ""
        since = self._ledger.jobs.heard(turn.job.run_id)
        if since is not None and since < limit:
            turn.heard_at = now - since
            return ""
        return f"no step, call of a model or effect ended for {limit:g} s"

    def _note_clock(self, slot: str) -> None:
        """Have the log tell if the clock has jumped, or the machine slept: what expires and what is due goes by it."""
        before, self._ahead = self._ahead, time.time() - time.monotonic()
        if abs(jumped := round(self._ahead - before)) >= _JUMP:
            _log.warning("The clock has jumped by %d s: what expires, and what is due, is so by the new time.", jumped)
            with self._ledger.write() as connection:
                self._ledger.audit.append(connection, "", "clock jumped", seconds=jumped, worker=slot)
            if jumped < 0:
                hasten(self._ledger)

    def _note_idle(self, turner: Turner) -> None:
        if self._until_idle and not turner.underway:
            self._is_idle = not self._ledger.jobs.counts(Which(status=TO_DO))

    def _drain(self, turner: Turner, told: Callable[[str], object]) -> None:
        from dbos import DBOS

        turner.takes_nothing, left = True, len(turner.underway)
        for turn in list(turner.underway.values()):
            turn.leave_off("the worker is to stop")
        if left:
            told(f"{left} under way: each comes to a boundary, or is cut off in {GRACE_SECONDS:g} s, and is put back.")

        def cut_off() -> None:
            for turn in list(turner.underway.values()):
                turn.cut_off("the worker is to stop")

        timer = threading.Timer(GRACE_SECONDS, cut_off)
        timer.start()
        try:
            if not self._stop.is_set():  # nothing is left in the queue: what is under way are rows of DBOS alone
                mine: dict[str, Any] = {"executor_id": turner.slot, "status": "PENDING", "limit": 1}
                until = time.monotonic() + _TO_END
                while DBOS.list_workflows(**mine, load_input=False) and time.monotonic() < until:
                    time.sleep(_MOMENT)
            patience = GRACE_SECONDS + _TO_END if self._stop.is_set() else 0
            DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=int(patience))
        finally:
            timer.cancel()


def _tried(duty: Callable[[], object]) -> bool:
    """Do it; False if the database did not let it be done."""
    try:
        duty()
    except StoreError as error:
        _log.warning("%s Tried again.", error)
        return False
    return True
