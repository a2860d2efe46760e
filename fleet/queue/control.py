"""The fleet, as people have it in hand: jobs are submitted, looked at, ended, held, and their results read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from signoff.checkpoints import configured_ledger, configured_saver
from signoff.checkpoints.jobs import ENDED, Asked, Job, NewJob, Submitted, Which, make_tables
from signoff.checkpoints.ledger import Ledger
from signoff.fleet.cancelling import end_flagged
from signoff.fleet.history import state_in
from signoff.settings import Settings, load_settings
from signoff.tools.broker import open_broker

_AT_ONCE: Final = 500
"""Jobs in one transaction: others write between them. What is submitted again is not done again."""


@dataclass(frozen=True)
class Fleet:
    """The jobs of one database."""

    ledger: Ledger
    settings: Settings

    @classmethod
    def open(cls, settings: Settings | None = None) -> Fleet:
        """The fleet of the settings' database."""
        settings = settings or load_settings()
        open_broker(settings)
        return cls(configured_ledger(settings), settings)

    def submit(self, jobs: Sequence[NewJob]) -> Submitted:
        """Have these jobs done; JobChanged, before any is kept, if one of them is there with another input.

        What `read_jobs` gives. A job of an id that is there, with the same input, is the same job.
        """
        make_tables(self.ledger, self.settings.database_name)
        by, new, known = self.settings.user_name, list[str](), list[str]()
        self.ledger.jobs.check(jobs)
        for start in range(0, len(jobs), _AT_ONCE):
            part = self.ledger.jobs.submit(jobs[start : start + _AT_ONCE], by=by)
            new += part.new
            known += part.known
        return Submitted(tuple(new), tuple(known))

    def cancel(self, which: Which) -> Asked:
        """End these jobs. Those that a worker has end at the next boundary of a step; no effect begins meanwhile."""
        asked = self.ledger.jobs.cancel(which, by=self.settings.user_name)
        end_flagged(self.ledger)
        return asked

    def hold(self, which: Which) -> Asked:
        """Have these jobs rest until they are resumed."""
        return self.ledger.jobs.hold(which, by=self.settings.user_name)

    def resume(self, which: Which) -> Asked:
        """Have held jobs go on."""
        return self.ledger.jobs.resume(which, by=self.settings.user_name)

    def retry(self, which: Which) -> Asked:
        """Have parked jobs go on from where they stand."""
        return self.ledger.jobs.retry(which, by=self.settings.user_name)

    def results(self, which: Which) -> Iterator[dict[str, Any]]:
        """What came of these jobs that have ended, as JSON values, in the order in which they were submitted."""
        with configured_saver(self.settings) as saver:
            for job in self.ledger.jobs.list(which):
                if job.status in ENDED:
                    yield _result(self.ledger, job, state_in(saver, job.run_id))


def _result(ledger: Ledger, job: Job, state: dict[str, Any]) -> dict[str, Any]:
    note = ledger.runs.get(job.run_id).note if job.started_at else ""
    artifacts = {name: kept["value"] for name, kept in (state.get("artifacts") or {}).items()}
    return {
        "id": job.id,
        "tenant": job.tenant,
        "run": job.run_id,
        "team": job.team,
        "status": job.status,
        "note": note,
        "error": job.error,
        "goal": job.goal,
        "artifacts": artifacts,
        "outcomes": state.get("outcomes") or [],
        "usage": state.get("usage") or {},
        "submitted_at": job.submitted_at,
        "ended_at": job.ended_at,
    }
