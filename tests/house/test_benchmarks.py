import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.hunt


def test_the_checkpoint_benchmark_prints_its_table(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "checkpoints.py"), "--quick", "--markdown", "--folder"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("| ")]
    for row in ("put ms, N = 50", "superstep CPU ms, N = 200", "read latest ms, N = 200", "supersteps/s, 20 threads"):
        assert row in rows


def test_the_sandbox_benchmark_prints_its_table() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "sandbox.py"), "--rounds", "1", "--markdown"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    rows = {line.split("|")[1].strip(): line.split("|")[2:4] for line in done.stdout.splitlines() if line[:1] == "|"}
    assert all(cell.strip().endswith(" ms") for cell in rows["none"])
    assert rows["monty"][1].strip().endswith(" ms")


def test_the_benchmark_of_paths_counts_each_way() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "call_paths.py"), "--markdown", "--list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:1] == "|"]
    figures = {(row[0], row[1]): [int(cell) for cell in row[2:]] for row in rows[2:]}
    files, _, _, changes, _ = figures["guarded model call", "the caller's"]
    assert (files <= 16, changes <= 50) == (True, True)
    assert figures["act to effect", "the caller's"][0] <= 18
    assert len(figures) == 8
    assert "agents/models/call.py" in done.stdout


def test_the_benchmark_of_overhead_compares_with_the_leanest_peers() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "overhead.py"), "--rounds", "1", "--jobs", "1", "--markdown"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:1] == "|"]
    figures = {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}
    for peer in ("hand-written, artifacts handed on", "the same, lean client"):
        assert figures["model calls"][peer] == "11.0"
        theirs, transcript = (
            float(figures["prompt bytes"][name].replace(",", "")) for name in (peer, "LangGraph by hand")
        )
        assert theirs < transcript / 2
        assert f"signoff ÷ {peer}" in rows[0]


def teams_benchmark(*options: str) -> dict[str, list[str]]:
    """What it shows, by the first cell of each row."""
    command = [sys.executable, str(ROOT / "benchmarks" / "teams.py"), *options, "--markdown"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows[2:]}


def test_the_benchmark_of_teams_sends_each_evidence_once_and_counts_both_sizes() -> None:
    figures = teams_benchmark("--only", "competitors", "leads", "--companies", "4", "8", "--leads", "3", "6")
    for team in ("competitors", "leads"):
        assert figures[f"{team}, a scripted model: evidence sent an item"] == ["1", "1", "1.00"]
        small, large, _ = figures[f"{team}, a scripted model: prompt bytes an item"]
        assert float(large.replace(",", "")) < 1.1 * float(small.replace(",", ""))
    assert [row for row in figures if "database kB an item" in row]


@pytest.mark.hunt
def test_repositories_are_mended_in_memory_that_does_not_grow_with_them() -> None:
    """Each has a file of five megabytes, and four are worked on at a time."""
    figures = teams_benchmark("--only", "remediation", "--repositories", "4", "20")
    few, many, _ = (float(one.replace(",", "")) for one in figures["remediation, code: memory kB an item"])
    assert 20 * many < 2 * 4 * few
    assert figures["remediation, code: questions"] == ["2", "2", "1.00"]


def test_the_benchmark_of_the_fleet_counts_what_is_lost_and_what_happens_twice() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "fleet.py"), "--quick", "--markdown"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:1] == "|"]
    figures = {row[0]: row[1:] for row in rows}
    crowds = {name: row for name, row in figures.items() if name.startswith(("crowd: ", "kills: "))}
    assert len(crowds) == 3
    for name, (lost, twice, turns, ends, _, kills, *_) in crowds.items():
        assert (lost, twice, ends) == ("0", "0", "12"), name
        assert int(turns) >= 12
        assert kills.split(", ")[0] == ("2" if name.startswith("kills") else "0")
    assert "× DBOS" in figures["limit: beyond the graph, SQLite"][1]
