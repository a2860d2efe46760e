"""Whatever is asked of whichever address, the page answers it or refuses it; nothing comes as a surprise to it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from desk_pages import ORIGIN, Office, Page
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from starlette.routing import Route

ODD = (
    "",
    "0",
    "-1",
    "9" * 40,
    "a-",
    "a-%",
    "r-_",
    "'",
    '"><b>',
    "\u202e",
    "\x00",
    "\ud7ff",
    "a" * 3000,
    "..",
    "{}",
    "!",
)
FIELDS = (
    "csrf",
    "verb",
    "reason",
    "sha256",
    "hours",
    "arg.to",
    "arg.text",
    "item.a-1",
    "head",
    "name",
    "role",
    "token",
)
ASKED = ("tab", "team", "action", "risk", "run", "after", "before", "done", "status", "tenant", "error", "key", "state")


def addresses(desk: Office) -> list[tuple[str, str]]:
    """Each method and path of the page's own table of routes; streams go on, and are asked elsewhere."""
    from signoff.desk.web.application import build_app

    app: Any = build_app(desk.context, hosts=["x"], origins=["http://x"])
    routes = [route for route in app._app.routes if isinstance(route, Route) and route.path != "/events"]
    return sorted((method, route.path) for route in routes for method in (route.methods or ()) if method != "HEAD")


def text_or_odd(known: list[str]) -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from([*known, *ODD]), st.text(max_size=30))


@pytest.fixture
def root(desk: Office) -> Page:
    return desk.visit("root", "admin", "tenant:*", "finance")


def test_no_request_is_answered_with_an_error_that_nobody_expected(
    desk: Office, root: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    from signoff.desk.web import guarding

    monkeypatch.setattr(guarding.Pace, "seconds_to_wait", lambda *_: 0.0)  # as many strangers would ask in an hour
    run, (bob, _) = desk.asked("write bob cy")
    _, (two,) = desk.asked("write dee", "two")
    known = [run.id, bob.id, two.id, "office.py:team", "1", "Post", "approve", "edit", "reject", "snooze", "24", "post"]
    routes, csrf = addresses(desk), root.csrf
    assert len(routes) > 25
    word = text_or_odd(known)

    @settings(
        max_examples=8,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.lists(word, min_size=3, max_size=3),
        st.dictionaries(st.sampled_from(ASKED), word, max_size=3),
        st.dictionaries(st.sampled_from(FIELDS), word, max_size=5),
        st.booleans(),
        st.booleans(),
    )
    def ask(parts: Any, query: Any, form: Any, is_part: bool, is_ours: bool) -> None:
        method, path = route
        for part in parts:
            head, brace, tail = path.partition("{")
            path = f"{head}{quote(part, safe='') or '0'}{tail.partition('}')[2]}" if brace else path
        if "sign-out" in path or form.get("verb") == "take tokens":
            return  # whoever asks would be gone
        headers = {"origin": ORIGIN, **({"hx-request": "true"} if is_part else {})}
        said = {**form, **({"csrf": csrf} if is_ours else {})} if method == "POST" else None
        found = root.client.request(method, path, params=query, data=said, headers=headers)
        assert found.status_code < 500, (method, path, query, form)

    for route in routes:  # noqa: B007
        ask()
    for method, path in routes:  # and each of them with what is there
        filled = path.replace("{id}", bob.id).replace("{number:int}", "1").replace("{team:path}", "office.py:team")
        filled = (
            filled.replace("{table}", "Table").replace("{run}", run.id).replace("{name}", "x").replace("{version}", "0")
        )
        if "sign-out" not in path:
            found = root.client.request(method, filled, data={"csrf": csrf} if method == "POST" else None)
            assert found.status_code < 500, (method, filled)
