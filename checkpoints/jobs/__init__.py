"""Jobs: runs that workers do, each turn of them a row of the queue; and the workers' slots."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.checkpoints.jobs.alerts import ALERTS as ALERTS, Alert as Alert
    from signoff.checkpoints.jobs.job import DEFAULT_TENANT as DEFAULT_TENANT, ENDED as ENDED, JOB_RUN as JOB_RUN
    from signoff.checkpoints.jobs.job import Job as Job, JobStatus as JobStatus, NewJob as NewJob, STATUSES as STATUSES
    from signoff.checkpoints.jobs.job import Which as Which, run_id_of_job as run_id_of_job
    from signoff.checkpoints.jobs.limits import LimitKind as LimitKind
    from signoff.checkpoints.jobs.queue import APPLICATION as APPLICATION, QUEUE as QUEUE, TURN as TURN
    from signoff.checkpoints.jobs.queue import VERSION as VERSION, serializer as serializer
    from signoff.checkpoints.jobs.queue import address_of as address_of, make_tables as make_tables
    from signoff.checkpoints.jobs.queue import FEW as FEW, set_up_queue as set_up_queue
    from signoff.checkpoints.jobs.job_table import Asked as Asked, Figures as Figures, Quality as Quality
    from signoff.checkpoints.jobs.job_table import Hour as Hour, Submitted as Submitted
    from signoff.checkpoints.jobs.schedules import CATCH_UP_SECONDS as CATCH_UP_SECONDS, Overlap as Overlap
    from signoff.checkpoints.jobs.schedules import Schedule as Schedule
    from signoff.checkpoints.jobs.workers import Silences as Silences, Slot as Slot
offer(__name__)
