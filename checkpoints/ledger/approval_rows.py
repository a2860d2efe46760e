"""The docket: what is written when something is asked or decided, each with its audit entry and its notice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, insert, select, update

from signoff.checkpoints import clock
from signoff.checkpoints.canonical import canonical_json, digest_text
from signoff.checkpoints.ledger.approval import (
    Approval,
    ApprovalStatus,
    Question,
    Vote,
    approval_id_of,
    joined,
    read_approval,
)
from signoff.checkpoints.ledger.authority import Authority, Person
from signoff.checkpoints.ledger.notifications.hooks import HookEvent
from signoff.checkpoints.ledger.schema import approvals, proposals, votes
from signoff.errors import AlreadyDecided

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.ledger import Ledger


class Docket:
    """Reads and writes proposals, approvals and votes within a transaction."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def read(self, connection: Connection, approval_id: str) -> Approval:
        """The approval with this id, as it stands in the database."""
        row = connection.execute(joined().where(approvals.c.id == approval_id)).one()
        agreed = connection.execute(select(votes).where(votes.c.approval_id == row.id).order_by(votes.c.at)).all()
        voted = [Vote(vote.name, vote.args_sha256, frozenset(json.loads(vote.roles)), vote.at) for vote in agreed]
        return read_approval(row, voted)

    def refresh(self, connection: Connection, approval_id: str) -> Approval:
        """The approval as it stands now: closed if its time is over, escalated if it has waited."""
        current = self.read(connection, approval_id)
        if current.has_expired:
            self.end(connection, current, "expired", by="", reason="not decided in time")
        elif current.has_escalated:
            connection.execute(update(approvals).where(approvals.c.id == current.id).values(escalated_at=clock.now()))
            roles = sorted({need.escalate_to for need in current.authority.requirements if need.escalate_to})
            self._log(connection, current, "escalated", to=roles)
            self._announce(connection, "escalated", current.id)
        else:
            return current
        return self.read(connection, approval_id)

    def propose(self, connection: Connection, question: Question, rule: str, why: str) -> None:
        """Write the proposal, and what policy says of it."""
        args = canonical_json(dict(question.args))
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
                flags=canonical_json(list(question.flags)),
                created_at=clock.now(),
            )
        )
        proposal = {"proposal": question.proposal_id, "action": question.action}
        audit = self._ledger.audit
        audit.append(
            connection,
            question.run_id,
            "proposed",
            **proposal,
            args=dict(question.args),
            args_sha256=sha256,
            reason=question.reason,
            risk=question.risk,
            by=question.proposed_by,
            flags=list(question.flags),
        )
        audit.append(connection, question.run_id, "policy", **proposal, rule=rule, why=why)

    def open(self, connection: Connection, question: Question, authority: Authority, expires_at: str) -> Approval:
        """Open the approval of a proposal."""
        args = canonical_json(dict(question.args))
        approval_id = approval_id_of(question.proposal_id)
        connection.execute(
            insert(approvals).values(
                id=approval_id,
                proposal_id=question.proposal_id,
                run_id=question.run_id,
                authority=canonical_json(authority.as_json()),
                shown=args,
                shown_sha256=digest_text(args),
                status="pending",
                requested_at=clock.now(),
                expires_at=expires_at,
            )
        )
        return self.read(connection, approval_id)

    def announce_question(self, connection: Connection, opened: Approval) -> None:
        """Tell that somebody has to decide."""
        self._log(
            connection,
            opened,
            "asked",
            authority=opened.authority.describe(),
            expires_at=opened.expires_at,
            shown_sha256=opened.shown_sha256,
        )
        self._announce(connection, "pending", opened.id)

    def note_answering(self, connection: Connection, approval_id: str, who: str) -> None:
        """Write down whose answer a gate is about to read; empty: nobody's any more."""
        connection.execute(update(approvals).where(approvals.c.id == approval_id).values(answering=who))

    def vote(self, connection: Connection, current: Approval, person: Person, reason: str) -> None:
        """One more who agrees to what is shown."""
        sha256 = current.shown_sha256
        connection.execute(
            insert(votes).values(
                approval_id=current.id,
                name=person.name,
                args_sha256=sha256,
                roles=canonical_json(sorted(person.vouched)),
                reason=reason,
                at=clock.now(),
            )
        )
        self._log(connection, current, "voted", by=person.name, args_sha256=sha256)

    def edit(
        self, connection: Connection, current: Approval, args: dict[str, Any], authority: Authority, person: Person
    ) -> Approval:
        """Ask about other arguments from now on; whoever agreed to the former ones no longer counts."""
        text = canonical_json(args)
        sha256 = digest_text(text)
        connection.execute(delete(votes).where(votes.c.approval_id == current.id))
        connection.execute(
            update(approvals)
            .where(approvals.c.id == current.id, approvals.c.status == "pending")
            .values(shown=text, shown_sha256=sha256, authority=canonical_json(authority.as_json()))
        )
        self._log(
            connection,
            current,
            "edited",
            by=str(person),
            args=args,
            args_sha256=sha256,
            authority=authority.describe(),
        )
        self._announce(connection, "pending", current.id)
        return self.read(connection, current.id)

    def refuse(self, connection: Connection, current: Approval, person: Person, why: str) -> None:
        """Somebody tried who may not."""
        self._log(connection, current, "refused", by=str(person), why=why)

    def end(
        self,
        connection: Connection,
        current: Approval,
        status: ApprovalStatus,
        *,
        by: str,
        reason: str,
        args: Mapping[str, Any] | None = None,
        was_asked: bool = True,
    ) -> None:
        """Write the decision, by compare-and-set; `args` are the approved ones."""
        text = canonical_json(dict(args)) if args is not None else ""
        sha256 = digest_text(text) if text else ""
        changed = connection.execute(
            update(approvals)
            .where(approvals.c.id == current.id, approvals.c.status == current.status)
            .values(status=status, decided_by=by, decided_at=clock.now(), reason=reason, args=text, args_sha256=sha256)
        )
        if changed.rowcount != 1:
            raise AlreadyDecided(current.id, "decided", "somebody else", "this moment")
        self._log(
            connection, current, status, shown_sha256=current.shown_sha256, args_sha256=sha256, by=by, reason=reason
        )
        if was_asked:
            self._announce(connection, "expired" if status == "expired" else "decided", current.id)

    def _log(self, connection: Connection, current: Approval, event: str, **body: Any) -> None:
        self._ledger.audit.append(connection, current.run_id, event, approval=current.id, **body)

    def _announce(self, connection: Connection, event: HookEvent, approval_id: str) -> None:
        now = self.read(connection, approval_id)
        args, sha256 = (now.args, now.args_sha256) if now.status == "approved" else (now.shown, now.shown_sha256)
        self._ledger.notices.add(
            connection,
            event,
            now.run_id,
            team=now.team,
            goal=now.goal,
            approval={
                "id": now.id,
                "action": now.action,
                "risk": now.risk,
                "reason": now.reason,
                "args": args,
                "args_sha256": sha256,
                "authority": now.authority.describe(),
                "expires_at": now.expires_at,
                "status": now.status,
                "decided_by": now.decided_by,
                "decision_reason": now.decision_reason,
            },
        )
