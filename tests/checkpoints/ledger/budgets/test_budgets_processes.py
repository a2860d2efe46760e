"""Budgets that several processes share, and that outlive them."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import warm
from sqlalchemy import func, select, update

from signoff.checkpoints.ledger.budgets.amounts import Amount, Budget, Scope
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.schema import holds, usage
from signoff.errors import BudgetExhausted

DOLLAR = 1_000_000_000
DAY = Scope("day:2026-01-31", Budget(usd=1))
MOST = 5_000_000
"""The worst that one job may cost, in nano-dollars."""

HOLD = """
import sys
from signoff.checkpoints.ledger.budgets.amounts import *
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.budgets.amounts import CallRecord
ledger = Ledger(sys.argv[1])
day = Scope("day:2026-01-31", Budget(usd=1))
held = [ledger.budgets.reserve([day], Amount(nusd=int(sys.argv[3])), seconds=600) for _ in range(int(sys.argv[2]))]
print("holding", flush=True)
sys.stdin.readline()
for hold in held:
    hold.settle(Amount(nusd=1, steps=1), CallRecord(nusd=1))
"""

JOBS = """
import asyncio, random, sys
from signoff.checkpoints.ledger.budgets.amounts import *
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.budgets.amounts import CallRecord
from signoff.errors import BudgetExhausted

database, jobs, most, seed = sys.argv[1], *map(int, sys.argv[2:])
ledger, chance = Ledger(database), random.Random(seed)
day = Scope("day:2026-01-31", Budget(usd=1))

async def job(number):
    worst = chance.randint(most // 10, most)
    run = Scope(f"run:{seed}-{number}", Budget(usd=0.01, steps=2))
    try:
        hold = await ledger.budgets.areserve([run, day], Amount(nusd=worst, steps=1), seconds=600, wait=300)
    except BudgetExhausted as error:
        return [error.scope]
    await asyncio.sleep(chance.random() / 20)  # the call
    spent = chance.randint(worst // 4, worst)
    await hold.asettle(Amount(nusd=spent, steps=1), CallRecord(run_id=run.name[4:], model="m", nusd=spent))
    return []

async def main():
    return sum(await asyncio.gather(*map(job, range(jobs))), [])

refused = asyncio.run(main())
print(len(refused), *sorted(set(refused)))
"""


@pytest.fixture
def start(database: str) -> Iterator[Callable[..., warm.WarmProcess]]:
    """Starts processes, and ends those that are left."""
    with ExitStack() as stack:

        def run(code: str, *words: object) -> warm.WarmProcess:
            command = [sys.executable, "-c", code, database, *map(str, words)]
            process = warm.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield run


def line(process: warm.WarmProcess) -> str:
    assert process.stdout is not None
    return str(process.stdout.readline())


class Observer:
    """Looks all the time how much of the dollar is spent or held: everything in the tables is."""

    def __init__(self, database: str) -> None:
        self._ledger, self._stop = Ledger(database), threading.Event()
        self.looks, self.most = 0, 0
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Observer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._ledger.close()

    def _look(self) -> None:
        held, spent = (select(func.coalesce(func.sum(table.c.nusd), 0)) for table in (holds, usage))
        while not self._stop.wait(0.01):
            with self._ledger.read() as connection:
                amount = int(connection.execute(held).scalar_one()) + int(connection.execute(spent).scalar_one())
            self.looks, self.most = self.looks + 1, max(self.most, amount)


def test_a_thousand_jobs_in_several_processes_share_a_dollar_though_some_are_killed(
    database: str, ledger: Ledger, start: Any
) -> None:
    share_a_dollar(database, ledger, start, processes=3, jobs=334, rounds=1, victims=1)


@pytest.mark.hunt
@pytest.mark.parametrize("seed", range(5))
def test_many_thousand_jobs_share_a_dollar_though_many_are_killed(
    database: str, ledger: Ledger, start: Any, seed: int
) -> None:
    share_a_dollar(database, ledger, start, processes=8, jobs=1000, rounds=4, victims=3, seed=100 * seed)


def share_a_dollar(
    database: str, ledger: Ledger, start: Any, *, processes: int, jobs: int, rounds: int, victims: int, seed: int = 0
) -> None:
    """Each round some processes are killed with a part of the dollar in their hands, which is charged then."""
    ledger.runs.list()
    with Observer(database) as observer:
        for number in range(rounds):
            doomed = [start(HOLD, 20, MOST // (4 * rounds)) for _ in range(victims)]
            assert [line(process) for process in doomed] == ["holding\n"] * victims
            most = MOST if number == rounds - 1 else MOST // 17  # only the last round uses up what is left
            at_work = [start(JOBS, jobs // rounds, most, seed + 10 * number + each) for each in range(processes)]
            while ledger.budgets.standing(DAY).spent.nusd < (number + 1) * DOLLAR // (2 * rounds + 1):
                threading.Event().wait(0.01)
            for process in doomed:
                process.kill()
                process.wait()
            refused = [line(process).split() for process in at_work]
    assert observer.looks > 10
    assert observer.most <= DOLLAR
    standing = ledger.budgets.standing(DAY)
    assert standing.held == Amount()
    assert DOLLAR - MOST < standing.spent.nusd <= DOLLAR
    assert sum(spent.usd for spent in ledger.spending.by("run")) == pytest.approx(standing.spent.nusd / 1e9, abs=1e-12)
    assert sum(int(count) for count, *_ in refused) > 0
    assert {scope for _, *scopes in refused for scope in scopes} == {DAY.name}


def test_what_a_killed_process_held_is_charged_at_once_as_its_calls_may_have_been_sent(
    ledger: Ledger, start: Any
) -> None:
    process = start(HOLD, 3, DOLLAR // 4)
    assert line(process) == "holding\n"
    with pytest.raises(BudgetExhausted, match="held by calls under way"):
        ledger.budgets.reserve([DAY], Amount(nusd=DOLLAR // 2), seconds=60, wait=0)
    process.kill()
    process.wait()
    standing = ledger.budgets.standing(DAY)
    assert (standing.held, standing.spent.nusd, standing.spent.steps) == (Amount(), 3 * DOLLAR // 4, 3)
    assert [(day.name, day.calls, day.assumed, day.usd) for day in ledger.spending.by("day")] == [
        (DAY.name[4:], 3, 3, 0.75)
    ]
    with pytest.raises(BudgetExhausted) as refused:
        ledger.budgets.reserve([DAY], Amount(nusd=DOLLAR // 2), seconds=60, wait=60)
    assert (refused.value.spent, refused.value.held) == (0.75, 0)
    ledger.budgets.reserve([DAY], Amount(nusd=DOLLAR // 4), seconds=60, wait=0)


def test_a_process_that_is_killed_after_every_call_and_started_again_spends_no_more_than_its_budget(
    ledger: Ledger, start: Any
) -> None:
    for _ in range(4):
        process = start(HOLD, 1, DOLLAR // 4)
        assert line(process) == "holding\n"
        process.kill()
        process.wait()
    assert start(HOLD, 1, DOLLAR // 4).wait(timeout=60) == 1
    assert ledger.budgets.standing(DAY).spent.nusd == DOLLAR


def test_many_processes_that_find_the_same_lost_calls_charge_each_once(
    database: str, ledger: Ledger, start: Any
) -> None:
    doomed = [start(HOLD, 10, DOLLAR // 100) for _ in range(2)]
    assert [line(process) for process in doomed] == ["holding\n"] * 2
    for process in doomed:
        process.kill()
        process.wait()
    finders = [start(HOLD, 1, 10) for _ in range(4)]
    assert [line(process) for process in finders] == ["holding\n"] * 4
    for process in finders:
        process.communicate("go\n", timeout=60)
    standing = ledger.budgets.standing(DAY)
    assert (standing.held.nusd, standing.spent.nusd, standing.spent.steps) == (0, 20 * DOLLAR // 100 + 4, 24)
    assert [(day.calls, day.assumed) for day in ledger.spending.by("day")] == [(24, 20)]
    with ledger.read() as connection:
        assert connection.execute(select(func.count()).select_from(usage)).scalar_one() == 24
    assert ledger.audit.verify().ok


def test_a_process_that_was_stopped_until_its_call_was_given_up_settles_it_after_all(
    ledger: Ledger, start: Any
) -> None:
    process = start(HOLD, 1, DOLLAR // 2)
    assert line(process) == "holding\n"
    os.kill(process.pid, signal.SIGSTOP)
    assert ledger.budgets.standing(DAY).held.nusd == DOLLAR // 2  # whatever the clocks say, it lives
    with ledger.write() as connection:
        connection.execute(update(holds).values(ends=1.0))  # as if it had been stopped for long
    with pytest.raises(BudgetExhausted):
        ledger.budgets.reserve([DAY], Amount(nusd=DOLLAR), seconds=60, wait=0)
    with ledger.read() as connection:
        assert connection.execute(select(usage.c.outcome)).scalars().all() == ["lost"]
    os.kill(process.pid, signal.SIGCONT)
    process.communicate("go\n", timeout=60)
    assert ledger.budgets.standing(DAY).spent == Amount(nusd=1, steps=1)
    assert [(day.calls, day.assumed) for day in ledger.spending.by("day")] == [(1, 0)]


def test_who_waits_for_another_process_goes_on_when_that_settles(ledger: Ledger, start: Any) -> None:
    process = start(HOLD, 2, DOLLAR // 2)
    assert line(process) == "holding\n"
    process.stdin.write("go\n")
    process.stdin.flush()
    ledger.budgets.reserve([DAY], Amount(nusd=DOLLAR - 2), seconds=60, wait=60)
    assert ledger.budgets.standing(DAY).spent.nusd == 2


def test_what_another_process_spent_counts_here_at_once(ledger: Ledger, start: Any) -> None:
    ledger.budgets.reserve([DAY], Amount(nusd=1), seconds=60).release()
    process = start(HOLD, 3, DOLLAR // 4)
    assert line(process) == "holding\n"
    with pytest.raises(BudgetExhausted, match="held by calls under way"):
        ledger.budgets.reserve([DAY], Amount(nusd=DOLLAR // 2), seconds=60, wait=0)
    process.communicate("go\n", timeout=60)
    ledger.budgets.reserve([DAY], Amount(nusd=DOLLAR - 3), seconds=60, wait=0)


def test_a_process_ends_whatever_is_under_way(start: Any) -> None:
    code = HOLD.replace("sys.stdin.readline()", "sys.exit(7)")
    process = start(code, 1, 1)
    assert process.wait(timeout=60) == 7


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork on this system")
def test_a_forked_child_and_its_parent_both_go_on(ledger: Ledger, start: Any) -> None:
    code = """
import os, sys
from signoff.checkpoints.ledger.budgets.amounts import *
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.budgets.amounts import CallRecord
ledger, day = Ledger(sys.argv[1]), Scope("day:2026-01-31", Budget(usd=1))
mine = ledger.budgets.reserve([day], Amount(nusd=10), seconds=60)
child = os.fork()
for number in range(20):
    ledger.budgets.reserve([day], Amount(nusd=10), seconds=60).settle(Amount(nusd=1), CallRecord(nusd=1))
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
mine.settle(Amount(nusd=1), CallRecord(nusd=1))
print("done", flush=True)
"""
    process = start("import warnings; warnings.simplefilter('ignore')\n" + code)
    assert line(process) == "done\n"
    standing = ledger.budgets.standing(DAY)
    assert (standing.spent.nusd, standing.held.nusd) == (41, 0)
