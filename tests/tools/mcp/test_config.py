import json
from pathlib import Path
from typing import Any

import pytest

from signoff.errors import SettingsError
from signoff.tools.mcp.config import read_servers


def write(**servers: Any) -> Path:
    path = Path("mcp.json")
    path.write_text(json.dumps({"mcpServers": servers}))
    return path


def test_servers_are_read_as_other_programs_write_them_with_what_is_ours() -> None:
    write(
        files={
            "type": "stdio",
            "command": "npx",
            "args": ["-y", "@modelcontextprotocol/server-filesystem", "/data"],
            "env": {"MODE": "ro"},
            "risks": {"read_*": "read"},
            "idempotent": ["write_file"],
            "atomic": ["write_file"],
            "reads": ["/data"],
            "seconds": 5,
        },
        tides={"type": "http", "url": "https://example.org/mcp", "secrets": ["TIDES"]},
    )
    files, tides = read_servers().values()
    assert files.command == ("npx", "-y", "@modelcontextprotocol/server-filesystem", "/data")
    assert (files.env, files.touches.reads, files.limits.seconds) == ({"MODE": "ro"}, ("/data",), 5)
    assert (files.risk_of("read_file"), files.risk_of("write_file")) == ("read", "external")
    assert (files.idempotent, files.atomic) == (("write_file",), ("write_file",))
    assert (tides.url, tides.touches.secrets) == ("https://example.org/mcp", ("TIDES",))


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"command": "x", "autoApprove": ["*"]}, "autoApprove: Extra inputs are not permitted"),
        ({"url": "https://example.org", "headers": {"Authorization": "Bearer hush"}}, "has headers for 'a'"),
        ({"type": "sse", "url": "https://example.org"}, "the type 'sse' is not spoken here"),
        ({"url": "http://example.org"}, "http is for this machine only"),
        ({"command": "x", "risks": {"y": "safe"}}, "'safe' of 'y' is no risk. Say one of read, sandboxed, write, "),
        ({"command": "x", "seconds": -1}, "lets no call be made"),
        ({}, "give a command or a url"),
        ("npx", "describes 'a' wrongly"),
    ],
)
def test_what_cannot_be_meant_is_refused(entry: Any, problem: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_servers(write(a=entry))
    assert problem in str(raised.value)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"mcpServers": 3}', '{"mcpServers": {"a b": {"command": "x"}}}'])
def test_a_file_that_is_none_is_told_with_its_form(content: str | None) -> None:
    if content is not None:
        Path("mcp.json").write_text(content)
    with pytest.raises(SettingsError, match=r"SIGNOFF_MCP_SERVERS: 'mcp\.json'"):
        read_servers()
