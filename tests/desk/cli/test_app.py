import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import warm

from signoff import __version__
from signoff.desk.cli.app import COMMANDS, LazyCommand
from signoff.installation import extra_command
from signoff.testing import ScriptedServer, fails

pytestmark = pytest.mark.smoke

QUESTION = "Why does the tide rise and fall?"


def run(signoff: Any, *more: object) -> Any:
    return signoff("run", "report", QUESTION, "--sources", "docs", *more)


def waiting(signoff: Any) -> tuple[str, str]:
    """A run that waits: its id and its approval's."""
    said = run(signoff, "--json")
    assert said.code == 3, said.err
    return said.json["run"], said.json["approval"]


def test_without_a_terminal_it_prints_the_approval_and_exits_with_3(signoff: Any, documents: Path) -> None:
    said = run(signoff)
    assert said.code == 3
    assert said.err.startswith("Model: offline")
    (approval,) = json.loads(signoff("approvals", "--json").out)
    assert f"signoff approve {approval['id']}" in said.err
    assert not Path("report.md").exists()


def test_yes_signs_off_what_is_proposed_and_the_report_is_written(signoff: Any, documents: Path) -> None:
    said = run(signoff, "--yes", "--out", "tide.md")
    assert said.code == 0, said.err
    report = Path("tide.md").read_text()
    assert "the moon pulls the water of the ocean" in report
    assert "tides.md" in report


def test_all_of_what_waits_can_be_seen_before_it_is_approved(signoff: Any, documents: Path) -> None:
    _, approval = waiting(signoff)
    (known,) = signoff("approvals", "--json").json
    assert f"all of it: signoff show {approval}" in signoff("approvals").out
    said = signoff("approvals", approval).out
    for line in known["shown"]["content"].splitlines():
        assert f"│ │ {line}".rstrip() in [shown.rstrip() for shown in said.splitlines()]
    exact = said.partition("Its arguments, exactly:")[2].partition("Their digest is")[0]
    assert json.loads(re.sub("(?m)^│ ", "", exact)) == known["shown"]
    assert f"Their digest is {known['shown_sha256']}." in said


def test_approving_by_id_writes_exactly_what_was_shown(signoff: Any, documents: Path) -> None:
    run_id, approval = waiting(signoff)
    (shown,) = json.loads(signoff("approvals", "--json").out)
    said = signoff("approve", approval, "--by", "ann")
    assert said.code == 0, said.err
    assert Path("report.md").read_text() == shown["shown"]["content"]
    record = signoff("show", run_id, "--json").json
    assert record["status"] == "done"
    assert "ann" in [entry["body"].get("by") for entry in record["audit"]]


def test_approving_twice_is_told_by_whom_and_when(signoff: Any, documents: Path) -> None:
    _, approval = waiting(signoff)
    signoff("approve", approval, "--by", "ann")
    again = signoff("approve", approval)
    assert again.code == 1
    assert "already decided: approved by ann at" in again.err


def test_rejecting_by_id_writes_nothing_and_keeps_the_reason(signoff: Any, documents: Path) -> None:
    run_id, approval = waiting(signoff)
    assert signoff("reject", approval, "--why", "too short").code == 0
    assert not Path("report.md").exists()
    record = signoff("show", run_id, "--json").json
    assert record["status"] == "stopped"
    assert "too short" in record["note"]


def test_editing_by_id_runs_the_edited_arguments(signoff: Any, documents: Path) -> None:
    _, approval = waiting(signoff)
    assert signoff("edit", approval, "--set", "path=other.md").code == 0
    assert Path("other.md").exists()
    assert not Path("report.md").exists()


def test_an_edit_that_does_not_fit_decides_nothing(signoff: Any, documents: Path) -> None:
    _, approval = waiting(signoff)
    for wrong in ("colour=red", "path"):
        said = signoff("edit", approval, "--set", wrong)
        assert said.code == 1
        assert "Nothing was decided" in said.err
    assert signoff("approve", approval).code == 0


def test_an_edit_that_changes_nothing_or_has_no_editor_decides_nothing(signoff: Any, documents: Path) -> None:
    _, approval = waiting(signoff)
    for words in ([], ["--set", f"path={Path.cwd() / 'report.md'}"]):
        said = signoff("edit", approval, *words)
        assert said.code == 1
        assert "Nothing was decided" in said.err or "Nothing was changed" in said.err
    assert [found["id"] for found in signoff("approvals", "--json").json] == [approval]


def test_markup_and_escapes_in_what_people_write_are_shown_and_do_nothing(signoff: Any, documents: Path) -> None:
    goal = "Why does the tide rise [/red] \x1b[41m \u202e?"
    said = signoff("run", "report", goal, "--sources", "docs", "--json")
    assert said.code == 3, said.err
    assert signoff("reject", said.json["approval"], "--why", "[/b]", "--by", "[/x]").code == 0
    for words in (["runs"], ["approvals"], ["show", said.json["run"]]):
        shown = signoff(*words)
        assert shown.code == 0
        assert "\x1b[41m" not in shown.out + shown.err
        assert "\u202e" not in shown.out + shown.err
    assert "[/red]" in signoff("show", said.json["run"]).out


def test_an_argument_that_is_no_text_is_one_line(signoff: Any, documents: Path) -> None:
    said = signoff("run", "report", "\udcff", "--sources", "docs")
    assert said.code == 2
    assert "is not text" in said.err


def test_closed_streams_do_no_harm(home: Path, documents: Path) -> None:
    command = f"{sys.executable} -m signoff run report '{QUESTION}' --sources docs --json <&- >&-"
    done = subprocess.run(["sh", "-c", command], cwd=home, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_a_decision_may_be_recorded_without_driving_the_run(signoff: Any, documents: Path) -> None:
    run_id, approval = waiting(signoff)
    assert signoff("approve", approval, "--no-resume").code == 0
    assert not Path("report.md").exists()
    assert signoff("resume", run_id).code == 0
    assert Path("report.md").exists()


def test_resuming_a_run_that_waits_says_what_it_waits_for(signoff: Any, documents: Path) -> None:
    run_id, approval = waiting(signoff)
    said = signoff("resume", run_id)
    assert said.code == 3
    assert approval in said.err


def test_a_question_that_the_documents_do_not_answer_is_said_so_and_nothing_is_invented(
    signoff: Any, documents: Path
) -> None:
    asked = ("run", "report", "What is the capital of Mongolia?", "--sources", "docs", "--yes", "--json")
    assert signoff(*asked).code == 0
    report = Path("report.md").read_text()
    assert "No document uses the words “capital” or “mongolia”." in report
    assert "Nothing was found that could be quoted" in report
    (documents / "mongolia.md").write_text(
        "# Mongolia\n\nThe capital of Mongolia is Ulaanbaatar, a city on the Tuul.\n"
    )
    assert signoff(*asked).code == 0
    assert "Ulaanbaatar" in Path("report.md").read_text()


def test_the_lists_tell_what_to_do_when_they_are_empty(signoff: Any, home: Path) -> None:
    assert "No runs yet" in signoff("runs").out
    assert "Nothing waits" in signoff("approvals").out
    assert signoff("runs", "--json").json == []
    assert signoff("approvals", "--json").json == []


def test_runs_and_show_tell_how_a_run_stands(signoff: Any, documents: Path) -> None:
    run_id, approval = waiting(signoff)
    assert run_id in signoff("runs").out
    assert [record["status"] for record in signoff("runs", "--json").json] == ["waiting"]
    shown = signoff("show", run_id[:5]).out
    for expected in (run_id, "waiting", "researcher", "reviewer", f"signoff approve {approval}"):
        assert expected in shown


def test_sources_lists_what_could_not_be_read(signoff: Any, documents: Path) -> None:
    (documents / "picture.md").write_bytes(b"\x00\x01\x02")
    said = signoff("sources", "docs")
    assert said.code == 0
    assert "2 documents" in said.out
    assert "picture.md" in said.out
    assert signoff("sources", "docs", "--json").json["documents"] == 2


def test_sources_says_once_and_in_one_piece_what_to_install(
    signoff: Any, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.pdf", "b.pdf"):
        (documents / name).write_bytes(b"%PDF-1.4")
    (tmp_path / "stubs").mkdir()
    (tmp_path / "stubs" / "pypdf.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path / "stubs")  # where the process that reads looks, too
    said = signoff("sources", "docs")
    assert said.code == 0
    assert said.out.count(f"\nRun: {extra_command('documents')}\n") == 1


def test_the_graph_is_drawn_as_text_and_as_a_picture(signoff: Any, home: Path) -> None:
    text = signoff("graph", "report").out
    assert not Path(".signoff").exists()  # looking is not working
    for node in ("intake", "supervisor", "researcher", "analyst", "writer", "reviewer", "gate", "act", "finish"):
        assert node in text
    assert signoff("graph", "report", "--png", "team.png").code == 0
    assert Path("team.png").read_bytes().startswith(b"\x89PNG")
    assert "nodes" in signoff("graph", "report", "--json").json["graph"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "report", "Why?", "--sources", "nowhere"], "No folder"),
        (["run", "report", "Why?"], "--sources"),
        (["run", "report", "Why?", "--sources", "docs", "--out", "docs"], "is a folder"),
        (["run", "report", "Why?", "--sources", "docs", "--out", "docs/tides.md/report.md"], "cannot be written"),
        (["run", "report", "Why?", "--sources", "docs", "--out", "report.pdf"], "ends in .md, .html or .docx"),
        (["run", "report", "  ", "--sources", "docs"], "is empty"),
        (["run", "poem", "Why?", "--sources", "docs"], "No ready-made team 'poem'"),
        (["run", "report", "Why?", "--sources", "docs", "--model", "nonsense"], "'nonsense'"),
        (["run", "report", "Why?", "--sources", "docs", "--model", "nobody:knows"], "'nobody:knows'"),
        (["run", "report", "Why?", "--sources", "docs", "--model", "openai:gpt"], "OPENAI_API_KEY: is not set"),
        (["resume", "r-none"], "No run 'r-none'"),
        (["show", "r-none"], "No run 'r-none'"),
        (["approve", "a-none"], "No approval 'a-none'"),
        (["reject", "a-none"], "No approval 'a-none'"),
        (["graph", "poem"], "No ready-made team 'poem'"),
        (["sources", "nowhere"], "No folder"),
    ],
)
def test_a_mistake_is_one_line_on_standard_error_and_exit_1(
    signoff: Any, documents: Path, words: list[str], expected: str
) -> None:
    said = signoff(*words)
    assert said.code == 1
    (line,) = [line for line in said.err.splitlines() if line.startswith("signoff: ")]
    assert expected in line
    assert "Traceback" not in said.err
    assert said.out == ""


def test_an_empty_folder_and_one_of_unreadable_files_say_so(signoff: Any, home: Path) -> None:
    (home / "empty").mkdir()
    (home / "binary").mkdir()
    (home / "binary" / "a.md").write_bytes(b"\x00" * 100)
    for folder in ("empty", "binary"):
        said = signoff("run", "report", QUESTION, "--sources", folder)
        assert said.code in (1, 3)
        assert "Nothing to read" in said.err
        assert "Traceback" not in said.err


def test_a_wrong_setting_names_itself(signoff: Any, documents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_MAX_TURNS", "many")
    said = run(signoff)
    assert said.code == 1
    assert "SIGNOFF_MAX_TURNS" in said.err


def test_a_foreign_database_is_one_line_and_untouched(
    signoff: Any, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mine.txt").write_text("my own notes, which are not a database at all" * 10)
    monkeypatch.setenv("SIGNOFF_DATABASE", "mine.txt")
    said = run(signoff)
    assert said.code == 1
    assert "not a signoff database" in said.err
    assert Path("mine.txt").read_text().startswith("my own notes")


def test_a_wrong_key_is_one_line_and_the_run_goes_on_once_it_is_right(
    signoff: Any, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer([fails(401)]) as server:
        monkeypatch.setenv("SIGNOFF_BASE_URL", server.url)
        said = run(signoff, "--model", "openai:gpt")
    assert said.code == 1
    (line,) = [line for line in said.err.splitlines() if line.startswith("signoff: ")]
    assert "refused the call" in line
    (record,) = signoff("runs", "--json").json
    assert record["status"] == "failed"
    assert "signoff resume" in said.err


def test_ctrl_c_leaves_a_run_that_can_be_resumed_and_says_how(signoff: Any, home: Path, documents: Path) -> None:
    command = [sys.executable, "-m", "signoff", "run", "report", QUESTION, "--sources", "docs"]
    process = warm.start(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    seen = ""
    while "researcher:" not in seen:
        seen += process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    (record,) = signoff("runs", "--json").json
    assert process.returncode == 130, rest
    assert f"signoff resume {record['id']}" in rest
    assert signoff("resume", record["id"], "--yes").code == 0
    assert Path("report.md").exists()


def test_at_a_terminal_it_shows_the_proposal_and_takes_the_answer(home: Path, documents: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "signoff", "run", "report", QUESTION, "--sources", "docs"]
    process = warm.start(command, stdin=follower, stdout=follower, stderr=follower, cwd=home)
    os.close(follower)
    seen = ""
    answers = iter(["perhaps\n", "a\n"])
    try:
        while True:
            try:
                seen += os.read(leader, 65536).decode(errors="replace")
            except OSError:  # the other end is closed
                break
            if seen.count("approve, edit, reject or later?") > seen.count("\x00answered"):
                seen += "\x00answered"
                os.write(leader, next(answers).encode())
    finally:
        process.wait(60)
        os.close(leader)
    assert process.returncode == 0, seen
    assert "decides nothing" in seen
    assert (home / "report.md").exists()


def test_help_and_version_are_quick_and_import_no_framework(home: Path) -> None:
    code = (
        "import resource, sys\n"
        "sys.argv = ['signoff', '--help']\n"
        "from signoff.desk.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'langgraph', 'langchain_core', 'openai', 'sqlalchemy', 'pydantic'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)\n"
        "print(*sorted(name for name in sys.modules if name.startswith('signoff.desk.')), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=home)
    assert "approvals" in done.stdout
    assert done.stderr.splitlines() == ["[]", "signoff.desk.cli signoff.desk.cli.app signoff.desk.cli.terminal"]
    version = subprocess.run([sys.executable, "-m", "signoff", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.strip() == __version__


def test_the_list_says_of_each_command_what_its_own_help_begins_with() -> None:
    for words, (place, sentence) in COMMANDS.items():
        whole = LazyCommand(words.split()[-1], place, sentence).load()
        assert f"{whole.help} ".startswith(f"{sentence} "), words
        assert whole.get_short_help_str(1_000) == sentence, words
