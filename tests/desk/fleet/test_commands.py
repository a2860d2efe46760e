"""The commands of the fleet, as somebody types them."""

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from signoff.checkpoints.errors import UnknownRun
from signoff.fleet import FIRST, past_of, read_state
from signoff.fleet.queue import Worker
from signoff.settings import load_settings

SHOP = Path(__file__).parents[2] / "fleet" / "queue" / "programs" / "shop.py"


@pytest.fixture
def shop(home: Path) -> Path:
    (home / ".signoff").mkdir()
    shutil.copy(SHOP, home / "shop.py")
    return home


def lines(*jobs: Any) -> str:
    return "\n".join(job if isinstance(job, str) else json.dumps(job) for job in jobs)


def test_a_file_with_a_bad_line_submits_nothing_unless_those_are_to_be_left_out(shop: Path, signoff: Any) -> None:
    (shop / "jobs.jsonl").write_text(lines({"id": "a", "item": "ink"}, "nope", {"id": "b"}))
    told = signoff("fleet", "submit", "shop.py:auto", "jobs.jsonl")
    assert told.code == 2
    assert "Line 2: it is no JSON" in told.err
    assert "Line 3: " in told.err
    assert "item is missing" in told.err
    assert "Nothing was submitted. Mend 2 lines" in told.err
    told = signoff("fleet", "submit", "shop.py:auto", "jobs.jsonl", "--skip-bad", "--json")
    assert told.code == 0
    assert json.loads(told.out)["new"] == ["a"]
    (shop / "jobs.jsonl").write_text(lines({"id": "a", "item": "pen"}))
    again = signoff("fleet", "submit", "shop.py:auto", "jobs.jsonl")
    assert again.code == 1
    assert "Job 'a' of tenant 'default' was submitted at" in again.err


def test_jobs_are_changed_by_filter_with_a_count_before_and_not_without_saying_which(
    shop: Path, signoff: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = lines(*({"id": f"a-{number}", "item": "ink"} for number in range(3)))
    monkeypatch.setattr("sys.stdin", StringIO(given))
    signoff("fleet", "submit", "shop.py:auto", "-")
    assert "Which jobs?" in signoff("fleet", "cancel").err
    assert "3 jobs to drain: 3 queued. Nothing was changed." in signoff("fleet", "drain", "--all", "--dry-run").err
    assert "Say --yes" in signoff("fleet", "drain", "--all").err
    assert "3 jobs held." in signoff("fleet", "drain", "--all", "--yes").err
    assert "1 job put back into the queue." in signoff("fleet", "resume", "a-1").err
    assert "2 jobs cancelled." in signoff("fleet", "cancel", "--status", "held", "--yes").err
    told = signoff("fleet", "retry", "a-1")
    assert (told.code, "it would have to be parked" in told.err) == (1, True)
    found = json.loads(signoff("fleet", "jobs", "--json").out)
    assert [(job["id"], job["status"]) for job in found] == [
        ("a-0", "cancelled"),
        ("a-1", "queued"),
        ("a-2", "cancelled"),
    ]
    assert json.loads(signoff("fleet", "status", "--json").out)["counts"]["queued"] == 1
    assert "No worker is alive: start one with" in signoff("fleet", "status").out
    text = signoff("fleet", "status", "--md").out
    assert "| cancelled | 2 |" in text
    assert "## Is it moving?" in text
    ended = [json.loads(line) for line in signoff("fleet", "results").out.splitlines()]
    assert [line["id"] for line in ended] == ["a-0", "a-2"]


def test_a_schedule_shows_when_it_fires_and_is_paused_run_and_removed(shop: Path, signoff: Any) -> None:
    words = ("weekly", "0 8 * * 1", "shop.py:auto", '{"item": "ink"}', "--zone", "Europe/Berlin")
    told = signoff("schedule", "add", *words)
    assert told.code == 0, told.err
    assert told.err.count("Mon 2") == 5
    assert "08:00" in told.err
    assert "weekly" in signoff("schedule", "list").out
    assert "is submitted" in signoff("schedule", "run", "weekly").err
    assert json.loads(signoff("schedule", "list", "--json").out)[0]["given"] == {"item": "ink", "mode": ""}
    assert "no five fields of cron" in signoff("schedule", "add", "bad", "soon", *words[2:]).err
    for no_moment in ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "soon"):
        told = signoff("schedule", "backfill", "weekly", "--since", no_moment)
        assert (told.code, "is no moment with its zone" in told.err) == (2, True), no_moment
    for most in (
        ("schedule", "add", "huge", *words[1:], "--catch-up"),
        ("runs", "--limit"),
        ("fleet", "jobs", "--limit"),
    ):
        assert signoff(*most, 10**30).code == 2, most
    assert "is gone" in signoff("schedule", "remove", "weekly").err
    assert "There is no schedule 'weekly'" in signoff("schedule", "pause", "weekly").err


def test_a_run_is_cancelled_by_its_id_and_a_job_by_that_of_its_run(shop: Path, signoff: Any) -> None:
    (shop / "jobs.jsonl").write_text(lines({"id": "a", "item": "ink"}))
    signoff("fleet", "submit", "shop.py:asked", "jobs.jsonl")
    (job,) = json.loads(signoff("fleet", "jobs", "--json").out)
    assert "It is cancelled." in signoff("cancel", job["run_id"]).err
    assert json.loads(signoff("fleet", "jobs", "--json").out)[0]["status"] == "cancelled"
    asked = signoff("run", "shop.py:asked", "--item", "ink", "--json")
    run = json.loads(asked.out)["run"]
    told = signoff("cancel", run, "--by", "joe")
    assert (told.code, "It is cancelled." in told.err) == (0, True)
    assert "cancelled by joe" in signoff("show", run).out
    again = signoff("cancel", run)
    assert (again.code, "has ended: it is stopped" in again.err) == (1, True)
    assert "No run 'r-none'" in signoff("cancel", "r-none").err


def test_who_looks_as_a_tenant_sees_that_tenants_jobs_and_runs_alone_in_every_list(
    shop: Path, signoff: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants = ("acme", "bolt")
    for tenant in tenants:
        (shop / "jobs.jsonl").write_text(lines({"id": f"{tenant}-1", "item": f"{tenant}-ink", "tenant": tenant}))
        signoff("fleet", "submit", "shop.py:asked", "jobs.jsonl")
        weekly = (f"{tenant}-weekly", "0 8 * * 1", "shop.py:auto", json.dumps({"item": f"{tenant}-pen"}))
        assert signoff("schedule", "add", *weekly, "--tenant", tenant).code == 0
    Worker(load_settings(), 2, until_idle=True).run()
    runs = {job["tenant"]: job["run_id"] for job in json.loads(signoff("fleet", "jobs", "--json").out)}
    looks: list[tuple[str, ...]] = [
        ("runs",),
        ("runs", "--json"),
        ("approvals",),
        ("approvals", "--json"),
        ("costs",),
        ("fleet", "jobs"),
        ("fleet", "jobs", "--json"),
        ("fleet", "status"),
        ("fleet", "status", "--json"),
        ("fleet", "results"),
        ("fleet", "limit"),
        ("fleet", "metrics"),
        ("schedule", "list"),
        ("schedule", "list", "--json"),
        ("memory", "list"),
        ("audit", "export"),
    ]
    for mine, other in (tenants, tenants[::-1]):
        monkeypatch.setenv("SIGNOFF_TENANT", mine)
        said = ""
        for words in (*looks, ("show", runs[other]), ("costs", runs[other]), ("fleet", "jobs", runs[other])):
            told = signoff(*words)
            found = (told.out + told.err).replace(runs[other], "" if runs[other] in words else runs[other])
            assert other not in found, (mine, words, found)
            assert "Traceback" not in found
            said += found
        assert f"{mine}-ink" in said
        assert f"{mine}-weekly" in said
        assert runs[mine] in said
        assert signoff("fleet", "cancel", "--all", "--yes").code == 1
        assert "all tenants" in signoff("fleet", "work").err
        assert "one chain of all tenants" in signoff("audit", "verify").err
        for words in (("stats",), ("check",), ("backup", "b.db"), ("prune", "--keep-latest", "--yes")):
            assert "the database is that of all tenants" in signoff("db", *words).err, words
        assert f"signoff people --give NAME=tenant:{mine}" in signoff("serve", "--port", "0").err
        assert "Draft" in read_state(runs[mine], load_settings())["artifacts"]
        with pytest.raises(UnknownRun):
            read_state(runs[other], load_settings())
        with pytest.raises(UnknownRun):
            past_of(runs[other], FIRST, load_settings())


def test_rows_of_jobs_that_have_ended_are_dropped_and_submitted_again_they_are_not_done_anew(
    shop: Path, signoff: Any
) -> None:
    (shop / "jobs.jsonl").write_text(lines({"id": "a", "item": "ink"}))
    assert signoff("fleet", "submit", "shop.py:auto", "jobs.jsonl").code == 0
    Worker(load_settings(), 2, until_idle=True).run()
    assert (shop / "sent.txt").read_text().split() == ["ink"]
    assert "Add --older-than 30d" in signoff("db", "prune", "--jobs").err
    assert "Nothing was pruned" in signoff("db", "prune", "--jobs", "--older-than", "30d", "--yes").out
    assert "nobody can be asked" in signoff("db", "prune", "--jobs", "--older-than", "0s").err
    assert "Dropped the rows of 1 job" in signoff("db", "prune", "--jobs", "--older-than", "0s", "--yes").out
    assert json.loads(signoff("fleet", "jobs", "--json").out) == []
    assert "nothing" not in signoff("audit", "verify").err
    assert signoff("audit", "verify").code == 0
    again = signoff("fleet", "submit", "shop.py:auto", "jobs.jsonl", "--json")
    assert json.loads(again.out)["known"] == ["a"]
    Worker(load_settings(), 2, until_idle=True).run()
    assert (shop / "sent.txt").read_text().split() == ["ink"]
