"""Recording a run of the report team through a scripted endpoint, and replaying it with no key and no endpoint."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import warm

from signoff.agents.artifacts import Analysis, Theme
from signoff.agents.roles.researcher import Finding, Findings
from signoff.agents.roles.reviewer import Judgement
from signoff.agents.roles.writer import Sentence, Text
from signoff.testing import ScriptedServer, calls, fails, gives

QUESTION = "Why does the tide rise and fall?"
QUOTE = "The tide rises and falls twice a day because the moon pulls the water of the ocean."
CLAIM = "The moon pulls the water of the ocean twice a day."
KEY = "sk-verysecret-0123456789abcdef"


def script(**changes: Any) -> dict[str, Any]:
    return {
        "researcher": [
            calls("search_sources", query="tide moon"),
            gives(Findings(findings=[Finding(source="tides.md", text=QUOTE)])),
        ],
        "analyst": [
            gives(Analysis(answer=(1,), themes=(Theme(title="Cause", quotes=(1,), summary="The moon does it."),)))
        ],
        "writer": [gives(Text(title="The tide", answer=[Sentence(text=CLAIM, quotes=[1])]))],
        "reviewer": [gives(Judgement(accepted=True))],
        **changes,
    }


@pytest.fixture
def recording(signoff: Any, documents: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recording of a run that waits for a person, made with a key; key and endpoint are gone afterwards."""
    with monkeypatch.context() as context, ScriptedServer(script(), key=KEY) as server:
        context.setenv("SIGNOFF_BASE_URL", server.url)
        context.setenv("OPENAI_API_KEY", KEY)
        said = signoff("run", "report", QUESTION, "--sources", "docs", "--record", "run.jsonl", "--json")
        assert said.code == 3, said.err
        assert "Recorded on run.jsonl" in said.err
    return Path("run.jsonl")


def proposed(signoff: Any, run: str) -> dict[str, Any]:
    """What a run asks a person."""
    (asked,) = [found for found in signoff("approvals", "--json").json if found["run_id"] == run]
    shown: dict[str, Any] = asked["shown"]
    return shown


def test_a_replay_gives_the_same_report_with_no_key_and_no_endpoint(signoff: Any, recording: Path) -> None:
    (recorded,) = signoff("approvals", "--json").json
    assert KEY not in recording.read_text()
    kinds = [json.loads(line).get("kind") for line in recording.read_text().splitlines()[1:]]
    assert kinds.count("model") == 5
    said = signoff("run", "report", QUESTION, "--sources", "docs", "--replay", recording, "--json")
    assert said.code == 3, said.err
    assert proposed(signoff, said.json["run"]) == recorded["shown"]
    assert "not asked" not in said.err


def test_a_tape_knows_the_team_the_question_and_the_documents(signoff: Any, recording: Path) -> None:
    said = signoff("run", "--replay", recording, "--json")
    assert said.code == 3, said.err
    assert signoff("show", said.json["run"], "--json").json["goal"] == QUESTION


def test_a_replay_says_so_and_does_nothing_outside(signoff: Any, recording: Path) -> None:
    said = signoff("run", "--replay", recording, "--yes")
    assert said.code == 0, said.err
    assert "replay of run.jsonl, dry run: nothing is called" in said.err
    assert "answers are replayed" in said.err
    assert not Path("report.md").exists()


def test_a_question_that_is_not_on_the_tape_ends_the_replay_and_shows_the_difference(
    signoff: Any, recording: Path
) -> None:
    said = signoff("run", "report", "Why does the sea rise and fall?", "--replay", recording)
    assert said.code == 1
    assert "never makes a live call" in said.err
    assert "[tide]" in said.err
    assert "[sea]" in said.err
    assert not Path("report.md").exists()


def test_what_was_not_asked_is_told(signoff: Any, recording: Path) -> None:
    lines = recording.read_text().splitlines()
    recording.write_text("\n".join([*lines, lines[1]]) + "\n")
    said = signoff("run", "--replay", recording)
    assert said.code == 3, said.err
    assert "1 exchanges of the recording were not asked" in said.err


def test_a_run_that_acts_cannot_go_on_from_a_tape(signoff: Any, recording: Path) -> None:
    (asked,) = signoff("approvals", "--json").json
    said = signoff("resume", asked["run_id"], "--replay", recording, "--yes")
    assert said.code == 1
    assert "no dry run" in said.err
    assert not Path("report.md").exists()


def test_a_new_run_is_not_recorded_on_the_tape_of_another(signoff: Any, recording: Path) -> None:
    before = recording.read_bytes()
    said = signoff("run", "report", QUESTION, "--sources", "docs", "--record", recording)
    assert said.code == 1
    assert "is there already" in said.err
    assert recording.read_bytes() == before
    assert signoff("run", "--record", "x", "--replay", recording).code == 1


def test_a_run_that_failed_goes_on_recording_on_its_tape(
    signoff: Any, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context, ScriptedServer(script(writer=[fails(401)])) as server:
        context.setenv("SIGNOFF_BASE_URL", server.url)
        context.setenv("SIGNOFF_MODEL", "openai:scripted")
        said = signoff("run", "report", QUESTION, "--sources", "docs", "--record", "run.jsonl")
        assert said.code == 1
        run = signoff("runs", "--json").json[0]["id"]
    with monkeypatch.context() as context, ScriptedServer(script()) as server:
        context.setenv("SIGNOFF_BASE_URL", server.url)
        context.setenv("SIGNOFF_MODEL", "openai:scripted")
        assert signoff("resume", run, "--record", "run.jsonl").code == 3
    said = signoff("run", "--replay", "run.jsonl")
    assert said.code == 1
    assert "401" in said.err, "the error is replayed as well"
    replayed = signoff("runs", "--json").json[0]["id"]
    monkeypatch.setenv("SIGNOFF_MODEL_RETRIES", "0")
    assert replayed != run


def test_without_a_tape_team_and_question_are_needed(signoff: Any) -> None:
    assert signoff("run").code == 2
    assert signoff("run", "--replay", "missing.jsonl").code == 1


def test_a_recorded_report_is_a_test_that_needs_neither_key_nor_endpoint(
    signoff: Any, recording: Path, documents: Path
) -> None:
    said = signoff("export", recording, "--test", "out/test_tide.py", "--json")
    assert said.code == 0, said.err
    assert said.json == {"run": said.json["run"], "test": "out/test_tide.py", "recording": "out/test_tide.jsonl"}
    assert KEY not in Path("out/test_tide.jsonl").read_text()
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "out/test_tide.py"]
    assert warm.run(command).returncode == 0
    (documents / "tides.md").write_text("# Tides\n\nNobody knows why.\n")
    changed = warm.run(command, capture_output=True, text=True)
    assert changed.returncode == 1
    assert "then" in changed.stdout or "NotRecorded" in changed.stdout


def test_a_recorded_model_that_says_the_opposite_of_its_quote_is_not_accepted(
    signoff: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = "Backups must not be encrypted in either of the two regions."
    (home / "docs").mkdir(exist_ok=True)
    (home / "docs" / "vault.md").write_text(f"# Vault\n\n{rule} The key would be lost with them.\n")
    false, true = "Backups must be encrypted in both regions.", "With encryption the key would be lost."
    lies = Text(title="Backups", answer=[Sentence(text=false, quotes=[1]), Sentence(text=true, quotes=[1])])
    says = script(
        researcher=[gives(Findings(findings=[Finding(source="[1]", text=rule)]))],
        writer=[gives(lies)] * 3,
        reviewer=[gives(Judgement(accepted=True))] * 3,
    )
    with monkeypatch.context() as context, ScriptedServer(says, key=KEY) as server:
        context.setenv("SIGNOFF_BASE_URL", server.url)
        context.setenv("OPENAI_API_KEY", KEY)
        said = signoff("run", "report", "Must backups be encrypted?", "--sources", "docs", "--record", "lie.jsonl")
        assert said.code == 3, said.err
        told = [str(request.body) for request in server.requests if "You are the writer" in str(request.body)]
    assert [false in body.partition("What must change")[2] for body in told] == [False, True, True]
    replayed = signoff("run", "--replay", "lie.jsonl", "--json")
    report = json.dumps(proposed(signoff, replayed.json["run"]), ensure_ascii=False)
    body, _, struck = report.partition("## Struck: not borne out by the sources")
    assert true.rstrip(".") in body
    assert false.rstrip(".") not in body
    assert f"“{false}” is not borne out by" in struck
    assert rule in struck
    assert signoff("export", "lie.jsonl", "--test", "out/test_lie.py").code == 0
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "out/test_lie.py"]
    assert warm.run(command).returncode == 0
