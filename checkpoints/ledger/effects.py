"""Effects: each approved action is claimed before it is called, and its outcome is kept for good."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, insert, select, update

from signoff.checkpoints import canonical
from signoff.checkpoints.canonical import canonical_json, digest, from_row, readable_text
from signoff.checkpoints.errors import DryRun, RunBusy
from signoff.checkpoints.ledger.approval import Approval, load_approval
from signoff.checkpoints.ledger.audit_log import AuditLog
from signoff.checkpoints.ledger.notifications.outbox import Notices
from signoff.checkpoints.ledger.schema import effects, runs
from signoff.checkpoints.ledger.session import Transactions
from signoff.checkpoints.process_identity import is_gone
from signoff.checkpoints.redaction import redact_text

EffectStatus = Literal["claimed", "unknown", "released", "done", "failed", "abandoned"]
"""claimed: being called; unknown: called, outcome not known; released: surely not done, to be called again;
failed: surely not done; abandoned: a person gave it up, outcome not known."""

_OPEN = ("claimed", "unknown")

CLAIM_SECONDS = 60.0
"""How long a claim holds without being renewed, where nobody can tell whether its process lives: on another host."""


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


@dataclass(frozen=True)
class Claim:
    """What a claim found: `fresh` means call it now; otherwise the effect tells what is known."""

    effect: Effect
    fresh: bool


class Effects:
    """The effects table."""

    def __init__(self, ledger: Transactions, audit: AuditLog, notices: Notices) -> None:
        self._ledger, self._audit, self._notices = ledger, audit, notices

    def claim(self, approval: Approval, *, owner: str) -> Claim:
        """Claim the effect of an approval, or learn that it was claimed before.

        The claim holds for `CLAIM_SECONDS` unless it is renewed. AlreadyDecided if the approval does not stand,
        Tampered if it is not what was written, DryRun in a dry run; RunBusy while another living process calls it.
        """
        key = effect_key(approval)
        with self._ledger.write() as connection:
            found = connection.execute(select(effects).where(effects.c.key == key)).first()
            if found is not None:
                return Claim(self._seen(connection, found), fresh=False)
            self._check_approved(connection, approval)
            connection.execute(
                insert(effects).values(
                    key=key,
                    run_id=approval.run_id,
                    proposal_id=approval.proposal_id,
                    approval_id=approval.id,
                    action=approval.action,
                    status="claimed",
                    claimed_by=owner,
                    claimed_at=canonical.now(),
                    claimed_until=canonical.later(CLAIM_SECONDS),
                )
            )
            self._audit.append(connection, approval.run_id, "claimed", effect=key, **_approved(approval))
            return Claim(_load(connection, key), fresh=True)

    def reclaim(self, effect: Effect, *, owner: str) -> int:
        """Claim an effect again for another call with the same key; the number of the claim.

        0 if it is not as seen, or if the call before, which nobody waits for any more, may still take effect.
        """
        with self._ledger.write() as connection:
            seen = (effects.c.key == effect.key) & (effects.c.claims == effect.claims)
            before = connection.execute(select(effects).where(seen)).first()
            if before is None or (before.claimed_until > canonical.now() and not is_gone(before.claimed_by)):
                return 0
            claimed = connection.execute(
                update(effects)
                .where(seen, effects.c.status.in_(("unknown", "released")))
                .values(
                    status="claimed",
                    claims=effects.c.claims + 1,
                    claimed_by=owner,
                    claimed_at=canonical.now(),
                    claimed_until=canonical.later(CLAIM_SECONDS),
                    error="",
                )
            )
            if claimed.rowcount:
                self._log(connection, effect.key, "claimed again")
        return effect.claims + 1 if claimed.rowcount else 0

    def renew(self, key: str, owner: str, *, is_left: bool = False) -> bool:
        """Hold the claim for `CLAIM_SECONDS` more; False if it is no longer held.

        `is_left`: nobody waits for the call any more, so it may be called unknown, or released by a person.
        """
        held = ("claimed", "unknown", "released") if is_left else ("claimed",)
        with self._ledger.write() as connection:
            mine = (effects.c.key == key) & (effects.c.claimed_by == owner) & effects.c.status.in_(held)
            until = canonical.later(CLAIM_SECONDS)
            renewed = connection.execute(update(effects).where(mine).values(claimed_until=until))
        return renewed.rowcount == 1

    # What is recorded about a claim that another has followed changes nothing; `claim` 0 means the last one.

    def finish(self, key: str, result: Mapping[str, Any], *, claim: int = 0) -> Effect:
        """Record that it was done, with its result (JSON values)."""
        return self._end(key, "done", claim, _OPEN, result=canonical_json(dict(result)))

    def finish_late(self, key: str, result: Mapping[str, Any], *, claim: int) -> Effect:
        """Record that a call has done it which nobody waited for any more; what a person has settled stays."""
        effect = self._end(key, "done", claim, (*_OPEN, "released"), result=canonical_json(dict(result)))
        if effect.status != "done":
            self.record_read_back(key, "it happened, after its time was over")
        return effect

    def let_go(self, key: str, *, claim: int) -> None:
        """Hold the claim no longer, as its call has ended."""
        with self._ledger.write() as connection:
            mine = (effects.c.key == key) & (effects.c.claims == claim) & (effects.c.status != "claimed")
            connection.execute(update(effects).where(mine).values(claimed_until=""))

    def fail(self, key: str, error: str, *, claim: int = 0) -> Effect:
        """Record that it was surely not done."""
        return self._end(key, "failed", claim, _OPEN, error=error)

    def lose(self, key: str, error: str, *, claim: int = 0, goes_on: bool = False) -> Effect:
        """Record that it may or may not have been done; or, if its call still goes on, that it yet may."""
        return self._end(key, "unknown", claim, _OPEN, error=error, goes_on=goes_on)

    def settle(
        self,
        key: str,
        status: Literal["done", "failed", "released", "abandoned"],
        *,
        claim: int,
        result: Mapping[str, Any] | None = None,
        error: str = "",
    ) -> Effect:
        """Record what a person says of a claim whose outcome is not known; nothing changes if it is known by now.

        released: surely not done, and to be called again; abandoned: given up.
        """
        kept = canonical_json(dict(result or {}))
        return self._end(key, status, claim, ("unknown",), result=kept, error=error, goes_on=True)

    def skip(self, approval: Approval) -> None:
        """Record that a dry run did not call it."""
        with self._ledger.write() as connection:
            self._audit.append(connection, approval.run_id, "skipped", **_approved(approval))

    def record_read_back(self, key: str, found: str) -> None:
        """Record what the action's own read-back said, whatever follows from it."""
        with self._ledger.write() as connection:
            self._log(connection, key, "read back", found=found)

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

    def of_run(self, run_id: str) -> list[Effect]:
        """The effects of a run, oldest first."""
        query = select(effects).where(effects.c.run_id == run_id).order_by(effects.c.claimed_at)
        with self._ledger.read() as connection:
            return [_effect(row) for row in connection.execute(query)]

    def _seen(self, connection: Connection, row: Row[Any]) -> Effect:
        if row.status != "claimed":
            return _effect(row)
        if row.claimed_until > canonical.now() and not is_gone(row.claimed_by):
            raise RunBusy(row.run_id, row.claimed_by)
        error = f"the process that called it ({row.claimed_by}) ended before it could tell"
        connection.execute(update(effects).where(effects.c.key == row.key).values(status="unknown", error=error))
        self._log(connection, row.key, "unknown", error=error)
        return _load(connection, row.key)

    def _check_approved(self, connection: Connection, approval: Approval) -> None:
        current = load_approval(connection, approval.id)
        if current.status != "approved" or current.args_sha256 != approval.args_sha256:
            raise current.already_decided()
        current.check_digests()
        approval.check_digests()
        if connection.execute(select(runs.c.dry_run).where(runs.c.id == approval.run_id)).scalar_one():
            raise DryRun(approval.run_id)

    def _end(
        self,
        key: str,
        status: EffectStatus,
        claim: int,
        before: Sequence[str],
        *,
        result: str = "",
        error: str = "",
        goes_on: bool = False,
    ) -> Effect:
        """`goes_on`: its call may not have ended, so the claim is held as long as it was."""
        error = redact_text(readable_text(error))
        values = {"status": status, "result": result, "error": error, "finished_at": canonical.now()}
        with self._ledger.write() as connection:
            which = (effects.c.key == key) & effects.c.status.in_(before)
            if claim:
                which &= effects.c.claims == claim
            changed = connection.execute(
                update(effects).where(which).values(values if goes_on else values | {"claimed_until": ""})
            )
            if changed.rowcount:
                self._log(connection, key, status, result=json.loads(result) if result else {}, error=error)
            return _load(connection, key)

    def _log(self, connection: Connection, key: str, event: str, **body: Any) -> None:
        effect = _load(connection, key)
        self._audit.append(connection, effect.run_id, event, effect=key, action=effect.action, **body)
        if event == "unknown":
            told = {"key": key, "action": effect.action, "error": effect.error}
            self._notices.add(connection, "unknown", effect.run_id, effect=told)


def effect_key(approval: Approval) -> str:
    """The idempotency key of what was approved: of its run, proposal and exact arguments."""
    return digest([approval.run_id, approval.proposal_id, approval.args_sha256])


def _effect(row: Row[Any]) -> Effect:
    return from_row(Effect, row, result=json.loads(row.result) if row.result else {})


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
