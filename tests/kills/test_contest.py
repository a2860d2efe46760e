"""Eight people decide about the same payment at once, and all of them have it made: one decision, one payment."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import warm
from hunts import Part

PROGRAM = Path(__file__).parent / "programs" / "contest.py"
PEOPLE = 8
SEED = "20261122"
EITHER = pytest.mark.parametrize("kind", ["threads", "processes"])
PAID = {"approve": [5], "edit": [3], "reject": []}


def rounds(database: str, folder: Path, kind: str, level: str, number: int, seed: str = SEED) -> list[dict[str, Any]]:
    program = [sys.executable, str(PROGRAM), database, str(folder), kind, level, str(number), seed]
    done = warm.run(program, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr}"
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == number
    return found


def check(found: list[dict[str, Any]]) -> None:
    """One decision, and what it decided is what was paid."""
    for turn in found:
        assert len(turn["decisions"]) == 1, turn
        assert turn["status"] == turn["decisions"][0], turn
        amounts = [turn["args"]["euros"]] if turn["status"] == "approved" else []
        assert [payment["euros"] for payment in turn["paid"]] == amounts, turn
        assert turn["effects"] == [[payment["key"], "done"] for payment in turn["paid"]], turn
    verdicts = {person["verdict"] for turn in found for person in turn["people"]}
    assert verdicts == {"approve", "edit", "reject"}
    statuses = {turn["status"] for turn in found}
    assert statuses == {"approved", "rejected"} or len(found) < 20  # a few may all be decided alike


def check_decided_in_the_ledger(found: list[dict[str, Any]]) -> None:
    """All but the first were told that it was decided; nobody was told that it was done who could not know."""
    check(found)
    for turn in found:
        first, *more = [person for person in turn["people"] if person["said"] == "decided"]
        late = [person for person in turn["people"] if person["said"] == "AlreadyDecided"]
        assert (len(more), len(late)) == (0, PEOPLE - 1), turn
        assert [payment["euros"] for payment in turn["paid"]] == PAID[first["verdict"]], turn
        done = {person["done"] for person in turn["people"]}
        assert done <= ({"AlreadyDecided"} if first["verdict"] == "reject" else {"done", "RunBusy"}), turn


@EITHER
def test_some_times_eight_decide_and_perform(database: str, tmp_path: Path, kind: str) -> None:
    check_decided_in_the_ledger(rounds(database, tmp_path, kind, "ledger", 4))


@pytest.mark.hunt
@EITHER
def test_a_thousand_times_eight_decide_and_perform(database: str, tmp_path: Path, kind: str, part: Part) -> None:
    seed = f"{SEED}-{part.index}"
    check_decided_in_the_ledger(rounds(database, tmp_path, kind, "ledger", part.number(1000), seed))


@EITHER
def test_some_times_eight_decide_and_resume(database: str, tmp_path: Path, kind: str) -> None:
    check(rounds(database, tmp_path, kind, "graph", 3))


@pytest.mark.hunt
@EITHER
def test_a_thousand_times_eight_decide_and_resume(database: str, tmp_path: Path, kind: str, part: Part) -> None:
    check(rounds(database, tmp_path, kind, "graph", part.number(1000), f"{SEED}-{part.index}"))
