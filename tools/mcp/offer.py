"""What a server says: its tools, pinned by a digest once they are accepted, and the results of calls as text."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from signoff.checkpoints import canonical_json, check_storable, digest_text, readable_text
from signoff.tools.mcp.schema import check_schema
from signoff.tools.storage.blobs import Blobs

if TYPE_CHECKING:
    from mcp.types import CallToolResult

MOST_TOOLS = 500
LONGEST_TEXT = 100_000
"""Characters of a tool's description and schema together."""


@dataclass(frozen=True, kw_only=True)
class McpTool:
    """One tool as its server describes it; models are shown just this."""

    name: str
    description: str
    schema: Mapping[str, Any]
    """JSON Schema of its arguments."""
    hints: Mapping[str, Any] = field(default_factory=dict)
    """What the server says of the tool's risk, such as `readOnlyHint`; shown to people, never relied on."""

    @property
    def sha256(self) -> str:
        """Digest of all that a model is shown of it."""
        shown = {"name": self.name, "description": self.description, "schema": self.schema}
        return digest_text(canonical_json(shown))

    @property
    def texts(self) -> Iterator[str]:
        """Every text in it that a model would read."""
        yield self.name
        yield self.description
        yield from _texts(self.schema)


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a server offers now."""

    tools: Mapping[str, McpTool]
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Tools that cannot be used at all, and why."""


def offer_of(listed: Sequence[McpTool]) -> Offer:
    """What of the listed tools can be used."""
    tools: dict[str, McpTool] = {}
    unusable: dict[str, str] = {}
    for number, tool in enumerate(listed):
        if tool.name in tools or tool.name in unusable:
            problem = "it is listed twice"
        elif number >= MOST_TOOLS:
            problem = f"a server may offer {MOST_TOOLS} tools"
        else:
            problem = _problem(tool)
        if problem:
            tools.pop(tool.name, None)
            unusable[tool.name] = problem
        else:
            tools[tool.name] = tool
    return Offer(tools=tools, unusable=unusable)


def _problem(tool: McpTool) -> str:
    """Why a tool cannot be used; empty if it can."""
    try:
        check_storable([tool.name, tool.description, tool.schema])
        size = len(tool.description) + len(canonical_json(tool.schema))
    except (TypeError, ValueError, RecursionError) as error:
        return f"its description cannot be kept: {error}"
    if not 0 < len(tool.name) <= 128:
        return "its name has no or too many characters"
    if size > LONGEST_TEXT:
        return f"its description has {size:,} characters; it may have {LONGEST_TEXT:,}"
    return check_schema(tool.schema)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


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
        return _keep_file(block.type, block.mimeType, block.data, blobs)
    if block.type == "resource_link":
        return f"[link to {block.name}: {block.uri} {block.mimeType or ''}".rstrip() + "]"
    resource = block.resource
    if hasattr(resource, "text"):
        return f"[{resource.uri}]\n{resource.text}"
    return _keep_file(f"file {resource.uri}", resource.mimeType or "of no known type", resource.blob, blobs)


def _keep_file(what: str, kind: str, data: str, blobs: Blobs) -> str:
    if len(data) > _LARGEST * 4 / 3:
        return f"[{what}, {kind}: not kept, it is larger than {_LARGEST // 1_000_000} MB]"
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return f"[{what}, {kind}: not kept, it is no base64]"
    return f"[{what}, {kind}, {len(raw):,} bytes, kept as {blobs.keep(raw)}]"
