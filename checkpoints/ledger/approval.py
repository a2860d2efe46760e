"""What an approval is: the question, who may decide it, and the decision once there is one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, Select, select

from signoff.checkpoints import clock
from signoff.checkpoints.canonical import digest
from signoff.checkpoints.ledger.authority import Authority
from signoff.checkpoints.ledger.schema import approvals, proposals, runs
from signoff.errors import AlreadyDecided, Tampered

ApprovalStatus = Literal["pending", "approved", "rejected", "answered", "expired", "revoked"]
"""answered: with words instead of a decision; expired: not decided in time; revoked: taken back before it was done.
Only what is approved is done."""


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
    flags: tuple[str, ...] = ()
    """Orders that were found in the texts it was made from."""


@dataclass(frozen=True)
class Vote:
    """Somebody who agreed while more people were asked for."""

    name: str
    args_sha256: str
    roles: frozenset[str]
    """Roles that a server vouched for; the others are asked of the ledger when it counts."""
    at: str


@dataclass(frozen=True)
class Approval:
    """A question, and the decision about it once there is one."""

    id: str
    proposal_id: str
    run_id: str
    team: str
    goal: str
    requested_by: str
    """Who gave the goal; empty if nobody knows."""
    dry_run: bool
    """Whether nothing will be called, whatever is decided."""
    action: str
    risk: str
    reason: str
    """Why it was proposed."""
    proposed_by: str
    proposed: dict[str, Any]
    """The arguments as the agent proposed them."""
    proposed_sha256: str
    authority: Authority
    """Who may decide."""
    votes: tuple[Vote, ...]
    """Who has agreed so far, if more people are asked for."""
    shown: dict[str, Any]
    """The arguments that are asked about: as proposed, or as edited where the edit needs others to agree."""
    shown_sha256: str
    status: ApprovalStatus
    requested_at: str
    escalated_at: str
    """When another role was told; empty: not yet, or never."""
    answering: str
    """Whose answer a gate began to read and has not done with; empty: nobody's."""
    expires_at: str
    """Empty: never."""
    decided_by: str
    """Everybody who agreed, if several did."""
    decided_at: str
    decision_reason: str
    args: dict[str, Any]
    """The approved arguments, as shown or as edited; empty unless approved."""
    args_sha256: str
    flags: tuple[str, ...] = ()
    """Orders that were found in the texts it was made from."""

    @property
    def edited(self) -> bool:
        """Whether a person changed the arguments before they were approved."""
        return self.status == "approved" and self.args_sha256 != self.proposed_sha256

    @property
    def has_expired(self) -> bool:
        """Whether its time is over and nobody decided."""
        return self.status == "pending" and bool(self.expires_at) and self.expires_at <= clock.now()

    @property
    def has_escalated(self) -> bool:
        """Whether another role may decide by now, and nobody was told yet."""
        moment = self.authority.escalates_at(self.requested_at)
        return self.status == "pending" and bool(moment) and moment <= clock.now() and not self.escalated_at

    @property
    def standing(self) -> str:
        """Who may decide and who agreed so far, in words; empty if anybody may."""
        if not self.authority.needs_names:
            return ""
        agreed = ", ".join(vote.name for vote in self.votes)
        return f"Decides: {self.authority.describe()}." + (f" Agreed so far: {agreed}." if agreed else "")

    def already_decided(self, *, claimed: bool = False) -> AlreadyDecided:
        """The error of deciding it again, or of taking it back once it is `claimed`."""
        status = f"{self.status}, and its action was called," if claimed else self.status
        return AlreadyDecided(self.id, status, self.decided_by or "its deadline", self.decided_at)

    def check_digests(self) -> None:
        """Raise Tampered if any arguments are not those that their digest was made of."""
        kept = [(self.proposed, self.proposed_sha256), (self.shown, self.shown_sha256)]
        if self.status == "approved":
            kept.append((self.args, self.args_sha256))
        if any(digest(args) != sha256 for args, sha256 in kept):
            raise Tampered(f"Approval {self.id}")


def approval_id_of(proposal_id: str) -> str:
    """Id of the one approval a proposal can have."""
    return "a-" + proposal_id.removeprefix("p-")


def joined() -> Select[Any]:
    """Approvals with what belongs to them, as `read_approval` reads them."""
    return (
        select(
            approvals,
            proposals.c.action,
            proposals.c.risk,
            proposals.c.reason.label("proposal_reason"),
            proposals.c.proposed_by,
            proposals.c.flags,
            proposals.c.args.label("proposed"),
            proposals.c.args_sha256.label("proposed_sha256"),
            runs.c.team,
            runs.c.goal,
            runs.c.requested_by,
            runs.c.dry_run,
        )
        .join(proposals, proposals.c.id == approvals.c.proposal_id)
        .join(runs, runs.c.id == approvals.c.run_id)
    )


def read_approval(row: Row[Any], votes: Sequence[Vote]) -> Approval:
    """The approval in a row of `joined`."""
    return Approval(
        id=row.id,
        proposal_id=row.proposal_id,
        run_id=row.run_id,
        team=row.team,
        goal=row.goal,
        requested_by=row.requested_by,
        dry_run=row.dry_run,
        action=row.action,
        risk=row.risk,
        reason=row.proposal_reason,
        proposed_by=row.proposed_by,
        flags=tuple(json.loads(row.flags)),
        proposed=json.loads(row.proposed),
        proposed_sha256=row.proposed_sha256,
        authority=Authority.from_json(json.loads(row.authority)),
        votes=tuple(votes),
        shown=json.loads(row.shown),
        shown_sha256=row.shown_sha256,
        status=row.status,
        requested_at=row.requested_at,
        escalated_at=row.escalated_at,
        answering=row.answering,
        expires_at=row.expires_at,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        decision_reason=row.reason,
        args=json.loads(row.args) if row.args else {},
        args_sha256=row.args_sha256,
    )
