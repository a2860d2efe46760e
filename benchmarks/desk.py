"""What a page costs with 100 and with 10,000 approvals that wait, and a run of 50 and of 5,000 steps.

CPU of this process, the median of several requests in turn, with nothing between the page and who asks.
`python3 make.py bench -- desk [--approvals 10000] [--steps 5000]`
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import empty_checkpoint
from rich.console import Console
from rich.table import Table
from sqlalchemy import insert
from starlette.testclient import TestClient

from signoff.checkpoints import configured_ledger, configured_saver
from signoff.checkpoints.ledger import Ledger, Person
from signoff.checkpoints.ledger.schema import approvals, proposals, runs
from signoff.desk.web import desk_app
from signoff.settings import load_settings

ORIGIN = "http://desk.test"
TIMES = 25
LISTS = ("/", "/?tab=all", "/?tab=decided", "/?tab=all&team=post", "/approvals/a-50w", "/runs", "/runs/r-50", "/audit")


def fill(ledger: Ledger, first: int, last: int) -> None:
    """So many runs, each with an approval that waits and one that was decided."""
    rows: dict[Any, list[dict[str, object]]] = {runs: [], proposals: [], approvals: []}
    for place in range(first, last):
        at = f"2026-01-01T{place // 3600:02}:{place // 60 % 60:02}:{place % 60:02}.000000Z"
        run = {"id": f"r-{place}", "team": "post", "goal": f"goal {place}", "options": "{}", "status": "waiting"}
        rows[runs].append({**run, "driver": "graph", "created_at": at, "updated_at": at, "requested_by": "joe"})
        for kind, status in (("w", "pending"), ("d", "approved")):
            name, is_over = f"{place}{kind}", status == "approved"
            asked = {"action": "post_letter", "args": "{}", "args_sha256": "0", "reason": "", "risk": "external"}
            made = {"id": f"p-{name}", "run_id": run["id"], "proposed_by": "clerk", "created_at": at}
            rows[proposals].append({**made, **asked})
            decided = {"decided_by": "joe" if is_over else "", "decided_at": at if is_over else ""}
            row = {"id": f"a-{name}", "proposal_id": f"p-{name}", "run_id": run["id"], "shown": "{}"}
            row |= {"shown_sha256": "0", "status": status, "requested_at": at, "expires_at": "", "args": "{}"}
            rows[approvals].append({**row, **decided})
    with ledger.write() as connection:
        for table, values in rows.items():
            connection.execute(insert(table), values)


def walk(ledger: Ledger, run: str, steps: int) -> None:
    """A run of so many steps, each of which adds a message to its state."""
    at = "2026-01-01T00:00:00.000000Z"
    with ledger.write() as connection:
        row = {
            "id": run,
            "team": "post",
            "goal": f"{steps} steps",
            "options": "{}",
            "status": "done",
            "driver": "local",
        }
        connection.execute(insert(runs).values(**row, created_at=at, updated_at=at))
    config: Any = {"configurable": {"thread_id": run, "checkpoint_ns": ""}}
    with configured_saver(load_settings()) as saver:
        for step in range(steps):
            checkpoint = empty_checkpoint()
            version = f"{step + 1:08}"
            checkpoint["channel_values"] = {"plan": [], "turns": step}
            checkpoint["channel_versions"] = {"plan": "00000001", "turns": version}
            config = saver.put(config, checkpoint, {"source": "loop", "step": step}, {"turns": version})


def cost(client: TestClient, path: str) -> float:
    """Milliseconds of CPU of one request."""
    found = []
    for _ in range(TIMES):
        began = time.process_time()
        status = client.get(path).status_code
        found.append((time.process_time() - began) * 1000)
        if status != 200:
            sys.exit(f"{path}: {status}")
    return statistics.median(found)


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--approvals", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=5_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        ledger = configured_ledger(load_settings(home=Path(".signoff")))
        token = ledger.people.give_key(Person("ann"), "token", days=1, by="ann")
        client = TestClient(
            desk_app(ORIGIN, ledger=ledger), base_url=ORIGIN, headers={"authorization": f"Bearer {token}"}
        )
        fill(ledger, 0, 100)
        few = [cost(client, path) for path in LISTS]
        fill(ledger, 100, given.approvals)
        many = [cost(client, path) for path in LISTS]
        shown = Table("page", "100, ms CPU", f"{given.approvals:,}", "×")
        for path, one, other in zip(LISTS, few, many, strict=True):
            shown.add_row(path, f"{one:.1f}", f"{other:.1f}", f"{other / one:.2f}")
        walk(ledger, "r-short", 50)
        walk(ledger, "r-long", given.steps)
        one, other = cost(client, "/runs/r-short"), cost(client, "/runs/r-long")
        shown.add_row(f"a run of 50 and of {given.steps:,} steps", f"{one:.1f}", f"{other:.1f}", f"{other / one:.2f}")
        Console().print(shown)
        ledger.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
