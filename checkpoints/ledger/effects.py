"""Effects: each approved action is claimed before it is called, and its outcome is kept for good.

What the call tells, what its read-back finds, what a person says and takes back: all of it is written here, where one
can be held against the other, which is why this file is longer than most.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sqlalchemy import Connection, Row, bindparam, false, func, insert, or_, select, update
from sqlalchemy.exc import NoResultFound

from signoff.checkpoints import canonical
from signoff.checkpoints.canonical import canonical_json, digest, from_row, read_json, readable_text
from signoff.checkpoints.errors import DatabaseUnusable, DryRun, ForkInDoubt, OutcomeUnwritten, RunBusy, RunCancelled
from signoff.checkpoints.ledger.approval import Approval, load_approval
from signoff.checkpoints.ledger.audit_log import AuditLog
from signoff.checkpoints.ledger.notifications.outbox import Notices
from signoff.checkpoints.ledger.run_path import is_below, root_of
from signoff.checkpoints.ledger.schema import RUN_FORK, approvals, audit, effects, jobs, runs
from signoff.checkpoints.ledger.session import Transactions, clock
from signoff.checkpoints.process_identity import describe_owner, holds
from signoff.checkpoints.redaction import redact_text

EffectStatus = Literal["claimed", "unknown", "released", "done", "failed", "abandoned"]
"""claimed: being called; unknown: called, outcome not known; released: surely not done, to be called again;
failed: surely not done; abandoned: a person gave it up, outcome not known."""

_OPEN = ("claimed", "unknown")
_ABOUT_RUN: Final = select(runs.c.copied_at, runs.c.options).where(runs.c.id == bindparam("run"))
_BEFORE: Final = "not called again: run {}, which this one was forked from, has done it"
_IN_A_COPY: Final = "this database is a copy, made at {}: the original may have called it since"

CLAIM_SECONDS = 60.0
"""How long a claim holds without being renewed, where nobody can tell whether its process lives: on another host."""
GRACE_SECONDS = 60.0
"""How long after that its call may still arrive: only then is it read back, or a person asked."""
_PATIENCE = 20
"""An outcome is written for so many times as long as any other write is waited for."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Effect:
    """One approved action and what came of it."""

    key: str
    """The idempotency key: the same for the same run, proposal and arguments."""
    run_id: str
    approval_id: str
    action: str
    status: EffectStatus
    claims: int
    """How often it was claimed: the number of the last claim."""
    result: dict[str, Any]
    error: str
    claimed_by: str
    """The process that claimed it last (process_identity.py), and when."""
    claimed_at: str
    earlier: str
    """What came of a call that had been given up for lost, in words; empty if nothing did."""

    @property
    def is_open(self) -> bool:
        """Whether nobody knows yet what came of it, or it is to be called again."""
        return self.status in (*_OPEN, "released")

    @property
    def is_copied(self) -> bool:
        """Whether it is in doubt because this database is a copy: if it was called, then by the original."""
        return self.error.startswith(_IN_A_COPY.partition("{")[0])

    @property
    def call(self) -> str:
        """When it was last called, and by which process, in words."""
        return f"{self.claimed_at[:19].replace('T', ' ')} UTC by {describe_owner(self.claimed_by)}"


@dataclass(frozen=True)
class Outcome:
    """What came of one call of an action."""

    status: Literal["done", "failed", "released", "unknown"]
    result: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    goes_on: bool = False
    """Nobody waits for the call any more, but it has not ended: it may yet be done."""

    def __str__(self) -> str:
        return f"it returned {canonical_json(self.result)}" if self.status == "done" else f"{self.status}: {self.error}"


@dataclass(frozen=True)
class Claim:
    """What a claim found: `fresh` means call it now; otherwise the effect tells what is known."""

    effect: Effect
    fresh: bool


class Effects:
    """The effects table."""

    def __init__(self, ledger: Transactions, audit: AuditLog, notices: Notices, *, busy_seconds: float) -> None:
        self._ledger, self._audit, self._rows = ledger, audit, _Rows(audit, notices)
        self._patience = _PATIENCE * busy_seconds
        self._unwritten: dict[tuple[str, int], Outcome] = {}
        """What came of calls of this process, and could not be written: by key and number of the claim."""

    def claim(self, approval: Approval, *, owner: str) -> Claim:
        """Claim the effect of an approval, or learn that it was claimed before.

        The claim holds while its owner is at work; elsewhere for `CLAIM_SECONDS` unless it is renewed. AlreadyDecided
        if the approval does not stand, Tampered if it is not what was written, DryRun in a dry run; RunBusy while
        somebody else calls it, or has taken over the run. In a restored copy the outcome of every action is unknown
        until it was found out whether the original had called it. What a run has done is done in its forks, too;
        ForkInDoubt while nobody knows whether it has.
        """
        key = effect_key(approval)
        with self._ledger.write(driver_of=approval.run_id) as connection:
            found = connection.execute(select(effects).where(effects.c.key == key)).first()
            if found is not None:
                return Claim(self._seen(connection, found), fresh=False)
            _check_approved(connection, approval)
            at = clock(connection)
            connection.execute(
                insert(effects).values(
                    key=key,
                    run_id=approval.run_id,
                    proposal_id=approval.proposal_id,
                    approval_id=approval.id,
                    action=approval.action,
                    status="claimed",
                    claimed_by=owner,
                    claimed_at=at,
                    claimed_until=canonical.after(at, CLAIM_SECONDS),
                )
            )
            held = {"proposal": approval.proposal_id, "claim": 1, "claimed_by": owner, "claimed_at": at}
            self._audit.append(connection, approval.run_id, "claimed", effect=key, **_approved(approval), **held)
            copied_at, options = connection.execute(_ABOUT_RUN, {"run": approval.run_id}).one()
            if before := _before_fork(connection, approval, options):
                known = Outcome("done", before.result, _BEFORE.format(before.run_id))
                self._rows.note(connection, _load(connection, key), known)
            elif copied_at:
                self._rows.lose(connection, key, _IN_A_COPY.format(copied_at))
            return Claim(_load(connection, key), fresh=not (before or copied_at))

    def reclaim(self, effect: Effect, *, owner: str) -> int:
        """Claim an effect again for another call with the same key; the number of the claim.

        0 if it is not as seen, or if the call before, which nobody waits for any more, may still take effect.
        """
        with self._ledger.write(driver_of=effect.run_id) as connection:
            seen = (effects.c.key == effect.key) & (effects.c.claims == effect.claims)
            # A person who had it called again may have taken that back.
            as_seen = ("released",) if effect.status == "released" else ("unknown", "released")
            before = connection.execute(select(effects).where(seen)).first()
            at = clock(connection)
            if before is None or (before.claimed_until and holds(before.claimed_by, before.claimed_until, at)):
                return 0
            _check_wanted(connection, effect.run_id)
            claimed = connection.execute(
                update(effects)
                .where(seen, effects.c.status.in_(as_seen))
                .values(
                    status="claimed",
                    claims=effects.c.claims + 1,
                    claimed_by=owner,
                    claimed_at=at,
                    claimed_until=canonical.after(at, CLAIM_SECONDS),
                    error="",
                )
            )
            if claimed.rowcount:
                held = {"claim": effect.claims + 1, "claimed_by": owner, "claimed_at": at}
                self._rows.log(connection, effect.key, "claimed again", **held)
        return effect.claims + 1 if claimed.rowcount else 0

    def renew(self, key: str, owner: str, *, is_left: bool = False) -> bool:
        """Hold the claim for `CLAIM_SECONDS` more; False if it is no longer held.

        `is_left`: nobody waits for the call any more, so it may be called unknown, or released by a person.
        """
        held = ("claimed", "unknown", "released") if is_left else ("claimed",)
        with self._ledger.write() as connection:
            mine = (effects.c.key == key) & (effects.c.claimed_by == owner) & effects.c.status.in_(held)
            until = canonical.after(clock(connection), CLAIM_SECONDS)
            renewed = connection.execute(update(effects).where(mine).values(claimed_until=until))
        return renewed.rowcount == 1

    def check(self, effect: Effect, owner: str) -> None:
        """RunBusy if the claim is somebody else's by now: who slept since it was claimed must not call it any more."""
        with self._ledger.read() as connection:
            now = _load(connection, effect.key)
        if (now.claims, now.claimed_by, now.status) != (effect.claims, owner, "claimed"):
            raise RunBusy(effect.run_id, now.claimed_by, who=describe_owner(now.claimed_by))

    def record(self, key: str, claim: int, outcome: Outcome, *, patient: bool = True) -> Effect:
        """Record what came of the claim's call: for good, and far longer tried than other writes.

        If others were called or have said something else by then, that stays; what came late is logged, told and kept
        beside it. OutcomeUnwritten if the database cannot be written: the next `claim` of this process writes it.
        """
        until, pause = time.monotonic() + (self._patience if patient else 0.0), 0.05
        self._unwritten[key, claim] = outcome
        while True:
            try:
                with self._ledger.write() as connection:
                    effect = self._rows.note(connection, _load(connection, key), outcome, claim)
            except DatabaseUnusable as error:
                if time.monotonic() > until:
                    raise OutcomeUnwritten(key, str(outcome), str(error)) from None
                _log.warning("%s The outcome of a call is not written yet: %s. Tried again.", error, outcome)
                time.sleep(pause)
                pause = min(2 * pause, 5.0)
            except NoResultFound:
                raise OutcomeUnwritten(key, str(outcome), "it is another one by now, without this call") from None
            else:
                self._unwritten.pop((key, claim), None)
                return effect

    def finish(self, key: str, result: Mapping[str, Any], *, claim: int = 0) -> Effect:
        """Record that it was done, with its result (JSON values)."""
        return self.record(key, claim, Outcome("done", dict(result)))

    def fail(self, key: str, error: str, *, claim: int = 0) -> Effect:
        """Record that it was surely not done."""
        return self.record(key, claim, Outcome("failed", error=error))

    def lose(self, key: str, error: str, *, claim: int = 0, goes_on: bool = False) -> Effect:
        """Record that it may or may not have been done; or, if its call still goes on, that it yet may."""
        return self.record(key, claim, Outcome("unknown", error=error, goes_on=goes_on))

    def let_go(self, key: str, *, claim: int) -> None:
        """Hold the claim no longer, as its call has ended."""
        with self._ledger.write() as connection:
            mine = (effects.c.key == key) & (effects.c.claims == claim) & (effects.c.status != "claimed")
            connection.execute(update(effects).where(mine).values(claimed_until=""))

    def settle(
        self,
        key: str,
        status: Literal["done", "failed", "released", "abandoned"],
        *,
        claim: int,
        result: Mapping[str, Any] | None = None,
        error: str = "",
        answer: Approval | None = None,
    ) -> Effect:
        """Record what a person says of a claim whose outcome is not known; nothing changes if it is known by now.

        released: surely not done, and to be called again; abandoned: given up. The claim is held as long as it was: its
        call may not have ended. AlreadyDecided if the `answer` that says so was taken back meanwhile.
        """
        with self._ledger.write() as connection:
            if answer is not None:
                now = load_approval(connection, answer.id)
                if (now.status, now.args_sha256, now.decided_at) != (
                    answer.status,
                    answer.args_sha256,
                    answer.decided_at,
                ):
                    raise now.already_decided()
            effect, by = _load(connection, key), answer.decided_by if answer is not None else ""
            if (effect.claims, effect.status) == (claim, "unknown"):
                self._rows.settle(connection, effect, status, result or {}, error, by=by)
            return _load(connection, key)

    def reopen(self, connection: Connection, answer: Approval) -> None:
        """Make unknown again what a person said of a call; AlreadyDecided if something has followed from that."""
        effect = _load(connection, str(answer.shown["effect"]))
        if followed := _followed(connection, effect, answer):
            raise answer.already_decided(followed)
        if effect.status != "unknown":
            error = f"what {answer.decided_by} said of it was taken back"
            self._rows.settle(connection, effect, "unknown", {}, error)

    def tell_copied(self, connection: Connection, at: str, run_ids: Sequence[str]) -> None:
        """In a copy of the database it is not known what became of the calls that the original was about to make."""
        for run_id in run_ids:
            open_here = (effects.c.run_id == run_id) & effects.c.status.in_(("claimed", "released", "unknown"))
            rows = connection.execute(select(effects.c.key, effects.c.status).where(open_here)).all()
            connection.execute(update(effects).where(open_here).values(claimed_until=""))
            for row in rows:
                if row.status != "unknown":
                    self._rows.lose(connection, row.key, _IN_A_COPY.format(at))

    def skip(self, approval: Approval) -> None:
        """Record that a dry run did not call it."""
        with self._ledger.write(driver_of=approval.run_id) as connection:
            self._audit.append(connection, approval.run_id, "skipped", **_approved(approval))

    def record_read_back(self, key: str, found: str) -> None:
        """Record what the action's own read-back said, whatever follows from it."""
        with self._ledger.write() as connection:
            self._rows.log(connection, key, "read back", found=found)

    def count(self, run_id: str, *, since: str = "") -> int:
        """How many actions of a run were claimed, at this moment or later."""
        query = select(func.count()).where(effects.c.run_id == run_id, effects.c.claimed_at >= since)
        with self._ledger.read() as connection:
            return int(connection.execute(query).scalar_one())

    def get(self, key: str) -> Effect | None:
        """The effect with this key, if it was claimed."""
        with self._ledger.read() as connection:
            row = connection.execute(select(effects).where(effects.c.key == key)).first()
        return _effect(row) if row else None

    def of_approval(self, approval_id: str) -> Effect | None:
        """What came of an approval, if its action was claimed."""
        with self._ledger.read() as connection:
            row = connection.execute(select(effects).where(effects.c.approval_id == approval_id)).first()
        return _effect(row) if row else None

    def of_run(self, run_id: str, *, newest: int = 0) -> list[Effect]:
        """The effects of a run, oldest first; or the newest ones, those first."""
        query = select(effects).where(effects.c.run_id == run_id)
        order = effects.c.claimed_at.desc() if newest else effects.c.claimed_at
        query = query.order_by(order).limit(newest or None)
        with self._ledger.read() as connection:
            return [_effect(row) for row in connection.execute(query)]

    def cut_off(self, *run_ids: str) -> dict[str, Effect]:
        """Of each of these runs, a call of which nobody knows what came: who made it is not at work any more."""
        in_doubt = (effects.c.run_id.in_(run_ids)) & effects.c.status.in_(_OPEN)
        with self._ledger.read() as connection:
            now, rows = clock(connection), connection.execute(select(effects).where(in_doubt)).all()
        lost = [row for row in rows if row.status == "unknown" or not holds(row.claimed_by, _believed_until(row), now)]
        return {row.run_id: _effect(row) for row in lost}

    def _seen(self, connection: Connection, row: Row[Any]) -> Effect:
        """What is known of an effect that was claimed before; a claim that nobody is at work on is taken for lost."""
        effect = _effect(row)
        if row.status != "claimed":
            return effect
        if known := self._unwritten.get((effect.key, effect.claims)):
            return self._rows.note(connection, effect, known)
        if holds(row.claimed_by, _believed_until(row), clock(connection)):
            raise RunBusy(row.run_id, row.claimed_by, who=describe_owner(row.claimed_by), calls=row.action)
        self._rows.lose(
            connection, effect.key, f"{describe_owner(row.claimed_by)}, which called it, ended before it could tell"
        )
        return _load(connection, effect.key)


class _Rows:
    """Writes effects within a transaction, with what the audit log and whoever is to be told say of it."""

    def __init__(self, audit: AuditLog, notices: Notices) -> None:
        self._audit, self._notices = audit, notices

    def lose(self, connection: Connection, key: str, error: str) -> None:
        told = {"error": error, "finished_at": canonical.now()}
        lost = update(effects).where(effects.c.key == key).values(status="unknown", claimed_until="", **told)
        connection.execute(lost)
        self.log(connection, key, "unknown", **told)

    def note(self, connection: Connection, effect: Effect, outcome: Outcome, claim: int = 0) -> Effect:
        """Write what came of a call, the last one unless `claim` says another."""
        claim, key = claim or effect.claims, effect.key
        stands_open = (*_OPEN, "released") if outcome.status == "done" else _OPEN
        if claim == effect.claims and effect.status in stands_open:
            self.settle(connection, effect, outcome.status, outcome.result, outcome.error)
            if not outcome.goes_on:
                connection.execute(update(effects).where(effects.c.key == key).values(claimed_until=""))
        elif claim < effect.claims or (outcome.status, effect.status) in (("done", "failed"), ("done", "abandoned")):
            self._note_late(connection, effect, outcome, claim)
        return _load(connection, key)

    def _note_late(self, connection: Connection, effect: Effect, outcome: Outcome, claim: int) -> None:
        """A call that had been given up for lost has ended: what was called or said since stays, and this beside it."""
        is_done, earlier = outcome.status == "done", effect.earlier
        if is_done:
            told = redact_text(readable_text(f"call {claim} of it was done too, at {canonical.now()}: {outcome}"))
            earlier = "; ".join(filter(None, (earlier, told)))
            connection.execute(update(effects).where(effects.c.key == effect.key).values(earlier=earlier))
        body = {"claim": claim, "status": outcome.status, "result": outcome.result, "error": outcome.error}
        self.log(connection, effect.key, "ended late", earlier=earlier, **body)
        if is_done:
            about = {"key": effect.key, "action": effect.action, "error": told}
            self._notices.add(connection, "late", effect.run_id, effect=about)

    def settle(
        self,
        connection: Connection,
        effect: Effect,
        status: EffectStatus,
        result: Mapping[str, Any],
        error: str,
        *,
        by: str = "",
    ) -> None:
        """Write an outcome; `by`: the person who says so, empty if the call itself or its read-back told."""
        kept = dict(result)
        told = {"error": redact_text(readable_text(error)), "finished_at": canonical.now()}
        text = canonical_json(kept) if status == "done" else ""
        ended = update(effects).where(effects.c.key == effect.key).values(status=status, result=text, **told)
        connection.execute(ended)
        self.log(connection, effect.key, status, result=kept, **told, **({"by": by} if by else {}))

    def log(self, connection: Connection, key: str, event: str, **body: Any) -> None:
        effect = _load(connection, key)
        self._audit.append(connection, effect.run_id, event, effect=key, action=effect.action, **body)
        if event == "unknown":
            told = {"key": key, "action": effect.action, "error": effect.error}
            self._notices.add(connection, "unknown", effect.run_id, effect=told)


_OUTCOMES: Final = ("done", "failed", "released", "abandoned", "unknown", "ended late", "read back")
_FOLLOWS_NOT: Final = frozenset(
    {
        *_OUTCOMES,
        "status",
        "taken",
        "let go",
        "cancel asked",
        "cancel wanted",
        "hold asked",
        "answering",
        "refused",
        "taken back",
        "copied",
    }
)
"""Events of a run by which it has not gone on from what was said of a call."""


def _followed(connection: Connection, effect: Effect, answer: Approval) -> str:
    """What has followed from what a person said of a call, as a sentence; empty if nothing has."""
    if answer.decided_by == "policy":
        return "It was closed with its run: nobody has answered it."
    if effect.claims != answer.shown["claim"]:
        return f"It cannot be taken back: {effect.action} was called again since."
    query = select(audit.c.event, audit.c.body).where(audit.c.run_id == answer.run_id).order_by(audit.c.seq)
    entries = [(row.event, read_json(row.body, dict, "An entry of the log")) for row in connection.execute(query)]
    said = [
        at for at, (event, body) in enumerate(entries) if (event, body.get("approval")) == (answer.status, answer.id)
    ]
    since = entries[said[-1] + 1 :] if said else entries
    for event, body in since:
        if event in ("done", "failed") and body.get("effect") == effect.key and "by" not in body:
            return f"It cannot be taken back: by now it is known that {effect.action} was {event}."
    if effect.status in ("unknown", "released"):
        return ""
    gone_on = "It cannot be taken back: the run has gone on from it"
    if others := [event for event, _ in since if event not in _FOLLOWS_NOT]:
        return f"{gone_on} (after it something was {others[0]})."
    run = connection.execute(select(runs).where(runs.c.id == answer.run_id)).one()
    if run.driver != "local":
        return f"{gone_on}, in the thread of another program."
    if holds(run.owner, run.owner_until, clock(connection)):
        return f"{gone_on}, and {describe_owner(run.owner)} drives it."
    return ""


def _before_fork(connection: Connection, approval: Approval, options: str) -> Effect | None:
    """The same action with the same arguments, if a run that this one was forked from has done it."""
    if f'"{RUN_FORK}"' not in options:
        return None
    runs_before = read_json(options, dict, f"Run {approval.run_id}").get(RUN_FORK, {}).get("of", ())
    within = or_(false(), *((effects.c.run_id == run) | is_below(effects.c.run_id, run) for run in runs_before))
    same = (effects.c.action == approval.action) & (approvals.c.args_sha256 == approval.args_sha256)
    query = select(effects).join(approvals, approvals.c.id == effects.c.approval_id).where(within, same)
    found = [_effect(row) for row in connection.execute(query.order_by(effects.c.claimed_at))]
    if done := next((one for one in found if one.status == "done"), None):
        return done
    if doubt := next((one for one in found if one.status in _OPEN), None):
        raise ForkInDoubt(approval.run_id, doubt.run_id, doubt.action)
    return None


def effect_key(approval: Approval) -> str:
    """The idempotency key of what was approved: of its run, proposal and exact arguments."""
    return digest([approval.run_id, approval.proposal_id, approval.args_sha256])


def _believed_until(row: Row[Any]) -> str:
    """Until when the call of a claim may still arrive, where nobody can tell whether its process lives."""
    return canonical.after(row.claimed_until, GRACE_SECONDS) if row.claimed_until else ""


def _effect(row: Row[Any]) -> Effect:
    return from_row(Effect, row, result=read_json(row.result, dict, f"Effect {row.key}") if row.result else {})


def _check_approved(connection: Connection, approval: Approval) -> None:
    current = load_approval(connection, approval.id)
    if current.status != "approved" or current.args_sha256 != approval.args_sha256:
        raise current.already_decided()
    current.check_digests()
    approval.check_digests()
    if connection.execute(select(runs.c.dry_run).where(runs.c.id == approval.run_id)).scalar_one():
        raise DryRun(approval.run_id)
    _check_wanted(connection, approval.run_id)


def _check_wanted(connection: Connection, run_id: str) -> None:
    """RunCancelled if the run is to end, or the job whose work it is, or has."""
    root, is_cancelled = root_of(run_id), (jobs.c.wanted == "cancel") | (jobs.c.status == "cancelled")
    query = select(jobs.c.wanted_by).where(jobs.c.run_id == root, is_cancelled)
    if (cancelled := connection.execute(query).first()) is not None:
        raise RunCancelled(root, cancelled.wanted_by)
    found = connection.execute(select(runs.c.cancelled_by).where(runs.c.id == root, runs.c.cancelled_by != "")).first()
    if found is not None:
        raise RunCancelled(root, found.cancelled_by)


def _load(connection: Connection, key: str) -> Effect:
    return _effect(connection.execute(select(effects).where(effects.c.key == key)).one())


def _approved(approval: Approval) -> dict[str, Any]:
    """What the audit log says of an approval whose action is called, or would be."""
    return {
        "approval": approval.id,
        "action": approval.action,
        "args": approval.args,
        "args_sha256": approval.args_sha256,
    }
