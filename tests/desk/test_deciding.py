"""What a person sees of an approval before deciding it, and how one is decided at a terminal."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from terminals import CTRL_C, Terminal

from signoff.checkpoints.ledger.ledger import Ledger
from signoff.testing import ScriptedServer, fails

APPROVE = ("-m", "signoff", "approve")


@pytest.fixture
def asked(signoff: Any, documents: Path) -> str:
    """A run that waits: its approval's id."""
    said = signoff("run", "report", "Why does the tide rise and fall?", "--sources", "docs", "--json")
    assert said.code == 3, said.err
    return str(said.json["approval"])


def status(signoff: Any, asked: str) -> str:
    (known,) = signoff("show", asked, "--json").json
    return str(known["status"])


def edit_elsewhere(asked: str) -> None:
    """Somebody else has the question asked with other arguments; the question stays open."""
    ledger = Ledger(Path(".signoff", "signoff.db"), hooks=())
    with ledger.write() as connection:
        from sqlalchemy import update

        from signoff.checkpoints import canonical
        from signoff.checkpoints.ledger.schema import approvals

        args = {**ledger.approvals.get(asked).shown, "path": str(Path("other.md").absolute())}
        told = {"shown": canonical.canonical_json(args), "shown_sha256": canonical.digest(args)}
        connection.execute(update(approvals).where(approvals.c.id == asked).values(told))
    ledger.close()


def test_all_of_an_approval_is_shown_what_it_is_who_decides_and_what_each_answer_means(
    signoff: Any, asked: str
) -> None:
    (known,) = signoff("approvals", "--json").json
    said = signoff("show", asked).out
    exact = said.partition("Its arguments, exactly:")[2].partition("Their digest is")[0]
    assert json.loads(re.sub("(?m)^│ ", "", exact)) == known["shown"]
    for part in (
        f"Run {known['run_id']} of the team report",
        "Goal: Why does the tide rise and fall?",
        f"open until {known['expires_at'][:10]}",
        f"Risk: {known['risk']}",
        "Decides: anybody",
        f"Their digest is {known['shown_sha256']}.",
        f"signoff approve {asked}",
        f"signoff edit {asked} --set NAME=VALUE",
        f"signoff reject {asked} --why",
        f"signoff respond {asked}",
        "it is called once, with exactly these arguments",
    ):
        assert part in said
    assert signoff("approvals", asked).out == said


def test_what_was_decided_is_shown_with_who_decided_and_no_commands(signoff: Any, asked: str) -> None:
    signoff("reject", asked, "--why", "too short", "--by", "ann", "--no-resume")
    said = signoff("show", asked).out
    assert "It is rejected by ann" in said
    assert "too short" in said
    assert "signoff approve" not in said


def test_at_a_terminal_approve_shows_all_of_it_and_a_yes_approves(signoff: Any, asked: str) -> None:
    with Terminal(*APPROVE, asked) as terminal:
        terminal.until("Its arguments, exactly:")
        terminal.until("approve? [y/N]")
        assert not Path("report.md").exists()
        terminal.press("y\n")
        assert terminal.end() == 0, terminal.shown
    assert Path("report.md").exists()


@pytest.mark.parametrize(("keys", "code"), [("\n", 3), ("n\n", 3), ("yes please\n", 3), ("\x04", 3), (CTRL_C, 130)])
def test_at_a_terminal_anything_but_a_yes_decides_nothing(signoff: Any, asked: str, keys: str, code: int) -> None:
    with Terminal(*APPROVE, asked) as terminal:
        terminal.until("approve? [y/N]")
        terminal.press(keys)
        terminal.until("Nothing was decided.")
        assert terminal.end() == code
    assert status(signoff, asked) == "pending"


def test_what_was_changed_while_a_person_read_it_is_not_approved(signoff: Any, asked: str) -> None:
    with Terminal(*APPROVE, asked, "--no-resume") as terminal:
        terminal.until("approve? [y/N]")
        edit_elsewhere(asked)
        terminal.press("y\n")
        assert terminal.end() == 1
    assert "is not about what you saw" in terminal.shown
    assert status(signoff, asked) == "pending"


def test_yes_approves_at_a_terminal_without_asking(signoff: Any, asked: str) -> None:
    with Terminal(*APPROVE, asked, "--yes", "--no-resume") as terminal:
        assert terminal.end() == 0
    assert "approve?" not in terminal.shown
    assert status(signoff, asked) == "approved"


@pytest.mark.parametrize("redirected", ["stdout", "stderr"])
def test_with_one_output_redirected_it_is_shown_and_asked_on_the_other(
    signoff: Any, asked: str, redirected: str
) -> None:
    with open("log", "wb") as log, Terminal(*APPROVE, asked, "--no-resume", **{redirected: log}) as terminal:
        terminal.until("Its arguments, exactly:")
        terminal.until("approve? [y/N]")
        assert status(signoff, asked) == "pending"
        terminal.press("y\n")
        assert terminal.end() == 0, terminal.shown
    assert status(signoff, asked) == "approved"


def test_with_both_outputs_redirected_only_what_was_seen_before_is_approved(signoff: Any, asked: str) -> None:
    (known,) = signoff("show", asked, "--json").json
    for more, code, stands in (
        ((), 1, "pending"),
        (("--sha256", known["shown_sha256"][:12]), 0, "approved"),
    ):
        with open("log", "wb") as log, Terminal(*APPROVE, asked, "--no-resume", *more, stdout=log, stderr=log) as here:
            assert here.end() == code
        assert status(signoff, asked) == stands
    assert "Nobody would see what is approved" not in Path("log").read_text()


def test_what_is_set_twice_is_asked_back(signoff: Any, asked: str) -> None:
    said = signoff("edit", asked, "--set", "path=a.md", "--set", "path=b.md")
    assert (said.code, "--set path is there twice" in said.err) == (1, True)
    assert status(signoff, asked) == "pending"


def test_another_model_is_kept_with_the_run_and_the_log_agrees(
    signoff: Any, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer([fails(404)]) as server:
        monkeypatch.setenv("SIGNOFF_BASE_URL", server.url)
        monkeypatch.setenv("SIGNOFF_PRICES", '{"gtp": 0}')
        said = signoff("run", "report", "Why does the tide rise?", "--sources", "docs", "--model", "openai:gtp")
        assert said.code == 1
        (record,) = signoff("runs", "--json").json
        assert f"signoff resume {record['id']} --model NAME" in said.err
        said = signoff("resume", record["id"], "--model", "offline")
    assert said.code == 3, said.err
    (record,) = signoff("runs", "--json").json
    assert record["options"]["model"] == "offline"
    assert signoff("resume", record["id"], "--yes").code == 0
    assert signoff("audit", "verify").code == 0


def test_a_model_that_there_is_not_changes_nothing(signoff: Any, asked: str) -> None:
    (record,) = signoff("runs", "--json").json
    said = signoff("resume", record["id"], "--model", "opnai:gpt")
    assert (said.code, "opnai" in said.err) == (1, True)
    assert signoff("runs", "--json").json[0]["options"] == record["options"]


def test_commands_find_the_database_of_a_folder_above_and_say_so(
    signoff: Any, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = Path("notes", "old")
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    said = signoff("runs", "--json")
    assert len(said.json) == 1
    assert "of a folder above this one" in said.err
    assert signoff("approve", asked, "--no-resume").code == 0
    said = signoff("run", "report", "Why does the tide rise?", "--sources", "../../docs")
    assert "of a folder above this one" in said.err
    assert not Path(".signoff").exists()


def test_outside_of_a_project_nothing_is_made_and_it_says_where_it_looked_and_what_to_do(
    signoff: Any, home: Path
) -> None:
    said = signoff("runs")
    assert (said.code, str(home / ".signoff" / "signoff.db") in said.out) == (0, True)
    assert "signoff run report" in said.out
    assert signoff("runs", "--json").json == []
    assert "Nothing waits for a decision." in signoff("approvals").out
    assert "so nothing was spent" in signoff("costs").out
    assert (signoff("costs", "--json").json["spent"], signoff("people", "--json").json) == ([], {})
    assert "Nobody has a role." in signoff("people").out
    assert signoff("notify", "--list").out.startswith("No notices yet. There is no database")
    assert signoff("notify").out.startswith("Nothing to send. There is no database")
    assert (signoff("notify", "--list", "--json").json, signoff("notify", "--json").json["notices"]) == ([], [])
    for words in (
        ("show", "r-1"),
        ("show", "a-123456"),
        ("approve", "a-123456"),
        ("resume", "r-1"),
        ("notify", "--retry", "n-1"),
        ("db", "restored"),
    ):
        said = signoff(*words)
        assert (said.code, "is no database" in said.err) == (1, True), words
    assert not (home / ".signoff").exists()
