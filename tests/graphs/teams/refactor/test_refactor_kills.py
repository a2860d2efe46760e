"""Kill -9 amid a refactoring: what is done of the units is not done again, and one patch is proposed and applied."""

from pathlib import Path
from typing import Any

import pytest
import warm
from hunts import Part

PROGRAM = Path(__file__).with_name("refactor_kills.py")


def rounds(folder: Path, number: int, seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The run that nobody killed, and the others."""
    whole, *others = warm.told_by(PROGRAM, folder, folder, number, seed)
    return whole, others


def check(whole: dict[str, Any], others: list[dict[str, Any]]) -> None:
    assert (whole["status"], whole["done"], whole["effects"]) == ("done", True, [["apply_to_project", "done"]])
    assert set(whole["marks"].values()) == {1}
    for turn in others:
        for name in ("status", "runs", "done", "tree", "units", "effects", "approvals", "marks"):
            assert turn[name] == whole[name], turn
        assert turn["again"] == [], turn


def test_a_killed_refactoring_goes_on_without_doing_a_unit_again(tmp_path: Path) -> None:
    whole, others = rounds(tmp_path, 1, 3)
    check(whole, others)


@pytest.mark.hunt
def test_refactorings_killed_at_any_of_30_lines_end_alike(tmp_path: Path, part: Part) -> None:
    number = part.number(30)
    whole, others = rounds(tmp_path, number, 20261130 + part.index)
    check(whole, others)
    assert sum(turn["killed"] for turn in others) > 0.7 * number
    assert sum(turn["known"] > 0 for turn in others) > 0.2 * number
