"""What a person is told of a call that nobody knows the outcome of, of one that was cut off, and of what expired."""

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import warm
from sqlalchemy import text

from signoff import Ledger, Run
from signoff.checkpoints import configured_ledger, later
from signoff.checkpoints.ledger import Person
from signoff.desk.service import Service
from signoff.errors import AlreadyDecided
from signoff.fleet import standings
from signoff.graphs.approval import CONTROLS, describe
from signoff.graphs.teams import TEAMS, ReadyMade
from signoff.settings import load_settings

PROGRAMS = Path(__file__).parent / "cli" / "programs"
sys.path.append(str(PROGRAMS))

import clinic  # noqa: E402  # a team of the programs


def standing(run: str) -> Any:
    """How a run stands, as programs are told."""
    settings = load_settings()
    return asyncio.run(Service(settings, configured_ledger(settings)).standing(run, Person("ann")))


DIE = """
import os, sys
sys.path.append(sys.argv[1])
import clinic
from signoff import Run
clinic.BEFORE.append(lambda: os._exit(9))
run = Run.start(clinic.team(), "pay ann", drive=False)
print(run.id, os.getpid(), flush=True)
run.resume().approve(by="ann")
"""


def drop_the_line() -> None:
    raise ConnectionError("the line dropped")


@pytest.fixture(autouse=True)
def ledger(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """The clinic is among the ready-made teams, and has paid nobody yet."""
    del home
    monkeypatch.setitem(TEAMS, "clinic", ReadyMade("clinic"))
    clinic.PAID.clear()
    clinic.BEFORE.clear()
    opened = configured_ledger(load_settings())
    yield opened
    opened.close()


@pytest.fixture
def doubt(ledger: Ledger) -> tuple[Run, str]:
    """A run that asks what came of its call, and the id of that question."""
    clinic.BEFORE.append(drop_the_line)
    run = Run.start(clinic.team(), "pay ann").approve(by="ann")
    clinic.BEFORE.clear()
    (asked,) = run.approvals
    return run, asked.id


COMMANDS = ("signoff approve {0}", "signoff edit {0} --set happened=no", "--set retry=false", "signoff reject {0}")


def flat(said: Any) -> str:
    return " ".join(str(said).replace("python -m signoff", "signoff").split()).replace(f"{sys.executable} -m ", "")


@pytest.mark.parametrize("words", [("approvals",), ("show",), ("resume",)])
def test_commands_that_tell_of_an_unknown_outcome_say_what_each_answer_means(
    signoff: Any, ledger: Ledger, doubt: Any, words: tuple[str, ...]
) -> None:
    run, asked = doubt
    said = signoff(*words, *((run.id,) if words != ("approvals",) else ()))
    told = flat(said.out + said.err)
    for expected in COMMANDS:
        assert expected.format(asked) in told
    for meaning in ("it happened: it counts as done", "it is called again, with the same key", "it is given up"):
        assert meaning in told
    if words != ("resume",):
        (effect,) = ledger.effects.of_run(run.id)
        assert f"at {effect.claimed_at[:19].replace('T', ' ')} UTC by process " in told
        assert "the line dropped" in told


def test_a_notebook_shows_the_exact_calls_and_they_do_what_they_say(doubt: Any) -> None:
    run, _ = doubt
    shown = run._repr_markdown_()
    assert "- `run.approve()`: it happened" in shown
    assert "- `run.reject()`: nobody can tell" in shown
    assert "`run.approve(args={'happened': 'no', 'retry': False})`" in shown
    call = "run.approve(args={'happened': 'no'})"
    assert f"- `{call}`: it did not happen: it is called again" in shown
    eval(call)  # what the notebook says is what is typed
    assert (run.status, clinic.PAID) == ("done", ["ann"])


def test_the_buttons_of_an_unknown_outcome_are_the_ways_to_settle_it(doubt: Any) -> None:
    run, _ = doubt
    box = run.buttons()
    _question, *ways, _said = box.children
    assert [way.description[:20] for way in ways] == [way.means[:20] for way in run.asked.ways]
    ways[1].click()  # it did not happen: it is called again
    assert (run.status, clinic.PAID) == ("done", ["ann"])


def test_the_command_that_is_named_does_what_it_says(signoff: Any, doubt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked = doubt
    said = signoff("edit", asked, "--set", "happened=no")
    assert said.code == 0
    assert "That means: it did not happen: it is called again, with the same key." in said.err
    assert (run.status, clinic.PAID) == ("done", ["ann"])


def test_every_client_and_every_notice_says_what_the_answers_mean(ledger: Ledger, doubt: Any) -> None:
    run, asked = doubt
    approval = ledger.approvals.get(asked)
    said = describe(approval, CONTROLS[approval.action])
    assert "- Approve: it happened" in said
    assert "- Edit `happened` to `no`: it did not happen: it is called again" in said
    assert "- Reject: nobody can tell" in said
    (waits,) = standing(run.id).waits_for
    assert f"signoff edit {asked} --set happened=no (it did not happen: it is called again" in waits.people_decide_with


def test_a_notice_names_the_commands(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "SIGNOFF_HOOK_COMMAND", f'{sys.executable} -c \'import sys; open("got", "a").write(sys.stdin.read())\''
    )
    ledger = configured_ledger(load_settings())
    clinic.BEFORE.append(drop_the_line)
    run = Run.start(replace(clinic.team(), ledger=ledger), "pay ann").approve(by="ann")
    (asked,) = run.approvals
    notices = [json.loads(notice.body) for notice in ledger.notices.list() if notice.event == "pending"]
    (told,) = [notice["approval"] for notice in notices if notice["approval"]["action"] == "settle_outcome"]
    assert told["answers"][f"signoff edit {asked.id} --set happened=no"] == (
        "it did not happen: it is called again, with the same key"
    )
    ledger.notices.wait()
    assert (home / "got").exists()


def test_an_answer_is_taken_back_at_the_command_line(signoff: Any, doubt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked = doubt
    assert signoff("reject", asked).code == 0
    assert run.status == "stopped"
    said = signoff("revoke", asked)
    assert (said.code, "it is asked again" in said.err) == (0, True)
    assert asked in signoff("approvals").out
    assert signoff("edit", asked, "--set", "happened=no").code == 0
    assert clinic.PAID == ["ann"]
    said = signoff("revoke", asked)
    assert (said.code, "pay was called again since" in said.err) == (1, True)


def test_a_run_that_died_in_a_call_is_shown_as_such_at_once(signoff: Any, home: Path) -> None:
    command = [sys.executable, "-c", DIE, str(PROGRAMS)]
    died = warm.run(command, capture_output=True, text=True)
    assert died.returncode == 9, died.stderr
    run_id, pid = died.stdout.split()
    assert "cut off while pay was being" in flat(signoff("runs").out)
    assert signoff("runs", "--json").json[0]["standing"] == "cut off while pay was being called"
    told = flat(signoff("show", run_id).out)
    assert f"by process {pid}: nobody knows yet whether it happened" in told
    assert f"Can go on: signoff resume {run_id}" in told
    run = Run.open(run_id)
    shown = run._repr_markdown_()
    assert "**cut off while pay was being called**" in shown
    assert "`run.resume()` goes on" in shown
    assert "nobody knows yet whether it happened" in standing(run_id).note
    run.resume()
    assert f"by process {pid}" in run.approvals[0].reason
    assert "cut off" not in flat(signoff("runs").out)


def test_a_call_that_goes_on_is_not_said_to_be_cut_off(ledger: Ledger) -> None:
    seen: list[str] = []
    clinic.BEFORE.append(lambda: seen.append(str(standings(ledger, ledger.runs.list())[0])))
    assert Run.start(clinic.team(), "pay ann").approve(by="ann").status == "done"
    assert seen == ["running"]


@pytest.fixture
def expired(ledger: Ledger) -> tuple[Run, str]:
    """A run whose question nobody answered in time, and the question's id."""
    run = Run.start(clinic.team(), "pay ann")
    (asked,) = run.approvals
    with ledger.write() as connection:
        connection.execute(text("UPDATE approvals SET expires_at = :at"), {"at": later(-60)})
    return run, asked.id


@pytest.mark.parametrize(
    "words",
    [
        ("approve", "ID"),
        ("reject", "ID"),
        ("edit", "ID", "--set", "to=bob"),
        ("respond", "ID", "why?"),
        ("revoke", "ID"),
    ],
    ids=lambda words: words[0],
)
def test_whoever_decides_too_late_is_told_so_when_and_what_to_do(
    signoff: Any, ledger: Ledger, expired: Any, words: tuple[str, ...]
) -> None:
    run, asked = expired
    at = ledger.approvals.get(asked).expires_at[:16].replace("T", " ")
    said = signoff(*(asked if word == "ID" else word for word in words))
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert f"{asked} expired at {at}: nobody decided it in time." in line
    assert f"pay is not done. Let the run go on without it: `signoff resume {run.id}`" in line


def test_the_lists_tell_what_expired_until_the_run_has_gone_on(signoff: Any, expired: Any) -> None:
    run, asked = expired
    assert "waiting, pay expired" in flat(signoff("runs").out)
    for words in (("approvals",), ("show", run.id)):
        assert f"{asked} expired at" in flat(signoff(*words).out)
    assert f"{asked} expired at" in standing(run.id).note
    assert f"{asked} expired at" in run._repr_markdown_()
    run.resume()
    assert (run.status, run.record.note.startswith("pay expired")) == ("stopped", True)
    assert "expired at" not in flat(signoff("approvals").out)
    assert "expired at" not in run._repr_markdown_()


@pytest.mark.parametrize("named", [True, False])
def test_a_handle_tells_that_it_expired(expired: Any, named: bool) -> None:
    run, asked = expired
    with pytest.raises(AlreadyDecided, match="expired at"):
        run.approve(approval=asked if named else None)
    with pytest.raises(AlreadyDecided, match="expired at"):
        run.approve(approval=asked if named else None)
    assert run.approvals == ()
    with pytest.raises(AlreadyDecided, match="expired at"):
        run.reject(approval=asked if named else None)


def test_an_answer_through_the_graph_that_comes_too_late_is_told_so(expired: Any) -> None:
    run, _ = expired
    run.resume()
    (outcome,) = run.values["outcomes"]
    assert outcome["status"] == "expired"
    assert "an answer after that does not count" in outcome["detail"]
    assert "an answer after that does not count" in run.values["messages"][-2].text


def test_what_an_answer_meant_is_said_when_it_is_given(signoff: Any, doubt: Any) -> None:
    _, asked = doubt
    assert "That means: it happened" in signoff("approve", asked, "--no-resume").err
    assert signoff("revoke", asked).code == 0
    assert "That means: nobody can tell" in signoff("reject", asked, "--no-resume").err
    assert signoff("revoke", asked).code == 0
    failed = ("--set", "happened=no", "--set", "retry=false")
    assert "is not called again: it failed" in signoff("edit", asked, *failed, "--no-resume").err


def test_a_question_that_can_still_be_decided_is_told_before_one_that_expired(ledger: Ledger, expired: Any) -> None:
    run, asked = expired
    with ledger.write() as connection:
        connection.execute(text("UPDATE approvals SET expires_at = :at"), {"at": later(60)})
    assert (ledger.approvals.lapsed(), [one.id for one in run.approvals]) == ([], [asked])
