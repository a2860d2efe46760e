"""The books: what is spent and held of every budget, as the transaction at hand sees it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from signoff.checkpoints import clock
from signoff.checkpoints.ledger.schema import budgets, holds, ledger_meta, plain
from signoff.checkpoints.process_identity import is_gone

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.budgets.usage_log import Spending

Units = tuple[int, int, int, int]
"""Nano-dollars, tokens, steps and milliseconds."""

UNITS: Final = ("nusd", "tokens", "steps", "ms")
NOTHING: Final[Units] = (0, 0, 0, 0)

_BY: Final[tuple[Literal["run_id", "day"], ...]] = ("run_id", "day")
_PAGE: Final = "books_page"
_AT_ONCE: Final = 500
_MOST_KEPT: Final = 20_000

# Statements that every call needs are built once: building them costs SQLAlchemy more than the database takes for them.
_PAGE_NOW: Final = select(ledger_meta.c.value).where(ledger_meta.c.key == _PAGE)
_TURN_PAGE: Final = update(ledger_meta).where(ledger_meta.c.key == _PAGE).values(value=bindparam("page"))
_FIRST_PAGE: Final = insert(ledger_meta).values(key=_PAGE, value=bindparam("page"))
_ACCOUNTS: Final = select(budgets).where(budgets.c.scope.in_(bindparam("names", expanding=True)))
_NEW_ACCOUNT: Final = insert(budgets)
_NEW_HOLD: Final = insert(holds)
_DELETE_HOLD: Final = delete(holds).where(holds.c.id == bindparam("hold"))
_CHARGE: Final = (
    update(budgets)
    .where(budgets.c.scope == bindparam("name"))
    .values({name: budgets.c[name] + bindparam(f"more_{name}") for name in UNITS})
)


class Held(NamedTuple):
    """What is held for one call."""

    scopes: tuple[str, ...]
    worst: Units
    owner: str
    until: str


class Account(NamedTuple):
    """What is spent of one budget, and what people added to it, by key."""

    spent: Units
    raises: dict[str, Units]

    @property
    def raised(self) -> Units:
        """What people added to its limit."""
        return total(self.raises.values())


class Books:
    """A copy of the tables that is kept as long as nobody else changes them: the number of the page tells.

    Changes are made in the copy at once, and in the tables by `write`; `turn` the page at the end.
    """

    def __init__(self, connection: Connection, spending: Spending) -> None:
        self._spending = spending
        self.page = _page(connection)
        self._accounts: dict[str, Account] = {}
        self._holds = {row.id: _held(row) for row in connection.execute(select(holds))}
        self._sums: dict[str, Units] = {}
        for held in self._holds.values():
            self._count(held, 1)
        self._is_changed = False
        self._forget_changes()

    def _forget_changes(self) -> None:
        self._charges: dict[str, Units] = {}
        self._given: dict[str, Held] = {}
        self._gone: list[str] = []
        self._raised: set[str] = set()

    def is_current(self, connection: Connection) -> bool:
        """Whether the tables are as this copy has them."""
        return _page(connection) == self.page and len(self._accounts) < _MOST_KEPT

    def open(self, connection: Connection, names: Iterable[str]) -> None:
        """Look up these scopes; one that was never limited begins with what its calls have used so far."""
        wanted = [name for name in dict.fromkeys(names) if name not in self._accounts]
        for start in range(0, len(wanted), _AT_ONCE):
            for row in connection.execute(_ACCOUNTS, {"names": wanted[start : start + _AT_ONCE]}):
                self._accounts[row.scope] = account_of(row)
        fresh = [name for name in wanted if name not in self._accounts]
        if fresh:
            spent = spent_so_far(connection, self._spending, fresh)
            rows = [{"scope": name, **dict(zip(UNITS, spent[name], strict=True))} for name in fresh]
            connection.execute(_NEW_ACCOUNT, rows)
            self._accounts.update((name, Account(spent[name], {})) for name in fresh)

    def account(self, name: str) -> Account:
        """What is spent of a scope that was looked up."""
        return self._accounts[name]

    def held(self, name: str) -> Units:
        """What is held of a scope."""
        return self._sums.get(name, NOTHING)

    def hold(self, hold: str, held: Held) -> None:
        """Hold an amount."""
        self._holds[hold] = self._given[hold] = held
        self._count(held, 1)

    def give_back(self, hold: str) -> None:
        """Hold it no longer, if it still is."""
        found = self._holds.pop(hold, None)
        if found is not None:
            self._count(found, -1)
            self._gone.append(hold)

    def charge(self, names: Iterable[str], spent: Units) -> None:
        """Add what was spent to those of these scopes that have an account."""
        for name in names:
            self._charges[name] = added(self._charges.get(name, NOTHING), spent)
            if name in self._accounts:
                account = self._accounts[name]
                self._accounts[name] = account._replace(spent=added(account.spent, spent))

    def raise_limit(self, name: str, by: Units, key: str) -> bool:
        """Add to the limit of a scope that was looked up; False if that was done before with this key."""
        account = self._accounts[name]
        if key in account.raises:
            return False
        self._accounts[name] = account._replace(raises={**account.raises, key: by})
        self._raised.add(name)
        return True

    def sweep(self, owner: str) -> bool:
        """Give back what has expired, and what dead processes held; whether there was any. `owner` is this process."""
        dead = lapsed((item for item in self._holds.items() if item[0] not in self._given), owner)
        for hold in dead:
            self.give_back(hold)
        return bool(dead)

    def write(self, connection: Connection) -> None:
        """Write what has changed into the tables."""
        self._is_changed |= bool(self._gone or self._charges or self._raised or self._given)
        if self._gone:
            connection.execute(_DELETE_HOLD, [{"hold": hold} for hold in self._gone])
        if self._charges:
            connection.execute(
                _CHARGE,
                [
                    {"name": name, "more_nusd": m[0], "more_tokens": m[1], "more_steps": m[2], "more_ms": m[3]}
                    for name, m in self._charges.items()
                ],
            )
        for name in self._raised:
            raises = json.dumps(self._accounts[name].raises)
            connection.execute(update(budgets).where(budgets.c.scope == name).values(raised=raises))
        if self._given:
            connection.execute(_NEW_HOLD, [_row(hold, held) for hold, held in self._given.items()])
        self._forget_changes()

    def turn(self, connection: Connection) -> None:
        """Turn the page if anything was written, so that other processes read the tables again."""
        if self._is_changed:
            self.page, self._is_changed = _turn_page(connection), False

    def _count(self, held: Held, sign: int) -> None:
        change = held.worst if sign > 0 else _negative(held.worst)
        for name in held.scopes:
            left = added(self._sums.get(name, NOTHING), change)
            self._sums[name] = left
            if left == NOTHING:
                del self._sums[name]


def added(one: Units, other: Units) -> Units:
    """The sum of both."""
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]


def total(amounts: Iterable[Units]) -> Units:
    """The sum of all."""
    found = NOTHING
    for amount in amounts:
        found = added(found, amount)
    return found


def account_of(row: Any) -> Account:
    """An account as the table has it."""
    raises = {key: (by[0], by[1], by[2], by[3]) for key, by in json.loads(row.raised).items()}
    return Account((row.nusd, row.tokens, row.steps, row.ms), raises)


def read_holds(connection: Connection, name: str, owner: str) -> Units:
    """What is held of one scope, of calls that are under way."""
    found = {row.id: _held(row) for row in connection.execute(select(holds))}
    dead = set(lapsed(found.items(), owner))
    return total(held.worst for hold, held in found.items() if name in held.scopes and hold not in dead)


def lapsed(found: Iterable[tuple[str, Held]], owner: str) -> list[str]:
    """The holds that have expired, and those whose process is surely gone."""
    now, gone = clock.now(), {owner: False}
    dead = []
    for hold, held in found:
        if held.owner not in gone:
            gone[held.owner] = is_gone(held.owner)
        if gone[held.owner] or held.until <= now:
            dead.append(hold)
    return dead


def spent_so_far(connection: Connection, spending: Spending, names: Sequence[str]) -> dict[str, Units]:
    """What the calls of these scopes have used, by the rows that were written of them."""
    keys = {name: _columns_of(name) for name in names}
    found: dict[tuple[str, str, str | None], Units] = {}
    for column in _BY:
        values = sorted({key[1] for key in keys.values() if key is not None and key[0] == column})
        for value, second, *sums in spending.sums(connection, column, values):
            amount = (int(sums[0]), int(sums[1]), int(sums[2]), int(sums[3]))
            for key in ((column, value, second), (column, value, None)):
                found[key] = added(found.get(key, NOTHING), amount)
    return {name: NOTHING if key is None else found.get(key, NOTHING) for name, key in keys.items()}


def _columns_of(name: str) -> tuple[str, str, str | None] | None:
    """The column of `usage` that tells a scope's calls, its value, and the role or team; None for an unknown kind."""
    kind, _, rest = name.partition(":")
    if kind == "agent":
        run, _, role = rest.rpartition("/")
        return "run_id", run, role
    if kind == "team":
        team, _, day = rest.rpartition("@")
        return "day", day, team
    return {"run": ("run_id", rest, None), "day": ("day", rest, None)}.get(kind)


def _held(row: Any) -> Held:
    return Held(tuple(json.loads(row.scopes)), (row.nusd, row.tokens, row.steps, row.ms), row.owner, row.until)


def _row(hold: str, held: Held) -> dict[str, Any]:
    values = dict(zip(UNITS, held.worst, strict=True))
    return {"id": hold, "scopes": json.dumps(held.scopes), **values, "owner": held.owner, "until": held.until}


def _negative(amount: Units) -> Units:
    return -amount[0], -amount[1], -amount[2], -amount[3]


def _page(connection: Connection) -> str:
    return plain(connection.execute(_PAGE_NOW).scalar() or "")


def _turn_page(connection: Connection) -> str:
    page = secrets.token_hex(8)
    if not connection.execute(_TURN_PAGE, {"page": page}).rowcount:
        connection.execute(_FIRST_PAGE, {"page": page})
    return page
