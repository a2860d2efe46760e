"""Forking a run at the command line: from a step of it, asked anew, and what happened is not repeated."""

from pathlib import Path
from typing import Any

import pytest
from desk_pages import OFFICE
from sqlalchemy import update

from signoff.checkpoints import configured_ledger
from signoff.checkpoints.ledger.schema import effects
from signoff.settings import load_settings


def sent() -> list[str]:
    return Path("sent.txt").read_text().splitlines() if Path("sent.txt").exists() else []


@pytest.fixture
def posted(home: Path, signoff: Any) -> str:
    """The id of a run whose one letter was approved and posted."""
    (home / "office.py").write_text(OFFICE)
    said = signoff("run", "office.py:team", "write bob", "--yes", "--json")
    assert (said.code, sent()) == (0, ["bob: hello (1)"])
    return str(said.json["run"])


def step(signoff: Any, run: str, following: str) -> Any:
    """The earliest step after which this comes."""
    return [one for one in signoff("fork", run, "--json").json if one["next"] == [following]][-1]


def test_a_fork_asks_anew_and_what_was_called_is_not_called_again(signoff: Any, posted: str) -> None:
    listed = signoff("fork", posted)
    assert (listed.code, f"signoff fork {posted} --at STEP" in listed.out) == (0, True)
    assert "1 proposal" not in listed.out.partition("gate")[2]
    before = step(signoff, posted, "gate")
    forked = signoff("fork", posted, "--at", before["step"], "--json")
    assert (forked.code, forked.json["status"], sent()) == (3, "waiting", ["bob: hello (1)"])
    assert f"What {posted} has called, 1 action, is not called again" in forked.err
    new = forked.json["run"]
    assert f"forked from {posted}" in signoff("show", new).out
    assert signoff("approve", forked.json["approval"], "--yes").code == 0
    assert (sent(), signoff("show", new, "--json").json["status"]) == (["bob: hello (1)"], "done")
    other = signoff("fork", posted, "--at", before["id"], "--json").json  # by the checkpoint's id; another way
    assert signoff("edit", other["approval"], "--set", "text=anew").code == 0
    assert sent() == ["bob: hello (1)", "bob: anew (1)"]


def test_a_fork_can_be_left_for_later_and_be_dry_and_of_a_run_that_goes_on_one_is_warned(
    signoff: Any, posted: str
) -> None:
    waiting = signoff("run", "office.py:team", "write cy", "--json").json["run"]
    at = step(signoff, waiting, "gate")["step"]
    left = signoff("fork", waiting, "--at", at, "--no-resume", "--dry-run", "--json")
    assert (left.code, left.json["forked_from"], left.json["status"]) == (0, waiting, "running")
    assert f"signoff cancel {waiting}" in left.err
    assert "not called again" not in left.err
    assert signoff("resume", left.json["run"], "--yes").code == 0
    assert sent() == ["bob: hello (1)"]
    assert signoff("show", waiting, "--json").json["status"] == "waiting"


def test_a_fork_calls_nothing_while_nobody_knows_whether_it_was_done(signoff: Any, posted: str) -> None:
    ledger = configured_ledger(load_settings())
    with ledger.write() as connection:
        connection.execute(update(effects).values(status="unknown"))
    ledger.close()
    doubt = signoff("fork", posted, "--at", step(signoff, posted, "gate")["step"], "--yes")
    assert (doubt.code, sent()) == (1, ["bob: hello (1)"])
    assert f"Settle that there (`signoff show {posted}`)" in doubt.err


def test_a_step_that_there_is_not_is_refused_and_nothing_is_begun(signoff: Any, posted: str) -> None:
    for at in ("0" * 9, "999", "-5", "1f0", "nowhere", "9" * 30):
        refused = signoff("fork", posted, f"--at={at}")
        assert (refused.code, "has no step" in refused.err) == (1, True), at
        assert f"`signoff fork {posted}` lists those it has." in refused.err
    assert signoff("fork", posted, "--before", "999").code == 1
    first, *_, last = signoff("fork", posted, "--json").json
    assert signoff("fork", posted, "--limit", 1, "--json").json == [first]
    assert f"--before {first['step']}" in signoff("fork", posted, "--limit", 1).out
    assert signoff("fork", posted, "--before", first["step"], "--json").json[-1] == last
    assert len(signoff("runs", "--json").json) == 1
