"""Who gets in, and what is refused before anybody looks at it."""

from typing import Any

import pytest
from desk_pages import HOST, ORIGIN, forms_in

from signoff.checkpoints.ledger import Person
from signoff.desk.web.guarding import Pace

EXACTLY = (
    "default-src 'none'; script-src 'self' 'nonce-{}'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SCREENS = ("/", "/runs", "/sign-in", "/nowhere", "/approvals/a-0000000000", "/runs/r-none", "/files/0/none.js")


@pytest.mark.parametrize("path", SCREENS)
def test_every_answer_has_the_same_policy_with_a_nonce_of_its_own(ann: Any, path: str) -> None:
    nonces = set()
    for _ in range(2):
        policy = ann.get(path).headers["content-security-policy"]
        nonce = policy.partition("'nonce-")[2].partition("'")[0]
        assert policy == EXACTLY.format(nonce)
        nonces.add(nonce)
    assert len(nonces) == 2
    assert "unsafe" not in policy
    assert ann.get(path).headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/runs", "/approvals/a-123456", "/events", "/batches/a-123456", "/runs/r-1"])
def test_nobody_sees_anything_without_signing_in(desk: Any, path: str) -> None:
    stranger = desk.visit("ann")
    stranger.client.cookies.clear()
    found = stranger.get(path)
    assert found.status_code == 401
    assert "Sign in" in found.text
    assert stranger.get(path, **{"hx-request": "true"}).headers.get("hx-redirect", "/sign-in") == "/sign-in"


def test_signing_in_leads_to_where_one_wanted_to_go_and_to_no_other_page(desk: Any) -> None:
    stranger = desk.visit("ann")
    stranger.client.cookies.clear()
    token = desk.ledger.people.give_key(Person("ann"), "token", days=1, by="root")
    wanted = "/approvals/a-123456?done=a-1&b=2"

    def led(first: Any) -> str:
        """By the form of this screen, where the first token is mistyped."""
        fields = next(forms_in(first.text))
        again = next(forms_in(stranger.post("/sign-in", **{**fields, "token": "x"}).text))
        entered = stranger.post("/sign-in", **{**again, "token": token})
        assert entered.status_code == 303
        stranger.client.cookies.clear()
        return str(entered.headers["location"])

    assert led(stranger.get(wanted)) == wanted
    at_a_form = {"origin": ORIGIN, "referer": f"{ORIGIN}/approvals/a-123456"}
    assert led(stranger.client.post("/approvals/a-123456/snooze", headers=at_a_form)) == "/approvals/a-123456"
    part = stranger.get("/runs/r-1/quotes/2", **{"hx-request": "true", "referer": f"{ORIGIN}/runs/r-1?rows=5"})
    assert led(stranger.get(part.headers["hx-redirect"])) == "/runs/r-1?rows=5"
    for strange in ("//evil.test", "/\\evil.test", "/a\tb"):
        entered = stranger.post("/sign-in", token=token, to=strange)
        assert entered.headers["location"] == "/", strange
        stranger.client.cookies.clear()


def test_a_token_that_nobody_has_lets_nobody_in_and_only_some_tries_are_taken(desk: Any) -> None:
    stranger = desk.visit("ann")
    stranger.client.cookies.clear()
    said = [stranger.post("/sign-in", token="x" * 43).status_code for _ in range(12)]
    assert said[0] == 401
    assert said[-1] == 429
    assert stranger.get("/").status_code == 401


def test_a_link_with_a_token_of_somebody_signs_nobody_in(desk: Any) -> None:
    eve, ann = desk.visit("eve"), desk.visit("ann")
    token = desk.ledger.people.give_key(Person("eve"), "token", days=1, by="root")
    assert ann.get(f"/sign-in?key={token}").status_code == 401
    assert ann.shows("/").count(" ann ") == 1
    assert eve.client.post("/sign-in", data={"token": token}, headers={"origin": ORIGIN}).status_code == 303


def test_a_session_ends_with_signing_out_with_its_time_and_when_keys_are_taken(desk: Any, ann: Any) -> None:
    other = desk.visit("ann")
    assert ann.post("/sign-out", csrf=ann.csrf).status_code == 303
    assert ann.get("/").status_code == 401
    assert other.get("/").status_code == 200
    desk.ledger.people.take_keys(name="ann", by="root")
    assert other.get("/").status_code == 401
    assert [entry.body["change"] for entry in desk.ledger.audit.entries("") if entry.event == "key"].count("taken") >= 3


def test_the_ledger_keeps_no_secret_that_lets_anybody_in(desk: Any, ann: Any, home: Any) -> None:
    secret = ann.client.cookies["signoff"]
    desk.ledger.close()
    assert all(secret.encode() not in path.read_bytes() for path in home.glob(".signoff/*"))


def test_a_form_without_the_right_csrf_token_decides_nothing(desk: Any, ann: Any) -> None:
    _, (asked, *_) = desk.asked("write bob")
    bea = desk.visit("bea")
    for csrf in ("", "0" * 64, bea.csrf):  # none, a guess, and one stolen from another session
        fields = {**ann.fields(f"/approvals/{asked.id}", "approve"), "csrf": csrf}
        said = ann.post(f"/approvals/{asked.id}", **fields)
        assert said.status_code == 403
        assert "not of your present session" in said.text
    assert desk.ledger.approvals.get(asked.id).status == "pending"


def test_another_site_can_send_no_form(desk: Any, ann: Any) -> None:
    _, (asked, *_) = desk.asked("write bob")
    fields = ann.fields(f"/approvals/{asked.id}", "approve")
    for headers in ({"origin": "http://evil.test"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert ann.client.post(f"/approvals/{asked.id}", data=fields, headers=headers).status_code == 403
    assert desk.ledger.approvals.get(asked.id).status == "pending"


def test_another_name_for_the_same_address_is_not_served(ann: Any) -> None:
    for host in ("evil.test", f"{HOST}.evil.test", "127.0.0.1", ""):
        assert ann.client.get("/", headers={"host": host}).status_code == 421


def test_a_request_that_is_too_large_or_of_another_kind_is_refused(ann: Any) -> None:
    assert ann.post("/sign-out", csrf="x" * 3_000_000).status_code == 413
    assert ann.client.put("/", headers={"origin": ORIGIN}).status_code == 405


def test_a_program_with_a_token_decides_as_whoever_the_token_is_of(desk: Any) -> None:
    _, (asked, *_) = desk.asked("write bob")
    from signoff.checkpoints.ledger import Person

    token = desk.ledger.people.give_key(Person("robot"), "token", days=1, by="root")
    visitor = desk.visit("ann")
    visitor.client.cookies.clear()
    said = visitor.client.post(
        f"/approvals/{asked.id}",
        data={"verb": "reject", "reason": "no", "sha256": asked.shown_sha256},
        headers={"authorization": f"Bearer {token}"},
    )
    assert said.status_code == 303
    assert desk.ledger.approvals.get(asked.id).decided_by == "robot"


def test_a_pace_gives_back_with_time_and_keeps_clients_apart() -> None:
    now = [0.0]
    pace = Pace(60, clock=lambda: now[0])
    assert [pace.seconds_to_wait("a") for _ in range(60)] == [0.0] * 60
    assert pace.seconds_to_wait("a") == pytest.approx(1)
    assert pace.seconds_to_wait("b") == 0
    now[0] = 1.0
    assert pace.seconds_to_wait("a") == 0
    assert pace.seconds_to_wait("a") > 0


def test_too_many_requests_are_told_when_to_come_again(ann: Any) -> None:
    said = [ann.post("/sign-out", csrf="wrong").status_code for _ in range(130)]
    assert said[0] == 403
    assert said[-1] == 429
    assert int(ann.post("/sign-out", csrf="wrong").headers["retry-after"]) >= 1
