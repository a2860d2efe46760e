"""How deep a report goes, on the command line: the plan of its parts is seen, changed and followed."""

import json
from pathlib import Path
from typing import Any

import pytest
from harbour import PARTS, QUESTIONS, answering, goal_of, role_of, write_documents

from signoff.testing import ScriptedServer

GOAL = " ".join(QUESTIONS[2])


def test_the_plan_of_a_deep_report_is_shown_edited_and_followed_by_another_command(
    signoff: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_documents(home / "docs")
    with ScriptedServer(answering(QUESTIONS[2])) as server:
        monkeypatch.setenv("SIGNOFF_BASE_URL", server.url)
        monkeypatch.setenv("SIGNOFF_API_KEY", "test")
        asked = signoff("run", "report", GOAL, "--sources", "docs", "--depth", "2", "--plan")
        assert asked.code == 3, asked.err
        for part in QUESTIONS[2]:
            assert f"Part: {part}" in asked.err
        [approval] = signoff("approvals", "--json").json
        assert f"signoff edit {approval['id']} --set steps.researcher.parts='[\"…\"]'" in asked.err
        boat = "Which boat does the museum show?"
        done = signoff("edit", approval["id"], "--set", f"steps.researcher.parts={json.dumps([boat])}")
        assert done.code == 3, done.err
        assert {goal_of(call) for call in server.calls if role_of(call) == "researcher"} == {boat}
    assert f"researcher: {boat}: round 1 of 2: reads 1 passage" in done.err
    assert f"│ │ ## {boat}" in done.err
    assert list(PARTS)[3] not in done.err


def test_a_depth_that_there_is_not_and_one_without_a_model_are_told(
    signoff: Any, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("run", "report", "Why does the tide rise and fall?", "--sources", "docs", "--model", "offline")
    assert "--depth" in signoff(*run, "--depth", "9").err
    assert signoff(*run, "--depth", "9").code == 2
    assert "--depth is for models, and changes nothing here." in signoff(*run, "--depth", "3").err.splitlines()[0]
    monkeypatch.setenv("SIGNOFF_DEPTH", "3")
    assert "--depth is for models" not in signoff(*run, "--depth", "0").err
