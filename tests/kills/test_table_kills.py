"""Kill -9 amid a run of the competitors team: the same table, report and files in the end, published once."""

import json
from pathlib import Path
from typing import Any

import pytest
import warm
from hunts import Part

PROGRAM = Path(__file__).parent / "programs" / "table_kills.py"
MARKET = Path(__file__).parents[1] / "graphs" / "teams" / "market"


def rounds(folder: Path, number: int, seed: int) -> list[dict[str, Any]]:
    """The run that nobody killed, and those that were."""
    return warm.told_by(PROGRAM, folder, MARKET, number, seed)


def check(folder: Path, number: int, seed: int) -> None:
    whole, *others = rounds(folder, number, seed)
    assert (whole["status"], len(whole["files"]), whole["effects"]) == ("done", 5, ["done"])
    expected = {key: value for key, value in whole.items() if key != "killed"}
    wrong = [turn for turn in others if {key: value for key, value in turn.items() if key != "killed"} != expected]
    assert not wrong, f"{len(wrong)} of {len(others)} rounds, such as {json.dumps(wrong[:2], indent=1)}"
    assert len([turn for turn in others if turn["killed"]]) > 0.7 * number


def test_a_process_killed_amid_a_comparison_ends_in_the_same_files_published_once(tmp_path: Path) -> None:
    check(tmp_path, 1, 16)


@pytest.mark.hunt
def test_a_process_killed_at_any_of_30_lines_of_a_comparison_ends_in_the_same_files(tmp_path: Path, part: Part) -> None:
    check(tmp_path, part.number(30), 20261216 + part.index)
