import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from signoff import Action, Agent, Draft, Policy, Run, SqliteCheckpointer, Team, open_saver, report_team
from signoff.errors import UnknownTeam
from signoff.fleet.driver import Driver


class Mail(BaseModel):
    to: str


@pytest.fixture
def sent() -> list[str]:
    return []


@pytest.fixture
def team(sent: list[str]) -> Team:
    def call(mail: Mail, key: str) -> dict[str, Any]:
        sent.append(mail.to)
        return {}

    send = Action(name="send_mail", description="Sends.", arguments=Mail, call=call)
    clerk = Agent(
        role="clerk",
        gives=Draft,
        function=lambda task: Draft(title="Mail", markdown=f"# {task.goal}", method="extracted"),
        actions=(send,),
        propose=lambda draft, task: [send.propose(Mail(to=task.goal), "It is due.")],
    )
    return Team(agents=[clerk], policy=Policy({"send_mail": "ask"}), name="post")


def test_a_run_is_driven_by_its_id_to_a_question_and_once_that_is_decided_to_its_end(
    team: Team, sent: list[str]
) -> None:
    run_id, driver = Run.start(team, "ann", drive=False).id, Driver.open()
    own = driver.team_of(driver.ledger.runs.get(run_id), team)
    driver.drive(run_id, own)
    (asked,) = driver.ledger.approvals.pending(run_id)
    driver.drive(run_id, own)
    assert driver.ledger.approvals.pending(run_id) == [asked]
    driver.ledger.approvals.approve(asked.id, by="bob")
    driver.drive(run_id, own)
    assert (driver.ledger.runs.get(run_id).status, sent) == ("done", ["ann"])
    assert driver.ledger.runs.get(run_id).owner == ""


def test_a_ready_made_team_is_built_again_from_what_the_run_keeps(home: Path) -> None:
    (home / "docs").mkdir()
    (home / "docs" / "tides.md").write_text("# Tides\n\nThe tide rises twice a day because the moon pulls the water.\n")
    run = Run.start(report_team(home / "docs", out=home / "report.md"), "Why does the tide rise?", drive=False)
    Driver.open().drive(run.id)
    assert run.status == "waiting"


def test_a_team_of_ones_own_must_be_given(team: Team) -> None:
    run = Run.start(team, "ann", drive=False)
    with pytest.raises(UnknownTeam):
        Driver.open().drive(run.id)
    assert run.status == "running"


def test_threads_drive_runs_at_once_over_one_open_saver(team: Team, home: Path) -> None:
    del home
    runs = [Run.start(team, f"ann-{number}", drive=False) for number in range(4)]
    opened = Driver.open()
    with open_saver(opened.settings.database_name) as saver:
        driver = Driver(opened.ledger, opened.settings, saver)
        own = driver.team_of(driver.ledger.runs.get(runs[0].id), team)
        threads = [threading.Thread(target=driver.drive, args=(run.id, own)) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [run.status for run in runs] == ["waiting"] * 4


class Breaking(SqliteCheckpointer):
    """Keeps the last checkpoint of a run, and then says that it could not."""

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        put = await super().aput(config, checkpoint, metadata, new_versions)
        if checkpoint["channel_values"].get("run", {}).get("ended"):
            raise OSError("the line dropped after the commit")
        return put


def test_a_run_whose_last_checkpoint_was_kept_has_ended_whatever_its_saver_said(team: Team, sent: list[str]) -> None:
    run = Run.start(team, "ann")
    run_id, opened = run.id, Driver.open()
    opened.ledger.approvals.approve(run.approvals[0].id, by="bob")
    with Breaking(opened.settings.database_name) as saver:
        driver = Driver(opened.ledger, opened.settings, saver)
        with pytest.raises(OSError, match="after the commit"):
            driver.drive(run_id, driver.team_of(driver.ledger.runs.get(run_id), team))
    assert opened.ledger.runs.get(run_id).status == "failed"
    assert run.resume().status == "done"
    assert sent == ["ann"]
