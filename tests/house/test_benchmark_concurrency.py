import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.hunt


def test_the_concurrency_benchmark_prints_its_tables_and_every_team_makes_the_calls_it_needs(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "concurrency.py"), "--quick", "--markdown", "--supervisor"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if "|" in line]
    assert {"1 in flight", "20 in flight"} <= {row[0] for row in rows}
    calls = {row[1]: row[5] for row in rows if row[0] == "4"}
    others = ("LangGraph by hand", "the same, lean client", "langgraph-supervisor")
    assert calls == {"signoff": "6.0", **dict.fromkeys(others, "11.0")}
