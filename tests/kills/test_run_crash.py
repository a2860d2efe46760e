"""Kill -9 at random moments of a run; `signoff resume` finishes it, and the report is written once."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import warm
from hunts import Part

from signoff.checkpoints.ledger.ledger import Ledger

ROUNDS = Path(__file__).parent / "programs" / "crash_rounds.py"
SEED = int(os.environ.get("CRASH_SEED", "20261122"))


def _rounds(home: Path, number: int, seed: int) -> list[dict[str, Any]]:
    docs = home / "docs"
    docs.mkdir()
    for place in range(30):
        (docs / f"note-{place}.md").write_text(f"# Note {place}\n\nBoat number {place} lies in the harbour.\n")
    (docs / "tides.md").write_text(
        "# Tides\n\nThe tide rises and falls twice a day because the moon pulls the water of the ocean.\n"
    )
    done = warm.run([sys.executable, str(ROUNDS), str(seed), str(number)], capture_output=True, text=True, cwd=home)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _check(number: int, home: Path, seed: int = SEED) -> None:
    rounds = _rounds(home, number, seed)
    whole = (home / "whole" / "report.md").read_text()
    accepted = [turn for turn in rounds if turn["accepted"]]
    for turn in accepted:
        folder = Path(turn["home"])
        log = (folder / "output.log").read_text()
        assert turn["resumed"] == 0, f"{turn}\n{log}"
        assert (folder / "report.md").read_text() == whole, turn
        assert [path.name for path in folder.glob(".signoff-*")] == [], turn
        ledger = Ledger(folder / ".signoff" / "signoff.db")
        (record,) = ledger.runs.list()
        assert record.status == "done", turn
        assert [effect.status for effect in ledger.effects.of_run(record.id)] == ["done"], turn
        assert ledger.audit.verify().ok
        ledger.close()
    for turn in rounds:
        if not turn["accepted"]:
            assert not (Path(turn["home"]) / "report.md").exists(), turn
    assert len([turn for turn in accepted if turn["killed"]]) == number, rounds


def test_a_run_killed_at_any_of_some_random_moments_is_finished_by_resume(home: Path) -> None:
    _check(3, home)


@pytest.mark.hunt
def test_a_run_killed_at_any_of_500_random_moments_is_finished_by_resume(home: Path, part: Part) -> None:
    _check(part.number(500), home, SEED + part.index)
