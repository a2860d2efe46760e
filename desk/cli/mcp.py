"""The commands about MCP servers: list what they offer, accept it (a person reads what models would be told), serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from signoff.agents.safety import find_orders, look_alikes
from signoff.checkpoints import digest
from signoff.checkpoints.errors import Tampered
from signoff.desk.cli.terminal import TEAM_HELP, Depth, Json, Model, Out, Sources, can_ask, command, print_json, say
from signoff.error_base import MissingExtra, SettingsError
from signoff.settings import load_settings
from signoff.tools.broker import open_broker
from signoff.tools.errors import McpUnusable
from signoff.tools.mcp import Accepted, McpServer, McpTool, Offer, Standing, compare, look_at, read_servers
from signoff.wording import quoted

Servers = Annotated[
    Path | None, typer.Option("--servers", metavar="FILE", help="File of servers; mcp.json by default.")
]


@dataclass(frozen=True)
class Seen:
    """What one server offers, beside what was accepted of it."""

    name: str
    server: McpServer
    offer: Offer
    accepted: Mapping[str, McpTool]
    tampered: Mapping[str, Tampered]

    @property
    def standings(self) -> dict[str, Standing]:
        return compare(self.offer, self.accepted, self.tampered)

    @property
    def sha256(self) -> str:
        """Digest of all that it offers."""
        return digest({name: tool.sha256 for name, tool in self.offer.tools.items()})

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing that a person has to look at."""
        return not {"new", "changed", "gone", "tampered"} & set(self.standings.values())


def list_(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="Only this one.")] = "",
    servers: Servers = None,
    json: Json = False,
) -> int:
    console, errors = Console(), Console(stderr=True)
    seen, problems = list[Seen](), dict[str, str]()
    chosen = _chosen(server, servers)
    if not chosen:
        say(errors, "The file names no server.")
    for name, one in chosen.items():
        say(errors, f"Asking {name}: {one.url or ' '.join(one.command)}")
        try:
            seen.append(_look(name, one))
        except McpUnusable as error:
            problems[name] = str(error)
    if json:
        failed = [{"server": name, "problem": why} for name, why in problems.items()]
        print_json([*(_as_json(one) for one in seen), *failed])
        return 1 if problems else 0
    for found in seen:
        _show(found, console)
        if not found.is_settled:
            say(console, f"To let agents have it: {command()} mcp accept {found.name} --sha256 {found.sha256[:12]}")
            say(console, "")
    for why in problems.values():
        say(errors, why)
    return 1 if problems else 0


def accept(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="A server of the file.")],
    tools: Annotated[
        list[str] | None, typer.Argument(metavar="TOOL", help="These and no others; all without them.")
    ] = None,
    sha256: Annotated[
        str, typer.Option(metavar="DIGEST", help="Digest, or its beginning, of the offer that you saw.")
    ] = "",
    servers: Servers = None,
    json: Json = False,
) -> None:
    console, tools = Console(stderr=True), tools or []
    seen = _look(server, _chosen(server, servers)[server])
    if unknown := set(tools) - set(seen.offer.tools):
        offered = ", ".join(seen.offer.tools) or "nothing that can be used"
        raise SettingsError("TOOL", f"{server!r} offers no {min(unknown)!r} that can be used", f"It offers {offered}.")
    if not sha256:
        _show(seen, console)
        if not can_ask(console):
            raise SettingsError("--sha256", "is missing", f"To accept what is shown: --sha256 {seen.sha256[:12]}.")
        if console.input("Accept it? Type yes: ").strip().lower() != "yes":
            say(console, "Nothing was accepted.")
            return
    elif len(sha256) < 8 or not seen.sha256.startswith(sha256):
        raise SettingsError(
            "--sha256",
            f"{server!r} offers something else than you saw, its digest is {seen.sha256[:12]} now",
            f"Look again: {command()} mcp list {server}.",
        )
    chosen = {name: tool for name, tool in seen.offer.tools.items() if not tools or name in tools}
    Accepted(load_settings().home).keep(server, chosen)
    if json:
        print_json({"server": server, "accepted": sorted(chosen)})
    else:
        say(console, f"Accepted of {server}: {', '.join(sorted(chosen))}.")


def forget(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="A server that was accepted.")], json: Json = False
) -> None:
    kept = Accepted(load_settings().home)
    tools = {*kept.of(server), *kept.tampered(server)}
    if not tools:
        raise SettingsError("SERVER", f"nothing of {server!r} was accepted", "There is nothing to forget.")
    kept.keep(server, {})
    if json:
        print_json({"server": server, "forgotten": sorted(tools)})
    else:
        say(Console(stderr=True), f"Forgotten: {', '.join(sorted(tools))} of {server}.")


def serve(
    team: Annotated[str, typer.Argument(metavar="TEAM", help=TEAM_HELP)],
    sources: Sources = None,
    out: Out = None,
    depth: Depth = None,
    model: Model = None,
    budget: Annotated[str | None, typer.Option(metavar="LIMIT", help="What one run may use before you are asked.")] = (
        None
    ),
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve streamable HTTP on 127.0.0.1 instead; 0 takes a free port."),
    ] = None,
) -> None:
    """Serve a team to an MCP client. It can give goals and ask how runs stand; only people decide."""
    from signoff.desk.cli.run import Ways, team_for  # late: the other commands need no team

    try:
        from signoff.desk.protocols.mcp_server import serve_team
    except ImportError as error:
        raise MissingExtra("MCP", "mcp") from error
    settings, own = team_for(team, Ways(sources=sources, out=out, depth=depth, model=model, budget=budget))
    serve_team(team if own is None else own, settings, port)


def _chosen(server: str, servers: Path | None) -> dict[str, McpServer]:
    path = servers or load_settings().mcp_servers
    known = read_servers(path)
    if server and server not in known:
        raise SettingsError("SERVER", f"{str(path)!r} has no {server!r}", f"It has {', '.join(known) or 'none'}.")
    return {server: known[server]} if server else known


def _look(name: str, server: McpServer) -> Seen:
    settings = load_settings()
    broker = open_broker(settings) if server.touches.secrets else None
    kept = Accepted(settings.home)
    return Seen(name, server, look_at(name, server, broker=broker), kept.of(name), kept.tampered(name))


def _show(seen: Seen, console: Console) -> None:
    say(console, f"{seen.name}  offer {seen.sha256[:12]}", "bold")
    for name, standing in seen.standings.items():
        tool = seen.offer.tools.get(name) or seen.accepted.get(name)
        pinned = f", digest {tool.sha256[:12]}" if tool is not None else ""
        say(console, f"  {name}: {standing}, {seen.server.risk_of(name)}{pinned}")
        for line in _details(seen, name, standing):
            say(console, f"      │ {line}")
        for flag in look_alikes({"name": name}):
            say(console, f"      Caution: {flag}", "bold")
        for flag in _orders(seen.offer.tools.get(name)):
            say(console, f"      Caution, an order to models: {flag}", "bold")


def _details(seen: Seen, name: str, standing: Standing) -> list[str]:
    """What a person has to read of a tool: all that models would be told, or what of it is other now."""
    if standing == "unusable":
        return [seen.offer.unusable[name]]
    if standing == "changed":
        before, now = _lines(seen.accepted[name]), _lines(seen.offer.tools[name])
        return list(unified_diff(before, now, "accepted", "now", lineterm="", n=1))
    tool = seen.offer.tools.get(name)
    if standing not in ("new", "tampered") or tool is None:
        return []
    arguments = ", ".join(tool.schema.get("properties", {})) or "none"
    return [*tool.description.splitlines(), f"Arguments: {arguments}"]


def _lines(tool: McpTool) -> list[str]:
    schema = dumps(tool.schema, indent=1, ensure_ascii=False, sort_keys=True)
    return [*tool.description.splitlines(), *schema.splitlines()]


def _orders(tool: McpTool | None) -> list[str]:
    """What in the texts of a tool reads like an order."""
    texts = tool.texts if tool is not None else ()
    return list(
        dict.fromkeys(f"{quoted(found.excerpt)} ({found.why})" for text in texts for found in find_orders(text))
    )


def _as_json(seen: Seen) -> dict[str, Any]:
    tools = [_tool_as_json(seen, name, standing) for name, standing in seen.standings.items()]
    return {"server": seen.name, "sha256": seen.sha256, "tools": tools}


def _tool_as_json(seen: Seen, name: str, standing: Standing) -> dict[str, Any]:
    tool = seen.offer.tools.get(name)
    found = {
        "name": name,
        "stands": standing,
        "risk": seen.server.risk_of(name),
        "problem": seen.offer.unusable.get(name),
        "orders": _orders(tool),
    }
    if tool is None:
        return found
    said = {"description": tool.description, "arguments": dict(tool.schema), "hints": dict(tool.hints)}
    return {**found, "sha256": tool.sha256, **said}
