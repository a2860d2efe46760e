"""What goes wrong where an agent's tool waits inside an interrupt, tried on a team: each of these is refused here.

Measured on LangGraph 1.2 and its human-in-the-loop middleware: a tool killed while it ran was run twice in 12 of 12
cases, two approvals at once paid twice, an approval delivered twice executed the next call, and answers were lost.
"""

import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import warm
from hunts import Part
from langgraph.types import Command

from signoff.errors import RunBusy, SignoffError

PROGRAM = Path(__file__).parents[2] / "kills" / "programs" / "killed_calls.py"
APPROVE = {"decisions": [{"type": "approve"}]}


def paid(office: Any) -> list[int]:
    return [euros for _, euros, _ in office.paid]


def pending(office: Any) -> list[str]:
    return [approval.action for approval in office.ledger.approvals.pending("r-1")]


def history(office: Any, node: str) -> list[Any]:
    """The checkpoints before a node."""
    graph = office.team.compile(checkpointer=office.saver)
    return [past.config for past in graph.get_state_history(office.config) if past.next == (node,)]


def by_value(_asked: Any, answer: Any) -> Any:
    return answer


def by_interrupt(asked: Any, answer: Any) -> Any:
    return {asked.id: answer}


def by_wrapped_interrupt(asked: Any, answer: Any) -> Any:
    """As a client sends it that wraps every answer in a list: LangGraph takes it for a plain value."""
    return [{asked.id: answer}]


def by_approval(asked: Any, answer: Any) -> Any:
    return {"decisions": [{**answer["decisions"][0], "approval_id": asked.value["approval_id"]}]}


@pytest.fixture
def patient(office: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An office where an approval that names no question is asked for again, right after another was settled."""
    monkeypatch.setenv("SIGNOFF_CONFIRM_SECONDS", "3600")
    return office


# 1. What comes before a question is done again when it is answered.


def test_what_was_done_before_the_question_is_not_done_again_by_the_answer(office: Any) -> None:
    office.start()
    office.answer(APPROVE)
    events = [entry.event for entry in office.ledger.audit.entries("r-1")]
    assert [events.count(event) for event in ("proposed", "asked", "approved", "claimed", "done")] == [1] * 5
    assert len(office.worked) == 1


# 2. The answer is lost when the process dies.


@pytest.mark.parametrize("address", [by_value, by_interrupt, by_approval])
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_an_answer_is_not_lost_with_the_process_that_took_it(office: Any, durability: str, address: Any) -> None:
    """The process ends in the call, before anything that came after the answer is in a checkpoint."""
    (asked,) = office.start()["__interrupt__"]

    def end() -> None:
        raise KeyboardInterrupt

    office.before_paying = end
    graph = office.team.compile(checkpointer=office.saver)
    with pytest.raises(KeyboardInterrupt):
        graph.invoke(Command(resume=address(asked, APPROVE)), office.config, durability=durability)
    assert office.ledger.approvals.get(asked.value["approval_id"]).status == "approved"
    office.before_paying = lambda: None
    office.run(None)
    assert pending(office) == ["settle_outcome"]


def test_an_answer_given_at_the_desk_needs_no_process_to_keep_it(office: Any) -> None:
    question = office.question(office.start())
    office.ledger.approvals.approve(question["approval_id"], by="ann")
    office.saver = type(office.saver)()  # even the checkpoints are gone
    again = office.start()
    assert office.question(again)["approval_id"] != question["approval_id"]  # another run: it is asked anew
    assert paid(office) == []


# 3. A tool that was killed while it ran is run again.


def test_a_call_that_was_killed_is_never_made_again_unasked(database: str, tmp_path: Path) -> None:
    """In some of the cells, such that each durability, death, way to go on and address is among them."""
    check_cells(database, tmp_path, Part(5, 7))


@pytest.mark.hunt
def test_a_call_that_was_killed_is_never_made_again_unasked_however_it_is_continued(
    database: str, tmp_path: Path, part: Part
) -> None:
    """In 48 cells: durability, killed before or after it took effect, continued or approved again, by value or id."""
    check_cells(database, tmp_path, part)


def check_cells(database: str, folder: Path, part: Part) -> None:
    program = [sys.executable, str(PROGRAM), database, str(folder), str(part.index), str(part.parts)]
    done = warm.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    cells = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({cell["cell"] for cell in cells}) == part.number(3 * 2 * 2 * 2 * 2)
    for cell in cells:
        others = [1, 2][3 - cell["payments"] :] if cell["payments"] == 3 else []
        assert cell["asked"] == ["settle_outcome"], cell
        assert cell["paid"] == (others if cell["dies"] == "before" else [*others, 5]), cell
        assert cell["paid in the end"] == [*others, 5], cell
        assert cell["outcomes"] == ["done"] * cell["payments"], cell


# 4. Two approvals at once pay twice; so does going back to before the call.


def test_a_second_resume_during_the_call_is_told_that_the_run_is_busy(office: Any) -> None:
    """The call begins only after the second resume has come as far as it can."""
    office.start()
    told: list[type[SignoffError]] = []

    def resume_too() -> None:
        try:
            office.answer(APPROVE)
        except SignoffError as error:
            told.append(type(error))

    def meanwhile() -> None:
        office.before_paying = lambda: None
        second = threading.Thread(target=resume_too)
        second.start()
        second.join()

    office.before_paying = meanwhile
    office.answer(APPROVE)
    assert told == [RunBusy]
    assert paid(office) == [5]


def test_approving_again_after_it_is_done_pays_nothing(office: Any) -> None:
    (asked,) = office.start()["__interrupt__"]
    office.answer(APPROVE)
    for address in (by_value, by_interrupt, by_approval):
        office.answer(address(asked, APPROVE))
    assert paid(office) == [5]


@pytest.mark.parametrize("node", ["gate", "act"])
def test_a_replay_from_before_the_call_pays_nothing(office: Any, node: str) -> None:
    office.start()
    office.answer(APPROVE)
    graph = office.team.compile(checkpointer=office.saver)
    again: list[Any] = [None, Command(resume=APPROVE)]
    for config in history(office, node):
        for given in again:
            after = graph.invoke(given, config)
            assert [outcome["status"] for outcome in after["outcomes"]] == ["done"]
    assert paid(office) == [5]


# 5. An approval for 5 that is delivered twice executes the 1,000,000 that is asked about next.


@pytest.mark.parametrize("address", [by_value, by_interrupt, by_approval])
def test_an_approval_delivered_twice_does_not_pay_the_next(patient: Any, address: Any) -> None:
    patient.amounts = (5, 1_000_000)
    (first,) = patient.start()["__interrupt__"]
    for _ in range(4):
        patient.answer(address(first, APPROVE))
    assert paid(patient) == [5]
    assert pending(patient) == ["pay"]
    (second,) = patient.team.compile(checkpointer=patient.saver).get_state(patient.config).interrupts
    patient.answer(by_approval(second, APPROVE))
    assert paid(patient) == [5, 1_000_000]


def test_an_approval_with_the_digest_of_5_does_not_pay_the_next(office: Any) -> None:
    office.amounts = (5, 1_000_000)
    first = office.question(office.start())
    digest = {"type": "approve", "args_sha256": first["args_sha256"]}
    for _ in range(4):
        office.answer(digest)
    assert paid(office) == [5]


# 6. An answer that is addressed to the first question answers the second.


def test_an_answer_addressed_to_the_first_question_does_not_answer_the_second(patient: Any) -> None:
    patient.amounts = (5, 1_000_000)
    (first,) = patient.start()["__interrupt__"]
    patient.answer(by_interrupt(first, {"type": "reject", "message": "no"}))
    assert pending(patient) == ["pay"]
    for verdict in ("approve", "reject"):
        for address in (by_interrupt, by_wrapped_interrupt, by_approval):
            patient.answer(address(first, {"decisions": [{"type": verdict}]}))
    assert paid(patient) == []
    assert pending(patient) == ["pay"]
