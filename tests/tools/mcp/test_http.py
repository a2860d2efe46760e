"""Servers over streamable HTTP on loopback: one that anybody may use, and one that wants a token."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from mcp.server.fastmcp import FastMCP

from signoff.errors import ActionFailed, McpUnusable
from signoff.tools.action import Action, Touches
from signoff.tools.broker.broker import Broker
from signoff.tools.mcp.config import Accepted
from signoff.tools.mcp.connection import close_servers
from signoff.tools.mcp.server import McpServer
from signoff.tools.mcp.tools import look_at, mcp_tools
from signoff.tools.tool import Tool

TOKEN = "harbour/Token+4711"

App = Callable[[Any, Any, Any], Any]


def new_app(*, token: str = "") -> App:
    server: FastMCP[Any] = FastMCP("tides", log_level="ERROR")

    @server.tool()
    def tide(harbour: str) -> str:
        """Tell the tide."""
        return f"High water at {harbour} is at six."

    app = server.streamable_http_app()

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        given = dict(scope.get("headers", ())).get(b"authorization", b"").decode()
        if scope["type"] == "http" and token and given != f"Bearer {token}":
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b"who are you?"})
            return
        await app(scope, receive, send)

    return guarded


@contextmanager
def served(app: App, port: int = 0) -> Iterator[int]:
    endpoint = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [endpoint]})
    thread.start()
    try:
        yield endpoint.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        endpoint.close()


def ask(server: McpServer, **options: Any) -> str:
    Accepted().keep("tides", look_at("tides", server, **options).tools)
    (tide,) = mcp_tools({"tides": server}, **options)
    assert isinstance(tide, Tool)
    return str(tide.invoke({"harbour": "Husum"}))


def test_a_server_is_used_over_http_and_found_again_after_it_was_away() -> None:
    with served(new_app()) as port:
        server = McpServer(url=f"http://127.0.0.1:{port}/mcp", risks={"tide": "read"})
        assert ask(server) == "High water at Husum is at six."
    (tide,) = mcp_tools({"tides": server})
    assert isinstance(tide, Tool)
    assert "High water" not in tide.invoke({"harbour": "Husum"})
    with served(new_app(), port):
        assert tide.invoke({"harbour": "Büsum"}) == "High water at Büsum is at six."


def test_a_server_that_has_forgotten_the_session_is_asked_in_a_new_one() -> None:
    with served(new_app()) as port:
        server = McpServer(url=f"http://127.0.0.1:{port}/mcp")
        Accepted().keep("tides", look_at("tides", server).tools)
        (tide,) = mcp_tools({"tides": server})
        assert isinstance(tide, Action)
        assert tide.call(tide.arguments(harbour="Husum"), "1")["answer"] == "High water at Husum is at six."
    with served(new_app(), port):
        assert tide.call(tide.arguments(harbour="Büsum"), "2")["answer"] == "High water at Büsum is at six."
    with pytest.raises(ActionFailed, match="was not called: the connection broke"):
        tide.call(tide.arguments(harbour="Husum"), "3")


def test_an_address_where_nobody_answers_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(McpUnusable, match="'tides' cannot be used"):
        look_at("tides", McpServer(url=f"http://127.0.0.1:{port}/mcp"))


def test_what_a_server_wants_to_be_sent_is_added_by_the_broker(tmp_path: Path) -> None:
    with served(new_app(token=TOKEN)) as port:
        url = f"http://127.0.0.1:{port}/mcp"
        with pytest.raises(McpUnusable):
            look_at("tides", McpServer(url=url))
        secrets = tmp_path / "secrets.toml"
        secrets.write_text(
            f'[secrets.HARBOUR]\nvalue = "{TOKEN}"\n[[secrets.HARBOUR.rules]]\nhosts = ["127.0.0.1:{port}"]\n'
            'tools = ["mcp_tides"]\nmethods = ["GET", "POST", "DELETE"]\nscheme = "http"\nprivate = true\n'
        )
        os.chmod(secrets, 0o600)
        server = McpServer(url=url, risks={"tide": "read"}, touches=Touches(secrets=("HARBOUR",)))
        with pytest.raises(McpUnusable, match="it needs HARBOUR, and there is no broker"):
            look_at("tides", server)
        with Broker.start(secrets, home=tmp_path) as broker:
            assert ask(server, broker=broker) == "High water at Husum is at six."
            close_servers()
