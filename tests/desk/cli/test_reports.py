"""Runs of the report team with models: exported as tests, and asking for more budget."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from signoff import Run
from signoff.agents.artifacts import Analysis, Theme
from signoff.agents.roles.researcher import Finding, Findings
from signoff.agents.roles.reviewer import Judgement
from signoff.agents.roles.writer import Sentence, Text
from signoff.testing import ScriptedServer, calls, gives

QUOTE = "The tide rises and falls twice a day because the moon pulls the water of the ocean."


def ask(signoff: Any, *words: object) -> str:
    """Start a run of the report team."""
    said = signoff("run", "report", "Why does the tide rise?", "--sources", "docs", "--json", *words)
    assert said.code in (0, 3), said.err
    run: str = said.json["run"]
    return run


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An endpoint with models for the report team, in the settings until it is gone."""
    found = Findings(findings=[Finding(source="tides.md", text=QUOTE)])
    sorted_out = Analysis(answer=(1,), themes=(Theme(title="Cause", quotes=(1,), summary="The moon does it."),))
    text = Text(title="The tide", answer=[Sentence(text="The moon pulls the water twice a day.", quotes=[1])])
    answers = {
        "researcher": [calls("search_sources", query="tide moon"), gives(found)] * 3,
        "analyst": [gives(sorted_out)] * 3,
        "writer": [gives(text)] * 3,
        "reviewer": [gives(Judgement(accepted=True))] * 3,
    }
    with monkeypatch.context() as context, ScriptedServer(answers, key="sk-secret-0123456789abcdef") as server:
        context.setenv("SIGNOFF_BASE_URL", server.url)
        context.setenv("SIGNOFF_MODEL", "openai:gpt-5.4-mini")
        context.setenv("OPENAI_API_KEY", "sk-secret-0123456789abcdef")
        yield context


def test_reports_are_played_again_with_nothing_but_pytest_and_the_documents(
    signoff: Any, documents: Path, endpoint: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.setenv("PWD", str(Path.cwd()))  # as shells have it; a path is no password
    runs = {
        "waiting": ask(signoff, "--record", "waiting.jsonl"),
        "approved": ask(signoff, "--yes", "--record", "approved.jsonl"),
        "rejected": ask(signoff, "--record", "rejected.jsonl"),
        "offline": ask(signoff, "--yes", "--model", "offline", "--record", "offline.jsonl"),
    }
    (asked,) = [found for found in signoff("approvals", "--json").json if found["run_id"] == runs["rejected"]]
    assert signoff("reject", asked["id"], "--no-resume").code == 0
    assert signoff("resume", runs["rejected"], "--record", "rejected.jsonl").code == 4
    for name in ("SIGNOFF_BASE_URL", "SIGNOFF_MODEL", "OPENAI_API_KEY"):
        endpoint.delenv(name)
    for name, run in runs.items():
        exported = signoff("export", f"{name}.jsonl", "--test", f"out/test_{name}.py", "--json")
        assert exported.code == 0, exported.err
        assert exported.json["run"] == run
    endings = {
        name: json.loads(Path(f"out/test_{name}.jsonl").read_text().splitlines()[-1])["ending"]["ending"]
        for name in runs
    }
    assert {name: ending["status"] for name, ending in endings.items()} == {
        "waiting": "waiting",
        "approved": "done",
        "rejected": "stopped",
        "offline": "done",
    }
    assert endings["waiting"]["proposals"][0]["args"]["path"] == str(Path("report.md").absolute())
    Path("report.md").unlink()
    shutil.rmtree(".signoff")
    assert pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "error", "out"]) == 0
    assert "4 passed" in capsys.readouterr().out
    assert not Path("report.md").exists(), "a replay does nothing outside"
    shutil.rmtree(documents)
    assert pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "error", "out"]) == 1
    assert "No folder" in capsys.readouterr().out


def test_a_question_about_a_budget_shows_its_edit_and_takes_it_without_what_is_fixed(
    signoff: Any, documents: Path, endpoint: pytest.MonkeyPatch
) -> None:
    endpoint.setenv("SIGNOFF_RUN_BUDGET", "steps=2")
    said = signoff("run", "report", "Why does the tide rise?", "--sources", "docs", "--record", "run.jsonl")
    assert said.code == 3, said.err
    run = Run.open(signoff("runs", "--json").json[0]["id"])
    assert run.approval is not None
    assert f"edit {run.approval.id} --set steps=…\n" in said.err
    assert "all that it names is added" in said.err
    asked = signoff("export", "run.jsonl", "--test", "out/test_x.py")
    assert "it waits for more budget" in asked.err
    run.approve(args={"steps": 10})
    assert run.approval is not None
    assert run.approval.action == "publish_report"
