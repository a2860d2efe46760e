"""Effects: each approved action is claimed before it is called, and its outcome is kept for good."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, Row, insert, select, update

from signoff.checkpoints import clock
from signoff.checkpoints.approvals import Approval
from signoff.checkpoints.digest import canonical_json, digest, readable_text
from signoff.checkpoints.owner import is_gone
from signoff.checkpoints.tables import approvals, effects
from signoff.errors import AlreadyDecided, RunBusy

if TYPE_CHECKING:
    from signoff.checkpoints.ledger import Ledger

EffectStatus = Literal["claimed", "unknown", "released", "done", "failed", "abandoned"]
"""claimed: being called; unknown: called, outcome not known; released: surely not done, to be called again;
failed: surely not done; abandoned: a person gave it up, outcome not known."""


@dataclass(frozen=True)
class Effect:
    """One approved action and what came of it."""

    key: str
    """The idempotency key: the same for the same run, proposal and arguments."""
    run_id: str
    approval_id: str
    action: str
    status: EffectStatus
    result: dict[str, Any]
    error: str


@dataclass(frozen=True)
class Claim:
    """What a claim found: `fresh` means call it now; otherwise the effect tells what is known."""

    effect: Effect
    fresh: bool


class Effects:
    """The effects table."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def claim(self, approval: Approval, *, owner: str) -> Claim:
        """Claim the effect of an approval, or learn that it was claimed before.

        AlreadyDecided if the approval does not stand; RunBusy while another living process is calling it.
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
                    claimed_at=clock.now(),
                )
            )
            self._ledger.audit.append(
                connection, approval.run_id, "claimed", effect=key, approval=approval.id, action=approval.action
            )
            return Claim(_effect(connection.execute(select(effects).where(effects.c.key == key)).one()), fresh=True)

    def reclaim(self, key: str, *, owner: str) -> bool:
        """Claim an effect again for another call with the same key; False if somebody else did."""
        with self._ledger.write() as connection:
            claimed = connection.execute(
                update(effects)
                .where(effects.c.key == key, effects.c.status.in_(("unknown", "released")))
                .values(status="claimed", claimed_by=owner, claimed_at=clock.now(), error="")
            )
            if claimed.rowcount:
                self._log(connection, key, "claimed again")
        return claimed.rowcount == 1

    def finish(self, key: str, result: Mapping[str, Any]) -> Effect:
        """Record that it was done, with its result (JSON values)."""
        return self._end(key, "done", result=canonical_json(dict(result)))

    def fail(self, key: str, error: str) -> Effect:
        """Record that it was surely not done."""
        return self._end(key, "failed", error=error)

    def lose(self, key: str, error: str) -> Effect:
        """Record that it may or may not have been done."""
        return self._end(key, "unknown", error=error)

    def release(self, key: str, error: str) -> Effect:
        """Record that it was surely not done and is to be called again."""
        return self._end(key, "released", error=error)

    def abandon(self, key: str, error: str) -> Effect:
        """Record that a person gave it up, its outcome unknown."""
        return self._end(key, "abandoned", error=error)

    def of_run(self, run_id: str) -> list[Effect]:
        """The effects of a run, oldest first."""
        query = select(effects).where(effects.c.run_id == run_id).order_by(effects.c.claimed_at)
        with self._ledger.read() as connection:
            return [_effect(row) for row in connection.execute(query)]

    def _seen(self, connection: Connection, row: Row[Any]) -> Effect:
        if row.status != "claimed":
            return _effect(row)
        if not is_gone(row.claimed_by):
            raise RunBusy(row.run_id, row.claimed_by)
        error = f"the process that called it ({row.claimed_by}) ended before it could tell"
        connection.execute(update(effects).where(effects.c.key == row.key).values(status="unknown", error=error))
        self._log(connection, row.key, "unknown", error=error)
        return _effect(connection.execute(select(effects).where(effects.c.key == row.key)).one())

    def _check_approved(self, connection: Connection, approval: Approval) -> None:
        row = connection.execute(select(approvals).where(approvals.c.id == approval.id)).one()
        if row.status != "approved" or row.args_sha256 != approval.args_sha256:
            raise AlreadyDecided(row.id, row.status, row.decided_by, row.decided_at)

    def _end(self, key: str, status: EffectStatus, *, result: str = "", error: str = "") -> Effect:
        error = readable_text(error)
        with self._ledger.write() as connection:
            changed = connection.execute(
                update(effects)
                .where(effects.c.key == key, effects.c.status.in_(("claimed", "unknown")))
                .values(status=status, result=result, error=error, finished_at=clock.now())
            )
            if changed.rowcount:
                self._log(connection, key, status, result=result, error=error)
            return _effect(connection.execute(select(effects).where(effects.c.key == key)).one())

    def _log(self, connection: Connection, key: str, event: str, **body: str) -> None:
        row = connection.execute(select(effects).where(effects.c.key == key)).one()
        self._ledger.audit.append(connection, row.run_id, event, effect=key, action=row.action, **body)


def effect_key(approval: Approval) -> str:
    """The idempotency key of what was approved: of its run, proposal and exact arguments."""
    return digest([approval.run_id, approval.proposal_id, approval.args_sha256])


def _effect(row: Row[Any]) -> Effect:
    return Effect(
        key=row.key,
        run_id=row.run_id,
        approval_id=row.approval_id,
        action=row.action,
        status=row.status,
        result=json.loads(row.result) if row.result else {},
        error=row.error,
    )
