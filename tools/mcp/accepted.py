"""Accepted: the tools of each server that a person has looked at, kept word for word; nothing else is ever used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from signoff.errors import Tampered, ToolError
from signoff.tools.mcp.offer import McpTool, Offer
from signoff.tools.storage.atomic import write_whole

Standing = Literal["new", "accepted", "changed", "gone", "unusable"]
"""How a tool stands: offered and not accepted, as it was accepted, offered otherwise, no longer offered, of no use."""


class _Kept(BaseModel):
    """One accepted tool in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, protected_namespaces=())

    description: str
    arguments: dict[str, Any]
    sha256: str


class Accepted:
    """The file `<home>/mcp.json`: what was accepted, by server and tool."""

    def __init__(self, home: Path | str = ".signoff") -> None:
        self.path = Path(home).expanduser().absolute() / "mcp.json"

    def of(self, server: str) -> dict[str, McpTool]:
        """The accepted tools of a server, by name; Tampered if one is not what was accepted."""
        return {name: self._read(server, name, kept) for name, kept in self._all().get(server, {}).items()}

    def keep(self, server: str, tools: Mapping[str, McpTool]) -> None:
        """Let these, and no others, be the server's accepted tools; with none, the server is forgotten."""
        every = {name: dict(kept) for name, kept in self._all().items() if name != server}
        if tools:
            every[server] = {
                name: {"description": tool.description, "arguments": dict(tool.schema), "sha256": tool.sha256}
                for name, tool in sorted(tools.items())
            }
        write_whole(self.path, json.dumps(every, indent=1, ensure_ascii=False).encode("utf-8"))

    def _all(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            raise self._unreadable(f"cannot be read ({error})") from error
        if not isinstance(found, dict) or not all(isinstance(tools, dict) for tools in found.values()):
            raise self._unreadable("holds no accepted tools")
        return found

    def _unreadable(self, problem: str) -> ToolError:
        return ToolError(f"{str(self.path)!r} {problem}. Remove it and accept the tools again.")

    def _read(self, server: str, name: str, kept: Any) -> McpTool:
        what = f"The tool {name!r} of the MCP server {server!r} in {str(self.path)!r}"
        try:
            read = _Kept.model_validate(kept)
        except ValidationError as error:
            raise Tampered(what) from error
        tool = McpTool(name=name, description=read.description, schema=read.arguments)
        if tool.sha256 != read.sha256:
            raise Tampered(what)
        return tool


def compare(offer: Offer, accepted: Mapping[str, McpTool]) -> dict[str, Standing]:
    """How each tool stands that is offered or was accepted, in the order of their names."""
    standings: dict[str, Standing] = {}
    for name in sorted({*offer.tools, *offer.unusable, *accepted}):
        if name in offer.unusable:
            standings[name] = "unusable"
        elif name not in offer.tools:
            standings[name] = "gone"
        elif name not in accepted:
            standings[name] = "new"
        else:
            standings[name] = "accepted" if offer.tools[name].sha256 == accepted[name].sha256 else "changed"
    return standings
