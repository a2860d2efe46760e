"""MCP tools: the accepted tools of servers, as tools that read and actions that are proposed."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from signoff.concurrency import run, submit
from signoff.error_base import TeamError
from signoff.tools.action import Action, LoopRisk
from signoff.tools.errors import ActionFailed, McpLost, McpNotAccepted, McpNotCalled
from signoff.tools.mcp.config import Accepted
from signoff.tools.mcp.connection import connection_to
from signoff.tools.mcp.offer import McpTool, Offer, say_result
from signoff.tools.mcp.schema import Given, arguments_of, misfit
from signoff.tools.mcp.server import McpServer, check_names, fits
from signoff.tools.mcp.session import Peer, open_session
from signoff.tools.storage.blobs import Blobs
from signoff.tools.tool import Tool
from signoff.wording import as_block, as_code, make_visible, one_line, quoted

if TYPE_CHECKING:
    from mcp.types import CallToolResult

    from signoff.tools.broker.broker import Broker

_log = logging.getLogger(__name__)
_LONGEST_NAME = 64
"""Characters that providers of models allow."""
_TAKEN = frozenset({"config", "run_manager", "callbacks", "self", "runtime"})
"""Names of arguments that LangChain keeps for itself."""


def mcp_tools(
    servers: Mapping[str, McpServer], *, home: Path | str = ".signoff", broker: Broker | None = None
) -> tuple[Tool | Action[Any], ...]:
    """The tools of these servers that were accepted: a `Tool` where the user says that it reads, else an `Action`.

    No server is started for that; the first call does. McpNotAccepted if nothing of a server was accepted, Tampered if
    all that was is changed since. `broker` is for servers that need secrets, which it adds to their requests. A tool
    that cannot be used, or was changed in the file, is left out and logged;
    of two whose names come out the same neither is used, as nobody could tell which one is meant.
    """
    check_names(servers)
    accepted, blobs = Accepted(home), Blobs(home)
    sources: list[_Source] = []
    for name, server in servers.items():
        tools, tampered = accepted.of(name), accepted.tampered(name)
        if not tools:
            raise next(iter(tampered.values()), McpNotAccepted(name))
        for tool, error in tampered.items():
            _log.warning("Left out: %s of the MCP server %s. %s", quoted(tool), name, error)
        sources += [_Source(Peer(name=name, server=server, broker=broker), tool, blobs) for tool in tools.values()]
    named = Counter(source.title.casefold() for source in sources)
    made: list[Tool | Action[Any]] = []
    for source in sources:
        if named[source.title.casefold()] > 1:
            _leave_out(source, f"another one is called {source.title!r} too; name one of the servers otherwise")
            continue
        risk = source.peer.server.risk_of(source.tool.name)
        try:
            made.append(_tool(source, risk) if risk in get_args(LoopRisk) else _action(source, risk))
        except (TeamError, TypeError, ValueError, RecursionError) as error:
            _leave_out(source, one_line(str(error)))
    return tuple(made)


def _leave_out(source: _Source, why: str) -> None:
    _log.warning("Left out: %s of the MCP server %s. %s", quoted(source.tool.name), source.peer.name, why)


def look_at(name: str, server: McpServer, *, broker: Broker | None = None) -> Offer:
    """What a server offers now, in a session of its own; McpUnusable if it cannot be asked."""
    check_names({name: server})

    async def look() -> Offer:
        peer = Peer(name=name, server=server, broker=broker)
        async with open_session(peer, on_end=_ignore, on_change=_ignore) as (_, offer):
            return offer

    return run(look())


def _ignore() -> None:
    """A session that is left at once need not hear of changes."""


@dataclass(frozen=True)
class _Source:
    """One accepted tool, and what is needed to call it."""

    peer: Peer
    tool: McpTool
    blobs: Blobs

    @property
    def title(self) -> str:
        """Its name for models."""
        full = re.sub(r"[^A-Za-z0-9_-]", "_", f"{self.peer.name}_{self.tool.name}")
        return full if len(full) <= _LONGEST_NAME else f"{full[: _LONGEST_NAME - 7]}_{self.tool.sha256[:6]}"

    async def ask(self, arguments: Mapping[str, Any], *, key: str = "", again: bool) -> CallToolResult:
        """Call it, in the loop of the sessions."""
        connection = await connection_to(self.peer)
        return await connection.call(self.tool, arguments, key=key, again=again)

    def say(self, result: CallToolResult) -> str:
        return say_result(result, self.blobs, self.peer.server.limits.characters)


def _tool(source: _Source, risk: Any) -> Tool:
    server, schema, renamed = source.peer.server, *_renamed(_visible(source.tool.schema))

    async def read(arguments: Mapping[str, Any]) -> str:
        """Ask the server; whatever goes wrong is told."""
        given = {renamed.get(name, name): value for name, value in arguments.items()}
        if problem := misfit(given, source.tool.schema):
            return f"It was called wrongly: {problem}. Call it again with that put right."
        try:
            result = await source.ask(given, again=True)
        except (McpNotCalled, McpLost) as error:
            return f"{error} Go on without it, or try once more later."
        text = source.say(result)
        return f"It failed: {text}" if result.isError else text

    def call(**arguments: Any) -> str:
        return run(read(arguments))

    async def acall(**arguments: Any) -> str:
        return await asyncio.wrap_future(submit(read(arguments)))

    return Tool(
        name=source.title,
        description=make_visible(source.tool.description),
        args_schema=schema,
        func=call,
        coroutine=acall,
        risk=risk,
        touches=server.touches,
        limits=server.limits,
        metadata={"source": f"{source.tool.name} of the MCP server {source.peer.name}"},
    )


def _action(source: _Source, risk: Any) -> Action[Given]:
    name, server = source.title, source.peer.server
    atomic = fits(source.tool.name, server.atomic)

    def do(given: Given, key: str) -> Mapping[str, Any]:
        try:
            result = run(source.ask(given.model_dump(mode="json"), key=key, again=False))
        except McpNotCalled as error:
            raise ActionFailed(name, str(error)) from error
        text = source.say(result)
        if result.isError and atomic:
            raise ActionFailed(name, f"the server answered with an error: {text}")
        if result.isError:
            # The protocol does not say whether something was done before it went wrong.
            raise McpLost(source.peer.name, source.tool.name, f"the server answered with an error: {text[:600]}")
        return {"server": source.peer.name, "tool": source.tool.name, "answer": text}

    return Action(
        name=name,
        description=make_visible(source.tool.description),
        arguments=arguments_of(name, _visible(source.tool.schema)),
        call=do,
        risk=risk,
        touches=server.touches,
        idempotent=fits(source.tool.name, server.idempotent),
        preview=lambda given: _preview(source, given),
    )


def _visible(schema: Any) -> Any:
    """The schema as models are shown it: nothing in what it says of itself is unseen."""
    if isinstance(schema, Mapping):
        return {
            name: make_visible(value)
            if name in ("title", "description") and isinstance(value, str)
            else _visible(value)
            for name, value in schema.items()
        }
    return [_visible(part) for part in schema] if isinstance(schema, list | tuple) else schema


def _renamed(schema: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The schema with arguments whose names are taken called otherwise, and the names that they have really."""
    shown = deepcopy(dict(schema))
    properties = shown.get("properties", {})
    really = {f"{name}_of_tool": name for name in properties if name in _TAKEN}
    if really:
        new = {name: changed for changed, name in really.items()}
        shown["properties"] = {new.get(name, name): value for name, value in properties.items()}
        shown["required"] = [new.get(name, name) for name in shown.get("required", [])]
    return shown, really


def _preview(source: _Source, given: Given) -> str:
    """What the person who decides sees: which tool of whom, and every argument."""
    arguments = json.dumps(given.model_dump(mode="json"), indent=2, ensure_ascii=False)
    server = source.peer.server
    where = server.url or " ".join(server.command)
    return (
        f"Calls {as_code(source.tool.name)} of the MCP server {as_code(source.peer.name)} ({as_code(where)}).\n\n"
        f"{as_block(make_visible(arguments), 'json')}"
    )
