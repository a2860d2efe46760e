"""Kills a process amid the life of a job: submitted, taken, asked, decided, taken again, done. Then another goes on.

Arguments: an empty folder, how many lines, and a seed. Prints a JSON line for each kill: what was found on disk right
after it, and how all ended. The queue's rows are dealt out here, as DBOS does, in the process itself. Each process is
a fork.
"""

import asyncio
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import dbos  # noqa: F401  # once, so that no fork imports it
from forked import KILLED, kill_some, must
from pydantic import BaseModel
from sqlalchemy import text

from signoff import Action, Agent, Draft, Policy, Settings, Team, checkpoints, fleet
from signoff.checkpoints.jobs import NewJob, Which
from signoff.fleet.driver import Driver
from signoff.fleet.queue import Fleet
from signoff.fleet.queue.turn import Turner

PLACES = {
    "jobs/job_table": checkpoints,
    "jobs/turns": checkpoints,
    "jobs/queue": checkpoints,
    "queue/turn": fleet,
    "queue/control": fleet,
}
JOB = NewJob(id="a-1", team="shop", goal="ink", options={})


class Bill(BaseModel):
    to: str


def shop(folder: Path) -> Team:
    sent = folder / "sent"

    def call(bill: Bill, key: str) -> dict[str, Any]:
        with sent.open("a") as file:
            file.write(f"{key}\n")
        return {}

    def reconcile(bill: Bill, key: str) -> dict[str, Any] | None:
        return {} if sent.exists() and key in sent.read_text() else None

    send = Action(name="send", description="Sends.", arguments=Bill, call=call, reconcile=reconcile, idempotent=True)
    clerk = Agent(
        role="clerk",
        gives=Draft,
        function=lambda task: Draft(title="x", markdown="# x", method="extracted"),
        actions=(send,),
        propose=lambda draft, task: [send.propose(Bill(to=task.goal), "It is due.")],
    )
    return Team(name="shop", agents=[clerk], policy=Policy({"send": "ask"}))


class OwnTurner(Turner):
    """Has the team in hand."""

    def __init__(self, driver: Driver, team: Team) -> None:
        super().__init__(driver, "host/1")
        self._own = team

    async def team_of(self, record: Any) -> Team:
        return self._driver.team_of(record, self._own)


def rows(opened: Fleet) -> dict[str, str]:
    with opened.ledger.read() as connection:
        found = connection.execute(text("SELECT workflow_uuid, status FROM workflow_status")).all()
    return {row[0]: row[1] for row in found}


def mark(opened: Fleet, row: str) -> None:
    with opened.ledger.write() as connection:
        connection.execute(
            text("UPDATE workflow_status SET status = 'SUCCESS' WHERE workflow_uuid = :row"), {"row": row}
        )


def go(folder: Path) -> dict[str, Any]:
    """Submit the job, be it again, and do what there is to do until it has ended."""
    settings = Settings(home=folder, database=str(folder / "signoff.db"), user="joe")
    opened = Fleet.open(settings)
    opened.submit([JOB])
    turner = OwnTurner(Driver(opened.ledger, settings), shop(folder))
    for _ in range(12):
        for row in [row for row, status in rows(opened).items() if status == "ENQUEUED"]:
            run_id, _, number = row.partition(":")
            asyncio.run(turner.do(run_id, int(number)))
            mark(opened, row)
        for approval in opened.ledger.approvals.pending():
            opened.ledger.approvals.approve(approval.id, by="ann")
        if all(job.is_over for job in opened.ledger.jobs.list(Which())):
            break
    return stands(folder)


def stands(folder: Path) -> dict[str, Any]:
    """What is on disk."""
    settings = Settings(home=folder, database=str(folder / "signoff.db"))
    if not (folder / "signoff.db").exists():
        return {"job": None}
    opened = Fleet.open(settings)
    job = opened.ledger.jobs.get(JOB.run_id)
    if job is None:
        return {"job": None}
    sent = (folder / "sent").read_text().split() if (folder / "sent").exists() else []
    return {
        "job": job.status,
        "attempts": job.attempts,
        "row": rows(opened).get(f"{job.run_id}:{job.turn}"),
        "sent": len(sent),
        "pending": len(opened.ledger.approvals.pending()),
        "problems": [problem.what for problem in opened.ledger.audit.verify().problems],
    }


def main() -> None:
    folder, number, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    roots = {module: Path(str(module.__file__)).parent for module in (checkpoints, fleet)}
    files = {str(roots[module] / f"{name}.py"): name for name, module in PLACES.items()}
    for home, line, code in kill_some(files, folder, number, seed, go):
        after = must(partial(stands, home))
        told = {"line": line, "killed": code == KILLED, "after": after, "end": must(partial(go, home))}
        sys.stdout.write(f"{json.dumps(told)}\n")


if __name__ == "__main__":
    main()
