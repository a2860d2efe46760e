"""A question to a person is a proposal whose outcome is the answer; it is never an approval of anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from desks import Desk
from pydantic import BaseModel, Field

from signoff import Action, Agent, Artifact, Ask, Ledger, Policy, Run, Task, Team, tool
from signoff.checkpoints.errors import NotAnswered
from signoff.error_base import TeamError
from signoff.graphs.errors import BadAnswer
from signoff.testing import ScriptedModel, calls, gives
from signoff.tools import ask_person

pytestmark = pytest.mark.usefixtures("at_once")


class Door(BaseModel):
    which: Literal["front", "back"] = Field(description="Which of the two")
    floors: list[int] = []
    urgent: bool = False


class Chosen(Artifact):
    which: Literal["front", "back"]
    urgent: bool = False


class Report(Artifact):
    text: str


class Other(Artifact):
    text: str


DONE = gives(Report(text="told"))
ASK = calls("ask_person", question="Which door?")
FRONT = {"which": "front", "floors": [], "urgent": False}


@pytest.fixture
def database(tmp_path: Path) -> str:
    """Nothing here is about the kind of database."""
    return str(tmp_path / "signoff.db")


@dataclass
class Asker(Desk):
    """A clerk that asks, with a model or as a function."""

    action: Action[Any]
    script: list[Any] | None = None
    policy: Policy = field(default_factory=Policy)
    more: tuple[Agent[Any], ...] = ()
    dry_run: bool = False
    seen: list[Task] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = ScriptedModel(self.script or [])

    def _work(self, task: Task) -> Report:
        self.seen.append(task)
        return Report(text=str([dict(one.result) for one in task.outcomes]))

    @property
    def team(self) -> Team:
        clerk = Agent(
            role="clerk",
            gives=Report,
            function=self._work,
            actions=(self.action,),
            propose=lambda report, task: [self.action.propose({"question": "Which door?"}, "it is not said")],
        )
        if self.script is not None:
            clerk = Agent(role="clerk", gives=Report, model=self.model, tools=(self.action,))
        return Team(agents=[clerk, *self.more], policy=self.policy, ledger=self.ledger, dry_run=self.dry_run)

    @property
    def told(self) -> str:
        """What the model was told last of its calls."""
        return [str(message.content) for message in self.model.calls[-1].messages if message.type == "tool"][-1]

    @property
    def effects(self) -> int:
        return len(self.ledger.effects.of_run("r-1"))


def question(result: dict[str, Any]) -> dict[str, Any]:
    (interrupt,) = result["__interrupt__"]
    found: dict[str, Any] = interrupt.value
    return found


def with_form(ledger: Ledger, script: list[Any] | None = None) -> Asker:
    return Asker(ledger, ask_person(form=Door), [ASK, DONE] if script is None else script)


WORDS = [
    "the front door",
    {"type": "respond", "message": "the front door"},
    {"decisions": [{"type": "respond", "message": "the front door"}]},
    [{"type": "response", "args": "the front door"}],
    [
        {
            "type": "edit",
            "args": {"action": "ask_person", "args": {"question": "Which door?", "answer": "the front door"}},
        }
    ],
    {"decisions": [{"type": "edit", "edited_action": {"name": "ask_person", "args": {"answer": "the front door"}}}]},
    {"answer": "the front door"},
    '{"type": "respond", "message": "the front door"}',
]


@pytest.mark.parametrize("given", WORDS)
def test_a_model_goes_on_with_the_answer_however_a_client_sends_it(ledger: Ledger, given: Any) -> None:
    desk = Asker(ledger, ask_person(), [ASK, DONE])
    asked = question(desk.start())
    assert asked["action_requests"][0]["args"] == {"question": "Which door?", "answer": ""}
    assert (asked["risk"], asked["review_configs"][0]["allowed_decisions"]) == (
        "question",
        ["respond", "edit", "reject"],
    )
    result = desk.decide(given)
    assert desk.told == 'A person answered: {"answer": "the front door"}'
    assert (result["run"]["ended"], result["turns"], desk.effects) == ("done", 1, 0)
    (approval,) = [ledger.approvals.of_proposal(one["proposal"]) for one in result["outcomes"]]
    assert approval is not None
    assert (approval.status, approval.args) == ("answered", {})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"which": "front"}, FRONT),
        ({"answer": {"which": "front"}}, FRONT),
        ({"type": "respond", "message": {"which": "front", "urgent": "yes"}}, {**FRONT, "urgent": True}),
        ('{"which": "front", "floors": [1, 2]}', {**FRONT, "floors": [1, 2]}),
        ("which: front\nurgent: true", {**FRONT, "urgent": True}),
        (
            [{"type": "edit", "args": {"action": "ask_person", "args": {"answer": '{"which": "front"}'}}}],
            FRONT,
        ),
        (
            {
                "type": "edit",
                "args": {"name": "ask_person", "args": {"question": "Which door?", "which": "front", "floors": "[3]"}},
            },
            {**FRONT, "floors": [3]},
        ),
    ],
)
def test_a_form_is_filled_in_however_a_client_sends_it(ledger: Ledger, given: Any, expected: Any) -> None:
    desk = with_form(ledger)
    desk.start()
    result = desk.decide(given)
    assert result["outcomes"][0]["result"] == expected
    assert result["outcomes"][0]["status"] == "answered"


def test_the_question_and_its_fields_are_shown(ledger: Ledger) -> None:
    asked = question(with_form(ledger).start())["action_requests"][0]
    for part in (
        "clerk asks a question.",
        "Which door?",
        '- `which` ("front" or "back"): Which of the two',
        "- `floors` (list; [] if left out)",
        "- `urgent` (yes or no; false if left out)",
        "An answer approves nothing.",
    ):
        assert part in asked["description"]
    assert asked["args"]["answer"] == {"which": None, "floors": [], "urgent": False}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"which": "side"}, "which: Input should be 'front' or 'back'"),
        ({"which": "front", "colour": "red"}, "'colour' is no field of the answer, which has which, floors, urgent."),
        ({"colour": "red"}, "The answer has no 'type' and no 'decisions'"),
        ({"type": "respond", "message": {"which": "front", "colour": "red"}}, "'colour' is no field of the answer"),
        ("the front one", "Write which: …; floors: …; urgent: …, each in a line"),
        ({"urgent": True}, "which: Field required"),
        ({"type": "respond", "message": "  "}, "The answer says nothing"),
        ({"type": "respond"}, "The answer says nothing"),
        ({"type": "edit", "args": {"name": "ask_person", "args": {"question": "Which door?"}}}, "says nothing"),
        (
            {"type": "edit", "args": {"name": "ask_person", "args": {"question": "Which wall?", "which": "back"}}},
            "'question' cannot be edited",
        ),
        ({"type": "approve"}, "an approval is no answer"),
        ("approve", "an approval is no answer"),
        ([{"type": "accept", "args": None}], "an approval is no answer"),
        ({"decisions": [{"type": "approve"}]}, "an approval is no answer"),
    ],
)
def test_what_is_no_answer_is_asked_for_again_with_the_reason(ledger: Ledger, given: Any, why: str) -> None:
    desk = with_form(ledger)
    desk.start()
    again = question(desk.decide(given))["action_requests"][0]["description"]
    assert why in again
    assert len(desk.model.calls) == 1
    assert desk.decide({"which": "back"})["outcomes"][0]["result"]["which"] == "back"
    assert desk.effects == 0


def test_nobody_can_approve_a_question_at_the_ledger_either(ledger: Ledger) -> None:
    desk = with_form(ledger)
    desk.start()
    (asked,) = ledger.approvals.pending("r-1")
    for args in (None, {"question": "Which door?", "which": "front"}):
        with pytest.raises(NotAnswered, match="to approve it is no answer"):
            ledger.approvals.approve(asked.id, by="ann", args=args)
    assert ledger.approvals.get(asked.id).status == "pending"


def test_it_can_be_declined_with_a_reason_which_the_model_hears(ledger: Ledger) -> None:
    desk = with_form(ledger)
    desk.start()
    result = desk.decide({"type": "reject", "message": "I do not know"})
    assert desk.told == "A person declined to answer. I do not know"
    assert result["run"]["ended"] == "done"
    assert ledger.runs.get("r-1").note.splitlines()[0] == "Done, without ask_person."


def test_it_expires_as_others_do(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_APPROVAL_HOURS", "0.0000001")
    desk = with_form(ledger)
    desk.start()
    desk.run(None)
    assert desk.told == "Nobody answered in time."


def test_a_function_that_asked_works_again_with_the_answer_and_asks_once(ledger: Ledger) -> None:
    desk = Asker(ledger, ask_person())
    desk.start()
    result = desk.decide("the front door")
    assert result["artifacts"]["Report"]["value"] == {"text": "[{'answer': 'the front door'}]"}
    assert (result["run"]["ended"], len(result["outcomes"]), len(desk.seen)) == ("done", 1, 2)
    assert "the front door" in desk.seen[1].notes[0]
    assert ledger.runs.get("r-1").note == "ask_person answered by whoever resumed the thread: the front door"


def test_a_function_whose_question_is_declined_is_done_without_the_answer(ledger: Ledger) -> None:
    desk = Asker(ledger, ask_person())
    desk.start()
    result = desk.decide({"type": "reject"})
    assert result["run"]["ended"] == "done"
    assert ledger.runs.get("r-1").note.splitlines()[0] == "Done, without ask_person."


def painter(task: Task) -> Other:
    return Other(text=f"{task.need(Chosen).which} painted")


class Bug(BaseModel):
    type: Literal["crash", "wish"]
    hours: float = 0


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"type": "crash"}, 'Send the fields of the answer as {"type": "respond", "message": {…}}.'),
        ("type: crash\nhours: nan", "The answer does not fit: ValueError: Out of range float values"),
        ({"type": "respond", "message": {"type": "crash", "hours": "inf"}}, "Out of range float values"),
    ],
)
def test_what_could_not_be_kept_or_is_two_things_is_asked_for_again(ledger: Ledger, given: Any, why: str) -> None:
    desk = Asker(ledger, ask_person(form=Bug), [ASK, DONE])
    desk.start()
    assert why in question(desk.decide(given))["action_requests"][0]["description"]
    result = desk.decide({"type": "respond", "message": {"type": "crash"}})
    assert (result["run"]["ended"], result["outcomes"][0]["result"]) == ("done", {"type": "crash", "hours": 0.0})


def test_a_form_without_fields_is_none() -> None:
    class Nothing(BaseModel):
        pass

    with pytest.raises(TeamError, match="Question 'ask_person': its form Nothing has no fields"):
        ask_person(form=Nothing)


@pytest.mark.parametrize(("given", "ends"), [({"which": "back"}, "completed"), ({"type": "reject"}, "skipped")])
def test_a_form_that_is_an_artifact_is_given_to_whoever_needs_it(ledger: Ledger, given: Any, ends: str) -> None:
    more = (Agent(role="painter", needs=(Chosen,), gives=Other, function=painter),)
    desk = Asker(ledger, ask_person(form=Chosen), more=more)
    desk.start()
    result = desk.decide(given)
    assert [(step["agent"], step["status"]) for step in result["plan"] if step["agent"] == "painter"] == [
        ("painter", ends)
    ]
    assert result["run"]["ended"] == "done"
    assert len(desk.seen) == 1  # what it asked for went to whoever needs it
    if ends == "completed":
        assert result["artifacts"]["Other"]["value"] == {"text": "back painted"}
    else:
        assert result["plan"][-1]["note"] == "ask_person was rejected by whoever resumed the thread"


def test_a_dry_run_is_answered_too(ledger: Ledger) -> None:
    desk = Asker(ledger, ask_person(), [ASK, DONE], dry_run=True)
    asked = question(desk.start())
    assert "Dry run" not in asked["action_requests"][0]["description"]
    desk.decide("the front door")
    assert "the front door" in desk.told


@pytest.mark.parametrize("rule", ["allow", "ask"])
def test_policy_cannot_answer_it(ledger: Ledger, rule: Literal["allow", "ask"]) -> None:
    desk = Asker(ledger, ask_person(), [ASK, DONE], policy=Policy({"ask_person": rule}))
    assert question(desk.start())["risk"] == "question"


def test_policy_can_deny_it_and_say_who_answers(ledger: Ledger) -> None:
    desk = Asker(ledger, ask_person(), [ASK, DONE], policy=Policy({"ask_person": "deny"}))
    assert desk.start()["run"]["ended"] == "done"
    assert desk.told.startswith("Policy does not allow it")


def test_only_whom_policy_names_answers_it(ledger: Ledger) -> None:
    desk = Asker(ledger, ask_person(), [ASK, DONE], policy=Policy({"ask_person": Ask(role="porter")}))
    asked = question(desk.start())
    assert "role porter" in asked["action_requests"][0]["description"]
    again = question(desk.decide("the front door"))["action_requests"][0]["description"]
    assert "nobody knows who answered" in again
    ledger.people.give("ann", "porter", by="bob")
    ledger.approvals.respond(asked["approval_id"], by="ann", message="the back door")
    desk.run(None)
    assert "the back door" in desk.told


def test_an_answer_right_after_another_question_that_names_none_is_asked_for_once_more(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Asker(ledger, ask_person(), [ASK, calls("ask_person", question="Which colour?"), DONE])
    desk.start()
    monkeypatch.setenv("SIGNOFF_CONFIRM_SECONDS", "60")
    second = question(desk.decide("front"))
    again = question(desk.decide("front"))  # sent twice
    assert "Your last answer did not count" in again["action_requests"][0]["description"]
    desk.decide({"approval_id": second["approval_id"], "answer": "red"})
    assert '"red"' in desk.told


def test_the_same_question_is_not_asked_twice_in_a_step(ledger: Ledger) -> None:
    desk = Asker(ledger, ask_person(), [ASK, ASK, DONE])
    desk.start()
    assert desk.decide("front")["run"]["ended"] == "done"
    assert desk.told.startswith("Not proposed again: the same was, in this step. A person answered:")


def test_a_question_may_be_given_with_the_tool(ledger: Ledger) -> None:
    action = ask_person("Which door is it?", Door, name="ask_door")
    assert action.propose({}).args == {"question": "Which door is it?"}
    desk = Asker(ledger, action, [calls("ask_door"), DONE])
    assert "Which door is it?" in question(desk.start())["action_requests"][0]["description"]
    desk.decide({"which": "back"})
    assert '"which": "back"' in desk.told


def test_an_answer_that_no_longer_fits_its_form_is_none(ledger: Ledger) -> None:
    desk = with_form(ledger)
    asked = question(desk.start())
    ledger.approvals.respond(asked["approval_id"], by="ann", message='{"which": "side"}')
    desk.run(None)
    assert desk.told.startswith("It failed and did not happen.")
    assert "which: Input should be 'front' or 'back'" in desk.told


def test_a_form_that_is_none_is_refused() -> None:
    with pytest.raises(TeamError, match="its form is 'Door'"):
        ask_person("Which?", "Door")  # type: ignore[arg-type]  # what is tested


def test_a_program_and_a_notebook_answer_it(ledger: Ledger, home: Path) -> None:
    more = (Agent(role="painter", needs=(Chosen,), gives=Other, function=painter),)
    run = Run.start(Asker(ledger, ask_person(form=Chosen), more=more).team, "paint the door")
    shown = run._repr_markdown_()
    assert 'Answer with `run.respond("…")`, or decline with `run.reject("why")`.' in shown
    assert "`which`" in shown
    with pytest.raises(BadAnswer, match="which: Input should be 'front' or 'back'"):
        run.respond({"which": "side"})
    with pytest.raises(NotAnswered):
        run.approve()
    run.respond(Chosen(which="back"))
    assert (run.status, run.artifact(Other).text, run.artifact(Chosen).which) == ("done", "back painted", "back")


def test_the_buttons_of_a_question_answer_it(ledger: Ledger, home: Path) -> None:
    more = (Agent(role="painter", needs=(Chosen,), gives=Other, function=painter),)
    run = Run.start(Asker(ledger, ask_person(form=Chosen), more=more).team, "paint the door")
    box = run.buttons()
    answer, press = box.children[1].children
    answer.value = '{"which": "side"}'
    press.click()
    assert "Input should be" in box.children[-1].value
    answer.value = '{"which": "back"}'
    press.click()
    assert (run.status, run.artifact(Other).text) == ("done", "back painted")


def test_what_is_said_of_an_action_is_text(ledger: Ledger, home: Path) -> None:
    @tool(risk="external")
    def paint(which: str) -> None:
        """Paint it."""

    clerk = Agent(
        role="clerk",
        gives=Report,
        function=lambda task: Report(text="x"),
        actions=(paint,),
        propose=lambda report, task: [paint.propose({"which": "front"})],
    )
    run = Run.start(Team(agents=[clerk], policy=Policy({"paint": "ask"}), ledger=ledger), "paint the door")
    with pytest.raises(BadAnswer, match="paint is no question: what is said of it is text"):
        run.respond({"which": "back"})
    assert run.status == "waiting"
