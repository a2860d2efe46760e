"""The inbox: approvals and runs page by page, so that a list costs the same however much there is.

It is longer than most: each list is a query and what it is narrowed by.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    and_,
    delete,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    true,
    tuple_,
    union,
)

from signoff.checkpoints import canonical
from signoff.checkpoints.canonical import canonical_json, from_row, read_json
from signoff.checkpoints.jobs.job import DEFAULT_TENANT, RUN_ID_LENGTH
from signoff.checkpoints.ledger.approval import EVERYBODY, Approval, Authority, Person, joined, read_approval
from signoff.checkpoints.ledger.audit_log import Entry
from signoff.checkpoints.ledger.budgets.amounts import NANO
from signoff.checkpoints.ledger.run_path import is_below
from signoff.checkpoints.ledger.runs import RunRecord, Status, record_of
from signoff.checkpoints.ledger.schema import (
    RUN_TENANT,
    approvals,
    audit,
    budgets,
    jobs,
    keys,
    people,
    proposals,
    runs,
    snoozes,
    usage,
    votes,
)
from signoff.checkpoints.ledger.session import Transactions

Tab = Literal["mine", "all", "snoozed", "decided"]
"""mine: what waits, and what this person may decide and has not agreed to; snoozed: what they put off."""
PAGE: Final = 20
"""Rows of a list that are shown together."""
COUNTED: Final = 100
"""So far what a list holds is counted; as many are that or more."""
_FEW: Final = 14
_KINDS_OF_AUTHORITY: Final = 20
"""So many are told apart; what is asked under others is everybody's to see."""
_KINDS_SECONDS: Final = 60.0
_FILTERS: Final = {
    "team": runs.c.team,
    "action": proposals.c.action,
    "risk": proposals.c.risk,
    "run": approvals.c.run_id,
}
_RUN_FILTERS: Final = {"team": runs.c.team, "status": runs.c.status}


@dataclass(frozen=True)
class Listed:
    """An approval in a list."""

    approval: Approval
    agreed: int
    """How many have agreed so far."""
    snoozed_until: str
    """Empty: it is not put off."""


@dataclass(frozen=True)
class Page:
    """A part of a list."""

    items: Sequence[Any]
    more: str
    """What the next part begins after; empty: there is none."""


@dataclass(frozen=True)
class Counts:
    """How many approvals wait, as far as `COUNTED`."""

    mine: int
    all: int
    snoozed: int
    runs: int
    """Runs that wait for them."""


@dataclass(frozen=True)
class AboutRun:
    """What a list says of a run beside how it stands."""

    asks: int
    """How many questions it waits for, itself."""
    action: str
    """What one of them is about."""
    calls: int
    usd: float


@dataclass(frozen=True)
class Spending:
    """What calls of models cost."""

    scopes: Sequence[tuple[str, float, int]]
    """What is limited by the day, with its dollars and tokens."""
    days: Sequence[tuple[str, int, float]]
    """The last days, with their calls and dollars."""
    runs: Sequence[tuple[str, str, int, float]]
    """The dearest runs of the day, with their team, calls and dollars."""


@dataclass(frozen=True)
class _Kinds:
    """The kinds of authority that were found among what waits."""

    texts: tuple[str, ...] = ()
    asked: str = ""
    """What was asked before is known already."""
    until: float = float("-inf")
    """By the clock; then all of it is looked through again: an edit may have narrowed one."""


class Inbox:
    """Reads lists; of a person's own it keeps only what they put off."""

    def __init__(self, ledger: Transactions, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger, self._clock = ledger, clock
        self._known = _Kinds()

    def _kinds(self, connection: Connection, tab: Tab) -> Collection[str]:
        """Under which kinds of authority something waits; they are few. All that waits is looked through now and then.

        In between only what was asked since, as there may be much that waits.
        """
        if tab != "mine":
            return ()
        known, now = self._known, self._clock()
        if now > known.until:
            known = _Kinds(until=now + _KINDS_SECONDS)
        waits = (approvals.c.status == "pending") & (approvals.c.requested_at >= known.asked)
        query = select(approvals.c.authority, func.max(approvals.c.requested_at)).where(waits)
        found = connection.execute(query.group_by(approvals.c.authority).limit(_KINDS_OF_AUTHORITY)).all()
        if found:
            asked = canonical.after(max(str(row[1]) for row in found), -_KINDS_SECONDS)
            kinds = sorted({*known.texts, *(str(row[0]) for row in found)})[:_KINDS_OF_AUTHORITY]
            known = replace(known, texts=tuple(kinds), asked=max(known.asked, asked))
        self._known = known
        return known.texts

    def run(self, who: Person, run_id: str) -> RunRecord | None:
        """The run with just this id, if it is of a tenant of theirs."""
        with self._ledger.read() as connection:
            row = connection.execute(select(runs).where(runs.c.id == run_id, _seen_by(who))).first()
        return None if row is None else record_of(row)

    def page(
        self,
        tab: Tab,
        who: Person,
        filters: dict[str, str] | None = None,
        after: str = "",
        *,
        is_brief: bool = False,
    ) -> Page:
        """Approvals: what waits the longest first, of what was decided the last first; brief: as `joined` has it.

        `filters` are values by team, action, risk, run or tenant; `!` before one means all others. `older` is of
        what was asked before so many hours.
        """
        moment = approvals.c.decided_at if tab == "decided" else approvals.c.requested_at
        mine = _snooze_of(who)
        agreed = select(func.count()).where(votes.c.approval_id == approvals.c.id).scalar_subquery()
        until = select(snoozes.c.until).where(mine).scalar_subquery()
        query = joined(is_brief=is_brief).add_columns(agreed.label("agreed"), func.coalesce(until, "").label("snoozed"))
        query = query.where(*_filtered(_FILTERS, filters))
        query = query.where(_beyond(after, moment, approvals.c.id, newest_first=tab == "decided"))
        order = (moment.desc(), approvals.c.id.desc()) if tab == "decided" else (moment, approvals.c.id)
        with self._ledger.read() as connection:
            query = (
                query.where(_in_tab(self._kinds(connection, tab), tab, who, by_run=bool((filters or {}).get("run"))))
                .order_by(*order)
                .limit(PAGE + 1)
            )
            rows = connection.execute(query).all()
        listed = [Listed(_as_it_stands(read_approval(row)), row.agreed, row.snoozed) for row in rows[:PAGE]]
        last = rows[PAGE - 1] if len(rows) > PAGE else None
        more = "" if last is None else f"{last.decided_at if tab == 'decided' else last.requested_at} {last.id}"
        return Page(listed, more)

    def find(self, approval_id: str) -> Approval | None:
        """The approval with just this id, without its votes."""
        with self._ledger.read() as connection:
            row = connection.execute(joined().where(approvals.c.id == approval_id)).first()
        return _as_it_stands(read_approval(row)) if row is not None else None

    def counts(self, who: Person) -> Counts:
        """How many wait for this person, in all, and put off; and how many runs wait."""
        with self._ledger.read() as connection:
            wanted = [_counted(_in_tab(self._kinds(connection, tab), tab, who)) for tab in ("mine", "all")]
            wanted.append(_counted(_in_tab((), "snoozed", who)))
            waiting = _as_far(select(runs.c.id).where(runs.c.status == "waiting", _seen_by(who)))
            found = connection.execute(select(*wanted, waiting.scalar_subquery())).one()
        return Counts(*map(int, found))

    def next_of(self, who: Person, after: Approval | None = None) -> str:
        """Id of what this person may decide next: what was asked after this one, else the first; empty if nothing."""
        query = (
            select(approvals.c.id).select_from(_tables()).order_by(approvals.c.requested_at, approvals.c.id).limit(1)
        )
        with self._ledger.read() as connection:
            mine = query.where(_in_tab(self._kinds(connection, "mine"), "mine", who))
            for later in ([mine.where(_after(after))] if after else []) + [mine]:
                if (found := connection.execute(later).scalar()) is not None and (after is None or found != after.id):
                    return str(found)
        return ""

    def snooze(self, approval_id: str, name: str, until: str) -> None:
        """Keep it out of what waits for this person until then; empty: no longer."""
        this = (snoozes.c.approval_id == approval_id) & (snoozes.c.name == name)
        with self._ledger.write() as connection:
            connection.execute(delete(snoozes).where(this))
            if until:
                connection.execute(insert(snoozes).values(approval_id=approval_id, name=name, until=until))

    def runs(self, who: Person, filters: dict[str, str] | None = None, after: str = "") -> Page:
        """Runs, the newest first; `filters` by team, status and tenant, `!` before a value means all others."""
        query = select(runs).order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(PAGE + 1)
        query = query.where(*_filtered(_RUN_FILTERS, filters), _seen_by(who))
        query = query.where(_beyond(after, runs.c.created_at, runs.c.id, newest_first=True))
        with self._ledger.read() as connection:
            rows = connection.execute(query).all()
        more = f"{rows[PAGE - 1].created_at} {rows[PAGE - 1].id}" if len(rows) > PAGE else ""
        return Page([record_of(row) for row in rows[:PAGE]], more)

    def about_runs(self, run_ids: Sequence[str]) -> dict[str, AboutRun]:
        """What stands beside each of these runs in a list."""
        waits = select(approvals.c.run_id, func.count().label("number"), func.min(proposals.c.action).label("action"))
        waits = waits.select_from(_tables()).where(_is_open(by_run=True), approvals.c.run_id.in_(run_ids))
        cost = select(usage.c.run_id, func.count().label("calls"), func.sum(usage.c.nusd).label("nusd"))
        cost = cost.where(usage.c.run_id.in_(run_ids)).group_by(usage.c.run_id)
        with self._ledger.read() as connection:
            asked = {row.run_id: row for row in connection.execute(waits.group_by(approvals.c.run_id))}
            spent = {row.run_id: row for row in connection.execute(cost)}
        return {
            run: AboutRun(
                int(asked[run].number) if run in asked else 0,
                str(asked[run].action) if run in asked else "",
                int(spent[run].calls) if run in spent else 0,
                float(spent[run].nusd or 0) / NANO if run in spent else 0.0,
            )
            for run in run_ids
        }

    def run_states(self, who: Person) -> dict[Status, int]:
        """How many runs have which status, as far as `COUNTED`."""
        states: tuple[Status, ...] = get_args(Status)
        some = (select(runs.c.id).where(runs.c.status == status, _seen_by(who)) for status in states)
        with self._ledger.read() as connection:
            found = connection.execute(select(*(_as_far(one).scalar_subquery() for one in some))).one()
        return dict(zip(states, map(int, found), strict=True))

    def entries(self, run_id: str = "", about: str = "", before: int = 0, who: Person = EVERYBODY) -> Page:
        """The newest entries of the log, newest first: of one run, about one approval, or all that somebody may see."""
        query = select(audit).order_by(audit.c.seq.desc()).limit(PAGE + 1)
        query = query.where(audit.c.run_id == run_id) if run_id else query
        query = query.where(audit.c.body.contains(f'"{about}"', autoescape=True)) if about else query
        query = query.where(audit.c.seq < before) if before else query
        if not who.sees_all:
            query = query.where((audit.c.run_id == "") | exists().where(runs.c.id == audit.c.run_id, _seen_by(who)))
        with self._ledger.read() as connection:
            rows = connection.execute(query).all()
        items = [from_row(Entry, row, body=read_json(row.body, dict, f"Entry {row.seq}")) for row in rows[:PAGE]]
        return Page(items, str(items[-1].seq) if len(rows) > PAGE else "")

    def people(self, after: str = "") -> Page:
        """Everybody with a role or a key, by name: their roles, and how many tokens and browsers they have."""
        names = union(select(people.c.name), select(keys.c.name).where(keys.c.expires_at > canonical.now())).subquery()
        query = select(names.c.name).where(names.c.name > after).order_by(names.c.name).limit(PAGE + 1)
        with self._ledger.read() as connection:
            found = connection.execute(query).scalars().all()
            shown = [str(name) for name in found[:PAGE]]
            roles = connection.execute(select(people).where(people.c.name.in_(shown)).order_by(people.c.role)).all()
            query = select(keys.c.name, keys.c.use, func.count().label("number")).group_by(keys.c.name, keys.c.use)
            held = connection.execute(query.where(keys.c.name.in_(shown), keys.c.expires_at > canonical.now())).all()
        items = [
            (
                name,
                [str(row.role) for row in roles if row.name == name],
                {str(row.use): int(row.number) for row in held if row.name == name},
            )
            for name in shown
        ]
        return Page(items, shown[-1] if len(found) > PAGE else "")

    def spent(self, day: str) -> Spending:
        """What was spent on this day, within which limits, by the dearest runs; and on the days before."""
        scope, cost = budgets.c.scope, func.sum(usage.c.nusd)
        of_day = (scope == f"day:{day}") | scope.like(f"team:%@{day}")
        within = select(scope, budgets.c.nusd, budgets.c.tokens).where(of_day).order_by(scope).limit(_FEW)
        days = select(usage.c.day, func.count(), cost).group_by(usage.c.day).order_by(usage.c.day.desc()).limit(_FEW)
        dearest = select(usage.c.run_id, usage.c.team, func.count(), cost).where(usage.c.day == day)
        dearest = dearest.group_by(usage.c.run_id, usage.c.team).order_by(cost.desc()).limit(_FEW)
        with self._ledger.read() as connection:
            scopes = [(str(name), int(nusd) / NANO, int(tokens)) for name, nusd, tokens in connection.execute(within)]
            past = [(str(at), int(calls), float(nusd or 0) / NANO) for at, calls, nusd in connection.execute(days)]
            runs_of_day = [
                (str(run), str(team), int(calls), float(nusd or 0) / NANO)
                for run, team, calls, nusd in connection.execute(dearest)
            ]
        return Spending(scopes, past, runs_of_day)

    def changed_since(self, seq: int) -> tuple[int, list[str]]:
        """The number of the newest entry of the log, and the runs of those after this one."""
        with self._ledger.read() as connection:
            newest = int(connection.execute(select(func.max(audit.c.seq))).scalar() or 0)
            query = select(audit.c.run_id).where(audit.c.seq > seq).distinct().limit(PAGE)
            found = connection.execute(query).scalars().all() if 0 <= seq < newest else ()
        return newest, [str(run) for run in found if run]


def _tables() -> Any:
    return approvals.join(proposals, proposals.c.id == approvals.c.proposal_id).join(
        runs, runs.c.id == approvals.c.run_id
    )


def _as_it_stands(approval: Approval) -> Approval:
    """One whose time is over counts as refused, be it that nobody has written so yet."""
    return replace(approval, status="expired", decided_at=approval.expires_at) if approval.has_expired else approval


def _counted(which: ColumnElement[bool]) -> Any:
    return _as_far(select(approvals.c.id).select_from(_tables()).where(which)).scalar_subquery()


def _as_far(query: Any) -> Any:
    """The number of these rows, as far as it is counted: so it costs the same however many there are."""
    return select(func.count()).select_from(query.limit(COUNTED).subquery())


def _filtered(by: Mapping[str, Column[Any]], filters: Mapping[str, str] | None) -> Iterator[ColumnElement[bool]]:
    for name, value in (filters or {}).items():
        if name == "older":
            yield approvals.c.requested_at <= canonical.later(-3600 * int(value or 0))
        elif value:
            said = value.removeprefix("!")
            these = _of_tenants({said if said != DEFAULT_TENANT else ""}) if name == "tenant" else by[name] == said
            if name == "run":  # and the work of its agents
                within = select(runs.c.id).where(is_below(runs.c.id, said))
                these |= by[name].in_(within)
            yield ~these if value != said else these


def _beyond(after: str, moment: Any, id_: Any, *, newest_first: bool) -> ColumnElement[bool]:
    """What comes after this row of a list, `MOMENT ID`."""
    at, blank, last = after.partition(" ")
    if not blank:
        return true()
    return tuple_(moment, id_) < (at, last) if newest_first else tuple_(moment, id_) > (at, last)


def _after(approval: Approval) -> ColumnElement[bool]:
    return tuple_(approvals.c.requested_at, approvals.c.id) > (approval.requested_at, approval.id)


def _snooze_of(who: Person) -> ColumnElement[bool]:
    return (snoozes.c.approval_id == approvals.c.id) & (snoozes.c.name == who.name)


def _seen_by(who: Person) -> ColumnElement[bool]:
    """Whether a run is of a tenant of theirs."""
    return true() if who.sees_all else _of_tenants(who.tenants)


def _of_tenants(names: Collection[str]) -> ColumnElement[bool]:
    """Whether a run is of one of these tenants: it says so itself, or the job whose work it is; empty: of nobody's."""
    its = jobs.c.run_id == func.substr(runs.c.id, 1, RUN_ID_LENGTH)
    texts = {name: f'"{RUN_TENANT}":{canonical_json(name)}' for name in names if name}
    says = [runs.c.options.contains(text, autoescape=True) for text in texts.values()]
    says_nothing = ~runs.c.options.contains(f'"{RUN_TENANT}":', autoescape=True)
    of_job = exists().where(its, jobs.c.tenant.in_(list(texts)))
    nobodys = [~exists().where(its, jobs.c.tenant != DEFAULT_TENANT)] if "" in names else []
    return or_(*says, says_nothing & or_(of_job, *nobodys))


def _is_open(*, by_run: bool = False) -> ColumnElement[bool]:
    """Whether it waits; `by_run`: of few runs, so that the rows are found by those and not among all that wait."""
    status = approvals.c.status.concat("") if by_run else approvals.c.status
    return (status == "pending") & ~approvals.c.expires_at.between("0", canonical.now())


def _in_tab(kinds: Collection[str], tab: Tab, who: Person, *, by_run: bool = False) -> ColumnElement[bool]:
    seen = _seen_by(who)
    is_open = _is_open(by_run=by_run) & seen
    if tab == "decided":
        return ~_is_open() & seen & (approvals.c.decided_by != "policy")
    if tab == "all":
        return is_open
    if tab == "snoozed":  # few, so that they are found by what was put off and not among all that wait
        put_off = select(snoozes.c.approval_id).where(snoozes.c.name == who.name, snoozes.c.until > canonical.now())
        return approvals.c.id.in_(put_off) & _is_open(by_run=True) & seen
    snoozed = exists().where(_snooze_of(who), snoozes.c.until > canonical.now())
    return is_open & ~snoozed & _is_for(kinds, who)


def _is_for(kinds: Collection[str], who: Person) -> ColumnElement[bool]:
    """What this person may decide now, and has not agreed to; what is asked under other kinds is shown to everybody."""
    known = [_may_decide(kind, who) for kind in kinds]
    agreed = exists().where(votes.c.approval_id == approvals.c.id, func.lower(votes.c.name) == who.name.lower())
    return or_(approvals.c.authority.not_in(kinds), *known) & ~agreed


def _may_decide(text: str, who: Person) -> ColumnElement[bool]:
    authority = Authority.read(text, "An approval")
    parts: list[ColumnElement[bool]] = [approvals.c.authority == text]
    if authority.needs_names and not who.name:
        return false()
    for need in authority.requirements:
        if need.role in who.roles:
            continue
        if not need.escalate_to or need.escalate_to not in who.roles:
            return false()
        parts.append(approvals.c.requested_at <= canonical.later(-need.escalate_after))
    if authority.four_eyes:
        parts += [runs.c.requested_by != "", func.lower(runs.c.requested_by) != who.name.lower()]
    return and_(*parts)
