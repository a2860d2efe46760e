"""The commands of `signoff mcp`. Like all commands they import what they need when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

mcp = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Use tools of MCP servers, and serve a team to MCP clients."
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Servers = Annotated[
    Path | None, typer.Option("--servers", metavar="FILE", help="File of servers; mcp.json by default.")
]


@mcp.command("list")
def list_(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="Only this one.")] = "",
    servers: Servers = None,
    json: Json = False,
) -> None:
    """Ask the servers what they offer, and show how it stands to what was accepted."""
    from signoff.desk.cli.mcp import list_offers

    raise typer.Exit(list_offers(server, servers, json=json))


@mcp.command()
def accept(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="A server of the file.")],
    tools: Annotated[
        list[str] | None, typer.Argument(metavar="[TOOL]...", help="These and no others; all without them.")
    ] = None,
    sha256: Annotated[
        str, typer.Option(metavar="DIGEST", help="Digest, or its beginning, of the offer that you saw.")
    ] = "",
    servers: Servers = None,
    json: Json = False,
) -> None:
    """Let agents have the tools that a server offers now, as they are described now."""
    from signoff.desk.cli.mcp import accept_offer

    accept_offer(server, tools or [], servers, sha256=sha256, json=json)


@mcp.command()
def forget(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="A server that was accepted.")], json: Json = False
) -> None:
    """Let agents have none of a server's tools any more."""
    from signoff.desk.cli.mcp import forget_server

    forget_server(server, json=json)


@mcp.command()
def serve(
    team: Annotated[str, typer.Argument(metavar="TEAM", help="A ready-made team: report.")],
    sources: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of documents.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="File the report goes to once signed off.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="offline, openai, openai:NAME or provider:NAME.")
    ] = None,
    budget: Annotated[str | None, typer.Option(metavar="LIMIT", help="What one run may use before you are asked.")] = (
        None
    ),
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve streamable HTTP on 127.0.0.1 instead; 0 takes a free port."),
    ] = None,
) -> None:
    """Serve a team to an MCP client. It can give goals and ask how runs stand; only people decide."""
    from signoff.desk.mcp_server import serve_team

    serve_team(team, sources=sources, out=out, model=model, budget=budget, port=port)
