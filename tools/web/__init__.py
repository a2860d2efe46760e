"""The web: search and fetch, both off unless configured; what is fetched is kept, so that it can be quoted."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.web.addresses import is_loopback as is_loopback
    from signoff.tools.web.http_waits import clock_of as clock_of, number_in as number_in
    from signoff.tools.web.http_waits import retry_after as retry_after, seconds_in as seconds_in
    from signoff.tools.web.request import Reach as Reach, USER_AGENT as USER_AGENT
    from signoff.tools.web.search_providers import OpenClient as OpenClient, plain_client as plain_client
    from signoff.tools.web.search_providers import SearchResult as SearchResult
    from signoff.tools.web.snapshots import Snapshots as Snapshots
    from signoff.tools.web.tools import Web as Web, web_of as web_of, web_tools as web_tools
offer(__name__)
