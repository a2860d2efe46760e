"""What an approval is: the question, who may decide it, and the decision once there is one.

The ledger keeps with each approval who may decide, and how many must agree, and checks it. It is longer than most, as
each of these values says what its fields hold.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, Text, literal, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from signoff.checkpoints import canonical
from signoff.checkpoints.canonical import digest, from_row, read_json
from signoff.checkpoints.errors import AlreadyDecided, BadName, ChangedSince, NotAnswered, Tampered
from signoff.checkpoints.jobs.job import DEFAULT_TENANT
from signoff.checkpoints.ledger.run_path import OfRun, RunPath, path_in
from signoff.checkpoints.ledger.schema import approvals, proposals, runs, votes
from signoff.error_base import SettingsError

ApprovalStatus = Literal["pending", "approved", "rejected", "answered", "expired", "revoked"]
"""answered: with words instead of a decision; expired: not decided in time; revoked: taken back before it was done.
Only what is approved is done."""

SETTLE_OUTCOME: Final = "settle_outcome"
"""What a person is asked by the ledger: whether an action happened. Its arguments name the effect and the claim."""

_AT_ONCE: Final = 500
"""Ids in one statement; databases take only so many at once."""

_LARGE, _TOLD = 64_000, 500
"""Bytes of arguments that a list reads whole, and characters of each value of larger ones."""

QUESTION: Final = "question"
"""The risk of what only asks a person something: it is answered or declined, and nobody can approve it."""


@dataclass(frozen=True)
class Way:
    """A way to answer what came of a call, and what it means."""

    verb: Literal["approve", "edit", "reject"]
    means: str
    changes: Mapping[str, str | bool] = field(default_factory=dict)
    """The arguments that are edited."""

    def command(self, approval_id: str, program: str = "signoff") -> str:
        """The command that answers so."""
        changes = "".join(f" --set {name}={str(value).lower()}" for name, value in self.changes.items())
        return f"{program} {self.verb} {approval_id}{changes}"

    def call(self, approval_id: str = "") -> str:
        """What a program or a notebook calls, naming the question if there are several."""
        given = [f"args={dict(self.changes)!r}"] if self.changes else []
        given += [f'approval="{approval_id}"'] if approval_id else []
        return f"run.{'reject' if self.verb == 'reject' else 'approve'}({', '.join(given)})"


WAYS_TO_SETTLE: Final = (
    Way("approve", "it happened: it counts as done"),
    Way("edit", "it did not happen: it is called again, with the same key", {"happened": "no"}),
    Way("edit", "it did not happen, and is not called again: it failed", {"happened": "no", "retry": False}),
    Way("reject", "nobody can tell: it is given up, its outcome unknown"),
)

_LONGEST_NAME: Final = 200
_MACHINERY: Final = "policy"
"""Who decided where no person did."""


_OF_TENANT: Final = "tenant:"


@dataclass(frozen=True)
class Person:
    """Somebody who decides. The name is as good as whoever vouches for it: a login, or a server's authentication."""

    name: str
    """Empty: nobody knows who."""
    roles: frozenset[str] = frozenset()
    vouched: frozenset[str] = frozenset()
    """Those of the roles that a server vouches for, now; the others are in the ledger."""

    @property
    def tenants(self) -> frozenset[str]:
        """Whose runs they see, by roles such as `tenant:acme`; empty: those that are nobody's in particular.

        That is what `tenant:default` means, and those alone see all who have no such role.
        """
        named = (role.removeprefix(_OF_TENANT) for role in self.roles if role.startswith(_OF_TENANT))
        return frozenset("" if name == DEFAULT_TENANT else name for name in named) or frozenset({""})

    @property
    def sees_all(self) -> bool:
        """Whether they see the runs of all tenants: the role `tenant:*`."""
        return "*" in self.tenants

    @property
    def tenant(self) -> str:
        """Whose the runs are that they start; empty: nobody's in particular. SettingsError if they are of several."""
        own = sorted(self.tenants - {"*"})
        if len(own) > 1:
            which = ", ".join(name or DEFAULT_TENANT for name in own)
            raise SettingsError(
                "tenant", f"{self.name} is of several tenants ({which})", "Give each a token of their own."
            )
        return own[0] if own else ""

    def only_of(self, tenant: str) -> Person:
        """The same person as one of this tenant alone."""
        kept = (role for role in self.roles if not role.startswith(_OF_TENANT))
        return replace(self, roles=frozenset({*kept, f"{_OF_TENANT}{tenant}"}))

    def __str__(self) -> str:
        return self.name or "whoever resumed the thread"


OF_ALL_TENANTS: Final = f"{_OF_TENANT}*"
"""The role of those who see the runs of all tenants."""
EVERYBODY: Final = Person("", frozenset({OF_ALL_TENANTS}))
"""Nobody in particular, from whom nothing is kept back."""


def clean_name(name: str) -> str:
    """The name as it is kept and compared: without blanks around it, its letters composed; BadName if it is none."""
    kept = unicodedata.normalize("NFC", name.strip())
    if not kept.isprintable() or len(kept) > _LONGEST_NAME or "," in kept or kept.casefold() == _MACHINERY:
        raise BadName("name of a person", name)
    return kept


def is_same_person(one: str, other: str) -> bool:
    """Whether two names are one person's; capitals make no difference."""
    return one.casefold() == other.casefold()


@dataclass(frozen=True)
class Requirement:
    """A role that whoever decides must have, or, once it has waited long enough, another one."""

    role: str
    escalate_to: str = ""
    """Role that may decide as well after a while; empty: none."""
    escalate_after: float = 0.0
    """Seconds until then."""

    def met_by(self, roles: Collection[str], waited: float) -> bool:
        """Whether somebody with these roles may decide after so many seconds."""
        return self.role in roles or (
            bool(self.escalate_to) and waited >= self.escalate_after and self.escalate_to in roles
        )

    @property
    def is_sound(self) -> bool:
        """Whether it is made of what it should be."""
        texts = isinstance(self.role, str) and isinstance(self.escalate_to, str)
        return texts and isinstance(self.escalate_after, int | float)

    def describe(self) -> str:
        hours = f"{self.escalate_after / 3600:g}"
        return f"role {self.role}" + (f" (or {self.escalate_to} after {hours} h)" if self.escalate_to else "")


@dataclass(frozen=True)
class Authority:
    """Who may decide. The default is anybody, one person, named or not."""

    requirements: tuple[Requirement, ...] = ()
    """Each must be met."""
    quorum: int = 1
    """How many different people must agree on the same arguments; one of them can reject."""
    four_eyes: bool = False
    """Whether the person who asked for the run may not approve."""

    @property
    def needs_names(self) -> bool:
        """Whether an approval by nobody knows who cannot count."""
        return bool(self.requirements) or self.quorum > 1 or self.four_eyes

    def objection(self, who: Person, *, requester: str, asked_at: str, approves: bool = True) -> str:
        """Why this person may not decide now; empty if they may. `asked_at`: when the question was opened."""
        if not self.needs_names:
            return ""
        if not who.name:
            return f"{self.describe()} is asked for, and nobody knows who answered"
        waited = canonical.seconds_since(asked_at)
        for requirement in self.requirements:
            if not requirement.met_by(who.roles, waited):
                has = f"has {', '.join(sorted(who.roles))}" if who.roles else "has no role"
                return f"{requirement.describe()} is asked for, and {who.name} {has}"
        if self.four_eyes and approves:
            if not requester:
                return "somebody else than the requester is asked for, and nobody knows who that is"
            if is_same_person(who.name, requester):
                return f"somebody else than the requester is asked for, and {who.name} is the requester"
        return ""

    def narrowed(self, other: Authority) -> Authority:
        return Authority(
            tuple(dict.fromkeys((*self.requirements, *other.requirements))),
            max(self.quorum, other.quorum),
            self.four_eyes or other.four_eyes,
        )

    def covers(self, other: Authority) -> bool:
        """Whether a decision under this one also satisfies the other."""
        return self.narrowed(other) == self

    def escalates_at(self, asked_at: str) -> str:
        """The first moment at which another role may decide as well; empty: never."""
        moments = [canonical.after(asked_at, need.escalate_after) for need in self.requirements if need.escalate_to]
        return min(moments, default="")

    def describe(self) -> str:
        """It in words: `role finance, 2 people, not the requester`."""
        parts = [requirement.describe() for requirement in self.requirements]
        if self.quorum > 1:
            parts.append(f"{self.quorum} people")
        if self.four_eyes:
            parts.append("not the requester")
        return ", ".join(parts) or "anybody"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "requirements": [asdict(need) for need in self.requirements]}

    @classmethod
    def read(cls, text: str, what: str) -> Authority:
        """The authority in a JSON text that was written here; Tampered, with `what` it is of, if it is none."""
        kept = read_json(text, dict, what)
        try:
            found = cls.from_json(kept)
            sound = isinstance(found.quorum, int) and all(need.is_sound for need in found.requirements)
        except (TypeError, AttributeError):
            sound = False
        if not sound:
            raise Tampered(what, f"{text!r:.60} does not say who may decide")
        return found

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Authority:
        requirements = tuple(Requirement(**need) for need in kept.get("requirements", ()))
        return cls(requirements, kept.get("quorum", 1), kept.get("four_eyes", False))


ANYBODY: Final = Authority()


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
class Approval(OfRun):
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
    path: RunPath = ()
    """Of its run."""

    @property
    def edited(self) -> bool:
        """Whether a person changed the arguments before they were approved."""
        return self.status == "approved" and self.args_sha256 != self.proposed_sha256

    @property
    def is_question(self) -> bool:
        """Whether it asks for an answer, instead of a decision about an action."""
        return self.risk == QUESTION

    @property
    def has_expired(self) -> bool:
        return self.status == "pending" and bool(self.expires_at) and self.expires_at <= canonical.now()

    @property
    def has_escalated(self) -> bool:
        """Whether another role may decide by now, and nobody was told yet."""
        moment = self.authority.escalates_at(self.requested_at)
        return self.status == "pending" and bool(moment) and moment <= canonical.now() and not self.escalated_at

    @property
    def standing(self) -> str:
        """Who may decide and who agreed so far, in words; empty if anybody may."""
        if not self.authority.needs_names:
            return ""
        agreed = ", ".join(vote.name for vote in self.votes)
        return f"Decides: {self.authority.describe()}." + (f" Agreed so far: {agreed}." if agreed else "")

    @property
    def ways(self) -> tuple[Way, ...]:
        """What approving, editing and rejecting it mean, where that is not as with any action."""
        return WAYS_TO_SETTLE if self.action == SETTLE_OUTCOME else ()

    @property
    def meant(self) -> str:
        """What the decision means, where that is not as with any action; empty otherwise."""
        if self.status == "rejected":
            return next((way.means for way in self.ways if way.verb == "reject"), "")
        fitting = [way.means for way in self.ways if way.verb != "reject" and way.changes.items() <= self.args.items()]
        return fitting[-1] if fitting and self.status == "approved" else ""

    def already_decided(self, why: str = "") -> AlreadyDecided:
        """The error of deciding it again, or of taking it back; `why` is a sentence about what stands in the way."""
        if self.status != "expired":
            return AlreadyDecided(self.id, self.status, self.decided_by, self.decided_at, why)
        refused = (
            f"That counts as a refusal, and {self.action} is not done. Let the run go on without it: "
            f"`signoff resume {self.run_id}`. To have it done after all, start another run."
        )
        return AlreadyDecided(self.id, self.status, "", self.expires_at, refused)

    def check_seen(self, sha256: str) -> None:
        """Raise if it cannot be approved by whoever saw arguments whose digest begins so: they were changed since.

        NotAnswered if it is a question, ChangedSince, or Tampered.
        """
        self.check_digests()
        if self.is_question:
            raise NotAnswered(self.id)
        if not self.shown_sha256.startswith(sha256):
            raise ChangedSince(self.id, self.shown_sha256)

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


class _Brief(FunctionElement[str]):
    """JSON of an object; where it is large, of long texts in it the beginning, and of other long values nothing."""

    name, type, inherit_cache = "brief", Text(), True


@compiles(_Brief)
def _compile(element: _Brief, compiler: Any, **options: Any) -> str:
    """A server refuses some of what JSON may hold: there nothing is told of what is large."""
    bare = str(compiler.process(element.clauses, **options))
    if compiler.dialect.name != "sqlite":
        return f"CASE WHEN octet_length({bare}) <= {_LARGE} THEN {bare} ELSE '{{}}' END"
    cut = f"CASE type WHEN 'text' THEN substr(value, 1, {_TOLD}) WHEN 'true' THEN json('true') "
    cut += "WHEN 'false' THEN json('false') WHEN 'null' THEN NULL WHEN 'object' THEN '' WHEN 'array' THEN "
    cut += f"CASE WHEN length(value) <= {_TOLD} THEN json(value) ELSE '' END ELSE value END"
    told = f"(SELECT json_group_object(key, {cut}) FROM (SELECT * FROM json_each({bare}) LIMIT {_TOLD}))"
    is_small = f"length(CAST({bare} AS BLOB)) <= {_LARGE} OR NOT json_valid({bare})"
    return f"CASE WHEN {is_small} THEN {bare} ELSE {told} END"


def joined(*, is_brief: bool = False) -> Select[Any]:
    """Approvals with what belongs to them, as `read_approval` reads them; brief: of large arguments enough for a list.

    Then what was proposed, and what was approved, is left out.
    """
    own: Sequence[ColumnElement[Any]] = list(approvals.c)
    proposed: ColumnElement[Any] = proposals.c.args
    if is_brief:
        own = [column for column in own if column.name not in ("shown", "args")]
        own = [*own, _Brief(approvals.c.shown).label("shown"), literal("").label("args")]
        proposed = literal("{}")
    return (
        select(
            *own,
            *proposals.c["action", "risk", "proposed_by", "flags"],
            proposals.c.reason.label("proposal_reason"),
            proposed.label("proposed"),
            proposals.c.args_sha256.label("proposed_sha256"),
            *runs.c["team", "goal", "requested_by", "dry_run", "options"],
        )
        .join(proposals, proposals.c.id == approvals.c.proposal_id)
        .join(runs, runs.c.id == approvals.c.run_id)
    )


def read_approval(row: Row[Any], voted: Sequence[Vote] = ()) -> Approval:
    """The approval in a row of `joined`; Tampered if it cannot be one."""
    what = f"Approval {row.id}"
    for name in ("reason", "proposal_reason"):
        if not isinstance(getattr(row, name), str):
            raise Tampered(what, f"its {name} is {getattr(row, name)!r:.60}")
    return from_row(
        Approval,
        row,
        reason=row.proposal_reason,
        flags=tuple(map(str, read_json(row.flags, list, what))),
        proposed=read_json(row.proposed, dict, what),
        authority=Authority.read(row.authority, what),
        votes=tuple(voted),
        shown=read_json(row.shown, dict, what),
        decision_reason=row.reason,
        args=read_json(row.args, dict, what) if row.args else {},
        path=path_in(row.options, what),
    )


def load_approval(connection: Connection, approval_id: str) -> Approval:
    """The approval with this id, as it stands in the database; Tampered if it cannot be one."""
    return load_approvals(connection, [approval_id])[0]


def load_approvals(connection: Connection, ids: Sequence[str]) -> list[Approval]:
    """The approvals with these ids, in their order, as they stand in the database; Tampered if one cannot be one."""
    rows, agreed = dict[str, Row[Any]](), dict[str, list[Vote]]()
    for approval_id in ids:
        if not isinstance(approval_id, str):
            raise Tampered(f"Approval {approval_id}", "its id is no text")
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        rows |= {row.id: row for row in connection.execute(joined().where(_is_of(approvals.c.id, some)))}
        for vote in connection.execute(select(votes).where(_is_of(votes.c.approval_id, some)).order_by(votes.c.at)):
            vouched = frozenset(map(str, read_json(vote.roles, list, f"Approval {vote.approval_id}")))
            agreed.setdefault(vote.approval_id, []).append(from_row(Vote, vote, roles=vouched))
    if gone := [approval_id for approval_id in ids if approval_id not in rows]:
        raise Tampered(f"Approval {gone[0]}", "its row, or that of its proposal or run, is gone")
    return [read_approval(rows[approval_id], agreed.get(approval_id, ())) for approval_id in ids]


def _is_of(column: ColumnElement[str], ids: Sequence[str]) -> ColumnElement[bool]:
    """Whether it is one of these; for the only one SQLAlchemy has the statement at hand."""
    return column == ids[0] if len(ids) == 1 else column.in_(ids)
