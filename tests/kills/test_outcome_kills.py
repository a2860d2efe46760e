"""Kill -9 between any two steps of "file a ticket, then mail its number": each happens once, with the true number."""

import json
from pathlib import Path
from typing import Any

import pytest
import warm
from hunts import Part

PROGRAM = Path(__file__).parent / "programs" / "outcome_kills.py"
CALLS = 3
"""Calls of the model in a run that nobody kills."""


def rounds(database: str, folder: Path, number: int, seed: int) -> list[dict[str, Any]]:
    name = database if "://" in database else "sqlite"
    return warm.told_by(PROGRAM, name, folder, number, seed)


def wrong(turn: dict[str, Any]) -> list[str]:
    number = next(iter(turn["filed"]), "")
    checks = {
        "the run does not end": turn["status"] == "done",
        "it says that something is missing": "without" not in turn["note"],
        "not one ticket was filed": len(turn["filed"]) == 1,
        "the mail was not sent once with the true number": turn["mailed"] == [f"It is {number}."],
        "the report has another number": turn["artifacts"].get("Report") == {"text": number},
        "the artifact that the action gave is another": turn["artifacts"].get("Ticket") == {"number": number},
        "nobody was given it": turn["artifacts"].get("Note") == {"text": number},
        "somebody was asked twice, or not at all": turn["questions"] == 2,
        "more than the call that was cut off is made again": CALLS <= turn["calls"] <= CALLS + 1,
    }
    return [problem for problem, holds in checks.items() if not holds]


def check(found: list[dict[str, Any]], number: int) -> None:
    failed = [(wrong(turn), turn) for turn in found if wrong(turn)]
    assert not failed, f"{len(failed)} of {len(found)} rounds, such as {json.dumps(failed[:3], indent=1)}"
    assert len(found) == number
    assert len([turn for turn in found if turn["killed"]]) > 0.7 * number


def test_a_process_killed_between_a_proposal_and_its_outcome_does_each_once_with_the_true_number(
    database: str, tmp_path: Path
) -> None:
    number = 1 if "://" in database else 3
    check(rounds(database, tmp_path, number, 1), number)


@pytest.mark.hunt
def test_a_process_killed_at_any_of_300_lines_between_them_does_each_once(
    database: str, tmp_path: Path, part: Part
) -> None:
    number = part.number(300)
    check(rounds(database, tmp_path, number, 20261130 + part.index), number)
