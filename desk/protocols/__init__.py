"""Teams served to programs: AG-UI, A2A, MCP and plain HTTP, each a few lines over `desk/service.py`."""
