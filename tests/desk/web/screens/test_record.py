"""The audit log and the people on the page; and the page inside a server of somebody's own."""

import re
from typing import Any

import pytest
from desk_pages import ORIGIN, text_of
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from signoff.checkpoints import today
from signoff.checkpoints.ledger import Person
from signoff.checkpoints.ledger.budgets.amounts import Amount, Budget, CallRecord, Scope
from signoff.desk.web import desk_app
from signoff.errors import SettingsError


def test_the_log_is_shown_newest_first_page_by_page_and_of_one_run(desk: Any, ann: Any) -> None:
    run, (asked, *_) = desk.asked("write " + " ".join(f"n{number}" for number in range(12)))
    found, path, html = [], "/audit", ""
    while path:
        html = ann.get(path).text
        found += [int(seq) for seq in re.findall(r"<summary><small>(\d+)</small>", html)]
        more = re.search(r'class="secondary" href="([^"]+)"', html)
        path = more[1].replace("&amp;", "&") if more else ""
    assert found == list(range(len(desk.ledger.audit.entries()), 0, -1))
    assert "session" in html
    only = ann.get(f"/audit?run={run.id}").text
    assert "session" not in text_of(only.partition("<ol")[2])
    assert asked.id in only


def test_the_whole_log_is_checked_on_the_page(desk: Any, ann: Any) -> None:
    desk.asked("write bob")
    head = desk.ledger.audit.head()
    assert "The log is what was written" in text_of(ann.post("/audit", csrf=ann.csrf, head=head).text)
    with desk.ledger.write() as connection:
        connection.execute(text("UPDATE approvals SET decided_by = 'eve'"))
    said = text_of(ann.post("/audit", csrf=ann.csrf).text)
    assert "Something is wrong with the log" in said
    assert "decided_by" in said
    for head in ("nonsense", "0" * 64):
        refused = ann.post("/audit", csrf=ann.csrf, head=head)
        assert (refused.status_code, "is no head" in text_of(refused.text)) == (422, True)


def test_people_are_shown_with_their_roles_and_how_they_get_in_and_no_secret(desk: Any, ann: Any) -> None:
    desk.visit("bea", "finance", "board")
    html = ann.get("/people").text
    shown = text_of(html)
    assert "bea board finance 1 1" in shown
    assert "ann none 1 1" in shown
    assert ann.client.cookies["signoff"] not in html
    for number in range(60):
        desk.ledger.people.give(f"p{number:02}", "clerk", by="root")
    assert ann.get("/people").text.count("<tr>") == 21
    assert "p59" in ann.shows("/people?after=p40")


def test_the_page_is_mounted_in_a_server_of_somebodys_own(desk: Any) -> None:
    app = Starlette(routes=[Mount("/desk", desk_app(ORIGIN, ledger=desk.ledger))])
    client = TestClient(app, base_url=ORIGIN, follow_redirects=False)
    token = desk.ledger.people.give_key(Person("ann"), "token", days=1, by="root")
    said = client.post("/desk/sign-in", data={"token": token}, headers={"origin": ORIGIN})
    assert said.headers["location"] == "/desk/"
    _, (asked,) = desk.asked("write bob")
    html = client.get("/desk/").text
    assert f'href="/desk/approvals/{asked.id}"' in html
    assert re.findall(r'(?:href|src|action|hx-get)="(/(?!desk/)[^"]*)"', html) == []
    assert client.get(re.findall(r'src="([^"]+page\.js)"', html)[0]).status_code == 200
    csrf = re.findall(r'name="csrf" value="([^"]+)"', html)[0]
    fields = {"csrf": csrf, "verb": "reject", "reason": "no", "sha256": asked.shown_sha256}
    said = client.post(f"/desk/approvals/{asked.id}", data=fields, headers={"origin": ORIGIN})
    assert said.headers["location"] == f"/desk/?done={asked.id}"
    assert desk.ledger.approvals.get(asked.id).decided_by == "ann"
    with pytest.raises(SettingsError, match="is no address"):
        desk_app("desk.example.org", ledger=desk.ledger)


def test_what_was_spent_today_stands_by_its_limits_with_the_dearest_runs(desk: Any, ann: Any) -> None:
    assert "No model was called today." in ann.shows("/budgets")
    run = desk.run("write bob")
    day = today()
    names = (f"run:{run.id}", f"team:post@{day}", f"day:{day}")
    call = CallRecord(run_id=run.id, team="post", role="clerk", day=day, nusd=1_250_000_000, input_tokens=7, ms=9)
    amount = Amount(nusd=1_250_000_000, tokens=7, steps=1, ms=9)
    scopes = [Scope(name, Budget(usd=5)) for name in names]
    desk.ledger.budgets.reserve(scopes, amount, seconds=60).settle(amount, call)
    desk.ledger.budgets.settled(run.id)
    shown = ann.shows("/budgets")
    for part in ("one run $5", "everything $1.25", "team post $1.25", f"{run.id} post 1 $1.25", f"{day} 1 $1.25"):
        assert part in shown
    assert "$1.25" in ann.shows("/runs")
    assert "$1.25" in ann.shows(f"/runs/{run.id}")
