"""Errors of what is remembered: the database, checkpoints, runs, jobs, approvals, budgets, notices.

All of a room stand in one file, which is why it is longer than most.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Sequence
from typing import Final

from signoff.error_base import RunError, SignoffError


class StoreError(SignoffError):
    """The database cannot be used."""


class ForeignDatabase(StoreError):
    """The file is not a signoff database."""

    def __init__(self, database: str, problem: str) -> None:
        self.database, self.problem = database, problem
        super().__init__(
            f"{database!r} is not a signoff database: {problem}. Nothing was changed. "
            "Name another with SIGNOFF_DATABASE."
        )


class DatabaseVersion(StoreError):
    """The database was written by another version of signoff."""

    def __init__(self, database: str, found: int, known: int) -> None:
        self.database, self.found, self.known = database, found, known
        remedy = "Upgrade signoff" if found > known else "Open it with the version that wrote it"
        super().__init__(
            f"{database!r} has schema version {found}; this signoff knows version {known}. "
            f"{remedy}, or name another with SIGNOFF_DATABASE."
        )


_HARMLESS = re.compile(r"\b(locked|busy|full|read-?only|no space left|permission denied)\b", re.IGNORECASE)
"""Of problems that keep a database from being used and take nothing from it. Of any other nobody knows."""


NOTHING_LOST: Final = "Nothing committed was lost; mend it and resume."


def way_out(problem: str) -> str:
    """What to do about a database that cannot be used, and what is known of that which was committed to it."""
    if _HARMLESS.search(problem):
        return NOTHING_LOST
    return "Mend it and resume; `signoff db check` tells whether what was committed is whole, else restore a backup."


class DatabaseUnusable(StoreError):
    """The database is locked, full or read-only, or is otherwise not to be had; what was committed is there."""

    def __init__(self, database: str, problem: str, remedy: str = "") -> None:
        self.database, self.problem = database, problem
        self.is_whole = (remedy or way_out(problem)) == NOTHING_LOST
        """Whether all that was committed is there for sure."""
        super().__init__(f"Cannot use the database {database!r}: {problem}. {remedy or way_out(problem)}")


class DatabaseDamaged(DatabaseUnusable):
    """The database is deleted, cut off or damaged, or may be: what was committed may be lost."""

    def __init__(self, database: str, problem: str) -> None:
        super().__init__(
            database,
            problem,
            "What was committed may be lost: keep the file with its -wal as it is, see what `signoff db check` finds, "
            "and restore a backup.",
        )


class DatabaseGone(DatabaseUnusable):
    """There was a ledger here, and it was deleted, emptied or replaced; `traces` tell of it."""

    def __init__(self, database: str, problem: str, traces: Iterable[str] = ()) -> None:
        self.traces = tuple(traces)
        anew = (
            f" To begin anew without what it knew, delete {' and '.join(map(repr, self.traces))}."
            if self.traces
            else ""
        )
        remedy = f"Restore a backup of it, or name another with SIGNOFF_DATABASE.{anew}"
        super().__init__(
            database, problem, f"Nothing was made in its place: what was approved and done is not known. {remedy}"
        )


class Unstorable(StoreError):
    """A value cannot be kept in a checkpoint, or would not come back as what it was."""

    def __init__(self, what: str, problem: str, remedy: str) -> None:
        self.what, self.problem, self.remedy = what, problem, remedy
        super().__init__(f"A checkpoint cannot hold {what}: {problem}. {remedy}")


class UnlistedType(Unstorable):
    """Types that are not listed: of their objects only the bare data could be read back."""

    def __init__(self, types: Sequence[tuple[str, str]]) -> None:
        self.types = tuple(types)
        super().__init__(
            " and ".join(f"{module}.{name}" for module, name in self.types),
            "not a listed type, so it could not be read back as an object",
            f"List it: SqliteCheckpointer(path, types=[{', '.join(name for _, name in self.types)}])",
        )


class ClassChanged(StoreError):
    """The class of something that is stored is gone, or no longer takes what is stored."""

    def __init__(self, type_name: tuple[str, str], problem: str) -> None:
        self.type_name, self.problem = type_name, problem
        module, name = type_name
        super().__init__(
            f"A checkpoint holds a {module}.{name} that cannot be made again: {problem}. Nothing was changed. "
            f"Let `{name}` in {module} take what it took before (a new field needs a default; of a class that was "
            f"renamed or moved keep the old name there), or read the bare data with serde=JsonPlusSerializer()."
        )


class Tampered(StoreError):
    """What is stored is not what was written: somebody changed it behind the ledger's back."""

    def __init__(self, what: str, problem: str = "its digest differs") -> None:
        self.what, self.problem = what, problem
        super().__init__(
            f"{what} is not what was written: {problem}, so the database was changed from outside. "
            "Nothing was called. Find the change with `signoff audit verify`."
        )


class OutcomeUnwritten(StoreError):
    """An action was called, and what came of it could not be written in minutes; `outcome` says it in words."""

    def __init__(self, effect: str, outcome: str, problem: str) -> None:
        self.effect, self.outcome, self.problem = effect, outcome, problem
        super().__init__(
            f"An action was called ({outcome}), but the ledger cannot be written: {problem.rstrip('.')}. "
            "Mend that, then resume the run in this process, which still knows; any other asks whether it happened."
        )


class ThreadHeld(StoreError):
    """Another owner has the lease of a thread."""

    def __init__(self, thread: str, owner: str, until: float) -> None:
        self.thread, self.owner, self.until = thread, owner, until
        left = max(0, round(until - time.time()))
        super().__init__(
            f"Thread {thread!r} is being written by {owner!r}, for {left} more seconds. Wait for it, or stop it first."
        )


class LeaseLost(StoreError):
    """Another owner has written to a thread since; nothing was written."""

    def __init__(self, thread: str, owner: str) -> None:
        self.thread, self.owner = thread, owner
        super().__init__(
            f"{owner!r} no longer has the lease of thread {thread!r}: another has taken it. "
            "Nothing was written; start again from the newest state."
        )


class ThreadNotEmpty(StoreError):
    """A thread was to be copied into one that holds checkpoints."""

    def __init__(self, thread: str) -> None:
        self.thread = thread
        super().__init__(f"Thread {thread!r} holds checkpoints already. Copy into a new one, or delete it first.")


class ImportFailed(StoreError):
    """The checkpoints of a file cannot be taken over."""

    def __init__(
        self, source: str, problem: str, remedy: str = "Name a file that LangGraph's SqliteSaver wrote"
    ) -> None:
        self.source, self.problem, self.remedy = source, problem, remedy
        super().__init__(f"Cannot import {source!r}: {problem}. {remedy}.")


class KeyMissing(StoreError):
    """The database is encrypted and there is no key."""

    def __init__(self, database: str) -> None:
        self.database = database
        super().__init__(
            f"{database!r} is encrypted and no key is set. Set SIGNOFF_ENCRYPTION_KEY to the key it was written with."
        )


class NotEncrypted(StoreError):
    """A key was given for a file that holds readable checkpoints."""

    def __init__(self, database: str) -> None:
        self.database = database
        super().__init__(
            f"{database!r} holds checkpoints that are not encrypted. Unset SIGNOFF_ENCRYPTION_KEY, or name a new file."
        )


class WrongKey(StoreError):
    """The key does not open what is stored."""

    def __init__(self) -> None:
        super().__init__(
            "The encryption key does not open what is stored: it was written with another key, or changed since. "
            "Set SIGNOFF_ENCRYPTION_KEY to the key it was written with."
        )


class NoticeError(SignoffError):
    """A notice cannot be sent."""


class HookFailed(NoticeError):
    """A hook did not take a notice; it is tried again later unless that is `final`."""

    def __init__(self, problem: str, *, final: bool = False) -> None:
        self.problem, self.final = problem, final
        super().__init__(problem)


class UnknownNotice(NoticeError):
    """No such notice in the outbox."""

    def __init__(self, notice_id: str) -> None:
        self.notice_id = notice_id
        super().__init__(f"No notice {notice_id!r}. `signoff notify --list` shows the newest.")


class UnknownRun(RunError):
    """No such run."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"No run {run_id!r}. `signoff runs` lists them.")


class UnknownApproval(RunError):
    """No such approval."""

    def __init__(self, approval_id: str, fitting: int = 0) -> None:
        self.approval_id, self.fitting = approval_id, fitting
        found = (
            f"{approval_id!r} is the beginning of {fitting} approvals" if fitting else f"No approval {approval_id!r}"
        )
        super().__init__(f"{found}. `signoff approvals` lists the open ones; name at least six characters of one.")


class AlreadyDecided(RunError):
    """The approval was decided before, and the first decision stands; or it is pending where a decision is needed.

    `why` says more, such as why it cannot be taken back, and what to do next.
    """

    def __init__(self, approval_id: str, status: str, by: str, at: str, why: str = "") -> None:
        self.approval_id, self.status, self.by, self.at, self.why = approval_id, status, by, at, why
        minute = at[:16].replace("T", " ")
        match status:
            case "pending":
                stands = "is pending: nobody has decided it."
            case "expired":
                stands = f"expired at {minute}: nobody decided it in time."
            case _:
                stands = f"was already decided: {status} by {by} at {minute}."
        super().__init__(f"Approval {approval_id} {stands} {why}".rstrip())


class NotAllowed(RunError):
    """Somebody who may not decide this; the question stays open."""

    def __init__(self, approval_id: str, who: str, why: str) -> None:
        self.approval_id, self.who, self.why = approval_id, who, why
        super().__init__(f"{who} may not decide approval {approval_id}: {why}. Nothing was decided.")


class NotAnswered(RunError):
    """An approval of a question, which answers nothing; it stays open."""

    def __init__(self, approval_id: str) -> None:
        self.approval_id = approval_id
        super().__init__(
            f"Approval {approval_id} is a question, and to approve it is no answer. Answer it, or reject it to "
            "decline. Nothing was decided."
        )


class ChangedSince(RunError):
    """The arguments were edited since they were seen; the question stays open."""

    def __init__(self, approval_id: str, sha256: str) -> None:
        self.approval_id, self.sha256 = approval_id, sha256
        super().__init__(
            f"Approval {approval_id} is not about what you saw: the digest of its arguments is {sha256[:12]}. "
            "Nothing was decided. Look at it with `signoff approvals`."
        )


class BadName(RunError):
    """A name or role that cannot be used."""

    def __init__(self, what: str, name: str) -> None:
        self.what, self.name = what, name
        super().__init__(f"{name!r} is no {what}. Use 1 to 200 printable characters, no comma, and not 'policy'.")


class DryRun(RunError):
    """A dry run calls nothing."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"Run {run_id!r} is a dry run: nothing is called. Start another run to do it.")


class RunBusy(RunError):
    """Another process drives the run, or still calls one of its actions.

    `owner` is its name in the ledger and `who` in words; `calls` is the action, empty if it is the run.
    """

    def __init__(self, run_id: str, owner: str, *, who: str = "", calls: str = "") -> None:
        self.run_id, self.owner, self.who, self.calls = run_id, owner, who or owner or "another process", calls
        if calls:
            problem = f"{self.who.capitalize()} still calls {calls} for run {run_id!r}; nobody else will."
        else:
            problem = f"Run {run_id!r} is being driven by {self.who}."
        pid = self.who.split()[1] if "(stopped)" in self.who else ""
        way_out = f"Let it go on (kill -CONT {pid}) or end it (kill -9 {pid})" if pid else "Wait for it, or end it"
        if self.who == f"process {os.getpid()}":
            way_out = "That is this process, which does so in another thread: wait for it"
        super().__init__(f"{problem} {way_out}; then resume.")


class RunCancelled(RunError):
    """Somebody wants the run to end, or the job whose work it is."""

    def __init__(self, run_id: str, by: str) -> None:
        self.run_id, self.by = run_id, by
        super().__init__(f"Run {run_id!r} was cancelled by {by}: nothing more is called for it.")


class ForkInDoubt(RunError):
    """A fork is to call what the run that it was forked from may have called."""

    def __init__(self, run_id: str, before: str, action: str) -> None:
        self.run_id, self.before, self.action = run_id, before, action
        super().__init__(
            f"Run {run_id!r} calls nothing: whether run {before!r}, which it was forked from, has done {action} with "
            f"the same arguments is not known. Settle that there (`signoff show {before}`), then resume this one."
        )


class OtherTenant(StoreError):
    """A ledger that was opened for one tenant is asked for what it does not do."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"{problem}.")


class BadSchedule(StoreError):
    """What was to be scheduled is no time, or would be in the place of another tenant's."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"{problem}.")


class UnknownSchedule(StoreError):
    """There is no schedule of this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is no schedule {name!r}. `signoff schedule list` shows those there are.")


class QueueFull(StoreError):
    """More jobs were submitted than may be queued."""

    def __init__(self, queued: int, more: int, most: int) -> None:
        self.queued, self.more, self.most = queued, more, most
        super().__init__(
            f"{queued:,} jobs are queued, and {most:,} may be: {more:,} more are too many. Nothing of them was kept. "
            "Submit them again later, as they are, or raise the limit with `signoff fleet limit --queued`."
        )


class ForeignQueue(StoreError):
    """There are rows in the queue that signoff did not write."""

    def __init__(self, row: str) -> None:
        self.row = row
        super().__init__(
            f"The queue in this database holds {row!r}, which signoff did not write: another application of DBOS uses "
            "it, or somebody planted it. No worker takes work from it. Name a database of its own."
        )


class JobChanged(StoreError):
    """A job of this id was submitted before, with another input."""

    def __init__(self, job_id: str, tenant: str, at: str) -> None:
        self.job_id, self.tenant, self.at = job_id, tenant, at
        super().__init__(
            f"Job {job_id!r} of tenant {tenant!r} was submitted at {at[:16].replace('T', ' ')} UTC with another input. "
            "Give this one another id."
        )


class BudgetExhausted(RunError):
    """A call does not fit what is left of a budget; it was not made.

    `what` is usd, tokens, steps or seconds; `limit` (with what people added to it), `spent`, `held` (for calls under
    way), `promised` (to so many `runs` that began before this one) and `wanted` (the worst that this call could use)
    are in that unit.
    """

    def __init__(
        self,
        scope: str,
        what: str,
        limit: float,
        spent: float,
        wanted: float,
        held: float = 0,
        *,
        promised: float = 0,
        runs: int = 0,
    ) -> None:
        self.scope, self.what, self.limit = scope, what, limit
        self.spent, self.wanted, self.held = spent, wanted, held
        self.promised, self.runs = promised, runs

        def amount(value: float) -> str:
            return f"${value:,.9g}" if what == "usd" else f"{value:,.12g} {what}"

        under_way = f" and {amount(held)} held by calls under way" if held else ""
        rest = f"; {self._others} may take {amount(promised)} more" if runs else ""
        state, way_out = ("promised", ", resume when those have ended,") if runs else ("used up", "")
        super().__init__(
            f"The budget of {scope} is {state}: {amount(spent)} spent{under_way} of {amount(limit)}{rest}, and the "
            f"next call may take {amount(wanted)}. It was not made. Raise the budget{way_out or ','} or stop the run."
        )

    @property
    def _others(self) -> str:
        return "1 run that began before" if self.runs == 1 else f"{self.runs} runs that began before"

    @property
    def waiting(self) -> str:
        """Why a call waits while this is in its way, in a few words."""
        level, _, name = self.scope.partition(":")
        whose = f"team {name.rpartition('@')[0]}'s" if level == "team" else f"the {level}'s"
        if self.runs:
            return f"waits: {whose} budget is promised to {self._others}"
        return f"waits: the rest of {whose} budget is held for calls under way"
