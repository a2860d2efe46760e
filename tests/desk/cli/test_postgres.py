"""The command line with everything in PostgreSQL."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

QUESTION = "When are spring tides?"
SECRET = "the-owner-of-the-harbour"


@pytest.fixture(autouse=True)
def configured(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_DATABASE", address)


def execute(address: str, statement: str) -> list[Any]:
    with psycopg.connect(address, autocommit=True) as connection:
        done = connection.execute(statement.encode())
        return list(done.fetchall()) if done.description else []


def start(signoff: Any, *words: str) -> Any:
    return signoff("run", "report", QUESTION, "--sources", "docs", "--model", "offline", *words)


def test_a_run_is_done_from_beginning_to_end(signoff: Any, documents: Path, home: Path, address: str) -> None:
    done = start(signoff, "--yes", "--json")
    assert done.code == 0, done.err
    assert "spring tide" in (home / "report.md").read_text().lower()
    run = done.json["run"]
    assert execute(address, "SELECT id, status FROM runs") == [(run, "done")]
    assert execute(address, "SELECT DISTINCT thread_id FROM checkpoints") == [(run,)]
    assert execute(address, "SELECT status FROM effects") == [("done",)]
    assert not list(home.rglob("signoff.db*"))
    shown = signoff("show", run, "--json").json
    assert (shown["status"], shown["state"]["goal"]) == ("done", QUESTION)
    assert [row["id"] for row in signoff("runs", "--json").json] == [run]


def test_a_run_waits_and_goes_on_in_another_process(signoff: Any, documents: Path, home: Path) -> None:
    waiting = start(signoff, "--json")
    assert waiting.code == 3, waiting.err
    (approval,) = signoff("approvals", "--json").json
    assert not (home / "report.md").exists()
    assert signoff("approve", approval["id"]).code == 0
    assert (home / "report.md").exists()
    assert signoff("approvals", "--json").json == []


def test_checking_reads_the_audit_log(signoff: Any, documents: Path, address: str) -> None:
    assert start(signoff, "--yes").code == 0
    whole = signoff("db", "check")
    assert (whole.code, "entries of the audit log" in whole.out) == (0, True)
    execute(address, "UPDATE audit SET body = '{}' WHERE seq = 2")
    changed = signoff("db", "check")
    assert changed.code == 1
    assert "entry 2" in changed.out


@pytest.mark.parametrize(
    "words", [("stats",), ("prune", "--keep-latest"), ("backup", "copy.db"), ("import", "other.db")], ids=lambda w: w[0]
)
def test_what_is_done_to_files_only_is_refused_in_one_line(signoff: Any, words: tuple[str, ...]) -> None:
    said = signoff("db", *words)
    assert said.code == 1
    assert "for SQLite files only" in said.err
    assert len(said.err.splitlines()) == 1


def test_an_address_where_a_file_is_meant_is_refused_without_telling_the_password(signoff: Any, home: Path) -> None:
    said = signoff("db", "check", "--database", f"postgresql://ann:{SECRET}@127.0.0.1:1/notes")
    assert (said.code, "SIGNOFF_DATABASE" in said.err, SECRET in said.err) == (1, True, False)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("words", [("runs",), ("approvals",), ("db", "check")], ids=lambda w: w[-1])
def test_a_server_that_is_not_there_is_told_in_one_line_without_the_password(
    signoff: Any, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("SIGNOFF_DATABASE", f"postgresql://ann:{SECRET}@127.0.0.1:1/notes")
    said = signoff(*words)
    assert said.code == 1
    assert "postgresql://127.0.0.1/notes" in said.err
    assert len(said.err.splitlines()) == 1
    assert SECRET not in said.err + said.out
