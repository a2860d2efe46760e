"""Kill -9 amid changing code: what is finished is not done again, half a codemod is thrown away, one patch applied."""

import os
from pathlib import Path
from typing import Any

import pytest
import warm
from hunts import Part
from stand_in import CALC

TESTS = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "programs" / "code_kills.py"
MENDED = f"{CALC.replace('a - b', 'a + b')}# mended\n"


def rounds(folder: Path, number: int, seed: int) -> list[dict[str, Any]]:
    places = (TESTS / "shared", TESTS / "kills/programs", os.environ["PYTHONPATH"])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}
    return warm.told_by(PROGRAM, folder, number, seed, env=env)


def check(found: list[dict[str, Any]]) -> None:
    for turn in found:
        assert turn["status"] == "done", turn
        assert turn["steps"] == ["tester", "coder"], turn
        assert turn["effects"] == ["done"], turn
        assert turn["calc"] == MENDED, turn


def test_a_process_killed_after_the_codemod_ran_goes_on_from_what_was_copied(tmp_path: Path) -> None:
    (one,) = found = rounds(tmp_path, 0, 1)
    assert one["killed"]
    check(found)


@pytest.mark.hunt
def test_a_process_killed_at_any_of_60_lines_proposes_and_applies_once(tmp_path: Path, part: Part) -> None:
    number = part.number(60)
    found = rounds(tmp_path, number, 20261201 + part.index)
    check(found)
    assert len([turn for turn in found if turn["killed"]]) > 0.7 * number
