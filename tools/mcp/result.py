"""Results: what a server answered, as text; what is no text is kept as a file and named."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from signoff.checkpoints.canonical import readable_text
from signoff.tools.storage.blobs import Blobs

if TYPE_CHECKING:
    from mcp.types import CallToolResult

_LARGEST = 20_000_000
"""Bytes of one file."""


def say_result(result: CallToolResult, blobs: Blobs, longest: int) -> str:
    """The result as text of at most so many characters, and a note where it was longer."""
    parts = [_say(block, blobs) for block in result.content]
    if result.structuredContent is not None and not any(block.type == "text" for block in result.content):
        parts.append(json.dumps(result.structuredContent, indent=1, ensure_ascii=False))
    text = readable_text("\n\n".join(filter(None, parts))) or "(The server answered with nothing.)"
    if len(text) <= longest:
        return text
    return f"{text[:longest]}\n[cut: these are the first {longest:,} of {len(text):,} characters]"


def _say(block: Any, blobs: Blobs) -> str:
    if block.type == "text":
        return str(block.text)
    if block.type in ("image", "audio"):
        return _kept(block.type, block.mimeType, block.data, blobs)
    if block.type == "resource_link":
        return f"[link to {block.name}: {block.uri} {block.mimeType or ''}".rstrip() + "]"
    resource = block.resource
    if hasattr(resource, "text"):
        return f"[{resource.uri}]\n{resource.text}"
    return _kept(f"file {resource.uri}", resource.mimeType or "of no known type", resource.blob, blobs)


def _kept(what: str, kind: str, data: str, blobs: Blobs) -> str:
    if len(data) > _LARGEST * 4 / 3:
        return f"[{what}, {kind}: not kept, it is larger than {_LARGEST // 1_000_000} MB]"
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return f"[{what}, {kind}: not kept, it is no base64]"
    return f"[{what}, {kind}, {len(raw):,} bytes, kept as {blobs.keep(raw)}]"
