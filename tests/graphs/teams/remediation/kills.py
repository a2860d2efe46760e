"""Kills a process amid a run of the remediation team, as `team_kills` does it, and says how the run ended."""

import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    tests = Path(__file__).resolve().parents[3]
    sys.path[:0] = [str(tests / "kills" / "programs"), str(tests / "shared")]

from crates import asks, crowd, make_crowd, write_crowd
from stand_in import git
from team_kills import kill_team

from signoff import Ledger, Run, Settings
from signoff.agents import Cases
from signoff.graphs.teams.remediation import remediation_team

FILES = (
    "agents/roles/remedy/ladder", "agents/roles/remedy/verifying", "agents/roles/remedy/evidence",
    "tools/advisories/environments", "tools/advisories/wheels", "tools/git/pull_requests", "tools/git/push",
    "graphs/teams/remediation", "graphs/nodes/act",
)  # fmt: skip
"""Where versions are tried, installed, proven, asked about and proposed."""
NAMES = ("plain", "partly", "later", "strict", "unpinned")


def go(_documents: str, folder: Path) -> dict[str, Any]:
    """Begin the run, or go on with it, to its end."""
    settings = Settings(home=folder / "home", database=str(folder / "signoff.db"))
    ledger = Ledger(settings.database, hooks=())
    team, known = remediation_team(model="offline", settings=settings), ledger.runs.list()
    if known:
        run = Run.open(known[0].id, team=team, settings=settings).resume()
    else:
        files = {name: files for name, files in crowd(folder / "outside", 9).items() if name in NAMES}
        if not (folder / "ready").exists():
            make_crowd(folder, files)
            write_crowd(folder)
            (folder / "ready").touch()
        repos = [folder / name for name in files]
        asked = asks(repos, folder / "advisories", [folder / "wheels"], folder / "out.md", pr="bare")
        run = Run.start(team, asked, settings=settings)
    while run.approval is not None:
        run.approve(approval=run.alike(), by="ann")
    cases = {Path(one.repo).name: one for one in run.artifact(Cases).rows}
    return {
        "status": run.status,
        "outcomes": {name: case.outcome for name, case in sorted(cases.items())},
        "taken": {
            name: [one.new for one in case.fix.taken] if case.fix else [] for name, case in sorted(cases.items())
        },
        "pulls": {name: len(records(folder, name, "refs/signoff/pulls")) for name in NAMES},
        "branches": {name: records(folder, name, "refs/heads/signoff") for name in NAMES},
        "runs": len(ledger.runs.list()),
    }


def records(folder: Path, name: str, under: str) -> list[str]:
    return git(folder / f"{name}.git", "for-each-ref", "--format=%(refname)", under).split()


if __name__ == "__main__":
    kill_team(FILES, go)
