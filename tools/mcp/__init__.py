"""MCP: tools of other servers, each with its risk."""
