"""Several questions of one kind at the command line, at a terminal and in a notebook."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from terminals import Terminal

from signoff import Policy, Run
from signoff.desk.batches import read_words
from signoff.errors import BadAnswer, NotAllDecided, SeveralAsked
from signoff.graphs.teams import load_team
from signoff.settings import load_settings

TEAM = """
from pathlib import Path
from pydantic import BaseModel

from signoff import Action, Agent, Artifact, Policy, Task, Team


class Letter(BaseModel):
    to: str
    text: str = "hello"


class Post(Artifact):
    count: int


def post(letter: Letter, key: str) -> dict[str, str]:
    with Path("sent.txt").open("a") as file:
        file.write(f"{letter.to}: {letter.text}\\n")
    return {"to": letter.to}


POST = Action(name="post", description="Posts a letter.", arguments=Letter, call=post)


def propose(given: Post, task: Task) -> list:
    return [POST.propose(Letter(to=name), "they asked") for name in ("ann", "bob", "cy", "dee")]


clerk = Agent(role="clerk", gives=Post, function=lambda task: Post(count=4), actions=(POST,), propose=propose)
team = Team(name="post", agents=[clerk], policy=Policy({"post": "ask"}))
"""


@pytest.fixture
def asked(home: Path, signoff: Any) -> list[Any]:
    """A run that asks four things of one kind."""
    (home / "post_office.py").write_text(TEAM)
    said = signoff("run", "post_office:team", "write to all", "--json")
    assert said.code == 3, said.err
    return sorted(signoff("approvals", "--json").json, key=lambda one: one["shown"]["to"])


def sent() -> list[str]:
    path = Path("sent.txt")
    return path.read_text().splitlines() if path.exists() else []


def test_all_of_a_kind_are_approved_by_one_command(signoff: Any, asked: list[Any]) -> None:
    said = signoff("approve", asked[0]["id"], "--batch")
    assert said.code == 0, said.err
    assert sorted(sent()) == ["ann: hello", "bob: hello", "cy: hello", "dee: hello"]
    assert said.err.count("post approved by") == 4


def test_some_are_approved_one_edited_the_rest_rejected(signoff: Any, asked: list[Any]) -> None:
    ann, bob, cy, dee = (one["id"] for one in asked)
    assert signoff("approve", ann, cy, "--no-resume").code == 0
    assert signoff("edit", bob, "--set", "text=dear Bob").code == 3
    assert sorted(sent()) == ["ann: hello", "bob: dear Bob", "cy: hello"]
    said = signoff("reject", dee, "--batch")
    assert said.code == 0, said.err
    assert len(sent()) == 3


def test_what_is_asked_together_is_shown_with_the_commands_for_all(signoff: Any, asked: list[Any]) -> None:
    shown = signoff("show", asked[1]["id"]).out
    assert f"signoff approve {asked[1]['id']} --batch" in shown
    assert "3 others of its kind" in shown
    digest = re.search(r"--batch --sha256 ([0-9a-f]{12})", shown)
    assert digest
    refused = signoff("approve", asked[0]["id"], "--batch", "--sha256", "0" * 12)
    assert refused.code == 1
    assert digest[1] in refused.err
    assert signoff("approve", asked[0]["id"], "--batch", "--sha256", digest[1]).code == 0
    assert len(sent()) == 4


def test_one_that_somebody_else_decided_keeps_no_other_from_being_decided(signoff: Any, asked: list[Any]) -> None:
    ann, bob, cy, _ = (one["id"] for one in asked)
    signoff("reject", bob, "--no-resume", "--by", "bea")
    said = signoff("approve", ann, bob, cy, "--json", "--no-resume")
    assert said.code == 0
    assert [one["status"] for one in said.json] == ["approved", "rejected", "approved"]
    assert "already decided: rejected by bea" in said.err


def test_commands_that_do_not_say_which_are_refused(signoff: Any, asked: list[Any], home: Path) -> None:
    (home / "other_office.py").write_text(TEAM)
    signoff("run", "other_office:team", "write again", "--json")
    other = next(one["id"] for one in signoff("approvals", "--json").json if one["goal"] == "write again")
    assert "of another run" in signoff("approve", asked[0]["id"], other).err
    assert "--batch" in signoff("approve", asked[0]["id"], asked[1]["id"], "--batch").err
    assert sent() == []


def test_yes_approves_all_of_them_unseen(home: Path, signoff: Any) -> None:
    (home / "post_office.py").write_text(TEAM)
    assert signoff("run", "post_office:team", "write to all", "--yes").code == 0
    assert len(sent()) == 4


def test_at_a_terminal_they_are_one_question_and_only_what_is_named_is_decided(home: Path) -> None:
    (home / "post_office.py").write_text(TEAM)
    with Terminal("-m", "signoff", "run", "post_office:team", "write to all") as terminal:
        terminal.until("4 of its kind")
        terminal.until("or later?")
        terminal.press("a\n")
        terminal.until("Say which: all, or some of 1, 2, 3, 4")
        terminal.press("r 2\n")
        terminal.until("Why?")
        terminal.press("\n")
        terminal.until("Left: 1, 3, 4.")
        terminal.press("a all\n")
        assert terminal.end() == 0, terminal.shown
    assert sorted(sent()) == ["ann: hello", "cy: hello", "dee: hello"]


def test_at_a_terminal_later_keeps_what_is_left(home: Path, signoff: Any) -> None:
    (home / "post_office.py").write_text(TEAM)
    with Terminal("-m", "signoff", "run", "post_office:team", "write to all") as terminal:
        terminal.until("or later?")
        terminal.press("a 1, 3-4\n")
        terminal.until("Left: 2.")
        terminal.press("l\n")
        assert terminal.end() == 3, terminal.shown
    assert sorted(sent()) == ["ann: hello", "cy: hello", "dee: hello"]
    assert len(signoff("approvals", "--json").json) == 1


def test_at_a_terminal_approve_shows_all_of_each_and_asks_once(signoff: Any, asked: list[Any]) -> None:
    with Terminal("-m", "signoff", "approve", asked[0]["id"], "--batch") as terminal:
        for one in asked:
            terminal.until(f'"to": "{one["shown"]["to"]}"')
        terminal.until("approve all 4? [y/N]")
        terminal.press("y\n")
        assert terminal.end() == 0, terminal.shown
    assert len(sent()) == 4


def many(home: Path) -> None:
    """An office that writes to thirty people."""
    names = [f"person{number}" for number in range(30)]
    (home / "post_office.py").write_text(TEAM.replace('("ann", "bob", "cy", "dee")', repr(names)))


def test_many_of_one_kind_are_each_told_in_a_line_at_a_terminal(home: Path) -> None:
    many(home)
    with Terminal("-m", "signoff", "run", "post_office:team", "write to all") as terminal:
        terminal.until("or later?")
        shown = terminal.shown
        terminal.press("a all\n")
        assert terminal.end() == 0, terminal.shown
    assert "30 of its kind" in shown
    assert len(re.findall(r'^ *\d+\. .*"to": "person\d+"', shown, re.MULTILINE)) == 30
    assert "v 1 or v all shows all of it" in shown
    assert len(sent()) == 30


def test_many_of_one_kind_are_each_a_line_in_a_notebook_but_for_the_first(home: Path) -> None:
    many(home)
    run = Run.start(load_team("post_office.py:team", load_settings()).team, "write to all")
    shown = run._repr_markdown_()
    assert "**10 more wait**" in shown
    assert shown.count("**Waits for you**") == 20
    assert all(one.id in shown for one in run.approvals)


NUMBERED: Any = dict.fromkeys(range(1, 8))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("a all", ("approve", [1, 2, 3, 4, 5, 6, 7])),
        ("approve 2", ("approve", [2])),
        ("R 2, 5-7", ("reject", [2, 5, 6, 7])),
        ("a 1 1 2", ("approve", [1, 2])),
        ("e 3", ("edit", [3])),
        ("v 3-4", ("view", [3, 4])),
        ("later", ("later", [])),
    ],
)
def test_what_a_person_types_names_its_questions(said: str, meant: Any) -> None:
    assert read_words(said, NUMBERED) == meant


@pytest.mark.parametrize(
    "said",
    [
        "",
        "a",
        "all",
        "yes",
        "a 0",
        "a 8",
        "a 6-9",
        "a 3-2",
        "a -1",
        "e 1-2",
        "e all",
        "a some",
        "a 1 all",
        "a 1.5",
        "l 2",
        "a²",
    ],
)
def test_what_does_not_name_them_decides_nothing(said: str) -> None:
    with pytest.raises(BadAnswer):
        read_words(said, NUMBERED)


def test_a_program_and_a_notebook_decide_all_or_some(home: Path) -> None:
    (home / "post_office.py").write_text(TEAM)
    team = load_team("post_office.py:team", load_settings()).team
    run = Run.start(team, "write to all")
    assert "4 of one kind wait for you" in run._repr_markdown_()
    with pytest.raises(SeveralAsked, match=re.escape("approval=run.alike()")):
        run.approve()
    by = {one.shown["to"]: one.id for one in run.approvals}
    run.reject("not now", approval=by["bob"], drive=False)
    other = Run.open(run.id, team=team)
    other.reject(approval=by["cy"], drive=False)
    with pytest.raises(NotAllDecided, match="1 were decided and 1 not") as caught:
        run.approve(approval=[by["ann"], by["cy"]])
    assert by["cy"] in caught.value.problems[0]
    with pytest.raises(BadAnswer, match="name one"):
        run.approve(approval=[by["ann"], by["dee"]], args={"to": "eve"})
    with pytest.raises(BadAnswer, match="No question is named"):
        run.approve(approval=[])
    run.approve(approval=run.alike())
    assert sorted(sent()) == ["ann: hello", "dee: hello"]


def test_what_policy_asks_one_by_one_has_no_others_of_its_kind(home: Path) -> None:
    from dataclasses import replace

    from signoff import Ask

    (home / "post_office.py").write_text(TEAM)
    team = load_team("post_office.py:team", load_settings()).team
    run = Run.start(replace(team, policy=Policy({"post": Ask(batch=False)})), "write to all")
    assert len(run.alike()) == 1
    assert json.dumps(sorted(run.alike())) == json.dumps([run.approvals[0].id])
