"""The queue of turns: DBOS's, whose tables lie in the ledger's own database, so that a row and its turn are one commit.

DBOS deals the turns out, keeps tenants from each other's way, and knows which worker has which. What a turn does, and
whether it may, the ledger says. Nothing that lies in these rows is more than a run's id and a number.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from signoff.checkpoints.db.url import is_address
from signoff.checkpoints.errors import ForeignQueue
from signoff.checkpoints.jobs.job import Job
from signoff.checkpoints.ledger.session import Transactions
from signoff.error_base import MissingExtra

if TYPE_CHECKING:
    from dbos import DBOSClient, Serializer

_log = logging.getLogger(__name__)
APPLICATION: Final = "signoff"
VERSION: Final = "signoff-jobs-1"
"""Of what a row of the queue holds, not of signoff: one of another is taken by no worker. What a run's graph is, its
checkpoints say."""
QUEUE: Final = "signoff"
TURN: Final = "signoff.turn"
"""The name of the one workflow."""
FEW: Final = 8
"""How many turns a worker has at once, if nobody says."""
_POLL: Final = 0.2
"""Seconds between looks into the queue."""
_SCHEMA, _TABLE = "dbos", "workflow_status"
_WRITTEN_AS: Final = "serialization"
_FOREIGN: Final = f"SELECT workflow_uuid FROM {{}} WHERE {_WRITTEN_AS} <> :ours LIMIT 1"
_ANY: Final = "SELECT workflow_uuid FROM {} WHERE :ours <> '' LIMIT 1"


@cache
def serializer() -> Serializer:
    """How rows of the queue are written: as JSON. DBOS's own way, pickle, runs what it reads."""
    try:
        from dbos import DBOSPortableJSONSerializer
    except ImportError as error:
        raise MissingExtra("Running jobs by workers", "fleet") from error
    return DBOSPortableJSONSerializer()


class TurnQueue:
    """Puts turns into the queue, within a transaction of the ledger."""

    def __init__(self) -> None:
        self._client: DBOSClient | None = None
        self._engine: Any = None
        self._lock = threading.Lock()

    @property
    def is_there(self) -> bool:
        """Whether the packages are installed that write to it."""
        return find_spec("dbos") is not None

    def put(self, connection: Connection, job: Job, *, delay: float = 0.0) -> None:
        """Have the job's turn done, after so many seconds, once the transaction is committed."""
        options: dict[str, Any] = {
            "workflow_name": TURN,
            "queue_name": QUEUE,
            "workflow_id": job.turn_id,
            "app_version": VERSION,
            "application_name": APPLICATION,
            "queue_partition_key": job.tenant,
            # What has begun goes on before anything of the same priority begins.
            "priority": 2 * job.priority - (1 if job.started_at else 0),
        }
        if delay > 0:
            options["delay_seconds"] = delay
        self._client_of(connection).enqueue_in_transaction(connection, options, job.run_id, job.turn)  # type: ignore[arg-type]  # a dict made by parts

    def _client_of(self, connection: Connection) -> DBOSClient:
        with self._lock:
            if self._client is None or self._engine is not connection.engine:
                how = serializer()
                from dbos import DBOSClient

                self._engine = connection.engine
                self._client = DBOSClient(
                    system_database_engine=connection.engine, serializer=how, application_name=APPLICATION, lazy=True
                )
            return self._client


def address_of(database: str) -> str:
    """The database, a file or an address, as DBOS is told it."""
    return database if is_address(database) else f"sqlite:///{Path(database).resolve()}"


def make_tables(ledger: Transactions, database: str) -> None:
    """Make the queue's tables, or bring them up to date, in the database of this ledger, a file or an address.

    ForeignQueue if there are rows in them that are not written as ours: DBOS would run what it reads from those.
    """
    serializer()
    from dbos import DBOS, DBOSClient

    with ledger.read() as connection:  # makes the ledger's own tables first, and with them the file
        _check_ours(connection)
    _migrate(lambda: DBOS.migrate(address_of(database)))
    client = DBOSClient(system_database_url=address_of(database), serializer=serializer(), application_name=APPLICATION)
    try:
        set_up_queue(client.register_queue, FEW, on_conflict="never_update")
    finally:
        client.destroy()


def _migrate(migrate: Callable[[], object]) -> None:
    """Do it until it is done: workers start at once, DBOS takes no turns, and what one has made is in another's way."""
    for pause in (0.2, 0.5, 1.0, 2.0, 4.0):
        try:
            migrate()
        except SQLAlchemyError as error:
            _log.info("The queue's tables are being made by another process, it seems: %s", error)
            time.sleep(pause)
        else:
            return
    migrate()


def _check_ours(connection: Connection) -> None:
    schema = None if connection.dialect.name == "sqlite" else _SCHEMA
    found = inspect(connection)
    if not found.has_table(_TABLE, schema=schema):
        return
    query, where = _FOREIGN, f"{_SCHEMA}.{_TABLE}" if schema else _TABLE
    if all(column["name"] != _WRITTEN_AS for column in found.get_columns(_TABLE, schema=schema)):
        query = _ANY  # of an older DBOS, or another worker that starts now is making it
    foreign = connection.execute(text(query.format(where)), {"ours": serializer().name()}).first()
    if foreign:
        raise ForeignQueue(str(foreign[0]))


def set_up_queue(register: Callable[..., object], places: int, *, on_conflict: str = "always_update") -> None:
    """Say how the queue is dealt out; `places`: how many turns each worker has at once."""
    limits = {"worker_concurrency": places, "partition_worker_concurrency": places}
    register(QUEUE, **limits, polling_interval_sec=_POLL, on_conflict=on_conflict)
