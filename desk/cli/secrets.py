"""The command that shows what the broker made of the file of secrets."""

from __future__ import annotations

from rich.console import Console
from rich.table import Column, Table

from signoff.desk.cli.terminal import Json, print_json
from signoff.error_base import SettingsError
from signoff.settings import load_settings
from signoff.tools.broker import Broker, SecretRule

_COLUMNS = ("secret", "from", "hosts", "methods", "paths", "tools", "added as")


def secrets(json: Json = False) -> None:
    settings = load_settings()
    if settings.secrets is None:
        raise SettingsError("SIGNOFF_SECRETS", "names no file", "See docs/tools/secrets.md.")
    with Broker.start(settings.secrets, home=settings.home) as broker:
        listing = broker.listing
    if json:
        print_json(listing.model_dump(mode="json"))
        return
    table = Table(*(Column(name, overflow="fold") for name in _COLUMNS))
    rules = [(one.name, one.source, rule) for one in listing.secrets for rule in one.rules]
    for name, source, rule in (*rules, *(("", "", rule) for rule in listing.open)):
        parts = (rule.hosts, rule.methods, rule.paths or ("*",), rule.tools)
        table.add_row(name or "none", source, *(", ".join(part) for part in parts), _way(rule))
    Console().print(table)


def _way(rule: object) -> str:
    if not isinstance(rule, SecretRule):
        return ""
    if rule.query:
        return f"parameter {rule.query}"
    return f"basic {rule.basic}" if rule.basic else f"{rule.header_name}: {rule.filled_in}"
