"""Proposals and approvals: what was asked, and what a person decided about exactly that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, Row, Select, insert, select, update

from signoff.checkpoints import clock
from signoff.checkpoints.digest import canonical_json, digest_text
from signoff.checkpoints.tables import approvals, proposals, runs
from signoff.errors import AlreadyDecided, UnknownApproval

if TYPE_CHECKING:
    from signoff.checkpoints.ledger import Ledger

ApprovalStatus = Literal["pending", "approved", "rejected", "expired"]


@dataclass(frozen=True)
class Question:
    """What the gate asks about: one proposal."""

    proposal_id: str
    run_id: str
    action: str
    args: Mapping[str, Any]
    reason: str
    risk: str
    proposed_by: str


@dataclass(frozen=True)
class Approval:
    """A question, and the decision about it once there is one."""

    id: str
    proposal_id: str
    run_id: str
    team: str
    goal: str
    action: str
    risk: str
    reason: str
    """Why it was proposed."""
    proposed_by: str
    shown: dict[str, Any]
    """The arguments that were shown."""
    shown_sha256: str
    status: ApprovalStatus
    requested_at: str
    expires_at: str
    """Empty: never."""
    decided_by: str
    decided_at: str
    decision_reason: str
    args: dict[str, Any]
    """The approved arguments, as shown or as edited; empty unless approved."""
    args_sha256: str

    @property
    def edited(self) -> bool:
        """Whether a person changed the arguments before approving them."""
        return self.status == "approved" and self.args_sha256 != self.shown_sha256

    def already_decided(self) -> AlreadyDecided:
        """The error of deciding it again."""
        return AlreadyDecided(self.id, self.status, self.decided_by or "its deadline", self.decided_at)


class Approvals:
    """The proposals and approvals tables. A decision is compare-and-set: the first one stands."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def ask(self, question: Question, *, expires_in: float | None) -> Approval:
        """Open an approval for the proposal, or return the one there is; seconds until it expires, None for never."""
        with self._ledger.write() as connection:
            self._add(connection, question, expires_at=clock.later(expires_in) if expires_in is not None else "")
            return self._current(connection, approvals.c.proposal_id == question.proposal_id)

    def allow(self, question: Question, *, by: str) -> Approval:
        """Record that policy allows the proposal as it stands."""
        with self._ledger.write() as connection:
            self._add(connection, question, expires_at="")
            current = self._current(connection, approvals.c.proposal_id == question.proposal_id)
            if current.status == "pending":
                self._decide(connection, current, "approved", by=by, reason="policy", args=current.shown)
            return self._current(connection, approvals.c.proposal_id == question.proposal_id)

    def approve(
        self, approval_id: str, *, by: str, args: Mapping[str, Any] | None = None, reason: str = ""
    ) -> Approval:
        """Approve what was shown, or the edited arguments; AlreadyDecided unless it was pending."""
        return self._settle(approval_id, "approved", by=by, reason=reason, args=args)

    def reject(self, approval_id: str, *, by: str, reason: str = "") -> Approval:
        """Reject it; AlreadyDecided unless it was pending."""
        return self._settle(approval_id, "rejected", by=by, reason=reason, args=None)

    def get(self, approval_id: str) -> Approval:
        """The approval with this id, or the only one whose id begins with it; UnknownApproval otherwise."""
        with self._ledger.write() as connection:
            return self._current(connection, approvals.c.id == self._full_id(connection, approval_id))

    def of_proposal(self, proposal_id: str) -> Approval | None:
        """The approval of a proposal, if one was opened."""
        with self._ledger.write() as connection:
            row = connection.execute(select(approvals.c.id).where(approvals.c.proposal_id == proposal_id)).first()
            return self._current(connection, approvals.c.id == row.id) if row else None

    def pending(self, run_id: str | None = None) -> list[Approval]:
        """The open approvals, oldest first; what has expired is closed on the way."""
        query = _joined().where(approvals.c.status == "pending").order_by(approvals.c.requested_at)
        if run_id is not None:
            query = query.where(approvals.c.run_id == run_id)
        with self._ledger.write() as connection:
            found = [self._expire(connection, _approval(row)) for row in connection.execute(query).all()]
        return [approval for approval in found if approval.status == "pending"]

    def _settle(
        self, approval_id: str, status: ApprovalStatus, *, by: str, reason: str, args: Mapping[str, Any] | None
    ) -> Approval:
        with self._ledger.write() as connection:
            current = self._current(connection, approvals.c.id == self._full_id(connection, approval_id))
            if current.status == "pending":
                approved = current.shown if args is None else args
                self._decide(connection, current, status, by=by, reason=reason, args=approved)
                return self._current(connection, approvals.c.id == current.id)
        # Raised outside the transaction, so that an expiry found on the way is kept.
        raise current.already_decided()

    def _add(self, connection: Connection, question: Question, *, expires_at: str) -> None:
        if connection.execute(select(proposals.c.id).where(proposals.c.id == question.proposal_id)).first():
            return
        at, args = clock.now(), canonical_json(dict(question.args))
        sha256 = digest_text(args)
        connection.execute(
            insert(proposals).values(
                id=question.proposal_id,
                run_id=question.run_id,
                action=question.action,
                args=args,
                args_sha256=sha256,
                reason=question.reason,
                risk=question.risk,
                proposed_by=question.proposed_by,
                created_at=at,
            )
        )
        connection.execute(
            insert(approvals).values(
                id=approval_id_of(question.proposal_id),
                proposal_id=question.proposal_id,
                run_id=question.run_id,
                shown_sha256=sha256,
                status="pending",
                requested_at=at,
                expires_at=expires_at,
            )
        )
        self._ledger.audit.append(
            connection,
            question.run_id,
            "proposed",
            proposal=question.proposal_id,
            action=question.action,
            args_sha256=sha256,
            by=question.proposed_by,
        )

    def _decide(
        self,
        connection: Connection,
        current: Approval,
        status: ApprovalStatus,
        *,
        by: str,
        reason: str,
        args: Mapping[str, Any],
    ) -> None:
        text = canonical_json(dict(args)) if status == "approved" else ""
        sha256 = digest_text(text) if text else ""
        connection.execute(
            update(approvals)
            .where(approvals.c.id == current.id, approvals.c.status == "pending")
            .values(status=status, decided_by=by, decided_at=clock.now(), reason=reason, args=text, args_sha256=sha256)
        )
        self._ledger.audit.append(
            connection,
            current.run_id,
            status,
            approval=current.id,
            shown_sha256=current.shown_sha256,
            args_sha256=sha256,
            by=by,
            reason=reason,
        )

    def _current(self, connection: Connection, condition: Any) -> Approval:
        return self._expire(connection, _approval(connection.execute(_joined().where(condition)).one()))

    def _expire(self, connection: Connection, approval: Approval) -> Approval:
        if approval.status != "pending" or not approval.expires_at or approval.expires_at > clock.now():
            return approval
        self._decide(connection, approval, "expired", by="", reason="not decided in time", args={})
        return _approval(connection.execute(_joined().where(approvals.c.id == approval.id)).one())

    def _full_id(self, connection: Connection, approval_id: str) -> str:
        exact = connection.execute(select(approvals.c.id).where(approvals.c.id == approval_id)).first()
        if exact:
            return str(exact.id)
        query = select(approvals.c.id).where(approvals.c.id.startswith(approval_id, autoescape=True)).limit(2)
        found = connection.execute(query).all() if approval_id else []
        if len(found) != 1:
            raise UnknownApproval(approval_id)
        return str(found[0].id)


def approval_id_of(proposal_id: str) -> str:
    """Id of the one approval a proposal can have."""
    return "a-" + proposal_id.removeprefix("p-")


def _joined() -> Select[Any]:
    return (
        select(
            approvals,
            proposals.c.action,
            proposals.c.risk,
            proposals.c.reason.label("proposal_reason"),
            proposals.c.proposed_by,
            proposals.c.args.label("shown"),
            runs.c.team,
            runs.c.goal,
        )
        .join(proposals, proposals.c.id == approvals.c.proposal_id)
        .join(runs, runs.c.id == approvals.c.run_id)
    )


def _approval(row: Row[Any]) -> Approval:
    return Approval(
        id=row.id,
        proposal_id=row.proposal_id,
        run_id=row.run_id,
        team=row.team,
        goal=row.goal,
        action=row.action,
        risk=row.risk,
        reason=row.proposal_reason,
        proposed_by=row.proposed_by,
        shown=json.loads(row.shown),
        shown_sha256=row.shown_sha256,
        status=row.status,
        requested_at=row.requested_at,
        expires_at=row.expires_at,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        decision_reason=row.reason,
        args=json.loads(row.args) if row.args else {},
        args_sha256=row.args_sha256,
    )
