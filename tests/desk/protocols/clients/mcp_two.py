# mypy: ignore-errors
"""A team served by version 2 of the SDK, and its client in both protocols; run where that version is installed."""

import asyncio
import json
import sys

import httpx2
from doors import serving, tokens_of
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

from signoff.checkpoints import configured_ledger
from signoff.desk.offers import read_offers
from signoff.desk.service import Service
from signoff.settings import load_settings

SAID = {"goal": f"write {sys.argv[1]}", "person": "Ann", "way": "on foot", "day": "2026-05-01", "nights": 2}


async def say(_context, asked):
    """What the client's user says to whatever is asked."""
    return ElicitResult(action="accept", content={name: SAID[name] for name in asked.requested_schema["properties"]})


async def decline(_context, asked):
    """The client's user says nothing."""
    return ElicitResult(action="decline")


async def played(place, mode):
    """What came of it in one protocol."""
    told = {}

    async def connected(work, answer=say, team="post"):
        url = f"{place.address}/teams/{team}/mcp"
        async with httpx2.AsyncClient(headers=place.headers("ann"), timeout=60) as http:
            transport = streamable_http_client(url, http_client=http)
            async with Client(transport, mode=mode, elicitation_callback=answer) as client:
                return await work(client)

    async def work(client):
        told["version"] = client.protocol_version
        told["tools"] = sorted(tool.name for tool in (await client.list_tools()).tools)
        held = await client.call_tool("start_run", {"wait_seconds": 60})
        assert not held.is_error, held.content
        run = held.structured_content["run"]
        told["asked"] = held.structured_content["waits_for"][0]["action"]
        approve = await client.call_tool("cancel_run", {"run": "r-nothing"})
        told["wrong"] = approve.content[0].text
        given = (await client.call_tool("start_run", {"goal": "write Bo", "wait_seconds": 60})).structured_content
        told["given"] = given["status"]
        told["cancelled"] = (await client.call_tool("cancel_run", {"run": run})).structured_content["status"]

    async def without(client):
        declined = await client.call_tool("start_run", {})
        text = declined.content[0].text
        return text.partition("tool start_run: ")[2].partition(":")[0] or text

    async def visit(client):
        (start,) = [tool for tool in (await client.list_tools()).tools if tool.name == "start_run"]
        told["needs"] = start.input_schema["required"]
        begun = (await client.call_tool("start_run", {"place": "Ulm", "wait_seconds": 60})).structured_content
        return (await client.call_tool("run_result", {"run": begun["run"]})).structured_content["artifacts"]

    await connected(work)
    told["declined"] = await connected(without, decline)
    told["cannot ask"] = await connected(without, None)
    told["visit"] = (await connected(visit, team="visits"))["Note"]["text"]
    return told


async def main():
    settings = load_settings()
    ledger = configured_ledger(settings)
    service = Service(
        settings, ledger, read_offers(["office.py:team", "visits.py:visits"], settings), page="http://desk.test"
    )
    async with serving(service, tokens_of(ledger, ann=())) as place:
        told = [await played(place, mode) for mode in ("auto", "legacy")]
    print(json.dumps({"told": told, "goals": sorted(record.goal for record in ledger.runs.list())}))


asyncio.run(main())
