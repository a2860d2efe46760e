"""The protocols in the hands of the clients that their projects ship for JavaScript; how these are had, and run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from doors import A2a, AgUi, Door, Mcp, Node, Place, Seen

CLIENTS = Path(__file__).parents[2] / "desk" / "protocols" / "clients"
MODULES = Path(os.environ.get("REAL_INPUTS", ""), "npm")
STATES = {3: "done", 4: "failed", 5: "stopped", 7: "stopped"}

NODE = [
    pytest.mark.real,
    pytest.mark.skipif(which("node") is None, reason="needs Node 20 or newer"),
    pytest.mark.skipif(
        "REAL_INPUTS" not in os.environ or not (MODULES / "node_modules" / "@ag-ui").is_dir(),
        reason="python3 make.py real installs the clients first, which needs npm and a network",
    ),
]
"""What a test of theirs is marked with."""


@asynccontextmanager
async def opened(kind: type[Door], place: Place) -> AsyncIterator[Door]:
    """The protocol, with the process of its client if that needs one."""
    door = kind(place)
    if not isinstance(door, Node):
        yield door
        return
    pipe = asyncio.subprocess.PIPE
    door.process = await asyncio.create_subprocess_exec(
        "node", str(CLIENTS / door.script), str(MODULES), stdin=pipe, stdout=pipe, limit=2**22
    )
    try:
        yield door
    finally:
        door.process.kill()
        await door.process.wait()
        door.process._transport.close()  # type: ignore[attr-defined]  # its pipes, before the loop is closed


class AgUiNode(Node, AgUi):
    script = "ag_ui.mjs"

    async def _run(self, team: str, who: str, thread: str, **said: Any) -> list[dict[str, Any]]:
        told = await self.ask(
            {"url": self.url(team, "ag-ui"), "token": self.place.tokens[who], "thread": thread, **said}
        )
        return list(told["events"]) or [{"type": "RUN_ERROR", "code": told["error"]}]


class A2aNode(Node, A2a):
    script = "a2a.mjs"

    async def _method(self, team: str, who: str, method: str, params: dict[str, Any]) -> Seen:
        asked = {"url": self.url(team, "a2a"), "token": self.place.tokens[who], "method": method, "params": params}
        told, seen = await self.ask(asked), Seen("", "")
        for part in told["parts"]:
            if part["$case"] not in ("task", "statusUpdate"):
                continue
            value = part["value"]
            seen.run, status = value["id"] if part["$case"] == "task" else value["taskId"], value["status"]
            parts = [one["content"] for one in (status.get("message") or {"parts": []})["parts"]]
            said = "".join(one["value"] for one in parts if one["$case"] == "text")
            seen.heard += [said.partition(":")[0]] if ": " in said and status["state"] == 2 else []
            seen.status = STATES.get(status["state"], "")
            if status["state"] == 6:
                (data,) = [one["value"] for one in parts if one["$case"] == "data"]
                asked_now = data["questions"][0]
                seen.status, seen.action, seen.approval = "waiting", asked_now["action"], asked_now["approval"]
        seen.refused = told["error"] or ""
        return seen

    async def _send(self, team: str, text: str, who: str, task: str = "") -> Seen:
        part = {"content": {"$case": "text", "value": text}, "filename": "", "mediaType": ""}
        message = {"messageId": os.urandom(8).hex(), "contextId": "", "taskId": task, "role": 1, "parts": [part]}
        message |= {"extensions": [], "referenceTaskIds": []}
        return await self._method(team, who, "sendMessageStream", {"tenant": "", "message": message})

    async def follow(self, team: str, seen: Seen, who: str = "ann") -> Seen:
        found = await self._method(team, who, "resubscribeTask", {"tenant": "", "id": seen.run})
        if found.refused == "ended":
            return await self._method(team, who, "getTask", {"tenant": "", "id": seen.run})
        return found

    async def cancel(self, team: str, seen: Seen, who: str = "ann") -> str:
        found = await self._method(team, who, "cancelTask", {"tenant": "", "id": seen.run})
        return found.refused or found.status


class McpNode(Node, Mcp):
    script = "mcp.mjs"

    async def _call(self, team: str, who: str, tool: str, **given: Any) -> dict[str, Any]:
        asked = {"url": self.url(team, "mcp"), "token": self.place.tokens[who], "tool": tool, "given": given}
        answer = await self.ask(asked)
        if answer.get("isError"):
            code = answer["content"][0]["text"].partition(f"tool {tool}: ")[2].partition(":")[0]
            return {"code": code or "no_such_tool"}
        return dict(answer["structuredContent"])
