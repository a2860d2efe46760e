"""Which CRM an address means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from signoff.error_base import SettingsError
from signoff.settings import Settings
from signoff.tools.broker import open_broker
from signoff.tools.crm.http import HubSpot, SearchThenWrite
from signoff.tools.crm.row import CRM
from signoff.tools.crm.sqlite import SqliteCrm
from signoff.tools.web import OpenClient, plain_client

if TYPE_CHECKING:
    from httpx2 import Client

UPSERT: Final = "crm_upsert"
"""The tool's name, by which rules of the secrets file give it its rights."""
Kind = Literal["leads", "followups"]
"""What rows are about: a table of a file, or objects of a server."""

_OBJECTS: Final = {"hubspot": ("companies", "tasks"), "pipedrive": ("organizations", "activities")}
_HOSTS: Final = {"api.hubapi.com": "hubspot", "api.pipedrive.com": "pipedrive"}
_HOW: Final = (
    "Name a SQLite file, https://api.hubapi.com, https://api.pipedrive.com, or another server by what it speaks: "
    "hubspot+https://HOST or pipedrive+https://HOST, with #OBJECT for other objects than companies"
)


def open_crm(address: str, settings: Settings, kind: Kind = "leads") -> CRM:
    """The CRM at this address: a file, or a server by its API; SettingsError says what can be written.

    Its secret is the broker's: a rule of the secrets file for the tool `crm_upsert` and the host.
    """
    scheme, _, rest = address.partition("://")
    if not rest:
        if not address.strip() or address.endswith(("/", "\\")) or Path(address).expanduser().is_dir():
            raise SettingsError("--crm", f"{address!r} is no file", _HOW)
        return SqliteCrm(Path(address).expanduser().absolute(), table=kind)
    shape, plus, plain = scheme.lower().rpartition("+")
    parts = urlsplit(f"{plain}://{rest}")
    shape = shape if plus else _HOSTS.get(parts.hostname or "", "")
    if plain not in ("https", "http") or shape not in _OBJECTS or not parts.hostname:
        raise SettingsError("--crm", f"{address!r} names no CRM that is known here", _HOW)
    if parts.username or parts.password or parts.query:
        raise SettingsError("--crm", "carries a secret", "Give it to the broker: docs/tools/secrets.md")
    base = f"{plain}://{parts.netloc}{parts.path.rstrip('/')}"
    leads, others = _OBJECTS[shape]
    kept = (parts.fragment or leads) if kind == "leads" else others
    made = HubSpot if shape == "hubspot" else SearchThenWrite
    return made(base=base, client=_client(settings), object=kept)


def _client(settings: Settings) -> OpenClient:
    """Through the broker, which has the secrets; without one as anybody."""

    def make() -> Client:
        broker = open_broker(settings)
        return plain_client() if broker is None else broker.client(UPSERT, timeout=30.0)

    return make
