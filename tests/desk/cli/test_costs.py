from contextlib import closing
from typing import Any

import pytest

from signoff import Ledger
from signoff.checkpoints.ledger.budgets.amounts import Amount, CallRecord

CALLS = (
    CallRecord(
        run_id="r-1",
        team="report",
        role="writer",
        tier="fast",
        model="small",
        day="2026-01-31",
        input_tokens=1000,
        cached_tokens=400,
        output_tokens=50,
        nusd=2_000_000,
        dearest_nusd=10_000_000,
        ms=1500,
    ),
    CallRecord(
        run_id="r-1",
        team="report",
        role="reviewer",
        tier="smart",
        model="large",
        day="2026-02-01",
        input_tokens=10,
        output_tokens=20,
        reasoning_tokens=15,
        nusd=1_500_000_000,
        dearest_nusd=1_500_000_000,
        assumed=True,
        ms=500,
    ),
    CallRecord(run_id="r-2", team="leads", role="writer", model="small", day="2026-02-01", outcome="timeout", ms=9000),
)


@pytest.fixture
def spent(home: Any) -> None:
    with closing(Ledger(home / ".signoff" / "signoff.db", hooks=())) as ledger:
        for run in ("r-1", "r-2"):
            ledger.runs.begin(run, 1, team="report", goal="g")
        for call in CALLS:
            ledger.budgets.reserve([], Amount(), seconds=60).settle(Amount(nusd=call.nusd), call)


def test_before_any_call_it_says_that_nothing_was_spent(signoff: Any) -> None:
    said = signoff("costs")
    assert (said.code, said.out.startswith("No model was called yet, so nothing was spent. ")) == (0, True)
    assert signoff("costs", "--json").json["spent"] == []


def test_it_adds_up_by_run_the_dearest_first_and_ends_with_the_total(signoff: Any, spent: None) -> None:
    said = signoff("costs")
    assert said.code == 0, said.err
    head, first, second, total, *rest = [line.split() for line in said.out.splitlines()]
    assert head == "run calls failed in cached out reasoning cost saved seconds".split()
    assert first == ["r-1", "2", "0", "1,010", "400", "70", "15", "$1.50", "$0.008000", "2.0"]
    assert second == ["r-2", "1", "1", "0", "0", "0", "0", "$0.00", "$0.00", "9.0"]
    assert total == ["total", "3", "1", "1,010", "400", "70", "15", "$1.50", "$0.008000", "11.0"]
    assert [" ".join(line) for line in rest] == [
        "Tier smart cost $1.50.",
        "Tier fast cost $0.002000, $0.008000 less than the strongest tier would have.",
        "1 call was charged the worst case, $1.50, as nobody knows what was used: "
        "it was not told, the call was cut off, or its process died.",
    ]


def spend(home: Any, *calls: CallRecord) -> None:
    with closing(Ledger(home / ".signoff" / "signoff.db", hooks=())) as ledger:
        for call in calls:
            ledger.budgets.reserve([], Amount(), seconds=60).settle(Amount(nusd=call.nusd), call)


def test_columns_that_are_zero_everywhere_are_left_out(signoff: Any, home: Any) -> None:
    spend(home, CallRecord(run_id="r-1", role="writer", input_tokens=10, output_tokens=2, nusd=2_000_000_000))
    head, first, total = signoff("costs").out.splitlines()
    assert head.split() == ["run", "calls", "in", "out", "cost"]
    assert first.split() == ["r-1", "1", "10", "2", "$2.00"]
    assert total.split() == ["total", "1", "10", "2", "$2.00"]


def test_names_are_never_cut_and_what_has_no_room_is_named(signoff: Any, home: Any) -> None:
    name = "a-role-with-quite-a-long-name"
    amounts: dict[str, Any] = {
        "input_tokens": 10**9,
        "cached_tokens": 10**8,
        "output_tokens": 10**8,
        "reasoning_tokens": 10**7,
        "nusd": 10**12,
        "dearest_nusd": 10**13,
    }
    spend(home, CallRecord(run_id="r-1", role=name, ms=10**6, outcome="timeout", **amounts))
    head, first, _, *rest = signoff("costs", "--by", "agent").out.splitlines()
    assert head.split() == ["agent", "calls", "in", "out", "cost"]
    assert first.split() == [name, "1", "1,000,000,000", "100,000,000", "$1,000.00"]
    assert rest == ["No room for reasoning, cached, seconds, saved, failed: see --json."]
    assert all(len(line) <= 80 for line in (head, first))


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("run", ["r-1", "r-2"]),
        ("agent", ["reviewer", "writer"]),
        ("model", ["large", "small"]),
        ("tier", ["smart", "fast", ""]),
        ("team", ["report", "leads"]),
        ("day", ["2026-01-31", "2026-02-01"]),
    ],
)
def test_as_json_it_tells_everything(signoff: Any, spent: None, by: str, names: list[str]) -> None:
    told = signoff("costs", "--by", by, "--json").json
    assert [row["name"] for row in told["spent"]] == names
    assert (told["by"], told["total"]["calls"], told["total"]["usd"]) == (by, 3, 1.502)
    assert sum(row["seconds"] for row in told["spent"]) == 11.0


def test_it_can_be_of_one_run(signoff: Any, spent: None) -> None:
    assert [row["name"] for row in signoff("costs", "--run", "r-2", "--by", "agent", "--json").json["spent"]] == [
        "writer"
    ]
    assert signoff("costs", "--run", "r-9").code == 1


def test_calls_outside_of_everything_have_a_name_in_the_table(signoff: Any, spent: None) -> None:
    assert "no tier" in signoff("costs", "--by", "tier").out


def test_it_adds_up_by_nothing_else(signoff: Any) -> None:
    assert signoff("costs", "--by", "weather").code == 2


def test_a_run_whose_state_knows_no_usage_yet_shows_what_was_booked(signoff: Any, spent: None) -> None:
    said = signoff("show", "r-1")
    assert said.code == 0, said.err
    assert "2 model calls, 1,080 tokens, $1.5020" in said.out


def test_dry_runs_are_marked(signoff: Any, home: Any) -> None:
    with closing(Ledger(home / ".signoff" / "signoff.db", hooks=())) as ledger:
        ledger.runs.begin("r-1", 1, team="report", goal="g")
        ledger.runs.begin("r-2", 1, team="report", goal="g", dry_run=True)
    lines = {line.split()[0]: line for line in signoff("runs").out.splitlines()}
    assert "dry run" in lines["r-2"]
    assert "dry run" not in lines["r-1"]
    assert "dry run" in signoff("show", "r-2").out
