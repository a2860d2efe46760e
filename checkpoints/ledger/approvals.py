"""Approvals: asking, and deciding once. Whoever decides, from wherever, decides here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from signoff.checkpoints import clock
from signoff.checkpoints.canonical import canonical_json
from signoff.checkpoints.ledger.approval import (
    Approval,
    ApprovalStatus,
    Question,
    Vote,
    approval_id_of,
    joined,
    read_approval,
)
from signoff.checkpoints.ledger.approval_rows import Docket
from signoff.checkpoints.ledger.authority import Authority, Person, is_same_person
from signoff.checkpoints.ledger.schema import approvals, effects, proposals
from signoff.errors import ChangedSince, NotAllowed, UnknownApproval

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.ledger import Ledger

_SHORTEST_ID = 6
"""A shorter beginning of an id is too easily the wrong one."""

Deciding = Callable[[Connection, Approval, Person], str]
"""Writes a decision about a pending approval; returns what speaks against it, empty if it was written."""


class Approvals:
    """The approvals in the ledger. A decision is compare-and-set: the first one stands."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._docket = ledger, Docket(ledger)

    def ask(
        self, question: Question, *, expires_in: float | None, authority: Authority | None = None, why: str = ""
    ) -> Approval:
        """Open an approval for the proposal, or return the one there is; seconds until it expires, None for never.

        `why` is policy's reason for asking.
        """

        def open_it(connection: Connection) -> None:
            self._docket.propose(connection, question, "ask", why)
            expires_at = clock.later(expires_in) if expires_in is not None else ""
            opened = self._docket.open(connection, question, authority or Authority(), expires_at)
            self._docket.announce_question(connection, opened)

        return self._once(question, open_it)

    def allow(self, question: Question, *, by: str = "policy", why: str = "policy") -> Approval:
        """Record that policy allows the proposal as it stands, or return the approval there is."""

        def approve_it(connection: Connection) -> None:
            self._docket.propose(connection, question, "allow", why)
            opened = self._docket.open(connection, question, Authority(), "")
            self._docket.end(connection, opened, "approved", by=by, reason=why, args=opened.shown, was_asked=False)

        return self._once(question, approve_it)

    def deny(self, question: Question, *, by: str = "policy", why: str) -> Approval:
        """Record that policy does not allow the proposal, or return the approval there is."""

        def reject_it(connection: Connection) -> None:
            self._docket.propose(connection, question, "deny", why)
            opened = self._docket.open(connection, question, Authority(), "")
            self._docket.end(connection, opened, "rejected", by=by, reason=why, was_asked=False)

        return self._once(question, reject_it)

    def approve(
        self,
        approval_id: str,
        *,
        by: str | Person,
        args: Mapping[str, Any] | None = None,
        authority: Authority | None = None,
        sha256: str = "",
        reason: str = "",
    ) -> Approval:
        """Approve what is shown, or edited arguments; still pending if more people must agree.

        An edit of what a role or several people decide is what is asked about from then on: whoever agreed to something
        else no longer counts. `authority` is what the edited arguments ask for by themselves, if that is more. `sha256`
        is the digest, or its beginning, of what was seen.

        AlreadyDecided unless it was pending, NotAllowed if this person may not, ChangedSince if another is shown.
        """

        def agree(connection: Connection, current: Approval, person: Person) -> str:
            current.check_digests()
            if not current.shown_sha256.startswith(sha256):
                raise ChangedSince(current.id, current.shown_sha256)
            objection = _objection(current, current.authority, person)
            changed = current.shown if args is None else dict(args)
            if objection or canonical_json(changed) == canonical_json(current.shown):
                return objection or self._agree(connection, current, person, reason)
            needed = current.authority.narrowed(authority or Authority())
            if not needed.needs_names:
                self._docket.end(connection, current, "approved", by=str(person), reason=reason, args=changed)
                return ""
            # What is asked about changes even if the new arguments are not for this person to approve.
            current = self._docket.edit(connection, current, changed, needed, person)
            if not _objection(current, needed, person):
                self._agree(connection, current, person, reason)
            return ""

        return self._settle(approval_id, agree, by=by)

    def reject(self, approval_id: str, *, by: str | Person, reason: str = "") -> Approval:
        """Reject it; AlreadyDecided unless it was pending, NotAllowed if this person may not."""
        return self._settle(approval_id, self._ending("rejected", reason), by=by)

    def respond(self, approval_id: str, *, by: str | Person, message: str) -> Approval:
        """Answer with words instead: it is not done, and the agent reads them; otherwise as `reject`."""
        return self._settle(approval_id, self._ending("answered", message), by=by)

    def close(self, approval_id: str, *, by: str, reason: str) -> Approval:
        """Reject it because its question is gone; nothing happens if it was decided."""
        with self._ledger.write() as connection:
            current = self._docket.refresh(connection, self._full_id(connection, approval_id))
            if current.status == "pending":
                self._docket.end(connection, current, "rejected", by=by, reason=reason)
            return self._docket.read(connection, current.id)

    def revoke(self, approval_id: str, *, by: str | Person, reason: str = "") -> Approval:
        """Take an approval back before its action is claimed; whoever gave it can, and whoever could have rejected it.

        AlreadyDecided if it was claimed or is not approved, NotAllowed if this person may not.
        """
        with self._ledger.write() as connection:
            current = self._docket.read(connection, self._full_id(connection, approval_id))
            person = self._ledger.people.named(connection, by)
            query = select(effects.c.key).where(effects.c.approval_id == current.id).limit(1)
            claimed = connection.execute(query).first() is not None
            if current.status != "approved" or claimed:
                raise current.already_decided(claimed=claimed)
            givers = [name.casefold() for name in current.decided_by.split(", ")]
            gave_it = bool(person.name) and person.name.casefold() in givers
            objection = "" if gave_it else _objection(current, current.authority, person, approves=False)
            if not objection:
                self._docket.end(connection, current, "revoked", by=str(person), reason=reason)
                return self._docket.read(connection, current.id)
            self._docket.refuse(connection, current, person, objection)
        raise NotAllowed(current.id, str(person), objection)

    def get(self, approval_id: str) -> Approval:
        """The approval with this id, or the only one whose id begins with it; UnknownApproval otherwise."""
        with self._ledger.read() as connection:
            found = self._docket.read(connection, self._full_id(connection, approval_id))
        return self._now(found)

    def of_proposal(self, proposal_id: str) -> Approval | None:
        """The approval of a proposal, if one was opened."""
        with self._ledger.read() as connection:
            row = connection.execute(select(approvals.c.id).where(approvals.c.proposal_id == proposal_id)).first()
            found = self._docket.read(connection, row.id) if row else None
        return self._now(found) if found else None

    def pending(self, run_id: str | None = None) -> list[Approval]:
        """The open approvals, oldest first; what has expired is closed on the way."""
        query = select(approvals.c.id).where(approvals.c.status == "pending")
        if run_id is not None:
            query = query.where(approvals.c.run_id == run_id)
        with self._ledger.read() as connection:
            ids = connection.execute(query.order_by(approvals.c.requested_at, approvals.c.id)).all()
            found = [self._docket.read(connection, row.id) for row in ids]
        return [approval for approval in map(self._now, found) if approval.status == "pending"]

    def begin_answer(self, approval_id: str, who: str) -> None:
        """Write down whose answer is about to be read: LangGraph keeps an answer, and forgets whose it was."""
        with self._ledger.write() as connection:
            self._docket.note_answering(connection, approval_id, who)

    def end_answer(self, approval_id: str) -> None:
        """The answer was read, or there was none."""
        with self._ledger.write() as connection:
            self._docket.note_answering(connection, approval_id, "")

    def has_twin(self, approval: Approval, sha256: str) -> bool:
        """Whether the run has another approval of the same action that is, or was, about arguments of this digest."""
        same = (approvals.c.shown_sha256 == sha256) | (approvals.c.args_sha256 == sha256)
        others = (approvals.c.run_id == approval.run_id) & (approvals.c.id != approval.id)
        query = joined().where(others, proposals.c.action == approval.action, same).limit(1)
        with self._ledger.read() as connection:
            return connection.execute(query).first() is not None

    def rejected_before(self, run_id: str, action: str, args_sha256: str) -> Approval | None:
        """The first time that a person rejected this action with these arguments in this run."""
        query = (
            joined()
            .where(approvals.c.run_id == run_id, approvals.c.status == "rejected", approvals.c.decided_by != "policy")
            .where(proposals.c.action == action, proposals.c.args_sha256 == args_sha256)
            .order_by(approvals.c.decided_at)
            .limit(1)
        )
        with self._ledger.read() as connection:
            row = connection.execute(query).first()
        return read_approval(row, ()) if row else None

    def sweep(self) -> int:
        """Close what has expired and tell of what has escalated; how many approvals that were."""
        query = joined().where(approvals.c.status == "pending")
        with self._ledger.read() as connection:
            seen = [read_approval(row, ()) for row in connection.execute(query)]
        due = [approval for approval in seen if approval.has_expired or approval.has_escalated]
        for approval in due:
            self._now(approval)
        return len(due)

    def _once(self, question: Question, open_it: Callable[[Connection], None]) -> Approval:
        """Open the approval of a proposal unless there is one."""
        known = self.of_proposal(question.proposal_id)
        if known is not None:
            return known
        with self._ledger.write() as connection:
            query = select(proposals.c.id).where(proposals.c.id == question.proposal_id)
            if connection.execute(query).first() is None:
                open_it(connection)
            return self._docket.refresh(connection, approval_id_of(question.proposal_id))

    def _now(self, seen: Approval) -> Approval:
        """The approval, closed or escalated if its time has come."""
        if not (seen.has_expired or seen.has_escalated):
            return seen
        with self._ledger.write() as connection:
            return self._docket.refresh(connection, seen.id)

    def _settle(self, approval_id: str, decide: Deciding, *, by: str | Person) -> Approval:
        """Have a decision made under the write lock, if it is pending and nothing speaks against it."""
        with self._ledger.write() as connection:
            current = self._docket.refresh(connection, self._full_id(connection, approval_id))
            person, objection = self._ledger.people.named(connection, by), ""
            if current.status == "pending":
                objection = decide(connection, current, person)
                if not objection:
                    return self._docket.read(connection, current.id)
                self._docket.refuse(connection, current, person, objection)
        # Raised outside the transaction, so that an expiry and a refusal are kept.
        if objection:
            raise NotAllowed(current.id, str(person), objection)
        raise current.already_decided()

    def _ending(self, status: ApprovalStatus, reason: str) -> Deciding:
        def end(connection: Connection, current: Approval, person: Person) -> str:
            objection = _objection(current, current.authority, person, approves=False)
            if not objection:
                self._docket.end(connection, current, status, by=str(person), reason=reason)
            return objection

        return end

    def _agree(self, connection: Connection, current: Approval, person: Person, reason: str) -> str:
        """Count one more who agrees to what is shown; approve it once enough do."""
        others = [vote for vote in current.votes if not is_same_person(vote.name, person.name)]
        counted = [vote.name for vote in others if self._counts(connection, current, vote)]
        if len(counted) + 1 >= current.authority.quorum:
            by = ", ".join((*counted, str(person)))
            self._docket.end(connection, current, "approved", by=by, reason=reason, args=current.shown)
        elif len(others) == len(current.votes):
            self._docket.vote(connection, current, person, reason)
        return ""

    def _counts(self, connection: Connection, current: Approval, vote: Vote) -> bool:
        """Whether somebody who agreed before could still do so."""
        person = self._ledger.people.named(connection, Person(vote.name, vote.roles))
        return not _objection(current, current.authority, person)

    def _full_id(self, connection: Connection, approval_id: str) -> str:
        exact = connection.execute(select(approvals.c.id).where(approvals.c.id == approval_id)).first()
        if exact:
            return str(exact.id)
        query = select(approvals.c.id).where(approvals.c.id.startswith(approval_id, autoescape=True))
        found = connection.execute(query).all() if len(approval_id) >= _SHORTEST_ID else []
        if len(found) != 1:
            raise UnknownApproval(approval_id, len(found))
        return str(found[0].id)


def _objection(current: Approval, authority: Authority, person: Person, *, approves: bool = True) -> str:
    return authority.objection(person, requester=current.requested_by, asked_at=current.requested_at, approves=approves)
