"""Drives a run that pays, and waits for a line on its input in the middle of it, so that it can be stopped there.

Arguments: the folder of the bank, where it waits (`work`, `claimed` or `pay`), and the name of its host, if it is to
have another. The database is the settings'. Prints the run's id, `waits` when it does, and how it ended.
"""

import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from payments import Bank, Payment, build_team

from signoff import Policy, Run, Task
from signoff.checkpoints import configured_ledger
from signoff.checkpoints.ledger import Approval
from signoff.checkpoints.ledger.effects import Claim
from signoff.error_base import SignoffError
from signoff.settings import load_settings


def wait() -> None:
    sys.stdout.write("waits\n")
    sys.stdout.flush()
    sys.stdin.readline()


@dataclass(frozen=True)
class SlowBank(Bank):
    def pay(self, payment: Payment, key: str) -> Mapping[str, Any]:
        wait()
        return super().pay(payment, key)


if __name__ == "__main__":
    folder, place, *host = sys.argv[1:]
    if host:
        socket.gethostname = lambda: host[0]
    bank = (SlowBank if place == "pay" else Bank)(Path(folder) / "bank")
    ledger = configured_ledger(load_settings())
    if place == "claimed":
        claim = ledger.effects.claim

        def claim_and_wait(approval: Approval, *, owner: str) -> Claim:
            claimed = claim(approval, owner=owner)
            wait()
            return claimed

        ledger.effects.claim = claim_and_wait  # type: ignore[method-assign]
    team = replace(build_team(bank, ledger), policy=Policy({"pay": "allow"}))
    clerk = team.agents[0]
    if place == "work":
        assert clerk.function is not None
        work = clerk.function

        def work_slowly(task: Task) -> Any:
            wait()
            return work(task)

        team = replace(team, agents=[replace(clerk, function=work_slowly)])
    run = Run.start(team, "ann", drive=False)
    sys.stdout.write(f"{run.id}\n")
    try:
        sys.stdout.write(f"{run.resume().status}\n")
    except SignoffError as error:
        sys.stdout.write(f"{type(error).__name__}: {error}\n")
