"""An MCP server that starts at once, because it knows only JSON. Its argument is a folder that it uses."""

import json
import os
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def note(file: str, line: str) -> None:
    with (FOLDER / file).open("a") as lines:
        lines.write(line + "\n")


def listed() -> list[Any]:
    says = (FOLDER / "says").read_text() if (FOLDER / "says").exists() else "It does it."
    names = ("echo", "note", "note_and_die", "note_and_fail", "die", "die_once", "change", "more_than_text", "refuse")
    added = ["added"] if (FOLDER / "more").exists() else []
    odd = json.loads((FOLDER / "odd").read_text()) if (FOLDER / "odd").exists() else []
    return [*odd, *({"name": name, "description": says, "inputSchema": TEXT} for name in [*names, *added])]


def call(name: str, text: str, meta: dict[str, Any]) -> dict[str, Any]:
    if name.startswith("note"):
        note("notes", text)
        note("keys", str(meta.get("signoff/idempotency-key")))
    if name in ("die", "note_and_die") or (name == "die_once" and not (FOLDER / "deaths").exists()):
        note("deaths", name)
        os._exit(3)
    if name == "change":
        say({"method": "notifications/tools/list_changed"})
    return {"content": [{"type": "text", "text": text}], "isError": name == "note_and_fail"}


note("starts", "started")
for line in sys.stdin:
    asked = json.loads(line)
    params = asked.get("params", {})
    match asked.get("method"):
        case "initialize":
            capabilities = {"tools": {"listChanged": True}}
            info = {"name": "quick", "version": "1"}
            version = params["protocolVersion"]
            result = {"protocolVersion": version, "capabilities": capabilities, "serverInfo": info}
            say({"id": asked["id"], "result": result})
        case "tools/list" if (FOLDER / "mute").exists():
            say({"id": asked["id"], "error": {"code": -32603, "message": "not now"}})
        case "tools/list":
            say({"id": asked["id"], "result": {"tools": listed()}})
        case "tools/call" if params["name"] == "refuse":
            say({"id": asked["id"], "error": {"code": -32602, "message": "unknown tool"}})
        case "tools/call" if params["name"] == "more_than_text":
            say({"id": asked["id"], "result": {"content": "no content blocks"}})
        case "tools/call":
            arguments, meta = params.get("arguments", {}), params.get("_meta", {})
            say({"id": asked["id"], "result": call(params["name"], arguments["text"], meta)})
