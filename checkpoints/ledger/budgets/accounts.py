"""Accounts: what is spent and held of every budget, as the transaction at hand sees it, and a row for each call.

What is in memory and what the tables hold are told together, and so the file is longer than most.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from signoff.checkpoints import canonical
from signoff.checkpoints.canonical import canonical_json, read_json
from signoff.checkpoints.db.prepared import Lookup, Prepared
from signoff.checkpoints.errors import BudgetExhausted, Tampered
from signoff.checkpoints.ledger.budgets.amounts import LOST, NOTHING, Amount, CallRecord, Limits, names_of
from signoff.checkpoints.ledger.schema import BOOKS_PAGE, budgets, holds, read_meta, usage, write_meta
from signoff.checkpoints.process_identity import standing

MS: Final = 3
_UNITS: Final = (("usd", 1e9), ("tokens", 1), ("steps", 1), ("seconds", 1e3))
"""What people call the numbers of an Amount, and how many of the ledger's are one of theirs."""

_MOST_KEPT: Final = 20_000

_ACCOUNTS: Final = Lookup(select(budgets), budgets.c.scope)
_NEW_ACCOUNT: Final = Prepared(insert(budgets), columns=("scope", *Amount._fields))
_NEW_HOLD: Final = Prepared(insert(holds))
_DELETE_HOLD: Final = Prepared(delete(holds).where(holds.c.number == bindparam("number")))
_CHARGE: Final = Lookup(
    update(budgets).values({name: budgets.c[name] + bindparam(f"more_{name}") for name in Amount._fields}),
    budgets.c.scope,
)
_NEW_CALL: Final = Prepared(insert(usage))
_WRITTEN: Final = Lookup(
    select(*(usage.c[name] for name in "id outcome day run_id team role".split())).where(
        usage.c.run_id == bindparam("run")
    ),
    usage.c.id,
)
_DELETE_CALL: Final = Prepared(delete(usage).where(usage.c.run_id == bindparam("run"), usage.c.id == bindparam("call")))
TOTALS: Final = (
    func.sum(usage.c.nusd),
    func.sum(usage.c.input_tokens + usage.c.output_tokens),
    func.count(),
    func.sum(usage.c.ms),
)
_SUMS: Final = {
    first.name: Lookup(select(first, second, *TOTALS).group_by(first, second), first)
    for first, second in ((usage.c.run_id, usage.c.role), (usage.c.day, usage.c.team))
}


class Held(NamedTuple):
    """What is held for one call."""

    scopes: tuple[str, ...]
    worst: Amount
    owner: str
    until: str
    ends: float
    """When its time is over, by `time.monotonic` of its boot; 0 as long as its process lives."""
    call: str
    """Whose call it is, since when, and of which model: JSON, by the columns of `usage`."""
    number: int
    """What its row is found by."""


_TOLD: Final = ("at", "run_id", "team", "role", "tier", "model", "endpoint")


class LostCall(NamedTuple):
    """A call that may have been sent, and that nobody is left to settle: it counts as its worst case."""

    scopes: tuple[str, ...]
    spent: Amount
    record: CallRecord

    def is_of(self, name: str) -> bool:
        """Whether this scope is charged for it."""
        return name in self.scopes or name in names_of(self.record)


def lost_amount(worst: Amount) -> Amount:
    """What is charged for a call that was lost, of what was held for it."""
    return worst._replace(steps=1)


def _lost(hold: str, held: Held) -> LostCall:
    what = "What is held"
    told = {name: value for name, value in read_json(held.call, dict, what).items() if name in _TOLD}
    told = {"day": str(told.get("at", canonical.now()))[:10]} | _told_by(held.scopes) | told
    if not all(isinstance(value, str) for value in told.values()):
        raise Tampered(what, f"{held.call!r:.60} is the call it is for")
    spent = lost_amount(held.worst)
    # The tokens too, lest an account that is opened later misses them.
    used: dict[str, Any] = {"output_tokens": spent.tokens, "nusd": spent.nusd, "ms": spent.ms}
    record = CallRecord(id=hold, outcome=LOST, assumed=True, **used, **told)
    return LostCall(held.scopes, spent, record)


def _told_by(scopes: Iterable[str]) -> dict[str, str]:
    """Whose call it is, as far as the names of its scopes tell."""
    told: dict[str, str] = {}
    for name in scopes:
        column, value, second = columns_of(name) or ("", "", None)
        if column:
            told[column] = value
        if second is not None:
            told["role" if column == "run_id" else "team"] = second
    return told


def run_of(scopes: Iterable[str], call: Mapping[str, str]) -> str:
    """The run whose call would be written down as lost, of what is held from these scopes for this call."""
    return str(call.get("run_id", _told_by(scopes).get("run_id", "")))


class Room(NamedTuple):
    """What there is of one unit of a budget."""

    unit: int
    limit: int
    spent: int
    held: int
    wanted: int

    @property
    def left(self) -> int:
        return self.limit - self.spent - self.held - self.wanted


class Account(NamedTuple):
    """What is spent of one budget, and what people added to it, by key."""

    spent: Amount
    raises: dict[str, Amount]

    @property
    def raised(self) -> Amount:
        return sum(self.raises.values(), NOTHING)


@dataclass(frozen=True)
class Standing:
    """Where one scope stands."""

    spent: Amount
    held: Amount
    """For calls under way."""
    raised: Amount
    """What people added to its limit."""


class Accounts:
    """A copy of the tables that is kept as long as nobody else changes them, which a version in the database tells.

    Changes are made in the copy at once, and in the tables by `write`; `end` writes the next version.
    """

    def __init__(self, connection: Connection) -> None:
        self.version = read_meta(connection, BOOKS_PAGE)
        self._accounts: dict[str, Account] = {}
        self._holds = _read_holds(connection)
        self._sums: dict[str, Amount] = {}
        for held in self._holds.values():
            self._count(held.scopes, held.worst)
        self._is_changed = False
        self._forget_changes()

    def _forget_changes(self) -> None:
        self._charges: dict[str, Amount] = {}
        self._given: dict[str, Held] = {}
        self._gone: list[int] = []
        self._raised: set[str] = set()

    def is_current(self, connection: Connection) -> bool:
        """Whether the tables are as this copy has them."""
        return read_meta(connection, BOOKS_PAGE) == self.version and len(self._accounts) < _MOST_KEPT

    def open(self, connection: Connection, names: Iterable[str]) -> None:
        """Look up these scopes; one that was never limited begins with what its calls have used so far."""
        wanted = [name for name in dict.fromkeys(names) if name not in self._accounts]
        if wanted:
            self.write(connection)
        for scope, *kept in _ACCOUNTS.rows(connection, wanted):
            self._accounts[scope] = account_of(scope, *kept)
        fresh = [name for name in wanted if name not in self._accounts]
        if fresh:
            spent = spent_so_far(connection, fresh)
            _NEW_ACCOUNT.run_for(connection, [{"scope": name, **spent[name]._asdict()} for name in fresh])
            self._accounts.update((name, Account(spent[name], {})) for name in fresh)

    def fit(self, scopes: Mapping[str, Limits], worst: Amount) -> tuple[int, BudgetExhausted | None]:
        """The milliseconds that can be granted; or what is in the way as long as others hold what they hold.

        BudgetExhausted is raised if what is spent alone is in the way.
        """
        ms, in_the_way = worst.ms, None
        for name, limits in scopes.items():
            account, held = self._accounts[name], self._sums.get(name, NOTHING)
            spent, raised = account.spent, account.raised
            for unit, limit in limits:
                # Any time that is left will do: the call is cut off when it is over.
                wanted = 1 if unit == MS else worst[unit]
                free = limit + raised[unit] - spent[unit]
                if wanted > free - held[unit]:
                    on_top = held[unit] if wanted <= free else 0
                    error = exhausted(name, unit, limit + raised[unit], spent[unit], worst[unit], on_top)
                    if wanted > free:
                        raise error
                    in_the_way = in_the_way or error
                elif unit == MS:
                    ms = min(ms, free - held[unit])
        return ms, in_the_way

    def room(self, name: str, limits: Limits, worst: Amount) -> list[Room]:
        """What is left of each limit of a scope that was looked up, once this is held as well."""
        account, held = self._accounts[name], self._sums.get(name, NOTHING)
        return [
            Room(unit, limit + account.raised[unit], account.spent[unit], held[unit], 1 if unit == MS else worst[unit])
            for unit, limit in limits
        ]

    def runs_that_hold(self) -> set[str]:
        """The runs for which a call is under way."""
        return {name.removeprefix("run:") for name in self._sums if name.startswith("run:")}

    def hold(self, hold: str, held: Held) -> None:
        self._holds[hold] = self._given[hold] = held
        self._count(held.scopes, held.worst)

    def give_back(self, hold: str) -> None:
        """Hold it no longer, if it still is."""
        if (found := self._holds.pop(hold, None)) is not None:
            self._count(found.scopes, NOTHING - found.worst)
            self._gone.append(found.number)

    def is_held(self, hold: str) -> bool:
        return hold in self._holds

    def charge(self, names: Iterable[str], spent: Amount) -> None:
        """Add what was spent to those of these scopes that have an account."""
        for name in names:
            self._charges[name] = self._charges.get(name, NOTHING) + spent
            if account := self._accounts.get(name):
                self._accounts[name] = account._replace(spent=account.spent + spent)

    def raise_limit(self, name: str, by: Amount, key: str) -> bool:
        """Add to the limit of a scope that was looked up; False if that was done before with this key."""
        account = self._accounts[name]
        if key in account.raises:
            return False
        self._accounts[name] = account._replace(raises={**account.raises, key: by})
        self._raised.add(name)
        return True

    def raises_of(self, name: str) -> Mapping[str, Amount]:
        """What people added to the limit of a scope that was looked up, by key."""
        return self._accounts[name].raises

    def lost(self, owner: str) -> list[LostCall]:
        """The calls that nobody is left to settle. `owner` is this process."""
        return _lost_of((item for item in self._holds.items() if item[0] not in self._given), owner)

    def write(self, connection: Connection) -> None:
        """Write what has changed into the tables."""
        self._is_changed |= bool(self._gone or self._charges or self._raised or self._given)
        if self._gone:
            _DELETE_HOLD.run_for(connection, [{"number": number} for number in self._gone])
        if self._charges:
            alike = defaultdict[Amount, list[str]](list)
            for name, spent in self._charges.items():
                alike[spent].append(name)
            for spent, names in alike.items():
                _CHARGE.change(connection, names, **{f"more_{unit}": each for unit, each in spent._asdict().items()})
        for name in self._raised:
            raises = canonical_json(self._accounts[name].raises)
            connection.execute(update(budgets).where(budgets.c.scope == name).values(raised=raises))
        if self._given:
            _NEW_HOLD.run_for(connection, [_row(hold, held) for hold, held in self._given.items()])
        self._forget_changes()

    def end(self, connection: Connection) -> None:
        """Write the next version if anything was written, so that other processes read the tables again."""
        if self._is_changed:
            self.version, self._is_changed = secrets.token_hex(8), False
            write_meta(connection, BOOKS_PAGE, self.version)

    def _count(self, scopes: Iterable[str], change: Amount) -> None:
        for name in scopes:
            left = self._sums.get(name, NOTHING) + change
            self._sums[name] = left
            if left == NOTHING:
                del self._sums[name]


def exhausted(
    name: str, unit: int, limit: int, spent: int, wanted: int, held: int = 0, *, promised: int = 0, runs: int = 0
) -> BudgetExhausted:
    """The error, in the units that people use."""
    said, scale = _UNITS[unit]
    amounts = limit / scale, spent / scale, wanted / scale, held / scale
    return BudgetExhausted(name, said, *amounts, promised=promised / scale, runs=runs)


def account_of(scope: str, nusd: int, tokens: int, steps: int, ms: int, raised: str) -> Account:
    """The account in a row of `budgets`."""
    what = f"The budget {scope}"
    raises = {key: _read_amount(by, what) for key, by in read_json(raised, dict, what).items()}
    return Account(Amount(nusd, tokens, steps, ms), raises)


def _read_amount(kept: Any, what: str) -> Amount:
    if not isinstance(kept, list) or len(kept) != len(Amount._fields) or not all(isinstance(one, int) for one in kept):
        raise Tampered(what, f"{kept!r:.60} was added to it")
    return Amount(*kept)


def standing_of(connection: Connection, name: str, owner: str) -> Standing:
    rows = _ACCOUNTS.rows(connection, [name])
    account = account_of(*rows[0]) if rows else Account(spent_so_far(connection, [name])[name], {})
    found = _read_holds(connection)
    lost = _lost_of(found.items(), owner)
    gone = {call.record.id for call in lost}
    held = sum((held.worst for hold, held in found.items() if name in held.scopes and hold not in gone), NOTHING)
    spent = sum((call.spent for call in lost if call.is_of(name)), account.spent)
    return Standing(spent, held, account.raised)


def lost_calls(connection: Connection, owner: str) -> list[CallRecord]:
    """The calls that nobody is left to settle, as they will be written down. `owner` is this process."""
    return [call.record for call in _lost_of(_read_holds(connection).items(), owner)]


def spent_so_far(connection: Connection, names: Sequence[str]) -> dict[str, Amount]:
    """What the calls of these scopes have used, by the rows that were written of them."""
    keys = {name: columns_of(name) for name in names}
    found: dict[tuple[str, str, str | None], Amount] = {}
    for column, query in _SUMS.items():
        values = sorted({key[1] for key in keys.values() if key is not None and key[0] == column})
        for value, second, *sums in query.rows(connection, values):
            amount = Amount(*map(int, sums))
            for key in ((column, value, second), (column, value, None)):
                found[key] = found.get(key, NOTHING) + amount
    return {name: NOTHING if key is None else found.get(key, NOTHING) for name, key in keys.items()}


def write_calls(
    connection: Connection, calls: Sequence[CallRecord], doubted: Mapping[str, Collection[str]]
) -> dict[str, CallRecord | None]:
    """Write down, once, those that are not yet; their ids, each with what stood there of a call given up for lost.

    Such a call was settled after all, by a process that had been stopped, say; that stands. `doubted` may be there, by
    the runs whose calls they may be.
    """
    fresh = {call.id: call for call in reversed(calls)}
    written = dict.fromkeys(fresh)
    there = [row for run, ids in doubted.items() for row in _WRITTEN.rows(connection, list(ids), run=run)]
    for found, outcome, day, run_id, team, role in there:
        if outcome == LOST != fresh[found].outcome:
            written[found] = CallRecord(id=found, at="", day=day, run_id=run_id, team=team, role=role)
        else:
            written.pop(found, None)
    gone = [{"run": lost.run_id, "call": found} for found, lost in written.items() if lost is not None]
    _DELETE_CALL.run_for(connection, gone)
    _NEW_CALL.run_for(connection, [vars(fresh[found]) for found in written])
    return written


def columns_of(name: str) -> tuple[str, str, str | None] | None:
    """The column of `usage` that tells a scope's calls, its value, and the role or team; None for an unknown kind."""
    kind, _, rest = name.partition(":")
    if kind == "agent":
        run, _, role = rest.rpartition("/")
        return "run_id", run, role
    if kind == "team":
        team, _, day = rest.rpartition("@")
        return "day", day, team
    return {"run": ("run_id", rest, None), "day": ("day", rest, None)}.get(kind)


def _lost_of(found: Iterable[tuple[str, Held]], owner: str) -> list[LostCall]:
    """The calls whose process is surely gone, or whose time is over. `owner` is this process.

    Time is told by the clock that all processes of a boot share and that nobody sets; only where nobody can tell
    whether a process lives, on another host, by the clock on the wall.
    """
    now, clock, stands = canonical.now(), time.monotonic(), {owner: "alive"}
    lost = []
    for hold, held in found:
        process = held.owner
        if process not in stands:
            stands[process] = standing(process)
        is_over = 0 < held.ends <= clock if stands[process] == "alive" else held.until <= now
        if is_over or stands[process] == "gone":
            lost.append(_lost(hold, held))
    return lost


def _read_holds(connection: Connection) -> dict[str, Held]:
    found = {}
    for row in connection.execute(select(holds)):
        worst, scopes = Amount(row.nusd, row.tokens, row.steps, row.ms), read_json(row.scopes, list, "What is held")
        found[row.id] = Held(
            tuple(map(str, scopes)), worst, str(row.owner), str(row.until), row.ends, str(row.call), row.number
        )
    return found


def _row(hold: str, held: Held) -> dict[str, Any]:
    scopes, worst, *rest = held
    others = zip(held._fields[2:], rest, strict=True)
    return {"id": hold, "scopes": json.dumps(scopes), **worst._asdict(), **dict(others)}
