"""Kills a process while one part of a deep report is worked, and all others are on disk; then another goes on.

Argument: an empty folder. Prints a JSON line: of which parts the model was asked before the kill and after it, who else
was asked, and how the run stands. The model's server is in this process, the run in a fork of it.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from forked import KILLED, in_fork, must, saved_items

sys.path.insert(0, str(Path(__file__).parents[2] / "shared"))
from harbour import QUESTIONS, answering, goal_of, mark, research, role_of, write_documents

from signoff import Ledger, Run, Settings, report_team
from signoff.testing import Call, Reply, ScriptedServer

PARTS = [*QUESTIONS[4], *QUESTIONS[1]]
CUT = QUESTIONS[1][0]
"""The part that is killed, in its second round."""


def settings_for(folder: Path, url: str) -> Settings:
    known = {"home": folder / "home", "database": str(folder / "signoff.db"), "base_url": url, "api_key": "test"}
    return Settings(**known, model="openai:scripted", model_retries=0)  # type: ignore[arg-type]  # each has its own type


def go(folder: Path, url: str) -> dict[str, Any]:
    """Begin the run, or go on with it."""
    (folder / "pid").write_text(str(os.getpid()))
    settings = settings_for(folder, url)
    ledger = Ledger(settings.database, hooks=())
    known = ledger.runs.list()
    if known:
        run = Run.open(known[0].id, settings=settings).resume()
    else:
        run = Run.start(report_team(folder / "docs", settings=settings, depth=3), " ".join(PARTS), settings=settings)
    asked = run.approval.action if run.approval is not None else ""
    return {"status": run.status, "asked": asked, "draft": run.artifacts["Draft"].markdown}


def kill_once(folder: Path, url: Callable[[], str], call: Call) -> Reply:
    """The model's answer; the run's process is killed at the second round of one part, once the others are saved."""
    if goal_of(call) == CUT and mark("tariff") in call.text and not (folder / "killed").exists():
        (folder / "killed").touch()
        settings = settings_for(folder, url())
        [run] = Ledger(settings.database, hooks=()).runs.list()
        while saved_items(run.id, settings) < len(PARTS) - 1:
            pass
        os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
    return research(call)


def main() -> None:
    folder = Path(sys.argv[1])
    write_documents(folder / "docs")
    addresses: list[str] = []
    respond = answering(PARTS, {"researcher": partial(kill_once, folder, lambda: addresses[0])})
    with ScriptedServer(respond) as server:
        addresses.append(server.url)
        code, _ = in_fork(partial(go, folder, server.url))
        before = list(server.calls)
        ended = must(partial(go, folder, server.url))
        after = server.calls[len(before) :]
    told = {
        "killed": code == KILLED,
        "before": [goal_of(call) for call in before if role_of(call) == "researcher"],
        "after": [goal_of(call) for call in after if role_of(call) == "researcher"],
        "others": [role_of(call) for call in (*before, *after) if role_of(call) != "researcher"],
        **ended,
    }
    sys.stdout.write(f"{json.dumps(told)}\n")


if __name__ == "__main__":
    main()
