"""Policy: which action is allowed, asked about or denied, by tool and argument."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.graphs.policy.patterns import Above as Above, Below as Below, Between as Between, Exactly as Exactly
    from signoff.graphs.policy.patterns import Matches as Matches, Not as Not, OneOf as OneOf
    from signoff.graphs.policy.policy import Policy as Policy, Rate as Rate, Ruling as Ruling
    from signoff.graphs.policy.rules import Ask as Ask, When as When
offer(__name__)
