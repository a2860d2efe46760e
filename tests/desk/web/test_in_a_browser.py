"""The page in a browser: people at it, at a phone's width, in the dark, by keys, and against those who mean harm.

A browser is Debian's chromium, driven by Playwright; where either is missing, nothing here can be looked at.
"""

from __future__ import annotations

import re
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from desk_pages import EVIL, Office

from signoff import Run, report_team
from signoff.checkpoints.ledger import Person
from signoff.desk.web.application import build_app
from signoff.desk.web.guarding import addresses
from signoff.fleet.evals import evaluate
from signoff.graphs.teams import load_team
from signoff.settings import load_settings
from signoff.tools.search import Sources

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
_MISSING = "" if CHROMIUM else "no chromium here: apt-get install chromium"
_MISSING = _MISSING or ("" if find_spec("playwright") else "no playwright here: pip install playwright")
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=_MISSING)

WAIT = 20_000
"""Milliseconds that anything on the page may take on a loaded machine."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Seats:
    """People at browsers of their own, and what went wrong in them."""

    browser: Any
    base: str
    desk: Office
    problems: list[str]
    asked: list[str]
    """The addresses that were asked for."""

    def take(self, name: str, *roles: str, **options: Any) -> Any:
        for role in roles:
            self.desk.ledger.people.give(name, role, by="root")
        page = self.browser.new_context(**options).new_page()
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        token = self.desk.ledger.people.give_key(Person(name), "token", days=1, by="root")
        page.goto(f"{self.base}/sign-in")
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{self.base}/")
        return page


@pytest.fixture
def seats(desk: Office, chromium: Any) -> Iterator[Seats]:
    import uvicorn

    endpoint = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{endpoint.getsockname()[1]}"
    host, origin = addresses(base)
    app = build_app(desk.context, hosts=[host], origins=[origin])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    serving = threading.Thread(target=server.run, args=([endpoint],), daemon=True)
    serving.start()
    found = Seats(chromium, base, desk, [], [])
    yield found
    for context in chromium.contexts:
        context.close()
    server.should_exit = True
    serving.join(10)
    assert found.problems == []
    assert all(address.startswith(base) for address in found.asked)


def sent() -> list[str]:
    return Path("sent.txt").read_text().splitlines() if Path("sent.txt").exists() else []


def test_two_reviewers_race_and_the_second_sees_who_was_first(seats: Seats) -> None:
    run, (asked,) = seats.desk.asked("write bob")
    ann, bea = seats.take("ann"), seats.take("bea")
    for page in (ann, bea):
        page.goto(f"{seats.base}/approvals/{asked.id}")
    ann.get_by_role("button", name="Approve", exact=True).click()
    ann.get_by_role("status").filter(has_text="Approved by ann").wait_for()
    # Nobody loads the second page anew: it hears of it.
    bea.get_by_text("It was approved by").wait_for()
    assert bea.get_by_role("button", name="Approve", exact=True).is_disabled()
    bea.evaluate("document.querySelector('form.deciding[data-verb=approve]').submit()")
    bea.get_by_text("already decided: approved by ann").wait_for()
    seats.desk.context.background.wait(run.id, 60)
    assert sent() == ["bob: hello (1)"]


def test_an_edit_and_a_reject_by_hand(seats: Seats) -> None:
    run, (bob, cy) = seats.desk.asked("write bob cy")
    ann = seats.take("ann")
    ann.goto(f"{seats.base}/approvals/{bob.id}")
    ann.get_by_text("Edit", exact=True).click()
    ann.get_by_label("text").fill("dear Bob,\n\nhello")
    ann.get_by_role("button", name="Approve as edited").click()
    ann.wait_for_url(f"**/approvals/{cy.id}?done={bob.id}")
    ann.locator("summary", has_text="Reject").click()
    ann.get_by_label("Why").fill("not him")
    ann.get_by_role("button", name="Reject it").click()
    ann.wait_for_url(f"{seats.base}/?done={cy.id}")
    seats.desk.context.background.wait(run.id, 60)
    assert sent() == ["bob: dear Bob,", "", "hello (1)"]
    assert seats.desk.ledger.approvals.get(cy.id).decision_reason == "not him"


def test_keys_move_open_reject_and_approve_at_the_second_press_only(seats: Seats) -> None:
    _, (bob, cy) = seats.desk.asked("write bob cy")
    ann = seats.take("ann")
    ann.keyboard.press("j")
    ann.keyboard.press("j")
    ann.keyboard.press("k")
    ann.keyboard.press("Enter")
    ann.wait_for_url(f"**/approvals/{bob.id}")
    ann.keyboard.press("a")
    ann.get_by_text("Press a again to approve").wait_for()
    assert seats.desk.ledger.approvals.get(bob.id).status == "pending"
    ann.keyboard.press("a")
    ann.wait_for_url(f"**/approvals/{cy.id}?done=*")
    ann.keyboard.press("r")
    ann.keyboard.type("a jar of jam, said a")  # typing is no key of the page's
    ann.get_by_role("button", name="Reject it").click()
    ann.wait_for_url("**/?done=*")
    assert seats.desk.ledger.approvals.get(cy.id).decision_reason == "a jar of jam, said a"
    ann.keyboard.press("?")
    ann.get_by_role("dialog").wait_for()
    ann.get_by_label("Use these keys in this browser").uncheck()
    ann.get_by_role("button", name="Close").click()
    ann.keyboard.press("?")
    assert ann.get_by_role("dialog").count() == 0


def test_what_expires_while_it_is_looked_at_can_no_longer_be_approved(seats: Seats) -> None:
    from sqlalchemy import update

    from signoff.checkpoints.ledger.schema import approvals

    _, (asked,) = seats.desk.asked("write bob")
    ann = seats.take("ann")
    ann.goto(f"{seats.base}/approvals/{asked.id}")
    with seats.desk.ledger.write() as connection:
        over = "2026-01-01T00:00:00.000000Z"
        connection.execute(update(approvals).where(approvals.c.id == asked.id).values(expires_at=over))
    ann.get_by_role("button", name="Approve", exact=True).click()
    ann.get_by_role("alert").filter(has_text="counts as a refusal").wait_for()
    assert sent() == []


def test_a_batch_is_chosen_with_keys_and_decided_item_by_item(seats: Seats) -> None:
    run, (bob, cy, dee) = seats.desk.asked("write bob cy dee")
    ann = seats.take("ann")
    ann.goto(f"{seats.base}/approvals/{bob.id}")
    ann.get_by_role("link", name="Decide them side by side").click()
    for key in "jxjx":
        ann.keyboard.press(key)
    ann.get_by_text("2 of 3 chosen.").wait_for()
    ann.get_by_role("button", name="Approve the chosen").click()
    ann.get_by_text("What came of it").or_(ann.get_by_role("status").filter(has_text="approved")).first.wait_for()
    seats.desk.context.background.wait(run.id, 60)
    found = [seats.desk.ledger.approvals.get(one.id).status for one in (bob, cy, dee)]
    assert sorted(found) == ["approved", "approved", "pending"]
    assert len(sent()) == 2


def test_a_stolen_csrf_token_is_of_no_use_in_another_session(seats: Seats) -> None:
    _, (asked,) = seats.desk.asked("write bob")
    ann, eve = seats.take("ann"), seats.take("eve")
    for page in (ann, eve):
        page.goto(f"{seats.base}/approvals/{asked.id}")
    stolen = ann.locator(".deciding input[name=csrf]").first.input_value()
    eve.evaluate("token => document.querySelectorAll('input[name=csrf]').forEach(one => one.value = token)", stolen)
    eve.get_by_role("button", name="Approve", exact=True).click()
    eve.get_by_text("not of your present session").wait_for()
    assert seats.desk.ledger.approvals.get(asked.id).status == "pending"


def test_a_script_and_an_hx_get_in_an_agents_output_do_nothing(seats: Seats, home: Path) -> None:
    (home / "text.txt").write_text(EVIL)
    run, (asked,) = seats.desk.asked("write bob")
    ann = seats.take("ann")
    for path in (f"/approvals/{asked.id}", f"/batches/{asked.id}", f"/runs/{run.id}", "/"):
        ann.goto(f"{seats.base}{path}")
        ann.locator("#live[data-state=live]").wait_for()
        # Should it ever stand in the page as markup, as here by hand, the policy and the nonce hold all the same.
        ann.evaluate("() => { window.evil = () => { window.wasEvil = true } }")
        ann.evaluate(
            "html => { const box = document.createElement('div'); box.innerHTML = html; document.body.append(box);"
            " htmx.process(box) }",
            EVIL + "<b hx-get='/evil' hx-trigger='load' hx-nonce='guess'>b</b><b data-hx-get='/evil' hx-trigger=load>",
        )
        ann.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
        assert ann.evaluate("window.wasEvil") is None
    assert [address for address in seats.asked if "evil" in address] == []


def test_one_browser_has_one_stream_however_many_tabs_are_open_and_all_of_them_hear(seats: Seats) -> None:
    first = seats.take("ann")
    tabs = [first, *(first.context.new_page() for _ in range(7))]  # more than a browser has connections
    for tab in tabs[1:]:
        tab.set_default_timeout(WAIT)
        tab.on("request", lambda request: seats.asked.append(request.url))
        tab.goto(f"{seats.base}/")
    for tab in tabs:
        tab.locator("#live[data-state=live]").wait_for()
    seats.desk.asked("write bob")
    for tab in tabs:
        tab.get_by_role("link", name="Post letter to bob").wait_for()
    assert sum(address.endswith("/events") for address in seats.asked) == 1
    first.close()  # whoever is next listens from now on
    tabs[1].locator("#live[data-state=live]").wait_for()
    seats.desk.asked("write cy")
    tabs[-1].get_by_role("link", name="Post letter to cy").wait_for()


def test_without_locks_no_tab_has_a_stream_and_its_lists_look_again_by_themselves(seats: Seats) -> None:
    ann = seats.take("ann")
    ann.locator("#live[data-state=live]").wait_for()
    seats.asked.clear()
    ann.add_init_script("Object.defineProperty(navigator, 'locks', {value: undefined})")
    ann.goto(f"{seats.base}/")
    ann.get_by_text("looks every 20 s").wait_for()
    assert not any(address.endswith("/events") for address in seats.asked)
    assert "every 20s" in ann.locator("#list").get_attribute("hx-trigger")


def test_events_have_numbers_from_which_a_browser_goes_on_and_where_they_are_lost_a_line_says_since_when(
    seats: Seats,
) -> None:
    ann = seats.take("ann")
    first = "response => response.body.getReader().read()).then(({value}) => new TextDecoder().decode(value))"
    begin = ann.evaluate(f"fetch('/events').then({first}")
    assert re.fullmatch(r"id: \d+\nretry: \d+\n\n", begin)
    seats.desk.asked("write bob")
    number = int(begin.split()[1])
    ann.evaluate(
        "from => new Promise(done => { fetch('/events', {headers: {'last-event-id': from}}).then(async response => {"
        " let said = ''; for await (const part of response.body.pipeThrough(new TextDecoderStream())) {"
        " said += part; if (said.includes('event: changed')) { window.said = said; done() } } }) })",
        str(number),
    )
    numbers = list(map(int, re.findall(r"id: (\d+)", ann.evaluate("window.said"))))
    assert numbers[0] == number < numbers[-1]
    ann.route("**/events", lambda route: route.abort())
    ann.goto(f"{seats.base}/runs")
    ann.locator("#live[data-state=paused]").get_by_text("paused since ").wait_for()


def test_a_run_is_started_by_a_form_and_goes_on_before_the_eyes_of_who_started_it(seats: Seats) -> None:
    ann = seats.take("ann")
    ann.get_by_role("link", name="Start", exact=True).click()
    ann.get_by_role("link", name="office.py:team").click()
    ann.get_by_label("goal").fill("write bob")
    ann.get_by_role("button", name="Start", exact=True).click()
    ann.wait_for_url("**/runs/r-*")
    ann.evaluate("document.body.dataset.loaded = 'once'")
    waits = ann.get_by_role("link", name="Post letter to bob")  # comes by itself
    waits.first.wait_for()
    run = ann.url.rpartition("/")[2]
    (asked,) = seats.desk.ledger.approvals.pending(run)
    other = ann.context.new_page()
    other.set_default_timeout(WAIT)
    other.goto(f"{seats.base}/approvals/{asked.id}")
    other.get_by_role("button", name="Approve", exact=True).click()
    other.get_by_role("status").filter(has_text="Approved by ann").wait_for()
    ann.locator(".state-done").first.wait_for()
    assert ann.evaluate("document.body.dataset.loaded") == "once", "nobody loaded the page anew"
    assert (seats.desk.ledger.runs.get(run).requested_by, sent()) == ("ann", ["bob: hello (1)"])


REPORT = """
from pathlib import Path

from signoff import Agent, Policy, Team
from signoff.agents import Draft
from signoff.agents.artifacts import Evidence, Quote

TEXT = Path("docs/tides.md").read_text()
QUOTE = Quote(id=7, text="because of the moon", source="tides.md", start=TEXT.index("because of the moon"))
MARKDOWN = "# Tides\\n\\n- It rises and falls [7].\\n- Twice a day.\\n"
reader = Agent(role="reader", gives=Evidence, function=lambda task: Evidence(question="why", quotes=(QUOTE,)))
writer = Agent(role="writer", needs=(Evidence,), gives=Draft,
               function=lambda task: Draft(title="Tides", markdown=MARKDOWN, method="extracted"))
team = Team(name="tides", agents=[reader, writer], policy=Policy({}), options={"sources": "docs"})
"""


@pytest.mark.parametrize(
    "options", [{}, {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}]
)
def test_a_citation_opens_in_place_by_key_and_by_touch_and_stays_open_until_it_is_closed(
    seats: Seats, home: Path, options: Any
) -> None:
    (home / "docs").mkdir()
    (home / "docs" / "tides.md").write_text("The tide rises and falls because of the moon, they say.\n")
    (home / "tides.py").write_text(REPORT)
    settings = load_settings(sources=home / "docs")
    Sources.open(home / "docs", home=settings.home).refresh()
    run = Run.start(load_team("tides.py:team", settings).team, "why", settings=settings)
    ann = seats.take("ann", **options)
    ann.goto(f"{seats.base}/runs/{run.id}")
    cites = ann.get_by_role("link", name="[7]")
    if options:
        cites.tap()
    else:
        cites.focus()
        ann.keyboard.press("Enter")
    opened = ann.locator(".draft li", has_text="It rises").locator(".amid")
    opened.get_by_text("because of the moon", exact=True).wait_for()
    assert ann.url.endswith(run.id), "nothing leads away"
    assert "The tide rises and falls" in opened.inner_text()
    assert ann.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ann.evaluate("document.body.dispatchEvent(new Event('changed'))")
    ann.keyboard.press("Escape")
    opened.get_by_text("because of the moon", exact=True).wait_for(state="detached")
    assert ann.evaluate("document.activeElement.textContent") == "[7]"


def test_an_error_of_one_long_word_does_not_make_the_page_wider(seats: Seats) -> None:
    with Path("office.py").open("a") as office:
        office.write(
            "\n\ndef broken(task: Task) -> Post:\n    raise ValueError('x' * 300)\n\n\n"
            "bad = Team(name='bad', agents=[Agent(role='clerk', gives=Post, function=broken)], policy=Policy({}))\n"
        )
    run = seats.desk.run("x", "bad")
    ann = seats.take("ann")
    ann.goto(f"{seats.base}/runs/{run.id}")
    ann.get_by_text("ValueError: xxx").first.wait_for()
    assert ann.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_run_is_forked_and_stopped_on_the_page(seats: Seats) -> None:
    run, _ = seats.desk.asked("write bob")
    ann = seats.take("ann")
    ann.goto(f"{seats.base}/runs/{run.id}")
    ann.get_by_role("button", name="Fork it from a step").click()
    ann.get_by_text("A fork is a new run.").wait_for()
    ann.get_by_role("button", name="Begin the fork").click()
    ann.get_by_role("link", name=run.id).wait_for()
    forked = ann.url.rpartition("/")[2]
    seats.desk.context.background.wait(forked, 60)
    ann.get_by_text("Stop it", exact=True).click()
    ann.get_by_role("button", name="End the run").click()
    ann.get_by_text("cancelled by ann").first.wait_for()
    assert [seats.desk.ledger.runs.get(name).status for name in (run.id, forked)] == ["waiting", "stopped"]
    assert sent() == []


SCREENS = (
    "/",
    "/?tab=decided",
    "/approvals/{0}",
    "/batches/{0}",
    "/runs",
    "/runs/{1}",
    "/runs/{1}?at=first",
    "/runs/{1}/fork",
    "/nowhere",
    "/start",
    "/start/office.py:team",
    "/audit",
    "/people",
    "/budgets",
    "/memory",
    "/fleet",
    "/fleet/schedules",
    "/fleet/workers",
    "/fleet/evals",
    "{2}",
    "{2}/runs/{3}",
)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"viewport": {"width": 1280, "height": 900}}, marks=pytest.mark.hunt),
        pytest.param({"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"}, marks=pytest.mark.hunt),
        {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True},
    ],
    ids=["wide", "dark", "phone"],
)
def test_every_screen_fits_its_width_and_axe_finds_nothing_wrong(seats: Seats, home: Path, options: Any) -> None:
    import axe_playwright_python  # type: ignore[import-untyped]  # it ships no types

    axe = Path(next(iter(axe_playwright_python.__path__)), "axe.min.js").read_text(encoding="utf-8")
    (home / "text.txt").write_text(f"{'very' * 60}long\u200b {EVIL}")
    run, (asked, _) = seats.desk.asked("write bob cy")
    seats.desk.ledger.approvals.reject(seats.desk.asked("write dee")[1][0].id, by="ann", reason="no")
    ann = seats.take("ann", "finance", "admin", bypass_csp=True, **options)
    case = {"id": "very" * 20, "goal": EVIL, "expect": {"contains": {"Draft.markdown": "never" * 60}}}
    (failed,) = evaluate(report_team(home), [case]).results
    of, found = Path(failed.recording).parts[-4:-2]
    for path in SCREENS:
        ann.goto(seats.base + path.format(asked.id, run.id, f"/fleet/evals/{of}/{found}", failed.run))
        assert ann.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        ann.evaluate(axe)
        found = ann.evaluate("axe.run().then(({violations}) => violations.map(one => [one.id, one.nodes[0].html]))")
        assert found == [], path
