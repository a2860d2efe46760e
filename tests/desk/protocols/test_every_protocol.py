"""One table for all protocols: whatever a client speaks, the same counts and the same is refused."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("a2a", reason="the extra `protocols` is not installed")
pytest.importorskip("mcp", reason="the extra `mcp` is not installed")

from doors import A2a, AgUi, Door, Mcp, Plain, serving, tokens_of
from node_doors import NODE, A2aNode, AgUiNode, McpNode, opened
from page_door import Page
from protocol_table import ANSWERS, COUNTS, played

from signoff.desk.service import Service

DOORS = [Page, Plain, AgUi, A2a, Mcp, *(pytest.param(kind, marks=NODE) for kind in (AgUiNode, A2aNode, McpNode))]


@pytest.mark.parametrize("kind", DOORS)
def test_the_same_counts_and_the_same_is_refused_whatever_a_client_speaks(
    kind: type[Door], service: Service, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = tokens_of(service.ledger, ann=("finance",), bob=(), zed=("tenant:zeta",))

    async def work() -> dict[str, Any]:
        async with serving(service, tokens) as place, opened(kind, place) as door:
            return await played(door, service, home)

    came = asyncio.run(work())
    if not kind.decides:
        assert all(came[row] for row in ANSWERS), came
        came |= {row: COUNTS[row] for row in ANSWERS}
    assert came == COUNTS
    assert [
        one.getMessage() for one in caplog.records if one.name.startswith("mcp.") and one.levelname == "ERROR"
    ] == []
