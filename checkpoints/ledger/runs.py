"""Runs: one goal given to one team, and which process drives it now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, runtime_checkable

from sqlalchemy import Connection, Row, insert, or_, select, update

from signoff.checkpoints import canonical
from signoff.checkpoints.canonical import canonical_json, from_row, plain_text, read_json
from signoff.checkpoints.errors import BadName, RunBusy, Tampered, UnknownRun
from signoff.checkpoints.ledger.approval import clean_name
from signoff.checkpoints.ledger.audit_log import AuditLog
from signoff.checkpoints.ledger.run_path import RUN_CHILD, RunPath, begins, is_below, path_in
from signoff.checkpoints.ledger.schema import RUN_TENANT, proposals, runs
from signoff.checkpoints.ledger.session import Transactions, clock
from signoff.checkpoints.process_identity import Fence, begin_work, describe_owner, end_work, holds

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

Status = Literal["running", "waiting", "done", "stopped", "failed"]
"""running: at work, or cut off and resumable; waiting: for a person; stopped: by a person; failed: by an error."""

Driver = Literal["local", "graph"]
"""local: signoff's own runner, whose checkpoints are in the same database; graph: whoever invokes the graph."""


SILENT_SECONDS = 120.0
"""A run at work beats every 15 seconds; after so many it is told as silent."""
_AT_ONCE = 500
"""Ids in one statement; databases take only so many."""


DONE_WITHOUT: Final = "Done, without "
"""How the note of a run begins that is done but for something, which is what its first line names."""
RUN_INPUT: Final = "run input"
"""Where a run's options keep what it was given beside the goal; no team can have such an option by accident."""
RUN_DRY: Final = "run dry"
"""Where those of a job keep that its run is to be a dry one."""
RUN_CLIENT: Final = "run client"
"""Where they keep which conversation of a client it belongs to, and which message of that began it."""


@runtime_checkable
class Fenceable(Protocol):
    """A saver that can be bound to a claim of a run."""

    def fenced(self, fence: Fence, ledger: str) -> BaseCheckpointSaver[Any]:
        """A view that writes nothing any more, RunBusy, once the run was claimed again; `ledger` is its database."""


@dataclass(frozen=True)
class RunRecord:
    """One run as the ledger knows it."""

    id: str
    team: str
    goal: str
    options: dict[str, Any]
    """What the team is built again from."""
    status: Status
    note: str
    driver: Driver
    requested_by: str
    """Who gave the goal; empty if nobody knows."""
    dry_run: bool
    """Whether nothing is called, whatever is decided."""
    created_at: str
    updated_at: str
    owner: str
    """The process that drives it, empty if none."""
    beat_at: str = ""
    """When whoever drives it last gave a sign of life; empty if never."""
    copied_at: str = ""
    """When the copy of the database was made in which it goes on since; empty if it is the original."""
    cancelled_by: str = ""
    """Who wants it to end, for which nothing more is called then; empty: nobody."""
    path: RunPath = ()

    @property
    def root(self) -> str:
        """The run that is driven when this one is: itself, or the outermost around it."""
        return self.path[0][0] if self.path else self.id

    @property
    def place(self) -> str:
        """The namespace of its checkpoints on the thread of its root; empty for one of its own."""
        return str(self.options[RUN_CHILD].get("at", "")) if self.path else ""

    @property
    def input(self) -> dict[str, Any]:
        """What it was given beside the goal, as JSON, by the names of the fields of the team's input."""
        given = self.options.get(RUN_INPUT, {})
        if not isinstance(given, dict):
            raise Tampered(f"Run {self.id}", f"its input is {given!r:.60}")
        return given

    @property
    def tenant(self) -> str:
        """Whose it is; empty where nobody shares the ledger."""
        return str(self.options.get(RUN_TENANT, ""))

    @property
    def left_out(self) -> str:
        """What was not done of a run that is done, such as `mailer, send_mail`; empty if all of it was."""
        line = self.note.partition("\n")[0]
        found = self.status == "done" and line.startswith(DONE_WITHOUT)
        return line.removeprefix(DONE_WITHOUT).rstrip(".") if found else ""

    @property
    def alive_at(self) -> str:
        """When something of it was last heard."""
        return max(self.created_at, self.updated_at, self.beat_at)

    @property
    def is_silent(self) -> bool:
        """Whether it should be at work, and nothing was heard of it for a while."""
        return self.status == "running" and canonical.seconds_since(self.alive_at) > SILENT_SECONDS


class Runs:
    """The runs table."""

    def __init__(self, ledger: Transactions, audit: AuditLog, fences: dict[str, Fence]) -> None:
        self._ledger, self._audit, self._fences = ledger, audit, fences

    def begin(
        self,
        thread: str,
        number: int,
        *,
        team: str,
        goal: str,
        options: Mapping[str, Any] | None = None,
        driver: Driver = "graph",
        requested_by: str = "",
        dry_run: bool = False,
    ) -> tuple[str, int]:
        """Record that a thread begins a run, its `number`-th or the next one free; return the run's id and number.

        Beginning again where it was cut off before anything was proposed is the same run. A thread's id that comes
        back with no memory of its runs (another saver, a deleted thread) gets a new run, never old decisions.
        """
        kept = dict(options or {})
        with self._ledger.write() as connection:
            while (found := self._row(connection, run_id_of(thread, number))) is not None:
                same = (found.status, found.team, found.goal) == ("running", team, plain_text(goal))
                same = same and found.dry_run >= dry_run and record_of(found).input == kept.get(RUN_INPUT, {})
                if same and not _has_proposals(connection, found.id):
                    return found.id, number
                number += 1
            told = {"team": team, "goal": goal, "requested_by": requested_by, "dry_run": dry_run, "driver": driver}
            self.add(connection, run_id_of(thread, number), kept, **told)
        return run_id_of(thread, number), number

    def begin_as(self, run_id: str, *, options: Mapping[str, Any], **told: Any) -> bool:
        """Record that a run of just this id begins, told of as by `begin`; False if there is one."""
        with self._ledger.write() as connection:
            if self._row(connection, run_id) is not None:
                return False
            self.add(connection, run_id, dict(options), **told)
        return True

    def add(self, connection: Connection, run_id: str, options: dict[str, Any], **told: Any) -> None:
        """Write a new run: `told` are its team, goal, requested_by, dry_run and driver."""
        at, told = canonical.now(), {**told, "requested_by": _known_name(told["requested_by"])}
        moments = {"created_at": at, "updated_at": at}
        row = insert(runs).values(id=run_id, status="running", options=canonical_json(options), **told, **moments)
        connection.execute(row)
        self._audit.append(connection, run_id, "started", options=options, owner="", **told, **moments)

    def get(self, run_id: str) -> RunRecord:
        """The run with this id, or the only one whose id begins with it; UnknownRun otherwise."""
        with self._ledger.read() as connection:
            row = connection.execute(select(runs).where(runs.c.id == run_id)).first()
            if row is None and run_id:
                query = select(runs).where(begins(runs.c.id, run_id)).limit(2)
                found = connection.execute(query).all()
                row = found[0] if len(found) == 1 else None
        if row is None:
            raise UnknownRun(run_id)
        return record_of(row)

    def some(self, run_ids: Iterable[str]) -> tuple[RunRecord, ...]:
        """Those of just these ids that there are, oldest first."""
        query = select(runs).where(runs.c.id.in_(run_ids)).order_by(runs.c.created_at, runs.c.id)
        with self._ledger.read() as connection:
            return tuple(record_of(row) for row in connection.execute(query))

    def list(self, limit: int = 50) -> list[RunRecord]:
        """The newest runs, newest first."""
        query = select(runs).order_by(runs.c.created_at.desc()).limit(limit)
        with self._ledger.read() as connection:
            return [record_of(row) for row in connection.execute(query)]

    def children(self, *run_ids: str) -> tuple[RunRecord, ...]:
        """The runs that are the work of agents in these, and in those, oldest first."""
        if not run_ids:
            return ()
        some = or_(*(is_below(runs.c.id, run_id) for run_id in run_ids))
        with self._ledger.read() as connection:  # ordered here, or SQLite would read all runs in that order
            found = sorted(map(record_of, connection.execute(select(runs).where(some))), key=lambda one: one.created_at)
        return tuple(record for record in found if not set(run_ids).isdisjoint(run for run, _ in record.path))

    def open_threads(self) -> set[str]:
        """The threads of all runs that go on or wait for a person."""
        query = select(runs.c.id).where(runs.c.status.in_(("running", "waiting")))
        with self._ledger.read() as connection:
            ids = {str(row.id) for row in connection.execute(query)}
        # A thread's own name may end as a later run's id does: both are meant then.
        return ids | {thread for thread, _, number in (run.rpartition("~") for run in ids) if number.isdecimal()}

    def tell_copied(self, connection: Connection, at: str) -> tuple[str, ...]:
        """Tell the runs that were open when this copy of the database was made; their ids.

        The original may have gone on with them: nobody works on them here, and what they call was perhaps called.
        """
        still_open = runs.c.status.not_in(("done", "stopped"))
        found = connection.execute(select(runs.c.id, runs.c.owner).where(still_open)).all()
        told = {"copied_at": at, "owner": "", "owner_until": ""}
        connection.execute(update(runs).where(still_open).values(told))
        for row in found:
            self._audit.append(connection, row.id, "copied", copied_at=at)
            if row.owner:
                self._audit.append(connection, row.id, "let go", owner="")
        return tuple(row.id for row in found)

    def _row(self, connection: Connection, run_id: str) -> Row[Any] | None:
        return connection.execute(select(runs).where(runs.c.id == run_id)).first()

    def set_status(self, run_id: str, status: Status, note: str = "") -> None:
        """Write where the run stands; the audit log tells of every change. RunBusy if it was taken over meanwhile."""
        with self._ledger.write(driver_of=run_id) as connection:
            self._note(connection, run_id, status, note)

    def wait_again(self, connection: Connection, run_id: str, note: str) -> None:
        """A question of the run is open again, be it that the run had ended."""
        self._note(connection, run_id, "waiting", note)

    def _note(self, connection: Connection, run_id: str, status: Status, note: str) -> None:
        told = {"status": status, "note": note, "updated_at": canonical.now()}
        another = (runs.c.id == run_id) & ((runs.c.status != status) | (runs.c.note != note))
        if connection.execute(update(runs).where(another).values(told)).rowcount:
            self._audit.append(connection, run_id, "status", **told)
        if status in ("running", "waiting") and "." in run_id:
            self._note_around(connection, run_id, status, note)

    def _note_around(self, connection: Connection, run_id: str, status: Status, note: str) -> None:
        """The run around a child waits as long as that does."""
        row = self._row(connection, run_id)
        path = path_in(row.options, f"Run {run_id}") if row is not None else ()
        if path:
            around, role = path[-1]
            held = self._row(connection, around)
            if held is not None and held.status not in ("done", "stopped"):
                self._note(connection, around, status, f"{role}: {note}" if note else "")

    def change_options(self, run_id: str, options: Mapping[str, Any], *, by: str) -> None:
        """Have the run's team built otherwise from now on; RunBusy while somebody is at work on the run."""
        told = {"options": dict(options), "updated_at": canonical.now()}
        with self._ledger.write() as connection:
            row = self._row(connection, run_id)
            if row is None:
                raise UnknownRun(run_id)
            if held_by := record_of(row).owner:
                raise RunBusy(run_id, held_by, who=describe_owner(held_by))
            kept = {**told, "options": canonical_json(told["options"])}
            connection.execute(update(runs).where(runs.c.id == run_id).values(kept))
            self._audit.append(connection, run_id, "changed", by=by, **told)

    def cancel(self, run_id: str, *, by: str) -> None:
        """Have no effect of the run begin any more, from this moment on, and whoever drives it leave off."""
        with self._ledger.write() as connection:
            wanted = (runs.c.id == run_id) & (runs.c.cancelled_by == "")
            if connection.execute(update(runs).where(wanted).values(cancelled_by=by)).rowcount:
                self._audit.append(connection, run_id, "cancel wanted", by=by)

    def claim(self, run_id: str, owner: str, *, seconds: float) -> Fence:
        """Take the run; RunBusy while whoever holds it is at work, or, elsewhere, for this long after its last renewal.

        Every later write of whoever held it before is refused.
        """
        with self._ledger.write() as connection:
            row = connection.execute(select(runs).where(runs.c.id == run_id)).first()
            if row is None:
                raise UnknownRun(run_id)
            held_by = str(row.owner)
            if held_by != owner and holds(held_by, str(row.owner_until), clock(connection)):
                raise RunBusy(run_id, held_by, who=describe_owner(held_by))
            until = canonical.after(clock(connection), seconds)
            connection.execute(update(runs).where(runs.c.id == run_id).values(owner=owner, owner_until=until))
            if held_by != owner:
                self._audit.append(connection, run_id, "taken", owner=owner)
        begin_work(owner)
        self._fences[run_id] = Fence(run_id, owner)
        return self._fences[run_id]

    def renew(self, run_id: str, owner: str, *, seconds: float) -> bool:
        """Hold the run for longer; False if it was taken over."""
        with self._ledger.write() as connection:
            mine = (runs.c.id == run_id) & (runs.c.owner == owner)
            until = canonical.after(clock(connection), seconds)
            renewed = connection.execute(update(runs).where(mine).values(owner_until=until))
        return renewed.rowcount == 1

    def beat(self, *run_ids: str) -> None:
        """Write down that whoever drives these runs is alive."""
        with self._ledger.write() as connection:
            for start in range(0, len(run_ids), _AT_ONCE):
                some = runs.c.id.in_(run_ids[start : start + _AT_ONCE])
                connection.execute(update(runs).where(some).values(beat_at=canonical.now()))

    def release(self, run_id: str, owner: str) -> None:
        """Let go of the run, if it is still held."""
        self._fences.pop(run_id, None)
        end_work(owner)
        with self._ledger.write() as connection:
            mine = (runs.c.id == run_id) & (runs.c.owner == owner)
            if connection.execute(update(runs).where(mine).values(owner="", owner_until="")).rowcount:
                self._audit.append(connection, run_id, "let go", owner="")


def _known_name(name: str) -> str:
    """The name of a person; empty, which nobody has, if it is none."""
    try:
        return clean_name(name)
    except BadName:
        return ""


def run_id_of(thread: str, number: int) -> str:
    """Id of a thread's `number`-th run: the thread's own id for the first."""
    return thread if number == 1 else f"{thread}~{number}"


def _has_proposals(connection: Connection, run_id: str) -> bool:
    return connection.execute(select(proposals.c.id).where(proposals.c.run_id == run_id).limit(1)).first() is not None


def record_of(row: Row[Any]) -> RunRecord:
    """The run in a row of the table."""
    what = f"Run {row.id}"
    options, record = read_json(row.options, dict, what), from_row(RunRecord, row, options={}, path=())
    held = record.owner if holds(record.owner, str(row.owner_until), canonical.now()) else ""
    return replace(record, options=options, owner=held, path=path_in(row.options, what))
