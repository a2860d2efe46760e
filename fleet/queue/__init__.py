"""Many runs at once: jobs that are submitted, the workers that do them, and what becomes of the work of dead ones."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.fleet.queue.control import Fleet as Fleet
    from signoff.fleet.queue.metrics import metrics_text as metrics_text, serve as serve
    from signoff.fleet.queue.overview import Overview as Overview, overview_of as overview_of
    from signoff.fleet.queue.submission import How as How, Line as Line, Submission as Submission
    from signoff.fleet.queue.submission import OUT as OUT, read_jobs as read_jobs
    from signoff.fleet.queue.worker import Worker as Worker
offer(__name__)
