"""Kill -9 amid runs within a run: all of them come to the same end, and nothing is sent, asked or begun twice."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import warm
from hunts import Part

PROGRAM = Path(__file__).parent / "programs" / "child_kills.py"


def rounds(folder: Path, number: int, seed: int) -> list[dict[str, Any]]:
    return warm.told_by(PROGRAM, folder, number, seed)


def wrong(turn: dict[str, Any]) -> list[str]:
    worked = Counter(turn["worked"])
    checks = {
        "the run does not end": (turn["status"], turn["text"], turn["open"]) == ("done", "ann bob", 0),
        "a mail is lost, or sent twice": turn["sent"] == ["ann", "bob"],
        "a child is begun twice, or does not end": turn["children"] == [["office", "done"], ["mails", "done"]],
        "something is asked twice": turn["asked"] == 2,
        "more than the step that was cut off is done again": sum(worked.values()) <= 3,
        "the audit log does not agree": turn["whole"],
    }
    return [problem for problem, holds in checks.items() if not holds]


def check(found: list[dict[str, Any]], number: int) -> None:
    failed = [(wrong(turn), turn) for turn in found if wrong(turn)]
    assert not failed, f"{len(failed)} of {len(found)} rounds, such as {json.dumps(failed[:3], indent=1)}"
    assert len([turn for turn in found if turn["killed"]]) > 0.8 * number


def test_a_process_killed_amid_a_run_within_a_run_sends_nothing_twice(tmp_path: Path) -> None:
    check(rounds(tmp_path, 2, 1), 2)


@pytest.mark.hunt
def test_a_process_killed_at_any_of_300_lines_amid_runs_within_a_run_sends_nothing_twice(
    tmp_path: Path, part: Part
) -> None:
    check(rounds(tmp_path, part.number(300), 20261201 + part.index), part.number(300))
