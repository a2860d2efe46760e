"""Ctrl-C at a terminal, and signals that end: heard at once wherever a run hangs, and nothing is lost."""

import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from terminals import CTRL_C, Terminal

from signoff import Agent, Draft, Run, Team
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.desk.cli.run import stopped
from signoff.desk.cli.terminal import Stopping
from signoff.fleet import standings
from signoff.testing import ScriptedServer, hangs

HANGING = str(Path(__file__).parent / "cli" / "programs" / "hanging.py")
RUN = ("-m", "signoff", "run", "report", "Why does the tide rise?", "--sources", "docs")
KEPT = "The run is kept: "


def stands() -> str:
    """How the only run stands."""
    ledger = Ledger(Path(".signoff", "signoff.db"), hooks=())
    (found,) = standings(ledger, ledger.runs.list())
    ledger.close()
    return str(found)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model that takes a call and never answers."""
    with ScriptedServer([hangs()]) as server:
        monkeypatch.setenv("SIGNOFF_BASE_URL", server.url)
        monkeypatch.setenv("SIGNOFF_PRICES", '{"gpt": 0}')
        yield server


INTERRUPTED_IMPORT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
from signoff.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["signoff.desk", "typer", "signoff.desk.cli.terminal"])
def test_ctrl_c_while_the_command_is_imported_is_one_line(module: str, home: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT, module], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "\nStopped by you.\n")


@pytest.mark.usefixtures("endpoint")
def test_ctrl_c_ends_a_run_whose_model_never_answers_and_another_model_goes_on_with_it(
    signoff: Any, documents: Path
) -> None:
    with Terminal(*RUN, "--model", "openai:gpt") as terminal:
        terminal.until("asks gpt")
        terminal.press(CTRL_C)
        terminal.until("Stopping. Ctrl-C again leaves at once.")
        terminal.until(KEPT)
        assert terminal.end() == 130
    assert stands() == "cut off"
    (record,) = signoff("runs", "--json").json
    said = signoff("resume", record["id"], "--model", "offline", "--yes")
    assert (said.code, Path("report.md").exists()) == (0, True), said.err


@pytest.mark.parametrize("where", ["tool", "function"])
def test_ctrl_c_leaves_code_behind_that_blocks(where: str, home: Path) -> None:
    with Terminal(HANGING, where) as terminal:
        terminal.until(f"hangs in the {where}")
        terminal.press(CTRL_C)
        terminal.until("Stopping.")
        terminal.until("Stopped by you. " + KEPT)
        assert terminal.end() == 130
    assert stands() == "cut off"


def test_ctrl_c_before_a_run_is_driven_is_one_line(home: Path) -> None:
    Path("slow.py").write_text("import time\nprint('imported', flush=True)\ntime.sleep(60)\n")
    with Terminal("-m", "signoff", "run", "slow.py:team", "Goal") as terminal:
        terminal.until("imported")
        terminal.press(CTRL_C)
        terminal.until("Stopped by you.")
        assert terminal.end() == 130
    assert "Traceback" not in terminal.shown
    assert not Path(".signoff").exists()


def test_an_action_that_is_called_has_time_to_return_and_a_second_ctrl_c_leaves_at_once(home: Path) -> None:
    with Terminal(HANGING, "action") as terminal:
        terminal.until("hangs in the action")
        terminal.press(CTRL_C)
        terminal.until("The action that is being called has some seconds to return.")
        terminal.press(CTRL_C)
        terminal.until(KEPT)
        assert terminal.end() == 130
    assert stands() == "cut off while send_mail was being called"
    ledger = Ledger(Path(".signoff", "signoff.db"), hooks=())
    (effect,) = ledger.effects.of_run(ledger.runs.list()[0].id)
    ledger.close()
    assert effect.status == "claimed"  # nobody waited until its time was over


def test_how_to_go_on_is_known_to_whoever_ends_the_process_until_it_was_said(home: Path) -> None:
    class Listens(StringIO):
        def write(self, text: str) -> int:
            known.append(stopping.kept)
            return len(text)

    known: list[str] = []
    clerk = Agent(role="clerk", gives=Draft, function=lambda task: Draft(title="A", markdown="# A", method="extracted"))
    run = Run.start(Team(agents=[clerk], name="post"), "write", drive=False, budget="none")
    stopping = Stopping(Console(file=Listens()))
    stopping.kept = KEPT
    stopped(run, Console(file=Listens()), stopping)
    assert set(known) == {KEPT}
    assert not stopping.kept


@pytest.mark.hunt
def test_after_one_ctrl_c_it_says_that_nobody_knows_whether_the_action_happened(home: Path) -> None:
    with Terminal(HANGING, "action") as terminal:
        terminal.until("hangs in the action")
        terminal.press(CTRL_C)
        terminal.until("Stopped by you. " + KEPT)
        terminal.until("nobody knows yet")
        assert terminal.end() == 130
    assert stands() == "cut off while send_mail was being called"


def test_ctrl_c_at_the_question_decides_nothing(signoff: Any, documents: Path) -> None:
    with Terminal(*RUN) as terminal:
        terminal.until("later?")
        terminal.press(CTRL_C)
        terminal.until("Stopped by you. " + KEPT)
        assert terminal.end() == 130
    (asked,) = signoff("approvals", "--json").json
    assert asked["status"] == "pending"


def test_ctrl_c_in_an_editor_that_it_ends_decides_nothing(
    signoff: Any, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = Path("editor")
    editor.write_text("#!/bin/sh\necho edits\nread line\n")
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor.absolute()))
    with Terminal(*RUN) as terminal:
        terminal.until("later?")
        terminal.press("e\n")
        terminal.until("edits")
        terminal.press(CTRL_C)
        terminal.until("Stopped by you. " + KEPT)
        assert terminal.end() == 130
    (asked,) = signoff("approvals", "--json").json
    assert asked["status"] == "pending"


@pytest.mark.usefixtures("endpoint")
def test_a_signal_to_end_stops_a_run_as_ctrl_c_does(documents: Path) -> None:
    with Terminal(*RUN, "--model", "openai:gpt") as terminal:
        terminal.until("asks gpt")
        os.kill(terminal.process.pid, signal.SIGTERM)
        terminal.until("Stopped. " + KEPT)
        assert terminal.end() == 128 + signal.SIGTERM
    assert stands() == "cut off"


@pytest.mark.skipif(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, reason="it is ignored here, as by nohup")
@pytest.mark.usefixtures("endpoint")
def test_a_terminal_that_is_closed_stops_its_run(documents: Path) -> None:
    with Terminal(*RUN, "--model", "openai:gpt") as terminal:
        terminal.until("asks gpt")
        terminal.hang_up()
        assert terminal.process.wait(60) == 128 + signal.SIGHUP
    assert stands() == "cut off"
