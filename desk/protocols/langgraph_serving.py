"""LangGraph's development server with teams that are named, as `signoff serve --langgraph` has it: no file is written.

Its own command starts it, in this process; what its configuration names is a module that is made here.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Final

from signoff.desk.offers import Offer
from signoff.desk.protocols.langgraph_app import SERVER, Beside, app_beside
from signoff.desk.protocols.langgraph_auth import Guard, auth_by
from signoff.desk.web.identity import Identity
from signoff.error_base import MissingExtra, SettingsError
from signoff.settings import Settings
from signoff.tools.broker import open_broker

_MODULE: Final = "signoff_served"
_QUIET: Final = {"LOG_LEVEL": "WARNING", "LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGGRAPH_NO_VERSION_CHECK": "true"}
"""Unless the environment says otherwise: what goes on is on the page, and nobody is told that the server is used."""


def langgraph_cli() -> Any:
    """The command `langgraph`; MissingExtra where it, or its development server, is not installed."""
    try:
        found = import_module("langgraph_cli.cli").cli
    except ImportError as error:
        raise MissingExtra("LangGraph Server", "server") from error
    if find_spec("langgraph_api") is None:
        raise MissingExtra("LangGraph Server", "server")
    return found


def serve_langgraph(
    offers: Sequence[Offer], beside: Beside, identity: Identity, settings: Settings, *, host: str, port: int
) -> None:
    """Serve these teams as graphs until it is ended, to those whom `identity` knows, with the page beside them."""
    open_broker(settings)  # first of all, so that its secrets leave the environment
    folder = TemporaryDirectory()
    teams = [replace(offer.make(settings), ledger=identity.ledger) for offer in offers]
    names = {offer.slug: f"graph_{number}" for number, offer in enumerate(offers)}

    def told() -> None:
        if not os.environ.get(SERVER, "").endswith(f":{port}"):  # it would be somebody else who is told the key
            raise SettingsError("--port", f"port {port} was taken meanwhile", "Name another, or 0 for a free one.")
        folder.cleanup()  # it was read, and a signal would leave it behind
        beside.told()

    module = ModuleType(_MODULE)
    vars(module).update(
        auth=auth_by(Guard(lambda: identity)),
        app=app_beside(lambda: replace(beside, told=told), speaks=beside.spoken is not None),
        **{name: team.graph() for name, team in zip(names.values(), teams, strict=True)},
    )
    sys.modules[_MODULE] = module
    about = {offer.slug: offer.about for offer in offers}
    graphs = {slug: {"path": f"{_MODULE}:{name}", "description": about[slug]} for slug, name in names.items()}
    for setting, value in _QUIET.items():
        os.environ.setdefault(setting, value)
    logging.getLogger("langgraph_api.cli").setLevel(os.environ["LOG_LEVEL"].upper())  # its banner names Studio
    with folder:
        config = Path(folder.name, "langgraph.json")
        config.write_text(json.dumps(_configuration(graphs)), encoding="utf-8")
        words = ["dev", "--config", str(config), "--host", host, "--port", str(port), "--no-browser", "--no-reload"]
        langgraph_cli().main(words, prog_name="langgraph", standalone_mode=False)


def _configuration(graphs: dict[str, Any]) -> dict[str, Any]:
    return {
        "dependencies": ["."],
        "graphs": graphs,
        "checkpointer": {"path": "signoff.checkpoints.saver.langgraph_server.checkpointer"},
        "auth": {"path": f"{_MODULE}:auth", "disable_studio_auth": True},
        "http": {"app": f"{_MODULE}:app", "disable_a2a": True},
    }
