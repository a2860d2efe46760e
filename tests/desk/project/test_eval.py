"""`signoff eval`: of two models it says which is worse, where, and at what cost; and what got worse since."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from signoff.agents.artifacts import Analysis, Theme
from signoff.agents.roles.researcher import Finding, Findings
from signoff.agents.roles.reviewer import Judgement
from signoff.agents.roles.writer import Sentence, Text
from signoff.testing import Call, Reply, ScriptedServer, gives

FACTS = {
    "pilots": "Long ships take a pilot on board before the breakwater.",
    "tides": "High water comes twice a day because the moon pulls the sea.",
    "cranes": "Nobody stands under a crane while it lifts.",
    "ferries": "The last ferry leaves the island before dusk.",
    "customs": "Goods from abroad are declared at the yellow office.",
    "lighthouse": "Its keeper trims the lamp every evening.",
    "ice": "In hard winters a breaker opens the channel.",
    "fishing": "Nets are dried behind the old smokehouse.",
    "fuel": "Diesel is sold at the northern quay only.",
    "waste": "Empty bottles go into the green container.",
    "storms": "A red flag tells that the harbour is closed.",
    "dogs": "Animals walk on a leash along the promenade.",
    "moorings": "Guests tie up at the white buoys.",
    "water": "Drinking taps stand beside the sailing club.",
    "museum": "Visitors see a whale skeleton in the cellar.",
    "swimming": "Children bathe in the basin with a lifeguard.",
    "radio": "Captains call the tower before they enter.",
    "bridge": "It opens when the bell rings thrice.",
    "market": "Farmers sell cheese there on Saturdays.",
    "shipyard": "Wooden hulls are caulked in the long shed.",
}
WEAK = ("cranes", "fishing", "moorings", "museum", "radio", "shipyard")
"""Of which the cheap model tells something else."""
PRICES = json.dumps({"strong": {"input": 2, "output": 8}, "cheap": {"input": 0.2, "output": 0.8}})


def asked_about(call: Call) -> str:
    """What the goal asks about; the cheap model is mistaken about some."""
    topic = re.search(r"the handbook say about the (\w+)\?", call.text)
    assert topic is not None
    return "tides" if call.model == "cheap" and topic[1] in WEAK else topic[1]


def research(call: Call) -> Reply:
    topic = asked_about(call)
    return gives(Findings(findings=[Finding(source=f"{topic}.md", text=FACTS[topic])]))


def analyse(call: Call) -> Reply:
    return gives(Analysis(answer=(1,), themes=(Theme(title="Rules", quotes=(1,), summary="A rule."),)))


def write(call: Call) -> Reply:
    told = FACTS[asked_about(call)]
    number = re.search(rf'"id":(\d+),"text":"{re.escape(told)}"', call.text)
    assert number is not None, call.text
    return gives(Text(title="The handbook", answer=[Sentence(text=told, quotes=[int(number[1])])]))


SCRIPT = {
    "researcher": research,
    "analyst": analyse,
    "writer": write,
    "reviewer": lambda _call: gives(Judgement(accepted=True)),
}


@pytest.fixture
def handbook(home: Path) -> Path:
    """Twenty documents, and a case about each."""
    (home / "handbook").mkdir()
    for topic, told in FACTS.items():
        (home / "handbook" / f"{topic}.md").write_text(f"# {topic.title()}\n\n{told}\n")
    cases = [
        {
            "id": topic,
            "goal": f"What does the handbook say about the {topic}?",
            "expect": {"actions": ["publish_report"], "contains": {"Draft.markdown": f"{told[:-1]} [1]"}},
        }
        for topic, told in FACTS.items()
    ]
    file = home / "cases.jsonl"
    file.write_text("".join(f"{json.dumps(case)}\n" for case in cases))
    return file


def test_of_two_models_it_says_which_is_worse_and_where_and_what_it_cost(
    signoff: Any, handbook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer(SCRIPT, models=("strong", "cheap")) as server, monkeypatch.context() as context:
        context.setenv("SIGNOFF_BASE_URL", server.url)
        context.setenv("OPENAI_API_KEY", "key")
        context.setenv("SIGNOFF_PRICES", PRICES)
        models = ("--model", "openai:strong", "--model", "openai:cheap")
        done = signoff(
            "eval", "report", "cases.jsonl", "--sources", "handbook", *models, "--junit", "out/junit.xml", "--json"
        )
    assert done.code == 1, done.err
    strong, cheap = done.json["scores"]
    assert (strong["passed"], cheap["passed"], strong["total"]) == (20, 14, 20), done.err
    assert strong["usd"] > 5 * cheap["usd"] > 0
    assert done.json["differences"] == list(WEAK)
    (verdict,) = done.json["verdict"]
    where = ", ".join(WEAK)
    assert verdict.startswith("openai:cheap is worse than openai:strong: 14 of 20 pass, not 20.")
    assert f"It fails where openai:strong passes in 6 cases ({where})" in verdict
    assert f"It cost ${cheap['usd']:.4f}, openai:strong ${strong['usd']:.4f}." in verdict
    suites = ElementTree.parse("out/junit.xml").getroot()
    assert [(suite.get("tests"), suite.get("failures")) for suite in suites] == [("20", "0"), ("20", "6")]
    assert not Path("report.md").exists(), "nothing is called"
    assert signoff("runs", "--json").json == [], "and nothing stands among the runs"
    (failed,) = [one for one in done.json["results"] if (one["case"], one["version"]) == ("cranes", "openai:cheap")]
    replayed = signoff("run", "--replay", failed["recording"], "--json")
    assert replayed.code == 3, replayed.err


TEAM = """
from signoff import Agent, Artifact, Task, Team


class Note(Artifact):
    text: str


team = Team(name="notes", agents=[Agent(role="writer", gives=Note, function=lambda task: Note(text=task.goal{how}))])
"""


@pytest.fixture
def two_versions(home: Path) -> None:
    """A team in two files, which agree on one of two cases."""
    (home / "first_notes.py").write_text(TEAM.format(how=""))
    (home / "second_notes.py").write_text(TEAM.format(how=".upper()"))
    cases = [{"id": name, "goal": name, "expect": {"matches": {"Note.text": f"^{name}$"}}} for name in ("Ann", "BOB")]
    (home / "cases.jsonl").write_text("".join(f"{json.dumps(case)}\n" for case in cases))


def test_versions_of_a_team_stand_side_by_side_and_the_exit_code_says_what_was_asked(
    signoff: Any, two_versions: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("eval", "first_notes.py:team", "cases.jsonl", "--with", "second_notes.py:team")
    done = signoff(*words)
    assert done.code == 1, done.err
    assert done.err.count("Kept in") == 1, "once for all versions"
    found = re.search(r"Look at one: SIGNOFF_DATABASE=(\S+) \S+ show (j-\w+)", " ".join(done.out.split()))
    assert found is not None, done.out
    with monkeypatch.context() as context:
        context.setenv("SIGNOFF_DATABASE", found[1])
        assert "dry run" in signoff("show", found[2]).out
    assert "second_notes.py:team is worse than first_notes.py:team: 1 of 2 pass, not 2." in " ".join(done.out.split())
    assert "✗ second_notes.py:team: Ann: Note.text does not match '^Ann$'" in done.err
    assert signoff(*words, "--fail-on", "worse").code == 0, "it is as it was"
    assert signoff(*words, "--fail-on", "never").code == 0


def test_what_cannot_be_measured_is_told_in_one_line_before_anything_is_run(
    signoff: Any, two_versions: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    for words, problem in (
        (("nothing.jsonl",), "CASES: there is no file 'nothing.jsonl'"),
        (("cases.jsonl", "--model", "openai:any"), "no agent of first_notes.py:team works with a model"),
        (("cases.jsonl", "--tier", "fast"), "there is no tier 'fast'"),
        (("cases.jsonl", "--budget", "five"), "'five' is not usable"),
        (("cases.jsonl", "--against", "nothing.json"), "nothing.json"),
    ):
        done = signoff("eval", "first_notes.py:team", *words)
        assert (done.code, done.out) == (1, "")
        assert problem in done.err
    assert not list(home.glob(".signoff/evals/*/*/*/*.jsonl"))
