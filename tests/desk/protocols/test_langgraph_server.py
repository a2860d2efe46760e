"""The table of all protocols, played through LangGraph Server by its own clients: the same counts there."""

import asyncio
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which
from typing import Any

import httpx
import pytest
from desk_pages import text_of
from doors import Door, Place, Plain, tokens_of
from langgraph_dev import free_port, running, serving
from langgraph_doors import Inboxes, LangGraph, LangGraphNode
from langgraph_sdk import get_sync_client
from node_doors import CLIENTS, MODULES, NODE, opened
from protocol_table import APPROVE, COUNTS, approvals_of, played, sent

from signoff.desk.protocols.langgraph_auth import TENANT
from signoff.desk.service import Service

CHROMIUM = next(filter(None, map(which, ("chromium", "chromium-browser", "google-chrome"))), "")
HELD = """
import time
from pathlib import Path

from office import Letter, clerk, post
from signoff import Action, Policy, Team
from dataclasses import replace


def hold(letter: Letter, key: str) -> dict[str, str]:
    Path("begun.txt").touch()
    for _ in range(3000):
        if Path("go.txt").exists():
            return post(letter, key)
        time.sleep(0.1)
    raise TimeoutError


ACTION = Action(name="post_letter", description="Posts a letter.", arguments=Letter, call=hold)


def propose(given, task):
    return [ACTION.propose(Letter(to=name)) for name in task.goal.split()[1:]]


slow = Team(
    name="slow",
    agents=[replace(clerk, actions=(ACTION,), propose=propose)],
    policy=Policy({"post_letter": "allow"}),
)
"""
GRAPHS = """
from held import slow
from office import asks, soon, team, two

post, two, soon, slow = (one.graph() for one in (team, two, soon, slow))
"""
BESIDE = "signoff.desk.protocols.langgraph_"
FILE: dict[str, Any] = {
    "graphs": {name: f"./graphs.py:{name}" for name in ("post", "two", "soon", "slow")},
    "checkpointer": {"path": "signoff.checkpoints.saver.langgraph_server.checkpointer"},
    "auth": {"path": f"{BESIDE}auth:auth", "disable_studio_auth": True},
    "http": {"app": f"{BESIDE}app:app", "disable_a2a": True},
}
"""What serves the teams of the office with `langgraph dev`."""
COMMAND = ["office.py:team", "office.py:two", "office.py:soon", "held.py:slow"]
"""The teams that one command serves."""


@pytest.fixture
def place(service: Service, home: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A server with our saver, our people and our page: by one command, or by a file where others' clients come."""
    port = free_port()
    (home / "held.py").write_text(HELD)
    (home / "graphs.py").write_text(GRAPHS)
    tokens = tokens_of(service.ledger, ann=("finance",), bob=(), zed=("tenant:zeta",))
    teams = [word for team in COMMAND for word in ("--team", team)]
    words = ["signoff", "serve", "--langgraph", "--protocols", "--port", str(port), *teams]
    is_file = getattr(request, "param", "") == "file"
    with serving(home, FILE, port) if is_file else running(home, words, port) as url:
        assert _said(home, "[warning", "[error") == []
        yield Place(url, service, tokens)
    assert _said(home, "[error") == []


def _said(home: Path, *levels: str) -> list[str]:
    """What the server says so loudly, but for what it says where the machine is slow."""
    lines = (home / "server.log").read_text().splitlines()
    loud = [line for line in lines if any(level in line for level in levels)]
    slow = ("exceeded the expected startup time", "took longer than expected", "Slow graph load")
    return [line for line in loud if not any(words in line for words in slow)]


@pytest.mark.parametrize(
    ("kind", "place"), [(LangGraph, "command"), pytest.param(LangGraphNode, "file", marks=NODE)], indirect=["place"]
)
def test_the_same_counts_and_the_same_is_refused_on_langgraph_server(
    kind: type[Door], place: Place, home: Path
) -> None:
    async def work() -> dict[str, Any]:
        async with opened(kind, place) as door:
            return await played(door, place.service, home)

    assert asyncio.run(work()) == COUNTS
    if kind is LangGraph:
        ann, zed = (get_sync_client(url=place.address, headers=place.headers(who)) for who in ("ann", "zed"))
        try:
            _a_run_at_work_is_not_cut_off(ann, home)
            _of_other_tenants_there_is_nothing(place, ann, zed)
            _nobody_is_let_in_unknown(place, ann)
            _the_key_of_the_link_is_its_owners(place, home)
            _what_a_thread_asks_is_decided_on_the_page(place, ann, home)
        finally:
            ann.http.client.close()
            zed.http.client.close()


def _refused(work: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(httpx.HTTPStatusError) as caught:
        work()
    return caught.value.response.status_code, caught.value.response.text


INBOX = [
    *NODE,
    pytest.mark.skipif(
        not (MODULES.parent / "clients").is_dir(), reason="python3 make.py real fetches the inboxes by git first"
    ),
]


@pytest.mark.parametrize("kind", [pytest.param(Inboxes, marks=INBOX)])
def test_inboxes_of_others_show_what_waits_and_what_they_send_counts(
    kind: type[Inboxes], place: Place, home: Path
) -> None:
    async def work() -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
        async with opened(kind, place) as door:
            assert isinstance(door, Inboxes)
            ways = [(client, choice) for client in ("agent-inbox", "agent-chat-ui") for choice in OUTCOMES]
            ways += [("deep-agents-ui", "approve")]
            return [(*way, *await door.decide(*way, copies="2")) for way in ways]

    for client, choice, told, outcome in asyncio.run(work()):
        assert not told["invalid"], client
        assert told["shown"] == {"to": "Ida", "text": "hello", "copies": 1, "stamp": "blue"}, client
        assert outcome["status"] == OUTCOMES[choice], (client, choice, outcome)
    assert sorted(sent(home)) == ["Ida: hello (1)"] * 3 + ["Ida: hello (2)"] * 2


OUTCOMES = {"approve": "done", "edit": "done", "reject": "denied"}


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[str]:
    """Where the page of agent-chat-ui is: all of it but what Next.js adds around it."""
    folder = tmp_path / "chat"
    folder.mkdir()
    subprocess.run(["node", CLIENTS / "chat_page.mjs", MODULES, folder], check=True)
    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


CHAT = [
    *INBOX,
    pytest.mark.skipif(not CHROMIUM, reason="needs chromium"),
    pytest.mark.skipif(
        not (MODULES.parent / "clients" / "agent-chat-ui" / "node_modules").is_dir(),
        reason="python3 make.py real installs what the page of agent-chat-ui is made of first",
    ),
]


@pytest.mark.parametrize("name", [pytest.param("ann", marks=CHAT)])
def test_in_agent_chat_ui_somebody_asks_for_letters_and_decides_about_them(
    name: str, place: Place, chat: str, home: Path
) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(300_000)
        page.goto(chat)
        page.get_by_label("Deployment URL").fill(place.address)
        page.get_by_label("Assistant / Graph ID").fill("post")
        page.get_by_label("API Key").fill(place.tokens[name])
        page.get_by_role("button", name="Continue").click()

        def ask(goal: str) -> None:
            page.get_by_placeholder("Type your message").fill(goal)
            page.get_by_role("button", name="Send").click()

        def decided(goal: str) -> tuple[str, str]:
            for _ in range(3000):
                (asked,) = [one for one in approvals_of(place.service) if one.goal == goal]
                if asked.status != "pending":
                    return asked.status, asked.decided_by
                page.wait_for_timeout(100)  # another process has to get somewhere; there is nothing to wait on
            raise AssertionError(page.inner_text("body"))

        ask("write Ida")
        page.get_by_role("button", name="Approve", exact=True).click()
        assert decided("write Ida") == ("approved", name)
        ask("write Bo")
        page.get_by_placeholder("Share feedback").fill("not him")
        page.get_by_role("button", name="Submit rejection").click()
        assert decided("write Bo") == ("rejected", name)
        browser.close()
    assert sent(home) == ["Ida: hello (1)"]


def _a_run_at_work_is_not_cut_off(client: Any, home: Path) -> None:
    """While an action is called, what would end the run amid it is refused, and something new waits for its turn."""
    more = {"goal": "write Bo"}
    thread = client.threads.create()["thread_id"]
    client.runs.create(thread, "slow", input={"goal": "write Ida"})
    for _ in range(600):
        if (home / "begun.txt").exists():
            break
        time.sleep(0.1)  # another process has to get somewhere; there is nothing to wait on
    for cut in ("interrupt", "rollback"):
        status, said = _refused(partial(client.runs.create, thread, "slow", input=more, multitask_strategy=cut))
        assert status == 422, said
        assert "reject" in said
        assert "enqueue" in said
        asked = {"assistant_id": "slow", "input": more, "multitaskStrategy": cut}
        told = client.http.post(f"/threads/{thread}/commands", json={"id": 1, "method": "run.start", "params": asked})
        assert (told["type"], "not cut off" in told["message"]) == ("error", True)
    assert _refused(lambda: client.runs.create(thread, "slow", input=more, multitask_strategy="reject"))[0] == 409
    queued = client.runs.create(thread, "slow", input=more, multitask_strategy="enqueue")
    before = len(sent(home))
    (home / "go.txt").touch()
    client.runs.join(thread, queued["run_id"])
    assert sent(home)[before:] == ["Ida: hello (1)", "Bo: hello (1)"]


def _of_other_tenants_there_is_nothing(place: Place, ann: Any, zed: Any) -> None:
    theirs = ann.threads.create(metadata={TENANT: "zeta"})
    own = zed.threads.create(metadata={TENANT: ""})
    assert [theirs["metadata"][TENANT], own["metadata"][TENANT]] == ["", "zeta"]
    zed.threads.update(own["thread_id"], metadata={**own["metadata"], "note": "mine"})
    assert _refused(partial(zed.threads.update, own["thread_id"], metadata={TENANT: ""}))[0] == 403
    assert [found["thread_id"] for found in zed.threads.search()] == [own["thread_id"]]
    assert own["thread_id"] not in [found["thread_id"] for found in ann.threads.search()]
    for client, thread in ((zed, theirs["thread_id"]), (ann, own["thread_id"])):
        assert _refused(partial(client.threads.get_state, thread))[0] == 404
        start = partial(client.runs.create, thread, "post", input={"goal": "write Ida"})
        assert _refused(start)[0] == 404
    later = ann.runs.create(theirs["thread_id"], "post", input={"goal": "write Ida"}, after_seconds=3600)["run_id"]
    httpx.post(f"{place.address}/runs/cancel", json={"status": "all"}, headers=place.headers("zed"))
    assert ann.runs.get(theirs["thread_id"], later)["status"] == "pending"
    ann.runs.cancel(theirs["thread_id"], later)
    zed.runs.wait(own["thread_id"], "post", input={"goal": "write Ida"})
    record = place.service.ledger.runs.get(own["thread_id"])
    assert (record.tenant, record.requested_by) == ("zeta", "zed")
    ann.crons.create_for_thread(theirs["thread_id"], "post", schedule="0 4 * * *", input={"goal": "write Ida"})
    assert [len(client.crons.search()) for client in (ann, zed)] == [1, 0]


def _nobody_is_let_in_unknown(place: Place, ann: Any) -> None:
    for headers in ({}, {"Authorization": "Bearer nobody"}, {"x-auth-scheme": "langsmith"}):
        assert httpx.post(f"{place.address}/threads", json={}, headers=headers).status_code == 401
    key = {"X-Api-Key": place.tokens["ann"]}  # as inboxes send what they call a key
    assert httpx.post(f"{place.address}/threads", json={}, headers=key).status_code == 200
    assert _refused(lambda: ann.assistants.create("post"))[0] == 403
    assert _refused(lambda: ann.store.put_item(["x"], "y", {"z": 1}))[0] == 403
    assert httpx.get(f"{place.address}/.well-known/agent-card.json", headers=place.headers("ann")).status_code == 404
    page = httpx.get(f"{place.address}/desk", follow_redirects=True)
    assert "Sign in" in page.text
    thread = ann.threads.create()["thread_id"]
    _nothing_is_open_to_everybody(place, thread)
    told = ann.runs.wait(thread, "post", input={}, raise_error=False)
    assert 'has no goal. Give {"goal": "…"} or {"messages": […]}' in told["__error__"]["message"]


def _nothing_is_open_to_everybody(place: Place, thread: str) -> None:
    """Of all addresses that the server says it has, and of those that it has for its own tests and for Studio."""
    with httpx.Client(base_url=place.address, timeout=60) as nobody:
        known = nobody.get("/openapi.json").json()["paths"]
        asked = {(method.upper(), path) for path, methods in known.items() for method in methods}
        asked |= {("GET", "/internal/debug/thread/{thread_id}"), ("POST", "/internal/truncate"), ("POST", "/deploy")}
        open_to_all = set()
        for method, path in asked:
            told = nobody.request(method, re.sub(r"{\w+}", thread, path.replace("internal", "%69nternal")))
            if told.status_code not in (401, 404):
                open_to_all.add(path)
    assert open_to_all == {"/", "/ok", "/info", "/metrics", "/docs", "/openapi.json", "/desk"}
    assert len(asked) > 60


def _the_key_of_the_link_is_its_owners(place: Place, home: Path) -> None:
    """It opens the page, is a token for clients, and all else that programs speak is there too."""
    said = (home / "server.log").read_text()
    (link,) = [line for line in said.splitlines() if line.startswith(place.address)]
    assert "Studio" not in said, "its banner would lead to what is refused here"
    assert httpx.get(link).status_code == 303
    page, _, key = link.partition("/sign-in?key=")
    assert page == f"{place.address}/desk"
    owner: Any = get_sync_client(url=place.address, headers={"Authorization": f"Bearer {key}"})
    graphs = {one["graph_id"] for one in owner.assistants.search()}
    owner.http.client.close()
    assert graphs == {"post", "two", "soon", "slow"}
    plain = Plain(place)
    seen = asyncio.run(plain.start("post", "write Eve"))
    assert (seen.status, asyncio.run(plain.answer("post", seen, APPROVE)), said.count("Not spoken")) == (
        "waiting",
        "",
        0,
    )
    assert asyncio.run(plain.follow("post", seen)).status == "done"


def _what_a_thread_asks_is_decided_on_the_page(place: Place, ann: Any, home: Path) -> None:
    """Somebody signs in there and decides, and the server's own run goes on with that."""
    thread, before = ann.threads.create()["thread_id"], sent(home)
    ann.runs.wait(thread, "post", input={"goal": "write Fay"})
    with httpx.Client(base_url=place.address, timeout=60) as page:
        assert page.get("/desk/").status_code == 401
        said = page.post("/desk/sign-in", data={"token": place.tokens["ann"]}, headers={"origin": place.address})
        assert said.headers["location"] == "/desk/"
        (approval,) = set(re.findall(r'href="(/desk/approvals/a-[^"]+)">Post letter to Fay', page.get("/desk/").text))
        html = page.get(approval).text
        form = next(one for one in re.findall(r"<form.*?</form>", html, re.DOTALL) if 'value="approve"' in one)
        fields = dict(re.findall(r'name="(csrf|sha256|verb)" value="([^"]*)"', form))
        assert page.post(approval, data=fields, headers={"origin": "http://evil.test"}).status_code == 403
        assert page.post(approval, data=fields, headers={"origin": place.address}).status_code == 303
        assert sent(home) == before, "the server drives its run, and the page only decides"
        ann.runs.wait(thread, "post", input=None)
        assert sent(home) == [*before, "Fay: hello (1)"]
        assert "It was approved by ann" in text_of(page.get(approval).text)
        assert page.get(f"/desk/runs/{thread}").status_code == 200
