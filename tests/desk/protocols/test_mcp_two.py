"""MCP on version 2 of the SDK, which cannot be installed beside the adapters: in a place of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from desk_pages import OFFICE

PLACE = Path(sys.prefix) / "mcp2"
INSTALL = f"needs version 2 of the SDK: pip install --target {PLACE} 'mcp>=2.3,<3'"
PROGRAM = Path(__file__).with_name("clients") / "mcp_two.py"
SHARED = Path(__file__).parents[2] / "shared" / "protocols"
TOOLS = ["cancel_run", "resume_run", "run_result", "run_status", "start_run"]


@pytest.mark.skipif(not PLACE.is_dir(), reason=INSTALL)
def test_both_protocols_are_spoken_and_a_goal_that_is_missing_is_asked_for(home: Path) -> None:
    (home / "office.py").write_text(OFFICE)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PLACE), str(SHARED)])}
    done = subprocess.run(
        [sys.executable, PROGRAM, "Ida"], cwd=home, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [told.pop("version") for told in said["told"]] == ["2026-07-28", "2025-11-25"]
    for told in said["told"]:
        assert "unknown: No run 'r-nothing'" in told.pop("wrong")
        assert told == {"tools": TOOLS, "asked": "post_letter", "cancelled": "stopped", "declined": True}
    assert said["goals"] == ["write Ida", "write Ida"]
    assert not (home / "sent.txt").exists()
