"""Kill -9 amid the parts of a deep report: the part that was cut is worked again, and no other."""

import json
import sys
from pathlib import Path

import warm
from harbour import FACTS, QUESTIONS

PROGRAM = Path(__file__).parent / "programs" / "deep_kills.py"
PARTS, [CUT] = [*QUESTIONS[4], *QUESTIONS[1]], QUESTIONS[1]


def test_a_process_killed_while_a_part_is_worked_leaves_only_that_part_to_be_done(tmp_path: Path) -> None:
    done = warm.run([sys.executable, str(PROGRAM), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr}"
    told = json.loads(done.stdout)
    assert told["killed"]
    assert sorted(told["before"]) == sorted([*PARTS, CUT])
    assert told["after"] == [CUT, CUT, CUT]
    assert told["others"] == ["planner", "writer", "reviewer"]
    assert (told["status"], told["asked"]) == ("waiting", "publish_report")
    for name in ("storm", "fuel", "pilot", "tariff", "exempt"):
        assert FACTS[name].split(". ")[0].rstrip(".") in told["draft"]
