"""`evaluate`: cases are done as dry runs, checked by code, kept as they come, and held against the time before."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from signoff import Agent, Artifact, Ask, Policy, Proposal, Run, Task, Team, tool
from signoff.errors import BadCases, BadCheck, BadEvaluation, BadInput, SettingsError, TeamError
from signoff.fleet import replay
from signoff.fleet.evals import EvalCase, evaluate
from signoff.fleet.evals.evaluation import CaseResult, Evaluation, junit, read_evaluation
from signoff.fleet.evals.measuring import How
from signoff.testing import ScriptedModel, fails, gives
from signoff.tools import ask_person

CALLED: list[str] = []


class Note(Artifact):
    text: str
    length: int = 0


class Ticket(Artifact):
    number: str


class Letter(Artifact):
    text: str


@tool(risk="external")
def send(to: str, text: str) -> None:
    """Send it."""
    CALLED.append(to)


@tool(risk="external", gives=Ticket)
def file_ticket(title: str) -> dict[str, str]:
    """File a ticket."""
    CALLED.append(title)
    return {"number": "real"}


def note(task: Task) -> Note:
    if task.goal == "fail":
        raise RuntimeError("no ink")
    return Note(text=task.goal.upper(), length=len(task.goal))


def propose(made: Note, task: Task) -> list[Proposal]:
    return [send.propose({"to": task.goal.split()[0], "text": made.text})]


POLICY = Policy({"send": Ask(role="lead", quorum=2, four_eyes=True)})
WRITER = Agent(role="writer", gives=Note, function=note, actions=(send,), propose=propose)
TEAM = Team(name="notes", policy=POLICY, agents=[WRITER])


@pytest.fixture(autouse=True)
def _nothing_called(home: Path) -> Iterator[None]:
    yield
    assert CALLED == []


def problems(case: Mapping[str, Any], team: Team = TEAM, how: How | None = None) -> tuple[str, ...]:
    """What is wrong with the one case."""
    (result,) = evaluate(team, [case], how).results
    assert result.error == ""
    return result.problems


def test_a_case_passes_that_is_as_expected_and_what_asks_two_leads_is_decided_and_not_called() -> None:
    expect = {
        "actions": "send",
        "args": {"send": {"to": "ann"}},
        "equals": {"Note.length": 6},
        "contains": {"Note.text": ["ann"], "Note": "HI"},
        "lacks": {"Note.text": "bob"},
        "matches": {"Note.text": "^ANN"},
        "between": {"Note.length": [1, 10]},
        "max_usd": 0,
        "max_calls": 0,
        "max_seconds": 600,
    }
    assert problems({"goal": "ann hi", "expect": expect}) == ()


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ({"status": "stopped"}, "it is done, not stopped (send skipped by eval 0, eval 1: dry run: not called)"),
        ({"actions": []}, "proposed is send, not nothing"),
        ({"denied": "send"}, "denied is nothing, not send"),
        ({"args": {"send": {"to": "bob"}}}, 'no send with {"to": "bob"}: it has {"text": "ANN", "to": "ann"}'),
        ({"args": {"pay": {}}}, "no pay with {}: it is not proposed"),
        ({"equals": {"Note.length": 4}}, "Note.length is 3, not 4"),
        ({"contains": {"Note.text": ["ann", "bob"]}}, "Note.text lacks 'bob'"),
        ({"lacks": {"Note.text": "Ann"}}, "Note.text has 'Ann'"),
        ({"matches": {"Note.text": "^ann"}}, "Note.text does not match '^ann'"),
        ({"between": {"Note.text": [1, 2]}}, 'Note.text is "ANN", not from 1 to 2'),
        ({"equals": {"Note.words": 1}}, "there is no 'words' in Note, which has text, length"),
        ({"equals": {"Letter.text": ""}}, "there is no 'Letter' in the run, which has Note"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_as_expected_is_said(expect: Mapping[str, Any], said: str) -> None:
    assert problems({"goal": "ann", "expect": expect}) == (said,)


def test_people_decide_as_the_case_says() -> None:
    assert problems({"goal": "ann", "decide": "wait", "expect": {"status": "waiting", "actions": ["send"]}}) == ()
    assert problems({"goal": "ann", "decide": "reject", "expect": {"status": "stopped"}}) == ()
    changed = {"goal": "ann", "decide": {"send": {"to": "bob"}}, "expect": {"args": {"send": {"to": "bob"}}}}
    assert problems(changed) == ()


def test_a_question_is_answered_by_the_case_and_never_by_an_approval() -> None:
    asked = ask_person("Which?", Ticket)
    team = Team(
        name="asks",
        agents=[
            Agent(role="clerk", gives=Note, function=note, actions=(asked,), propose=lambda *_: [asked.propose({})]),
            Agent(
                role="writer",
                needs=(Ticket,),
                gives=Letter,
                function=lambda task: Letter(text=task.need(Ticket).number),
            ),
        ],
    )
    answered = {"goal": "x", "decide": {asked.name: {"number": "7"}}, "expect": {"equals": {"Letter.text": "7"}}}
    assert problems(answered, team) == ()
    (said,) = problems({"goal": "x"}, team)
    assert said.startswith(f"it is waiting, as it asks {asked.name}, not done")


def test_what_an_action_would_give_can_be_said_and_nothing_is_called() -> None:
    team = Team(
        name="desk",
        policy=Policy({"file_ticket": "ask"}),
        agents=[
            Agent(
                role="clerk",
                gives=Note,
                function=note,
                actions=(file_ticket,),
                propose=lambda *_: [file_ticket.propose({"title": "t"})],
            ),
            Agent(
                role="writer",
                needs=(Ticket,),
                gives=Letter,
                function=lambda task: Letter(text=task.need(Ticket).number),
            ),
        ],
    )
    case = {"goal": "x", "results": {"file_ticket": {"number": "T-1"}}, "expect": {"equals": {"Letter.text": "T-1"}}}
    assert problems(case, team) == ()
    with pytest.raises(SettingsError, match=r"'nothing' is no action of the team\. It has: file_ticket"):
        evaluate(team, [{**case, "results": {"nothing": {}}}])


def long_enough(run: Run, case: EvalCase) -> str:
    return "" if run.artifact(Note).length > 3 else f"{case.goal!r} is short"


def asserts(run: Run, case: EvalCase) -> None:
    assert run.artifact(Note).text == "ANNA", "another name"


def test_functions_check_too_by_name_or_from_a_file(home: Path) -> None:
    how = How(checks=[long_enough, asserts])
    case = {"goal": "ann", "checks": ["long_enough", "asserts"]}
    assert problems(case, how=how) == ("long_enough: 'ann' is short", "asserts: another name")
    assert problems({**case, "goal": "Anna"}, how=how) == ()
    (home / "mine.py").write_text("def never(run, case):\n    return False\n\ndef breaks(run, case):\n    1 / 0\n")
    said = problems({"goal": "ann", "checks": ["never", "breaks"]}, how=How(checks="mine.py"))
    assert said == ("never does not hold", "breaks failed: ZeroDivisionError: division by zero")
    with pytest.raises(BadCheck, match=r"the case 'case-1' names it, and there is none. There are: breaks, never"):
        evaluate(TEAM, [{"goal": "ann", "checks": "nevr"}], How(checks="mine.py"))


def test_a_judge_is_asked_only_where_a_case_says_so_and_what_it_says_counts() -> None:
    judge = ScriptedModel([gives({"passes": False, "why": "It shouts."})])
    cases = [{"goal": "ann", "judge": "Is it polite?"}, {"goal": "bob"}]
    first, second = evaluate(TEAM, cases, How(judge=judge)).results
    assert first.problems == ("the judge says: It shouts.",)
    assert second.passed
    (asked,) = judge.calls
    assert "Is it polite?" in asked.text
    assert "ANN" in asked.text
    with pytest.raises(SettingsError, match="the case 'case-1' asks a judge, and there is none"):
        evaluate(TEAM, cases)


def test_what_goes_wrong_in_one_run_is_its_result_and_stops_no_other() -> None:
    done = evaluate(TEAM, [{"id": "bad", "goal": "fail"}, {"id": "good", "goal": "ann"}])
    bad, good = done.results
    assert good.passed
    assert not bad.passed
    assert "no ink" in bad.why
    assert not done.passed


def test_a_run_that_failed_is_named_and_what_it_cost_until_then_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_PRICES", json.dumps({"scripted": {"input": 1, "output": 1}}))
    model = ScriptedModel({"drafter": [gives(Letter(text="Dear Ann"))], "writer": [fails(400, "no such model")]})
    drafting = Agent(role="drafter", gives=Letter, model=model, instructions="Write a letter.")
    failing = Agent(role="writer", needs=(Letter,), gives=Note, model=model, instructions="Write a note.")
    done = evaluate(Team(name="notes", agents=[drafting, failing]), [{"goal": "fail"}])
    (failed,) = done.results
    assert "no such model" in failed.error
    assert (failed.status, failed.calls, failed.run[:2]) == ("failed", 2, "j-")
    assert failed.usd > 0
    assert failed.tokens > 0
    assert "0/1 (0%), 1 error  " in repr(done)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "There are no cases in"),
        ('{"goal": "a"}\n{"goal": ', "line 2: "),
        ('{"goal": "a", "expct": {}}', "line 1: expct: Extra inputs are not permitted"),
        ('{"id": "a", "goal": "a"}\n\n{"id": "a", "goal": "b"}', "line 3: there is a case 'a' already"),
        ('{"goal": "a", "expect": {"matches": {"Note.text": "("}}}', "is no regular expression"),
        ('{"goal": "a", "decide": "yes"}', "'yes' is not approve, reject or wait"),
        ('["a"]', "line 1: it is no JSON object"),
        ("[" * 100_000, "line 1: it is nested too deeply"),
    ],
)
def test_lines_that_are_no_cases_are_told_before_anything_is_run(home: Path, lines: str, said: str) -> None:
    (home / "cases.jsonl").write_text(lines)
    with pytest.raises(BadCases) as refused:
        evaluate(TEAM, "cases.jsonl")
    assert said in str(refused.value)
    assert not (home / ".signoff").exists()


def test_what_the_team_does_not_take_is_told_before_anything_is_run(home: Path) -> None:
    with pytest.raises(SettingsError, match="the team takes only a goal"):
        evaluate(TEAM, [{"goal": "ann"}, {"input": {"limit": 1}}])
    assert not (home / ".signoff").exists()


def test_the_time_before_is_found_and_what_got_worse_and_better_since_is_said() -> None:
    cases: list[dict[str, Any]] = [
        {"id": name, "goal": name, "expect": {"between": {"Note.length": [3, 9]}}} for name in ("ann", "bo", "cleo")
    ]

    def team(make: Any) -> Team:
        return Team(name="notes", agents=[Agent(role="writer", gives=Note, function=make)])

    first = evaluate(team(lambda task: Note(text="", length=len(task.goal))), cases)
    assert first.before is None
    second = evaluate(
        team(lambda task: Note(text="", length=7 - len(task.goal) * 2)), [*cases[:2], {**cases[2], "goal": "c"}]
    )
    assert second.before is not None
    assert second.before.id == first.id
    assert second.worse == {"notes": ("ann",)}
    assert second.changed("notes", worse=False) == ("bo",)
    assert [said.partition(" since ")[0] for said in second.verdict] == ["notes got worse", "notes got better"]
    again = evaluate(team(lambda task: Note(text="", length=3)), cases, How(before=read_evaluation(_kept(first))))
    assert again.worse == {}


def _kept(done: Evaluation) -> Path:
    return Path(done.results[0].recording).parents[1] / "results.jsonl"


def test_versions_stand_side_by_side_and_a_case_is_repeated() -> None:
    loud = Team(name="notes", agents=[Agent(role="writer", gives=Note, function=note)])
    calm = Team(name="notes", agents=[Agent(role="writer", gives=Note, function=lambda task: Note(text=task.goal))])
    cases: list[dict[str, Any]] = [
        {"id": "ann", "goal": "ann", "expect": {"matches": {"Note.text": "ANN"}}},
        {"id": "any", "goal": "x"},
    ]
    done = evaluate({"loud": loud, "calm": calm}, cases, How(repeat=2, concurrency=3))
    assert [(score.version, score.passed, score.total) for score in done.scores] == [("loud", 4, 4), ("calm", 2, 4)]
    assert done.differences == ("ann",)
    assert done.verdict[0].startswith("calm is worse than loud: 2 of 4 pass, not 4. It fails where loud passes in ann.")
    assert "| ann | 2/2 | 0/2 |" in done._repr_markdown_()
    assert "<td>ann</td>\n<td>2/2</td>\n<td>0/2</td>" in done._repr_html_()
    assert repr(done).splitlines()[:2] == [
        "notes: 2 cases",
        "version  passed      cost     a case takes  calls  tokens",
    ]
    assert "\n✗ calm: ann: Note.text does not match 'ANN'" in repr(done)
    suites = ElementTree.fromstring(junit(done))
    assert [(suite.get("name"), suite.get("failures")) for suite in suites] == [
        ("notes loud", "0"),
        ("notes calm", "2"),
    ]
    assert {(part.tag, *sorted(part.keys())) for suite in suites for case in suite for part in case} == {
        ("failure", "message", "type"),
        ("system-out",),
    }, "what the schema of Jenkins allows in a test"
    assert f"run: {done.results[0].run}\n" in (suites[0][0].findtext("system-out") or "")
    assert read_evaluation(_kept(done)).scores == done.scores


def test_a_run_of_an_eval_is_recorded_and_can_be_played_again(tmp_path: Path) -> None:
    (result,) = evaluate(TEAM, [{"goal": "ann", "decide": "wait", "expect": {"status": "waiting"}}]).results
    now, then = replay(Path(result.recording), tmp_path / "played", team=TEAM)
    assert now == then
    assert now.status == "waiting"


def test_one_that_was_cut_off_goes_on_with_what_is_missing() -> None:
    cases = [{"id": str(number), "goal": f"ann {number}"} for number in range(4)]

    def leave(result: CaseResult, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(TEAM, cases, How(told=leave, concurrency=1))
    (file,) = Path(".signoff/evals").rglob("results.jsonl")
    with file.open("a") as cut:
        cut.write('{"version": "notes", "ca')  # as when it is killed while it writes
    (file.parent.parent / "20000101" / "x").mkdir(parents=True)
    (file.parent.parent / "20000101" / "results.jsonl").write_text("{")  # one that was killed as it began
    told: list[str] = []
    done = evaluate(TEAM, cases, How(resume=True, told=lambda result, *_: told.append(result.case)))
    assert (len(done.results), sorted(told)) == (4, ["2", "3"])
    assert done.passed
    fresh = evaluate(TEAM, [*cases, {"goal": "bob"}], How(resume=True))
    assert fresh.id != done.id


def test_a_budget_that_cannot_be_read_is_told_before_anything_is_run(home: Path) -> None:
    with pytest.raises(TeamError, match="five"):
        evaluate(TEAM, [{"goal": "ann"}], How(budget="five"))
    assert not (home / ".signoff").exists()


def test_a_file_that_is_no_evaluation_is_refused(home: Path) -> None:
    (home / "any.json").write_text(json.dumps({"a": 1}))
    with pytest.raises(BadEvaluation, match="is no evaluation"):
        read_evaluation("any.json")


def test_a_field_that_does_not_fit_names_the_case(home: Path) -> None:
    from pydantic import BaseModel

    class Wanted(BaseModel):
        limit: int

    team = Team(name="limited", input=Wanted, agents=[Agent(role="writer", gives=Note, function=note)])
    with pytest.raises(BadInput, match="limit"):
        evaluate(team, [{"id": "first", "input": {"limit": "many"}}])
