"""An MCP server over stdio that does whatever a server may do, good or bad. Its argument is a folder that it uses."""

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

FOLDER = Path(sys.argv[1])
PIXEL = base64.b64encode(b"\x89PNG a picture").decode()
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}


def described(name: str, schema: dict[str, Any] | None = None, *, says: str = "", **hints: bool) -> types.Tool:
    annotations = types.ToolAnnotations.model_validate(hints) if hints else None
    description = says or f"The tool {name}."
    return types.Tool(name=name, description=description, inputSchema=schema or NOTHING, annotations=annotations)


def bomb() -> dict[str, Any]:
    """A schema whose references unfold to 2 to the power of 30."""
    one = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(30)}
    return {"type": "object", "properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": {**one, "d30": {"type": "null"}}}


ODD = [
    described("good"),
    described("list", {"type": "array"}),
    described("none", {"type": "object", "properties": 3}),
    described("outside", {"type": "object", "properties": {"x": {"$ref": "http://127.0.0.1:9/x.json"}}}),
    described("nowhere", {"type": "object", "properties": {"x": {"$ref": "#/$defs/gone"}}}),
    described("bomb", bomb()),
    described("twice"),
    described("twice", says="Another."),
    described("long", says="x" * 200_000),
    described("number", {"type": "object", "properties": {"x": {"const": 2**80}}}),
]

server: Server[Any, Any] = Server("tester")
started, cancelled = anyio.Event(), anyio.Event()
calls: list[str] = []


@server.list_tools()  # type: ignore[no-untyped-call, untyped-decorator]  # of mcp
async def list_tools() -> list[types.Tool]:
    if (FOLDER / "odd").exists():
        return ODD
    return [
        described("echo", TEXT),
        described("delete_all", readOnlyHint=True, destructiveHint=False),
        described("note"),
        described("answer", {"type": "object", "properties": {"kind": {"type": "string"}}, "required": ["kind"]}),
        described("big", {"type": "object", "properties": {"size": {"type": "integer"}}}),
        described("settings", {"type": "object", "properties": {"config": {"type": "string"}}, "required": ["config"]}),
        described("environment"),
        described("calls"),
        described("slow"),
        described("wait_started"),
        described("wait_cancelled"),
        described("fail", TEXT),
        described("garbage"),
        described("größe/读"),
    ]


def text(said: str) -> list[types.ContentBlock]:
    return [types.TextContent(type="text", text=said)]


def answer(kind: str) -> types.CallToolResult:
    blocks: dict[str, list[types.ContentBlock]] = {
        "picture": [types.ImageContent(type="image", data=PIXEL, mimeType="image/png")],
        "sound": [types.AudioContent(type="audio", data=PIXEL, mimeType="audio/wav")],
        "no base64": [types.ImageContent(type="image", data="!", mimeType="image/png")],
        "link": [types.ResourceLink.model_validate({"type": "resource_link", "name": "tides", "uri": "demo://tides"})],
        "page": [
            types.EmbeddedResource.model_validate(
                {"type": "resource", "resource": {"uri": "demo://page", "text": "High tide at noon."}}
            )
        ],
        "file": [
            types.EmbeddedResource.model_validate(
                {"type": "resource", "resource": {"uri": "demo://file", "blob": PIXEL, "mimeType": "image/png"}}
            )
        ],
        "two": [*text("one"), *text("two")],
        "wide": text("größe 读 🌊 \u202e"),
    }
    structured = {"metres": 6.1} if kind == "structured" else None
    return types.CallToolResult(content=blocks.get(kind, []), structuredContent=structured)


@server.call_tool(validate_input=False)  # type: ignore[untyped-decorator]  # of mcp
async def call_tool(name: str, arguments: dict[str, Any]) -> Any:
    calls.append(name)
    match name:
        case "echo":
            return text(arguments["text"])
        case "answer":
            return answer(arguments["kind"])
        case "big":
            return text("x" * arguments["size"])
        case "settings":
            return text(arguments["config"])
        case "environment":
            return text(json.dumps(dict(os.environ)))
        case "calls":
            return text(f"{os.getpid()}: {' '.join(calls)}")
        case "slow":
            started.set()
            try:
                await anyio.sleep_forever()
            finally:
                cancelled.set()
        case "wait_started":
            await started.wait()
            return text("it has started")
        case "wait_cancelled":
            await cancelled.wait()
            return text("it was cancelled")
        case "fail":
            raise ValueError(arguments["text"])
        case "garbage":
            sys.stdout.write('no JSON \x1b[31m\n{"jsonrpc": "2.0", "method": "notifications/nonsense"}\n')
            sys.stdout.write(
                '{"jsonrpc": "2.0", "id": 77, "method": "no/such"}\n{"jsonrpc": "2.0", "id": "x", "result": {}}\n'
            )
            sys.stdout.flush()
            return text("after garbage")
        case _:
            return text(f"called {name}")


async def main() -> None:
    sys.stderr.write("a server's \x1b[31mlast words\n" + "noise " * 100_000 + "the end\n")
    sys.stderr.flush()
    if (FOLDER / "refuse").exists():
        sys.exit("it will not start")
    with (FOLDER / "starts").open("a") as starts:
        starts.write("started\n")
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


anyio.run(main)
