"""Runs that have begun go before new ones where they share a budget that does not do for all."""

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import warm

from signoff.checkpoints.ledger.budgets import precedence, reservations
from signoff.checkpoints.ledger.budgets.amounts import Amount, Budget, CallRecord, Scope, scopes_of
from signoff.checkpoints.ledger.budgets.reservations import Hold
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.process_identity import current_owner
from signoff.errors import BudgetExhausted

CALL = Amount(nusd=1_000_000, tokens=100, steps=1, ms=10)
WORST = Amount(nusd=2_000_000, tokens=200, steps=1, ms=1000)


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precedence, "_NEWER", 0.0)
    monkeypatch.setattr(reservations, "_LONGEST_POLL", 0.02)


@dataclass
class Crowd:
    """Runs of one team, all at once: each makes its calls, and is done, or waits for a person."""

    ledger: Ledger
    limits: dict[str, Budget]
    calls: Callable[[int], int] = lambda _: 4
    ended: Counter[str] = field(default_factory=Counter)
    said: set[str] = field(default_factory=set)

    async def job(self, number: int) -> None:
        run, made = f"r-{number}", 0
        await asyncio.to_thread(self.ledger.runs.begin, run, 1, team="t", goal="g")
        try:
            for _ in range(self.calls(number)):
                scopes = scopes_of(run_id=run, role="w", team="t", limits=self.limits)
                hold = await self.ledger.budgets.areserve(scopes, WORST, seconds=60, wait=60, say=self.said.add)
                await asyncio.sleep(0)
                await hold.asettle(CALL, call(run))
                made += 1
        except BudgetExhausted:
            self.ended["cut off" if made else "not begun"] += 1
            await asyncio.to_thread(self.ledger.runs.set_status, run, "waiting", "its budget")
        else:
            self.ended["done"] += 1
            await asyncio.to_thread(self.ledger.runs.set_status, run, "done")

    def go(self, jobs: int) -> Counter[str]:
        async def main() -> None:
            await asyncio.gather(*map(self.job, range(jobs)))

        asyncio.run(main())
        return self.ended


def call(run: str, spent: Amount = CALL) -> CallRecord:
    return CallRecord(run_id=run, team="t", role="w", nusd=spent.nusd, input_tokens=spent.tokens, ms=spent.ms)


@pytest.mark.parametrize(
    "limits",
    [
        {"day": Budget(steps=16), "run": Budget(usd=5)},
        {"day": Budget(tokens=16 * 100 + 200)},
        {"team": Budget(usd=0.016 + 0.002), "run": Budget(usd=0.012)},
    ],
    ids=["steps a day", "tokens a day", "dollars of a team"],
)
def test_many_runs_on_a_budget_for_a_quarter_of_them_finish_a_quarter(
    ledger: Ledger, limits: dict[str, Budget]
) -> None:
    ended = Crowd(ledger, limits).go(16)
    assert ended["done"] == 4
    assert ended["cut off"] <= 1
    assert ended.total() == 16


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_runs_of_two_sizes_finish_and_few_are_cut_off(ledger: Ledger) -> None:
    ended = Crowd(ledger, {"day": Budget(steps=63)}, lambda number: 12 if number % 2 else 6).go(30)
    assert ended["done"] >= 4  # of seven; were all to begin, each would get two calls
    assert ended["not begun"] >= 15


@pytest.fixture
def day() -> Budget:
    return Budget(steps=10)


def begin(ledger: Ledger, run: str) -> None:
    ledger.runs.begin(run, 1, team="t", goal="g")


def reserve(ledger: Ledger, run: str, day: Budget, wait: float = 0.2) -> Hold:
    scopes = scopes_of(run_id=run, role="w", team="t", limits={"day": day})
    return ledger.budgets.reserve(scopes, WORST, seconds=60, wait=wait)


def used(ledger: Ledger, run: str, day: Budget, times: int = 1) -> None:
    for _ in range(times):
        reserve(ledger, run, day).settle(CALL, call(run))


def test_a_new_run_is_told_how_many_it_waits_for_and_has_spent_nothing(ledger: Ledger, day: Budget) -> None:
    begin(ledger, "old")
    begin(ledger, "new")
    used(ledger, "old", day)
    with pytest.raises(BudgetExhausted) as refused:
        reserve(ledger, "new", day)
    error = refused.value
    assert (error.runs, error.promised, error.what) == (1, 9, "steps")
    assert error.waiting == "waits: the day's budget is promised to 1 run that began before"
    assert "resume when those have ended" in str(error)
    used(ledger, "old", day, 9)  # what it was promised was there


@pytest.mark.parametrize("ending", ["done", "waiting", "stopped", "failed"])
def test_a_run_that_is_not_at_work_is_promised_nothing(ledger: Ledger, day: Budget, ending: str) -> None:
    begin(ledger, "old")
    begin(ledger, "new")
    used(ledger, "old", day)
    ledger.runs.set_status("old", ending)  # type: ignore[arg-type]  # one of the four
    used(ledger, "new", day)


@pytest.mark.parametrize("limit", ["SILENT_SECONDS", "IDLE_SECONDS"])
def test_a_run_of_which_nothing_was_heard_does_not_hold_up_others(
    ledger: Ledger, day: Budget, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(ledger, "old")
    begin(ledger, "new")
    used(ledger, "old", day)
    monkeypatch.setattr(precedence, limit, 0.0)
    used(ledger, "new", day)


def test_a_run_whose_process_is_gone_does_not_hold_up_others(ledger: Ledger, day: Budget) -> None:
    begin(ledger, "old")
    begin(ledger, "new")
    used(ledger, "old", day)
    ledger.runs.claim("old", f"{current_owner()}/here", seconds=600)
    with pytest.raises(BudgetExhausted, match="promised"):
        reserve(ledger, "new", day)
    ledger.runs.release("old", f"{current_owner()}/here")
    ledger.runs.claim("old", f"{current_owner()}0/gone", seconds=600)  # as if it had started at another time
    used(ledger, "new", day)


def ended(ledger: Ledger, day: Budget, *calls: int) -> None:
    """Runs that took so many calls."""
    for number, times in enumerate(calls):
        begin(ledger, f"ended-{number}")
        used(ledger, f"ended-{number}", day, times)
        ledger.runs.set_status(f"ended-{number}", "done")


def test_what_runs_took_that_ended_is_what_is_promised_to_the_next(ledger: Ledger) -> None:
    day = Budget(steps=8 + 12)
    ended(ledger, day, 2, 2, 2, 2)  # twice as many, since four runs are few
    for run in ("old", "new", "last"):
        begin(ledger, run)
    used(ledger, "old", day)
    used(ledger, "new", day)
    with pytest.raises(BudgetExhausted) as refused:  # three each are promised, and three do not do for the last
        reserve(ledger, "last", day)
    assert (refused.value.runs, refused.value.promised) == (2, 6)
    used(ledger, "old", day)
    ledger.runs.set_status("old", "done")
    used(ledger, "last", day)


def test_who_began_first_goes_first_when_there_is_too_little_for_both(ledger: Ledger) -> None:
    day = Budget(steps=8 + 14)
    ended(ledger, day, 2, 2, 2, 2)
    begin(ledger, "first")
    begin(ledger, "second")
    used(ledger, "first", day)
    used(ledger, "second", day)
    used(ledger, "first", day, 6)  # instead of three: it may well go on for as long again
    with pytest.raises(BudgetExhausted, match=r"1 run that began before"):
        reserve(ledger, "second", day)
    used(ledger, "first", day, 2)


def test_a_call_outside_of_any_run_or_one_that_may_not_wait_is_not_held_up(ledger: Ledger, day: Budget) -> None:
    begin(ledger, "old")
    begin(ledger, "new")
    used(ledger, "old", day)
    [name] = (each.name for each in scopes_of(run_id="", role="", team="", limits={"day": day}))
    ledger.budgets.reserve([Scope(name, day)], WORST, seconds=60).release()
    reserve(ledger, "new", day, wait=0).release()


PROCESS = """
import asyncio, json, sys
sys.path[:0] = sys.argv[3:]
from test_precedence import Crowd
from signoff.checkpoints.ledger.budgets.amounts import Budget
from signoff.checkpoints.ledger.ledger import Ledger

class Part(Crowd):
    async def job(self, number):
        await super().job(number + 100 * int(sys.argv[2]))

ledger = Ledger(sys.argv[1])
print(json.dumps(Part(ledger, {"day": Budget(steps=24)}).go(10)))
ledger.close()
"""


@pytest.fixture
def processes(ledger: Ledger, database: str) -> Iterator[list[warm.WarmProcess]]:
    """Two processes, with a crowd each."""
    folders = [str(Path(file).parent) for file in (__file__, warm.__file__)]
    commands = [[sys.executable, "-c", PROCESS, database, str(number), *folders] for number in range(2)]
    with ExitStack() as stack:
        started = [stack.enter_context(warm.start(each, stdout=subprocess.PIPE, text=True)) for each in commands]
        for process in started:
            stack.callback(process.kill)
        yield started


def test_processes_that_share_a_budget_finish_together_what_it_is_enough_for(
    processes: list[warm.WarmProcess],
) -> None:
    ended: Counter[str] = Counter()
    for process in processes:
        assert process.stdout is not None
        ended += Counter(json.loads(process.stdout.readline()))
    assert ended["done"] >= 5
    assert ended["not begun"] >= 12


def test_nobody_looks_at_each_run_that_has_begun_while_a_budget_does_for_all(ledger: Ledger) -> None:
    looked: list[str] = []

    def hear(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_name == "_promised":
            looked.append(frame.f_locals["run"])

    threading.setprofile(hear)  # for the thread of the budgets, which is started by the first job
    try:
        assert Crowd(ledger, {"day": Budget(usd=10), "run": Budget(usd=0.1)}).go(8) == {"done": 8}
    finally:
        threading.setprofile(None)
    assert looked == []
