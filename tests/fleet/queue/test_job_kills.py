"""Kill -9 between any two lines of what is written of a job: it is done once, never without its row in the queue."""

import json
from pathlib import Path
from typing import Any

import pytest
import warm
from hunts import Part

PROGRAM = Path(__file__).parents[2] / "kills" / "programs" / "job_kills.py"


def wrong(found: dict[str, Any]) -> list[str]:
    after, end = found["after"], found["end"]
    checks = {
        "the job does not end": end["job"] == "done",
        "its bill was not sent, or sent twice": end["sent"] == 1,
        "something still waits": end["pending"] == 0,
        "the log does not agree": not end["problems"] and not after.get("problems"),
        "a job in the queue has no row there": after["job"] not in ("queued", "waiting", "running")
        or after["row"] in ("ENQUEUED", "DELAYED"),
        "an attempt is counted that was none": after.get("attempts", 0) <= 1,
    }
    return [problem for problem, holds in checks.items() if not holds]


def check(folder: Path, number: int, seed: int) -> None:
    found = warm.told_by(PROGRAM, folder, number, seed)
    failed = [(wrong(one), one) for one in found if wrong(one)]
    assert not failed, f"{len(failed)} of {len(found)} kills, such as {json.dumps(failed[:3], indent=1)}"
    assert sum(one["killed"] for one in found) > 0.7 * len(found)


def test_a_process_killed_amid_the_life_of_a_job_leaves_it_to_be_done_once(tmp_path: Path) -> None:
    check(tmp_path, 6, 1)


@pytest.mark.hunt
def test_a_process_killed_at_any_line_amid_the_life_of_a_job_leaves_it_to_be_done_once(
    tmp_path: Path, part: Part
) -> None:
    check(tmp_path, part.number(300), 20261130 + part.index)
