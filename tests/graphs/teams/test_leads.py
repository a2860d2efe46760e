"""The leads team: each trap of the candidates comes out as what it is, from documents to the CRM and the follow-ups."""

import json
import shutil
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from company_server import Companies, company_server

from signoff import Ledger, Run, Team
from signoff.agents import Candidates, Draft, Letters, Review, Scores
from signoff.agents.roles.tables.table_report import Overview, Said
from signoff.agents.roles.tables.table_researcher import Answers
from signoff.errors import ActionPostponed, BadInput
from signoff.graphs.teams.leads import FollowUps, Leads, Rows, leads_team
from signoff.settings import Settings
from signoff.testing import ScriptedServer, gives
from signoff.tools.crm import Row

HERE = Path(__file__).parent


@pytest.fixture
def packages(home: Path) -> Path:
    for name in ("packages.toml", "suppress.txt"):
        shutil.copy(HERE / name, home / name)
    return Path(shutil.copytree(HERE / "packages", home / "packages"))


def given(**changes: Any) -> dict[str, Any]:
    return {"rubric": "packages.toml", "sources": "packages", "suppress": "suppress.txt", **changes}


def start(team: Team | None = None, **changes: Any) -> Run:
    return Run.start(team or leads_team(model="offline"), given(**changes))


_WRITTEN: list[bytes] = []


def written_before() -> None:
    """The CRM as a run of all candidates leaves it, which is done once."""
    if not _WRITTEN:
        approve_all(start())
        _WRITTEN.append(Path("crm.db").read_bytes())
    Path("crm.db").write_bytes(_WRITTEN[0])


def approve_all(run: Run, until: str = "") -> Run:
    while run.approval is not None and run.approval.action != until:
        run.approve(approval=run.alike())
    return run


def table(name: str = "leads") -> list[dict[str, Any]]:
    with sqlite3.connect("crm.db") as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {name} ORDER BY id")]


def asked(run: Run) -> list[str]:
    return sorted(str(one.shown["name"]) for one in run.approvals)


def failed_checks(run: Run) -> list[str]:
    return [check.name for check in run.artifact(Review).checks if not check.passed]


def test_every_trap_of_the_candidates_comes_out_as_what_it_is(packages: Path, home: Path) -> None:
    run = start()
    assert run.artifact(Candidates).suppressed == ("cormorant",)
    assert run.artifact(Candidates).twice == ("sealframe: sealframe-again.txt, sealframe.txt",)
    assert asked(run) == ["gannet", "otterdb", "puffindb", "sealframe", "ternlite"]
    assert len(run.alike()) == 5
    approve_all(run)
    assert run.status == "done"
    scores = {one.row: one for one in run.artifact(Scores).scores}
    assert {name: one.total for name, one in scores.items()} == {
        "otterdb": 6,
        "sealframe": 4,
        "ternlite": 2,
        "gannet": 0,
        "puffindb": 6,
    }
    assert scores["puffindb"].excluded.startswith("is not worked on any more: Classifier: Development Status")
    assert scores["sealframe"].open == ("runs on old Pythons: contradiction: ≥ 3.10 / ≥ 3.8",)
    assert [(row["name"], row["score"]) for row in table()] == [("otterdb", "6"), ("sealframe", "4")]
    assert "Requires-Dist: urllib3<2,>=1.26" in table()[1]["points"]
    assert "version" not in table()[0]["draft"]
    assert [(row["lead"], row["step"], row["status"]) for row in table("followups")] == [
        ("otterdb", "first mail", "planned"),
        ("otterdb", "reminder", "planned"),
        ("sealframe", "first mail", "planned"),
        ("sealframe", "reminder", "planned"),
    ]
    assert failed_checks(run) == []
    told = json.loads((home / "leads-summary.json").read_text())
    assert (told["rows"]["created"], told["rows"]["approved"], told["sent"]) == (2, 2, 0)
    assert told["suppressed"] == ["cormorant"]
    assert (home / "leads.md").read_text() == run.artifact(Draft).markdown
    assert "Hello otterdb" in run._repr_markdown_()


def test_every_point_cites_a_line_that_stands_in_its_document(packages: Path) -> None:
    run = approve_all(start(), until="write_lead")
    leads = run.artifact(Leads)
    for one in run.artifact(Scores).scores:
        assert one.total == sum(point.points for point in one.points)
        for point in one.points:
            cell = leads.numbered(point.cell)
            assert cell is not None
            assert cell.row == one.row
            if not point.line.startswith(("none of", "no such line")):
                assert any(point.line in (packages / span.source).read_text() for span in cell.spans)


def test_some_are_approved_one_is_edited_and_the_rest_rejected(packages: Path) -> None:
    run = approve_all(start(companies=["otterdb", "sealframe"]), until="write_lead")
    ids = {one.shown["name"]: one for one in run.approvals}
    run.reject(approval=ids["sealframe"].id, drive=False)
    changed = {**ids["otterdb"].shown["properties"], "draft": "Dear otters"}
    run.approve(args={**ids["otterdb"].shown, "properties": changed}, approval=ids["otterdb"].id)
    approve_all(run)
    assert run.status == "done"
    assert [(row["name"], row["draft"]) for row in table()] == [("otterdb", "Dear otters")]
    assert {row["lead"] for row in table("followups")} == {"otterdb"}
    assert failed_checks(run) == []


def test_a_second_run_changes_nothing_and_keeps_since_when_it_is_a_lead(packages: Path) -> None:
    written_before()
    with sqlite3.connect("crm.db") as connection:
        connection.execute("UPDATE leads SET since = '2026-01-05'")
    before = [row["signoff_key"] for row in table()]
    again = approve_all(start(companies=["sealframe"]))
    assert failed_checks(again) == []
    assert {row["since"] for row in table()} == {"2026-01-05"}
    assert [row["signoff_key"] for row in table()] == before
    changes = [one["result"]["change"] for one in again.values["outcomes"] if one["action"] == "write_lead"]
    assert changes == ["updated"]  # the digest that stands there is of another day
    third = approve_all(start(companies=["sealframe"]))
    assert [
        one["result"]["change"]
        for one in third.values["outcomes"]
        if one["action"] in ("write_lead", "schedule_followup")
    ] == ["unchanged"] * 3


def test_who_is_suppressed_later_gets_nothing_more_and_what_was_planned_is_cancelled(
    packages: Path, home: Path
) -> None:
    written_before()
    with (home / "suppress.txt").open("a") as file:
        file.write("SealFrame\n")
    run = approve_all(start(companies=["otterdb", "sealframe"]))
    assert run.artifact(Candidates).suppressed == ("sealframe",)
    planned = {(row["lead"], row["status"]) for row in table("followups")}
    assert planned == {("otterdb", "planned"), ("sealframe", "cancelled")}
    assert {row["text"] for row in table("followups") if row["lead"] == "sealframe"} == {""}
    assert failed_checks(run) == []


def test_who_is_suppressed_while_it_waits_is_not_written_although_it_was_approved(packages: Path, home: Path) -> None:
    run = approve_all(start(companies=["otterdb", "sealframe"]), until="write_lead")
    (home / "suppress.txt").write_text("https://sealframe.example.org\nsealframe.example.org  # asked us\n")
    approve_all(run)
    assert [row["name"] for row in table()] == ["otterdb"]
    told = json.loads((home / "leads-summary.json").read_text())
    assert (told["rows"]["approved"], told["rows"]["created"], told["rows"]["refused"]) == (2, 1, 1)
    assert "suppression list" in told["refused"][0]
    assert failed_checks(run) == []


def test_a_list_that_is_gone_when_it_is_needed_lets_nothing_out(packages: Path, home: Path) -> None:
    run = approve_all(start(companies=["sealframe"]), until="write_lead")
    (home / "suppress.txt").unlink()
    run.approve(approval=run.alike(), drive=False)
    with pytest.raises(Exception, match="suppress"):
        approve_all(run.resume())
    assert not Path("crm.db").exists()


def test_without_a_sender_nothing_is_sent_and_with_one_each_message_once(packages: Path) -> None:
    written_before()
    sent: list[str] = []

    def send(row: Row) -> Mapping[str, Any]:
        sent.append(f"{row.properties['lead']}: {row.properties['text']}")
        return {"sent": True}

    team = leads_team(model="offline", sender=send)
    run = approve_all(start(team, companies=["otterdb", "sealframe"]), until="send_followup")
    assert [one.risk for one in run.approvals] == ["irreversible"] * 2
    assert len(run.alike()) == 1  # what cannot be undone is asked one by one
    while run.approval is not None:
        run.approve(approval=run.approval.id)
    assert sorted(sent) == [
        "otterdb: Shall we send the patch for otterdb?",
        "sealframe: Shall we send the patch for sealframe?",
    ]
    assert {(row["step"], row["status"]) for row in table("followups")} == {
        ("first mail", "sent"),
        ("reminder", "planned"),
    }
    assert failed_checks(run) == []
    approve_all(start(leads_team(model="offline", sender=send), companies=["sealframe"]))
    assert len(sent) == 2


@pytest.mark.parametrize("shape", ["hubspot", "pipedrive"])
def test_a_crm_behind_http_has_the_same_rows_whatever_it_answers(packages: Path, shape: str) -> None:
    with company_server() as companies:
        wrong = iter(["drop", "hang up", (503, {}, {}), (429, {"Retry-After": "0"}, {"message": "slow"})])
        path = {"hubspot": "batch/upsert", "pipedrive": "/v1/organizations"}[shape]

        def fault(method: str, where: str, _body: Any) -> Any:
            return next(wrong, None) if method == "POST" and where.endswith(path) else None

        companies.fault = fault
        run = approve_all(start(crm=f"{shape}+http://127.0.0.1:{companies.port}", companies=["otterdb", "sealframe"]))
        assert run.status == "done", run.record.note
        assert failed_checks(run) == []
        leads = [kept for kept in companies.records.values() if "score" in kept]
        assert sorted(kept["name"] for kept in leads) == ["otterdb", "sealframe"]
        assert len(set(companies.keys())) == len(companies.records) == 6
        assert next(wrong, None) is None


def test_what_the_crm_refuses_is_counted_and_the_others_are_written(packages: Path, home: Path) -> None:
    with company_server() as companies:

        def refuse(_method: str, where: str, body: Any) -> Any:
            bad = where.endswith("upsert") and "sealframe" in json.dumps(body)
            return (400, {}, {"message": "score is not an option"}) if bad else None

        companies.fault = refuse
        two = ["otterdb", "sealframe"]
        run = approve_all(start(crm=f"hubspot+http://127.0.0.1:{companies.port}", companies=two))
        assert failed_checks(run) == []
        told = json.loads((home / "leads-summary.json").read_text())
        assert (told["rows"]["created"], told["rows"]["refused"]) == (1, 1)
        assert "score is not an option" in told["refused"][0]


def test_a_row_that_does_not_read_back_as_approved_is_found(packages: Path) -> None:
    with company_server() as companies:
        shout(companies)
        only = ["sealframe"]
        run = approve_all(start(crm=f"hubspot+http://127.0.0.1:{companies.port}", companies=only), until="continue_run")
        assert any(name.startswith("Each row reads back") for name in failed_checks(run))


def shout(companies: Companies) -> None:
    """The server keeps licences otherwise than they were sent."""

    def fault(_method: str, where: str, body: Any) -> Any:
        for one in body["inputs"] if where.endswith("upsert") else ():
            if "licence" in one["properties"]:
                one["properties"]["licence"] = one["properties"]["licence"].lower()

    companies.fault = fault


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"rubric": "none.toml"}, "there is no file"),
        ({"sources": "nowhere"}, "there is no such folder"),
        ({"suppress": "none.txt"}, "there is no file"),
        ({"crm": "packages"}, "is no file"),
        ({"crm": "suppress.txt"}, "it is no SQLite file: name another one"),
        ({"crm": "hubspot+http://127.0.0.1:9"}, "no rows can be written to 127.0.0.1:9"),
        ({"crm": "https://example.org"}, "names no CRM that is known here. Name a SQLite file"),
        ({"sources": ""}, "is not set. Name a folder of documents"),
        ({"sources": "empty"}, "there is nothing to read in '.*empty': it is empty. Add documents"),
        ({"sources": "pictures"}, "none of its 2 files can be read"),
        ({"rubric": "suppress.txt"}, "cannot be read"),
        ({"out": "suppress.txt/leads.md"}, "can be made"),
    ],
)
def test_what_cannot_be_used_is_said_before_the_run_begins(
    packages: Path, home: Path, wrong: dict[str, Any], why: str
) -> None:
    for folder in (home / "empty", home / "pictures"):
        folder.mkdir()
    (home / "pictures" / "otter.png").write_bytes(b"\x89PNG")
    (home / "pictures" / "notes.txt").touch()
    with pytest.raises(BadInput, match=why) as refused:
        start(**wrong)
    assert refused.value.field == next(iter(wrong))
    assert "\n" not in str(refused.value)
    assert Ledger(home / ".signoff" / "signoff.db").runs.list() == []


@pytest.mark.parametrize(
    ("faulty", "why"),
    [
        ("minimum = 1", "rules is missing"),
        (
            '[[rules]]\npoints = 1\nname = "x"\ncolumn = "y"\nhaz = "z"',
            r"rules\[1\].haz is nothing that is known there",
        ),
        ('[[rules]]\npoints = 1\nname = "x"\ncolumn = "y"\nmatches = "("', "no regular expression"),
        ('[[rules]]\npoints = 1\nname = "x"\ncolumn = "y"', "'x' needs one of has, lacks"),
    ],
)
def test_a_faulty_rubric_is_said_before_the_run_begins(packages: Path, home: Path, faulty: str, why: str) -> None:
    (home / "packages.toml").write_text(faulty)
    with pytest.raises(BadInput, match=why):
        start()


def read_only(path: Path) -> None:
    """SQLite writes to no file of a version that it does not know."""
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\x03")


def test_a_crm_that_takes_no_rows_for_now_stops_the_run_and_the_resumed_one_writes_each_once(
    packages: Path, home: Path
) -> None:
    run = approve_all(start(companies=["otterdb", "sealframe"]), until="write_lead")
    sqlite3.connect("crm.db").execute("CREATE TABLE notes (text)").connection.close()
    kept = Path("crm.db").read_bytes()
    read_only(Path("crm.db"))
    with pytest.raises(ActionPostponed, match="nothing was written: it may not be written to"):
        run.approve(approval=run.alike())
    with pytest.raises(ActionPostponed):
        run.resume()
    Path("crm.db").write_bytes(kept)
    approve_all(run.resume())
    assert run.status == "done"
    assert [row["name"] for row in table()] == ["otterdb", "sealframe"]
    assert failed_checks(run) == []
    assert Ledger(home / ".signoff" / "signoff.db").audit.verify().problems == ()


def test_a_row_that_somebody_changed_since_it_was_proposed_is_not_written_over(packages: Path, home: Path) -> None:
    written_before()
    with sqlite3.connect("crm.db") as connection:
        connection.execute("UPDATE leads SET since = '2026-01-05'")  # so that there is something to write
    run = approve_all(start(companies=["otterdb", "sealframe"]), until="write_lead")
    with sqlite3.connect("crm.db") as connection:
        connection.execute("UPDATE leads SET draft = 'Dear otters' WHERE name = 'otterdb'")
        connection.execute("ALTER TABLE leads ADD COLUMN phone")
        connection.execute("UPDATE leads SET phone = '1' WHERE name = 'sealframe'")
    approve_all(run)
    assert table()[0]["draft"] == "Dear otters"
    assert table()[1]["phone"] == "1"
    told = json.loads((home / "leads-summary.json").read_text())
    assert (told["rows"]["approved"], told["rows"]["updated"], told["rows"]["refused"]) == (2, 1, 1)
    assert "draft became 'Dear otters'" in told["refused"][0]
    assert failed_checks(run) == []


def test_a_dry_run_writes_nothing(packages: Path) -> None:
    run = approve_all(Run.start(leads_team(model="offline"), given(companies=["sealframe"]), dry_run=True))
    assert not Path("crm.db").exists()
    assert not Path("leads.md").exists()
    assert run.artifact(Rows).rows


def test_a_model_extracts_and_writes_and_code_keeps_only_what_cells_bear_out(packages: Path) -> None:
    said = Overview(
        sentences=[
            Said(text="otterdb requires urllib3 below 2.", cells=[1]),
            Said(text="otterdb has 12,000 users.", cells=[1]),
            Said(text="Acme buys otterdb.", cells=[]),
            Said(text="otterdb is version 2.1.0.", cells=[6]),
        ]
    )
    script = {"enricher": [gives(Answers(answers=[]))], "copywriter": [gives(said)]}
    with ScriptedServer(script) as server:
        known = Settings(base_url=server.url, api_key="test", model="openai:scripted", model_retries=0)
        run = Run.start(leads_team(settings=known), given(companies=["otterdb"]), settings=known)
        run.approve()
    assert run.asked.action == "write_lead"
    text = run.artifact(Letters).text("otterdb")
    assert "version 2.1.0" in text
    assert [word for word in ("users", "Acme") if word in text] == []
    approve_all(run)
    assert failed_checks(run) == []
    assert run.artifact(FollowUps).rows
