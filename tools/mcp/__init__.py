"""MCP: tools of other servers, each with its risk."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.mcp.config import Accepted as Accepted, Standing as Standing, compare as compare
    from signoff.tools.mcp.config import read_servers as read_servers
    from signoff.tools.mcp.offer import McpTool as McpTool, Offer as Offer
    from signoff.tools.mcp.server import McpServer as McpServer
    from signoff.tools.mcp.session import need_sdk as need_sdk
    from signoff.tools.mcp.tools import look_at as look_at, mcp_tools as mcp_tools
offer(__name__)
