"""MCP on version 2 of the SDK, which cannot be installed beside the adapters: in a place of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from desk_pages import OFFICE

PLACE = Path(sys.prefix) / "mcp2"
INSTALL = f"needs version 2 of the SDK: pip install --no-deps --target {PLACE} 'mcp>=2.3,<3' mcp-types"
PROGRAM = Path(__file__).with_name("clients") / "mcp_two.py"
SHARED = Path(__file__).parents[2] / "shared" / "protocols"
TOOLS = ["cancel_run", "resume_run", "run_result", "run_status", "start_run"]
VISITS = """
from datetime import date
from typing import Literal

from pydantic import BaseModel, Field

from signoff import Agent, Artifact, Team


class Visit(BaseModel):
    place: str
    person: str
    way: Literal["by train", "on foot"]
    day: date
    nights: int = Field(gt=0)


class Note(Artifact):
    text: str


def note(task):
    to = task.input
    return Note(text=f"{to.person} to {to.place} {to.way}, {to.day}, {to.nights} nights")


visits = Team(name="visits", input=Visit, agents=[Agent(role="scout", gives=Note, function=note)])
"""


@pytest.mark.skipif(not PLACE.is_dir(), reason=INSTALL)
def test_both_protocols_are_spoken_and_what_is_missing_is_asked_for(home: Path) -> None:
    (home / "office.py").write_text(OFFICE)
    (home / "visits.py").write_text(VISITS)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PLACE), str(SHARED)])}
    done = subprocess.run(
        [sys.executable, PROGRAM, "Ida"], cwd=home, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [told.pop("version") for told in said["told"]] == ["2026-07-28", "2025-11-25"]
    for told in said["told"]:
        assert "unknown: No run 'r-nothing'" in told.pop("wrong")
        assert told == {
            "tools": TOOLS,
            "asked": "post_letter",
            "given": "waiting",
            "cancelled": "stopped",
            "declined": "bad_input",
            "cannot ask": "bad_input",
            "needs": ["place", "person", "way", "day", "nights"],
            "visit": "Ann to Ulm on foot, 2026-05-01, 2 nights",
        }
    assert said["goals"].count("write Ida") == said["goals"].count("write Bo") == 2
    assert not (home / "sent.txt").exists()
