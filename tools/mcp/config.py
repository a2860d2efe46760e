"""The files of MCP: servers, in the form that other programs read too, and the tools of theirs that were accepted."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signoff.checkpoints.errors import Tampered
from signoff.error_base import SettingsError, TeamError
from signoff.tools.action import ToolLimits, Touches
from signoff.tools.errors import ToolError
from signoff.tools.mcp.offer import McpTool, Offer
from signoff.tools.mcp.server import McpRisk, McpServer, check_names
from signoff.tools.storage.atomic import write_whole

_SETTING = "SIGNOFF_MCP_SERVERS"
_EXAMPLE = '{"mcpServers": {"files": {"command": "npx", "args": ["…"], "risks": {"read_*": "read"}}}}'


class _Entry(BaseModel):
    """One server in the file; what is not known is refused, because it may be meant to protect."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    cwd: Path | None = None
    url: str = ""
    risks: dict[str, str] = Field(default_factory=dict)
    idempotent: tuple[str, ...] = ()
    atomic: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    seconds: float = ToolLimits.seconds
    characters: int = ToolLimits.characters
    start_seconds: float = McpServer.start_seconds

    def server(self) -> McpServer:
        return McpServer(
            command=(self.command, *self.args) if self.command else (),
            env=self.env,
            cwd=self.cwd,
            url=self.url,
            risks=cast(dict[str, McpRisk], self.risks),  # which looks at them, and names all there are
            idempotent=self.idempotent,
            atomic=self.atomic,
            touches=Touches(hosts=self.hosts, reads=self.reads, writes=self.writes, secrets=self.secrets),
            limits=ToolLimits(seconds=self.seconds, characters=self.characters),
            start_seconds=self.start_seconds,
        )


def read_servers(path: Path | str = "mcp.json") -> dict[str, McpServer]:
    """The servers in this file by name; SettingsError says what is wrong with it."""
    try:
        found = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _wrong(path, "is not there", f"Write one, such as {_EXAMPLE}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise _wrong(path, f"cannot be read ({error})", f"Write it as {_EXAMPLE}") from error
    listed = found.get("mcpServers") if isinstance(found, dict) else None
    if not isinstance(listed, dict):
        raise _wrong(path, "has no mcpServers", f"Write it as {_EXAMPLE}")
    servers = {name: _read(path, name, entry) for name, entry in listed.items()}
    try:
        check_names(servers)
    except TeamError as error:
        raise _wrong(path, f"cannot be used ({str(error).rstrip('.')})", "Correct it.") from error
    return servers


def _read(path: Path | str, name: str, entry: Any) -> McpServer:
    if isinstance(entry, dict) and "headers" in entry:
        raise _wrong(
            path, f"has headers for {name!r}", "Let the broker add what a server must be sent (docs/tools/secrets.md)."
        )
    try:
        read = _Entry.model_validate(entry)
        if read.type not in ("", "stdio", "http", "streamable-http", "streamable_http"):
            raise TeamError(f"the type {read.type!r} is not spoken here, only stdio and http (streamable)")
        return read.server()
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
    except TeamError as error:
        problem = str(error).rstrip(".")
    raise _wrong(path, f"describes {name!r} wrongly ({problem})", "Correct it.")


def _wrong(path: Path | str, problem: str, remedy: str) -> SettingsError:
    return SettingsError(_SETTING, f"{str(path)!r} {problem}", remedy)


Standing = Literal["new", "accepted", "changed", "gone", "unusable", "tampered"]
"""How a tool stands: offered and not accepted, as it was accepted, offered otherwise, no longer offered, of no use; or
what was accepted of it was changed in the file."""


class _AcceptedTool(BaseModel):
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
        """The accepted tools of a server, by name, without those that are not what was accepted."""
        return self._sorted(server)[0]

    def tampered(self, server: str) -> dict[str, Tampered]:
        """The tools of a server that somebody changed in the file, by name, each with what there is to say."""
        return self._sorted(server)[1]

    def _sorted(self, server: str) -> tuple[dict[str, McpTool], dict[str, Tampered]]:
        whole, changed = dict[str, McpTool](), dict[str, Tampered]()
        for name, kept in self._all().get(server, {}).items():
            try:
                whole[name] = self._read(server, name, kept)
            except Tampered as error:
                changed[name] = error
        return whole, changed

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
            read = _AcceptedTool.model_validate(kept)
        except ValidationError as error:
            raise Tampered(what) from error
        tool = McpTool(name=name, description=read.description, schema=read.arguments)
        if tool.sha256 != read.sha256:
            raise Tampered(what)
        return tool


def compare(offer: Offer, accepted: Mapping[str, McpTool], tampered: Collection[str] = ()) -> dict[str, Standing]:
    """How each tool stands that is offered or was accepted, in the order of their names."""
    standings: dict[str, Standing] = {}
    for name in sorted({*offer.tools, *offer.unusable, *accepted, *tampered}):
        if name in tampered:
            standings[name] = "tampered"
        elif name in offer.unusable:
            standings[name] = "unusable"
        elif name not in offer.tools:
            standings[name] = "gone"
        elif name not in accepted:
            standings[name] = "new"
        else:
            standings[name] = "accepted" if offer.tools[name].sha256 == accepted[name].sha256 else "changed"
    return standings
