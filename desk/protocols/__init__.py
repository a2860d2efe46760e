"""Teams served to programs: AG-UI, A2A, MCP and plain HTTP, each a few lines over `desk/service.py`."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.desk.protocols.asgi import protocols_app as protocols_app
offer(__name__)
