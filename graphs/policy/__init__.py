"""Policy: which action is allowed, asked about or denied, by tool and argument."""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports

if TYPE_CHECKING:
    from signoff.graphs.policy.patterns import Above as Above, Below as Below, Between as Between, Exactly as Exactly
    from signoff.graphs.policy.patterns import Matches as Matches, Not as Not, OneOf as OneOf
    from signoff.graphs.policy.policy import Policy as Policy, Rate as Rate, Ruling as Ruling
    from signoff.graphs.policy.rules import Ask as Ask, When as When
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)
