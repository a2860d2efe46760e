"""Where people sit: the command line, and the server that MCP clients talk to."""
