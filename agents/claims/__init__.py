"""Claims: what a sentence says, what of it its quotes do not bear out, and what two quotes say otherwise."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.agents.claims.comparing import differ as differ, disagreements as disagreements
    from signoff.agents.claims.comparing import unsupported as unsupported
    from signoff.agents.claims.reading import date_of as date_of
offer(__name__)
