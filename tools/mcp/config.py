"""The roster: a file of servers, in the form that other programs read too, with the risks of their tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signoff.errors import SettingsError, TeamError
from signoff.tools.contract import ToolLimits, Touches
from signoff.tools.mcp.server import McpRisk, McpServer, check_names

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
        """What it describes."""
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
            path, f"has headers for {name!r}", "Let the broker add what a server must be sent (docs/secrets.md)."
        )
    try:
        read = _Entry.model_validate(entry)
        if read.type not in ("", "stdio", "http", "streamable-http", "streamable_http"):
            raise TeamError(f"the type {read.type!r} is not spoken here, only stdio and http (streamable)")
        return read.server()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise _wrong(path, f"describes {name!r} wrongly ({where}: {first['msg']})", "Correct it.") from None
    except TeamError as error:
        raise _wrong(path, f"describes {name!r} wrongly ({str(error).rstrip('.')})", "Correct it.") from None


def _wrong(path: Path | str, problem: str, remedy: str) -> SettingsError:
    return SettingsError(_SETTING, f"{str(path)!r} {problem}", remedy)
