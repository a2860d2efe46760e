"""What a server says: its tools, pinned by a digest once they are accepted, and the results of calls as text."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, Field, ValidationError

from signoff.checkpoints import canonical_json, check_storable, digest_text, readable_text
from signoff.tools.mcp.schema import check_schema
from signoff.tools.storage.blobs import Blobs
from signoff.wording import place_of

if TYPE_CHECKING:
    from mcp import ClientSession
    from mcp.types import CallToolResult

MOST_TOOLS = 500
_MOST_PAGES = 1_000
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
class OddTool:
    """Something that a server lists among its tools and that is none."""

    name: str
    problem: str


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a server offers now."""

    tools: Mapping[str, McpTool]
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Tools that cannot be used at all, and why."""


def offer_of(listed: Sequence[McpTool | OddTool]) -> Offer:
    """What of the listed tools can be used."""
    tools: dict[str, McpTool] = {}
    unusable: dict[str, str] = {}
    for number, tool in enumerate(listed):
        if tool.name in tools or tool.name in unusable:
            problem = "it is listed twice"
        elif isinstance(tool, OddTool):
            problem = tool.problem
        elif number >= MOST_TOOLS:
            problem = f"a server may offer {MOST_TOOLS} tools"
        else:
            problem = _problem(tool)
        if problem or isinstance(tool, OddTool):
            tools.pop(tool.name, None)
            unusable[tool.name] = problem
        else:
            tools[tool.name] = tool
    return Offer(tools=tools, unusable=unusable)


class _Page(BaseModel):
    """A page of a server's tools, each as it came: one that is odd says nothing about the others."""

    tools: list[Any] = Field(default_factory=list)
    nextCursor: str | None = None


async def list_tools(session: ClientSession) -> Offer:
    """What the server offers now."""
    from mcp import types

    listed: list[Any] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        asked = types.PaginatedRequestParams(cursor=cursor) if cursor else None
        page = await session.send_request(types.ClientRequest(types.ListToolsRequest(params=asked)), cast(Any, _Page))
        listed += page.tools
        cursor = page.nextCursor
        if not cursor:
            break
    return offer_of([_tool_of(session, tool, number) for number, tool in enumerate(listed, 1)])


def _tool_of(session: ClientSession, listed: Any, number: int) -> McpTool | OddTool:
    """A tool as LangChain's adapter reads it, or why it makes no sense."""
    from langchain_mcp_adapters.tools import convert_mcp_tool_to_langchain_tool
    from mcp import types

    try:
        tool: Any = convert_mcp_tool_to_langchain_tool(session, types.Tool.model_validate(listed))
    except ValidationError as error:
        first = error.errors()[0]
        name = listed.get("name") if isinstance(listed, dict) else None
        where = place_of(first["loc"]) or "it"
        return OddTool(
            name=name if isinstance(name, str) and name else f"(tool {number}, which has no name)",
            problem=f"its description is none: {where}: {first['msg']}",
        )
    hints = {name: value for name, value in (tool.metadata or {}).items() if name.endswith("Hint")}
    return McpTool(name=tool.name, description=tool.description, schema=tool.args_schema, hints=hints)


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
