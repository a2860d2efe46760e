"""A writer dies at a random moment; the file is sound, and holds all that was acknowledged and nothing by half.

A writer writes four threads at once (two through the synchronous methods, two through the asynchronous ones), whose
lists grow, are cut, and hold values edited in place. After each death, the next writer goes on where it ended.
The deaths: SIGKILL at any moment; in the middle of writing a page; at an fsync, after the writes before it, where it
is also seen that no call returns without one. Not covered: a power cut, which loses what was written and not synced;
the death of a process leaves that with the kernel.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import warm
from hunts import Part

ROUNDS = Path(__file__).parent / "programs" / "saver_crash_rounds.py"
SEED = int(os.environ.get("CRASH_SEED", "20261122"))
THOUSANDS = {"killed": 2000, "torn": 200, "unsynced": 200}

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the writers are forks")


def _check(times: dict[str, int], seed: int = SEED) -> None:
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        times = {**times, "unsynced": 0}  # made with a facility of Linux
    done = warm.run([sys.executable, str(ROUNDS), str(seed), json.dumps(times)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rounds: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    deaths = Counter(turn["ended"] for turn in rounds)
    assert deaths.keys() <= {"killed", "torn", "unsynced"}, deaths
    assert deaths["killed"] >= times["killed"]
    for manner, wanted in times.items():  # a few may end before it comes to that
        assert deaths[manner] >= 0.8 * wanted, deaths
    assert sum(turn["acknowledged"] > 0 for turn in rounds) > 0.5 * len(rounds), "most died before they wrote anything"


def test_a_writer_killed_at_any_of_some_random_moments_loses_nothing_it_was_told_is_safe() -> None:
    _check({"killed": 20, "torn": 5, "unsynced": 5})


@pytest.mark.hunt
def test_a_writer_killed_at_any_of_2000_random_moments_loses_nothing_it_was_told_is_safe(part: Part) -> None:
    _check({manner: part.number(times) for manner, times in THOUSANDS.items()}, SEED + part.index)
