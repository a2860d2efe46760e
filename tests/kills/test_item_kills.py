"""Kill -9 amid ten items: what is on disk is never done again, and what was being done is."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import warm
from hunts import Part

PROGRAM = Path(__file__).parent / "programs" / "item_kills.py"
ITEMS = [f"i{number}" for number in range(10)]
WIDTH = 5


def rounds(folder: Path, number: int, seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The kill in one item, and those at lines."""
    one, *others = warm.told_by(PROGRAM, folder, number, seed)
    return one, others


def wrong(turn: dict[str, Any]) -> list[str]:
    worked = Counter(turn["worked"])
    checks = {
        "the run does not end": turn["status"] == "done",
        "a row is missing, or not in its place": turn["lines"] == ITEMS,
        "an item was never worked on": sorted(worked) == ITEMS,
        "more is done again than was being done": sum(worked.values()) <= len(ITEMS) + WIDTH,
        "an item is done a third time": max(worked.values()) <= 2,
    }
    return [problem for problem, holds in checks.items() if not holds]


def check(found: list[dict[str, Any]], number: int) -> None:
    failed = [(wrong(turn), turn) for turn in found if wrong(turn)]
    assert not failed, f"{len(failed)} of {len(found)} rounds, such as {json.dumps(failed[:3], indent=1)}"
    assert len([turn for turn in found if turn["killed"]]) > 0.8 * number


def test_a_process_killed_amid_ten_items_leaves_only_the_unfinished_one_to_be_done(tmp_path: Path) -> None:
    one, others = rounds(tmp_path, 5, 1)
    assert one["killed"]
    assert Counter(one["worked"]) == {**dict.fromkeys(ITEMS, 1), "i6": 2}
    assert (one["status"], one["lines"]) == ("done", ITEMS)
    check(others, 5)


@pytest.mark.hunt
def test_a_process_killed_at_any_of_300_lines_amid_items_does_only_what_is_missing(tmp_path: Path, part: Part) -> None:
    number = part.number(300)
    check(rounds(tmp_path, number, 20261201 + part.index)[1], number)
