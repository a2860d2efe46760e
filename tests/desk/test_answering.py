"""A question to a person at the command line: shown with its fields, answered, declined, and never approved."""

import runpy
from pathlib import Path
from typing import Any

import pytest
from terminals import Terminal

TEAM = """
from typing import Literal

from pydantic import Field

from signoff import Agent, Artifact, Policy, Task, Team
from signoff.tools import ask_person


class Door(Artifact):
    which: Literal["front", "back"] = Field(description="Which of the two.")
    urgent: bool = False


class Request(Artifact):
    title: str


class Paint(Artifact):
    text: str


ask_door = ask_person("Which door is it?", Door)


def read(task: Task) -> Request:
    return Request(title=task.goal)


def paint(task: Task) -> Paint:
    return Paint(text=f"{task.need(Door).which} {task.need(Door).urgent}")


reader = Agent(
    role="reader", gives=Request, function=read, actions=(ask_door,), propose=lambda _, task: [ask_door.propose({})]
)
painter = Agent(role="painter", needs=(Door,), gives=Paint, function=paint)
team = Team(name="doors", agents=[reader, painter])
"""
RUN = ("run", "doors.py:team", "paint the door")


@pytest.fixture
def asked(signoff: Any, home: Path) -> str:
    """A run that asks: the question's id."""
    Path("doors.py").write_text(TEAM)
    said = signoff(*RUN, "--yes", "--json")  # which answers no question
    assert said.code == 3, said.err
    return str(said.json["approval"])


def ended(signoff: Any) -> tuple[str, str]:
    (run,) = signoff("runs", "--json").json
    return run["standing"], run["note"]


def test_the_question_is_shown_with_its_fields_and_the_commands_that_answer_it(signoff: Any, asked: str) -> None:
    for said in (signoff("show", asked).out, signoff("approvals").out):
        assert "Which door is it?" in said
        assert f'respond {asked} "…"' in said
        assert f"reject {asked} --why" in said
        assert f"approve {asked}" not in said
    assert '- `which` ("front" or "back"): Which of the two.' in signoff("show", asked).out


@pytest.mark.parametrize(
    "words",
    [
        ("respond", "--set", "which=front", "--set", "urgent=yes"),
        ("respond", "which: front\nurgent: yes"),
        ("respond", '{"which": "front", "urgent": true}'),
        ("edit", "--set", "which=front", "--set", "answer.urgent=true"),
    ],
)
def test_it_is_answered_in_words_or_field_by_field(signoff: Any, asked: str, words: tuple[str, ...]) -> None:
    verb, *how = words
    said = signoff(verb, asked, *how, "--by", "ann")
    assert said.code == 0, said.err
    assert f"ask_person answered by ann (approval {asked})." in said.err
    assert ended(signoff) == ("done", "ask_person answered by ann: which: front; urgent: true")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("respond", "--set", "which=side"), "which: Input should be 'front' or 'back'"),
        (("respond", "--set", "colour=red"), "'colour' is no field of the answer, which has which, urgent"),
        (("respond", "--set", "which"), "is not NAME=VALUE"),
        (("respond", "--set", "which=back", "--set", "which=front"), "is there twice"),
        (("respond", "back", "--set", "which=front"), "Answer in one way"),
        (("respond", "back"), "does not say what each field is"),
        (("respond",), "Say what the answer is: "),
        (("approve",), "a question, which nobody can approve"),
        (("approve", "--yes"), "a question, which nobody can approve"),
    ],
)
def test_what_is_no_answer_is_refused_in_one_line_and_it_stays_open(
    signoff: Any, asked: str, words: tuple[str, ...], problem: str
) -> None:
    verb, *how = words
    said = signoff(verb, asked, *how)
    assert said.code == 1
    assert problem in said.err
    assert signoff("approvals", "--json").json[0]["id"] == asked


def test_it_is_declined_and_the_run_says_what_it_is_done_without(signoff: Any, asked: str) -> None:
    said = signoff("reject", asked, "--why", "ask the porter", "--by", "ann")
    assert said.code == 0, said.err
    assert " is done, without painter, ask_person: painter was skipped: ask_person was rejected by ann" in said.err
    assert ended(signoff)[0] == "done, without painter, ask_person"
    assert "skipped" in signoff("show", signoff("runs", "--json").json[0]["id"]).out


def test_at_a_terminal_it_is_asked_field_by_field_until_it_fits(signoff: Any, asked: str) -> None:
    (run,) = signoff("runs", "--json").json
    with Terminal("-m", "signoff", "resume", run["id"]) as terminal:
        terminal.until("answer, decline or later?")
        terminal.press("approve\n")
        terminal.until("is no answer yet")
        terminal.press("a\n")
        terminal.until('which ("front" or "back")')
        terminal.press("side\n")
        terminal.until("urgent (yes or no; false if left out)")
        terminal.press("\n")
        terminal.until("Input should be 'front' or 'back'")
        terminal.press("a\n")
        terminal.until('which ("front" or "back")')
        terminal.press("back\n")
        terminal.until("urgent (yes or no; false if left out)")
        terminal.press("\n")
        assert terminal.end() == 0, terminal.shown
    assert "which: back; urgent: false" in ended(signoff)[1]


def test_a_recorded_run_with_a_question_is_played_again_as_it_went(signoff: Any, home: Path) -> None:
    Path("doors.py").write_text(TEAM)
    said = signoff(*RUN, "--json", "--record", "run.jsonl")
    assert said.code == 3, said.err
    answered = signoff("respond", said.json["approval"], "which: back", "--no-resume")
    assert answered.code == 0, answered.err
    went = signoff("resume", said.json["run"], "--record", "run.jsonl")
    assert went.code == 0, went.err
    from signoff.fleet import replay

    now, then = replay(Path("run.jsonl"), Path("again"), team=runpy.run_path("doors.py")["team"])
    assert then is not None
    assert (now.route, now.status, now.artifacts["Paint"]) == (then.route, "done", {"text": "back False"})
