"""A server over stdio that the tests wrote, and its tools once they are accepted."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="the extra `mcp` is not installed")
pytest.importorskip("langchain_mcp_adapters", reason="the extra `mcp` is not installed")

from signoff.tools.mcp.config import Accepted
from signoff.tools.mcp.connection import close_servers
from signoff.tools.mcp.offer import Offer
from signoff.tools.mcp.server import McpServer
from signoff.tools.mcp.tools import look_at, mcp_tools

PROGRAMS = Path(__file__).parent / "programs"

Made = dict[str, Any]
Use = Callable[..., Made]


@pytest.fixture(autouse=True)
def _no_server_is_left() -> Iterator[None]:
    yield
    close_servers()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the server uses; files in it change how it behaves."""
    place = tmp_path / "server"
    place.mkdir()
    return place


@pytest.fixture
def tester(folder: Path) -> Callable[..., McpServer]:
    """The server, with these options of McpServer."""

    def make(**options: Any) -> McpServer:
        options.setdefault("risks", {"*": "read"})
        return McpServer(command=(sys.executable, str(PROGRAMS / "server.py"), str(folder)), **options)

    return make


@pytest.fixture(scope="session")
def offer(tmp_path_factory: pytest.TempPathFactory) -> Offer:
    """What the server offers, asked once."""
    command = (sys.executable, str(PROGRAMS / "server.py"), str(tmp_path_factory.mktemp("offer")))
    return look_at("tester", McpServer(command=command))


@pytest.fixture
def use(tester: Callable[..., McpServer], offer: Offer) -> Use:
    """Accept all that the server offers, and make tools of it, by their names without the server's."""

    def make(**options: Any) -> Made:
        server = tester(**options)
        Accepted().keep("tester", offer.tools)
        return {one.name.removeprefix("tester_"): one for one in mcp_tools({"tester": server})}

    return make


@pytest.fixture
def quick(folder: Path) -> Use:
    """Tools of the server that starts at once."""

    def make(**options: Any) -> Made:
        options.setdefault("risks", {"*": "read"})
        server = McpServer(command=(sys.executable, "-S", str(PROGRAMS / "quick.py"), str(folder)), **options)
        Accepted().keep("quick", look_at("quick", server).tools)
        return {one.name.removeprefix("quick_"): one for one in mcp_tools({"quick": server})}

    return make
