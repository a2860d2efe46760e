"""Approvals: asking, and deciding once. Whoever decides, from wherever, decides here.

What is written when something is asked or decided is written here too, each with its audit entry and its notice: two
halves of one transaction, which is why this file is longer than most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, delete, exists, insert, or_, select, true, update

from signoff.checkpoints import canonical
from signoff.checkpoints.canonical import canonical_json, digest_text
from signoff.checkpoints.db.prepared import Lookup
from signoff.checkpoints.errors import AlreadyDecided, NotAllowed, UnknownApproval
from signoff.checkpoints.jobs.turns import Turns
from signoff.checkpoints.ledger.approval import (
    ANYBODY,
    SETTLE_OUTCOME,
    Approval,
    ApprovalStatus,
    Authority,
    Person,
    Question,
    Vote,
    approval_id_of,
    is_same_person,
    joined,
    load_approval,
    load_approvals,
    read_approval,
)
from signoff.checkpoints.ledger.audit_log import AuditLog
from signoff.checkpoints.ledger.effects import Effects
from signoff.checkpoints.ledger.notifications.hooks import HookEvent
from signoff.checkpoints.ledger.notifications.outbox import Notices
from signoff.checkpoints.ledger.people import People
from signoff.checkpoints.ledger.run_path import begins, is_below, told_of
from signoff.checkpoints.ledger.runs import Runs
from signoff.checkpoints.ledger.schema import approvals, effects, proposals, runs, votes
from signoff.checkpoints.ledger.session import Transactions
from signoff.wording import one_line

_STANDINGS: Final = Lookup(
    select(
        *approvals.c["proposal_id", "id", "status", "expires_at"],
        exists().where(effects.c.approval_id == approvals.c.id).label("is_called"),
    ),
    approvals.c.proposal_id,
)
_SHORTEST_ID = 6
"""A shorter beginning of an id is too easily the wrong one."""

Deciding = Callable[[Connection, Approval, Person], str]
"""Writes a decision about an approval; returns what speaks against it, empty if it was written."""


class Approvals:
    """The approvals in the ledger. A decision is compare-and-set: the first one stands."""

    def __init__(self, ledger: Transactions, people: People, runs: Runs, effects: Effects, rows: ApprovalRows) -> None:
        self._ledger, self._people, self._runs, self._effects, self._rows = ledger, people, runs, effects, rows

    def ask(
        self, question: Question, *, expires_in: float | None, authority: Authority | None = None, why: str = ""
    ) -> Approval:
        """Open an approval for the proposal, or return the one there is; seconds until it expires, None for never.

        `why` is policy's reason for asking.
        """
        return self._once(question, "ask", why, self._rows.announce_question, authority or ANYBODY, expires_in)

    def allow(self, question: Question, *, by: str = "policy", why: str = "policy") -> Approval:
        """Record that policy allows the proposal as it stands, or return the approval there is."""

        def approve_it(connection: Connection, opened: Approval) -> None:
            self._rows.end(connection, opened, "approved", by=by, reason=why, args=opened.shown, was_asked=False)

        return self._once(question, "allow", why, approve_it)

    def deny(self, question: Question, *, by: str = "policy", why: str) -> Approval:
        """Record that policy does not allow the proposal, or return the approval there is."""

        def reject_it(connection: Connection, opened: Approval) -> None:
            self._rows.end(connection, opened, "rejected", by=by, reason=why, was_asked=False)

        return self._once(question, "deny", why, reject_it)

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

        AlreadyDecided unless it was pending, NotAllowed if this person may not, ChangedSince if another is shown,
        NotAnswered if it is a question.
        """

        def agree(connection: Connection, current: Approval, person: Person) -> str:
            current.check_seen(sha256)
            objection = _objection(current, current.authority, person)
            changed = current.shown if args is None else dict(args)
            if objection or canonical_json(changed) == canonical_json(current.shown):
                return objection or self._agree(connection, current, person, reason)
            needed = current.authority.narrowed(authority or ANYBODY)
            if not needed.needs_names:
                self._rows.end(connection, current, "approved", by=str(person), reason=reason, args=changed)
                return ""
            # What is asked about changes even if the new arguments are not for this person to approve.
            current = self._rows.edit(connection, current, changed, needed, person)
            if not _objection(current, needed, person):
                self._agree(connection, current, person, reason)
            return ""

        return self._settle(approval_id, agree, by=by)

    def reject(self, approval_id: str, *, by: str | Person, reason: str = "") -> Approval:
        """Reject it; AlreadyDecided unless it was pending, NotAllowed if this person may not."""
        return self._settle(approval_id, partial(self._end, "rejected", reason), by=by)

    def respond(self, approval_id: str, *, by: str | Person, message: str) -> Approval:
        """Answer with words instead: it is not done, and the agent reads them; otherwise as `reject`."""
        return self._settle(approval_id, partial(self._end, "answered", message), by=by)

    def close(self, approval_id: str, *, by: str, reason: str) -> Approval:
        """Reject it because its question is gone; nothing happens if it was decided."""
        with self._ledger.write() as connection:
            current = self._rows.refresh(connection, _full_id(connection, approval_id))
            if current.status == "pending":
                self._rows.end(connection, current, "rejected", by=by, reason=reason)
            return load_approval(connection, current.id)

    def revoke(self, approval_id: str, *, by: str | Person, reason: str = "") -> Approval:
        """Take an approval back before its action is claimed; whoever gave it can, and whoever could have rejected it.

        What was said of a call, yes or no, is taken back until something follows from it: its outcome is unknown as
        before, and the question open again. AlreadyDecided if it is too late, NotAllowed if this person may not.
        """

        def take_back(connection: Connection, current: Approval, person: Person) -> str:
            if current.action != SETTLE_OUTCOME and current.status == "rejected":
                raise current.already_decided()
            gave_it = any(is_same_person(person.name, name) for name in current.decided_by.split(", ") if name)
            if not gave_it and (objection := _objection(current, current.authority, person, approves=False)):
                return objection
            if current.action == SETTLE_OUTCOME:
                _check_goes_on(connection, current)
                self._effects.reopen(connection, current)
                self._rows.reopen(connection, current, person, reason)
                self._runs.wait_again(connection, current.run_id, f"{current.action} waits for approval {current.id}")
                return ""
            query = select(effects.c.key).where(effects.c.approval_id == current.id).limit(1)
            if connection.execute(query).first() is not None:
                raise current.already_decided("It cannot be taken back: its action was called.")
            self._rows.end(connection, current, "revoked", by=str(person), reason=reason)
            return ""

        return self._settle(approval_id, take_back, by=by, was=("approved", "rejected"))

    def get(self, approval_id: str) -> Approval:
        """The approval with this id, or the only one whose id begins with it; UnknownApproval otherwise."""
        with self._ledger.read() as connection:
            found = load_approval(connection, _full_id(connection, approval_id))
        return self._now(found)

    def of_proposal(self, proposal_id: str) -> Approval | None:
        """The approval of a proposal, if one was opened."""
        return self.of_proposals([proposal_id]).get(proposal_id)

    def of_proposals(self, proposal_ids: Sequence[str]) -> dict[str, Approval]:
        """The approvals of these proposals, by their ids; nothing of one that has none."""
        with self._ledger.read() as connection:
            ids = dict.fromkeys(approval_id for _, approval_id, *_ in _STANDINGS.rows(connection, proposal_ids))
            found = load_approvals(connection, list(ids))
        return {approval.proposal_id: self._now(approval) for approval in found}

    def decided(self, proposal_ids: Sequence[str]) -> dict[str, bool]:
        """Of these proposals that have an approval, whether it is decided or expired, and nothing was done about it."""
        with self._ledger.read() as connection:
            rows, now = _STANDINGS.rows(connection, proposal_ids), canonical.now()
        return {
            proposal: not is_called and (status != "pending" or "0" <= expires_at <= now)
            for proposal, _, status, expires_at, is_called in rows
        }

    def pending(self, run_id: str | None = None) -> list[Approval]:
        """The open approvals, of a run its children's too, oldest first; what has expired is closed on the way."""
        query = select(approvals.c.id).where(approvals.c.status == "pending", _is_of(run_id))
        with self._ledger.read() as connection:
            ids = connection.execute(query.order_by(approvals.c.requested_at, approvals.c.id)).all()
            found = load_approvals(connection, [row.id for row in ids])
        mine = [approval for approval in found if approval.is_of(run_id)]
        return [approval for approval in map(self._now, mine) if approval.status == "pending"]

    def lapsed(self, *run_ids: str) -> list[Approval]:
        """What expired, noted or not, of these runs or all, where they wait for nothing else and did not go on."""
        with self._ledger.read() as connection:
            found = [replace(read_approval(row), status="expired") for row in connection.execute(_lapsed(run_ids))]
        return [approval for approval in found if not run_ids or any(map(approval.is_of, run_ids))]

    def begin_answer(self, approval_id: str, who: str) -> None:
        """Write down whose answer is about to be read: LangGraph keeps an answer, and forgets whose it was."""
        with self._ledger.write() as connection:
            self._rows.answer(connection, load_approval(connection, approval_id), who)

    def end_answer(self, approval_id: str) -> None:
        self.begin_answer(approval_id, "")

    def has_twin(self, approval: Approval, sha256: str) -> bool:
        """Whether the run has another approval of the same action that is, or was, about arguments of this digest."""
        with self._ledger.read() as connection:
            return connection.execute(_twins(approval, sha256).limit(1)).first() is not None

    def rejected(self, run_id: str) -> dict[tuple[str, str], Approval]:
        """What people rejected in this run, by the action and the digest of its arguments; of each the first time."""
        with self._ledger.read() as connection:
            found = [read_approval(row) for row in connection.execute(_rejected(run_id))]
        return {(approval.action, approval.proposed_sha256): approval for approval in found}

    def sweep(self) -> int:
        """Close what has expired and tell of what has escalated; how many approvals that were."""
        query = joined().where(approvals.c.status == "pending")
        with self._ledger.read() as connection:
            seen = [read_approval(row) for row in connection.execute(query)]
        due = [approval for approval in seen if approval.has_expired or approval.has_escalated]
        for approval in due:
            self._now(approval)
        return len(due)

    def _once(
        self,
        question: Question,
        rule: str,
        why: str,
        go_on: Callable[[Connection, Approval], None],
        authority: Authority = ANYBODY,
        expires_in: float | None = None,
    ) -> Approval:
        """Open the approval of a proposal and go on with it, unless there is one."""
        known = self.of_proposal(question.proposal_id)
        if known is not None:
            return known
        with self._ledger.write(driver_of=question.run_id) as connection:
            query = select(proposals.c.id).where(proposals.c.id == question.proposal_id)
            if connection.execute(query).first() is None:
                expires_at = canonical.later(expires_in) if expires_in is not None else ""
                go_on(connection, self._rows.open(connection, question, rule, why, authority, expires_at))
            return self._rows.refresh(connection, approval_id_of(question.proposal_id))

    def _now(self, seen: Approval) -> Approval:
        """The approval, closed or escalated if its time has come."""
        if not (seen.has_expired or seen.has_escalated):
            return seen
        with self._ledger.write() as connection:
            return self._rows.refresh(connection, seen.id)

    def _settle(
        self, approval_id: str, decide: Deciding, *, by: str | Person, was: tuple[ApprovalStatus, ...] = ("pending",)
    ) -> Approval:
        """Have a decision made under the write lock, if it is in such a status and nothing speaks against it."""
        with self._ledger.write() as connection:
            current = self._rows.refresh(connection, _full_id(connection, approval_id))
            person, objection = self._people.named(connection, by), ""
            if current.status in was:
                objection = decide(connection, current, person)
                if not objection:
                    return load_approval(connection, current.id)
                self._rows.refuse(connection, current, person, objection)
        # Raised outside the transaction, so that an expiry and a refusal are kept.
        if objection:
            raise NotAllowed(current.id, str(person), objection)
        raise current.already_decided()

    def _end(
        self, status: ApprovalStatus, reason: str, connection: Connection, current: Approval, person: Person
    ) -> str:
        objection = _objection(current, current.authority, person, approves=False)
        if not objection:
            self._rows.end(connection, current, status, by=str(person), reason=reason)
        return objection

    def _agree(self, connection: Connection, current: Approval, person: Person, reason: str) -> str:
        """Count one more who agrees to what is shown; approve it once enough do."""
        others = [vote for vote in current.votes if not is_same_person(vote.name, person.name)]
        counted = [vote.name for vote in others if self._counts(connection, current, vote)]
        if len(counted) + 1 >= current.authority.quorum:
            by = ", ".join((*counted, str(person)))
            self._rows.end(connection, current, "approved", by=by, reason=reason, args=current.shown)
        elif len(others) == len(current.votes):
            self._rows.vote(connection, current, person, reason)
        return ""

    def _counts(self, connection: Connection, current: Approval, vote: Vote) -> bool:
        """Whether somebody who agreed before could still do so."""
        person = self._people.named(connection, Person(vote.name, vote.roles))
        return not _objection(current, current.authority, person)


def _check_goes_on(connection: Connection, current: Approval) -> None:
    """AlreadyDecided if a child run has ended: the one around it went on from what it gave."""
    status = connection.execute(select(runs.c.status).where(runs.c.id == current.run_id)).scalar()
    if current.path and status in ("done", "stopped"):
        raise current.already_decided(f"It cannot be taken back: its run, {told_of(current.path)}, has ended.")


def _full_id(connection: Connection, approval_id: str) -> str:
    exact = connection.execute(select(approvals.c.id).where(approvals.c.id == approval_id)).first()
    if exact:
        return str(exact.id)
    query = select(approvals.c.id).where(begins(approvals.c.id, approval_id))
    found = connection.execute(query).all() if len(approval_id) >= _SHORTEST_ID else []
    if len(found) != 1:
        raise UnknownApproval(approval_id, len(found))
    return str(found[0].id)


def _rejected(run_id: str) -> Select[Any]:
    """What people rejected in a run, newest first."""
    by_people = (approvals.c.status == "rejected") & (approvals.c.decided_by != "policy")
    return joined().where(approvals.c.run_id == run_id, by_people).order_by(approvals.c.decided_at.desc())


def _twins(approval: Approval, sha256: str) -> Select[Any]:
    """The other approvals of the run and action that are, or were, about arguments of this digest."""
    same = (approvals.c.shown_sha256 == sha256) | (approvals.c.args_sha256 == sha256)
    others = (approvals.c.run_id == approval.run_id) & (approvals.c.id != approval.id)
    return joined().where(others, proposals.c.action == approval.action, same)


def _lapsed(run_ids: Sequence[str]) -> Select[Any]:
    """The approvals whose time is over, and whose runs still wait for just that."""
    now, others = canonical.now(), approvals.alias()
    # Of some runs, the rows are found by those, not among all that waits; of one, its others always are.
    status, stands = (one.concat("") if run_ids else one for one in (approvals.c.status, runs.c.status))
    is_over = (status == "expired") & (approvals.c.decided_at >= runs.c.updated_at)
    is_late = (status == "pending") & approvals.c.expires_at.between("0", now)
    is_open = (others.c.status.concat("") == "pending") & ~others.c.expires_at.between("0", now)
    waits = exists().where(others.c.run_id == approvals.c.run_id, is_open)
    query = joined().where(stands == "waiting", is_over | is_late, ~waits).order_by(approvals.c.expires_at)
    if not run_ids:
        return query
    inner = runs.alias()
    within = or_(*(is_below(inner.c.id, run_id) for run_id in run_ids))
    children = select(inner.c.id).where(inner.c.id.contains("."), within)
    return query.where(approvals.c.run_id.in_(run_ids) | approvals.c.run_id.in_(children))


def _is_of(run_id: str | None) -> ColumnElement[bool]:
    """Of this run, or of one whose name makes it look like a child of it; None: of any."""
    if run_id is None:
        return true()
    return (approvals.c.run_id == run_id) | is_below(approvals.c.run_id, run_id)


def _objection(current: Approval, authority: Authority, person: Person, *, approves: bool = True) -> str:
    return authority.objection(person, requester=current.requested_by, asked_at=current.requested_at, approves=approves)


_TOLD = ("id", "action", "risk", "reason", "expires_at", "status", "decided_by", "decision_reason")
"""What a notice says of an approval as it stands."""


class ApprovalRows:
    """Writes proposals, approvals and votes within a transaction."""

    def __init__(self, audit: AuditLog, notices: Notices, turns: Turns) -> None:
        self._audit, self._notices, self._turns = audit, notices, turns

    def refresh(self, connection: Connection, approval_id: str) -> Approval:
        """The approval as it stands now: closed if its time is over, escalated if it has waited."""
        current = load_approval(connection, approval_id)
        if current.has_expired:
            why = "nobody decided it in time; an answer after that does not count, another run asks anew"
            self.end(connection, current, "expired", by="", reason=why)
        elif current.has_escalated:
            this = approvals.c.id == current.id
            at = canonical.now()
            connection.execute(update(approvals).where(this).values(escalated_at=at))
            roles = sorted({need.escalate_to for need in current.authority.requirements if need.escalate_to})
            self._log(connection, current, "escalated", to=roles, escalated_at=at)
            self._announce(connection, "escalated", current.id)
        else:
            return current
        return load_approval(connection, approval_id)

    def open(
        self,
        connection: Connection,
        question: Question,
        rule: str,
        why: str,
        authority: Authority,
        expires_at: str,
    ) -> Approval:
        """Write the proposal, what policy says of it, and its approval."""
        proposal_id, run_id, args = question.proposal_id, question.run_id, dict(question.args)
        text, at = canonical_json(args), canonical.now()
        sha256, flags = digest_text(text), list(question.flags)
        said = {"action": question.action, "args_sha256": sha256, "reason": question.reason, "risk": question.risk}
        said["created_at"] = at
        connection.execute(
            insert(proposals).values(
                id=proposal_id,
                run_id=run_id,
                args=text,
                proposed_by=question.proposed_by,
                flags=canonical_json(flags),
                **said,
            )
        )
        told = {"proposal": proposal_id, "by": question.proposed_by, "flags": flags}
        self._audit.append(connection, run_id, "proposed", args=args, **said, **told)
        approval_id, policy = approval_id_of(proposal_id), {"action": question.action, "rule": rule, "why": why}
        policy |= {"proposal": proposal_id, "approval": approval_id, "expires_at": expires_at}
        self._audit.append(connection, run_id, "policy", required=authority.as_json(), **policy)
        connection.execute(
            insert(approvals).values(
                id=approval_id,
                proposal_id=proposal_id,
                run_id=run_id,
                authority=canonical_json(authority.as_json()),
                shown=text,
                shown_sha256=sha256,
                status="pending",
                requested_at=at,
                expires_at=expires_at,
            )
        )
        return load_approval(connection, approval_id)

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

    def vote(self, connection: Connection, current: Approval, person: Person, reason: str) -> None:
        """One more who agrees to what is shown."""
        at, said = canonical.now(), {"args_sha256": current.shown_sha256, "reason": reason}
        roles = sorted(person.vouched)
        row = {"approval_id": current.id, "name": person.name, "roles": canonical_json(roles), "at": at, **said}
        connection.execute(insert(votes).values(row))
        self._log(connection, current, "voted", by=person.name, roles=roles, voted_at=at, **said)

    def answer(self, connection: Connection, current: Approval, who: str) -> None:
        """Whose answer a gate is about to read; empty: it has done with it."""
        if current.answering != who:
            connection.execute(update(approvals).where(approvals.c.id == current.id).values(answering=who))
            self._log(connection, current, "answering", by=who)

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
        told = {"args": args, "args_sha256": sha256, "authority": authority.describe(), "required": authority.as_json()}
        self._log(connection, current, "edited", by=str(person), **told)
        self._announce(connection, "pending", current.id)
        return load_approval(connection, current.id)

    def refuse(self, connection: Connection, current: Approval, person: Person, why: str) -> None:
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
        said = {"decided_at": canonical.now(), "reason": reason, "args_sha256": sha256}
        changed = connection.execute(
            update(approvals)
            .where(approvals.c.id == current.id, approvals.c.status == current.status)
            .values(status=status, args=text, decided_by=by, **said)
        )
        if changed.rowcount != 1:
            raise AlreadyDecided(current.id, "decided", "somebody else", "this moment")
        self._log(connection, current, status, shown_sha256=current.shown_sha256, by=by, **said)
        if was_asked:
            self._turns.wake(connection, current.run_id)
            self._announce(connection, "expired" if status == "expired" else "decided", current.id)

    def reopen(self, connection: Connection, current: Approval, person: Person, reason: str) -> None:
        """Ask again what was decided: nothing is left of the decision, and whoever agreed to it must agree anew."""
        connection.execute(delete(votes).where(votes.c.approval_id == current.id))
        undecided = dict.fromkeys(("decided_by", "decided_at", "reason", "args", "args_sha256"), "")
        this = approvals.c.id == current.id
        connection.execute(update(approvals).where(this).values(status="pending", **undecided))
        self._log(connection, current, "taken back", was=current.status, by=str(person), reason=reason)
        self.answer(connection, current, f"{current.decided_by}, taken back since,")  # LangGraph may still keep it
        self._turns.wait_again(connection, current.run_id)
        self._announce(connection, "pending", current.id)

    def _log(self, connection: Connection, current: Approval, event: str, **body: Any) -> None:
        self._audit.append(connection, current.run_id, event, approval=current.id, **body)

    def _announce(self, connection: Connection, event: HookEvent, approval_id: str) -> None:
        now = load_approval(connection, approval_id)
        args, sha256 = (now.args, now.args_sha256) if now.status == "approved" else (now.shown, now.shown_sha256)
        told: dict[str, Any] = {name: one_line(getattr(now, name)) for name in _TOLD}
        told |= {"args": args, "args_sha256": sha256, "authority": now.authority.describe()}
        if now.ways and now.status == "pending":
            told["answers"] = {way.command(now.id): way.means for way in now.ways}
        self._notices.add(connection, event, now.run_id, team=now.team, goal=one_line(now.goal), approval=told)
