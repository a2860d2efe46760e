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

from rich.console import Console
from rich.table import Table
from starlette.testclient import TestClient

from signoff.checkpoints import configured_ledger
from signoff.checkpoints.ledger import Person
from signoff.desk.web import desk_app
from signoff.settings import load_settings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "shared"))

from desk_pages import ORIGIN, fill, walk

TIMES = 25
LISTS = ("/", "/?tab=all", "/?tab=decided", "/?tab=all&team=post", "/approvals/a-50w", "/runs", "/runs/r-50", "/audit")


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
