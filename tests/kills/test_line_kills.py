"""Kill -9 at the lines that ask, decide, call and write: a payment is made once, or a person is asked if it was."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import warm
from hunts import Part

PROGRAM = Path(__file__).parent / "programs" / "line_kills.py"
PAID = {"approve": [5], "edit": [3], "reject": []}
FEW = ("asking", "approving", "settling what happened", "calling again")


def rounds(database: str, folder: Path, mode: str, part: Part, *scenarios: str) -> list[dict[str, Any]]:
    which = f"{part.index}/{part.parts}"
    program = [sys.executable, str(PROGRAM), database, str(folder), mode, which, *scenarios]
    done = warm.run(program, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr}"
    found = [json.loads(line) for line in done.stdout.splitlines()]
    killed = [turn for turn in found if turn["killed"]]
    sys.stdout.write(f"{len(killed)} kills at {len({turn['line'] for turn in killed})} lines\n")
    return found


def wrong(turn: dict[str, Any]) -> list[str]:
    """What is not as it must be after a round."""
    left, ended, verdict = turn["left"], turn["ended"], turn["verdict"]
    outcomes = [status for action, status in turn["outcomes"] if action == "pay"]
    keys = [key for key, _ in ended["effects"]]
    in_the_air = [status for _, status in left["effects"]] in (["claimed"], ["unknown"])
    answered = left["decided"].count("settle_outcome") > left["events"].count("claimed again")
    person_asked = turn["asked"].count("settle_outcome")
    checks = {
        "the run does not end": turn["status"] == ("stopped" if verdict == "reject" else "done"),
        # The clerk learns why it was rejected, and proposes the same again: that is denied.
        "it is not what the outcome says": (outcomes[:1], set(outcomes[1:]) <= {"denied"})
        == (["rejected" if verdict == "reject" else "done"], True),
        "it is not what was decided": [payment["euros"] for payment in ended["paid"]] == PAID[verdict],
        "not paid under the effect's key": [payment["key"] for payment in ended["paid"]] == keys,
        "an effect is not done": all(status == "done" for _, status in ended["effects"]),
        "it was paid again": not turn["paid again"],
        "asked about a decided payment": "pay" not in turn["asked"] or "pay" not in left["decided"],
        "asked twice": len(turn["asked"]) == len(set(turn["asked"])),
        "not asked what happened": not (turn["kind"] == "plain" and in_the_air and not answered) or person_asked == 1,
        "asked what is known": person_asked == 0 or (turn["kind"] == "plain" and in_the_air and not answered),
        "paid without a claim": not left["paid"] or bool(left["effects"]),
    }
    return [problem for problem, holds in checks.items() if not holds]


def check(found: list[dict[str, Any]]) -> None:
    failed = [(wrong(turn), turn) for turn in found if wrong(turn)]
    assert not failed, f"{len(failed)} of {len(found)} rounds, such as {json.dumps(failed[:3], indent=1)}"


@pytest.mark.smoke
def test_a_process_killed_at_a_line_that_decides_or_writes_pays_once_or_has_a_person_asked(
    database: str, tmp_path: Path
) -> None:
    found = rounds(database, tmp_path, "few", Part(), *FEW)
    check(found)
    killed = [turn for turn in found if turn["killed"]]
    assert len(killed) > 0.9 * len(found) > 12
    assert {turn["line"].partition(":")[0] for turn in killed} >= {"graphs.nodes.gate", "graphs.nodes.act"}


@pytest.mark.hunt
def test_a_process_killed_at_any_line_pays_once_or_has_a_person_asked(
    database: str, tmp_path: Path, part: Part
) -> None:
    found = rounds(database, tmp_path, "some", part)
    check(found)
    # What is killed is what this is about: most rounds are cut off, at lines of every module that decides or writes.
    killed = [turn for turn in found if turn["killed"]]
    assert len(killed) > 0.95 * len(found) > (300 if "://" in database else 600) / part.parts
    assert {"settle_outcome", "pay"} == {asked for turn in found for asked in turn["asked"]}
    modules = {turn["line"].partition(":")[0] for turn in killed}
    assert modules >= {"graphs.nodes.gate", "graphs.nodes.act"}
    if part.parts == 1:
        assert modules >= {"graphs.approval.decision", "graphs.approval.answers"}
        names = ("approvals", "effects", "audit_log", "runs", "session")
        assert modules >= {f"checkpoints.ledger.{name}" for name in names}


@pytest.mark.hunt
@pytest.mark.parametrize(
    "scenario",
    [
        "approving",
        "asking in a new database",
        "editing at the desk",
        "rejecting",
        "idempotent",
        "settling what happened",
        "settling what did not happen",
        "reading back what did not happen",
    ],
)
def test_a_process_killed_in_any_state_that_it_leaves_outside_pays_once_or_has_a_person_asked(
    database: str, tmp_path: Path, scenario: str, part: Part
) -> None:
    found = rounds(database, tmp_path, "every", part, scenario)
    check(found)
    # Where threads take turns in another way, a hit is not reached: that round is one of a run that nobody killed.
    missed = 0 if part.parts == 1 else 2  # of the few of a part two may be such
    assert sum(turn["killed"] for turn in found) + missed > 0.75 * len(found) > 20 / part.parts - 1


def test_an_act_node_that_claims_after_the_call_is_seen_to_pay_twice(database: str, tmp_path: Path) -> None:
    found = rounds(database, tmp_path, "some", Part(), "naive")
    assert any(len(turn["ended"]["paid"]) == 2 for turn in found)
    assert any("paid without a claim" in wrong(turn) for turn in found)
