"""Kill -9 between a plan, its question, the decision and the first step: nothing is asked twice or lost."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import warm
from hunts import Part

PROGRAM = Path(__file__).parent / "programs" / "plan_kills.py"


def rounds(folder: Path, number: int, seed: int) -> list[dict[str, Any]]:
    return warm.told_by(PROGRAM, folder, number, seed)


def wrong(turn: dict[str, Any]) -> list[str]:
    worked = Counter(turn["worked"])
    checks = {
        "the run does not end": (turn["status"], turn["left"]) == ("done", False),
        "the plan is asked about twice": turn["asked"] == 1,
        "the plan that was decided is not followed": {"scout: closely", "teller: shortly"} <= worked.keys(),
        "somebody works by another plan": worked.keys() == {"planner: plans", "scout: closely", "teller: shortly"},
        "more than the step that was cut off is done again": sum(worked.values()) <= 4,
    }
    return [problem for problem, holds in checks.items() if not holds]


def check(found: list[dict[str, Any]], number: int) -> None:
    failed = [(wrong(turn), turn) for turn in found if wrong(turn)]
    assert not failed, f"{len(failed)} of {len(found)} rounds, such as {json.dumps(failed[:3], indent=1)}"
    assert len([turn for turn in found if turn["killed"]]) > 0.8 * number


def test_a_process_killed_between_a_plan_its_decision_and_the_first_step_asks_nothing_twice(tmp_path: Path) -> None:
    check(rounds(tmp_path, 6, 1), 6)


@pytest.mark.hunt
def test_a_process_killed_at_any_of_300_lines_around_a_plan_asks_nothing_twice(tmp_path: Path, part: Part) -> None:
    check(rounds(tmp_path, part.number(300), 20261130 + part.index), part.number(300))
