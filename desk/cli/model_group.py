"""The commands of `signoff model`. Like all commands they import what they need when they run."""

from __future__ import annotations

from typing import Annotated

import typer

model = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Run a model on this machine.")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@model.command()
def serve(
    model: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A name from `model list`, or a GGUF file.")
    ] = "qwen-1.5b",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 8080,
    context: Annotated[int, typer.Option(min=512, max=1_000_000, help="Tokens of a prompt and its answer.")] = 8192,
    api_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="What callers must send; made up by default.")
    ] = None,
) -> None:
    """Serve a model to OpenAI clients of this machine until Ctrl-C; fetches it first if it is not there."""
    from signoff.desk.cli.model import serve_model

    serve_model(model, port=port, context=context, api_key=api_key)


@model.command("list")
def list_(json: Json = False) -> None:
    """List the models that can be fetched, and where they are."""
    from signoff.desk.cli.model import list_models

    list_models(json=json)


@model.command()
def fetch(
    model: Annotated[str, typer.Argument(metavar="NAME", help="A name from `model list`.")], json: Json = False
) -> None:
    """Fetch a model with pip, to serve it later."""
    from signoff.desk.cli.model import fetch_model

    fetch_model(model, json=json)
