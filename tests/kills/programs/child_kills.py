"""Kills a process amid a run within a run; then another process finishes both.

Arguments: an empty folder, how many lines, and a seed. Prints a JSON line for each kill at a line of what begins, asks,
calls, ends and notes a run that is the work of an agent, two levels deep. Each process is a fork.
"""

import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from forked import KILLED, kill_some, must
from pydantic import BaseModel

from signoff import Action, Agent, Artifact, Ledger, Policy, Run, Settings, Task, Team, checkpoints, graphs

ROOMS = {
    graphs: ("nodes/child", "nodes/intake", "nodes/gate", "nodes/act", "nodes/supervisor"),
    checkpoints: ("ledger/runs", "ledger/approvals", "ledger/effects"),
}
NAMES = ("ann", "bob")


class Mail(BaseModel):
    to: str


class Letters(Artifact):
    to: tuple[str, ...]


class Report(Artifact):
    text: str


def teams(folder: Path, ledger: Ledger) -> Team:
    box, worked = folder / "box", folder / "worked"

    def send(mail: Mail, key: str) -> Mapping[str, Any]:
        with box.open("a") as mails:
            mails.write(f"{mail.to} {key}\n")
        return {"to": mail.to}

    def find(mail: Mail, key: str) -> Mapping[str, Any] | None:
        there = box.exists() and f"{mail.to} {key}" in box.read_text().splitlines()
        return {"to": mail.to} if there else None

    def work(role: str, name: str) -> None:
        with worked.open("a") as roles:
            roles.write(f"{role}:{name}\n")

    def write(task: Task) -> Letters:
        work("mailer", task.goal)
        return Letters(to=NAMES)

    def report(task: Task) -> Report:
        work("reporter", task.goal)
        return Report(text=" ".join(task.need(Letters).to))

    mail = Action(name="send_mail", description="Sends.", arguments=Mail, call=send, reconcile=find)
    mailer = Agent(
        role="mailer",
        gives=Letters,
        function=write,
        actions=(mail,),
        propose=lambda letters, task: [mail.propose(Mail(to=name)) for name in letters.to],
    )
    mails = Team(name="mails", agents=[mailer], policy=Policy({"send_mail": "ask"}))
    office = Team(name="office", agents=[mails.as_agent(gives=Letters)])
    reporter = Agent(role="reporter", needs=(Letters,), gives=Report, function=report)
    return Team(name="post", agents=[office.as_agent(gives=Letters), reporter], ledger=ledger)


def go(folder: Path) -> dict[str, Any]:
    """Begin the run, or go on with it, and approve what it asks."""
    settings = Settings(home=folder, database=str(folder / "signoff.db"))
    ledger = Ledger(settings.database, hooks=())
    post, known = teams(folder, ledger), [run for run in ledger.runs.list() if not run.path]
    if known:
        run = Run.open(known[0].id, team=post, settings=settings).resume()
    else:
        run = Run.start(post, "write", settings=settings)
    while run.approvals:
        run.approve(approval=run.approvals[0].id, by="ann")
    asked = {
        entry.body["approval"]
        for child in run.children
        for entry in ledger.audit.entries(child.id)
        if entry.event == "asked"
    }
    return {
        "status": run.status,
        "note": run.record.note,
        "text": run.artifact(Report).text,
        "children": [[child.team, child.status] for child in run.children],
        "asked": len(asked),
        "whole": not ledger.audit.verify().problems,
        "open": len(ledger.approvals.pending()),
    }


def main() -> None:
    folder, number, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    files = {
        str(Path(str(room.__file__)).parent / f"{name}.py"): name for room, names in ROOMS.items() for name in names
    }
    for home, line, code in kill_some(files, folder, number, seed, go):
        ended = must(partial(go, home))
        sent = [mail.split()[0] for mail in (home / "box").read_text().splitlines()]
        worked = (home / "worked").read_text().split()
        told = {"at": line, "killed": code == KILLED, "sent": sent, "worked": worked, **ended}
        sys.stdout.write(f"{json.dumps(told)}\n")


if __name__ == "__main__":
    main()
