"""Kill -9 amid a run of the remediation team: the same outcomes in the end, and no pull request twice."""

import json
from pathlib import Path
from typing import Any

import pytest
import warm
from hunts import Part

PROGRAM = Path(__file__).with_name("kills.py")


def check(folder: Path, number: int, seed: int) -> None:
    whole, *others = told = warm.told_by(PROGRAM, folder, "-", number, seed)
    assert whole["outcomes"] == {
        "later": "fixed", "partly": "partly fixed", "plain": "fixed", "strict": "not fixed", "unpinned": "not scanned",
    }  # fmt: skip
    assert whole["pulls"] == {"plain": 1, "partly": 1, "later": 1, "strict": 0, "unpinned": 0}
    expected = without_kill(whole)
    wrong = [turn for turn in others if without_kill(turn) != expected]
    assert not wrong, f"{len(wrong)} of {len(others)} rounds, such as {json.dumps(wrong[:2], indent=1)}"
    assert len([turn for turn in told if turn["killed"]]) > 0.7 * number


def without_kill(turn: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in turn.items() if name != "killed"}


@pytest.mark.hunt
def test_a_process_killed_at_any_of_30_lines_ends_alike_and_opens_no_pull_request_twice(
    tmp_path: Path, part: Part
) -> None:
    check(tmp_path, part.number(30), 20261217 + part.index)
