import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.hunt


def test_the_benchmark_of_rate_limits_prints_its_tables() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "limits.py"), "--quick", "--markdown", "--only", "burst 10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:2] == "| "]
    lost = {row[0]: row[-1] for row in rows}
    assert lost["Retry-After, 50/s, burst 10, 300 calls"] == "0"
    assert lost["Retry-After, 50/s, burst 100, 1000 calls"] == "0"


def test_the_benchmark_of_rate_limits_serves_its_endpoint_over_http() -> None:
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "limits.py"),
        "--real",
        "--markdown",
        "--only",
        "openai, bucket",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    [row] = [line for line in done.stdout.splitlines() if line.startswith("| openai, bucket 50/s")]
    assert row.split("|")[-2].strip() == "0"
