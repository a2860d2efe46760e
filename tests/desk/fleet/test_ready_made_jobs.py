"""The ready-made teams as jobs, unchanged: a line of a file each, done by a worker, decided by a person."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from crates import asks, make_crate, write_knots, write_records

from signoff.agents import Cases
from signoff.checkpoints import configured_ledger
from signoff.checkpoints.jobs import Which
from signoff.fleet.queue import Fleet, Worker
from signoff.settings import load_settings

TEAMS = Path(__file__).parents[2] / "graphs" / "teams"
COMPANIES = ("otterdb", "sealframe", "ternlite", "gannet", "puffindb")


def submit(signoff: Any, team: str, jobs: list[dict[str, Any]], *options: str) -> Any:
    Path("jobs.jsonl").write_text("\n".join(map(json.dumps, jobs)))
    return signoff("fleet", "submit", team, "jobs.jsonl", *options)


def work(ways: int = 9) -> None:
    """Do what there is to do and say yes to whatever is asked, until nothing is."""
    with closing(configured_ledger(load_settings())) as ledger:
        for _ in range(ways):
            Worker(load_settings(), 3, until_idle=True).run()
            asked = ledger.approvals.pending()
            for one in asked:
                ledger.approvals.approve(one.id, by="ann")
            if not asked:
                return
    raise AssertionError(f"it still asks after {ways} rounds: {asked}")


def test_repositories_and_companies_are_jobs_of_the_teams_as_they_are(home: Path, signoff: Any) -> None:
    shutil.copytree(TEAMS / "packages", home / "packages")
    shutil.copy(TEAMS / "packages.toml", home / "packages.toml")
    leads = [{"id": name, "companies": [name], "rubric": "packages.toml", "sources": "packages"} for name in COMPANIES]
    said = submit(signoff, "leads", leads)
    assert said.code == 1
    assert "5 jobs would all write to" in said.err
    assert submit(signoff, "leads", leads, "--out", "leads/{id}.md").code == 0
    market = {"id": "market", "goal": "databases", "companies": ["otterdb", "gannet"], "categories": ["licence"]}
    assert submit(signoff, "competitors", [market | {"sources": "packages"}]).code == 0
    advisories, wheels = write_records(home / "advisories"), write_knots(home / "wheels")
    repos = [make_crate(home / f"crate-{number}") for number in range(3)]
    given = [asks([repo], advisories, [wheels], home / f"{repo.name}.md") | {"id": repo.name} for repo in repos]
    assert submit(signoff, "remediation", given).code == 0
    work()
    ended = {line["id"]: line for line in Fleet.open(load_settings()).results(Which())}
    wrong = {
        id_: (line["status"], line["note"], line["error"]) for id_, line in ended.items() if line["status"] != "done"
    }
    assert (len(ended), wrong) == (9, {})
    with sqlite3.connect(home / "crm.db") as crm:
        assert sorted(name for (name,) in crm.execute("SELECT name FROM leads")) == ["otterdb", "sealframe"]
    written = {path.stem for path in (home / "leads").glob("*.md")}
    assert written == {*COMPANIES}
    assert "Apache-2.0" in (home / "report.md").read_text()
    cases = [Cases.model_validate(ended[repo.name]["artifacts"]["Cases"]).rows for repo in repos]
    assert [(case.repo, case.outcome) for (case,) in cases] == [(str(repo), "fixed") for repo in repos]
