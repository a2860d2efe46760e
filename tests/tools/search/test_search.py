"""The search tools as a model calls them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool

from signoff.tools.search.sources import Sources
from signoff.tools.search.tools import search_tools

WADING = " ".join(f"On day {day} they wade." for day in range(500))


@pytest.fixture
def tools(folder: Path, opened: Callable[..., Sources]) -> dict[str, BaseTool]:
    (folder / "birds.md").write_text("# Birds\n\n## Food\n\nHerons eat frogs.\n\n## Home\n\n" + WADING)
    (folder / "rocks.txt").write_text("Rocks lie still.")
    sources = opened(folder)
    sources.refresh()
    return {tool.name: tool for tool in search_tools(sources)}


def test_a_search_gives_numbered_passages_with_their_place_and_exact_text(tools: dict[str, BaseTool]) -> None:
    said = tools["search_sources"].invoke({"query": "frogs or rocks"})
    assert said.startswith("2 passages, the best first.")
    assert "[2] rocks.txt | start=0\nRocks lie still." in said
    assert "birds.md | Birds | Food | start=13\nHerons eat frogs." in said


def test_a_search_gives_as_many_passages_as_asked_within_reason(tools: dict[str, BaseTool]) -> None:
    for asked, given in ((1, 1), (-3, 1), (10**9, 10), ("2", 2)):
        said = tools["search_sources"].invoke({"query": "wade", "limit": asked})
        assert said.startswith(f"{given} passages")


def test_a_search_that_finds_nothing_says_what_to_do(tools: dict[str, BaseTool]) -> None:
    assert tools["search_sources"].invoke({"query": "whales"}) == (
        "Nothing found for 'whales' in 2 documents. Try other or fewer words."
    )


def test_a_document_is_read_in_parts(tools: dict[str, BaseTool]) -> None:
    whole = tools["read_source"].invoke({"source": "birds.md", "start": 13, "length": 17})
    assert whole.startswith("birds.md, characters 13 to 30 of ")
    assert "\n\nHerons eat frogs.\n\n(It goes on at start=30.)" in whole
    rest = tools["read_source"].invoke({"source": "rocks.txt", "start": -5, "length": 10**9})
    assert rest == "rocks.txt, characters 0 to 16 of 16:\n\nRocks lie still."


def test_reading_past_the_end_says_how_long_the_document_is(tools: dict[str, BaseTool]) -> None:
    said = tools["read_source"].invoke({"source": "rocks.txt", "start": 16})
    assert said == "rocks.txt has 16 characters; start must be smaller."


def test_an_unknown_document_is_answered_with_those_that_are_close(tools: dict[str, BaseTool]) -> None:
    said = tools["read_source"].invoke({"source": "bird.md"})
    assert said == "No document 'bird.md'. There are 2 documents, such as 'birds.md'."


@pytest.mark.parametrize(
    "arguments",
    [{}, {"query": None}, {"query": ["a"]}, {"query": "frogs", "limit": "many"}, {"query": "frogs", "limit": None}],
)
def test_wrong_arguments_are_answered_with_what_is_wrong(tools: dict[str, BaseTool], arguments: Any) -> None:
    said = tools["search_sources"].invoke(arguments)
    assert said.startswith("search_sources was called wrongly. ")
    assert ("limit" if "limit" in arguments else "query") in said
    assert tools["read_source"].invoke({"source": 7}).startswith("read_source was called wrongly. source: ")


async def call_async(tool: BaseTool) -> Any:
    return await tool.ainvoke({"query": "frogs"})


def test_the_tools_work_in_async_code(tools: dict[str, BaseTool]) -> None:
    import asyncio

    assert "Herons eat frogs." in asyncio.run(call_async(tools["search_sources"]))
