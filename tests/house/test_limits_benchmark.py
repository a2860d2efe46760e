import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.hunt


def test_the_benchmark_of_rate_limits_prints_its_table() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "limits.py"), "--quick", "--markdown", "--only", "alone"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in done.stdout.splitlines() if line[:2] == "| "]
    assert ["limiter alone, nothing told", "6", "0"] in rows
    assert ["limiter alone, 3 processes", "6", "0"] in rows
