"""What is asked may be very large: pages stay small and say what they leave out, and all of it is read and kept."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest
from desk_pages import Office, Page, text_of

from signoff import Run
from signoff.desk.web.rendering import diff, short
from signoff.graphs.teams import load_team
from signoff.settings import load_settings

MOST = 150_000
TEAM = """
from pathlib import Path
from typing import Any
from pydantic import BaseModel

from signoff import Action, Agent, Artifact, Policy, Task, Team


class Order(BaseModel):
    all_of_it: Any
    to: str


class Post(Artifact):
    text: str


def call(order: Order, key: str) -> dict[str, int]:
    Path(f"sent-{order.to}.txt").write_text(str(order.all_of_it))
    return {"sent": 1}


def deep(levels: int) -> Any:
    return "bottom" if not levels else [deep(levels - 1)]


WHAT = {
    "long": "x" * 500_000 + " the end",
    "many": [f"item {number}" for number in range(5_000)],
    "unseen": "\\u200b" * 4_000,
    "deep": deep(150),
    "small": "a line",
}
ORDER = Action(name="place_order", description="Places an order.", arguments=Order, call=call)
clerk = Agent(role="clerk", gives=Post, function=lambda task: Post(text="made"), actions=(ORDER,),
              propose=lambda given, task: [ORDER.propose(Order(to=to, all_of_it=WHAT[to]), "asked") for to in WHAT])
team = Team(name="orders", agents=[clerk], policy=Policy({"place_order": "ask"}))
"""


def test_pages_of_very_large_arguments_are_small_and_all_of_them_can_be_read_edited_and_approved(
    desk: Office, ann: Page, home: Path
) -> None:
    (home / "orders.py").write_text(TEAM)
    run = Run.start(load_team("orders.py:team", load_settings()).team, "order", settings=load_settings())
    asked = {str(one.shown["to"]): one for one in run.approvals}
    pages = [f"/approvals/{one.id}" for one in asked.values()]
    pages += ["/", f"/runs/{run.id}", f"/batches/{asked['small'].id}"]
    for path in pages:
        found = ann.get(path)
        assert (found.status_code, len(found.content) < MOST) == (200, True), (path, len(found.content))
    for to, end in (("long", "the end"), ("many", "item 4999"), ("deep", "bottom")):
        path = f"/approvals/{asked[to].id}"
        assert to == "deep" or "This page has room for a part of it only" in ann.shows(path)
        assert end in ann.get(f"{path}/whole").text
        exact = ann.get(f"{path}/whole?as=json")
        assert sha256(exact.content).hexdigest() == asked[to].shown_sha256
        assert json.loads(exact.text) == asked[to].shown
    assert ann.get(f"/approvals/{asked['unseen'].id}/whole").text.count("<U+200B>") >= 4_000

    small_ones = ann.get(f"/approvals/{asked['long'].id}").text
    assert "<dt>to</dt><dd>long</dd>" in small_ones, "what is large takes no room of another argument"
    batch = ann.get(f"/batches/{asked['small'].id}").text
    rows = {to: re.search(rf'<li id="row-{one.id}">.*?</li>', batch, re.DOTALL) for to, one in asked.items()}
    assert all(row is None or ("disabled" in row[0]) == (to != "small") for to, row in rows.items())
    assert any(row is not None for row in rows.values())

    big = asked["long"]
    changed = {**ann.fields(f"/approvals/{big.id}", "edit"), "arg.to": "bob"}
    assert "arg.all_of_it" not in changed
    assert ann.post(f"/approvals/{big.id}", **changed).status_code == 303
    ann.settle(run)
    assert Path("sent-bob.txt").read_text().endswith("x the end")
    edited = ann.get(f"/approvals/{big.id}")
    assert len(edited.content) < MOST
    assert "+to: bob" in text_of(edited.text)
    assert ann.decide(asked["many"].id, "approve").status_code == 303
    for one in (asked["unseen"], asked["small"], asked["deep"]):
        ann.decide(one.id, "reject", reason="no" * 50_000)
        assert len(ann.get(f"/approvals/{one.id}").content) < MOST
    ann.settle(run)
    assert "item 4999" in Path("sent-many.txt").read_text()


def test_who_does_not_see_a_run_gets_none_of_it_as_a_file(desk: Office, ann: Page) -> None:
    _, (asked,) = desk.asked("write bob")
    zed = desk.visit("zed", "tenant:zeta")
    for more in ("", "?as=json"):
        assert zed.get(f"/approvals/{asked.id}/whole{more}").status_code == 404
        assert ann.get(f"/approvals/{asked.id}/whole{more}").status_code == 200


@pytest.mark.parametrize("length", [100, 5_000_000])
def test_of_a_long_line_what_differs_is_shown(length: int) -> None:
    shown = diff({"text": "a" * length + "b" + "c" * length}, {"text": "a" * length + "B" + "c" * length})
    assert len(shown) < 1_500
    for line in ("ab", "aB"):
        assert f"{line}c" in shown


def test_of_very_many_lines_those_that_differ_are_shown_and_the_rest_is_counted() -> None:
    before = [f"line {number}" for number in range(20_000)]
    now = [*before[:9_000], "another", *before[9_001:]]
    shown = text_of(str(diff(before, now)))
    assert '- "line 9000", + "another",' in " ".join(shown.split())
    all_of_it = text_of(str(diff(before, [f"{line}!" for line in before])))
    assert '- "line 0", + "line 0!",' in " ".join(all_of_it.split())
    assert re.search(r"and [\d,]+ more characters of what differs", all_of_it)
    assert len(all_of_it) < MOST


def test_a_text_is_shortened_by_its_beginning_whatever_is_left_out() -> None:
    assert (short("a" * 89 + " " * 9_000 + "b"), short(" " * 9_000 + "b", 9)) == ("a" * 89 + "…", "…")
