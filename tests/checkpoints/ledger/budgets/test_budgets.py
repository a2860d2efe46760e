"""Budgets hold: what is not there cannot be spent, by whoever, and what is not needed comes back."""

import asyncio
import re
import sqlite3
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import pytest
import warm
from sqlalchemy import Engine, event, select, update

from signoff.checkpoints import canonical
from signoff.checkpoints.ledger.budgets.amounts import Amount, Budget, CallRecord, Scope, scopes_of
from signoff.checkpoints.ledger.budgets.reservations import Hold
from signoff.checkpoints.ledger.budgets.spending import Kind
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.schema import holds, usage
from signoff.errors import BudgetExhausted, DatabaseUnusable

DOLLAR = 1_000_000_000


def scope(name: str = "run:r-1", **limits: Any) -> Scope:
    return Scope(name, Budget(**limits))


def cents(amount: int) -> Amount:
    return Amount(nusd=amount * DOLLAR // 100, steps=1)


def reserve(ledger: Ledger, *scopes: Scope, worst: Amount, seconds: float = 60, wait: float = 0) -> Hold:
    return ledger.budgets.reserve(scopes, worst, seconds=seconds, wait=wait)


def call(run: str = "r-1", role: str = "writer", **values: Any) -> CallRecord:
    return CallRecord(run_id=run, role=role, team="t", model="m", **values)


def settle(hold: Hold, spent: Amount) -> None:
    hold.settle(spent, call(nusd=spent.nusd, input_tokens=spent.tokens, ms=spent.ms))


def spent(ledger: Ledger, name: str = "run:r-1") -> int:
    return ledger.budgets.standing(name).spent.nusd


def held(ledger: Ledger, name: str = "run:r-1") -> int:
    return ledger.budgets.standing(name).held.nusd


@contextmanager
def commits() -> Iterator[list[object]]:
    """Every commit of a transaction meanwhile."""
    seen: list[object] = []

    def see(connection: object) -> None:
        seen.append(connection)

    event.listen(Engine, "commit", see)
    try:
        yield seen
    finally:
        event.remove(Engine, "commit", see)


def test_the_worst_case_is_held_and_what_was_spent_is_charged(ledger: Ledger) -> None:
    hold = reserve(ledger, scope(usd=1), scope("day:2026-01-31", usd=2), worst=cents(40))
    assert (held(ledger), held(ledger, "day:2026-01-31")) == (cents(40).nusd, cents(40).nusd)
    settle(hold, cents(10))
    for name in ("run:r-1", "day:2026-01-31"):
        assert (spent(ledger, name), held(ledger, name)) == (cents(10).nusd, 0)


@pytest.mark.parametrize(
    ("limit", "first", "worst", "what"),
    [
        ({"usd": 1}, Amount(nusd=DOLLAR // 2), Amount(nusd=DOLLAR // 2 + 1), "usd"),
        ({"tokens": 100}, Amount(tokens=60), Amount(tokens=41), "tokens"),
        ({"steps": 2}, Amount(steps=2), Amount(steps=1), "steps"),
        ({"seconds": 1.5}, Amount(ms=1500), Amount(ms=1), "seconds"),
    ],
)
def test_what_does_not_fit_is_refused_and_holds_nothing_anywhere(
    ledger: Ledger, limit: dict[str, Any], first: Amount, worst: Amount, what: str
) -> None:
    outer = scope("day:2026-01-31", usd=100)
    settle(reserve(ledger, scope(**limit), outer, worst=first), first)
    with pytest.raises(BudgetExhausted, match="Raise the budget, or stop the run") as refused:
        reserve(ledger, outer, scope(**limit), worst=worst, wait=60)
    assert (refused.value.scope, refused.value.what) == ("run:r-1", what)
    assert refused.value.limit == next(iter(limit.values()))
    assert refused.value.spent + refused.value.wanted > refused.value.limit
    assert ledger.budgets.standing("day:2026-01-31").held == Amount()


def test_exactly_what_is_left_can_be_had(ledger: Ledger) -> None:
    settle(reserve(ledger, scope(usd=1), worst=cents(60)), cents(60))
    settle(reserve(ledger, scope(usd=1), worst=cents(40)), cents(40))
    assert spent(ledger) == DOLLAR


def test_what_is_not_limited_is_not_refused_and_still_written_down(ledger: Ledger) -> None:
    hold = reserve(ledger, Scope("run:r-1", Budget()), worst=cents(10_000))
    hold.settle(cents(5000), call(nusd=cents(5000).nusd))
    assert spent(ledger) == cents(5000).nusd


def test_a_limit_set_later_counts_what_was_spent_before(ledger: Ledger) -> None:
    day = canonical.today()
    for role, amount in (("writer", 30), ("reviewer", 40)):
        hold = reserve(ledger, worst=cents(50))
        hold.settle(cents(amount), call(role=role, nusd=cents(amount).nusd, input_tokens=3, output_tokens=4, ms=5))
    for name, left in ((f"day:{day}", 30), (f"team:t@{day}", 30), ("run:r-1", 30), ("agent:r-1/writer", 70)):
        with pytest.raises(BudgetExhausted):
            reserve(ledger, scope(name, usd=1), worst=cents(left + 1))
        reserve(ledger, scope(name, usd=1), worst=cents(left)).release()
    assert ledger.budgets.standing("agent:r-1/writer").spent == Amount(nusd=cents(30).nusd, tokens=7, steps=1, ms=5)
    assert spent(ledger, "agent:r-2/writer") == 0


def test_a_scope_that_is_limited_while_a_call_is_under_way_is_charged_for_it(ledger: Ledger) -> None:
    first = reserve(ledger, scope("run:r-1", usd=1), worst=cents(50))
    reserve(ledger, scope(f"day:{canonical.today()}", usd=1), worst=cents(1)).release()
    settle(first, cents(50))
    assert spent(ledger, f"day:{canonical.today()}") == cents(50).nusd


def test_a_call_that_ends_after_midnight_is_charged_to_the_day_it_was_held_for(ledger: Ledger) -> None:
    hold = reserve(ledger, scope("day:2026-01-31", usd=1), worst=cents(50))
    settle(hold, cents(20))
    assert spent(ledger, "day:2026-01-31") == cents(20).nusd
    assert [row.name for row in ledger.spending.by("day")] == ["2026-01-31"]


def test_a_call_gets_only_the_time_that_is_left(ledger: Ledger) -> None:
    limit = scope(seconds=10)
    settle(reserve(ledger, limit, worst=Amount(ms=4000)), Amount(ms=4000))
    first = reserve(ledger, limit, worst=Amount(ms=5000))
    second = reserve(ledger, limit, scope("day:2026-01-31", seconds=60), worst=Amount(ms=5000))
    assert (first.ms, second.ms) == (5000, 1000)
    assert ledger.budgets.standing("day:2026-01-31").held.ms == 1000
    with pytest.raises(BudgetExhausted, match="held by calls under way"):
        reserve(ledger, limit, worst=Amount(ms=5000))


def test_the_limit_of_one_call_adds_nothing_up(ledger: Ledger) -> None:
    limit = scope("call", usd=0.5, seconds=2)
    for _ in range(2):
        assert reserve(ledger, limit, worst=Amount(nusd=DOLLAR // 2, ms=5000)).ms == 2000
    with pytest.raises(BudgetExhausted) as refused:
        reserve(ledger, limit, worst=cents(51))
    assert refused.value.scope == "call"


def test_a_raised_limit_lets_it_go_on_and_is_raised_once_for_each_key(ledger: Ledger) -> None:
    settle(reserve(ledger, scope(usd=1), worst=cents(100)), cents(100))
    assert ledger.budgets.raise_limit("run:r-1", Budget(usd=0.5, tokens=7), key="a-1")
    assert not ledger.budgets.raise_limit("run:r-1", Budget(usd=0.5), key="a-1")
    settle(reserve(ledger, scope(usd=1), worst=cents(50)), cents(50))
    with pytest.raises(BudgetExhausted) as refused:
        reserve(ledger, scope(usd=1), worst=cents(1))
    assert (refused.value.limit, refused.value.spent) == (1.5, 1.5)
    assert ledger.budgets.raise_limit("run:r-1", Budget(usd=0.5), key="a-2")
    assert ledger.budgets.standing("run:r-1").raised == Amount(nusd=DOLLAR, tokens=7)


def test_a_limit_can_be_raised_before_anything_was_spent(ledger: Ledger) -> None:
    ledger.budgets.raise_limit("run:r-1", Budget(usd=1), key="a-1")
    reserve(ledger, scope(usd=1), worst=cents(200))


def test_who_waits_goes_on_when_another_settles_first_come_first_served(ledger: Ledger) -> None:
    order: list[int] = []

    async def work(number: int, amount: int) -> None:
        hold = await ledger.budgets.areserve([scope(usd=1)], cents(amount), seconds=60)
        order.append(number)
        await hold.asettle(cents(1), call(nusd=cents(1).nusd))

    async def run() -> None:
        first = await ledger.budgets.areserve([scope(usd=1)], cents(90), seconds=60)
        # The small ones at the end would fit at once, but would then pass the large one for ever.
        tasks = [asyncio.create_task(work(number, amount)) for number, amount in enumerate([80, 70, 5, 5])]
        await asyncio.sleep(0)
        await ledger.budgets.areserve([scope("run:r-2", usd=1)], cents(100), seconds=60, wait=0)  # waits for nobody
        assert order == []
        await first.asettle(cents(10), call(nusd=cents(10).nusd))
        await asyncio.gather(*tasks)

    asyncio.run(run())
    assert order == [0, 1, 2, 3]
    assert spent(ledger) == cents(14).nusd


def test_a_thread_that_waits_goes_on_when_another_releases(ledger: Ledger) -> None:
    first = reserve(ledger, scope(usd=1), worst=cents(90))
    with ThreadPoolExecutor() as pool:
        second = pool.submit(reserve, ledger, scope(usd=1), worst=cents(90), wait=60)
        first.release()
        second.result(timeout=60)
    assert held(ledger) == cents(90).nusd


def test_waiting_ends_with_what_is_in_the_way(ledger: Ledger) -> None:
    reserve(ledger, scope(usd=1), worst=cents(90))
    with pytest.raises(BudgetExhausted, match=r"0\.9 held by calls under way") as refused:
        reserve(ledger, scope(usd=1), worst=cents(20), wait=0.01)
    assert refused.value.held == 0.9


def sums(ledger: Ledger, kind: Kind = "run") -> list[tuple[str, int, int, float]]:
    """Calls, how many of them are assumed, and cents."""
    return [(each.name, each.calls, each.assumed, round(100 * each.usd)) for each in ledger.spending.by(kind)]


def test_a_call_whose_time_is_over_counts_as_its_worst_case_until_it_is_settled(ledger: Ledger) -> None:
    late = reserve(ledger, scope(usd=1), worst=cents(90), seconds=0)
    for _ in range(2):  # before somebody has booked it, and after that
        assert (held(ledger), spent(ledger), sums(ledger)) == (0, cents(90).nusd, [("r-1", 1, 1, 90)])
        with pytest.raises(BudgetExhausted) as refused:
            reserve(ledger, scope(usd=1), worst=cents(11))
        assert (refused.value.spent, refused.value.held) == (0.9, 0)
        assert booked(ledger) == [("r-1", "lost", True)]
    settle(late, cents(80))
    settle(late, cents(80))
    assert (spent(ledger), sums(ledger), booked(ledger)) == (
        cents(80).nusd,
        [("r-1", 1, 0, 80)],
        [("r-1", "ok", False)],
    )
    reserve(ledger, scope(usd=1), worst=cents(20)).release()
    with pytest.raises(BudgetExhausted):
        reserve(ledger, scope(usd=1), worst=cents(21))
    assert ledger.audit.verify().ok


def test_a_run_that_calls_nothing_more_has_written_down_what_was_lost_of_it(ledger: Ledger, database: str) -> None:
    reserve(ledger, scope(usd=1), worst=cents(90), seconds=0)
    assert booked(ledger) == []
    with closing(Ledger(database)) as other:
        other.budgets.settled("r-1")
    assert booked(ledger) == [("r-1", "lost", True)]
    assert spent(ledger) == cents(90).nusd


def booked(ledger: Ledger) -> list[Any]:
    """Run, outcome and whether it is assumed, of each call that is written down."""
    with ledger.read() as connection:
        rows = connection.execute(select(usage.c.run_id, usage.c.outcome, usage.c.assumed)).all()
    return [tuple(row) for row in rows]


def test_a_lost_call_is_charged_to_every_scope_of_its_time_and_settled_late_to_those_it_is_for(
    ledger: Ledger, database: str
) -> None:
    """Also to scopes that were not limited then; and nothing of the worst case is left once it is settled."""
    day, worst = canonical.today(), Amount(cents(50).nusd, tokens=900, steps=1, ms=700)
    names = ("run:r-1", "agent:r-1/writer", f"team:t@{day}", f"day:{day}")
    whose = {"run_id": "r-1", "role": "writer", "team": "t", "model": "m", "tier": "fast", "endpoint": "api:443"}
    late = ledger.budgets.reserve([scope(usd=1)], worst, seconds=0, call=whose)
    other = Ledger(database)
    for name in names[1:]:
        with pytest.raises(BudgetExhausted):
            reserve(other, scope(name, usd=1), worst=cents(51))
    other.close()
    assert [ledger.budgets.standing(name).spent for name in names] == [worst] * 4
    with ledger.read() as connection:
        (row,) = connection.execute(select(usage)).all()
    assert {name: getattr(row, name) for name in whose} == whose
    assert (row.day, row.outcome, row.assumed, row.nusd, row.ms) == (day, "lost", True, worst.nusd, 700)
    assert ledger.audit.verify().ok
    spent = Amount(cents(3).nusd, tokens=7, steps=1, ms=5)
    late.settle(spent, call(role="reviewer", nusd=spent.nusd, input_tokens=7, ms=5))
    assert [ledger.budgets.standing(name).spent for name in names] == [spent, Amount(), spent, spent]
    assert ledger.audit.verify().ok


def test_a_lost_call_is_charged_to_the_day_it_was_held_for(ledger: Ledger) -> None:
    reserve(ledger, scope("team:t@2026-01-31", usd=1), worst=cents(50), seconds=0)
    reserve(ledger, scope(usd=1), worst=cents(1)).release()
    assert (sums(ledger, "day"), sums(ledger, "team")) == ([("2026-01-31", 1, 1, 50)], [("t", 1, 1, 50)])


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_clock_that_jumps_loses_no_call_of_a_process_that_lives(
    ledger: Ledger, database: str, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    hold = reserve(ledger, scope(usd=1), worst=cents(90))
    jumped = canonical.later(3600.0 * hours)
    monkeypatch.setattr(canonical, "now", lambda: jumped)
    other = Ledger(database)
    with pytest.raises(BudgetExhausted, match="held by calls under way"):
        reserve(other, scope(usd=1), worst=cents(20))
    assert (held(other), spent(other), sums(other), booked(other)) == (cents(90).nusd, 0, [], [])
    other.close()
    settle(hold, cents(10))
    assert sums(ledger) == [("r-1", 1, 0, 10)]


@pytest.mark.parametrize(("until", "is_lost"), [(-1, True), (60, False)])
def test_a_call_of_another_host_is_lost_once_its_time_is_over(
    ledger: Ledger, database: str, until: float, is_lost: bool
) -> None:
    late = reserve(ledger, scope(usd=1), worst=cents(90))
    with ledger.write() as connection:
        elsewhere = {"owner": "elsewhere:0:0:1:1", "until": canonical.later(until), "ends": 1.0}
        connection.execute(update(holds).values(elsewhere))
    other = Ledger(database)
    assert spent(other) == (cents(90).nusd if is_lost else 0)
    with pytest.raises(BudgetExhausted):
        reserve(other, scope(usd=1), worst=cents(20))
    assert booked(other) == ([("r-1", "lost", True)] if is_lost else [])
    other.close()
    settle(late, cents(10))
    assert (spent(ledger), sums(ledger)) == (cents(10).nusd, [("r-1", 1, 0, 10)])


def test_a_hold_that_an_older_signoff_wrote_is_booked_as_far_as_its_scopes_tell(ledger: Ledger) -> None:
    reserve(ledger, scope("agent:r-1/writer", usd=1), worst=cents(90))
    with ledger.write() as connection:
        connection.execute(update(holds).values(owner="elsewhere:0:0:1:1", until=canonical.now(), ends=0, call="{}"))
    assert sums(ledger) == [("r-1", 1, 1, 90)]
    assert sums(ledger, "agent") == [("writer", 1, 1, 90)]
    assert sums(ledger, "day") == [(canonical.today(), 1, 1, 90)]


def test_a_call_that_is_settled_twice_is_charged_once(ledger: Ledger) -> None:
    hold, record = reserve(ledger, scope(usd=1), worst=cents(50)), call(nusd=cents(50).nusd)
    hold.settle(cents(50), record)
    hold.settle(cents(50), record)
    assert spent(ledger) == cents(50).nusd
    assert ledger.spending.by("run")[0].calls == 1


@pytest.mark.parametrize("turns", range(4))
def test_what_was_granted_to_a_task_that_is_cancelled_comes_back(ledger: Ledger, turns: int) -> None:
    async def run() -> None:
        asking = asyncio.create_task(ledger.budgets.areserve([scope(usd=1)], cents(90), seconds=600))
        await asyncio.sleep(0)
        while not held(ledger):  # the loop stands still: it is granted, and the task does not know yet
            pass
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        (ended,) = await asyncio.gather(asking, return_exceptions=True)
        if isinstance(ended, Hold):
            await ended.arelease()
        await ledger.budgets.areserve([scope(usd=1)], cents(100), seconds=60, wait=10)

    asyncio.run(run())


def test_a_task_that_is_cancelled_while_it_waits_is_in_nobodys_way(ledger: Ledger) -> None:
    async def run() -> None:
        first = await ledger.budgets.areserve([scope(usd=1)], cents(50), seconds=600)
        asking = asyncio.create_task(ledger.budgets.areserve([scope(usd=1)], cents(90), seconds=600))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await ledger.budgets.areserve([scope(usd=1)], cents(50), seconds=60, wait=10)
        await first.arelease()

    asyncio.run(run())


def test_a_settlement_is_made_even_if_nobody_waits_for_it_any_more(ledger: Ledger) -> None:
    async def run() -> None:
        hold = await ledger.budgets.areserve([scope(usd=1)], cents(10), seconds=600)
        settling = asyncio.create_task(hold.asettle(cents(10), call(nusd=cents(10).nusd)))
        await asyncio.sleep(0)
        settling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await settling

    asyncio.run(run())
    ledger.budgets.close()
    assert spent(ledger) == cents(10).nusd


@pytest.mark.parametrize("amount", [Amount(nusd=-1), Amount(tokens=2**60), Amount(ms=1.5)])  # type: ignore[arg-type]  # on purpose
def test_an_amount_that_makes_no_sense_is_refused_before_anything_is_done(ledger: Ledger, amount: Amount) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        reserve(ledger, scope(usd=1), worst=amount)


def test_a_thousand_at_once_share_a_few_commits(ledger: Ledger) -> None:
    day = scope("day:2026-01-31", usd=1)

    async def work(number: int) -> None:
        run = scope(f"run:r-{number}", usd=1)
        hold = await ledger.budgets.areserve([run, day], Amount(nusd=DOLLAR // 1000), seconds=60)
        await hold.asettle(Amount(nusd=DOLLAR // 1000), call(f"r-{number}", nusd=DOLLAR // 1000))

    async def run() -> None:
        await asyncio.gather(*map(work, range(1000)))

    ledger.runs.list()
    with commits() as seen:
        asyncio.run(run())
    assert len(seen) < 60
    assert spent(ledger, "day:2026-01-31") == DOLLAR
    with ledger.read() as connection:
        assert len(connection.execute(select(usage)).all()) == 1000
        assert connection.execute(select(holds)).all() == []


@contextmanager
def statements(ledger: Ledger) -> Iterator[list[str]]:
    """Every statement that SQLite is given meanwhile for what is written, by its first word; none while it waits."""
    seen: list[str] = []
    with ledger.write() as connection:
        driver: Any = connection.connection.dbapi_connection
    # The one connection that is idle is the next to be used; those that wait for a lock try again: counted once.
    driver.set_trace_callback(lambda said: seen.append(said.split()[0]) if said[:6] != "PRAGMA" else None)
    try:
        yield seen
    finally:
        driver.set_trace_callback(None)


LIMITED = (scope("agent:r-1/writer", usd=1), scope(usd=1, tokens=10**9), scope("team:t@2026-01-31", usd=9))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_call_takes_two_commits_and_eight_statements_between_them(ledger: Ledger) -> None:
    settle(reserve(ledger, *LIMITED, worst=cents(1)), cents(1))
    with statements(ledger) as seen:
        settle(reserve(ledger, *LIMITED, worst=cents(1)), cents(1))
    assert seen.count("COMMIT") == 2
    # Reserved: the version is read and written, a hold is added. Settled: the same, a hold goes, the call is added, and
    # all of five scopes are charged.
    assert len(seen) - seen.count("COMMIT") - seen.count("BEGIN") <= 2 + 1 + 2 + 2 + 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_calls_that_are_settled_later_share_the_commit_of_the_next_reservation(ledger: Ledger) -> None:
    async def step(number: int) -> None:
        for _ in range(number):
            hold = await ledger.budgets.areserve(LIMITED, cents(1), seconds=60)
            hold.settle_later(cents(1), call(nusd=cents(1).nusd))
        await ledger.budgets.asettled("r-1")

    asyncio.run(step(1))
    with commits() as seen:
        asyncio.run(step(20))
    assert len(seen) <= 20 + 1 + 2  # where the machine was so slow that a moment passed between two of them
    assert spent(ledger) == cents(21).nusd
    assert held(ledger) == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_is_settled_later_in_a_loop_is_on_disk_after_a_moment_and_when_the_ledger_is_closed(
    ledger: Ledger,
) -> None:
    async def step() -> None:
        for place in (1, 2):
            hold = await ledger.budgets.areserve([scope(usd=1)], cents(30), seconds=60)
            hold.settle_later(cents(10), call(nusd=cents(10).nusd))
            while place == 1 and spent(ledger) < cents(10).nusd:
                await asyncio.sleep(0.005)

    asyncio.run(step())
    ledger.close()
    assert (spent(ledger), held(ledger)) == (cents(20).nusd, 0)


def test_what_is_settled_later_counts_for_the_next_reservation_of_the_process(ledger: Ledger) -> None:
    hold = reserve(ledger, scope(usd=1), worst=cents(90))
    hold.settle_later(cents(10), call(nusd=cents(10).nusd))
    reserve(ledger, scope(usd=1), worst=cents(90)).release()
    assert (spent(ledger), ledger.spending.by("run")[0].calls) == (cents(10).nusd, 1)


def test_what_is_settled_later_is_on_disk_after_a_moment_though_nothing_follows(ledger: Ledger) -> None:
    reserve(ledger, scope(usd=1), worst=cents(90)).settle_later(cents(10), call(nusd=cents(10).nusd))
    for _ in range(2_000):
        if spent(ledger) == cents(10).nusd:
            break
        threading.Event().wait(0.005)
    assert (spent(ledger), held(ledger)) == (cents(10).nusd, 0)


ENDS = """
import sys
from signoff.checkpoints.ledger.budgets import reservations
from signoff.checkpoints.ledger.budgets.amounts import Amount, Budget, CallRecord, Scope
from signoff.checkpoints.ledger.ledger import Ledger

reservations._LONGEST_ALONG = 3600.0
ledger = Ledger(sys.argv[1])
hold = ledger.budgets.reserve([Scope("run:r-1", Budget(usd=1))], Amount(nusd=900_000_000), seconds=60)
hold.settle_later(Amount(nusd=100_000_000), CallRecord(run_id="r-1", nusd=100_000_000))
"""


@pytest.mark.parametrize("ending", ["", "raise SystemExit(0)"])
def test_what_was_settled_for_later_is_on_disk_when_its_process_has_ended(
    ledger: Ledger, database: str, ending: str
) -> None:
    done = warm.run([sys.executable, "-c", ENDS + ending, database], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (spent(ledger), held(ledger), ledger.spending.by("run")[0].assumed) == (cents(10).nusd, 0, 0)


def test_what_was_settled_for_later_is_on_disk_when_the_ledger_is_closed(ledger: Ledger) -> None:
    reserve(ledger, scope(usd=1), worst=cents(90)).settle_later(cents(10), call(nusd=cents(10).nusd))
    ledger.close()
    assert spent(ledger) == cents(10).nusd


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_could_not_be_written_is_told_and_written_once_it_can_be(database: str) -> None:
    ledger = Ledger(database, busy_seconds=0.1)
    hold = reserve(ledger, scope(usd=1), worst=cents(90))
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        hold.settle_later(cents(10), call(nusd=cents(10).nusd))
        with pytest.raises(DatabaseUnusable, match="locked"):
            asyncio.run(ledger.budgets.asettled("r-1"))
        other.execute("ROLLBACK")
    asyncio.run(ledger.budgets.asettled("r-1"))
    assert (spent(ledger), held(ledger), ledger.spending.by("run")[0].calls) == (cents(10).nusd, 0, 1)
    ledger.close()


def test_threads_and_loops_may_come_at_once(ledger: Ledger) -> None:
    def work(number: int) -> None:
        async def run() -> None:
            hold = await ledger.budgets.areserve([scope(usd=1)], cents(30), seconds=60)
            await hold.asettle(cents(2), call(nusd=cents(2).nusd))

        if number % 2:
            asyncio.run(run())
        else:
            settle(reserve(ledger, scope(usd=1), worst=cents(30), wait=60), cents(2))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, range(30)))
    assert spent(ledger) == cents(60).nusd


def test_closing_the_ledger_ends_the_thread_and_the_next_use_starts_another(ledger: Ledger) -> None:
    settle(reserve(ledger, scope(usd=1), worst=cents(10)), cents(10))
    ledger.close()
    assert "budgets" not in {thread.name for thread in threading.enumerate()}
    settle(reserve(ledger, scope(usd=1), worst=cents(10)), cents(10))
    assert spent(ledger) == cents(20).nusd


def test_who_waits_when_the_ledger_is_closed_is_told(ledger: Ledger) -> None:
    async def run() -> None:
        await ledger.budgets.areserve([scope(usd=1)], cents(90), seconds=60)
        waiting = asyncio.create_task(ledger.budgets.areserve([scope(usd=1)], cents(90), seconds=60))
        await asyncio.sleep(0)
        await asyncio.to_thread(ledger.close)
        with pytest.raises(DatabaseUnusable, match="closed"):
            await waiting

    asyncio.run(run())


def test_the_scopes_of_a_call_are_held_from_the_agent_to_the_day(ledger: Ledger) -> None:
    limits = {level: Budget(usd=1) for level in ("agent", "run", "team", "day")}
    scopes = scopes_of(run_id="r/1", role="writer", team="t@x", limits=limits)
    hold = ledger.budgets.reserve(scopes, cents(10), seconds=60)
    hold.settle(cents(4), CallRecord(run_id="r/1", role="writer", team="t@x", nusd=cents(4).nusd))
    assert [spent(ledger, each.name) for each in scopes] == [cents(4).nusd] * 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("usd=-1", "usd must be 0 or more"),
        ("$-1", "usd must be 0 or more"),
        ("steps=1.5", "steps must be a whole number"),
        ("tokens=many", "tokens must be a whole number"),
        ("seconds=inf", "seconds must be a number"),
        ("$9000000", "usd must be 1,000,000"),
        ("five", "'five' is not $AMOUNT"),
        ("steps=1 steps=2", "once"),
    ],
)
def test_a_text_that_is_no_budget_is_told_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)) as told:
        Budget.read(text)
    assert "\n" not in str(told.value)
    assert "validation" not in str(told.value)


def test_a_budget_says_one_step_and_two_steps_and_none_limits_nothing() -> None:
    assert str(Budget.read("$2 steps=1 tokens=1")) == "$2, 1 token, 1 step"
    assert str(Budget.read("tokens=2_000 steps=2 seconds=1")) == "2,000 tokens, 2 steps, 1.0 s"
    assert not Budget.read(" None ").is_limited
