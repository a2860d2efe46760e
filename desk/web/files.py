"""The page's own files and those of others that it needs: scripts and styles, all of them shipped with it."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from signoff.desk.errors import NotThere

HERE: Final = Path(__file__).parent
_KINDS: Final = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Asset:
    """One file, as it is sent."""

    kind: str
    content: bytes
    packed: bytes
    version: str
    """Beginning of its digest: its address changes with it."""


@cache
def load_assets() -> Mapping[str, Asset]:
    """The files, by name."""
    found = {}
    for path in sorted((*HERE.joinpath("static").iterdir(), *HERE.joinpath("vendor").glob("*.min.*"))):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:12]
        found[path.name] = Asset(_KINDS[path.suffix], content, gzip.compress(content, 9, mtime=0), digest)
    return found


def send_asset(assets: Mapping[str, Asset], request: Request) -> Response:
    """One of them; kept by browsers for good, as its address has its version."""
    asset = assets.get(request.path_params["name"])
    if asset is None or request.path_params["version"] != asset.version:  # what is kept for good is of this version
        raise NotThere("file")
    headers = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.packed, headers={**headers, "content-encoding": "gzip"}, media_type=asset.kind)
    return Response(asset.content, headers=headers, media_type=asset.kind)
