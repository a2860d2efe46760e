"""The page in LangGraph Server's own http app: somebody signs in there, decides, and the server's run goes on."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from desk_pages import OFFICE, text_of
from langgraph_dev import free_port, serving
from langgraph_sdk import get_sync_client

from signoff import Ledger
from signoff.checkpoints.ledger import Person

WEB = """
from starlette.applications import Starlette
from starlette.routing import Mount

from signoff.desk.web import desk_app

app = Starlette(routes=[Mount("/desk", desk_app(ADDRESS))])
"""


def test_a_run_of_langgraph_server_is_decided_on_the_page_that_it_serves(home: Path, ledger: Ledger) -> None:
    (home / "office.py").write_text(OFFICE + "\ngraph = team.graph()\n")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    (home / "web.py").write_text(WEB.replace("ADDRESS", repr(address)))
    token = ledger.people.give_key(Person("ann"), "token", days=1, by="root")
    config = {"graphs": {"office": "./office.py:graph"}, "http": {"app": "./web.py:app"}}
    with (
        serving(home, config, port) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as ann,
        get_sync_client(url=url) as client,
    ):
        assert ann.get("/desk/").status_code == 401
        said = ann.post("/desk/sign-in", data={"token": token}, headers={"origin": url})
        assert said.headers["location"] == "/desk/"
        thread = client.threads.create()["thread_id"]
        client.runs.wait(thread, "office", input={"goal": "write bob"})
        inbox = ann.get("/desk/").text
        assert "Post letter to bob" in text_of(inbox)
        (approval,) = set(re.findall(r'href="(/desk/approvals/a-[^"]+)"', inbox))
        html = ann.get(approval).text
        form = next(one for one in re.findall(r"<form.*?</form>", html, re.DOTALL) if 'value="approve"' in one)
        fields = dict(re.findall(r'name="(csrf|sha256|verb)" value="([^"]*)"', form))
        assert ann.post(approval, data=fields, headers={"origin": "http://evil.test"}).status_code == 403
        assert ann.post(approval, data=fields, headers={"origin": url}).status_code == 303
        assert not (home / "sent.txt").exists(), "the server drives its run, and the page only decides"
        client.runs.wait(thread, "office", input=None)
        assert (home / "sent.txt").read_text() == "bob: hello (1)\n"
        assert "It was approved by ann" in text_of(ann.get(approval).text)
        assert ann.get(f"/desk/runs/{thread}").status_code == 200
